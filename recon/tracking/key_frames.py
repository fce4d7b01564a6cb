"""Frames that tell the most of a person's shape: sharp, and different from each other in pose and expression."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_POSE_UNIT_RAD, _EXPRESSION_UNIT = np.deg2rad(15.0), 0.4
"""Differences that count the same."""
_MOST_TURN_RAD = np.deg2rad(60.0)
_WORST_SIGMA, _WORST_SHARPNESS = 1.5, 0.6
"""Of a face's points over its size, and of its sharpness, both against the median of the person's."""


def key_frames(faces: np.ndarray, most: int) -> Int[np.ndarray, " k"]:
    """Positions in ``faces`` of those to know the person by: first the one that looks into the camera, then whichever differs most from
    all before.

    Args:
        faces: one person's, of :func:`recon.tracking.seen.face_dtype`; some of them lifted.
        most: how many at most; fewer only if there are not so many that were lifted.

    Raises:
        ValueError: the lifting network looked at none.
    """
    if not faces["lifted"].any():
        raise ValueError("no face of this person was looked at by the lifting network")
    candidates = _good(faces, np.flatnonzero(faces["lifted"]))
    features = _features(faces[candidates])
    turn = np.linalg.norm(faces["rotvec"][candidates], axis=1)
    chosen = [int(np.argmin(turn))]
    distance = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < min(most, len(candidates)):
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return candidates[chosen]


def _good(faces: np.ndarray, candidates: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Those that are sharp, whose points are sure, and that do not look away; all if there are none."""
    own = faces[candidates]
    size = np.sqrt(np.prod(own["box"][:, 2:] - own["box"][:, :2], axis=1))
    sigma = own["mean_sigma"] / size
    good = sigma <= _WORST_SIGMA * np.median(sigma)
    good &= own["sharpness"] >= _WORST_SHARPNESS * np.median(own["sharpness"])
    good &= np.linalg.norm(own["rotvec"], axis=1) <= _MOST_TURN_RAD
    return candidates[good] if good.any() else candidates


def _features(faces: np.ndarray) -> Float[np.ndarray, "n f"]:
    return np.concatenate([faces["rotvec"] / _POSE_UNIT_RAD, faces["expression"] / _EXPRESSION_UNIT], axis=1)
