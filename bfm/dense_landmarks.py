"""Dense landmarks on any face model: 520 points that hold the usual 68 and cover the face evenly.

The selection follows the dissertation that introduced the 520 points (chapter 5.3.1): the seeds are 18 points around
the face - the 17 of the jaw and one at the top of the forehead - and the tip of the nose; three rounds of Delaunay
triangulation each add the centroids of all triangles. There, the rest was picked by hand; here the 68 are added, points
that crowd others are dropped, and the largest gaps are filled one after another.

The triangulation needs a plane. A model's texture map is a poor one: maps differ between models, have seams across the
cheeks or several islands, and stretch as their authors liked. This module unrolls the face from a vertical cylinder
through the ears instead. Both ends of the jaw lie 90 degrees to the side, where a frontal projection would crush the
cheeks, and distances on cheeks and forehead stay nearly true. It needs nothing but the 68 points.
"""

from __future__ import annotations

import dataclasses
from typing import no_type_check

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from bfm.compiled import compiled
from bfm.data import BoolArray, FloatArray, IntArray, ModelData, SurfacePoints
from bfm.model import MorphableModel

DENSE_COUNT = 520
N_ROUNDS = 3

_N_JAW = 17
_NOSE_TIP = 30
_BROWS = (21, 22)
_SUBNASALE = 33
_WIDEST_RAD = np.radians(120.0)
_CROWDED = 0.5
"""Points nearer to another than this share of the even spacing are dropped."""
_INSIDE = (
    *("eyes", "left_eye", "right_eye", "eye_sockets", "mouth_interior", "teeth", "tongue", "gums_tongue"),
    *("lacrimal_fluid", "eye_blend", "eye_occlusion", "eyelashes"),
)
"""Regions that are not skin, as the models name them: landmarks stay off them."""


def dense_landmarks(model: MorphableModel | ModelData, count: int = DENSE_COUNT) -> SurfacePoints:
    """Evenly spread points on the face, the 68 first and in their order. The same input gives the same points.

    The points beyond the 68 come in mirror pairs or lie on the midline of the unrolled face.

    Args:
        model: a model, or its arrays, with the landmark set ``"68"``.
        count: how many points; at least 68.

    Raises:
        KeyError: the model has no set ``"68"``.
        ValueError: fewer than 68 points asked for, or more than the mesh has room for.
    """
    data = model.data() if isinstance(model, MorphableModel) else model
    if "68" not in data.landmarks:
        raise KeyError(f"model {data.name!r} has no landmark set '68', from which dense landmarks start")
    if count < 68:
        raise ValueError(f"dense landmarks hold the usual 68, so their number is at least 68, got {count}")
    usual = data.landmarks["68"]
    face = _UnrolledFace.of(data, usual.at(data.mean_shape.astype(np.float64), data.faces))
    chosen = _Chosen(usual, face)
    gap_mm = _CROWDED * np.sqrt(face.area_mm2 / count)
    centroids, mesh = (face.pairs(points, gap_mm) for points in (_centroids(face.seeds), face.half_of_mesh()))
    room = 68 + centroids.room + mesh.room
    if count <= room:
        chosen.fill(centroids, count, gap_mm)
        chosen.fill(mesh, count, 0.0)
        room = len(chosen.triangles)
    if count > room:
        raise ValueError(f"the face of model {data.name!r} has room for at most {room} points, {count} asked for")
    return SurfacePoints(np.asarray(chosen.triangles), np.asarray(chosen.barycentrics))


