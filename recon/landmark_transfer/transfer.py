"""Landmarks of a detector carried onto a face model, without picking a point by hand.

The mean head is rendered from many directions, the detector marks every picture, each mark is cast back onto the surface,
and the marks of one landmark are replaced by their weighted geometric median, marks on surfaces seen at a slant counting
less. Any model with a plausible albedo can be given any detector's points in this way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from bfm.data import FloatArray, IntArray, SurfacePoints
from bfm.model import MorphableModel
from bfm.surface import SurfaceTree
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.landmark_transfer.lip_seam import part_at_seam
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, render
from recon.rotation import euler_to_matrix

LandmarkDetector = Callable[[np.ndarray], FloatArray | None]
"""uint8 picture ``(H, W, 3)`` to landmarks ``(N, 2)`` in pixels, or ``None`` when there is no face."""

_SIZE_PX = 640
_FOCAL_PX = 2400.0
_DISTANCE_MM = 1000.0
_YAWS_DEG = tuple(range(-60, 61, 10))
_PITCHES_DEG = (-20, -10, 0, 10, 20)
_HIDDEN_FROM_DEG = 20
_MIDLINE_MM = 6.0
_LOPSIDED_MM = 0.5
_LAMPS = ((0.0, 0.4, 1.0), (-0.5, 0.5, 0.8))


class TransferError(RuntimeError):
    """The detector did not recognise the model as a face often enough."""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Points on the model and how far the views agreed.

    Attributes:
        points: one surface point a landmark.
        spread_mm: ``(N,)`` median distance of the marks of each landmark from their consensus.
        n_views: pictures in which the detector found the face, and all pictures.
    """

    points: SurfacePoints
    spread_mm: FloatArray
    n_views: tuple[int, int]


def transfer_landmarks(
    model: MorphableModel,
    detector: LandmarkDetector,
    mirror: IntArray | None = None,
    albedo: torch.Tensor | None = None,
    touching: tuple[tuple[int, int], ...] = (),
) -> Transfer:
    """Carry a detector's landmarks onto the mean head of a model.

    Args:
        model: its ``"skin"`` and ``"eyes"`` regions, if it has them, are the only surfaces that marks may land on.
        detector: see :data:`LandmarkDetector`.
        mirror: ``(N,)`` the left-right partner of each landmark; the result is then made symmetric about x = 0.
        albedo: ``(1, V, 3)``; the model's mean without it.
        touching: pairs of upper and lower landmarks that meet when the mouth is shut, see
            :func:`recon.landmark_transfer.lip_seam.part_at_seam`.

    Raises:
        SeamError: the mean head shows no seam at some pair.
        TransferError: fewer than a third of the views were recognised.
    """
    with torch.no_grad():
        mesh = Mesh.of(model.shape(), model.faces, model.albedo() if albedo is None else albedo)
    marks: list[FloatArray] = []
    weights: list[FloatArray] = []
    yaws_deg: list[int] = []
    views = [(yaw, pitch) for yaw in _YAWS_DEG for pitch in _PITCHES_DEG]
    for yaw_deg, pitch_deg in views:
        for lamp in _LAMPS:
            seen = _mark_view(model, mesh, detector, (yaw_deg, pitch_deg), lamp)
            if seen is not None:
                marks.append(seen[0])
                weights.append(seen[1])
                yaws_deg.append(yaw_deg)
    n_views = len(views) * len(_LAMPS)
    if 3 * len(marks) < n_views:
        raise TransferError(f"the detector found a face in {len(marks)} of {n_views} pictures of model {model.name!r}")
    all_marks, all_weights = np.stack(marks), np.stack(weights)
    all_weights = all_weights * _on_the_near_side(all_marks[..., 0], all_weights, np.asarray(yaws_deg))
    points = settled(model, consensus(all_marks, all_weights), mirror, touching)
    return Transfer(points, spread_mm(model, points, all_marks, all_weights), (len(marks), n_views))


