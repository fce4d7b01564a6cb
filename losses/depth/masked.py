"""What all depth losses share: maps that count only where a mask says so, and one value a picture.

Off the mask a map may hold anything, nan too: it is replaced before any arithmetic, so neither value nor gradient sees it. Filters
take what lies in the mask of each window, and derivatives only windows that lie in it as a whole.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_SMALLEST_RATIO = 1e-3


def masked_pair(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    fill: float = 0.0,
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Both maps with ``fill`` off the mask.

    Raises:
        ValueError: maps and mask that are not all ``(B, 1, H, W)`` of one size, or a mask that is not boolean.
    """
    if not (predicted.shape == true.shape == mask.shape and predicted.ndim == 4 and predicted.shape[1] == 1):
        raise ValueError(
            "depth losses take predicted and true depth and a mask of one size (B, 1, H, W), got "
            f"{tuple(predicted.shape)}, {tuple(true.shape)} and {tuple(mask.shape)}"
        )
    if mask.dtype != torch.bool:
        raise ValueError(
            f"the mask of a depth loss is boolean, got {mask.dtype}; compare weights with a threshold first"
        )
    return predicted.masked_fill(~mask, fill), true.masked_fill(~mask, fill)


def picture_means(values: Float[Tensor, "b c h w"], mask: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
    """Mean of each picture over its mask (and all channels); 0 for an empty mask."""
    kept = values.masked_fill(~mask, 0.0).mean(dim=1)
    return kept.sum(dim=(1, 2)) / mask.sum(dim=(1, 2, 3)).clamp_min(1)


def as_map(per_picture: Float[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
    """One value a picture in a form that broadcasts against maps."""
    return per_picture[:, None, None, None]


def log_error(
    predicted: Float[Tensor, "b 1 h w"], true: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """ln(true) - ln(predicted) on the mask, 0 off it.

    Below a thousandth of the truth the logarithm goes on as its tangent: a depth that is not positive has a finite error, and
    a gradient that leads back.
    """
    predicted, true = masked_pair(predicted, true, mask, fill=1.0)
    ratio = predicted / true
    logarithm = torch.log(ratio.clamp_min(_SMALLEST_RATIO))
    return -(logarithm + (ratio - _SMALLEST_RATIO).clamp_max(0.0) / _SMALLEST_RATIO)


def differences(
    maps: Float[Tensor, "b c h w"], mask: Bool[Tensor, "b 1 h w"], axis: int
) -> tuple[Float[Tensor, "b c _h _w"], Bool[Tensor, "b 1 _h _w"]]:
    """Next less this pixel along an axis (2 down, 3 across), and where both lie in the mask."""
    size = maps.shape[axis]
    step = torch.diff(maps, dim=axis)
    both = mask.narrow(axis, 0, max(size - 1, 0)) & mask.narrow(axis, min(1, size), max(size - 1, 0))
    return step, both


def sobel(
    maps: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 1 _h _w"], Float[Tensor, "b 1 _h _w"], Bool[Tensor, "b 1 _h _w"]]:
    """Derivatives across and down by the Sobel filter, and where all nine pixels of the filter lie in the mask.

    The filter is divided by 8: a ramp that rises by s a pixel has the derivative s. Only whole windows, so ``(H - 2, W - 2)``; a
    map that is smaller than a window has none.
    """
    down = maps[:, :, :-2] + 2.0 * maps[:, :, 1:-1] + maps[:, :, 2:]
    across = maps[..., :-2] + 2.0 * maps[..., 1:-1] + maps[..., 2:]
    rows = mask[:, :, :-2] & mask[:, :, 1:-1] & mask[:, :, 2:]
    whole = rows[..., :-2] & rows[..., 1:-1] & rows[..., 2:]
    return (down[..., 2:] - down[..., :-2]) / 8.0, (across[:, :, 2:] - across[:, :, :-2]) / 8.0, whole


def windowed_mean(
    maps: Float[Tensor, "b c h w"], mask: Bool[Tensor, "b 1 h w"], window: Float[Tensor, " k"]
) -> Float[Tensor, "b c h w"]:
    """Weighted mean around each pixel over what lies in the mask and in the picture; 0 where that is nothing.

    Args:
        maps: zero off the mask.
        mask: what counts.
        window: weights across and down, of odd length: the window is their outer product.
    """
    weights = mask.to(maps.dtype)
    return _blurred(maps, window) / _blurred(weights, window).clamp_min(1e-12)


def _blurred(maps: Float[Tensor, "b c h w"], window: Float[Tensor, " k"]) -> Float[Tensor, "b c h w"]:
    n_channels, reach = maps.shape[1], len(window) // 2
    kernel = window.to(maps).repeat(n_channels, 1, 1, 1)
    across = torch.nn.functional.conv2d(maps, kernel, padding=(0, reach), groups=n_channels)
    return torch.nn.functional.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=n_channels)
