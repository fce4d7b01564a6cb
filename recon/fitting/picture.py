"""The second half of a fit: coefficients, pose and light that make the rendered face look like the photo."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.display import from_display, to_photo
from recon.fitting.settings import FitSettings
from recon.lighting import sh_basis
from recon.render import Mesh, Render, Topology, render

_GEMAN_SCALE = 2.5
_LIGHT_RIDGE = 0.02
_SATURATED = 0.985
_NOISE_EVERY = 10
_LEAST_NOISE, _MOST_NOISE = 0.012, 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class PictureView:
    """A square crop of a photo and the landmarks in it.

    Attributes:
        picture: ``(1, 3, S, S)`` sRGB code values in [0, 1].
        trust: ``(1, 1, S, S)`` in [0, 1]: how likely each pixel shows bare face.
        points_pix: ``(1, N, 2)`` landmarks in pixels of the crop.
        point_weights: ``(1, N)``: one over the variance of each landmark, in 1/px^2.
        focal_px, principal_px: ``(1, 2)`` intrinsics of the crop.
    """

    picture: Float[Tensor, "1 3 s s"]
    trust: Float[Tensor, "1 1 s s"]
    points_pix: Float[Tensor, "1 n 2"]
    point_weights: Float[Tensor, "1 n"]
    focal_px: Float[Tensor, "1 2"]
    principal_px: Float[Tensor, "1 2"]

    @property
    def size(self) -> tuple[int, int]:
        return int(self.picture.shape[2]), int(self.picture.shape[3])


@dataclasses.dataclass(frozen=True, eq=False)
class FaceState:
    """What the optimiser moves. V views of one person.

    Attributes:
        identity: ``(1, Ki)``.
        albedo: ``(1, Ka)``.
        expression: ``(V, Ke)``.
        rotation: ``(V, 3, 3)``, object to camera.
        translation_mm: ``(V, 3)``.
        lighting: ``(V, 9, 3)``, camera frame.
    """

    identity: Float[Tensor, "1 ki"]
    albedo: Float[Tensor, "1 ka"]
    expression: Float[Tensor, "v ke"]
    rotation: Float[Tensor, "v 3 3"]
    translation_mm: Float[Tensor, "v 3"]
    lighting: Float[Tensor, "v 9 3"]


class PictureFitter:
    """Draws a model's face over photos and follows the gradient.

    Args:
        model: the face model, on the device to work on.
        landmark_set: the model's points that correspond to the views' landmarks.
    """

    def __init__(self, model: MorphableModel, landmark_set: str) -> None:
        self.model = _front(model)
        self.landmark_set = landmark_set
        self.topology = Topology.of(self.model.faces, self.model.n_vertices)
        self._vertex_trust = _vertex_trust(self.model)

    def draw(self, state: FaceState, view: PictureView, index: int) -> tuple[Render, Tensor]:
        """The face in one view, and its landmarks ``(1, N, 2)`` in pixels of the crop."""
        vertices = self.model.shape(state.identity, state.expression[index : index + 1])
        camera = self._camera(state, view, index)
        mesh = Mesh.of(vertices, self.topology, self.model.albedo_unclamped(state.albedo).clamp_min(0.0))
        drawn = render(mesh, camera, state.lighting[index : index + 1], view.size)
        points = self.model.landmarks(vertices, self.landmark_set)
        return drawn, camera.to_pixels(camera.to_camera(points))

    def estimate_lighting(self, state: FaceState, views: list[PictureView]) -> FaceState:
        """The light of each view by least squares, given shape and albedo: shading is linear in it."""
        lights = []
        with torch.no_grad():
            for index, view in enumerate(views):
                drawn, _ = self.draw(state, view, index)
                trust = self._pixel_trust(drawn, view)[0, 0]
                photo = view.picture[0]
                keep = (trust > 0.3) & (photo.amax(dim=0) < _SATURATED)
                if int(keep.sum()) < 50:
                    keep = drawn.covered[0, 0]
                target = from_display(photo, self.model.albedo_space)[:, keep].double()
                basis = sh_basis(drawn.normals[0][:, keep].T).double() * _band_factors().to(target.device)
                paint = drawn.albedo[0][:, keep].double()
                lights.append(torch.stack([_solve_light(basis * paint[c, :, None], target[c]) for c in range(3)], -1))
        return dataclasses.replace(state, lighting=torch.stack(lights).to(state.lighting))

    def improve(
        self, state: FaceState, views: list[PictureView], settings: FitSettings, n_steps: int, rate: float = 1.0
    ) -> FaceState:
        """Adam on everything at once, in units in which all unknowns are of order one."""
        if n_steps == 0:
            return state
        unknowns = _Unknowns.of(state)
        rates = [rate * size for _, size in unknowns.steps()]
        groups: list[dict[str, object]] = [
            {"params": [tensor], "lr": lr} for (tensor, _), lr in zip(unknowns.steps(), rates, strict=True)
        ]
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            rates,
            total_steps=n_steps,
            pct_start=0.2,
            div_factor=5.0,
            final_div_factor=8.0,
        )
        anchor = state.identity.detach()
        sigmas: list[float] = []
        for step in range(n_steps):
            if step % _NOISE_EVERY == 0:
                sigmas = [self._noise(unknowns.state(state), view, k, settings) for k, view in enumerate(views)]
            current = unknowns.state(state)
            energy = self._energy(current, views, settings, sigmas)
            # Shading says little about shape while light, paint and shadows are unknown: stay near what the points say.
            energy = energy + 0.5 * settings.identity_anchor * (current.identity - anchor).square().sum()
            optimiser.zero_grad(set_to_none=True)
            energy.backward()
            optimiser.step()
            schedule.step()
            unknowns.confine(self.model.expression_prior == "unit")
        final = unknowns.state(state)
        return dataclasses.replace(final, **_detached(final))

    def residual(self, state: FaceState, view: PictureView, index: int) -> float:
        """Root mean square difference of code values over the trusted pixels."""
        with torch.no_grad():
            drawn, _ = self.draw(state, view, index)
            trust = self._pixel_trust(drawn, view)
            gap = (to_photo(drawn.image, self.model.albedo_space) - view.picture).square().mean(dim=1, keepdim=True)
            return float(((trust * gap).sum() / trust.sum().clamp_min(1e-6)).sqrt())

    def _noise(self, state: FaceState, view: PictureView, index: int, settings: FitSettings) -> float:
        """Robust standard deviation of what the model leaves unexplained: a clean photo says more than a noisy one."""
        with torch.no_grad():
            drawn, _ = self.draw(state, view, index)
            gap = (to_photo(drawn.image, self.model.albedo_space) - view.picture).abs().amax(dim=1, keepdim=True)
            sure = gap[self._pixel_trust(drawn, view) > 0.5]
        if not len(sure):
            return _MOST_NOISE
        return float((1.48 * sure.median()).clamp(_LEAST_NOISE, _MOST_NOISE))

    def _energy(self, state: FaceState, views: list[PictureView], settings: FitSettings, sigmas: list[float]) -> Tensor:
        """Minus the log probability, up to a constant; ``sigmas`` are the views' colour noise."""
        total = 0.5 * settings.identity_weight * state.identity.square().sum()
        total = total + 0.5 * settings.albedo_weight * state.albedo.square().sum()
        total = total + 0.5 * (state.expression / settings.expression_sigma).square().sum()
        for index, view in enumerate(views):
            drawn, points = self.draw(state, view, index)
            gap2 = (points - view.points_pix).square().sum(-1) * view.point_weights
            # Geman and McClure's function of the gap in standard deviations, quadratic near 0.
            total = total + 0.5 * (gap2 / (1.0 + gap2 / 9.0)).sum()
            total = total + settings.picture_weight * self._picture_gap(drawn, view, sigmas[index])
            total = total + _light_energy(state.lighting[index])
        return total

    def _picture_gap(self, drawn: Render, view: PictureView, sigma: float) -> Tensor:
        """Half the mean robust squared difference of trusted pixels, in units of the noise."""
        trust = self._pixel_trust(drawn, view)
        shown = to_photo(drawn.image, self.model.albedo_space)
        gap2 = ((shown - view.picture) / sigma).square().sum(dim=1, keepdim=True)
        robust = gap2 / (1.0 + gap2 / _GEMAN_SCALE**2 / 3.0)
        return 0.5 * (trust * robust).sum() / trust.sum().clamp_min(1.0)

    def _pixel_trust(self, drawn: Render, view: PictureView) -> Float[Tensor, "1 1 s s"]:
        """Where the model shows a surface worth comparing and the photo seems to show it too. No gradient."""
        with torch.no_grad():
            ids = drawn.triangle_ids[0]
            face_trust = self._vertex_trust[self.model.faces].amin(dim=1)
            on_face = torch.where(ids >= 0, face_trust[ids.clamp_min(0).long()], torch.zeros((), device=ids.device))
            facing = drawn.normals[:, 2:].clamp(0.0, 1.0)
            return on_face[None, None] * view.trust * (facing / 0.35).clamp(0.0, 1.0)

    def bare_skin(self, state: FaceState, view: PictureView, index: int) -> Float[Tensor, "1 1 s s"]:
        """1 where the model shows cheeks and nose, which hair, beard and glasses mostly leave free."""
        with torch.no_grad():
            ids = self.draw(state, view, index)[0].triangle_ids[0]
            names = [name for name in ("cheeks", "nose") if name in self.model.region_names]
            regions = [self.model.region(name) for name in names] or [self._vertex_trust > 0.9]
            bare = torch.stack(regions).any(dim=0)[self.model.faces].all(dim=1)
            return (bare[ids.clamp_min(0).long()] & (ids >= 0))[None, None].to(view.picture)

    def _camera(self, state: FaceState, view: PictureView, index: int) -> PerspectiveCamera:
        return PerspectiveCamera(
            state.rotation[index : index + 1],
            state.translation_mm[index : index + 1],
            view.focal_px,
            view.principal_px,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Unknowns:
    """Leaf tensors of the optimiser; the pose as a small motion from where the views started."""

    identity: Tensor
    albedo: Tensor
    expression: Tensor
    spin_rad: Tensor
    shift_mm: Tensor
    lighting: Tensor

    @classmethod
    def of(cls, state: FaceState) -> _Unknowns:
        def leaf(tensor: Tensor) -> Tensor:
            return tensor.detach().clone().requires_grad_()

        return cls(
            leaf(state.identity),
            leaf(state.albedo),
            leaf(state.expression),
            leaf(torch.zeros_like(state.translation_mm)),
            leaf(torch.zeros_like(state.translation_mm)),
            leaf(state.lighting),
        )

    def steps(self) -> list[tuple[Tensor, float]]:
        """Each leaf with its step size."""
        return [
            (self.identity, 0.06),
            (self.albedo, 0.08),
            (self.expression, 0.02),
            (self.spin_rad, 0.004),
            (self.shift_mm, 0.5),
            (self.lighting, 0.03),
        ]

    def state(self, start: FaceState) -> FaceState:
        rotation = torch.linalg.matrix_exp(_cross_matrix(self.spin_rad)) @ start.rotation
        depth = start.translation_mm[:, 2:] / 1000.0
        # Moving along the viewing ray changes size only: one step there is a change of a thousandth in distance.
        shift = torch.cat([self.shift_mm[:, :2], self.shift_mm[:, 2:] * -2.0 * depth], dim=1)
        return FaceState(
            self.identity, self.albedo, self.expression, rotation, start.translation_mm + shift, self.lighting
        )

    def confine(self, bounded: bool) -> None:
        with torch.no_grad():
            if bounded:
                self.expression.clamp_(0.0, 1.0)
            self.identity.clamp_(-3.5, 3.5)
            self.albedo.clamp_(-3.0, 3.0)


def _detached(state: FaceState) -> dict[str, Tensor]:
    return {field.name: getattr(state, field.name).detach().clone() for field in dataclasses.fields(state)}


def _cross_matrix(spin_rad: Tensor) -> Tensor:
    x, y, z = spin_rad.unbind(dim=1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)


def _light_energy(lighting: Float[Tensor, "9 3"]) -> Tensor:
    """Real light is mostly white and never far from smooth: colour apart from the mean costs, so do the high bands."""
    scale = lighting[0].mean().clamp_min(0.1).detach()
    tinted = (lighting - lighting.mean(dim=1, keepdim=True)) / scale
    return 0.5 * (tinted / 0.15).square().sum() + 0.5 * (lighting[4:] / scale / 0.25).square().sum()


def _band_factors() -> Tensor:
    """Irradiance over pi of a unit coefficient, by band: what :func:`recon.lighting.shade` multiplies by."""
    return torch.tensor([1.0] + [2.0 / 3.0] * 3 + [0.25] * 5, dtype=torch.float64)


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


def _front(model: MorphableModel) -> MorphableModel:
    """The part of a head that a photo of a face shows: without scalp and neck there is half as much to draw."""
    if not {"scalp", "neck"} <= set(model.region_names):
        return model
    return model.crop(~(model.region("scalp") | model.region("neck")))


def _vertex_trust(model: MorphableModel) -> Float[Tensor, " v"]:
    """How well each part of the model explains pictures: skin well, eyes and mouth less, ears and insides not."""
    names = model.region_names
    trust = torch.ones(model.n_vertices, device=model.mean_shape.device)
    if "face" in names:
        trust = model.region("face").float()
    if "eyes" in names:
        trust[model.region("eyes")] = 0.6
    if "brows" in names:
        trust[model.region("brows")] *= 0.6
    return trust


def as_tensor(array: np.ndarray, like: Tensor) -> Tensor:
    """A numpy array as a tensor of the same type and device as another."""
    return torch.tensor(np.ascontiguousarray(array)).to(like)