def consensus(marks: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted geometric medians ``(N, 3)`` of marks ``(views, N, 3)`` with weights ``(views, N)``."""
    return np.stack([_median(marks[:, i], weights[:, i]) for i in range(marks.shape[1])])


def settled(
    model: MorphableModel, places: FloatArray, mirror: IntArray | None, touching: tuple[tuple[int, int], ...]
) -> SurfacePoints:
    """Places ``(N, 3)`` beside the mean head made symmetric, parted at the lips' seam, and laid on the surface."""
    allowed = allowed_triangles(model)
    faces = model.faces.numpy()[allowed]
    places = places if mirror is None else _symmetric(places, mirror)
    if touching:
        places = part_at_seam(model, places, touching, faces)
        places = places if mirror is None else _symmetric(places, mirror)
    tree = SurfaceTree(model.mean_shape.double().numpy(), faces)
    found = tree.query(places)
    if mirror is not None:
        # A hair decides on which side of a fold a place lands: where the two sides differ, both take their middle.
        middle = _symmetric(found.points, mirror)
        lopsided = np.linalg.norm(found.points - middle, axis=1) > 0.5 * _LOPSIDED_MM
        found = tree.query(np.where(lopsided[:, None], middle, places))
    return SurfacePoints(allowed[found.triangles], found.barycentrics)


def spread_mm(model: MorphableModel, points: SurfacePoints, marks: FloatArray, weights: FloatArray) -> FloatArray:
    """``(N,)`` median distance of the marks of each landmark from where it came to lie."""
    places = points.at(model.mean_shape.double().numpy(), model.faces.numpy())
    return np.asarray(np.nanmedian(np.where(weights > 0.0, np.linalg.norm(marks - places, axis=2), np.nan), axis=0))


def _mark_view(
    model: MorphableModel,
    mesh: Mesh,
    detector: LandmarkDetector,
    angles_deg: tuple[int, int],
    lamp: tuple[float, float, float],
) -> tuple[FloatArray, FloatArray] | None:
    """Marks ``(N, 3)`` on the surface in mm and their weights ``(N,)``, 0 where a mark missed the surface."""
    yaw_deg, pitch_deg = angles_deg
    rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[float(pitch_deg), float(yaw_deg), 0.0]])))
    camera = PerspectiveCamera.at(
        rotation,
        torch.tensor([[0.0, 0.0, -_DISTANCE_MM]]),
        size=(_SIZE_PX, _SIZE_PX),
        focal_px=torch.full((1, 2), _FOCAL_PX),
    )
    light = ambient(torch.full((1, 3), 0.45)) + lamps_to_sh(torch.tensor([[lamp]]), torch.full((1, 1, 3), 1.9))
    with torch.no_grad():
        picture = render(mesh, camera, light, (_SIZE_PX, _SIZE_PX), torch.full((1, 3, 1, 1), 0.7))
    code_values = encode_srgb(picture.image, model.albedo_space)[0].permute(1, 2, 0).numpy()
    marks_px = detector((code_values * 255.0).round().astype(np.uint8))
    if marks_px is None:
        return None
    column, row = np.floor(marks_px).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < _SIZE_PX) & (row < _SIZE_PX)
    column, row = column.clip(0, _SIZE_PX - 1), row.clip(0, _SIZE_PX - 1)
    hit = inside & picture.covered[0, 0].numpy()[row, column]
    v_cam = picture.position[0].permute(1, 2, 0)[row, column]
    facing = -(picture.normals[0].permute(1, 2, 0)[row, column] * torch.nn.functional.normalize(v_cam, dim=-1)).sum(-1)
    v_obj = camera.to_object(v_cam[None])[0].double().numpy()
    return v_obj, np.where(hit, facing.double().numpy().clip(0.05, 1.0) ** 2, 0.0)


def _median(points: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted geometric median ``(3,)`` by Weiszfeld's iteration (1937)."""
    centre = np.average(points, axis=0, weights=weights)
    for _ in range(100):
        pull = weights / np.maximum(np.linalg.norm(points - centre, axis=1), 0.2)
        centre = (points * pull[:, None]).sum(axis=0) / pull.sum()
    return np.asarray(centre)


def _symmetric(points: FloatArray, mirror: IntArray) -> FloatArray:
    return np.asarray(0.5 * (points + points[mirror] * np.array([-1.0, 1.0, 1.0])))


def _on_the_near_side(x: FloatArray, weights: FloatArray, yaws_deg: IntArray) -> FloatArray:
    """Which marks ``(views, N)`` to believe: a turned head hides its far side, and the detector's guess at what is
    hidden, cast back, lands on whatever stands in front. Nearly frontal views tell each landmark's side from its x."""
    frontal = np.abs(yaws_deg) < _HIDDEN_FROM_DEG
    seen = weights[frontal] > 0.0
    middle = (x[frontal] * seen).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    side = np.where(np.abs(middle) < _MIDLINE_MM, 0.0, np.sign(middle))
    return np.asarray(side * yaws_deg[:, None] < _HIDDEN_FROM_DEG, dtype=np.float64)


def allowed_triangles(model: MorphableModel) -> IntArray:
    """Triangles ``(F,)`` of skin and eyes, or all of a model that does not tell them apart."""
    faces = model.faces.numpy()
    allowed = model.any_region("skin", "eyes").numpy()
    return np.nonzero(allowed[faces].all(axis=1))[0] if allowed.any() else np.arange(len(faces))
