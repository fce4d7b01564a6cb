"""A person whose shape is known: a face model of that person alone, and what single frames say of pose and expression."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.detection.observation import LandmarkObservation
from recon.fitting.landmark_model import LandmarkModel, pose_from_points
from recon.fitting.layout import ParameterLayout
from recon.fitting.settings import FitSettings
from recon.fitting.solver import LinearizedTerm, normal_equations
from recon.fitting.stages import LANDMARK_LIMITS, GaussNewton
from recon.fitting.state import FitState, LandmarkTensors, ViewAtState, ViewTensors
from recon.fitting.terms.coefficient_priors import CoefficientPrior
from recon.fitting.terms.expression_prior import expression_widths
from recon.fitting.terms.landmark import LandmarkTerm
from recon.parameters import FaceParameters
from recon.tracking.motion import FrameEstimate

_TOLERANCES = (300.0, 30.0, 3.0, 1.0, 1.0, 1.0, 1.0)
"""Of outliers in each step, see :class:`recon.fitting.terms.landmark.LandmarkTerm`: the first poses are the start's."""
_PRIOR_FACTORS = (30.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""On the expression prior in each step: pose first."""


@dataclasses.dataclass(frozen=True, eq=False)
class KnownPerson:
    """One person in one video.

    Attributes:
        identity: ``(1, Ki)`` coefficients.
        albedo: ``(1, Ka)`` coefficients.
        focal_px: focal length in pixels of the frames.
        principal_px: x and y of the principal point.
    """

    identity: Float[Tensor, "1 ki"]
    albedo: Float[Tensor, "1 ka"]
    focal_px: float
    principal_px: tuple[float, float]

    def camera(self, rotation: Float[Tensor, "1 3 3"], translation_mm: Float[Tensor, "1 3"]) -> PerspectiveCamera:
        """The camera of a frame with this pose."""
        return PerspectiveCamera(
            rotation,
            translation_mm,
            rotation.new_full((1, 2), self.focal_px),
            rotation.new_tensor([self.principal_px]),
        )


def model_of_person(model: MorphableModel, person: KnownPerson) -> MorphableModel:
    """A face model whose mean is the person, and which has expressions only."""
    data = model.data()
    return MorphableModel(
        dataclasses.replace(
            data,
            mean_shape=model.shape(person.identity)[0].cpu().numpy(),
            identity_basis=data.identity_basis[..., :0],
            mean_albedo=model.albedo(person.albedo)[0].cpu().numpy(),
            albedo_basis=data.albedo_basis[..., :0],
        )
    )


@dataclasses.dataclass(frozen=True, eq=False)
class FittedFrame:
    """What a frame says, and how well the head explains it.

    Attributes:
        estimate: of the head.
        error: mean distance of its landmarks from the detected ones, in sizes of the face.
    """

    estimate: FrameEstimate
    error: float


class FrameFitter:
    """Pose and expression of a known person from the landmarks of single frames: bounded Gauss-Newton from the linear pose.

    A frame's estimate depends on that frame alone.

    Args:
        model: of the person, see :func:`model_of_person`.
        person: whom.
        landmark_set: of the observations.
        settings: weights.
    """

    def __init__(
        self, model: MorphableModel, person: KnownPerson, landmark_set: str = "478", settings: FitSettings | None = None
    ) -> None:
        self._settings = settings or FitSettings()
        self._person = person
        self._model = LandmarkModel.of(model, landmark_set)
        self._widths = self._settings.expression_sigma * expression_widths(model.expression_names)
        self._jaw = np.array([name == "jawOpen" for name in model.expression_names])
        self._layout = ParameterLayout(0, 0, self._model.n_expression, 1)
        self._solver = GaussNewton(self._layout, LANDMARK_LIMITS, self._model.unit_expression)

    @torch.no_grad()
    def __call__(self, time_s: float, landmarks: LandmarkObservation, jaw_prior_scale: float = 1.0) -> FittedFrame:
        """The head of one frame.

        Args:
            time_s: of the frame.
            landmarks: of the person's face.
            jaw_prior_scale: see :func:`recon.fitting.jaw_prior.jaw_prior_scale`.

        Raises:
            ValueError: the landmarks lie on a line or in one spot.
        """
        like = self._model.mean
        view = ViewTensors(
            LandmarkTensors.of(landmarks),
            like.new_full((1, 2), self._person.focal_px),
            like.new_tensor([self._person.principal_px]),
        )
        widths = torch.from_numpy(self._widths * np.where(self._jaw, jaw_prior_scale, 1.0))[None]
        prior = CoefficientPrior(1.0, widths, like.new_zeros(0))
        state = self._first_state(view)
        for tolerance, factor in zip(_TOLERANCES, _PRIOR_FACTORS, strict=True):
            held, seen = prior.linearize(state, self._layout).scaled(factor), self._seen(state, view, tolerance)
            state = self._solver.step(state, [held, seen])
        # Of the last step, which is too short to change it.
        evidence = self._precision([seen])
        found = state.parameters
        estimate = FrameEstimate(
            time_s,
            found.rotation[0].numpy(),
            found.translation_mm[0].numpy(),
            found.expression[0].numpy(),
            evidence + self._precision([held]),
            evidence,
        )
        return FittedFrame(estimate, self._error_px(state, view) / landmarks.size_px)

    def _error_px(self, state: FitState, view: ViewTensors) -> float:
        camera, found = state.camera(view, 0), state.parameters
        points = self._model.points_obj(found.identity[0], found.expression[0])
        pixels = camera.to_pixels(camera.to_camera(points[None]))[0]
        return float((pixels - view.landmarks.points_px).norm(dim=1).mean())

    def _first_state(self, view: ViewTensors) -> FitState:
        rotation, translation_mm = pose_from_points(self._model, view)
        none = rotation.new_zeros(1, 0)
        expression = rotation.new_zeros(1, self._model.n_expression)
        return FitState.of(FaceParameters(none, expression, none, rotation[None], translation_mm[None], None))

    def _seen(self, state: FitState, view: ViewTensors, tolerance: float) -> LinearizedTerm:
        return LandmarkTerm(self._model, tolerance).linearize(ViewAtState(state, view, 0), self._layout)

    def _precision(self, rows: Sequence[LinearizedTerm]) -> Float[np.ndarray, "d d"]:
        return normal_equations(rows, self._layout.n_total)[0].numpy()
