"""Photos as a fit sees them: landmarks and lens of the whole photo, and square crops around the face."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from recon.camera import MIN_FOCAL_SHARE
from recon.detection.observation import LandmarkObservation
from recon.fitting.face_in_view import FaceInView
from recon.fitting.fit_model import FitModel
from recon.fitting.initial_estimate import InitialEstimate
from recon.fitting.landmark_model import LandmarkModel, pose_from_points, visibility_weight
from recon.fitting.settings import FitSettings
from recon.fitting.state import DepthTensors, LandmarkTensors, ViewTensors
from recon.io.measured_depth import MeasuredDepth
from recon.io.resample import resample
from recon.render import vertex_normals

_CROP_MARGIN = 1.35


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """One photo of the person.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        landmarks: in the order of the landmark set; ``None`` if there are none. The fit then needs an initial estimate.
        focal_px: focal length, or ``None`` if unknown.
        depth: that was measured with the photo, in true distances; ``None`` if none was.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    landmarks: LandmarkObservation | None
    focal_px: float | None = None
    depth: MeasuredDepth | None = None


def landmark_view(
    model: LandmarkModel, view: View, settings: FitSettings, initial: InitialEstimate | None, index: int
) -> ViewTensors:
    """Landmarks and lens of a photo; where nothing was detected, the initial estimate's landmarks without any weight."""
    height, width = view.pixels.shape[:2]
    longer_px = max(height, width)
    principal_px = torch.tensor([[width / 2, height / 2]], dtype=torch.float64)
    landmarks = view.landmarks
    if landmarks is None:
        assert initial is not None, "checked before"
        known = initial.parameters
        points_obj = model.points_obj(known.identity[0].to(model.mean), known.expression[index].to(model.mean))
        guessed = initial.points_px(points_obj, index, principal_px).double().cpu().numpy()
        landmarks = LandmarkObservation.independent(guessed, np.inf)
    focal_px = torch.full((1, 2), float(longer_px), dtype=torch.float64)
    depth = None if view.depth is None else DepthTensors.of(view.depth, (height, width))
    found = ViewTensors(LandmarkTensors.of(landmarks), focal_px, principal_px, depth=depth)
    if view.focal_px is not None:
        return dataclasses.replace(found, focal_px=torch.full_like(focal_px, float(view.focal_px)))
    # The apparent size fixes focal length over distance; take the measured distance, or assume one.
    measured_mm = _measured_distance_mm(found)
    assumed_mm = settings.assumed_distance_mm if measured_mm is None else measured_mm
    if view.landmarks is None:
        assert initial is not None, "checked before"
        assumed_px = initial.focal_px[index] * assumed_mm / -float(initial.parameters.translation_mm[index, 2])
    else:
        _, translation_mm = pose_from_points(model, found)
        assumed_px = longer_px * assumed_mm / -float(translation_mm[2])
    assumed_px = max(assumed_px, MIN_FOCAL_SHARE * longer_px)
    sigma = settings.focal_sigma if landmarks.calibrated else settings.uncalibrated_focal_sigma
    if measured_mm is not None:
        sigma = min(sigma, settings.measured_focal_sigma)
    return dataclasses.replace(found, focal_px=torch.full_like(focal_px, assumed_px), focal_sigma=sigma)


def _measured_distance_mm(view: ViewTensors) -> float | None:
    """Of the face's landmarks, which surround the head's origin; None if nothing was measured there."""
    if view.depth is None:
        return None
    depth_mm, known = view.depth.at(view.landmarks.points_px)
    return float(depth_mm[known].median()) if bool(known.any()) else None


def cropped(view: View, uncropped: ViewTensors, size_px: int, visibility: Float[Tensor, " n"]) -> ViewTensors:
    """The square around the landmarks; what lies beyond the photo's border is masked.

    Args:
        view: the photo.
        uncropped: its landmarks and lens, see :func:`landmark_view`.
        size_px: side of the crop.
        visibility: ``(N,)`` of each landmark, see :func:`landmark_visibility`.
    """
    points = uncropped.landmarks.points_px.cpu().numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    side = _CROP_MARGIN * float((high - low).max())
    corner = 0.5 * (low + high) - 0.5 * side
    scale = size_px / side
    photo_from_crop = np.array([[1 / scale, 0.0, corner[0]], [0.0, 1 / scale, corner[1]], [0.0, 0.0, 1.0]])
    pixels = torch.tensor(resample(view.pixels, photo_from_crop, (size_px, size_px))).to(visibility)
    centres = (np.arange(size_px) + 0.5) / scale
    inside_x = (corner[0] + centres >= 0) & (corner[0] + centres < view.pixels.shape[1])
    inside_y = (corner[1] + centres >= 0) & (corner[1] + centres < view.pixels.shape[0])
    origin = torch.from_numpy(corner)
    return ViewTensors(
        uncropped.landmarks.cropped(origin, scale, visibility),
        (uncropped.focal_px * scale).to(visibility),
        ((uncropped.principal_px - origin) * scale).to(visibility),
        uncropped.focal_sigma,
        visibility,
        pixels.permute(2, 0, 1)[None] / 255.0,
        torch.from_numpy(np.outer(inside_y, inside_x)).to(visibility)[None, None],
        None if uncropped.depth is None else uncropped.depth.cropped(origin, scale, visibility),
    )


def masked(crop: ViewTensors, mask: Float[Tensor, "1 1 s s"]) -> ViewTensors:
    """A crop with another mask laid over its own. All crops of a view show the same square, so one mask serves them."""
    return dataclasses.replace(crop, mask=crop.face_mask * F.interpolate(mask, crop.size, mode="bilinear"))


@torch.no_grad()
def landmark_visibility(model: FitModel, face: FaceInView) -> Float[Tensor, " n"]:
    """How visible each landmark is by the normals of the fitted face."""
    normals = vertex_normals(face.v_cam[None], model.front.faces)
    at = F.normalize(model.front.landmarks(normals, model.landmark_set)[0], dim=-1)
    towards = -face.camera.view_rays(model.front.landmarks(face.v_cam[None], model.landmark_set))[0]
    return visibility_weight((at * towards).sum(dim=-1))