def _centroids(seeds: FloatArray) -> FloatArray:
    """Centroids ``(N, 2)`` of three rounds of triangulation, those of the right half (u >= 0), in order of rounds.

    Mirror pairs of points form trapezoids, whose diagonal is a matter of rounding; mirroring the right half after each
    round keeps the choice from making the result lopsided.
    """
    points, found = seeds, np.zeros((0, 2))
    for _ in range(N_ROUNDS):
        new = points[Delaunay(points).simplices].mean(axis=1)
        new = new[new[:, 0] >= -1e-9]
        new = new[np.lexsort((new[:, 0].round(6), new[:, 1].round(6)))]
        sided = new[new[:, 0] > 1e-9]
        points = np.concatenate([points, new, sided * [-1.0, 1.0]])
        found = np.concatenate([found, new])
    return found


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Places for landmarks: a point of the right half and its mirror image, or twice the same point of the midline.

    Attributes:
        triangles: ``(N, 2)``.
        barycentrics: ``(N, 2, 3)``.
        positions: ``(N, 2, 3)`` mm.
        single: ``(N,)`` on the midline.
    """

    triangles: IntArray
    barycentrics: FloatArray
    positions: FloatArray
    single: BoolArray

    @property
    def room(self) -> int:
        """How many points these are."""
        return int(np.where(self.single, 1, 2).sum())


@dataclasses.dataclass(frozen=True)
class _UnrolledFace:
    """The mean face on a plane: u = radius times angle from straight ahead, v = height; millimetres.

    Attributes:
        vertices, faces: the mesh, ``(V, 3)`` and ``(F, 3)``.
        plane: ``(V, 2)`` of the vertices.
        depth: ``(V,)`` distance from the axis.
        skin: indices of the triangles that landmarks may lie on: skin, facing outwards, on the front.
        seeds: ``(19, 2)``, symmetric.
        outline: ``(N, 2)`` polygon around the face.
    """

    vertices: FloatArray
    faces: IntArray
    plane: FloatArray
    depth: FloatArray
    skin: IntArray
    seeds: FloatArray
    outline: FloatArray

    @classmethod
    def of(cls, data: ModelData, usual: FloatArray) -> _UnrolledFace:
        vertices, faces = data.mean_shape.astype(np.float64), data.faces
        axis = 0.5 * (usual[0] + usual[_N_JAW - 1])[[0, 2]]
        radius = 0.5 * float(np.linalg.norm((usual[_N_JAW - 1] - usual[0])[[0, 2]]))

        def unroll(points: FloatArray) -> tuple[FloatArray, FloatArray]:
            x, z = (points[:, [0, 2]] - axis).T
            return np.stack([radius * np.arctan2(x, z), points[:, 1]], axis=1), np.hypot(x, z)

        plane, depth = unroll(vertices)
        marks, _ = unroll(usual)
        jaw = marks[:_N_JAW]
        jaw = 0.5 * (jaw + jaw[::-1] * [-1.0, 1.0])
        inside = np.zeros(len(vertices), dtype=bool)
        for name in _INSIDE:
            inside |= data.regions.get(name, inside)
        corners = plane[faces]
        front = (np.abs(corners[..., 0]) < _WIDEST_RAD * radius).all(axis=1) & ~inside[faces].any(axis=1)
        skin = np.nonzero(front & (_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) > 1e-9))[0]
        # The face's thirds are alike: hairline to brows, brows to the base of the nose, from there to the chin.
        brows_v = float(marks[list(_BROWS), 1].mean())
        middle = np.abs(plane[np.unique(faces[skin]), 0]) < 0.05 * radius
        highest = float(plane[np.unique(faces[skin])[middle], 1].max(initial=brows_v))
        top = min(2.0 * brows_v - float(marks[_SUBNASALE, 1]), highest)
        angle = np.linspace(0.0, np.pi, 33)[1:-1]
        side, temple = jaw[-1]
        arch = np.stack([side * np.cos(angle), temple + (top - temple) * np.sin(angle)], axis=1)
        seeds = np.concatenate([jaw, [[0.0, top]], [[0.0, marks[_NOSE_TIP, 1]]]])
        return cls(vertices, faces, plane, depth, skin, seeds, np.concatenate([jaw, arch]))

    @property
    def area_mm2(self) -> float:
        u, v = self.outline.T
        return 0.5 * abs(float(u @ np.roll(v, -1) - v @ np.roll(u, -1)))

    def half_of_mesh(self) -> FloatArray:
        """Vertices and centres ``(N, 2)`` of the skin's triangles in the right half of the face."""
        corners = self.plane[self.faces[self.skin]]
        points = np.concatenate([self.plane[np.unique(self.faces[self.skin])], corners.mean(axis=1)])
        return points[(points[:, 0] >= 0.0) & _in_polygon(points, self.outline)]

    def pairs(self, points: FloatArray, gap_mm: float) -> _Pairs:
        """Points ``(N, 2)`` of the right half and their mirror images, those without skin (in an eye's slit) left out.

        A pair closer than ``gap_mm`` becomes one point on the midline.
        """
        single = 2.0 * points[:, 0] < gap_mm
        right = np.where(single[:, None], points * [0.0, 1.0], points)
        triangles, barycentrics = self._locate(np.concatenate([right, right * [-1.0, 1.0]]))
        both = np.stack([triangles[: len(points)], triangles[len(points) :]], axis=1)
        weights = np.stack([barycentrics[: len(points)], barycentrics[len(points) :]], axis=1)
        positions = np.einsum("npk,npkc->npc", weights, self.vertices[self.faces[both]])
        there = (both >= 0).all(axis=1)
        return _Pairs(both[there], weights[there], positions[there], single[there])

    def _locate(self, points: FloatArray) -> tuple[IntArray, FloatArray]:
        """Outermost skin triangle at each place, -1 where there is none, and barycentrics there."""
        order = np.argsort(points[:, 0], kind="stable")
        corners, depth = self.plane[self.faces[self.skin]], self.depth[self.faces[self.skin]]
        found, weights = _outermost(points[order], corners, depth)
        triangles, barycentrics = np.zeros(len(points), np.int64), np.zeros((len(points), 3))
        triangles[order] = np.where(found >= 0, self.skin[found], -1)
        barycentrics[order] = weights
        return triangles, barycentrics


