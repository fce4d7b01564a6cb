"""A video whose lips follow another voice: from files to a file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from recon.detection.face import NoFaceError
from recon.dubbing.clips import sound_of
from recon.dubbing.editor import FaceEditor, ShownBefore
from recon.dubbing.face_crops import LEAST_SHOWN, MouthCrop
from recon.dubbing.followed_face import FollowedFace, Person, SoundFrames, Stretch, follow_face
from recon.dubbing.mouth_guide import spoken_weights
from recon.dubbing.video_guides import VideoGuides
from recon.dubbing.voices import at_frames, heard_voice
from recon.io.audio import Recording
from recon.io.faults import reason
from recon.io.video import Video, frames_at
from recon.io.write_video import Sound, VideoWriter
from recon.tracking.tracker import Tracker

PROVENANCE = "Synthetic: the mouth in this video was drawn by facerecon to a voice; what is said was not said in front of this camera."
"""Goes into the metadata of every edited video."""
_LENGTHS_DIFFER_S = 0.1
_CRF = 14
"""What is not edited should look as it did."""


class DubError(ValueError):
    """A video and a voice of which nothing can be made, and why."""


@dataclasses.dataclass(frozen=True)
class DubReport:
    """What was done.

    Attributes:
        frames: of the video.
        edited: of these.
        notes: what a user may want to know, one sentence each.
    """

    frames: int
    edited: int
    notes: tuple[str, ...]


def dub(
    video: Video,
    sound: Recording,
    out: str | os.PathLike[str],
    editor: FaceEditor,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DubReport:
    """Write a video whose largest face speaks in another voice, with that voice.

    The video is read twice and in part a third time, more often by an editor with guides, for which the head is tracked
    (:class:`recon.tracking.tracker.Tracker`): the face is found in all frames first, as crops are smoothed over time, and of each
    person the frame in which the mouth is most at rest, which shows the editor who it is. Frames without a face, or whose mouth
    is not in the picture, stay as they are. The video keeps its length: of a longer voice the end is cut off, after a shorter one is
    silence.

    Args:
        video: to edit.
        sound: the voice.
        out: ``.mp4``.
        editor: draws the mouths.
        overwrite: replace a file.
        progress: is told the number of frames done, and of all.

    Raises:
        DubError: no face in the video, or no head that can be tracked.
        VideoError: the video cannot be read.
        OutputExistsError, OutputError, ModuleNotFoundError: see :class:`recon.io.write_video.VideoWriter`.
    """
    followed = follow_face(video)
    count = len(followed.times_s)
    if not followed.frames_seen:
        raise DubError(f"no face was found in the {count} frames of {video.source}: there is no mouth to move")
    end_s = followed.times_s[-1] + 1.0 / video.fps
    heard = heard_voice(sound_of(sound.samples, sound.rate_hz), editor.config.voice)
    voices = at_frames(heard, np.array(followed.times_s), editor.config.window)
    guides = _guides(video, followed, editor, sound) if editor.config.guide else None
    edits = _Edits(editor, followed, _persons(video, followed, editor.config.size, guides), voices, guides)
    track = Sound(_lasting(sound, end_s)[:, None].astype(np.float32), sound.rate_hz)
    with VideoWriter(out, video.fps, sound=track, comment=PROVENANCE, crf=_CRF, overwrite=overwrite) as writer:
        for number, frame in enumerate(SoundFrames(video)):
            writer.write(edits(number, frame.pixels), frame.time_s)
            if progress is not None:
                progress(number + 1, count)
    return DubReport(count, edits.edited, _notes(followed, edits, sound, end_s))


class _Edits:
    """Edits the frames of a video in their order."""

    def __init__(
        self,
        editor: FaceEditor,
        followed: FollowedFace,
        persons: dict[Person, UInt8[np.ndarray, "s s 3"]],
        voices: Float[np.ndarray, "t n bands"],
        guides: VideoGuides | None,
    ) -> None:
        self._editor, self._persons, self._voices, self._guides = editor, persons, voices, guides
        self._at: dict[int, tuple[Stretch, MouthCrop]] = {
            stretch.first + k: (stretch, crop) for stretch in followed.stretches for k, crop in enumerate(stretch.crops)
        }
        self._previous: dict[int, UInt8[np.ndarray, "s s 3"]] = {}
        """Of the stretch that begins with a frame."""
        self.edited = self.off_picture = self.unknown = 0

    def __call__(self, number: int, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The frame, edited if there is a mouth in it."""
        if number not in self._at:
            return pixels
        stretch, crop = self._at[number]
        if crop.shown_share(pixels.shape[:2]) < LEAST_SHOWN:
            self.off_picture += 1
            return pixels
        if self._guides is not None and number not in self._guides.known:
            self.unknown += 1
            return pixels
        guide = None if self._guides is None else self._guides(number, stretch.person)
        size = self._editor.config.size
        picture = crop.picture(pixels, size)
        person = self._persons[stretch.person]
        before = ShownBefore(self._previous.get(stretch.first, person), person)
        drawn = self._editor.frame(picture, crop.hidden_px(size), before, self._voices[number], guide)
        self._previous = {stretch.first: drawn}
        self.edited += 1
        if self._guides is None or guide is None:
            return crop.pasted(pixels, drawn)
        share = self._guides.head_share(number, stretch.person, guide)
        return crop.pasted(pixels, self._guides.sharpened(number, stretch.person, guide, drawn), share)


