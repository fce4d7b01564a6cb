"""How a face is framed for a pose network, and where in a photo's camera it stands."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from bfm.landmarks import five_points_of_68
from recon.camera import PORTRAIT_DISTANCE_MM
from recon.detection.align import PX_PER_MM_AT_224, Alignment, align
from recon.detection.face import Face
from recon.io.image import Photo


def pose_alignment(face: Face, size: int) -> Alignment:
    """The upright crop of a face as in training: about its dense landmarks, or else about the five points.

    Args:
        face: in a photo.
        size: side of the crop, px.

    Raises:
        AlignmentError: see :func:`recon.detection.align.align`.
    """
    points5 = face.points5
    if face.dense is not None and "68" in face.dense.names:
        points5 = five_points_of_68(face.dense.subset("68").points_px[:, :2])
    return align(points5, size, remove_roll=True)


def focal_length_px(photo: Photo, alignment: Alignment) -> tuple[float, bool]:
    """Focal length of a photo, and whether its file says it; otherwise that through which the head would stand at the distance of a
    portrait, as fits take it.

    Args:
        photo: with the face.
        alignment: of the face, without margin.
    """
    if photo.focal_px is not None:
        return float(photo.focal_px), True
    px_per_mm = PX_PER_MM_AT_224 * alignment.size / 224.0 / alignment.scale
    return px_per_mm * PORTRAIT_DISTANCE_MM, False


def ray_to_head(photo: Photo, face: Face, focal_px: float) -> Float[np.ndarray, " 3"]:
    """Direction, camera frame, length 1, of the place between the eyes, where heads have their origin."""
    height, width = photo.pixels.shape[:2]
    x, y = face.points5[:2].mean(axis=0) - 0.5 * np.array([width, height])
    direction = np.array([x / focal_px, -y / focal_px, -1.0])
    return np.asarray(direction / np.linalg.norm(direction))
