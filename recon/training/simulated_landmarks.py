"""Landmarks as a detector would find them on heads that nobody has rendered: true points plus the error that it made on a face turned
alike."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.networks.landmark_network import LandmarkPrediction
from recon.networks.lifting_network import NOMINAL_SIZE
from recon.rotation import matrix_to_euler
from recon.synthesis import SynthesisConfig
from recon.synthesis.sample import intrinsic_matrix
from recon.synthesis.scene.heads import sample_heads
from recon.training.framed_heads import FramedHeads, LandmarkBasis
from recon.training.framing import upright_framing

_N_MARKS = 68
"""The first points of the 520, by which faces are framed."""


@dataclasses.dataclass(frozen=True)
class DetectionNoise:
    """How errors differ from those on rendered faces.

    Attributes:
        least_shared, most_shared: factor of the error that was made on a rendered face, even in between.
        most_own: error that is each point's own on top, in standard deviations that the detector states, even from 0. On photos points
            err each for itself more than on rendered faces, see :mod:`recon.evaluation.calibration`.

    Raises:
        ValueError: a negative factor, or the least above the most.
    """

    least_shared: float = 0.8
    most_shared: float = 1.4
    most_own: float = 0.75

    def __post_init__(self) -> None:
        if not 0.0 <= self.least_shared <= self.most_shared or self.most_own < 0.0:
            raise ValueError(
                "noise needs 0 <= least_shared <= most_shared and 0 <= most_own, got "
                f"{self.least_shared}, {self.most_shared}, {self.most_own}"
            )

    def own(self, found: LandmarkPrediction, generator: torch.Generator) -> Float[Tensor, "b n 3"]:
        """The points' own errors, for points with these standard deviations."""
        sigma = torch.stack((found.log_sigma, found.log_sigma, found.log_sigma_depth), dim=-1).exp()
        factor = self.most_own * torch.rand(len(sigma), 1, 1, generator=generator)
        return factor * sigma * torch.randn(sigma.shape, generator=generator)

    def shared(self, count: int, generator: torch.Generator) -> Float[Tensor, "b 1 1"]:
        """Factors of whole faces' errors."""
        even = torch.rand(count, 1, 1, generator=generator)
        return self.least_shared + (self.most_shared - self.least_shared) * even


def upright(found: LandmarkPrediction, heads: FramedHeads) -> tuple[LandmarkPrediction, FramedHeads]:
    """Landmarks and truth in the standard crops that the landmarks themselves frame."""
    framing = upright_framing(found.points[:, :_N_MARKS, :2])
    grown = framing.scale.log()[:, None]
    return (
        LandmarkPrediction(
            framing.points(found.points), found.log_sigma + grown, found.log_sigma_depth + grown, found.visible
        ),
        heads.reframed(framing),
    )


class DetectorErrors:
    """The errors of a detector on faces whose truth is known, in the standard crops of the true points.

    Args:
        found: what it found.
        heads: the truth in the same crops.
        basis: of the landmarks.
        nearest: from how many of the faces turned most alike an error is taken.

    Raises:
        ValueError: fewer faces than that.
    """

    def __init__(self, found: LandmarkPrediction, heads: FramedHeads, basis: LandmarkBasis, nearest: int = 24) -> None:
        if len(heads) < nearest:
            raise ValueError(f"errors are taken from the {nearest} faces turned most alike, got {len(heads)} faces")
        truth = heads.landmarks(basis)
        framing = upright_framing(truth[:, :_N_MARKS, :2])
        self.errors = framing.points(found.points) - framing.points(truth)
        grown = framing.scale.log()[:, None]
        self.log_sigma, self.log_sigma_depth = found.log_sigma + grown, found.log_sigma_depth + grown
        self.visible = found.visible
        self._nearest = nearest
        self._turned_rad = self._yaw_pitch(heads.reframed(framing))

    @staticmethod
    def _yaw_pitch(heads: FramedHeads) -> Float[Tensor, "b 2"]:
        return matrix_to_euler(heads.ray_rotation)[:, :2]

    def faces_like(self, heads: FramedHeads, generator: torch.Generator) -> Int[Tensor, " b"]:
        """For each head one of the faces that are turned most like it."""
        away = torch.cdist(self._yaw_pitch(heads), self._turned_rad)
        nearest = away.topk(self._nearest, largest=False).indices
        chosen = torch.randint(self._nearest, (len(heads),), generator=generator)
        return nearest[torch.arange(len(heads)), chosen]


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedLandmarks:
    """Heads without pictures, and what a detector would find.

    Attributes:
        model: the face model.
        basis: of its landmarks.
        synthesis: how heads vary; only people, expressions, poses and cameras count.
        errors: of the detector.
        noise: how they differ.
        seed: of the heads.
    """

    model: MorphableModel
    basis: LandmarkBasis
    synthesis: SynthesisConfig
    errors: DetectorErrors
    noise: DetectionNoise
    seed: int

    def sample(self, indices: list[int], generator: torch.Generator) -> tuple[LandmarkPrediction, FramedHeads]:
        """Heads by their indices, errors by the generator, in the standard crops of what is found."""
        heads = self._heads(indices)
        chosen, errors = self.errors.faces_like(heads, generator), self.errors
        clean = LandmarkPrediction(
            heads.landmarks(self.basis),
            errors.log_sigma[chosen],
            errors.log_sigma_depth[chosen],
            errors.visible[chosen],
        )
        shared = self.noise.shared(len(heads), generator) * errors.errors[chosen]
        points = clean.points + shared + self.noise.own(clean, generator)
        return upright(dataclasses.replace(clean, points=points), heads)

    def _heads(self, indices: list[int]) -> FramedHeads:
        sampled = sample_heads(self.model, self.synthesis, self.seed, indices)
        marks_obj = self.basis(sampled.people.identity, sampled.expression)[:, :_N_MARKS]
        camera = sampled.camera(self.synthesis, marks_obj, (NOMINAL_SIZE, NOMINAL_SIZE))
        intrinsics = intrinsic_matrix(camera.focal_px, camera.principal_px)
        return FramedHeads(
            sampled.people.identity, sampled.expression, camera.rotation, camera.translation_mm, intrinsics
        )
