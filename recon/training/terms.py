"""All loss terms of a batch: those that have a weight and whose labels are there."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from losses.adversarial import generator_loss
from losses.depth import normal_loss, relief_loss
from losses.landmarks import landmark_loss, opening_loss, paper_weights68
from losses.perceptual import perceptual_loss
from losses.photometric import photometric_loss
from losses.pose import rotation_loss, translation_loss
from losses.priors import coefficient_prior, lighting_loss, lighting_prior
from losses.shape import MM_PER_DM, coefficient_loss, shape_loss
from losses.total import LossWeights
from losses.wing import wing_loss
from recon.decoder import DecodedFaces
from recon.networks.discriminator import ShapeCritic
from recon.render import Render
from recon.segmentation.residual import OcclusionMask
from recon.training.batch import TrainingBatch

_REFERENCE_PX = 224.0
"""Losses in px are those of a crop of this side, so that weights mean the same at every size."""


@runtime_checkable
class FaceEmbedding(Protocol):
    """A face recognition network; see :mod:`recon.networks.arcface`."""

    def __call__(
        self, pictures: Float[Tensor, "b 3 h w"], landmarks68_px: Float[Tensor, "b 68 2"]
    ) -> Float[Tensor, "b d"]:
        """Embeddings of faces that stand at these landmarks."""
        ...


@dataclasses.dataclass(frozen=True)
class Judges:
    """The networks that some terms need; ``None`` for terms without weight.

    Attributes:
        embedding: for ``perceptual``.
        critic: for ``adversarial``.
        critic_rows: vertices that the critic sees.
        occlusion: where pictures without a mask show the bare face.
    """

    embedding: FaceEmbedding | None = None
    critic: ShapeCritic | None = None
    critic_rows: Tensor | None = None
    occlusion: OcclusionMask | None = None


def loss_terms(
    faces: DecodedFaces, batch: TrainingBatch, weights: LossWeights, judges: Judges
) -> dict[str, Float[Tensor, ""]]:
    """Terms by the names of :class:`losses.total.LossWeights`.

    Only what has a weight is computed; terms whose labels the batch lacks are left out.
    """
    return {
        **_point_terms(faces, batch, weights),
        **_label_terms(faces, batch, weights),
        **_prior_terms(faces, weights),
        **_picture_terms(faces, batch, weights, judges),
        **_critic_terms(faces, weights, judges),
    }


def _point_terms(faces: DecodedFaces, batch: TrainingBatch, weights: LossWeights) -> dict[str, Tensor]:
    terms = {}
    scale = _REFERENCE_PX / batch.size[0]
    if weights.landmark:
        found, wanted = scale * faces.landmarks68_px, scale * batch.landmarks68_px
        terms["landmark"] = landmark_loss(found, wanted, paper_weights68().to(found)) + opening_loss(found, wanted)
    if weights.dense and batch.dense_px is not None:
        terms["dense"] = wing_loss(scale * faces.dense_px, scale * batch.dense_px)
    if weights.dense_mm and batch.dense_obj is not None:
        terms["dense_mm"] = shape_loss(faces.dense_obj, batch.dense_obj)
    return terms


def _label_terms(faces: DecodedFaces, batch: TrainingBatch, weights: LossWeights) -> dict[str, Tensor]:
    terms = {}
    found = faces.coefficients
    for name in ("identity", "expression", "albedo"):
        label = getattr(batch, name)
        if getattr(weights, name) and label is not None:
            terms[name] = coefficient_loss(getattr(found, name), label)
    if weights.rotation and batch.rotation is not None:
        terms["rotation"] = rotation_loss(found.rotation, batch.rotation)
    if weights.translation and batch.translation_mm is not None:
        terms["translation"] = translation_loss(found.translation_mm, batch.translation_mm)
    if weights.lighting and batch.lighting is not None:
        terms["lighting"] = lighting_loss(found.known_lighting, batch.lighting)
    if weights.shape and batch.identity is not None and batch.expression is not None:
        with torch.no_grad():
            wanted = faces.decoder.model.shape(batch.identity, batch.expression)
        terms["shape"] = shape_loss(faces.vertices / MM_PER_DM, wanted / MM_PER_DM)
    return terms


def _prior_terms(faces: DecodedFaces, weights: LossWeights) -> dict[str, Tensor]:
    terms = {}
    model, found = faces.decoder.model, faces.coefficients
    if weights.prior:
        terms["prior"] = (
            coefficient_prior(found.identity, model.identity_prior)
            + coefficient_prior(found.expression, model.expression_prior)
            + coefficient_prior(found.albedo, model.albedo_prior)
        )
    if weights.white_light:
        terms["white_light"] = lighting_prior(found.known_lighting)
    return terms


def _picture_terms(
    faces: DecodedFaces, batch: TrainingBatch, weights: LossWeights, judges: Judges
) -> dict[str, Tensor]:
    maps = (weights.depth and batch.depth_mm is not None) or (weights.normals and batch.normals is not None)
    if not (maps or weights.wants("photometric", "perceptual")):
        return {}
    drawn = faces.drawn(batch.size)
    picture = faces.picture(drawn)
    terms = {}
    if weights.photometric:
        terms["photometric"] = photometric_loss(picture, batch.image, _face_mask(drawn, picture, batch, judges))
    if weights.perceptual and judges.embedding is not None:
        merged = drawn.mask * picture.clamp(0.0, 1.0) + (1.0 - drawn.mask) * batch.image
        with torch.no_grad():
            wanted = judges.embedding(batch.image, batch.landmarks68_px)
        # Both crops follow the photo's landmarks: a face drawn elsewhere must look wrong.
        terms["perceptual"] = perceptual_loss(judges.embedding(merged, batch.landmarks68_px), wanted)
    if weights.depth and batch.depth_mm is not None:
        both = drawn.covered & (batch.depth_mm > 0.0)
        terms["depth"] = relief_loss(drawn.depth_mm, batch.depth_mm, both)
    if weights.normals and batch.normals is not None:
        both = drawn.covered & batch.normals.square().sum(dim=1, keepdim=True).gt(0.5)
        terms["normals"] = normal_loss(drawn.normals, batch.normals, both)
    return terms


def _face_mask(drawn: Render, picture: Tensor, batch: TrainingBatch, judges: Judges) -> Float[Tensor, "b 1 h w"]:
    covered = drawn.covered.to(picture.dtype)
    if batch.face_mask is not None:
        return covered * batch.face_mask.to(picture.dtype)
    if judges.occlusion is None:
        return covered
    return judges.occlusion(batch.image, picture.detach(), covered)


def _critic_terms(faces: DecodedFaces, weights: LossWeights, judges: Judges) -> dict[str, Tensor]:
    if not weights.adversarial or judges.critic is None:
        return {}
    seen = faces.vertices if judges.critic_rows is None else faces.vertices[:, judges.critic_rows]
    return {"adversarial": generator_loss(judges.critic, seen / MM_PER_DM)}
