"""A few steps of fitting that start from what a network says and stay near it: the hybrid method."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from losses.photometric import photometric_loss
from recon.coefficients import Coefficients
from recon.decoder import DecodedFaces, FaceDecoder, PointBasis
from recon.networks.occlusion import ResidualOcclusion
from recon.regression import RegressedFace


@dataclasses.dataclass(frozen=True)
class RefinementSettings:
    """Effort and beliefs of a refinement.

    Attributes:
        point_steps: Adam steps on landmarks alone.
        picture_steps: Adam steps on landmarks and picture.
        sigma: standard deviation of a landmark, in shares of the crop's side.
        identity_anchor, expression_anchor: strength with which the network's answer is held, in units of one over a squared
            standard deviation of its error.
        prior: strength of the N(0, 1) priors.
        picture_weight: of the mean squared colour difference.
    """

    point_steps: int = 80
    picture_steps: int = 20
    sigma: float = 0.012
    identity_anchor: float = 1.0
    expression_anchor: float = 10.0
    prior: float = 0.3
    picture_weight: float = 1500.0

    @classmethod
    def of(cls, quality: str) -> RefinementSettings:
        """``fast`` looks at the points only; ``best`` looks longer at the picture.

        Raises:
            ValueError: no such quality.
        """
        chosen = {"fast": cls(picture_steps=0), "default": cls(), "best": cls(picture_steps=80)}.get(quality)
        if chosen is None:
            raise ValueError(f"quality must be fast, default or best, got {quality!r}")
        return chosen


class Refiner:
    """Moves a network's answer to where the photo wants it.

    Args:
        model: the face model, with the landmark set of the points.
        landmark_set: to which the detected points correspond.
    """

    def __init__(self, model: MorphableModel, landmark_set: str = "478") -> None:
        self.points = PointBasis(model, landmark_set)
        self.decoder = FaceDecoder(model, "face")

    def __call__(
        self, face: RegressedFace, points_px: Float[Tensor, "1 n 2"], settings: RefinementSettings
    ) -> RegressedFace:
        """The refined face. Deterministic.

        Args:
            face: what the network says.
            points_px: detected landmarks in pixels of the *crop*.
            settings: effort and beliefs.
        """
        start = face.coefficients
        leaves = _leaves(start)
        unit = self.decoder.model.expression_prior == "unit"
        optimiser = torch.optim.Adam(
            [{"params": [leaf], "lr": _RATES[name]} for name, leaf in leaves.items()], betas=(0.9, 0.95)
        )
        total = settings.point_steps + settings.picture_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0 - 0.9 * step / max(1, total))
        for step in range(total):
            current = _moved(start, leaves, unit)
            energy = self._energy(current, start, face, points_px, settings)
            if step >= settings.point_steps:
                energy = energy + settings.picture_weight * self._picture_gap(current, face)
            optimiser.zero_grad()
            energy.backward()
            optimiser.step()
            schedule.step()
        final = _moved(start, leaves, unit).detach()
        camera = face.crop_camera.with_pose(final.rotation, final.translation_mm)
        return dataclasses.replace(face, coefficients=final, crop_camera=camera)

    def _energy(
        self,
        current: Coefficients,
        start: Coefficients,
        face: RegressedFace,
        points_px: Tensor,
        settings: RefinementSettings,
    ) -> Tensor:
        camera = face.crop_camera.with_pose(current.rotation, current.translation_mm)
        found = camera.to_pixels(camera.to_camera(self.points(current.identity, current.expression)))
        gap2 = ((found - points_px) / (settings.sigma * face.crop.shape[-1])).square().sum(dim=-1)
        # Geman and McClure: a point that is hidden or mistaken does not pull. 478 points are worth about 60 independent ones.
        fit = 60.0 * (gap2 / (1.0 + gap2 / 9.0)).mean()
        near = settings.identity_anchor * (current.identity - start.identity).square().sum()
        near = near + settings.expression_anchor * (current.expression - start.expression).square().sum()
        likely = settings.prior * (current.identity.square().sum() + current.albedo.square().sum())
        return 0.5 * (fit + near + likely)

    def _picture_gap(self, current: Coefficients, face: RegressedFace) -> Tensor:
        camera = face.crop_camera.with_pose(current.rotation, current.translation_mm)
        faces = DecodedFaces(self.decoder, current, camera)
        side = int(face.crop.shape[-1])
        drawn = faces.drawn((side, side))
        picture = faces.picture(drawn)
        mask = ResidualOcclusion()(face.crop, picture.detach(), drawn.covered.to(picture.dtype))
        return photometric_loss(picture, face.crop, mask)


_RATES = {
    "identity": 0.06,
    "expression": 0.02,
    "albedo": 0.06,
    "spin_rad": 0.008,
    "shift": 0.004,
    "lighting": 0.02,
}
"""Adam's step a block: each about a tenth of how wrong the network usually is."""


def _leaves(start: Coefficients) -> dict[str, Tensor]:
    """Changes, all zero."""
    like = start.translation_mm
    shapes = {
        "identity": start.identity.shape,
        "expression": start.expression.shape,
        "albedo": start.albedo.shape,
        "spin_rad": like.shape,
        "shift": like.shape,
        "lighting": start.lighting.shape,
    }
    return {name: like.new_zeros(shape).requires_grad_() for name, shape in shapes.items()}


def _moved(start: Coefficients, leaves: dict[str, Tensor], unit: bool) -> Coefficients:
    expression = start.expression + leaves["expression"]
    if unit:
        expression = expression.clamp(0.0, 1.0)
    x, y, z = leaves["spin_rad"].unbind(dim=1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=1).reshape(-1, 3, 3)
    # Sideways in hundredths of the distance, and along the viewing ray, which changes the size only.
    sideways = leaves["shift"][:, :2] * 0.1 * -start.translation_mm[:, 2:]
    along = start.translation_mm * torch.exp(leaves["shift"][:, 2:])
    shifted = torch.cat((along[:, :2] + sideways, along[:, 2:]), dim=1)
    return Coefficients(
        start.identity + leaves["identity"],
        expression,
        start.albedo + leaves["albedo"],
        torch.linalg.matrix_exp(cross) @ start.rotation,
        shifted,
        start.lighting + leaves["lighting"],
    )
