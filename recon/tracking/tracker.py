"""From a video to heads: see, tell people apart, know each by key frames, fit frames, smooth."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from threadpoolctl import threadpool_limits

import bfm
from bfm.model import MorphableModel
from recon.detection.face import NoFaceError
from recon.detector_names import OPEN
from recon.inference.landmark_observation import packaged_error_model
from recon.io.image import Photo
from recon.io.video import BrokenVideoError, Frame, Video, frames_at
from recon.tracking.estimate_file import EstimateFile
from recon.tracking.estimate_variances import estimate_variances
from recon.tracking.follow import FaceFollower
from recon.tracking.frames_side_by_side import one_torch_thread, side_by_side
from recon.tracking.head_track import HeadTrack
from recon.tracking.identify import PersonFitter
from recon.tracking.key_frames import key_frames
from recon.tracking.known_person import FittedFrame, FrameFitter, KnownPerson, model_of_person
from recon.tracking.light import FrameLight, smoothed_light
from recon.tracking.motion import FrameEstimate, MotionVariances
from recon.tracking.people import people_of
from recon.tracking.seen import SeenFile, observation, without_points
from recon.tracking.smoother import Belief, filtered, smoothed

QUALITIES = ("fast", "default")
_KEY_FRAMES = {"fast": 5, "default": 8}
_TEXTURE_FRAMES = {"fast": 8, "default": 16}
_LONGEST_GAP_S = 0.5
"""Over which a head is not followed: what it did meanwhile is not known."""
_LEAST_SHARE = 0.05
"""Of the frames that anybody is seen in, that a person must be in to count beside the main one."""
_MOST_ERROR = 0.06
"""Mean distance of a head's points from the detected ones, in sizes of the face, above which they are not one face."""
Progress = Callable[[str, int, int | None], None]
"""Told what is done, how many frames of it, and of how many."""


