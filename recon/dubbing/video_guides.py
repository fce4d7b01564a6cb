"""Guides for the frames of a video, from the head that is tracked in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from recon.dubbing.clip_head import ClipHead
from recon.dubbing.face_crops import MouthCrop
from recon.dubbing.followed_face import Person
from recon.dubbing.mouth_guide import Look, MouthGuide
from recon.tracking.head_track import HeadTrack

_NEAR_MIDDLE = 0.35
"""How far from the middle of its crop a tracked mouth may be, in sides: farther, track and crop are of two people."""


class VideoGuides:
    """What frames of a video should look like when their person says something else.

    Args:
        track: of the head.
        crops: of frames, by number.
        size: side of the crops, px.
        weights: ``(T, Ke)`` of the voice for all frames.

    Attributes:
        known: numbers of the frames with a guide: the tracked head is that of the crop.

    Raises:
        ValueError: see :class:`recon.dubbing.mouth_guide.MouthGuide`.
    """

    def __init__(
        self, track: HeadTrack, crops: Mapping[int, MouthCrop], size: int, weights: Float[np.ndarray, "t ke"]
    ) -> None:
        crop_from_frame = np.tile(np.eye(3), (len(track), 1, 1))
        for number, crop in crops.items():
            if number < len(track):
                crop_from_frame[number] = crop.crop_from_frame
        person = track.person
        head = ClipHead(
            person.identity[0].double().cpu().numpy(),
            person.focal_px,
            np.array(person.principal_px),
            track.rotation,
            track.translation_mm,
            track.expression,
            crop_from_frame,
        )
        self._guide = MouthGuide(track.model, head, size)
        self._weights = weights
        self._looks: dict[Person, Look] = {}
        found = track.found
        self.known = frozenset(
            number for number in crops if number < len(track) and found[number] and self._is_of_crop(number)
        )

    def _is_of_crop(self, number: int) -> bool:
        return bool(np.abs(self._guide.mouth_place(number) - 0.5).max() < _NEAR_MIDDLE)

    def show(self, person: Person, number: int, picture: UInt8[np.ndarray, "s s 3"]) -> None:
        """Tell how a person looks: the crop of a known frame."""
        self._looks[person] = self._guide.look(number, picture)

    def __call__(self, number: int, person: Person) -> UInt8[np.ndarray, "s s 4"]:
        """The guide of a known frame, of a person who was shown."""
        return self._guide(number, self._looks[person], self._weights[number])
