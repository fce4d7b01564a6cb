"""Composites background, occluders behind the head, head, and occluders before the head, for the picture and the labels."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.render import Raster
from recon.synthesis.appearance.occluder_points import OccluderPoints
from recon.synthesis.kernels import compose as compose_kernels

OPAQUE = 0.5
"""What is more opaque than this hides what lies behind it, in the labels."""
_CONTACT_SHARE = 0.035
"""Reach of the dim rim under hair as a share of the picture's side."""
_CONTACT = 0.55


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """The occluders sorted by depth against the head.

    Attributes:
        front: ``(B, H, W, 4)`` premultiplied colour and opacity of what lies before the head.
        back: ``(B, H, W, 3)`` the background with what lies before it, but behind the head.
        segmentation: ``(B, H, W)`` what is seen.
        depth_mm: ``(B, H, W)`` of what is seen, 0 on the background.
        visible: ``(B, H, W)`` where the head is seen.
    """

    front: Float[Tensor, "b h w 4"]
    back: Float[Tensor, "b h w 3"]
    segmentation: Int[Tensor, "b h w"]
    depth_mm: Float[Tensor, "b h w"]
    visible: Bool[Tensor, "b h w"]


def sorted_layers(
    occluders: OccluderPoints,
    colour: Float[Tensor, "p 3"],
    background: Float[Tensor, "b 3 h w"],
    segmentation: Int[Tensor, "b h w"],
    depth_mm: Float[Tensor, "b h w"],
) -> Layers:
    """Which points of the occluders lie before the head, which behind. Compiled on the CPU.

    Beside the head an occluder goes where its neighbours go, so that the head's soft edge meets the right layer.

    Args:
        occluders: their visible points.
        colour: of each, as lit, 0 or more.
        background: linear light.
        segmentation, depth_mm: of the head alone, 0 off it.
    """
    if colour.device.type != "cpu":
        return sorted_layers_reference(occluders, colour, background, segmentation, depth_mm)
    appearance = occluders.appearance
    points = compose_kernels.OccluderPixels(
        occluders.raster.pixel_index, colour, appearance.opacity, appearance.position, appearance.segment
    )
    return Layers(
        *compose_kernels.sorted_layers(occluders.raster.starts, points, background, segmentation, depth_mm, OPAQUE)
    )


def sorted_layers_reference(
    occluders: OccluderPoints,
    colour: Float[Tensor, "p 3"],
    background: Float[Tensor, "b 3 h w"],
    segmentation: Int[Tensor, "b h w"],
    depth_mm: Float[Tensor, "b h w"],
) -> Layers:
    """Reference implementation of :func:`sorted_layers` in torch."""
    appearance = occluders.appearance
    opacity = appearance.opacity[:, None]
    packed = (colour * opacity, opacity, -appearance.position[:, 2:], appearance.segment[:, None].to(colour.dtype))
    maps = occluders.raster.unpack(torch.cat(packed, dim=1))
    premultiplied, cover_depth = maps[..., :4], maps[..., 4]
    covered, mask = maps[..., 3] > 0.0, depth_mm > 0.0
    over_head = covered & mask & (cover_depth < depth_mm)
    in_front = over_head | (covered & ~mask & _grown(over_head))
    front = premultiplied * in_front[..., None]
    behind = premultiplied - front
    shown = (maps[..., 3] > OPAQUE) & (in_front | ~mask)
    return Layers(
        front=front,
        back=background.permute(0, 2, 3, 1) * (1.0 - behind[..., 3:]) + behind[..., :3],
        segmentation=torch.where(shown, maps[..., 5].round().long(), segmentation),
        depth_mm=torch.where(shown, cover_depth, depth_mm),
        visible=mask & ~shown,
    )


def with_head(
    back: Float[Tensor, "b h w 3"],
    raster: Raster,
    colour: Float[Tensor, "p 3"],
    front: Tensor,
    ambient_occlusion: float,
) -> Float[Tensor, "b h w 3"]:
    """The head's points over what is behind them. Compiled on the CPU.

    Hair lies on the skin and keeps the light from its surroundings off it: points near the front layer are dimmed.

    Args:
        back: as in :class:`Layers`.
        raster: of the head.
        colour: of its points.
        front: ``(B, H, W, 4)`` as in :class:`Layers`.
        ambient_occlusion: strength of the dimming, [0, 1].
    """
    if colour.device.type != "cpu":
        return with_head_reference(back, raster, colour, front, ambient_occlusion)
    means, cell = _cell_means(front, raster.size)
    strength = _CONTACT * ambient_occlusion
    return compose_kernels.with_head(back, raster.starts, raster.pixel_index, colour, means, cell, strength)


def with_head_reference(
    back: Float[Tensor, "b h w 3"],
    raster: Raster,
    colour: Float[Tensor, "p 3"],
    front: Tensor,
    ambient_occlusion: float,
) -> Float[Tensor, "b h w 3"]:
    """Reference implementation of :func:`with_head` in torch."""
    means, cell = _cell_means(front, raster.size)
    size = (means.shape[1] * cell, means.shape[2] * cell)
    grown = torch.nn.functional.interpolate(means[:, None], size=size, mode="bilinear", align_corners=False)
    near = grown[:, 0, : raster.size[0], : raster.size[1]].reshape(-1)[raster.pixel_index]
    dimmed = colour * (1.0 - _CONTACT * ambient_occlusion * near)[:, None]
    return raster.unpack(dimmed.clamp_min(0.0), back)


def with_front(picture: Float[Tensor, "b h w 3"], front: Float[Tensor, "b h w 4"]) -> Float[Tensor, "b 3 h w"]:
    """The front layer over the rest. Compiled on the CPU."""
    if picture.device.type != "cpu":
        return with_front_reference(picture, front)
    return compose_kernels.with_front(picture, front)


def with_front_reference(
    picture: Float[Tensor, "b h w 3"], front: Float[Tensor, "b h w 4"]
) -> Float[Tensor, "b 3 h w"]:
    """Reference implementation of :func:`with_front` in torch."""
    return (picture * (1.0 - front[..., 3:]) + front[..., :3]).permute(0, 3, 1, 2)


def _grown(mask: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """The mask and the eight neighbours of each of its pixels."""
    return torch.nn.functional.max_pool2d(mask[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0.0


def _cell_means(front: Float[Tensor, "b h w 4"], size: tuple[int, int]) -> tuple[Float[Tensor, "b r c"], int]:
    """Opacity over squares of cells, smoothed, and the side of a cell in px: a coarse mean over the reach."""
    radius = max(1, round(_CONTACT_SHARE * min(size)))
    cell = max(1, round((2 * radius + 1) / 3))
    small = torch.nn.functional.avg_pool2d(front[..., 3][:, None], cell, stride=cell, ceil_mode=True)
    return torch.nn.functional.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False)[:, 0], cell
