"""A head's axes drawn on its photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from recon.face_pose import FacePose

MAX_SIDE_PX = 1600
X_RGB, Y_RGB, Z_RGB = (235, 64, 52), (60, 190, 80), (50, 110, 240)
"""The head's axes: to the viewer's right of a frontal head, up, and where the face looks."""
_LENGTH = 0.75
"""Of an axis that lies in the picture / side of the face's box."""
_FINER = 2


def pose_axes(photo: UInt8[np.ndarray, "h w 3"], poses: Sequence[FacePose]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photo, reduced to at most :data:`MAX_SIDE_PX`, with the axes of heads and their angles against the ray.

    Args:
        photo: ``(H, W, 3)`` sRGB.
        poses: of faces in it.
    """
    height, width = photo.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    picture = small.resize((_FINER * size[0], _FINER * size[1]), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    for pose in poses:
        _draw(draw, pose, _FINER * scale, picture.size)
    return np.asarray(picture.reduce(_FINER))


def axis_ends_px(pose: FacePose) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, "3 2"]]:
    """Where a head's axes begin in its photo, between the eyes, and where those of x, y and z end, px."""
    begin = pose.face.points5[:2].mean(axis=0)
    # As seen along the ray: of a head far beside the axis, perspective shears what a camera shows only a little.
    seen = pose.rotation_ray[:2].T * np.array([1.0, -1.0])
    return begin, begin + _LENGTH * pose.face.size_px * seen


def _draw(draw: ImageDraw.ImageDraw, pose: FacePose, scale: float, size: tuple[int, int]) -> None:
    begin, ends = axis_ends_px(pose)
    side = scale * pose.face.size_px
    thick = max(2, round(0.02 * side))
    start = scale * begin - 0.5
    # What points away from the viewer comes first.
    for axis in np.argsort(pose.rotation_ray[2]):
        end, colour = scale * ends[axis] - 0.5, (X_RGB, Y_RGB, Z_RGB)[axis]
        draw.line([*start.tolist(), *end.tolist()], fill=colour, width=thick)
        draw.polygon(_head(start, end, 0.07 * side), fill=colour)
    angles = pose.pose_ray
    yaw, pitch, roll = (round(angle) for angle in (angles.yaw, angles.pitch, angles.roll))  # whole, so without -0
    text = f"yaw {yaw:+d}  pitch {pitch:+d}  roll {roll:+d}"
    if pose.sigma_deg is not None:
        text += f"  +- {float(np.linalg.norm(pose.sigma_deg)):.1f}"
    font = ImageFont.load_default(size=max(14, min(48, round(0.1 * side))))
    x, y = scale * pose.face.box[[0, 3]] + np.array([0.0, 0.03 * side])
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = float(np.clip(x, 0.0, max(0.0, size[0] - (right - left) - 4)))
    y = float(np.clip(y, 0.0, max(0.0, size[1] - (bottom - top) - 8)))
    draw.rectangle((x, y, x + right - left + 4, y + bottom + 4), fill=(0, 0, 0))
    draw.text((x + 2, y + 1), text, fill=(255, 255, 255), font=font)


def _head(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"], side_px: float) -> list[tuple[float, float]]:
    """The triangle at the end of an arrow; small where the arrow points at the viewer."""
    along = end - start
    length = float(np.linalg.norm(along))
    along = along / length if length > 1e-6 else np.array([0.0, -1.0])
    across = np.array([-along[1], along[0]])
    reach = min(side_px, max(length, 1.0))
    corners = (end + reach * along, end + 0.5 * side_px * across, end - 0.5 * side_px * across)
    return [(float(x), float(y)) for x, y in corners]
