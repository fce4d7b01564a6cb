"""Who is who: unbroken tracks of faces put together to people by the shape of their heads."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

_SAME_PERSON = 0.1
"""Difference of shapes up to which two tracks are one person's. Of drawn people it was 0.03 to 0.08 between two parts of one video and
0.43 to 2.3 between two people. Of 174 real ones, with two frames of one film a part (``benchmarks/same_person.py``), 52 % of the parts of
one person lie below it and 3 % of those of two; with press photos 65 and 37 %. Shape tells real people apart badly; to show one as two is
the smaller fault, as a head of two is nobody's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
    """What the lifting network says of the head of one or more tracks.

    Attributes:
        mean: ``(Ki,)`` of the coefficients.
        variance: ``(Ki,)`` of its error.
        weight: ``(Ki,)`` of the mean, when more is joined to it.
    """

    mean: Float[np.ndarray, " ki"]
    variance: Float[np.ndarray, " ki"]
    weight: Float[np.ndarray, " ki"]

    @classmethod
    def of(cls, identity: Float[np.ndarray, "n ki"], sigma: Float[np.ndarray, "n ki"]) -> Shape:
        """Of n looks at one head, and their standard deviations."""
        precision = sigma.astype(np.float64) ** -2.0
        weight = precision.sum(axis=0)
        # Errors in frames of one person are alike: more frames are no surer than one.
        return cls((precision * identity).sum(axis=0) / weight, len(identity) / weight, weight)

    def joined(self, other: Shape) -> Shape:
        """Of both tracks."""
        weight = self.weight + other.weight
        mean = (self.weight * self.mean + other.weight * other.mean) / weight
        share = self.weight / weight
        return Shape(mean, share * self.variance + (1.0 - share) * other.variance, weight)

    def difference(self, other: Shape) -> float:
        """Mean squared difference of coefficients over what both may err by, of those that the network tells (its standard deviation
        of the others is the prior's, 1)."""
        told = (1.0 - np.maximum(self.variance, other.variance)).clip(0.0, 1.0)
        square = (self.mean - other.mean) ** 2 / (self.variance + other.variance)
        return float((told * square).sum() / told.sum().clip(1e-6))


def people_of(faces: np.ndarray) -> list[Int[np.ndarray, " n"]]:
    """The faces of each person, as positions in ``faces`` in the order of frames; the person who fills most of the video first.

    Nobody is in one frame twice. Tracks in which the lifting network never looked are too short for a person of their own: they
    are left out.

    Args:
        faces: of :func:`recon.tracking.seen.face_dtype`, in the order of frames.
    """
    tracks: list[tuple[np.ndarray, Shape]] = []
    for number in np.unique(faces["track"]):
        positions = np.flatnonzero(faces["track"] == number)
        lifted = positions[faces["lifted"][positions]]
        if len(lifted):
            tracks.append((positions, Shape.of(faces["identity"][lifted], faces["identity_sigma"][lifted])))
    while (pair := _nearest(tracks, faces)) is not None:
        first, second = pair
        positions = np.sort(np.concatenate([tracks[first][0], tracks[second][0]]))
        tracks[first] = (positions, tracks[first][1].joined(tracks[second][1]))
        del tracks[second]
    return sorted((positions for positions, _ in tracks), key=lambda own: (-_area(faces["box"][own]), int(own[0])))


def _nearest(tracks: list[tuple[np.ndarray, Shape]], faces: np.ndarray) -> tuple[int, int] | None:
    """The two tracks that are the likeliest one person's, if any are."""
    best, found = _SAME_PERSON, None
    for second in range(len(tracks)):
        for first in range(second):
            together = np.intersect1d(faces["frame"][tracks[first][0]], faces["frame"][tracks[second][0]])
            difference = tracks[first][1].difference(tracks[second][1])
            if difference < best and not len(together):
                best, found = difference, (first, second)
    return found


def _area(boxes: Float[np.ndarray, "n 4"]) -> float:
    size = boxes[:, 2:] - boxes[:, :2]
    return float(np.prod(size, axis=1).sum())
