"""Guides for the frames of a video, from the head that is tracked in it: small ones for an editor, and sharp ones for the frame.

An editor draws small pictures. What it adds to its guide is soft (light, what one frame of the person does not show); edges and skin are in
the guide. So the frame gets the guide at the frame's own resolution, and what the editor changed in the small one is added to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.ndimage
import torch
from jaxtyping import Float, UInt8

from recon.dubbing.clip_head import ClipHead
from recon.dubbing.face_crops import MouthCrop
from recon.dubbing.followed_face import Person
from recon.dubbing.mouth_guide import Look, MouthGuide
from recon.tracking.head_track import HeadTrack

_NEAR_MIDDLE = 0.35
"""How far from the middle of its crop a tracked mouth may be, in sides: farther, track and crop are of two people."""
_MOST_PX = 512
"""Side of the largest guide."""
_HEAD = 43
"""Of a guide's last channel: above, there is some head."""
_BESIDE, _FADE = 3, 1.5
"""How far beside the head a frame is edited, and over what that fades, in pixels of the editor's crops: what a jaw uncovers, and soft edges."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawers:
    """What draws the guides of one size, and the looks of people in it."""

    size: int
    guide: MouthGuide
    looks: dict[Person, Look]


class VideoGuides:
    """What frames of a video should look like when their person says something else.

    Args:
        track: of the head.
        crops: of frames, by number.
        size: side of the editor's crops, px.
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
        largest_px = max(
            (1.0 / float(np.linalg.norm(crop.crop_from_frame[0, :2])) for crop in crops.values()), default=0.0
        )
        sizes = (size, max(size, min(round(largest_px), _MOST_PX)))
        self._small, self._sharp = (_Drawers(px, MouthGuide(track.model, head, px), {}) for px in sizes)
        self._crops, self._weights, self._own_weights = crops, weights, track.expression
        found = track.found
        self.known = frozenset(
            number for number in crops if number < len(track) and found[number] and self._is_of_crop(number)
        )

    def _is_of_crop(self, number: int) -> bool:
        return bool(np.abs(self._small.guide.mouth_place(number) - 0.5).max() < _NEAR_MIDDLE)

    def show(self, person: Person, number: int, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        """Tell how a person looks: a known frame."""
        for drawers in (self._small, self._sharp):
            picture = self._crops[number].picture(pixels, drawers.size)
            drawers.looks[person] = drawers.guide.look(number, picture)

    def __call__(self, number: int, person: Person) -> UInt8[np.ndarray, "s s 4"]:
        """The editor's guide of a known frame, of a person who was shown."""
        return self._small.guide(number, self._small.looks[person], self._weights[number])

    def head_share(self, number: int, person: Person, guide: UInt8[np.ndarray, "s s 4"]) -> Float[np.ndarray, "s s"]:
        """``(S, S)`` 1 where the head is with the new mouth, or was with its own, and about it; 0 far from it: there the frame stays, which
        a camera or a body may have moved.

        Args:
            number: of the frame.
            person: who is in it.
            guide: of the frame.
        """
        own = self._small.guide(number, self._small.looks[person], self._own_weights[number])
        head = (guide[..., 3] > _HEAD) | (own[..., 3] > _HEAD)
        about = scipy.ndimage.binary_dilation(head, iterations=_BESIDE)
        return scipy.ndimage.gaussian_filter(about.astype(np.float64), _FADE)

    def sharpened(
        self,
        number: int,
        person: Person,
        guide: UInt8[np.ndarray, "s s 4"],
        drawn: UInt8[np.ndarray, "s s 3"],
    ) -> UInt8[np.ndarray, "l l 3"]:
        """The crop at the frame's resolution: its sharp guide, and what the editor made of the small one.

        Args:
            number: of the frame.
            person: who is in it.
            guide: the small one.
            drawn: what an editor drew to it.
        """
        if self._sharp.size == self._small.size:
            return drawn
        change = torch.from_numpy(drawn.astype(np.float32) - guide[..., :3]).permute(2, 0, 1)[None]
        enlarged = torch.nn.functional.interpolate(change, size=(self._sharp.size,) * 2, mode="bicubic")
        sharp = self._sharp.guide(number, self._sharp.looks[person], self._weights[number])[..., :3]
        made = sharp + enlarged[0].permute(1, 2, 0).numpy()
        return np.rint(made.clip(0.0, 255.0)).astype(np.uint8)
