"""Landmarks drawn on their photo: seen and hidden points in two colours, and how sure the 68 are."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from recon.detection.landmark_sets import FaceLandmarks, LandmarkSet

MAX_SIDE_PX = 1600
SEEN_RGB, HIDDEN_RGB = (60, 230, 90), (255, 80, 60)
_USUAL = "68"
_RADIUS_OF_FACE = 0.004
"""Radius of a dense point / side of the face's box, as drawn; those of the 68 are twice as large."""
_RADIUS_PX = (0.6, 3.0)
_FINER = 2
"""Points are drawn on a larger picture, which is then reduced: pixels without points stay as they are."""


def landmark_overlay(photo: UInt8[np.ndarray, "h w 3"], landmarks: FaceLandmarks) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photo, reduced to at most :data:`MAX_SIDE_PX`, with the points of all sets.

    Points that are seen are green, hidden ones red; around each of the 68 stands a circle of one standard deviation, if the
    detector tells it.

    Args:
        photo: ``(H, W, 3)`` sRGB, of the size that the landmarks name.
        landmarks: of one face in it.

    Raises:
        ValueError: the photo has another size.
    """
    height, width = photo.shape[:2]
    if (width, height) != landmarks.photo_size:
        raise ValueError(f"the landmarks lie in a photo of {landmarks.photo_size} px, this one has {(width, height)}")
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    small = Image.fromarray(photo)
    if scale < 1.0:
        size = (max(1, round(scale * width)), max(1, round(scale * height)))
        small = small.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    picture = small.resize((_FINER * small.width, _FINER * small.height), Image.Resampling.NEAREST)
    per_px = np.array(picture.size) / (width, height)
    side_px = float(np.sqrt(np.prod((landmarks.box[2:] - landmarks.box[:2]) * per_px)))
    radius = min(max(_RADIUS_OF_FACE * side_px, _FINER * _RADIUS_PX[0]), _FINER * _RADIUS_PX[1])
    draw = ImageDraw.Draw(picture)
    # The 68 last: they are among the others.
    for name in sorted(landmarks.sets, key=lambda name: name == _USUAL):
        usual = name == _USUAL
        _draw(draw, landmarks.sets[name], per_px, 2.0 * radius if usual else radius, with_sigma=usual)
    return np.asarray(picture.reduce(_FINER))


def _draw(
    draw: ImageDraw.ImageDraw, points: LandmarkSet, per_px: np.ndarray, radius: float, *, with_sigma: bool
) -> None:
    places = points.xy_px * per_px - 0.5  # Pillow's centres lie at whole numbers
    colours = [SEEN_RGB if seen else HIDDEN_RGB for seen in points.seen]
    if with_sigma and points.sigma_px is not None:
        for (x, y), sigma, colour in zip(places, points.sigma_px * per_px.mean(), colours, strict=True):
            draw.ellipse((x - sigma, y - sigma, x + sigma, y + sigma), outline=colour, width=_FINER)
    for (x, y), colour in zip(places, colours, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
