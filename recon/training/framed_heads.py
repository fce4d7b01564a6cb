"""Heads whose truth is known, in the crops that a network sees or would see of them."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bfm.dense_landmarks import dense_landmarks
from bfm.model import MorphableModel
from recon.decoder import PointBasis
from recon.networks.lifting_network import NOMINAL_SIZE
from recon.training.framing import CropSimilarity
from recon.training.ray_truth import depth_along_ray, ray_rotation

NEAREST_MM = 20.0
"""A wild first step may put points behind the camera, where projection has no gradient worth following."""


class LandmarkBasis(nn.Module):
    """The landmarks of several sets, one set after the other, as a linear function of identity and expression.

    Args:
        model: the face model; the landmark set ``"520"`` is added if it lacks it.
        point_sets: names of the sets.
    """

    def __init__(self, model: MorphableModel, point_sets: tuple[str, ...]) -> None:
        super().__init__()
        if "520" in point_sets and "520" not in model.landmark_sets:
            model = model.with_landmarks("520", dense_landmarks(model))
        self.sets = nn.ModuleList(PointBasis(model, name) for name in point_sets)

    def forward(self, identity: Float[Tensor, "b ki"], expression: Float[Tensor, "b ke"]) -> Float[Tensor, "b n 3"]:
        """Points ``(B, N, 3)`` in mm, object frame."""
        return torch.cat([basis(identity, expression) for basis in self.sets], dim=1)


@dataclasses.dataclass(frozen=True, eq=False)
class FramedHeads:
    """B heads in crops.

    Attributes:
        identity, expression: ``(B, K)`` coefficients.
        rotation: ``(B, 3, 3)`` object to the crop's camera.
        translation_mm: ``(B, 3)``.
        intrinsics: ``(B, 3, 3)`` of the crops, as if their side were :data:`recon.networks.lifting_network.NOMINAL_SIZE` px.
    """

    identity: Float[Tensor, "b ki"]
    expression: Float[Tensor, "b ke"]
    rotation: Float[Tensor, "b 3 3"]
    translation_mm: Float[Tensor, "b 3"]
    intrinsics: Float[Tensor, "b 3 3"]

    def __len__(self) -> int:
        return len(self.rotation)

    @classmethod
    def cat(cls, parts: list[FramedHeads]) -> FramedHeads:
        """All heads of the parts in their order."""
        return cls(**{name: torch.cat([part.tensors()[name] for part in parts]) for name in parts[0].tensors()})

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def select(self, rows: Int[Tensor, " r"]) -> FramedHeads:
        """Some of them."""
        return FramedHeads(**{name: tensor[rows] for name, tensor in self.tensors().items()})

    def reframed(self, framing: CropSimilarity) -> FramedHeads:
        """The same heads in crops of the crops."""
        return dataclasses.replace(
            self,
            rotation=framing.rotations(self.rotation),
            translation_mm=framing.translations(self.translation_mm),
            intrinsics=framing.intrinsics(self.intrinsics, float(NOMINAL_SIZE)),
        )

    @property
    def ray_rotation(self) -> Float[Tensor, "b 3 3"]:
        """Against the ray to the head's origin."""
        return ray_rotation(self.rotation, self.translation_mm)

    def landmarks(self, basis: LandmarkBasis) -> Float[Tensor, "b n 3"]:
        """Points as :class:`recon.networks.landmark_network.LandmarkPrediction` has them."""
        v_cam = self.landmarks_cam(basis)
        plane = projected(v_cam, self.intrinsics)
        depth = depth_along_ray(v_cam, self.translation_mm, self.intrinsics[:, 0, 0] / NOMINAL_SIZE)
        return torch.cat((plane, depth[..., None]), dim=-1)

    def landmarks_cam(self, basis: LandmarkBasis) -> Float[Tensor, "b n 3"]:
        """Points in mm, camera frame."""
        v_obj = basis(self.identity, self.expression)
        return v_obj @ self.rotation.transpose(1, 2) + self.translation_mm[:, None]


def projected(v_cam: Float[Tensor, "b n 3"], intrinsics: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b n 2"]:
    """Points in shares of the crop's side from its middle.

    Args:
        v_cam: ``(B, N, 3)`` mm; points nearer than :data:`NEAREST_MM` are taken as lying there.
        intrinsics: of crops of :data:`recon.networks.lifting_network.NOMINAL_SIZE` px.
    """
    depth_mm = (-v_cam[..., 2]).clamp_min(NEAREST_MM)
    x_px = intrinsics[:, 0, 0, None] * v_cam[..., 0] / depth_mm + intrinsics[:, 0, 2, None]
    y_px = intrinsics[:, 1, 2, None] - intrinsics[:, 1, 1, None] * v_cam[..., 1] / depth_mm
    return torch.stack((x_px, y_px), dim=-1) / NOMINAL_SIZE - 0.5
