"""From photos and their landmarks to one person's coefficients: points first, then the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.fitting.anchor import Start, shape_and_pose
from recon.fitting.bite import jaw_factor
from recon.fitting.expressions import expression_widths
from recon.fitting.picture import PictureFitter, as_tensor
from recon.fitting.points import PointFit, PointModel, PointView, fit_points, pose_from_points
from recon.fitting.settings import FitSettings
from recon.fitting.state import FaceState, PictureView
from recon.io.resample import resample
from recon.render import vertex_normals
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.segmenter import SEGMENTATION_PX, FaceSegmenter, segment

_CROP_MARGIN = 1.35
_MIN_FOCAL_SHARE = 0.8
"""An unknown focal length is never taken shorter than this share of the photo's longer side (64 degrees)."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """One photo of the person.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        points_pix: ``(N, 2)`` landmarks in pixels of the photo, in the order of the landmark set; ``None`` if there are
            none, as on full profiles. The fit then needs a start.
        focal_px: focal length, or ``None`` if unknown.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    points_pix: Float[np.ndarray, "n 2"] | None
    focal_px: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """What explains the photos.

    Attributes:
        state: coefficients, poses and lights; poses are those of the photos.
        focal_px: focal length of each photo, px.
        principal_px: ``(2,)`` of each photo.
        point_gap_px: mean distance of fitted from detected landmarks, a view; nan without landmarks.
        picture_residual: root mean square difference of code values on bare skin, a view; nan if no picture was used.
    """

    state: FaceState
    focal_px: tuple[float, ...]
    principal_px: tuple[tuple[float, float], ...]
    point_gap_px: tuple[float, ...]
    picture_residual: tuple[float, ...]


def fit(
    model: MorphableModel,
    views: list[View],
    settings: FitSettings,
    landmark_set: str = "478",
    segmenter: FaceSegmenter | None = None,
    start: Start | None = None,
    fitter: PictureFitter | None = None,
) -> FitResult:
    """Fit one person in one or more photos. Deterministic.

    Args:
        model: any model with the landmark set.
        views: at least one.
        settings: weights and effort.
        landmark_set: the model's points that the views' landmarks correspond to.
        segmenter: tells visible skin from what covers it; ``None`` is a :class:`GrabCutSegmenter`. It is asked before the light
            is known, so that the prior has no ``rendered``.
        start: what is known of the views before, to start from and stay near; without it the landmarks tell.
        fitter: for this model and landmark set, to use again; making one takes 0.3 s.

    Raises:
        ValueError: no views, landmarks of another number than the set's, or not finite, a view without landmarks and no
            start, or a fitter of another model.
        SegmentationError: see :func:`recon.segmentation.segmenter.segment`.
    """
    point_model = PointModel.of(model, landmark_set)
    _check(views, len(point_model.mean), start)
    if fitter is not None and (fitter.whole_model is not model or fitter.landmark_set != landmark_set):
        raise ValueError("the fitter was made for another model or landmark set: make one for these, or leave it out")
    seen = [_point_view(point_model, view, settings, start, index) for index, view in enumerate(views)]
    seen = [_with_jaw(view, points, landmark_set) for view, points in zip(views, seen, strict=True)]
    if start is not None:
        start = start.seen_through(tuple(view.focal_px for view in seen))
    state = _first_state(model, point_model, views, seen, settings, start)
    residuals = tuple(float("nan") for _ in views)
    if settings.levels:
        fitter = fitter or PictureFitter(model, landmark_set)
        masks = [
            _visible_skin(
                fitter, state, _crop(fitter, state, view, points, index, SEGMENTATION_PX, settings), index, segmenter
            )
            for index, (view, points) in enumerate(zip(views, seen, strict=True))
        ]
        for level in settings.levels:
            crops = [
                _masked(_crop(fitter, state, view, points, index, level.size_px, settings), mask)
                for index, (view, points, mask) in enumerate(zip(views, seen, masks, strict=True))
            ]
            if not bool(state.lighting.any()):
                state = fitter.estimate_lighting(state, crops)
            state = fitter.improve(state, crops, settings, level.n_steps, level.blur_px, start)
        residuals = tuple(fitter.residual(state, crop, index) for index, crop in enumerate(crops))
    gaps = tuple(
        _point_gap(model, state, points, index, landmark_set) if view.points_pix is not None else float("nan")
        for index, (view, points) in enumerate(zip(views, seen, strict=True))
    )
    return FitResult(
        state,
        tuple(_focal_px(state, view, index) for index, view in enumerate(seen)),
        tuple((float(view.principal_px[0]), float(view.principal_px[1])) for view in seen),
        gaps,
        residuals,
    )


