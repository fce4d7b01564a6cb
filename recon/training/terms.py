"""All loss terms of a batch: those that have a weight and whose labels are there."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from losses.adversarial import generator_loss
from losses.depth import depth_loss_shift_invariant, normal_loss
from losses.landmarks import landmark_loss, opening_loss, paper_weights68
from losses.perceptual import perceptual_loss
from losses.photometric import photometric_loss
from losses.pose import rotation_loss, translation_loss
from losses.priors import coefficient_prior, lighting_loss, lighting_prior
from losses.shape import MM_PER_DM, coefficient_loss, shape_loss
from losses.total import LossWeights
from losses.wing import wing_loss
from recon.decoder import DecodedFaces
from recon.networks.discriminator import ShapeDiscriminator
from recon.render import Render
from recon.segmentation.segmenter import FaceSegmenter, RenderedRegions, segment
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
class LossNetworks:
    """The networks that some terms need; ``None`` for terms without weight.

    Attributes:
        embedding: for ``perceptual``.
        discriminator: for ``adversarial``.
        discriminator_vertices: indices of the vertices that it sees; ``None`` is all.
        segmenter: for ``photometric``, where a batch has no mask: where its pictures show the face. ``None`` takes all that
            the head covers.
    """

    embedding: FaceEmbedding | None = None
    discriminator: ShapeDiscriminator | None = None
    discriminator_vertices: Tensor | None = None
    segmenter: FaceSegmenter | None = None


def loss_terms(
    faces: DecodedFaces, batch: TrainingBatch, weights: LossWeights, networks: LossNetworks
) -> dict[str, Float[Tensor, ""]]:
    """Terms by the names of :class:`losses.total.LossWeights`.

    Only what has a weight is computed; terms whose labels the batch lacks are left out.
    """
    if faces.coefficients.camera_model == "weak_perspective":
        batch = batch.for_weak_perspective()
    return {
        **_point_terms(faces, batch, weights),
        **_label_terms(faces, batch, weights),
        **_prior_terms(faces, weights),
        **_image_terms(faces, batch, weights, networks),
        **_adversarial_terms(faces, weights, networks),
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


def _image_terms(
    faces: DecodedFaces, batch: TrainingBatch, weights: LossWeights, networks: LossNetworks
) -> dict[str, Tensor]:
    maps = (weights.depth and batch.depth_mm is not None) or (weights.normals and batch.normals is not None)
    if not (maps or weights.wants("photometric", "perceptual")):
        return {}
    rendered = faces.render(batch.size)
    image = faces.srgb_image(rendered)
    terms = {}
    if weights.photometric:
        terms["photometric"] = photometric_loss(image, batch.image, _face_mask(faces, rendered, batch, networks))
    if weights.perceptual and networks.embedding is not None:
        merged = rendered.mask * image.clamp(0.0, 1.0) + (1.0 - rendered.mask) * batch.image
        with torch.no_grad():
            wanted = networks.embedding(batch.image, batch.landmarks68_px)
        # Both crops follow the photo's landmarks: a face rendered elsewhere must look wrong.
        terms["perceptual"] = perceptual_loss(networks.embedding(merged, batch.landmarks68_px), wanted)
    if weights.depth and batch.depth_mm is not None:
        both = rendered.covered & (batch.depth_mm > 0.0)
        terms["depth"] = depth_loss_shift_invariant(rendered.depth_mm, batch.depth_mm, both)
    if weights.normals and batch.normals is not None:
        both = rendered.covered & batch.normals.square().sum(dim=1, keepdim=True).gt(0.5)
        terms["normals"] = normal_loss(rendered.normals, batch.normals, both)
    return terms


def _face_mask(
    faces: DecodedFaces, rendered: Render, batch: TrainingBatch, networks: LossNetworks
) -> Float[Tensor, "b 1 h w"]:
    """Where the head covers visible skin: by the batch's own mask, or by the segmenter."""
    covered = rendered.covered.to(rendered.image.dtype)
    if batch.face_mask is not None:
        return covered * batch.face_mask.to(covered)
    if networks.segmenter is None:
        return covered
    return covered * segment(
        networks.segmenter, batch.image, RenderedRegions.of_render(faces.decoder.rendered_model, rendered)
    )


def _adversarial_terms(faces: DecodedFaces, weights: LossWeights, networks: LossNetworks) -> dict[str, Tensor]:
    if not weights.adversarial or networks.discriminator is None:
        return {}
    seen = (
        faces.vertices
        if networks.discriminator_vertices is None
        else faces.vertices[:, networks.discriminator_vertices]
    )
    return {"adversarial": generator_loss(networks.discriminator, seen / MM_PER_DM)}