class Tracker:
    """Finds the heads of a video: one shape, albedo and focal length a person, pose, expression and light a frame.

    Args:
        model: a face model's name, see ``recon models``, or a model, with the landmark set ``"478"`` and ARKit's expressions.
        quality: ``"fast"`` or ``"default"``, which looks at more and larger key frames.
        people: ``"main"``, who fills most of the video, or ``"all"``.
        causal: a frame's pose, expression and light know nothing of later frames; who it is, and how lively, comes from all.
        focal_px: of the videos' camera, in pixels of their frames, if it is known: poses and distances are the better for it.

    Raises:
        ValueError: an unknown quality, a focal length that is none, or a model without the landmarks.
        CheckpointError: no networks come with the package for the model.
    """

    def __init__(
        self,
        model: str | MorphableModel = "open",
        quality: str = "default",
        people: Literal["main", "all"] = "main",
        *,
        causal: bool = False,
        focal_px: float | None = None,
    ) -> None:
        if quality not in QUALITIES:
            raise ValueError(f"quality of tracking must be one of {', '.join(QUALITIES)}, got {quality!r}")
        if people not in ("main", "all"):
            raise ValueError(f"people must be main or all, got {people!r}")
        if focal_px is not None and not 0.0 < focal_px < float("inf"):
            raise ValueError(f"a focal length is a positive number of pixels, got {focal_px}")
        loaded = bfm.load(model) if isinstance(model, str) else model
        self.model = loaded.to("cpu")
        if "478" not in self.model.landmark_sets:
            raise ValueError(f"model {self.model.name!r} has no '478' landmark set, which tracking needs")
        self.quality, self.people, self.causal, self.focal_px = quality, people, causal, focal_px
        self._n_threads = 1
        self._follower = FaceFollower(self.model)
        self._person_fitter = PersonFitter(self.model, quality)
        errors = packaged_error_model(OPEN, "478")
        assert errors is not None, "comes with the package"
        self._errors = errors

    def __call__(self, video: Video, work: Path | None = None, progress: Progress = lambda *_: None) -> list[HeadTrack]:
        """The heads of a video, the main person first.

        Args:
            video: to be read up to three times.
            work: folder for what is done so far, from which a run that was killed goes on with the same numbers; it must belong to
                this video and these settings. ``None`` takes a temporary one.
            progress: is told how far it is.

        Raises:
            NoFaceError: nobody is in the video for long enough.
            VideoError: the video cannot be read from its beginning. One that breaks off is tracked up to there; a note says so.
        """
        with contextlib.ExitStack() as stack:
            # Matrices of a filter are so small that threads of BLAS only wait for each other, ten times as long as the work takes.
            stack.enter_context(threadpool_limits(1, "blas"))
            self._n_threads = stack.enter_context(one_torch_thread())
            folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recon-track-")))
            seen, notes = self._see(video, folder, progress)
            people = self._people(video, seen)
            tracks = []
            for number, positions in enumerate(people):
                place = folder / f"person{number + 1}"
                place.mkdir(exist_ok=True)
                tracks.append(self._track(video, seen, positions, place, notes, progress))
            return tracks

    def _see(self, video: Video, folder: Path, progress: Progress) -> tuple[SeenFile, tuple[str, ...]]:
        """Follow faces through all frames that are not on disk yet."""
        seen = SeenFile(folder / "seen", self._follower.face_dtype)
        before = seen[len(seen) - 1] if len(seen) else None
        done = len(seen)
        frames, notes = _sound_frames(video)
        for position, frame in enumerate(frames):
            if position < done:
                continue
            before = self._follower(frame, before, position)
            seen.append(before)
            progress("faces", position + 1, video.n_frames)
        return seen, tuple(notes)

    def _people(self, video: Video, seen: SeenFile) -> list[Int[np.ndarray, " n"]]:
        people = people_of(seen.faces)
        if not people:
            raise NoFaceError(f"nobody's face was found in {video.source} ({len(seen)} frames)")
        if self.people == "main":
            return people[:1]
        least = _LEAST_SHARE * len(np.unique(seen.faces["frame"]))
        return [own for k, own in enumerate(people) if k == 0 or len(own) >= least]

    def _track(
        self,
        video: Video,
        seen: SeenFile,
        positions: Int[np.ndarray, " n"],
        folder: Path,
        notes: tuple[str, ...],
        progress: Progress,
    ) -> HeadTrack:
        own = without_points(seen.faces, positions)
        chosen = key_frames(own, _KEY_FRAMES[self.quality])
        person = self._know(video, own[chosen], folder / "person.npz", progress)
        model = model_of_person(self.model, person)
        estimates, fits = self._fit(seen, positions, model, person, folder, progress)
        fitted = own["frame"][fits]
        stretches = _stretches(seen.frames["time_s"], seen.frames["cut"], fitted)
        pieces = [estimates[first:last] for first, last in stretches]
        progress("motion", 0, None)
        variances = estimate_variances(pieces, model.n_expression)
        track = self._empty(video, seen, own, fits, person, chosen, variances, notes)
        for (first, _), piece in zip(stretches, pieces, strict=True):
            for index, belief in self._beliefs(piece, variances):
                _put(track, int(fitted[first + index]), belief)
        self._light(video, track, model, person, folder / "light.bin", progress)
        for first, last in stretches:
            at = fitted[first:last]
            flat = track.lighting[at].reshape(len(at), -1)
            track.lighting[at] = smoothed_light(track.time_s[at], flat, self.causal).reshape(-1, 9, 3)
        return track

    def _know(self, video: Video, faces: np.ndarray, path: Path, progress: Progress) -> KnownPerson:
        """The person of key frames, from disk if it is there."""
        if path.is_file():
            with np.load(path) as kept:
                return KnownPerson(
                    torch.from_numpy(kept["identity"]),
                    torch.from_numpy(kept["albedo"]),
                    float(kept["focal_px"]),
                    (float(kept["principal_px"][0]), float(kept["principal_px"][1])),
                )
        progress("person", 0, None)
        pictures = dict(frames_at(video, faces["frame"].tolist()))
        photos, marked = [], []
        for record in faces:
            pixels = pictures[int(record["frame"])]
            face = self._follower.face_at(pixels, record)
            if face is not None:
                photos.append(Photo(pixels, source=video.source.name))
                marked.append(face)
        if not photos:
            raise NoFaceError(f"the faces of {video.source} are too unsure to know a person by")
        person = self._person_fitter(photos, marked, self.focal_px)
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            identity=person.identity.numpy(),
            albedo=person.albedo.numpy(),
            focal_px=person.focal_px,
            principal_px=np.array(person.principal_px),
        )
        part.replace(path)
        return person

    def _fit(
        self,
        seen: SeenFile,
        positions: Int[np.ndarray, " n"],
        model: MorphableModel,
        person: KnownPerson,
        folder: Path,
        progress: Progress,
    ) -> tuple[EstimateFile, np.ndarray]:
        """Estimates of the person's frames, and which of the faces fit the person's head."""
        estimates = EstimateFile(folder / "estimates.bin", model.n_expression)
        errors = np.fromfile(folder / "errors.bin") if (folder / "errors.bin").is_file() else np.zeros(0)
        done = min(len(errors), len(positions))
        errors = errors[:done]
        estimates.keep(int((errors <= _MOST_ERROR).sum()))
        fitter = FrameFitter(model, person)
        progress("fit", done, len(positions))
        with open(folder / "errors.bin", "wb") as file:
            file.write(errors.tobytes())
            faces, times_s = seen.faces, seen.frames["time_s"]

            def fitted(position: int) -> FittedFrame:
                face = faces[positions[position]]
                time_s = float(times_s[face["frame"]])
                return fitter(time_s, observation(face, self._errors), float(face["jaw_prior_scale"]))

            left = range(done, len(positions))
            with contextlib.closing(side_by_side(fitted, left, self._n_threads)) as results:
                for position, found in zip(left, results, strict=True):
                    if found.error <= _MOST_ERROR:
                        estimates.append(found.estimate)
                    file.write(np.float64(found.error).tobytes())
                    file.flush()
                    progress("fit", position + 1, len(positions))
        return estimates, np.fromfile(folder / "errors.bin") <= _MOST_ERROR

    def _beliefs(self, piece: Sequence[FrameEstimate], variances: MotionVariances) -> Iterator[tuple[int, Belief]]:
        if self.causal:
            yield from enumerate(filtered(piece, variances))
        else:
            yield from ((here.index, here.belief) for here in smoothed(piece, variances))

    def _empty(
        self,
        video: Video,
        seen: SeenFile,
        own: np.ndarray,
        fits: np.ndarray,
        person: KnownPerson,
        chosen: Int[np.ndarray, " k"],
        variances: MotionVariances,
        notes: tuple[str, ...],
    ) -> HeadTrack:
        """A track with the reasons for what will stay empty."""
        frames, n = seen.frames, len(seen)
        fitted = own[fits]
        of_texture = fitted[key_frames(fitted, _TEXTURE_FRAMES[self.quality])] if fitted["lifted"].any() else fitted[:1]
        reason = np.full(n, "no face was found", dtype=object)
        reason[np.unique(seen.faces["frame"])] = "this person was not found"
        reason[own["frame"]] = "the landmarks do not fit this person's head"
        reason[fitted["frame"]] = ""
        sharpness = np.full(n, np.nan)
        sharpness[fitted["frame"]] = fitted["sharpness"]

        def nothing(*shape: int) -> np.ndarray:
            return np.full((n, *shape), np.nan)

        return HeadTrack(
            source=str(video.source),
            size=video.size,
            model=self.model,
            person=person,
            key_frames=tuple(own["frame"][chosen].tolist()),
            texture_frames=tuple(of_texture["frame"].tolist()),
            index=np.array(frames["index"]),
            time_s=np.array(frames["time_s"]),
            rotation=nothing(3, 3),
            translation_mm=nothing(3),
            expression=nothing(self.model.n_expression),
            sharpness=sharpness,
            lighting=nothing(9, 3),
            sigma_rad=nothing(3),
            sigma_mm=nothing(3),
            reason=tuple(reason.tolist()),
            cuts=tuple(np.flatnonzero(frames["cut"]).tolist()),
            variances=variances,
            causal=self.causal,
            notes=notes,
        )

    def _light(
        self, video: Video, track: HeadTrack, model: MorphableModel, person: KnownPerson, path: Path, progress: Progress
    ) -> None:
        """Solve the light of all frames with a head, into the track."""
        wanted = np.flatnonzero(track.found)
        path.touch()
        kept = np.fromfile(path)
        kept = kept[: len(kept) // 27 * 27].reshape(-1, 9, 3)[: len(wanted)]
        track.lighting[wanted[: len(kept)]] = kept
        left = wanted[len(kept) :].tolist()
        if not left:
            return
        solver = FrameLight(model, person)
        progress("light", 0, len(track))

        def solved(one: tuple[int, np.ndarray]) -> np.ndarray:
            position, pixels = one
            return solver(pixels, track.rotation[position], track.translation_mm[position], track.expression[position])

        solutions = side_by_side(solved, frames_at(video, left), self._n_threads)
        with open(path, "wb") as file, contextlib.closing(solutions) as lights:
            file.write(kept.tobytes())
            for position, light in zip(left, lights, strict=True):
                track.lighting[position] = light
                file.write(light.tobytes())
                file.flush()
                progress("light", position + 1, len(track))


def _sound_frames(video: Video) -> tuple[Iterator[Frame], list[str]]:
    """The frames of a video up to where it breaks off, and notes, which are complete when the frames are at their end."""
    notes: list[str] = []

    def frames() -> Iterator[Frame]:
        try:
            yield from video
        except BrokenVideoError as error:
            if not error.frames_read:
                raise
            notes.append(str(error))

    return frames(), notes


def _stretches(times_s: np.ndarray, cut: np.ndarray, fitted: Int[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """First and last + 1 of neighbours in ``fitted`` between which a head is followed."""
    if not len(fitted):
        return []
    cuts_before = np.cumsum(cut)[fitted]
    apart = (np.diff(times_s[fitted]) > _LONGEST_GAP_S) | (np.diff(cuts_before) > 0)
    bounds = [0, *(np.flatnonzero(apart) + 1).tolist(), len(fitted)]
    return list(zip(bounds, bounds[1:], strict=False))


def _put(track: HeadTrack, position: int, belief: Belief) -> None:
    """One frame's result into a track in the making."""
    state, variance = belief.state, np.diagonal(belief.covariance)
    track.rotation[position] = state.rotation
    track.translation_mm[position] = state.values[:3]
    weights = state.values[3:]
    unit = track.model.expression_prior == "unit"
    track.expression[position] = weights.clip(0.0, 1.0) if unit else weights
    track.sigma_rad[position], track.sigma_mm[position] = np.sqrt(variance[:3]), np.sqrt(variance[3:6])
