"""From photos and their landmarks to one person's parameters: landmarks first, then the photos."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.fitting.crops import View, cropped, landmark_view, landmark_visibility, masked
from recon.fitting.face_in_view import FaceInView
from recon.fitting.fit_model import FitModel
from recon.fitting.initial_estimate import InitialEstimate
from recon.fitting.jaw_prior import jaw_prior_scale
from recon.fitting.landmark_model import pose_from_points
from recon.fitting.lighting_estimate import estimate_lighting
from recon.fitting.settings import FitSettings
from recon.fitting.stages import faces_in_views, landmark_stage, photometric_stage
from recon.fitting.state import FitState, ViewTensors
from recon.fitting.terms.expression_prior import LID_SCALE, expression_widths
from recon.fitting.terms.measured_depth import MeasuredPoints
from recon.fitting.terms.photometric import photometric_rmse
from recon.parameters import FaceParameters
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.segmenter import SEGMENTATION_PX, FaceSegmenter, RenderedRegions, segment

WIDENING_WITH_ESTIMATE = 2.0
"""Of the expression prior, where an initial estimate says something of expressions: it has a prior in it already. Without, lips of 21
rendered faces came out 1.80 mm off, with 2 to 3 times the width 1.7."""


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """What explains the photos.

    Attributes:
        parameters: poses are those of the photos. Lighting is ``None`` if no photo was looked at.
        focal_px: focal length of each photo, px.
        focal_sigma, distance_sigma: standard deviations of it and of the head's distance by the landmarks, as shares of them,
            a view. Nan where landmarks do not tell: a view without any (then of all views), or an unknown focal length and
            a detector that was not calibrated, or weak perspective.
        principal_px: ``(2,)`` of each photo.
        reprojection_error_px: mean distance of fitted from detected landmarks, a view; nan without landmarks.
        photometric_rmse: root mean square difference of code values on uncovered skin, a view; nan if no photo was used.
        depth_error_mm: median distance of the fitted from the measured surface on uncovered skin, a view; nan without measured depth.
    """

    parameters: FaceParameters
    focal_px: tuple[float, ...]
    focal_sigma: tuple[float, ...]
    distance_sigma: tuple[float, ...]
    principal_px: tuple[tuple[float, float], ...]
    reprojection_error_px: tuple[float, ...]
    photometric_rmse: tuple[float, ...]
    depth_error_mm: tuple[float, ...]


class FaceFitter:
    """Fits a face model to one person in one or more photos. Deterministic.

    Args:
        model: any model with the landmark set, on the device to work on.
        landmark_set: the model's points that the views' landmarks correspond to.
        segmenter: tells visible skin from what covers it; ``None`` is a :class:`GrabCutSegmenter`. It is asked before the
            light is known, so that the prior has no ``rendered``.
    """

    def __init__(
        self, model: MorphableModel, landmark_set: str = "478", segmenter: FaceSegmenter | None = None
    ) -> None:
        self.model = FitModel.of(model, landmark_set)
        self._segmenter = segmenter or GrabCutSegmenter()

    def __call__(
        self, views: Sequence[View], settings: FitSettings, initial: InitialEstimate | None = None
    ) -> FitResult:
        """Fit the person.

        Args:
            views: at least one.
            settings: weights and effort.
            initial: what is known of the views before, to start from and stay near; without it the landmarks tell.

        Raises:
            ValueError: no views, landmarks of another number than the set's, or not finite, or a view without landmarks
                and no initial estimate.
            SegmentationError: see :func:`recon.segmentation.segmenter.segment`.
        """
        _check(views, len(self.model.landmark_model.mean), initial)
        if initial is not None:
            initial = initial.for_camera(settings.camera)
        uncropped = [
            landmark_view(self.model.landmark_model, view, settings, initial, index) for index, view in enumerate(views)
        ]
        if initial is not None:
            initial = initial.with_focal(tuple(float(view.focal_px[0, 0]) for view in uncropped))
        expression_width = self._expression_width(views, settings, initial)
        state = self._first_state(views, uncropped, settings, expression_width, initial)
        rmse = depth_error_mm = tuple(float("nan") for _ in views)
        if settings.levels:
            masks = [
                self._mask(face) for face in self._crops(state, views, uncropped, [None] * len(views), SEGMENTATION_PX)
            ]
            for level in settings.levels:
                faces = self._crops(state, views, uncropped, masks, level.size_px)
                without_light = state.parameters.lighting is None
                if without_light:
                    confidence = self.model.vertex_confidence
                    lights = [estimate_lighting(face, confidence, settings.white_light) for face in faces]
                    state = state.with_lighting(torch.stack(lights))
                crops = [face.view for face in faces]
                state = photometric_stage(
                    self.model, state, crops, settings, level, expression_width, initial, without_light
                )
            fitted = faces_in_views(self.model, state, crops)
            rmse = tuple(photometric_rmse(face, self.model.vertex_confidence) for face in fitted)
            depth_error_mm = tuple(
                math.nan if (found := MeasuredPoints.of(face, self.model.sparse)) is None else found.median_mm
                for face in fitted
            )
        return FitResult(
            state.parameters.to(self.model.whole.mean_shape),
            tuple(float(state.camera(view, index).focal_px[0, 0]) for index, view in enumerate(uncropped)),
            *_camera_sigmas(state, len(views)),
            tuple((float(view.principal_px[0, 0]), float(view.principal_px[0, 1])) for view in uncropped),
            tuple(
                self._reprojection_error_px(state, tensors, index) if view.landmarks is not None else float("nan")
                for index, (view, tensors) in enumerate(zip(views, uncropped, strict=True))
            ),
            rmse,
            depth_error_mm,
        )

    def _expression_width(
        self, views: Sequence[View], settings: FitSettings, initial: InitialEstimate | None
    ) -> Float[Tensor, "v ke"]:
        """Of the expression prior. What shows between the lips says how far the jaw may be open, and an initial estimate already
        has a prior in it."""
        usual = settings.expression_mean if self.model.landmark_model.unit_expression else settings.expression_sigma
        if initial is not None and bool(torch.as_tensor(initial.sigma.expression).isfinite().all()):
            usual *= WIDENING_WITH_ESTIMATE
        widths = []
        for view in views:
            scale = 1.0
            landmarks = view.landmarks
            if landmarks is not None:
                scale = jaw_prior_scale(view.pixels, landmarks.points_px, landmarks.size_px, self.model.landmark_set)
            widths.append(usual * expression_widths(self.model.whole.expression_names, scale, LID_SCALE))
        return torch.from_numpy(np.stack(widths)).to(self.model.landmark_model.mean)

    def _first_state(
        self,
        views: Sequence[View],
        uncropped: Sequence[ViewTensors],
        settings: FitSettings,
        expression_width: Float[Tensor, "v ke"],
        initial: InitialEstimate | None,
    ) -> FitState:
        """What the landmarks say, near the initial estimate if there is one; the estimate itself where a view has no
        landmarks."""
        if initial is not None and any(view.landmarks is None for view in views):
            state = FitState.of(initial.parameters.to(self.model.landmark_model.mean))
            lighting = state.parameters.lighting
            if settings.white_light and lighting is not None:
                state = state.with_lighting(lighting.mean(dim=2, keepdim=True).expand(-1, -1, 3))
            return state
        poses = [pose_from_points(self.model.landmark_model, view) for view in uncropped]
        like = self.model.landmark_model.mean
        start = FaceParameters(
            like.new_zeros(1, self.model.whole.n_identity) if initial is None else initial.parameters.identity.to(like),
            like.new_zeros(len(views), self.model.whole.n_expression)
            if initial is None
            else initial.parameters.expression.to(like),
            like.new_zeros(1, self.model.whole.n_albedo),
            torch.stack([rotation for rotation, _ in poses]),
            torch.stack([translation_mm for _, translation_mm in poses]),
            None,
            settings.camera,
        )
        return landmark_stage(
            self.model.landmark_model, FitState.of(start), uncropped, settings, expression_width, initial
        )

    def _crops(
        self,
        state: FitState,
        views: Sequence[View],
        uncropped: Sequence[ViewTensors],
        masks: Sequence[Float[Tensor, "1 1 s s"] | None],
        size_px: int,
    ) -> list[FaceInView]:
        """The face so far in crops of one size."""
        crops = []
        for face, view, mask in zip(faces_in_views(self.model, state, uncropped), views, masks, strict=True):
            crop = cropped(view, face.view, size_px, landmark_visibility(self.model, face))
            crops.append(crop if mask is None else masked(crop, mask))
        return faces_in_views(self.model, state, crops)

    @torch.no_grad()
    def _mask(self, face: FaceInView) -> Float[Tensor, "1 1 s s"]:
        prior = RenderedRegions.of_triangles(face.model, face.rendered.triangle_ids)
        return segment(self._segmenter, face.view.pixels, prior)

    @torch.no_grad()
    def _reprojection_error_px(self, state: FitState, view: ViewTensors, index: int) -> float:
        points = self.model.landmark_model.points_obj(state.parameters.identity[0], state.parameters.expression[index])
        camera = state.camera(view, index)
        pixels = camera.to_pixels(camera.to_camera(points[None]))[0]
        return float((pixels - view.landmarks.points_px.to(pixels)).norm(dim=1).mean())


def _camera_sigmas(state: FitState, n_views: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sigmas of focal lengths and of distances."""
    if state.camera_sigma is None:
        return (float("nan"),) * n_views, (float("nan"),) * n_views
    distance, focal = state.camera_sigma.unbind(1)
    return tuple(focal.tolist()), tuple(distance.tolist())


def _check(views: Sequence[View], n_points: int, initial: InitialEstimate | None) -> None:
    if not views:
        raise ValueError("a fit needs at least one view")
    if initial is not None and len(initial.parameters) != len(views):
        raise ValueError(f"the initial estimate is of {len(initial.parameters)} views, the fit of {len(views)}")
    for number, view in enumerate(views):
        if view.landmarks is None:
            if initial is None:
                raise ValueError(f"view {number} has no landmarks: such a fit needs an initial estimate")
            continue
        if len(view.landmarks.points_px) != n_points:
            raise ValueError(
                f"view {number} has {len(view.landmarks.points_px)} landmarks, the model's set has {n_points}"
            )
