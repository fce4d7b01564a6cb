"""Labels that were read by another angle convention than they were written by, noticed by what a method finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from recon.datasets.pose_conventions import readings
from recon.evaluation.metrics.pose import geodesic_deg

_TURNED_DEG = 15.0
"""Heads that are turned so far tell conventions apart."""
_FEW = 5
_MIXED_UP_DEG = 10.0


def mixed_up_convention(
    angles_deg: Sequence[Float[np.ndarray, " 3"]],
    found: Sequence[Float[np.ndarray, "3 3"]],
    convention: str,
    remedy: str,
) -> str:
    """A warning if labels, read by another convention, agree far better with what was found; otherwise nothing.

    Nothing is said of fewer than five turned heads, of labels that lie within 10 degrees (median) of what was found, and where the best
    other reading is not at least twice as near.

    Args:
        angles_deg: the yaw, pitch and roll that the labels have.
        found: ``(3, 3)`` rotations of the same heads by a method.
        convention: that the labels were read by, one of :data:`recon.datasets.pose_conventions.CONVENTIONS`.
        remedy: what the reader can do: the end of the warning.
    """
    apart: dict[str, list[float]] = {}
    turned = 0
    for angles, rotation in zip(angles_deg, found, strict=True):
        if np.abs(angles).max() > _TURNED_DEG:
            turned += 1
            for name, reading in readings(angles).items():
                apart.setdefault(name, []).append(geodesic_deg(reading, rotation))
    if turned < _FEW:
        return ""
    medians = {name: float(np.median(values)) for name, values in apart.items()}
    best = min(medians, key=lambda name: medians[name])
    if medians[convention] < _MIXED_UP_DEG or medians[best] > 0.5 * medians[convention]:
        return ""
    return (
        f"The labels seem to follow another angle convention than {convention}: of {turned} turned heads they lie "
        f"{medians[convention]:.1f} degrees (median) from what was found, and read as {best!r} {medians[best]:.1f} degrees. {remedy}"
    )
