"""Eyeballs with enough rings to carry an iris: MakeHuman's own have 72 vertices, 5 mm apart."""

from __future__ import annotations

import dataclasses

import numpy as np

from bfm.data import FloatArray, IntArray
from bfm.open.quads import catmull_clark

RADIUS_MM = 16.6
"""Half the width of an eyeball of the mean head. Larger than life (12 mm), and the lids are modelled to fit it."""
PUPIL_RADIUS_MM = 2.0
IRIS_RADIUS_MM = 5.9
"""Half the visible iris diameter of adults, 11.8 mm (Hashemi et al. 2015: 11.80 +- 0.6)."""

_GRID = 4
_SEGMENTS = 4 * _GRID
PUPIL_ANGLE_DEG = float(np.degrees(np.arcsin(PUPIL_RADIUS_MM / RADIUS_MM)))
IRIS_ANGLE_DEG = float(np.degrees(np.arcsin(IRIS_RADIUS_MM / RADIUS_MM)))
_RINGS_DEG = (
    *np.linspace(PUPIL_ANGLE_DEG, IRIS_ANGLE_DEG - 1.2, 4),
    *np.linspace(IRIS_ANGLE_DEG + 1.2, 40.0, 4),
    *(52.0, 68.0, 88.0, 112.0, 138.0, 160.0),
)


@dataclasses.dataclass(frozen=True)
class Eyeball:
    """A unit eyeball that looks along +z.

    Attributes:
        directions: ``(N, 3)``; close to unit length, slightly longer where subdivision will pull vertices inwards.
        quads: ``(F, 4)``, counter-clockwise seen from outside.
        uv: ``(U, 2)`` in [0, 1], a disc with the pupil in the middle; the back of the eye is a small disc in a corner.
            The first N belong to the vertices.
        uv_quads: ``(F, 4)`` indices into ``uv``.
        angle_rad: ``(N,)`` angle from the optical axis.
    """

    directions: FloatArray
    quads: IntArray
    uv: FloatArray
    uv_quads: IntArray
    angle_rad: FloatArray


def make_eyeball() -> Eyeball:
    """Rings around the optical axis, closed at both poles by a square grid bent into a disc (no fan of triangles)."""
    grid = np.linspace(-1.0, 1.0, _GRID + 1)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    # Square to disc along rays: the largest coordinate becomes the radius.
    radius = np.maximum(np.abs(x), np.abs(y))
    length = np.hypot(x, y)
    disc_x = np.where(length > 0, x / np.where(length > 0, length, 1.0) * radius, 0.0).ravel()
    disc_y = np.where(length > 0, y / np.where(length > 0, length, 1.0) * radius, 0.0).ravel()
    cell = np.arange((_GRID + 1) ** 2).reshape(_GRID + 1, _GRID + 1)
    cap = np.stack([cell[:-1, :-1], cell[1:, :-1], cell[1:, 1:], cell[:-1, 1:]], axis=-1).reshape(-1, 4)
    rim = np.concatenate([cell[:-1, 0], cell[-1, :-1], cell[:0:-1, -1], cell[0, :0:-1]])
    rim_azimuth = np.arctan2(disc_y[rim], disc_x[rim])

    cap_radius = np.hypot(disc_x, disc_y)
    cap_azimuth = np.arctan2(disc_y, disc_x)
    angles = [np.radians(_RINGS_DEG[0]) * cap_radius]
    azimuths = [cap_azimuth]
    quads = [cap]
    previous = rim
    n_vertices = len(cap_radius)
    for ring_deg in _RINGS_DEG[1:]:
        ring = n_vertices + np.arange(_SEGMENTS)
        angles.append(np.full(_SEGMENTS, np.radians(ring_deg)))
        azimuths.append(rim_azimuth)
        quads.append(np.stack([previous, ring, np.roll(ring, -1), np.roll(previous, -1)], axis=1))
        previous, n_vertices = ring, n_vertices + _SEGMENTS
    # The back cap shares the last ring as its rim; only its inner grid points are new.
    back = np.full(cap_radius.shape, -1)
    back[rim] = previous
    inner = np.nonzero(back < 0)[0]
    back[inner] = n_vertices + np.arange(len(inner))
    angles.append(np.pi - (np.pi - np.radians(_RINGS_DEG[-1])) * cap_radius[inner])
    azimuths.append(cap_azimuth[inner])
    quads.append(back[cap][:, ::-1])

    angle, azimuth = np.concatenate(angles), np.concatenate(azimuths)
    faces = np.concatenate(quads)
    on_sphere = np.stack([np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)], axis=1)
    uv, uv_quads = _texture(angle, azimuth, faces, len(cap))
    return Eyeball(_grown(on_sphere, faces), faces, uv, uv_quads, angle)


def _texture(angle: FloatArray, azimuth: FloatArray, quads: IntArray, n_back: int) -> tuple[FloatArray, IntArray]:
    """Texture corners. A sphere does not fit into a disc: the last ``n_back`` quads get a disc of their own."""

    def disc(middle: float, radius: FloatArray, turn: float) -> FloatArray:
        return middle + radius[:, None] * np.stack([turn * np.cos(azimuth), np.sin(azimuth)], axis=1)

    edge = np.radians(_RINGS_DEG[-1])
    # The pupil gets a large share of the disc: the eye is seen from the front.
    front = disc(0.5, 0.5 * (np.minimum(angle, edge) / edge) ** 0.65, 1.0)
    # Seen from behind, so mirrored; the corner of a square beside its inscribed circle has room for a radius of 0.08.
    back = disc(0.08, 0.075 * (np.pi - angle) / (np.pi - edge), -1.0)
    used, local = np.unique(quads[-n_back:], return_inverse=True)
    uv_quads = quads.copy()
    uv_quads[-n_back:] = len(angle) + local.reshape(-1, 4)
    return np.concatenate([front, back[used]]), uv_quads


def _grown(on_sphere: FloatArray, quads: IntArray) -> FloatArray:
    """Vertices moved out so that two subdivision steps land on the unit sphere."""
    first, finer = catmull_clark(quads, len(on_sphere))
    second, _ = catmull_clark(finer, first.shape[0])
    smooth = (second @ first)[: len(on_sphere)]
    directions = on_sphere.copy()
    for _ in range(20):
        directions += on_sphere - smooth @ directions
    return directions
