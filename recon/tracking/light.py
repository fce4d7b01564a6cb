"""The light of each frame on a known head, and its smoothing in time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8

from bfm.model import MorphableModel
from recon.detection.observation import LandmarkObservation
from recon.fitting.crops import View, cropped, landmark_visibility
from recon.fitting.face_in_view import FaceInView
from recon.fitting.fit_model import FitModel
from recon.fitting.lighting_estimate import estimate_lighting
from recon.fitting.state import FitState, LandmarkTensors, ViewTensors
from recon.parameters import FaceParameters
from recon.tracking.known_person import KnownPerson

_CROP_PX = 96
_LEAST_NOISE, _LEAST_SPREAD = 1e-8, 1e-8


class FrameLight:
    """Solves the light of single frames.

    Args:
        model: of the person, see :func:`recon.tracking.known_person.model_of_person`.
        person: whom.
    """

    def __init__(self, model: MorphableModel, person: KnownPerson) -> None:
        self._fit_model, self._person = FitModel.of(model, "478"), person

    @torch.no_grad()
    def __call__(
        self,
        pixels: UInt8[np.ndarray, "h w 3"],
        rotation: Float[np.ndarray, "3 3"],
        translation_mm: Float[np.ndarray, " 3"],
        expression: Float[np.ndarray, " ke"],
    ) -> Float[np.ndarray, "9 3"]:
        """Radiance coefficients in the camera frame.

        Args:
            pixels: the frame.
            rotation, translation_mm, expression: of the head in it.
        """
        none = torch.zeros(1, 0, dtype=torch.float64)
        state = FitState.of(
            FaceParameters(
                none,
                torch.from_numpy(expression)[None],
                none,
                torch.from_numpy(rotation)[None],
                torch.from_numpy(translation_mm)[None],
                None,
            )
        )
        model = self._fit_model
        view = View(pixels, None)
        whole = self._whole(state)
        face = FaceInView(state, whole, 0, model.front, model.topology)
        crop = cropped(view, whole, _CROP_PX, landmark_visibility(model, face))
        seen = FaceInView(state, crop, 0, model.front, model.topology)
        return estimate_lighting(seen, model.vertex_confidence).double().numpy()

    def _whole(self, state: FitState) -> ViewTensors:
        """The frame, with the landmarks where the head has them: they frame the crop."""
        like = state.log_focal
        focal_px = like.new_full((1, 2), self._person.focal_px)
        principal_px = like.new_tensor([self._person.principal_px])
        unframed = ViewTensors(LandmarkTensors.of(_NO_LANDMARKS), focal_px, principal_px)
        camera = state.camera(unframed, 0)
        points = self._fit_model.landmark_model.points_obj(state.parameters.identity[0], state.parameters.expression[0])
        pixels = camera.to_pixels(camera.to_camera(points[None]))[0].numpy()
        return ViewTensors(LandmarkTensors.of(LandmarkObservation.independent(pixels, 1.0)), focal_px, principal_px)


_NO_LANDMARKS = LandmarkObservation.independent(np.zeros((0, 2)), 1.0)


def smoothed_light(
    times_s: Float[np.ndarray, " t"], values: Float[np.ndarray, "t n"], causal: bool = False
) -> Float[np.ndarray, "t n"]:
    """Numbers that follow a random walk, without their noise; each for itself.

    Variances come from the numbers: differences d of neighbours have the variance q + 2 r and the covariance -r with the next.

    Args:
        times_s: rising.
        values: as solved in single frames.
        causal: filter only.
    """
    if len(values) < 4:
        return values
    step = np.diff(values, axis=0)
    middle = step - step.mean(axis=0)
    noise = np.maximum(-(middle[1:] * middle[:-1]).mean(axis=0), _LEAST_NOISE)
    usual_s = float(np.median(np.diff(times_s)))
    spread = np.maximum(middle.var(axis=0) - 2.0 * noise, _LEAST_SPREAD) / usual_s
    means, variances, expected = [values[0]], [noise], [noise]
    for index in range(1, len(values)):
        before = variances[-1] + spread * (times_s[index] - times_s[index - 1])
        gain = before / (before + noise)
        expected.append(before)
        means.append(means[-1] + gain * (values[index] - means[-1]))
        variances.append((1.0 - gain) * before)
    if causal:
        return np.stack(means)
    for index in range(len(values) - 2, -1, -1):
        means[index] = means[index] + variances[index] / expected[index + 1] * (means[index + 1] - means[index])
    return np.stack(means)