def _check(views: list[View], n_points: int, start: Start | None) -> None:
    if not views:
        raise ValueError("a fit needs at least one view")
    if start is not None and start.state.n_views != len(views):
        raise ValueError(f"the start is of {start.state.n_views} views, the fit of {len(views)}")
    for number, view in enumerate(views):
        if view.points_pix is None:
            if start is None:
                raise ValueError(f"view {number} has no landmarks: such a fit needs a start")
            continue
        if view.points_pix.shape != (n_points, 2):
            raise ValueError(
                f"view {number} has landmarks {view.points_pix.shape}, the model's set has ({n_points}, 2)"
            )
        if not np.isfinite(view.points_pix).all():
            raise ValueError(f"view {number} has landmarks that are nan or inf")


def _point_view(model: PointModel, view: View, settings: FitSettings, start: Start | None, index: int) -> PointView:
    """Landmarks and lens of a view; where nothing was detected, the start's landmarks without any weight."""
    height, width = view.pixels.shape[:2]
    principal_px = np.array([width / 2, height / 2])
    if view.points_pix is not None:
        points, weights = view.points_pix.astype(np.float64), np.ones(len(view.points_pix))
    else:
        assert start is not None, "checked before"
        points, weights = _start_points(model, start, index, principal_px), np.zeros(len(model.mean))
    size = float(np.sqrt(np.prod(points.max(axis=0) - points.min(axis=0))))
    seen = PointView(points, weights, float(max(height, width)), principal_px, size)
    if view.focal_px is not None:
        return dataclasses.replace(seen, focal_px=float(view.focal_px))
    # The apparent size fixes focal length over distance; assume the distance.
    if view.points_pix is None:
        assert start is not None, "checked before"
        focal_px = start.focal_px[index] * settings.distance_mm / -float(start.state.translation_mm[index, 2])
    else:
        _, translation = pose_from_points(model, seen)
        focal_px = seen.focal_px * settings.distance_mm / -translation[2]
    return dataclasses.replace(seen, focal_px=max(focal_px, _MIN_FOCAL_SHARE * max(height, width)))


def _with_jaw(view: View, seen: PointView, landmark_set: str) -> PointView:
    if view.points_pix is None:
        return seen
    return dataclasses.replace(seen, jaw_factor=jaw_factor(view.pixels, view.points_pix, seen.size_px, landmark_set))


def _start_points(
    model: PointModel, start: Start, index: int, principal_px: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "n 2"]:
    identity, expression, rotation, translation_mm = shape_and_pose(start.state)
    points = model.mean + model.identity @ identity + model.expression @ expression[index]
    v_cam = points @ rotation[index].T + translation_mm[index]
    return np.asarray(principal_px + start.focal_px[index] * v_cam[:, :2] * [1.0, -1.0] / -v_cam[:, 2:])


def _first_state(
    model: MorphableModel,
    point_model: PointModel,
    views: list[View],
    seen: list[PointView],
    settings: FitSettings,
    start: Start | None,
) -> FaceState:
    """What the landmarks say, near the start if there is one; the start itself where a view has no landmarks."""
    if start is not None and any(view.points_pix is None for view in views):
        return start.state.like(model.mean_shape)
    points = fit_points(
        point_model,
        seen,
        settings.landmark_sigma,
        settings.identity_weight,
        settings.expression_sigma
        * np.stack([expression_widths(model.expression_names, view.jaw_factor) for view in seen]),
        settings.landmark_steps,
        start,
    )
    return _state(points, model)


