"""One detected face, whichever detector found it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from recon.detection.dense_landmarks import DenseLandmarks

FloatArray = npt.NDArray[np.floating]

POINT_NAMES = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")
"""Order of the five points; left and right as the viewer of an upright face sees them."""


class DetectorUnavailable(RuntimeError):
    """A face detector was asked for whose package or network files are not there."""


class NoFaceError(ValueError):
    """No face was found in a photo, or none that can be used."""


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A face in a photo. All positions are pixels of the photo that was given: x right, y down, centres at +0.5.

    Attributes:
        box: ``(4,)`` x0, y0, x1, y1: the bounds of the 478 points, or else of the 68, or else the detector's box. It may reach beyond
            the photo.
        points5: ``(5, 2)`` in the order of :data:`POINT_NAMES`. Left and right are the viewer's *of the upright face*: in
            a photo that stands on its head the "left" eye is on the right.
        score: in [0, 1]: how sure the detector is that this is a face.
        detector: name of the detector.
        rotation_deg: 0, 90, 180 or 270: turning the photo clockwise by so much brings the face nearest to upright.
        landmarks478: ``(478, 3)`` MediaPipe's mesh points, or None: x, y, and z in pixels at the scale of the face;
            z grows away from the viewer and its zero is near the middle of the head.
        landmarks68: ``(68, 2)`` the usual 68 points, or None.
        dense: all points of a detector that knows their uncertainty, or None.
    """

    box: FloatArray
    points5: FloatArray
    score: float
    detector: str
    rotation_deg: int = 0
    landmarks478: FloatArray | None = None
    landmarks68: FloatArray | None = None
    dense: DenseLandmarks | None = None

    def __post_init__(self) -> None:
        for name, shape in (("box", (4,)), ("points5", (5, 2)), ("landmarks478", (478, 3)), ("landmarks68", (68, 2))):
            array = getattr(self, name)
            if array is None:
                continue
            if array.shape != shape:
                raise ValueError(f"a face's {name} must have shape {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"a face's {name} holds nan or inf")
        if not (self.box[2] > self.box[0] and self.box[3] > self.box[1]):
            raise ValueError(f"a face's box must be x0 < x1, y0 < y1, got {self.box.tolist()}")
        if self.rotation_deg not in (0, 90, 180, 270):
            raise ValueError(f"rotation_deg must be 0, 90, 180 or 270, got {self.rotation_deg}")

    @property
    def size_px(self) -> float:
        """Square root of the box's area."""
        return float(np.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1])))

    def scaled(self, factor: float) -> Face:
        """The same face in a photo resized by ``factor``."""
        return dataclasses.replace(
            self,
            box=self.box * factor,
            points5=self.points5 * factor,
            landmarks478=None if self.landmarks478 is None else self.landmarks478 * factor,
            landmarks68=None if self.landmarks68 is None else self.landmarks68 * factor,
            dense=None if self.dense is None else self.dense.scaled(factor),
        )


def roll_turn_deg(points5: Float[np.ndarray, "5 2"]) -> int:
    """The clockwise quarter turns (0, 90, 180 or 270 degrees) of the photo that bring these points nearest to upright."""
    return round(-roll_rad(points5[:2], points5[3:]) / (0.5 * np.pi)) % 4 * 90


def roll_rad(eyes: Float[np.ndarray, "2 2"], mouth: Float[np.ndarray, "m 2"]) -> float:
    """How far a face is turned clockwise in the picture, from its eyes and any points about the middle of the mouth.

    Both the line of the eyes and the way from the eyes to the mouth tell it, each in proportion to its length: in a
    profile the eyes nearly coincide, and their line says nothing.
    """
    x, y = mouth.mean(axis=0) - eyes.mean(axis=0)
    across_x, across_y = eyes[1] - eyes[0]
    return float(np.arctan2(across_y - x, across_x + y))


def distinct(faces: list[Face]) -> list[Face]:
    """One face of each group that shows the same head; the largest first.

    Boxes of two heads may overlap a lot when one stands before the other, so boxes do not decide: two finds are the
    same head when the middle of one's five points lies near the middle of the other's, or a small find lies inside a
    large face.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: (-round(f.score, 1), -f.size_px)):
        if not any(same_head(face, other) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: -f.size_px)


def same_head(a: Face, b: Face) -> bool:
    """Whether two finds in one photo show the same head, see :func:`distinct`."""
    distance = float(np.linalg.norm(a.points5.mean(axis=0) - b.points5.mean(axis=0)))
    return distance < 0.4 * max(a.size_px, b.size_px)
