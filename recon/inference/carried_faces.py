"""A face of the frame before, found again in this one: which finds may be it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from recon.detection.face import Face, same_head

MOST_SHIFT, MOST_GROWTH = 0.5, 1.4
"""Distance from where a face should be, in sizes of the face, and ratio of sizes of neighbouring frames, beyond which what was found is
another face or none."""
Track = TypeVar("Track")


def may_be_the_same(shift: float, size_px: float, size_before_px: float, most_growth: float = MOST_GROWTH) -> bool:
    """Whether a find is where a face should be, and of its size.

    Args:
        shift: distance from where it should be, in sizes of the face before.
        size_px, size_before_px: of the face now and before.
        most_growth: ratio of the two, or of the two the other way round.
    """
    return shift < MOST_SHIFT and similar_size(size_px, size_before_px, most_growth)


def similar_size(first_px: float, second_px: float, most_growth: float) -> bool:
    """Whether two sizes differ by no more than a factor."""
    return 1.0 / most_growth < first_px / second_px < most_growth


def one_a_head(found: Iterable[tuple[float, Track, Face]]) -> list[tuple[Track, Face]]:
    """Tracks and their faces, the one that moved less first. Of two that came to lie on one head neither is sure, and only the one that
    moved less is kept.

    Args:
        found: how far each moved, the track and the face; of equal ones the first counts as nearer.
    """
    kept: list[tuple[Track, Face]] = []
    for _, track, face in sorted(found, key=lambda one: one[0]):
        if not any(same_head(face, other) for _, other in kept):
            kept.append((track, face))
    return kept
