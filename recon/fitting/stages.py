"""The two stages of a fit: landmarks alone, then the photo with them. Both are the same solver with other terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from recon.blur import gaussian_blur
from recon.fitting.face_in_view import FaceInView
from recon.fitting.fit_model import FitModel
from recon.fitting.initial_estimate import InitialEstimate
from recon.fitting.landmark_model import LandmarkModel
from recon.fitting.layout import ParameterLayout
from recon.fitting.settings import FitSettings, Level
from recon.fitting.solver import LinearizedTerm, normal_equations, solve_bounded
from recon.fitting.state import FitState, StepLimits, ViewAtState, ViewTensors
from recon.fitting.terms import Prior, ViewTerm
from recon.fitting.terms.coefficient_priors import AlbedoPrior, CoefficientPrior, FocalPrior
from recon.fitting.terms.contour import ContourTerm
from recon.fitting.terms.expression_prior import ExpressionCouplingPrior
from recon.fitting.terms.landmark import DISTANCES, LandmarkTerm
from recon.fitting.terms.lighting_prior import LightingPrior
from recon.fitting.terms.measured_depth import MeasuredDepthTerm
from recon.fitting.terms.photometric import PhotometricTerm

_ANNEALING_START, _ANNEALING_RATE = 30.0, 0.6
"""Factor on the weight of priors, and by how much it falls with each step."""
_FIRST_TOLERANCE = 30.0
"""Times that factor: how much further than by its error model a calibrated detector's point may be off before it counts less,
while priors are still strong."""
_DAMPING = 1e-3
_NORMALS_EVERY = 4
"""Steps between two computations of the normals' derivatives, which take as long as a step."""
_MAX_LOG_FOCAL = 2.0
"""Of the focal length over the assumed one: a head assumed at 1.5 m can be 0.2 to 11 m away."""
LANDMARK_LIMITS = StepLimits(rotation_rad=0.5, log_focal=_MAX_LOG_FOCAL)
_PHOTOMETRIC_LIMITS = StepLimits(rotation_rad=0.2, identity=3.5, albedo=3.0, log_focal=_MAX_LOG_FOCAL)


@dataclasses.dataclass(frozen=True)
class GaussNewton:
    """Bounded steps on the unknowns of a layout.

    Attributes:
        layout: which unknowns there are.
        limits: how far they and a step may go.
        unit_expression: whether expression weights are confined to [0, 1].
        damping: relative Levenberg-Marquardt damping: added to the diagonal of the normal equations, as a fraction of it.
    """

    layout: ParameterLayout
    limits: StepLimits
    unit_expression: bool
    damping: float = 0.0

    def step(self, state: FitState, terms: Sequence[LinearizedTerm]) -> FitState:
        """The state that minimises the sum of linearised terms within the bounds.

        Bounds are part of the solution: cutting albedo off afterwards would leave the light that was solved with it.
        """
        normal, right = normal_equations(terms, self.layout.n_total)
        normal.diagonal().mul_(1.0 + self.damping)
        low, high = state.bounds(self.layout, self.limits, self.unit_expression)
        step = solve_bounded(normal, right, low, high)
        return state.moved(self.layout, step, self.limits, self.unit_expression)


def prior_annealing(step: int) -> float:
    """Factor on a prior's weight (annealing): max(1, 30 0.6^step), which is 1 from step 7 on."""
    return max(1.0, _ANNEALING_START * _ANNEALING_RATE**step)


@torch.no_grad()
def landmark_stage(
    model: LandmarkModel,
    state: FitState,
    views: Sequence[ViewTensors],
    settings: FitSettings,
    expression_width: Float[Tensor, "v ke"],
    initial: InitialEstimate | None = None,
) -> FitState:
    """Identity, expressions, poses and focal lengths that explain the landmarks.

    Args:
        model: the face at its landmarks.
        state: where to start.
        views: landmarks in pixels of the photos.
        settings: weights and number of steps.
        expression_width: of the expression prior, see :class:`CoefficientPrior`.
        initial: what to stay near.
    """
    layout = ParameterLayout(model.n_identity, 0, model.n_expression, len(views), n_focal=1)
    solver = GaussNewton(layout, LANDMARK_LIMITS, model.unit_expression)
    priors: list[Prior] = [
        CoefficientPrior(settings.identity_precision, expression_width, model.size_slope, sparse=model.unit_expression),
        FocalPrior(tuple(view.focal_sigma for view in views)),
        *([initial] if initial is not None else []),
    ]
    for step in range(settings.landmark_steps):
        # The priors start stiff: pose first, then identity, then what is left is expression.
        annealing = prior_annealing(step)
        landmarks = LandmarkTerm(model, _FIRST_TOLERANCE * annealing if annealing > 1.0 else 1.0)
        rows = [prior.linearize(state, layout).scaled(annealing) for prior in priors]
        rows += [landmarks.linearize(ViewAtState(state, view, k), layout) for k, view in enumerate(views)]
        linearized_at, state = state, solver.step(state, rows)
    return dataclasses.replace(state, camera_sigma=camera_sigma(linearized_at, views, rows, layout))


