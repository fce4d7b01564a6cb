"""Losses of pictures seen from elsewhere: depth is right if it explains them. No true depth is needed where they are used.

The picture is made again from a source: each pixel goes to its point at the predicted depth, the point into the source's camera,
and the source is read there.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.depth.gradients import second_order_smoothness
from losses.depth.masked import masked_pair, picture_means
from losses.depth.pointwise import huber_of
from losses.depth.structural import ssim_map

_NEAREST_MM = 1.0
_BORDER_PX = 1e-3


@runtime_checkable
class PixelCamera(Protocol):
    """What is needed of a camera; those of :mod:`recon.camera` have it. Points lie in front for z < 0."""

    def to_camera(self, v_obj: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
        """Points from the object frame to the camera frame, mm."""
        ...

    def to_pixels(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 2"]:
        """Points to pixels, with centres at +0.5."""
        ...

    def unproject(self, v_px: Float[Tensor, "b n 2"], depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "b n 3"]:
        """Points in the camera frame from pixels and planar depth."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Views:
    """A picture and others of the same moment.

    Attributes:
        image: ``(B, C, H, W)`` in [0, 1], of the predicted depth.
        camera: of that picture.
        sources: K pictures ``(B, C, H', W')``.
        source_cameras: of the sources. Their object frame is the camera frame of ``camera``, so that ``to_camera`` leads from
            one camera to the other.

    Raises:
        ValueError: no source, or not one camera a source.
    """

    image: Float[Tensor, "b c h w"]
    camera: PixelCamera
    sources: tuple[Float[Tensor, "b c _h _w"], ...]
    source_cameras: tuple[PixelCamera, ...]

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.source_cameras):
            raise ValueError(
                f"views need one camera a source, and at least one: got {len(self.sources)} sources and "
                f"{len(self.source_cameras)} cameras"
            )


def pixel_points(depth_mm: Float[Tensor, "b 1 h w"], camera: PixelCamera) -> Float[Tensor, "b n 3"]:
    """The point of each pixel in the camera frame, mm, row by row."""
    height, width = depth_mm.shape[-2:]
    rows = torch.arange(height, dtype=depth_mm.dtype, device=depth_mm.device) + 0.5
    columns = torch.arange(width, dtype=depth_mm.dtype, device=depth_mm.device) + 0.5
    v_px = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1).flatten(0, 1)
    return camera.unproject(v_px.expand(len(depth_mm), -1, -1), depth_mm.flatten(1))


def reconstructed(
    depth_mm: Float[Tensor, "b 1 h w"],
    camera: PixelCamera,
    source: Float[Tensor, "b c _h _w"],
    source_camera: PixelCamera,
) -> tuple[Float[Tensor, "b c h w"], Bool[Tensor, "b 1 h w"]]:
    """A picture made from a source, read bilinearly, and where the source shows the point.

    What another surface hides in the source is not noticed.
    """
    batch, _, height, width = depth_mm.shape
    v_source = source_camera.to_camera(pixel_points(depth_mm, camera))
    seen = v_source[..., 2] < -_NEAREST_MM
    # A point behind the camera is moved to where its projection, which does not count, has a finite gradient.
    ahead = v_source.new_tensor([0.0, 0.0, -1.0])
    v_px = source_camera.to_pixels(torch.where(seen[..., None], v_source, ahead))
    size_px = v_px.new_tensor([source.shape[3], source.shape[2]])
    # A point of the border itself is inside, however its projection is rounded.
    first, last = 0.5 - _BORDER_PX, size_px - 0.5 + _BORDER_PX
    inside = seen & ((v_px >= first) & (v_px <= last)).all(dim=-1)
    grid = torch.where(inside[..., None], 2.0 * v_px / size_px - 1.0, torch.zeros_like(v_px))
    made = torch.nn.functional.grid_sample(
        source, grid.view(batch, height, width, 2), mode="bilinear", padding_mode="border", align_corners=False
    )
    return made, inside.view(batch, 1, height, width)


