"""Who is who: unbroken tracks of faces put together to people by how they look to the identity network."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

_SAME_PERSON = 0.7
"""Cosine from which on two tracks are one person's. Of 174 real people with two frames of one film a part, by which it was chosen
(``benchmarks/same_person.py``), 67 % of the parts of one person lie above it and 2 % of those of two; of press photos of 157, 64 and 6 %.
To show one as two is the smaller fault, as a head of two is nobody's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Appearance:
    """What the identity network says of one or more tracks.

    Attributes:
        total: ``(D,)`` sum of the unit vectors of all looks.
    """

    total: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, embeddings: Float[np.ndarray, "n d"]) -> Appearance:
        """Of n looks at one face."""
        return cls(embeddings.astype(np.float64).sum(axis=0))

    def joined(self, other: Appearance) -> Appearance:
        """Of both tracks."""
        return Appearance(self.total + other.total)

    def likeness(self, other: Appearance) -> float:
        """Cosine of both, 1 for the same."""
        lengths = float(np.linalg.norm(self.total) * np.linalg.norm(other.total))
        return float(self.total @ other.total) / max(lengths, 1e-12)


def people_of(faces: np.ndarray) -> list[Int[np.ndarray, " n"]]:
    """The faces of each person, as positions in ``faces`` in the order of frames; the person who fills most of the video first.

    Nobody is in one frame twice. Tracks at which the networks never looked are too short for a person of their own: they
    are left out.

    Args:
        faces: of :func:`recon.tracking.seen.face_dtype`, in the order of frames.
    """
    tracks: list[tuple[np.ndarray, Appearance]] = []
    for number in np.unique(faces["track"]):
        positions = np.flatnonzero(faces["track"] == number)
        lifted = positions[faces["lifted"][positions]]
        if len(lifted):
            tracks.append((positions, Appearance.of(faces["embedding"][lifted])))
    while (pair := _nearest(tracks, faces)) is not None:
        first, second = pair
        positions = np.sort(np.concatenate([tracks[first][0], tracks[second][0]]))
        tracks[first] = (positions, tracks[first][1].joined(tracks[second][1]))
        del tracks[second]
    return sorted((positions for positions, _ in tracks), key=lambda own: (-_area(faces["box"][own]), int(own[0])))


def _nearest(tracks: list[tuple[np.ndarray, Appearance]], faces: np.ndarray) -> tuple[int, int] | None:
    """The two tracks that are the likeliest one person's, if any are."""
    best, found = _SAME_PERSON, None
    for second in range(len(tracks)):
        for first in range(second):
            together = np.intersect1d(faces["frame"][tracks[first][0]], faces["frame"][tracks[second][0]])
            likeness = tracks[first][1].likeness(tracks[second][1])
            if likeness > best and not len(together):
                best, found = likeness, (first, second)
    return found


def _area(boxes: Float[np.ndarray, "n 4"]) -> float:
    size = boxes[:, 2:] - boxes[:, :2]
    return float(np.prod(size, axis=1).sum())
