"""The second half of a fit: coefficients, pose and light that make the rendered face look like the photo.

Gauss-Newton on all unknowns at once, coarse to fine. Each step draws the face with the renderer, measures the blurred
difference to the photo at the visible vertices, and solves the normal equations together with landmarks and priors.
Shape, pose and light are strongly coupled: following the gradient alone, a step at a time, did not part them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import decode_srgb, encode_srgb_unclamped
from recon.fitting.anchor import Start, shape_and_pose
from recon.fitting.expressions import ExpressionPrior
from recon.fitting.landmark_rows import OPENINGS, landmark_rows, points_jacobian
from recon.fitting.plausibility import size_slope
from recon.fitting.priors import band_factors, priors
from recon.fitting.settings import FitSettings
from recon.fitting.sight import Sight
from recon.fitting.silhouette import contour_vertices, find_outline, outline_rows
from recon.fitting.state import FaceState, PictureView
from recon.fitting.surface import (
    Spots,
    SurfaceModel,
    picture_jacobian,
    sample_at,
    spin_gradient,
)
from recon.fitting.unknowns import Layout, solve_within
from recon.lighting import sh_basis
from recon.render import Render, Topology
from recon.segmentation.segmenter import FacePrior

_GEMAN_SCALE2 = 18.75
"""Squared gap, in units of the noise variance, at which a spot counts a quarter: 3 channels at 2.5 sigma each."""
_LIGHT_RIDGE = 0.02
_SATURATED = 0.985
_LEAST_NOISE, _MOST_NOISE = 0.004, 0.25
_DAMPING = 1e-3
_NORMALS_EVERY = 4
_HIDDEN_MM = 4.0
_MOST_IDENTITY, _MOST_ALBEDO = 3.5, 3.0
_MOST_LOG_ZOOM = 0.7
_PAINT_STIFFNESS = 30.0
_MOST_SPIN_RAD = 0.2
_SPARSE_PX, _SPARSE_EVERY = 160, 3
"""Crops up to this size are compared at every so many vertices."""


class PictureFitter:
    """Draws a model's face over photos and moves it until they agree.

    Args:
        model: the face model, on the device to work on.
        landmark_set: the model's points that correspond to the views' landmarks.
    """

    def __init__(self, model: MorphableModel, landmark_set: str) -> None:
        self.whole_model = model
        self.model = _front(model, landmark_set)
        self.landmark_set = landmark_set
        self.topology = Topology.of(self.model.faces, self.model.n_vertices)
        self._vertex_trust = _vertex_trust(self.model)
        self._outlined = _outlined(self.model, self._vertex_trust)
        self._expressions = ExpressionPrior.of(self.model.expression_names)
        self._surface = SurfaceModel.of(self.model, self._vertex_trust)
        self._sparse_surface = self._surface.thinned(_SPARSE_EVERY)
        basis = self._surface.shape_basis
        self._landmark_basis = torch.stack(
            [self.model.landmarks(basis[:, axis][None], landmark_set)[0] for axis in range(3)], dim=1
        )
        self._size_slope = size_slope(
            self.model.landmarks(self.model.mean_shape[None], landmark_set)[0].double().cpu().numpy(),
            self._landmark_basis[..., : model.n_identity].double().cpu().numpy(),
        )

    def draw(self, state: FaceState, view: PictureView, index: int) -> tuple[Render, Tensor]:
        """The face in one view, and its landmarks ``(1, N, 2)`` in pixels of the crop."""
        sight = self._sight(state, view, index)
        return sight.drawn, sight.camera.to_pixels(self.model.landmarks(sight.v_cam[None], self.landmark_set))

    @torch.no_grad()
    def estimate_lighting(self, state: FaceState, views: list[PictureView]) -> FaceState:
        """The light of each view by least squares, given shape and albedo: shading is linear in it."""
        lights = []
        for index, view in enumerate(views):
            drawn, _ = self.draw(state, view, index)
            trust = self._pixel_trust(drawn, view)[0, 0]
            photo = view.picture[0]
            keep = (trust > 0.3) & (photo.amax(dim=0) < _SATURATED)
            if int(keep.sum()) < 50:
                keep = drawn.covered[0, 0]
            target = decode_srgb(photo, self.model.albedo_space)[:, keep].double()
            basis = sh_basis(drawn.normals[0][:, keep].T).double() * band_factors().to(target.device)
            paint = drawn.albedo[0][:, keep].double()
            lights.append(torch.stack([_solve_light(basis * paint[c, :, None], target[c]) for c in range(3)], -1))
        return dataclasses.replace(state, lighting=torch.stack(lights).to(state.lighting))

    @torch.no_grad()
    def improve(
        self,
        state: FaceState,
        views: list[PictureView],
        settings: FitSettings,
        n_steps: int,
        blur_px: float = 1.0,
        start: Start | None = None,
    ) -> FaceState:
        """Gauss-Newton steps on everything at once.

        Args:
            state: where to start; left as it is.
            views: crops, one a view of the state.
            settings: weights of picture, points and priors.
            n_steps: steps.
            blur_px: standard deviation of the blur of photo and drawing; the larger, the farther the face may be off.
            start: what to stay near.
        """
        first = not bool(state.albedo.any())
        photos = [_blur(view.picture, blur_px) for view in views]
        surface = self._surface_for(views[0])
        normal_bases: list[Tensor] = []
        layout = self._layout(len(views))
        for step in range(n_steps):
            sights = [self._sight(state, view, index) for index, view in enumerate(views)]
            if step % _NORMALS_EVERY == 0:
                normal_bases = [surface.normal_basis(sight.vertices[0]) for sight in sights]
            # Paint follows last: a fringe of hair must look wrong before paint may explain it.
            stiffness = max(1.0, _PAINT_STIFFNESS * 0.6**step) if first else 1.0
            normal, right = priors(state, views, layout, settings, stiffness, self._expressions, self._size_slope)
            if start is not None:
                weights, pull = start.equations(layout, *shape_and_pose(state))
                normal += np.diag(weights)
                right += pull
            for index, (view, sight, photo) in enumerate(zip(views, sights, photos, strict=True)):
                where = layout.of_view(index)
                for rows, gaps in (
                    self._picture_rows(sight, surface, normal_bases[index], view, photo, blur_px, settings),
                    self._landmark_rows(sight, view, settings),
                    self._outline_rows(sight, view, photo, settings),
                ):
                    normal[np.ix_(where, where)] += (rows.T @ rows).double().cpu().numpy()
                    right[where] -= (rows.T @ gaps).double().cpu().numpy()
            diagonal = np.arange(layout.n_all)
            normal[diagonal, diagonal] *= 1.0 + _DAMPING
            state = self._advance(state, layout, normal, right)
        return state

    @torch.no_grad()
    def residual(self, state: FaceState, view: PictureView, index: int) -> float:
        """Root mean square difference of trusted pixels' code values."""
        drawn, _ = self.draw(state, view, index)
        trust = self._pixel_trust(drawn, view)
        gap = (
            (encode_srgb_unclamped(drawn.image, self.model.albedo_space) - view.picture)
            .square()
            .mean(dim=1, keepdim=True)
        )
        return float(((trust * gap).sum() / trust.sum().clamp_min(1e-6)).sqrt())

    @torch.no_grad()
    def face_prior(self, state: FaceState, view: PictureView, index: int) -> FacePrior:
        """Where the face lies in one view."""
        return FacePrior.of_triangles(self.model, self.draw(state, view, index)[0].triangle_ids)

    def _layout(self, n_views: int) -> Layout:
        return Layout(self.model.n_identity, self.model.n_albedo, self.model.n_expression, n_views, 27, 1)

    def _sight(self, state: FaceState, view: PictureView, index: int) -> Sight:
        return Sight.of(self.model, self.topology, state, view, index)

    def _surface_for(self, view: PictureView) -> SurfaceModel:
        """A small picture is compared at fewer places: its pixels are larger than the triangles."""
        return self._sparse_surface if view.size[0] <= _SPARSE_PX else self._surface

    def _picture_rows(
        self,
        sight: Sight,
        surface: SurfaceModel,
        normal_basis: Tensor,
        view: PictureView,
        photo: Float[Tensor, "1 3 s s"],
        blur_px: float,
        settings: FitSettings,
    ) -> tuple[Tensor, Tensor]:
        """Weighted Jacobian ``(R, d)`` and residual ``(R,)`` of the picture in one view."""
        spots = _spots(sight, surface.samples, view)
        shown = (
            encode_srgb_unclamped(sight.drawn.image, self.model.albedo_space) + (1.0 - sight.drawn.mask) * view.picture
        )
        shown = _blur(shown, blur_px)
        gaps = sample_at(shown - photo, spots.pixels)
        weights = _spot_weights(sight, spots, surface, view)
        if not bool((weights > 0).any()):
            return photo.new_zeros(0, self._layout(1).n_all), photo.new_zeros(0)
        noise = float((1.48 * gaps[weights > 0].abs().amax(dim=1).median()).clamp(_LEAST_NOISE, _MOST_NOISE))
        robust = 1.0 / (1.0 + gaps.square().sum(dim=1) / noise**2 / _GEMAN_SCALE2) ** 2
        weights = settings.picture_weight / noise**2 * robust * weights / weights.sum()
        keep = weights > 0
        slope_x, slope_y = _gradient(0.5 * (shown + photo))
        slopes = torch.stack([sample_at(slope_x, spots.pixels), sample_at(slope_y, spots.pixels)], dim=-1)
        jacobian = picture_jacobian(
            surface, spots, sight.lighting, sight.rotation, normal_basis, slopes, sight.focal_px
        )
        roots = weights[keep].sqrt()[:, None]
        return (jacobian[keep] * roots[..., None]).flatten(0, 1), (gaps[keep] * roots).flatten()

    def _outline_rows(
        self, sight: Sight, view: PictureView, photo: Float[Tensor, "1 3 s s"], settings: FitSettings
    ) -> tuple[Tensor, Tensor]:
        """Weighted Jacobian ``(K, d)`` and residual ``(K,)`` of the face's outline in one view."""
        on_contour = contour_vertices(sight.v_cam, self.topology)
        on_contour = on_contour[self._outlined[on_contour]]
        outline = find_outline(
            on_contour,
            sight.pixels(sight.v_cam[on_contour]),
            F.normalize(sight.normals[on_contour, :2] * photo.new_tensor([1.0, -1.0]), dim=-1),
            -sight.v_cam[on_contour, 2],
            sight.depth_mm,
            photo,
            view.trust,
        )
        at = outline.vertices
        jacobian = points_jacobian(
            sight.turned[at],
            sight.v_cam[at],
            self._surface.shape_basis[at],
            sight.rotation,
            sight.focal_px,
            self._layout(1),
        )
        return outline_rows(outline, jacobian, settings.outline_sigma * view.size[0], settings.outline_weight)

    def _landmark_rows(self, sight: Sight, view: PictureView, settings: FitSettings) -> tuple[Tensor, Tensor]:
        """Weighted Jacobian ``(R, d)`` and residual ``(R,)`` of landmarks and openings in one view."""
        turned, v_cam = (
            self.model.landmarks(points[None], self.landmark_set)[0] for points in (sight.turned, sight.v_cam)
        )
        gaps = sight.pixels(v_cam) - view.points_pix[0]
        jacobian = points_jacobian(turned, v_cam, self._landmark_basis, sight.rotation, sight.focal_px, self._layout(1))
        openings = OPENINGS.get(self.landmark_set, ())
        return landmark_rows(jacobian, gaps, view.point_weights[0], openings, settings.opening_sharpness)

    def _advance(self, state: FaceState, layout: Layout, normal: np.ndarray, right: np.ndarray) -> FaceState:
        views = range(layout.n_views)
        bounded = self.model.expression_prior == "unit"
        # Bounds belong into the solution: cutting paint off afterwards would leave the light that was solved with it.
        blocks = [
            (layout.identity, state.identity[0], -_MOST_IDENTITY, _MOST_IDENTITY),
            (layout.albedo, state.albedo[0], -_MOST_ALBEDO, _MOST_ALBEDO),
        ]
        if bounded:
            blocks += [(layout.expression(k), state.expression[k], 0.0, 1.0) for k in views]
        positions = np.concatenate([np.arange(where.start, where.stop) for where, *_ in blocks])
        now = torch.cat([values for _, values, *_ in blocks]).double().cpu().numpy()
        low = np.concatenate([np.full(len(values), least) for _, values, least, _ in blocks])
        high = np.concatenate([np.full(len(values), most) for _, values, _, most in blocks])
        step = as_tensor(solve_within(normal, right, positions, now, low, high), state.identity)
        expression = state.expression + torch.stack([step[layout.expression(k)] for k in views])
        poses = torch.stack([step[layout.pose(k)] for k in views])
        spin = poses[:, :3]
        spin = spin * (_MOST_SPIN_RAD / spin.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
        zoom = torch.stack([step[layout.zoom(k)] for k in views])[:, 0]
        return FaceState(
            (state.identity + step[layout.identity]).clamp(-_MOST_IDENTITY, _MOST_IDENTITY),
            (state.albedo + step[layout.albedo]).clamp(-_MOST_ALBEDO, _MOST_ALBEDO),
            expression.clamp(0.0, 1.0) if bounded else expression,
            torch.linalg.matrix_exp(spin_gradient(spin).transpose(1, 2)) @ state.rotation,
            state.translation_mm + poses[:, 3:],
            state.lighting + torch.stack([step[layout.light(k)].view(9, 3) for k in views]),
            (state.log_zoom + zoom).clamp(-_MOST_LOG_ZOOM, _MOST_LOG_ZOOM),
        )

    def _pixel_trust(self, drawn: Render, view: PictureView) -> Float[Tensor, "1 1 s s"]:
        """Where the model shows a surface worth comparing and the photo seems to show it too."""
        ids = drawn.triangle_ids[0]
        face_trust = self._vertex_trust[self.model.faces].amin(dim=1)
        on_face = torch.where(ids >= 0, face_trust[ids.clamp_min(0).long()], torch.zeros((), device=ids.device))
        facing = drawn.normals[:, 2:].clamp(0.0, 1.0)
        return on_face[None, None] * view.trust * (facing / 0.35).clamp(0.0, 1.0)


def _spots(sight: Sight, samples: Int[Tensor, " s"], view: PictureView) -> Spots:
    v_cam = sight.v_cam[samples]
    pixels = sight.pixels(v_cam)
    return Spots(
        v_cam, sight.normals[samples], sight.turned[samples], pixels, pixels - view.principal_px, sight.paint[samples]
    )


def _spot_weights(sight: Sight, spots: Spots, surface: SurfaceModel, view: PictureView) -> Float[Tensor, " s"]:
    """Visible area of each sample in px, times how far it and the photo there are to be believed."""
    facing = -(spots.normals * F.normalize(spots.v_cam, dim=-1)).sum(-1)
    slack = _HIDDEN_MM + 3.0 * (1.0 - facing.clamp(0.0, 1.0))
    side = view.size[0]
    inside = ((spots.pixels > 1.0) & (spots.pixels < side - 1.0)).all(dim=1)
    visible = inside & (facing > 0.05) & (-spots.v_cam[:, 2] - sight.nearest_mm(spots.pixels) < slack)
    area_px = surface.area_mm2 * facing.clamp(0.0, 1.0) * (sight.focal_px / spots.v_cam[:, 2]) ** 2
    believed = sample_at(view.trust, spots.pixels)[:, 0] * surface.trust * (facing / 0.35).clamp(0.0, 1.0)
    return area_px * believed * visible


def _solve_light(design: Tensor, target: Tensor) -> Tensor:
    """Robust ridge least squares for nine coefficients."""
    weights = torch.ones_like(target)
    ridge = _LIGHT_RIDGE * float((design[:, 0] ** 2).sum()) * torch.diag(torch.tensor([0.0] + [1.0] * 8).to(design))
    solution = torch.zeros(9).to(design)
    for _ in range(4):
        rows = design * weights[:, None]
        solution = torch.linalg.solve(rows.T @ design + ridge, rows.T @ target)
        gap = target - design @ solution
        spread = 1.48 * gap.abs().median().clamp_min(1e-3)
        weights = 1.0 / (1.0 + (gap / (2.0 * spread)) ** 2)
    return solution


def _blur(picture: Float[Tensor, "1 c s s"], sigma_px: float) -> Float[Tensor, "1 c s s"]:
    """Gaussian blur; the border is continued."""
    reach = int(np.ceil(2.5 * sigma_px))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma_px) ** 2).to(picture)
    kernel = kernel / kernel.sum()
    channels = picture.shape[1]
    padded = F.pad(picture, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def _gradient(picture: Float[Tensor, "1 c s s"]) -> tuple[Tensor, Tensor]:
    """Central differences by x and y, per px; 0 on the border."""
    by_x, by_y = torch.zeros_like(picture), torch.zeros_like(picture)
    by_x[..., 1:-1] = 0.5 * (picture[..., 2:] - picture[..., :-2])
    by_y[..., 1:-1, :] = 0.5 * (picture[..., 2:, :] - picture[..., :-2, :])
    return by_x, by_y


def _front(model: MorphableModel, landmark_set: str) -> MorphableModel:
    """The part of a head that a photo of a face shows: without scalp and neck there is half as much to draw."""
    if not {"scalp", "neck"} <= set(model.region_names):
        return model
    keep = ~(model.region("scalp") | model.region("neck"))
    # A landmark at the hairline may lie on the scalp.
    data = model.data()
    points = data.landmarks[landmark_set] if landmark_set in data.landmarks else model.landmark_points(landmark_set)
    keep[torch.from_numpy(data.faces[points.triangles]).to(keep.device).long().flatten()] = True
    return model.crop(keep)


def _vertex_trust(model: MorphableModel) -> Float[Tensor, " v"]:
    """How well each part of the model explains pictures: skin well, eyes and mouth less, ears and insides not.

    Foreheads not either: hair begins there, and a fit sooner squeezes the whole skull than to have skin where the photo
    has hair. Over the photos of 22 people skulls came out flat; heads drawn without hair lost nothing.
    """
    names = model.region_names
    trust = torch.ones(model.n_vertices, device=model.mean_shape.device)
    if "face" in names:
        trust = model.region("face").float()
    if "forehead" in names:
        height = model.mean_shape[:, 1]
        trust[height >= height[model.region("forehead")].min()] = 0.0
    if "eyes" in names:
        trust[model.region("eyes")] = 0.6
    if "brows" in names:
        trust[model.region("brows")] *= 0.6
    return trust


def _outlined(model: MorphableModel, trust: Float[Tensor, " v"]) -> Bool[Tensor, " v"]:
    """Vertices whose outline a photo shows as an edge. Lids and lips have edges of their own, of colour."""
    return (trust > 0.0) & ~model.any_region("eyes", "eyelids", "lips")


def as_tensor(array: np.ndarray, like: Tensor) -> Tensor:
    """A numpy array as a tensor of the same type and device as another."""
    return torch.tensor(np.ascontiguousarray(array)).to(like)
