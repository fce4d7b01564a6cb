"""A detector's landmarks on a face model from many synthetic people instead of the mean head alone.

A detector flattens turned heads: what it marks on a head turned by 40 degrees lies up to 3 mm beside what it marks on the
same head seen from the front, at the outer corner of an eye and the end of a brow most. Views from all sides, which
:func:`recon.landmark_transfer.transfer.transfer_landmarks` needs for the sides of the face, therefore shift its front. Here
people are rendered as synthesis renders them, with hair, shadows and skin of all kinds; marks are cast back onto each person's
own surface and carried to the mean head, and views count the less the more they are turned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from bfm.data import FloatArray, IntArray
from bfm.model import MorphableModel
from bfm.surface import SurfaceTree
from recon.landmark_transfer.transfer import (
    LandmarkDetector,
    Transfer,
    TransferError,
    allowed_triangles,
    consensus,
    settled,
    spread_mm,
)
from recon.render.mesh import vertex_normals_of_arrays
from recon.rotation import matrix_to_euler
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.sample import FaceBatch

_SIZE_PX = 400
_TURN_SIGMA_DEG = 20.0
_SIDE, _FRONT = 0.3, 0.6
"""Cosine between a landmark's normal and the front: below the first it keeps its place, above the second it moves fully."""

PEOPLE = SynthesisConfig(
    framing="free",
    head_share=(0.5, 0.8),
    yaw_deg=45.0,
    pitch_deg=25.0,
    roll_deg=8.0,
    expression=0.0,
    eyelids=0.0,
    glasses=0.0,
    occluders=0.0,
    beard=0.2,
    hair=0.8,
    noise=0.0,
    blur=0.0,
    motion_blur=0.0,
    low_resolution=0.0,
    jpeg=0.0,
    gray=0.0,
)
"""Calm faces with nothing before them."""


@dataclasses.dataclass(frozen=True)
class _Marks:
    """A detector's marks on one synthetic person.

    Attributes:
        places: ``(N, 3)`` the same places of the mean head, mm.
        weights: ``(N,)`` 0 where a mark missed the head.
    """

    places: FloatArray
    weights: FloatArray


def move_to_front_marks(
    model: MorphableModel,
    detector: LandmarkDetector,
    mirror: IntArray | None = None,
    touching: tuple[tuple[int, int], ...] = (),
    count: int = 600,
    seed: int = 9_000_000,
) -> Transfer:
    """The ``"478"`` landmarks of a model, those on the front of the face moved to where a detector marks synthetic people.

    Args:
        model: with landmark sets ``"68"`` and ``"478"``, of which the second is what the detector marks.
        detector, mirror, touching: see :func:`recon.landmark_transfer.transfer.transfer_landmarks`.
        count: people to synthesize.
        seed: of the first of them.

    Raises:
        SeamError: the mean head shows no seam at some pair.
        TransferError: fewer than a third of the people were recognised.
    """
    sampler = FaceSampler(model, PEOPLE, seed, (_SIZE_PX, _SIZE_PX))
    found = list(_marked(model, sampler, detector, count))
    if 3 * len(found) < count:
        raise TransferError(f"the detector found a face in {len(found)} of {count} pictures of model {model.name!r}")
    marks, weights = np.stack([m.places for m in found]), np.stack([m.weights for m in found])
    mean, faces = model.mean_shape.double().numpy(), model.faces.numpy()
    points = model.landmark_points("478")
    before = points.at(mean, faces)
    normals = points.at(vertex_normals_of_arrays(mean, faces), faces)
    share = np.clip((normals[:, 2:] - _SIDE) / (_FRONT - _SIDE), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    moved = settled(model, before + share * (consensus(marks, weights) - before), mirror, touching)
    return Transfer(moved, spread_mm(model, moved, marks, weights), (len(found), count))


def _marked(model: MorphableModel, sampler: FaceSampler, detector: LandmarkDetector, count: int) -> Iterator[_Marks]:
    allowed = allowed_triangles(model)
    faces, mean = model.faces.numpy()[allowed], model.mean_shape.double().numpy()
    for k in range(count):
        sample = sampler[k]
        pixels = (255.0 * sample.image[0]).round().byte().permute(1, 2, 0).contiguous().numpy()
        marks_px = detector(pixels)
        if marks_px is None:
            continue
        v_obj, weights = _cast_back(sample, marks_px)
        vertices = model.shape(sample.identity, sample.expression)[0].double().numpy()
        hit = SurfaceTree(vertices, faces).query(v_obj)
        places = np.einsum("nk,nkc->nc", hit.barycentrics, mean[faces[hit.triangles]])
        pitch_deg, yaw_deg, _ = np.degrees(matrix_to_euler(sample.rotation)[0].double().numpy())
        turned = np.exp(-0.5 * (pitch_deg**2 + yaw_deg**2) / _TURN_SIGMA_DEG**2)
        yield _Marks(places, turned * weights)


def _cast_back(sample: FaceBatch, marks_px: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Marks ``(N, 2)`` on the head's surface, ``(N, 3)`` object frame in mm, and weights ``(N,)``: how the surface faces."""
    height, width = sample.size
    column, row = np.floor(marks_px).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    depth_mm = sample.depth_mm[0, 0].double().numpy()[row, column]
    focal_px, middle_px = (
        sample.intrinsics[0].double().numpy()[[0, 1], [0, 1]],
        sample.intrinsics[0, :2, 2].double().numpy(),
    )
    plane = (np.stack((column, row), axis=1) + 0.5 - middle_px) / focal_px
    ray = np.stack((plane[:, 0], -plane[:, 1], np.full(len(plane), -1.0)), axis=1)
    v_cam = depth_mm[:, None] * ray
    v_obj = (v_cam - sample.translation_mm[0].double().numpy()) @ sample.rotation[0].double().numpy()
    normals = sample.normals[0].permute(1, 2, 0).double().numpy()[row, column]
    facing = -(normals * ray).sum(axis=1) / np.linalg.norm(ray, axis=1)
    return v_obj, np.where(inside & (depth_mm > 0.0), facing.clip(0.05, 1.0) ** 2, 0.0)
