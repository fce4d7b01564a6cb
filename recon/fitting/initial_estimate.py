"""An initial estimate that a fit stays near: what another method, as a network, says about the photos beforehand."""

from __future__ import annotations

import dataclasses

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from recon.camera import CAMERAS, CameraModel
from recon.fitting.layout import ParameterLayout
from recon.fitting.solver import LinearizedTerm
from recon.fitting.state import FitState
from recon.parameters import FaceParameters
from recon.rotation import turn_to_ray


@dataclasses.dataclass(frozen=True, eq=False)
class InitialSigma:
    """How wrong an initial estimate of V views may be, as standard deviations. Infinity leaves something free.

    Attributes:
        identity: of the coefficients of the shape, in units of their N(0, 1) prior: of each, ``(Ki,)``, or of all.
        expression: of the expression weights: of each, ``(V, Ke)``, or of all.
        rotation_rad: of the pose: about each axis, or of each view by the lower triangle L ``(V, 3, 3)`` of its precision: rotation
            vectors (radians, camera frame) from the true rotation to the estimate's have the density N(0, (L^T L)^-1).
        translation_mm: of the position across the line of sight.
        depth_fraction: of the distance, as a fraction of it.

    Raises:
        ValueError: a deviation that is not positive, named.
    """

    identity: float | Float[Tensor, " ki"] = torch.inf
    expression: float | Float[Tensor, "v ke"] = torch.inf
    rotation_rad: float | Float[Tensor, "v 3 3"] = torch.inf
    translation_mm: float = torch.inf
    depth_fraction: float = torch.inf

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                checked = value.diagonal(dim1=-2, dim2=-1) if field.name == "rotation_rad" else value
                positive = bool((checked > 0.0).all())
            else:
                positive = value > 0.0
            if not positive:
                raise ValueError(f"the sigma of an initial estimate's {field.name} must be positive, got {value}")

    def rotation_root(self, view: int) -> Float[Tensor, "3 3"]:
        """Of the precision of a view's rotation."""
        if isinstance(self.rotation_rad, Tensor):
            return self.rotation_rad[view].double()
        return torch.eye(3, dtype=torch.float64) / self.rotation_rad


@dataclasses.dataclass(frozen=True, eq=False)
class InitialEstimate:
    """Where a fit starts, and how strongly it is pulled back there.

    Attributes:
        parameters: poses are those of the photos, with the principal points in the photos' middles; albedo counts only if there
            is lighting.
        focal_px: focal length of each photo that the poses were found with.
        sigma: how wrong the parameters may be.
    """

    parameters: FaceParameters
    focal_px: tuple[float, ...]
    sigma: InitialSigma

    def __post_init__(self) -> None:
        if len(self.focal_px) != len(self.parameters):
            raise ValueError(
                f"an initial estimate of {len(self.parameters)} views has {len(self.focal_px)} focal lengths"
            )
        for name in ("identity", "expression", "rotation", "translation_mm"):
            if not bool(torch.isfinite(getattr(self.parameters, name)).all()):
                raise ValueError(f"the initial estimate's {name} holds nan or inf")
        if not bool((self.parameters.translation_mm[:, 2] < 0.0).all()):
            raise ValueError("the initial estimate puts a head behind the camera")

    def with_focal(self, focal_px: tuple[float, ...]) -> InitialEstimate:
        """The same pictures through other lenses: distances grow with the focal lengths, and a head beside the axis keeps
        its rotation against the ray on which it is seen."""
        before, rotation = self.parameters.translation_mm, self.parameters.rotation
        ratio = torch.tensor(focal_px, dtype=torch.float64) / torch.tensor(self.focal_px, dtype=torch.float64)
        moved = torch.cat([before[:, :2], before[:, 2:] * ratio[:, None].to(before)], dim=1)
        if self.parameters.camera_model == "perspective":
            rotation = turn_to_ray(moved) @ turn_to_ray(before).transpose(1, 2) @ rotation
        parameters = dataclasses.replace(self.parameters, translation_mm=moved, rotation=rotation)
        return dataclasses.replace(self, parameters=parameters, focal_px=focal_px)

    def for_camera(self, model: CameraModel) -> InitialEstimate:
        """The same pictures by another camera model, see :meth:`recon.parameters.FaceParameters.for_camera`."""
        return dataclasses.replace(self, parameters=self.parameters.for_camera(model))

    def linearize(self, state: FitState, layout: ParameterLayout) -> LinearizedTerm:
        """Rows that pull the unknowns back to the estimate."""
        sigma, now = self.sigma, state.parameters
        wanted = self.parameters.to(now.identity)
        root = now.identity.new_zeros(layout.n_total, layout.n_total)
        residual = now.identity.new_zeros(layout.n_total)
        diagonal = root.diagonal()
        diagonal[layout.identity] = _inverse(sigma.identity, root)
        residual[layout.identity] = now.identity[0] - wanted.identity[0]
        rotation = wanted.rotation
        if now.camera_model == "perspective":
            # The estimate is sure of how the head looks from its ray, which turns as the distance changes.
            rotation = turn_to_ray(now.translation_mm) @ turn_to_ray(wanted.translation_mm).transpose(1, 2) @ rotation
        rotvec = roma.rotmat_to_rotvec(rotation @ now.rotation.transpose(1, 2))
        for view in range(layout.n_views):
            expression = sigma.expression[view] if isinstance(sigma.expression, Tensor) else sigma.expression
            diagonal[layout.expression(view)] = _inverse(expression, root)
            residual[layout.expression(view)] = now.expression[view] - wanted.expression[view]
            turned = layout.rotation(view)
            root[turned, turned] = sigma.rotation_root(view).to(root)
            residual[turned] = -rotvec[view]
            depth_mm = sigma.depth_fraction * -float(wanted.translation_mm[view, 2])
            sigma_mm = [sigma.translation_mm, sigma.translation_mm, depth_mm]
            diagonal[layout.translation(view)] = 1.0 / root.new_tensor(sigma_mm)
            residual[layout.translation(view)] = now.translation_mm[view] - wanted.translation_mm[view]
        return LinearizedTerm(root, root @ residual)

    def points_px(
        self, points_obj: Float[Tensor, "n 3"], view: int, principal_px: Float[Tensor, "1 2"]
    ) -> Float[Tensor, "n 2"]:
        """Where points of the head lie in one photo."""
        camera = CAMERAS[self.parameters.camera_model](
            self.parameters.rotation[view : view + 1],
            self.parameters.translation_mm[view : view + 1],
            torch.full_like(principal_px, self.focal_px[view]),
            principal_px,
        )
        return camera.to_pixels(camera.to_camera(points_obj[None]))[0]


def _inverse(sigma: float | Tensor, like: Tensor) -> Tensor:
    return torch.as_tensor(sigma).to(like).reciprocal()