def _guides(video: Video, followed: FollowedFace, editor: FaceEditor, sound: Recording) -> VideoGuides:
    """For the frames of the video's main person."""
    try:
        track = Tracker("open", "fast")(video)[0]
    except NoFaceError as error:
        raise DubError(f"the head cannot be followed: {reason(error)}") from error
    heard = sound_of(sound.samples, sound.rate_hz)
    weights = spoken_weights(heard, np.array(followed.times_s), track.model.expression_names)
    return VideoGuides(track, followed.crops, editor.config.size, weights)


def _persons(
    video: Video, followed: FollowedFace, size: int, guides: VideoGuides | None
) -> dict[Person, UInt8[np.ndarray, "s s 3"]]:
    """The crops of ``size`` px that show who is in a video; guides are told of them."""
    wanted = followed.at_rest(video.size, None if guides is None else guides.known)
    if not wanted:
        return {}
    crops, frames = followed.crops, dict(frames_at(video, sorted(wanted.values())))
    if guides is not None:
        for person, number in wanted.items():
            guides.show(person, number, frames[number])
    return {person: crops[number].picture(frames[number], size) for person, number in wanted.items()}


def _lasting(sound: Recording, seconds: float) -> Float[np.ndarray, " n"]:
    """The samples cut, or with silence after them."""
    count = round(seconds * sound.rate_hz)
    return np.concatenate([sound.samples[:count], np.zeros(max(0, count - len(sound.samples)))])


def _notes(followed: FollowedFace, edits: _Edits, sound: Recording, end_s: float) -> tuple[str, ...]:
    notes = list(sound.notes)
    if followed.broken:
        notes.append(f"the video ends where it is damaged: {followed.broken}")
    if abs(sound.seconds - end_s) > _LENGTHS_DIFFER_S:
        done = "its end is cut off" if sound.seconds > end_s else "silence follows it"
        notes.append(f"the voice takes {sound.seconds:.2f} s and the video {end_s:.2f} s: {done}")
    faceless = len(followed.times_s) - followed.frames_seen
    for count, why in (
        (faceless, "no face was found in them"),
        (edits.off_picture, "the mouth is not in the picture"),
        (edits.unknown, "the head could not be followed in them"),
    ):
        if count:
            notes.append(f"{count} frames stay as they are: {why}")
    return tuple(notes)
