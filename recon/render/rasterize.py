"""The door to visible-triangle search: one contract, four back ends."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.checks import RenderInputError, check_faces, check_size, check_vertices
from recon.render.interpolate import barycentrics_at, interpolate_at, moved_inside
from recon.render.kernels import interpolate as kernels
from recon.render.screen import clip_to_screen

Backend = Literal["auto", "numba", "torch", "nvdiffrast", "pytorch3d"]

_MODULES = {name: f"recon.render.backends.{name}_search" for name in ("numba", "torch", "nvdiffrast", "pytorch3d")}


@dataclasses.dataclass(frozen=True, eq=False)
class Raster:
    """Which triangle is seen where. The P covered pixels are kept as one packed list, ordered by picture.

    Attributes:
        triangle_ids: ``(B, H, W)`` int32, rows of the faces, -1 on the background.
        depth_hard: ``(B, H, W)`` z / w as the search saw it, inf on the background; without gradient.
        screen: ``(B, V, 4)`` homogeneous pixel coordinates (see ``screen.py``).
        pixel_index: ``(P,)`` flat indices into ``(B, H, W)``, ascending.
        corner_index: ``(P, 3)`` flat indices into ``(B, V)`` of the corners of each pixel's triangle.
        barycentrics_packed: ``(P, 3)`` perspective-correct, each row sums to 1, with gradients.
        starts: B + 1 offsets: picture b owns entries ``starts[b]`` to ``starts[b + 1]`` of the packed lists.
    """

    triangle_ids: Int[Tensor, "b h w"]
    depth_hard: Float[Tensor, "b h w"]
    screen: Float[Tensor, "b v 4"]
    pixel_index: Int[Tensor, " p"]
    corner_index: Int[Tensor, "p 3"]
    barycentrics_packed: Float[Tensor, "p 3"]
    starts: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` in pixels."""
        return self.triangle_ids.shape[1], self.triangle_ids.shape[2]

    @functools.cached_property
    def barycentrics(self) -> Float[Tensor, "b h w 3"]:
        """Weights of the triangle's corners 0, 1, 2; 0 on the background."""
        return self.unpack(self.barycentrics_packed)

    @functools.cached_property
    def depth(self) -> Float[Tensor, "b h w"]:
        """Clip depth z / w in [-1, 1], smaller is nearer, with gradients; 1 on the background."""
        z_and_w = self.screen[..., 2:].reshape(-1, 2)
        z, w = interpolate_at(z_and_w, self.barycentrics_packed, self).unbind(-1)
        far = torch.ones_like(self.depth_hard).flatten()
        return far.index_copy(0, self.pixel_index, z / w).view(self.depth_hard.shape)

    def unpack(
        self, packed: Float[Tensor, "p c"], background: Float[Tensor, "b h w c"] | None = None
    ) -> Float[Tensor, "b h w c"]:
        """Put packed values in their pixels; elsewhere the background, 0 when there is none."""
        n_pictures, height, width = self.triangle_ids.shape
        channels = packed.shape[1]
        if background is None:
            # filled in place: nobody else holds this tensor, and a copy of it would cost as much as the rest
            rest = packed.new_zeros(n_pictures * height * width, channels).index_copy_(0, self.pixel_index, packed)
        else:
            rest = background.reshape(-1, channels).index_copy(0, self.pixel_index, packed)
        return rest.view(n_pictures, height, width, channels)


