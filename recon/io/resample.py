"""Resampling of uint8 pictures by affine maps, antialiased where the picture shrinks.

Coordinates are pixels, x right, y down, origin at the top-left corner of the picture, centres at +0.5.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_MARGIN_PX = 4
"""Pixels kept around the region that is resampled, so that filters see their neighbours."""


def resample(
    image: UInt8[np.ndarray, "h w 3"],
    to_image: Float[np.ndarray, "3 3"],
    size: tuple[int, int],
    fill: tuple[int, int, int] = (0, 0, 0),
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The picture seen through an affine map.

    Where the map shrinks the picture, the part needed is first reduced to the scale of the result with a filter as wide
    as a result pixel (Pillow's antialiased bicubic), so no detail aliases; then one bicubic step turns and places it.

    Args:
        image: ``(H, W, 3)`` RGB, 0..255.
        to_image: maps result pixels to pixels of ``image``; the last row is (0, 0, 1).
        size: (H, W) of the result.
        fill: RGB of what lies outside the picture.

    Raises:
        ValueError: the map is singular or the size is not positive.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"the size of a resampled picture must be positive, got {height} x {width}")
    linear = np.asarray(to_image, dtype=np.float64)[:2, :2]
    shrink = float(np.sqrt(abs(np.linalg.det(linear))))
    if not np.isfinite(to_image).all() or shrink < 1e-9:
        raise ValueError(f"the map to the picture is singular or not finite: {np.asarray(to_image).tolist()}")
    box = _region((image.shape[0], image.shape[1]), to_image, size, _MARGIN_PX * max(shrink, 1.0))
    if box is None:
        return np.full((height, width, 3), fill, dtype=np.uint8)
    left, top, right, bottom = box
    part = Image.fromarray(image[top:bottom, left:right])
    from_part = np.eye(3)
    from_part[:2, 2] = left, top
    if shrink > 1.0:
        reduced = (max(1, round(part.width / shrink)), max(1, round(part.height / shrink)))
        from_part[0, 0], from_part[1, 1] = part.width / reduced[0], part.height / reduced[1]
        part = part.resize(reduced, Image.Resampling.BICUBIC)
    to_part = np.linalg.inv(from_part) @ to_image
    # Pillow's affine map takes pixel centres at +0.5, as we do.
    result = part.transform(
        (width, height),
        Image.Transform.AFFINE,
        tuple(to_part[:2].ravel()),
        resample=Image.Resampling.BICUBIC,
        fillcolor=fill,
    )
    return np.asarray(result)


def _region(
    image_size: tuple[int, int], to_image: np.ndarray, size: tuple[int, int], margin_px: float
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the part of the picture that the result can see; None if it sees nothing."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], dtype=np.float64)
    seen = (corners @ np.asarray(to_image, dtype=np.float64).T)[:, :2]
    lowest = np.maximum(np.floor(seen.min(axis=0) - margin_px), 0).astype(int)
    highest = np.minimum(np.ceil(seen.max(axis=0) + margin_px), (image_size[1], image_size[0])).astype(int)
    if (highest <= lowest).any():
        return None
    return int(lowest[0]), int(lowest[1]), int(highest[0]), int(highest[1])
