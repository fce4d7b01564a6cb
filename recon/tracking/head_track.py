"""The result: one person's head over a video."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.tracking.known_person import KnownPerson
from recon.tracking.motion import MotionVariances


@dataclasses.dataclass(frozen=True, eq=False)
class HeadTrack:
    """One person over T frames. A frame without a result has nan and a reason.

    Attributes:
        source: the video.
        size: (H, W) of its frames, px.
        model: the face model of the coefficients.
        person: who it is.
        key_frames: positions of the frames that the person was found from, the first looks into the camera.
        texture_frames: positions of frames with a result that a texture is best made of; they differ in pose and expression.
        index: ``(T,)`` numbers of the frames in the video.
        time_s: ``(T,)``.
        rotation: ``(T, 3, 3)`` object to camera.
        translation_mm: ``(T, 3)``.
        expression: ``(T, Ke)``.
        sharpness: ``(T,)`` of the face, see :func:`recon.tracking.follow.sharpness`.
        lighting: ``(T, 9, 3)`` radiance coefficients in the camera frame, see :mod:`recon.lighting`.
        sigma_rad, sigma_mm: ``(T, 3)`` standard deviations of rotation vector and translation by the filter.
        reason: ``(T,)`` why there is no result; empty where there is one.
        cuts: positions of frames before which the scene changes.
        variances: of the motion, as estimated from the video.
        causal: whether a frame knows nothing of those after it.
        notes: what people should know of the video, one sentence each.
    """

    source: str
    size: tuple[int, int]
    model: MorphableModel
    person: KnownPerson
    key_frames: tuple[int, ...]
    texture_frames: tuple[int, ...]
    index: Int[np.ndarray, " t"]
    time_s: Float[np.ndarray, " t"]
    rotation: Float[np.ndarray, "t 3 3"]
    translation_mm: Float[np.ndarray, "t 3"]
    expression: Float[np.ndarray, "t ke"]
    sharpness: Float[np.ndarray, " t"]
    lighting: Float[np.ndarray, "t 9 3"]
    sigma_rad: Float[np.ndarray, "t 3"]
    sigma_mm: Float[np.ndarray, "t 3"]
    reason: tuple[str, ...]
    cuts: tuple[int, ...]
    variances: MotionVariances
    causal: bool
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        """``(T,)`` frames with a result."""
        return np.array([not reason for reason in self.reason], dtype=bool)

    def camera(self, position: int) -> PerspectiveCamera:
        """Of a frame, with the head's pose."""
        here = slice(position, position + 1)
        return self.person.camera(
            torch.from_numpy(self.rotation[here]).float(), torch.from_numpy(self.translation_mm[here]).float()
        )