def rasterize(
    v_clip: Float[Tensor, "b v 4"],
    faces: Int[Tensor, "f 3"],
    size: tuple[int, int],
    *,
    backend: Backend = "auto",
) -> Raster:
    """Find the nearest triangle at every pixel centre, and where in the triangle that is.

    The frustum clips: what lies outside ``-w <= z <= w`` or behind the camera is not rendered, and a triangle that
    reaches through the near plane is rendered as far as it is visible. Triangles without area in the picture are not
    rendered. Of several triangles at the same depth, the lowest id is seen. Back faces are rendered like front faces.

    Ids carry no gradient. Barycentrics and depth do, to ``v_clip``; what a moving silhouette changes is the business
    of :func:`recon.render.antialias.antialias`.

    Args:
        v_clip: ``(B, V, 4)`` vertices in clip space (OpenGL's: y up, visible within ``-w..w``). Half precision is
            computed in float32.
        faces: ``(F, 3)`` rows of vertices, shared by the batch.
        size: ``(H, W)`` in pixels.
        backend: ``"numba"`` (CPU), ``"torch"`` (anywhere), ``"nvdiffrast"`` (CUDA), ``"pytorch3d"``, or ``"auto"``:
            numba on the CPU; on CUDA nvdiffrast where installed, otherwise torch.

    Raises:
        RenderInputError: shapes or types that do not fit, an empty batch, an impossible size, nan or inf, faces out of
            range, more triangles than an int32 id can hold, a back end that cannot run on this device.
        ModuleNotFoundError: the back end asked for is not installed.
    """
    height, width = check_size(size)
    v_clip = check_vertices("v_clip", v_clip, 4)
    check_faces(faces, v_clip.shape[1])
    if faces.device != v_clip.device:
        raise RenderInputError(f"faces are on {faces.device} but v_clip is on {v_clip.device}")
    search = search_of(backend, v_clip.device)
    screen = clip_to_screen(v_clip, (height, width))
    triangle_ids, depth_hard = search(screen.detach(), faces, (height, width))
    raster = _pack(screen, faces, triangle_ids, depth_hard)
    if choose_backend(backend, v_clip.device) == "nvdiffrast":
        return dataclasses.replace(raster, barycentrics_packed=moved_inside(raster.barycentrics_packed))
    return raster


def _pack(screen: Tensor, faces: Tensor, triangle_ids: Tensor, depth_hard: Tensor) -> Raster:
    pack = kernels.pack if triangle_ids.device.type == "cpu" else pack_reference
    pixel_index, corner_index, starts = pack(triangle_ids, faces, screen.shape[1])
    size = (triangle_ids.shape[1], triangle_ids.shape[2])
    return Raster(
        triangle_ids=triangle_ids,
        depth_hard=depth_hard,
        screen=screen,
        pixel_index=pixel_index,
        corner_index=corner_index,
        barycentrics_packed=barycentrics_at(screen, corner_index, pixel_index, starts, size),
        starts=starts,
    )


def pack_reference(
    triangle_ids: Int[Tensor, "b h w"], faces: Int[Tensor, "f 3"], n_vertices: int
) -> tuple[Int[Tensor, " p"], Int[Tensor, "p 3"], tuple[int, ...]]:
    """``pixel_index``, ``corner_index`` and ``starts`` of a :class:`Raster`. The plain twin."""
    n_pictures, height, width = triangle_ids.shape
    flat_ids = triangle_ids.reshape(-1)
    pixel_index = torch.nonzero(flat_ids >= 0).view(-1)
    picture = torch.div(pixel_index, height * width, rounding_mode="floor")
    corner_index = faces.long()[flat_ids[pixel_index].long()] + (picture * n_vertices)[:, None]
    first_pixels = torch.arange(n_pictures + 1, device=triangle_ids.device) * (height * width)
    return pixel_index, corner_index, tuple(torch.searchsorted(pixel_index, first_pixels).tolist())


def choose_backend(backend: Backend, device: torch.device) -> str:
    """The back end that ``"auto"`` stands for on a device; any other name is returned as it is.

    Raises:
        RenderInputError: an unknown name.
    """
    if backend == "auto":
        if device.type == "cpu":
            return "numba"
        return "nvdiffrast" if device.type == "cuda" and importlib.util.find_spec("nvdiffrast") else "torch"
    if backend not in _MODULES:
        raise RenderInputError(f"unknown back end {backend!r}; there are: auto, {', '.join(_MODULES)}")
    return backend


def search_of(backend: Backend, device: torch.device) -> Callable[..., tuple[Tensor, Tensor]]:
    name = choose_backend(backend, device)
    if name == "numba" and device.type != "cpu":
        raise RenderInputError(
            f"the numba back end runs on the CPU, the vertices are on {device}: use 'auto' or 'torch'"
        )
    if name == "nvdiffrast" and device.type != "cuda":
        raise RenderInputError(f"the nvdiffrast back end needs CUDA, the vertices are on {device}: use 'auto'")
    search: Callable[..., tuple[Tensor, Tensor]] = importlib.import_module(_MODULES[name]).search
    return search