def _state(points: PointFit, model: MorphableModel) -> FaceState:
    like = model.mean_shape
    return FaceState(
        as_tensor(points.identity[None], like),
        torch.zeros(1, model.n_albedo).to(like),
        as_tensor(points.expression, like),
        as_tensor(points.rotation, like),
        as_tensor(points.translation_mm, like),
        torch.zeros(len(points.rotation), 9, 3).to(like),
        torch.zeros(len(points.rotation)).to(like),
    )


def _crop(
    fitter: PictureFitter,
    state: FaceState,
    view: View,
    seen: PointView,
    index: int,
    size: int,
    settings: FitSettings,
) -> PictureView:
    """The square around the landmarks at the wanted size; what lies beyond the photo's border is not to be believed."""
    low, high = seen.points_pix.min(axis=0), seen.points_pix.max(axis=0)
    side = _CROP_MARGIN * float((high - low).max())
    corner = 0.5 * (low + high) - 0.5 * side
    scale = size / side
    photo_from_crop = np.array([[1 / scale, 0.0, corner[0]], [0.0, 1 / scale, corner[1]], [0.0, 0.0, 1.0]])
    like = state.identity
    picture = as_tensor(resample(view.pixels, photo_from_crop, (size, size)), like).permute(2, 0, 1)[None] / 255.0
    centres = (np.arange(size) + 0.5) / scale
    inside_x = (corner[0] + centres >= 0) & (corner[0] + centres < view.pixels.shape[1])
    inside_y = (corner[1] + centres >= 0) & (corner[1] + centres < view.pixels.shape[0])
    inside = as_tensor(np.outer(inside_y, inside_x), like)[None, None]
    sigma_px = settings.landmark_sigma * seen.size_px * scale
    return PictureView(
        picture,
        inside,
        as_tensor((seen.points_pix - corner)[None] * scale, like),
        as_tensor((seen.weights * _visibility(fitter, state, index))[None] / sigma_px**2, like),
        like.new_full((1, 2), seen.focal_px * scale),
        as_tensor(((seen.principal_px - corner) * scale)[None], like),
        0.0 if view.focal_px is not None else settings.focal_sigma,
        seen.jaw_factor,
    )


def _visible_skin(
    fitter: PictureFitter, state: FaceState, crop: PictureView, index: int, segmenter: FaceSegmenter | None
) -> Float[Tensor, "1 1 s s"]:
    return segment(segmenter or GrabCutSegmenter(), crop.picture, fitter.face_prior(state, crop, index))


def _masked(crop: PictureView, mask: Float[Tensor, "1 1 s s"]) -> PictureView:
    """All crops of a view show the same square, so that one mask serves them."""
    return dataclasses.replace(crop, trust=crop.trust * F.interpolate(mask, crop.size, mode="bilinear"))


def _visibility(fitter: PictureFitter, state: FaceState, index: int) -> np.ndarray:
    """Weight ``(N,)`` of each landmark by how much it faces the camera."""
    with torch.no_grad():
        vertices = fitter.model.shape(state.identity, state.expression[index : index + 1])
        v_cam = vertices @ state.rotation[index].T + state.translation_mm[index]
        normals = fitter.model.landmarks(vertex_normals(v_cam, fitter.model.faces), fitter.landmark_set)[0]
        towards = -torch.nn.functional.normalize(fitter.model.landmarks(v_cam, fitter.landmark_set)[0], dim=-1)
        facing = (torch.nn.functional.normalize(normals, dim=-1) * towards).sum(-1)
    return np.asarray(((facing + 0.15) / 0.45).clamp(0.06, 1.0).cpu().double().numpy())


def _point_gap(model: MorphableModel, state: FaceState, view: PointView, index: int, landmark_set: str) -> float:
    with torch.no_grad():
        points = model.landmarks(model.shape(state.identity, state.expression[index : index + 1]), landmark_set)[0]
        v_cam = (points @ state.rotation[index].T + state.translation_mm[index]).double().cpu().numpy()
    pixels = view.principal_px + _focal_px(state, view, index) * v_cam[:, :2] * [1.0, -1.0] / -v_cam[:, 2:]
    return float(np.linalg.norm(pixels - view.points_pix, axis=1).mean())


def _focal_px(state: FaceState, view: PointView, index: int) -> float:
    return view.focal_px * float(torch.exp(state.log_zoom[index]))