def camera_sigma(
    state: FitState, views: Sequence[ViewTensors], rows: Sequence[LinearizedTerm], layout: ParameterLayout
) -> Float[Tensor, "v 2"]:
    """How surely linearised terms tell the distance of each view's head and its focal length (Laplace's approximation).

    Args:
        state: at which the terms were linearised.
        views: of the state.
        rows: the terms, none of them annealed.
        layout: of their unknowns.

    Returns:
        Standard deviations as shares of distance and focal length. Nan where nothing measures them: a focal length that is
        unknown, and landmarks whose errors were not measured or whose camera has no perspective.
    """
    normal, _ = normal_equations(rows, layout.n_total)
    covariance = torch.linalg.inv(normal)
    found = torch.full((len(views), 2), torch.nan, dtype=torch.float64)
    for index, view in enumerate(views):
        guessed = not view.landmarks.calibrated or state.parameters.camera_model == "weak_perspective"
        if view.focal_sigma > 0.0 and guessed:
            continue
        along, focal = layout.translation(index).stop - 1, layout.focal(index).start
        distance_mm = -state.parameters.translation_mm[index, 2]
        variances = torch.stack((covariance[along, along] / distance_mm**2, covariance[focal, focal]))
        found[index] = variances.sqrt().cpu()  # a negative variance, of a matrix that is not positive, is nan too
    return found


@torch.no_grad()
def photometric_stage(
    model: FitModel,
    state: FitState,
    views: Sequence[ViewTensors],
    settings: FitSettings,
    level: Level,
    expression_width: Float[Tensor, "v ke"],
    initial: InitialEstimate | None = None,
    anneal_albedo: bool = False,
) -> FitState:
    """All unknowns, from the photos and the landmarks, at one resolution.

    Args:
        model: the face.
        state: where to start; its light is known.
        views: crops, one a view of the state.
        settings: weights.
        level: resolution and number of steps.
        expression_width: of the expression prior, see :class:`CoefficientPrior`.
        initial: what to stay near.
        anneal_albedo: start with a strong albedo prior, so that occluders get robust weights before albedo can explain
            them; for the first time that albedo is solved for.
    """
    whole = model.whole
    layout = ParameterLayout(
        whole.n_identity, whole.n_albedo, whole.n_expression, len(views), 9 if settings.white_light else 27, 1
    )
    solver = GaussNewton(layout, _PHOTOMETRIC_LIMITS, model.landmark_model.unit_expression, _DAMPING)
    surface = model.surface(level.size_px)
    photos = tuple(gaussian_blur(view.pixels, level.blur_px) for view in views)
    landmarks = LandmarkTerm(
        model.landmark_model, 1.0, DISTANCES.get(model.landmark_set, ()), settings.opening_sharpness
    )
    contour = ContourTerm(
        photos, model.contour_usable, model.dense.shape_basis, settings.contour_sigma, settings.effective_edges
    )
    priors: list[Prior] = [
        CoefficientPrior(
            settings.identity_precision,
            expression_width,
            model.landmark_model.size_slope,
            sparse=model.landmark_model.unit_expression,
        ),
        ExpressionCouplingPrior.of(whole.expression_names),
        LightingPrior(settings.exposure_sigma, settings.tint_sigma, (torch.inf, torch.inf, settings.band2_sigma)),
        FocalPrior(tuple(view.focal_sigma for view in views)),
        *([initial] if initial is not None else []),
    ]
    normal_jacobians: tuple[Tensor, ...] = ()
    for step in range(level.n_steps):
        faces = faces_in_views(model, state, views)
        if step % _NORMALS_EVERY == 0:
            normal_jacobians = tuple(surface.normal_jacobian(face.vertices) for face in faces)
        photometric = PhotometricTerm(photos, level.blur_px, surface, normal_jacobians, settings.effective_pixels)
        terms: list[ViewTerm] = [photometric, landmarks, contour]
        if any(view.depth is not None for view in views):
            terms.append(MeasuredDepthTerm(surface, settings.effective_points))
        albedo_prior = AlbedoPrior(settings.albedo_precision * (prior_annealing(step) if anneal_albedo else 1.0))
        rows = [prior.linearize(state, layout) for prior in [*priors, albedo_prior]]
        rows += [term.linearize(face, layout) for face in faces for term in terms]
        state = solver.step(state, rows)
    return state


def faces_in_views(model: FitModel, state: FitState, views: Sequence[ViewTensors]) -> list[FaceInView]:
    """The face in each view."""
    return [FaceInView(state, view, index, model.front, model.topology) for index, view in enumerate(views)]
