"""From a mesh, a camera and a light to a picture."""

from __future__ import annotations

import dataclasses
import functools

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.camera import Camera
from recon.lighting import check_lighting
from recon.render.antialias import DEFAULT_REACH, antialias
from recon.render.checks import RenderInputError, check_finite, check_size
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import Mesh, unit, vertex_normals
from recon.render.rasterize import Backend, Raster, rasterize
from recon.render.shading import shade_packed
from recon.render.texture import Texture, sample_packed


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """What the P covered pixels show, packed in the order of the raster's ``pixel_index``.

    Attributes:
        position: ``(P, 3)`` mm, camera frame.
        normals: ``(P, 3)`` unit, camera frame.
        albedo: ``(P, 3)``.
    """

    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Render:
    """A batch of pictures and what they show. Without a surface, every map but ``image`` is 0 and the id is -1.

    ``image`` and ``mask`` are antialiased along silhouettes; the other maps are what lies at the pixel centre. They are
    put together from the packed surface on first use, with gradients, so a loop that needs the picture alone does not
    pay for them.

    Attributes:
        image: ``(B, 3, H, W)`` colour, not clamped to [0, 1].
        mask: ``(B, 1, H, W)`` share of the pixel that the mesh covers, [0, 1].
        raster: which triangle is where.
        surface: what the covered pixels show, packed.
    """

    image: Float[Tensor, "b 3 h w"]
    mask: Float[Tensor, "b 1 h w"]
    raster: Raster
    surface: Surface

    @property
    def triangle_ids(self) -> Int[Tensor, "b h w"]:
        """int32 rows of the faces, -1 on the background."""
        return self.raster.triangle_ids

    @property
    def covered(self) -> Bool[Tensor, "b 1 h w"]:
        """Pixels whose centre shows the mesh: where the maps below hold a value."""
        return (self.triangle_ids >= 0)[:, None]

    @functools.cached_property
    def depth_mm(self) -> Float[Tensor, "b 1 h w"]:
        """Planar depth, positive in front of the camera."""
        return _channels_first(self.raster.unpack(-self.surface.position[:, 2:]))

    @functools.cached_property
    def normals(self) -> Float[Tensor, "b 3 h w"]:
        """Unit normals, camera frame."""
        return _channels_first(self.raster.unpack(self.surface.normals))

    @functools.cached_property
    def position(self) -> Float[Tensor, "b 3 h w"]:
        """Surface points in mm, camera frame."""
        return _channels_first(self.raster.unpack(self.surface.position))

    @functools.cached_property
    def albedo(self) -> Float[Tensor, "b 3 h w"]:
        """Albedo before shading."""
        return _channels_first(self.raster.unpack(self.surface.albedo))


def render(
    mesh: Mesh,
    camera: Camera,
    lighting: Float[Tensor, "_l 9 _c"],
    size: tuple[int, int],
    background: Float[Tensor, "_b 3 _h _w"] | None = None,
    *,
    backend: Backend = "auto",
    reach: int | None = DEFAULT_REACH,
) -> Render:
    """Render a batch of meshes, differentiable in vertices, albedo, camera, lighting and background.

    Args:
        mesh: B meshes of one topology.
        camera: one camera, or one a mesh.
        lighting: ``(B or 1, 9, 3)`` or ``(B or 1, 9, 1)`` radiance coefficients in the camera frame (``lighting.py``).
        size: ``(H, W)`` in pixels.
        background: anything that expands to ``(B, 3, H, W)`` by sizes of 1; ``None`` is black.
        backend: see :func:`recon.render.rasterize.rasterize`.
        reach: see :func:`recon.render.antialias.antialias`; ``None`` leaves silhouettes hard and without gradient.

    Raises:
        RenderInputError: batches that do not fit, an impossible size, nan or inf, and what ``rasterize`` refuses.
        LightingError: lighting of a wrong shape.
    """
    size = check_size(size)
    n_pictures = mesh.v_obj.shape[0]
    _check_batch("camera", camera.batch, n_pictures)
    check_lighting(lighting)
    _check_batch("lighting", lighting.shape[0], n_pictures)
    check_finite("lighting", lighting)
    with torch.autocast(mesh.v_obj.device.type, enabled=False):
        backdrop = _backdrop(background, mesh.v_obj, size)
        v_cam = camera.to_camera(mesh.v_obj)
        raster = rasterize(camera.to_clip(v_cam, size), mesh.topology.faces, size, backend=backend)
        surface = _surface(mesh, v_cam, raster)
        lights = lighting.to(v_cam.dtype).expand(n_pictures, -1, -1)
        colour = shade_packed(surface.albedo, surface.normals, lights, raster.starts)
        opaque = torch.ones_like(colour[:, :1])
        picture = raster.unpack(torch.cat((colour, opaque), dim=1), backdrop)
        if reach is not None:
            picture = antialias(picture, raster, mesh.topology, reach=reach)
    return Render(
        image=_channels_first(picture[..., :3]),
        mask=_channels_first(picture[..., 3:]),
        raster=raster,
        surface=surface,
    )


def _surface(mesh: Mesh, v_cam: Tensor, raster: Raster) -> Surface:
    attributes = [v_cam, vertex_normals(v_cam, mesh.topology.faces)]
    if isinstance(mesh.albedo, Texture):
        position, normals = interpolate_packed(torch.cat(attributes, dim=-1), raster).split(3, dim=1)
        return Surface(position, unit(normals), sample_packed(mesh.albedo, raster))
    packed = interpolate_packed(torch.cat((*attributes, mesh.albedo), dim=-1), raster)
    position, normals, albedo = packed.split(3, dim=1)
    return Surface(position, unit(normals), albedo)


def _backdrop(background: Tensor | None, v_obj: Tensor, size: tuple[int, int]) -> Tensor:
    """``(B, H, W, 4)``: the background's colours with a mask of 0."""
    shape = (v_obj.shape[0], 3, *size)
    if background is None:
        return v_obj.new_zeros(shape[0], *size, 4)
    fits = background.ndim == 4 and all(have in (1, want) for have, want in zip(background.shape, shape, strict=True))
    if not fits or background.shape[1] != 3:
        raise RenderInputError(f"background must expand to {shape} by sizes of 1, got {tuple(background.shape)}")
    check_finite("background", background)
    colours = background.to(v_obj.dtype).expand(shape).permute(0, 2, 3, 1)
    return torch.cat((colours, torch.zeros_like(colours[..., :1])), dim=-1)


def _check_batch(name: str, found: int, n_pictures: int) -> None:
    if found not in (1, n_pictures):
        raise RenderInputError(f"{name} holds {found} entries for {n_pictures} meshes: pass 1 or {n_pictures}")


def _channels_first(picture: Tensor) -> Tensor:
    return picture.permute(0, 3, 1, 2)
