"""What the renderer refuses, said before any work starts."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_TRIANGLES = 2**31 - 1
"""Triangle ids are int32 with -1 for the background."""

MAX_SIDE = 16384
"""Longest picture side in pixels; longer ones are nearly always a mistaken unit."""


class RenderInputError(ValueError):
    """What was passed to the renderer cannot be rendered."""


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """A picture size ``(height, width)`` in pixels, as two ints.

    Raises:
        RenderInputError: not two whole numbers, a side below 1, or a side above :data:`MAX_SIDE`.
    """
    if len(tuple(size)) != 2:
        raise RenderInputError(f"size must be (height, width) in pixels, got {tuple(size)}")
    height, width = size
    if int(height) != height or int(width) != width:
        raise RenderInputError(f"size must be whole pixels, got {(height, width)}")
    if height < 1 or width < 1:
        raise RenderInputError(f"size must be at least 1 x 1 pixels, got height {height}, width {width}")
    if height > MAX_SIDE or width > MAX_SIDE:
        raise RenderInputError(f"size may be at most {MAX_SIDE} pixels a side, got height {height}, width {width}")
    return int(height), int(width)


def check_faces(faces: Tensor, n_vertices: int) -> None:
    """Refuse faces that are no ``(F, 3)`` whole numbers in ``[0, n_vertices)``.

    The range is checked on the CPU only: on a GPU the check would make every call wait for the device.
    Building a :class:`~recon.render.topology.Topology` checks it everywhere, once.
    """
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise RenderInputError(f"faces must be (F, 3), got {tuple(faces.shape)}; one topology serves the whole batch")
    if faces.is_floating_point() or faces.is_complex() or faces.dtype == torch.bool:
        raise RenderInputError(f"faces must be whole numbers, got {faces.dtype}")
    if faces.shape[0] > MAX_TRIANGLES:
        raise RenderInputError(
            f"{faces.shape[0]} triangles, more than an int32 id can hold ({MAX_TRIANGLES}): render the mesh in parts"
        )
    if faces.device.type == "cpu":
        check_face_range(faces, n_vertices)


def check_face_range(faces: Tensor, n_vertices: int) -> None:
    """Refuse indices outside ``[0, n_vertices)``."""
    if faces.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(faces))
    if low < 0 or high >= n_vertices:
        raise RenderInputError(f"faces must hold indices in [0, {n_vertices}), found {low}..{high}")


def check_vertices(name: str, vertices: Tensor, width: int) -> Tensor:
    """Batched vertices ``(B, V, width)`` in float32 or float64; half precision is lifted to float32.

    Raises:
        RenderInputError: wrong rank or width, an empty batch, no vertices, whole numbers, or nan or inf (CPU only,
            for the reason given in :func:`check_faces`).
    """
    if vertices.ndim != 3 or vertices.shape[-1] != width:
        raise RenderInputError(f"{name} must be (B, V, {width}), got {tuple(vertices.shape)}")
    if vertices.shape[0] == 0:
        raise RenderInputError(f"{name} holds an empty batch, {tuple(vertices.shape)}: pass at least one mesh")
    if vertices.shape[1] == 0:
        raise RenderInputError(f"{name} holds no vertices, {tuple(vertices.shape)}")
    lifted = lift(name, vertices)
    check_finite(name, lifted)
    return lifted


def check_finite(name: str, values: Tensor) -> None:
    """Refuse nan and inf, naming the first one. CPU only."""
    if values.device.type != "cpu" or values.numel() == 0:
        return
    # a sum is nan or inf whenever an entry is, and is much cheaper than isfinite over everything
    if bool(torch.isfinite(values.detach().sum())):
        return
    finite = torch.isfinite(values.detach())
    if not bool(finite.all()):
        where = torch.nonzero(~finite)[0].tolist()
        raise RenderInputError(f"{name}{where} is {values[tuple(where)].item()}; every value must be finite")


def lift(name: str, values: Tensor) -> Tensor:
    """Float32 or float64 values; half precision is computed in float32.

    Raises:
        RenderInputError: not floating point.
    """
    if not values.is_floating_point():
        raise RenderInputError(f"{name} must be floating point, got {values.dtype}")
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