def photometric(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    views: Views,
    balance: float = 0.85,
) -> Float[Tensor, " b"]:
    """mean of (1 - lambda) |I - I'| + lambda (1 - SSIM) / 2 over pixels and sources, [0, 1]: the review's Eq. 10.

    The review prints a sum over pixels, whose weight would grow with the picture, and no lambda; 0.85 is usual (Godard et al.
    2017). For depth against true depth, name ``l1`` and ``ssim`` with two weights: that is the same formula.

    Args:
        predicted: in mm.
        true: gives only the size.
        mask: what counts.
        views: pictures and cameras.
        balance: lambda in [0, 1].

    Raises:
        ValueError: a balance outside [0, 1].
    """
    return _mean_over_sources(_errors(predicted, true, mask, views, balance, None))


def reconstruction(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    views: Views,
    balance: float = 0.85,
    cutoff: float = 0.1,
) -> Float[Tensor, " b"]:
    """mean of alpha (1 - SSIM) / 2 + (1 - alpha) Huber(I - I') over pixels and sources: the review's Eq. 12.

    The review lacks alpha before the first term, and gives neither it nor the Huber cutoff.

    Args:
        predicted, true, mask, views: as for :func:`photometric`.
        balance: alpha in [0, 1].
        cutoff: of the Huber loss, in values of the pictures.

    Raises:
        ValueError: a balance outside [0, 1], or a cutoff that is not positive.
    """
    return _mean_over_sources(_errors(predicted, true, mask, views, balance, cutoff))


def prior_reconstruction(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    views: Views,
    balance: float = 0.85,
    cutoff: float = 0.1,
    smoothness: float = 1e-3,
) -> Float[Tensor, " b"]:
    """mean of each pixel's least :func:`reconstruction` error over the sources + nu second-order smoothness: the review's Eq. 13
    with mu = 1.

    The least error passes over sources in which the point is hidden. The review gives neither mu nor nu; the polarimetric geometry
    that its text speaks of is not in the equation.

    Args:
        predicted, true, mask, views, balance, cutoff: as for :func:`reconstruction`.
        smoothness: nu.

    Raises:
        ValueError: as :func:`reconstruction`.
    """
    errors = _errors(predicted, true, mask, views, balance, cutoff)
    # Larger than any error of pictures in [0, 1], and finite, so that no infinity meets a zero gradient.
    least = torch.stack([torch.where(seen, error, torch.full_like(error, 1e3)) for error, seen in errors]).amin(dim=0)
    anywhere = torch.stack([seen for _, seen in errors]).any(dim=0)
    bends = second_order_smoothness(predicted, true, mask, image=views.image)
    return picture_means(least, anywhere) + smoothness * bends


def _errors(
    predicted: Tensor, true: Tensor, mask: Tensor, views: Views, balance: float, cutoff: float | None
) -> list[tuple[Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]]:
    """Of each source: each pixel's error, and where it counts."""
    if not 0.0 <= balance <= 1.0:
        raise ValueError(f"the balance of a photometric loss lies in [0, 1], got {balance}")
    masked_pair(predicted, true, mask)
    depth_mm = predicted.masked_fill(~mask, 1.0)
    found = []
    for source, camera in zip(views.sources, views.source_cameras, strict=True):
        made, inside = reconstructed(depth_mm, views.camera, source, camera)
        seen = mask & inside
        pictures = [picture.masked_fill(~seen, 0.0) for picture in (views.image, made)]
        gap = pictures[0] - pictures[1]
        size = gap.abs() if cutoff is None else huber_of(gap, cutoff)
        unlike = 0.5 * (1.0 - ssim_map(pictures[0], pictures[1], seen, 1.0))
        found.append((((1.0 - balance) * size + balance * unlike).mean(dim=1, keepdim=True), seen))
    return found


def _mean_over_sources(errors: list[tuple[Tensor, Tensor]]) -> Float[Tensor, " b"]:
    return torch.stack([picture_means(error, seen) for error, seen in errors]).mean(dim=0)
