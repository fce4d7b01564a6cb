"""Surfaces through oriented points."""

import numpy as np
import pytest
import trimesh

from recon.depth.poisson_surface import OrientedPoints, SurfaceError, screened_poisson

_RADII = np.array([50.0, 35.0, 42.0])
_MIDDLE = np.array([10.0, -20.0, -700.0])


def _ellipsoid(count: int = 20000) -> OrientedPoints:
    rng = np.random.default_rng(0)
    sphere = rng.normal(size=(count, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    normals = sphere / _RADII
    stretch = np.linalg.norm(normals, axis=1)
    areas = _RADII.prod() * stretch * 4.0 * np.pi / count
    return OrientedPoints(_MIDDLE + sphere * _RADII, normals / stretch[:, None], areas)


def _off(vertices: np.ndarray) -> np.ndarray:
    """Distance from the ellipsoid, nearly, mm."""
    level = np.linalg.norm((vertices - _MIDDLE) / _RADII, axis=1)
    return (level - 1.0) * _RADII.min()


def test_a_closed_shape_comes_back_closed_and_outwards():
    vertices, faces = screened_poisson(_ellipsoid(), 3.0)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.body_count == 1
    assert mesh.volume == pytest.approx(4.0 / 3.0 * np.pi * _RADII.prod(), rel=0.01)
    assert np.abs(_off(vertices)).mean() < 0.15 and np.abs(_off(vertices)).max() < 1.0


def test_finer_cells_are_nearer():
    off = [np.abs(_off(screened_poisson(_ellipsoid(), cell)[0])).mean() for cell in (8.0, 4.0)]
    assert off[1] < 0.6 * off[0]


def test_noise_is_smoothed_and_holes_are_bridged():
    points = _ellipsoid()
    rng = np.random.default_rng(1)
    noisy = points.places_mm + rng.normal(scale=1.0, size=points.places_mm.shape)
    at_pole = points.places_mm[:, 2] > _MIDDLE[2] + 0.985 * _RADII[2]
    kept = ~at_pole
    vertices, faces = screened_poisson(OrientedPoints(noisy[kept], points.normals[kept], points.areas_mm2[kept]), 3.0)
    assert trimesh.Trimesh(vertices, faces, process=False).is_watertight
    assert np.abs(_off(vertices)).mean() < 0.5


@pytest.mark.parametrize(
    ("count", "cell", "message"),
    [
        (99, 3.0, "needs at least 100 finite points with normals, got 99"),
        (500, 0.0, "a cell's side must be positive, got 0.0 mm"),
        (500, 0.3, "take more than 4000000 cells of 0.3 mm: enlarge the cells"),
    ],
)
def test_what_makes_no_surface_is_named(count, cell, message):
    points = _ellipsoid(count)
    with pytest.raises(SurfaceError, match=message):
        screened_poisson(points, cell)