@compiled()
@no_type_check
def _outermost(points: FloatArray, corners: FloatArray, depth: FloatArray) -> tuple[IntArray, FloatArray]:
    """For places ``(N, 2)`` in order of u, the triangle of ``(F, 3, 2)`` with the greatest depth ``(F, 3)`` there."""
    found, weights = np.full(len(points), -1), np.zeros((len(points), 3))
    weights[:, 0] = 1.0
    greatest = np.full(len(points), -np.inf)
    along = points[:, 0].copy()
    for t in range(len(corners)):
        (au, av), (bu, bv), (cu, cv) = corners[t, 0], corners[t, 1], corners[t, 2]
        area2 = (bu - au) * (cv - av) - (bv - av) * (cu - au)
        slack = -1e-9 * area2
        first, last = np.searchsorted(along, min(au, bu, cu)), np.searchsorted(along, max(au, bu, cu), side="right")
        for i in range(first, last):
            u, v = points[i]
            wa = (cu - bu) * (v - bv) - (cv - bv) * (u - bu)
            wb = (au - cu) * (v - cv) - (av - cv) * (u - cu)
            wc = (bu - au) * (v - av) - (bv - av) * (u - au)
            if wa >= slack and wb >= slack and wc >= slack:
                wa, wb, wc = max(wa, 0.0), max(wb, 0.0), max(wc, 0.0)
                total = wa + wb + wc
                here = (wa * depth[t, 0] + wb * depth[t, 1] + wc * depth[t, 2]) / total
                if here > greatest[i]:
                    greatest[i], found[i] = here, t
                    weights[i, 0], weights[i, 1], weights[i, 2] = wa / total, wb / total, wc / total
    return found, weights


class _Chosen:
    """The landmarks so far: the 68, then what :meth:`fill` adds."""

    def __init__(self, usual: SurfacePoints, face: _UnrolledFace) -> None:
        self.triangles = [int(t) for t in usual.triangles]
        self.barycentrics = [np.asarray(w, dtype=np.float64) for w in usual.barycentrics]
        self.positions = usual.at(face.vertices, face.faces)

    def fill(self, pairs: _Pairs, count: int, gap_mm: float) -> None:
        """Add the pair that is farthest from all landmarks, again and again, while it is farther than ``gap_mm``."""
        if len(pairs.single) == 0:
            return
        distance = cKDTree(self.positions).query(pairs.positions.reshape(-1, 3))[0].reshape(-1, 2).min(axis=1)
        while len(self.triangles) < count:
            # The last place of an odd number belongs to a point that has no partner.
            fits = distance if count - len(self.triangles) > 1 else np.where(pairs.single, distance, 0.0)
            best = int(fits.argmax())
            if fits[best] <= max(gap_mm, 1e-6):
                return
            for side in range(1 if pairs.single[best] else 2):
                self.triangles.append(int(pairs.triangles[best, side]))
                self.barycentrics.append(pairs.barycentrics[best, side])
                here = pairs.positions[best, side]
                self.positions = np.concatenate([self.positions, here[None]])
                distance = np.minimum(distance, np.linalg.norm(pairs.positions - here, axis=2).min(axis=1))


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _in_polygon(points: FloatArray, polygon: FloatArray) -> BoolArray:
    """Whether a line from each point to the right crosses the outline an odd number of times."""
    inside = np.zeros(len(points), dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y1 != y2:
            spans = (y1 > points[:, 1]) != (y2 > points[:, 1])
            inside ^= spans & (points[:, 0] < x1 + (points[:, 1] - y1) * (x2 - x1) / (y2 - y1))
    return inside
