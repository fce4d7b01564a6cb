from __future__ import annotations

import numpy as np
import pytest
import trimesh

from bfm.surface import SurfaceTree, closest_points


def segment_distance(p: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    length2 = float((b - a) @ (b - a))
    t = 0.0 if length2 == 0.0 else min(max(float((p - a) @ (b - a)) / length2, 0.0), 1.0)
    return float(np.linalg.norm(p - a - t * (b - a)))


def triangle_distance(p: np.ndarray, corners: np.ndarray) -> float:
    """The nearest of the three edges, or of the plane where the foot of the perpendicular lies inside."""
    a, b, c = corners
    best = min(segment_distance(p, a, b), segment_distance(p, b, c), segment_distance(p, c, a))
    normal = np.cross(b - a, c - a)
    area2 = float(np.linalg.norm(normal))
    if area2 < 1e-14:
        return best
    normal = normal / area2
    foot = p - normal * float(normal @ (p - a))
    inside = all(float(np.cross(v - u, foot - u) @ normal) >= 0.0 for u, v in ((a, b), (b, c), (c, a)))
    return abs(float(normal @ (p - a))) if inside else best


def brute(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return np.array([min(triangle_distance(p, vertices[f]) for f in faces) for p in points])


@pytest.fixture
def soup() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(40, 3)), rng.integers(0, 40, (61, 3))


def test_against_every_triangle(soup: tuple[np.ndarray, np.ndarray]) -> None:
    """A soup of triangles, some of them degenerate (equal corners)."""
    vertices, faces = soup
    assert (np.sort(faces, axis=1)[:, :-1] == np.sort(faces, axis=1)[:, 1:]).any(), "some are degenerate"
    points = np.random.default_rng(6).normal(0.0, 2.0, (120, 3))
    found = closest_points(points, vertices, faces)
    np.testing.assert_allclose(found.distance, brute(points, vertices, faces), atol=1e-12)


def test_what_is_found_fits_together(soup: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = soup
    points = np.random.default_rng(7).normal(0.0, 2.0, (200, 3))
    found = SurfaceTree(vertices, faces).query(points)
    np.testing.assert_allclose(np.linalg.norm(points - found.points, axis=1), found.distance, atol=1e-12)
    np.testing.assert_allclose(found.barycentrics.sum(axis=1), 1.0, atol=1e-12)
    assert found.barycentrics.min() >= -1e-12
    on = np.einsum("nk,nkc->nc", found.barycentrics, vertices[faces[found.triangles]])
    np.testing.assert_allclose(on, found.points, atol=1e-12)


def test_against_trimesh() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=50.0)
    mesh.vertices[:, 1] *= 1.3
    points = np.random.default_rng(8).normal(0.0, 50.0, (300, 3))
    want_points, want_distance, _ = trimesh.proximity.closest_point_naive(mesh, points)
    found = closest_points(points, mesh.vertices, mesh.faces)
    np.testing.assert_allclose(found.distance, want_distance, atol=1e-9)
    np.testing.assert_allclose(found.points, want_points, atol=1e-6)


def test_points_on_the_surface(soup: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = soup
    weights = np.random.default_rng(9).dirichlet(np.ones(3), len(faces))
    on = np.einsum("nk,nkc->nc", weights, vertices[faces])
    np.testing.assert_allclose(closest_points(on, vertices, faces).distance, 0.0, atol=1e-7)
    np.testing.assert_allclose(closest_points(vertices[faces[:, 1]], vertices, faces).distance, 0.0, atol=1e-12)


@pytest.mark.parametrize(
    "corners",
    [
        [[1.0, 2.0, 3.0]] * 3,
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 0.0, 0.0]],
        [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.0], [1e-9, 0.0, 0.0], [0.0, 1e9, 0.0]],
    ],
    ids=["point", "line", "edge twice", "there and back", "needle"],
)
def test_triangles_without_area(corners: list[list[float]]) -> None:
    vertices = np.array(corners)
    points = np.random.default_rng(10).normal(0.0, 3.0, (50, 3))
    found = closest_points(points, vertices, np.array([[0, 1, 2]]))
    np.testing.assert_allclose(found.distance, brute(points, vertices, np.array([[0, 1, 2]])), atol=1e-7)
    assert np.isfinite(found.barycentrics).all()
    np.testing.assert_allclose(found.barycentrics.sum(axis=1), 1.0, atol=1e-9)


def test_many_equal_triangles() -> None:
    """A tree that splits by place cannot split these; it must still end."""
    vertices, faces = np.eye(3), np.tile([[0, 1, 2]], (100, 1))
    found = closest_points(np.array([[1.0, 1.0, 1.0]]), vertices, faces)
    assert found.distance[0] == pytest.approx(2.0 / np.sqrt(3.0))


def test_inputs_are_untouched(soup: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = soup
    points = np.ones((3, 3))
    before = vertices.copy(), faces.copy()
    closest_points(points, vertices, faces)
    assert np.array_equal(vertices, before[0]) and np.array_equal(faces, before[1]) and (points == 1.0).all()


def test_no_points(soup: tuple[np.ndarray, np.ndarray]) -> None:
    assert len(closest_points(np.zeros((0, 3)), *soup).distance) == 0


def test_bad_meshes_and_queries(soup: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = soup
    with pytest.raises(ValueError, match="a mesh without faces has no surface"):
        SurfaceTree(vertices, faces[:0])
    broken = vertices.copy()
    broken[faces[0, 0]] = np.nan
    with pytest.raises(ValueError, match="vertices that are nan or inf"):
        SurfaceTree(broken, faces)
    with pytest.raises(ValueError, match=r"query points must be \(N, 3\), got \(4, 2\)"):
        SurfaceTree(vertices, faces).query(np.zeros((4, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_query_that_is_not_finite(soup: tuple[np.ndarray, np.ndarray], bad: float) -> None:
    with pytest.raises(ValueError, match="query point 1 is not finite"):
        closest_points(np.array([[0.0, 0.0, 0.0], [0.0, bad, 0.0]]), *soup)


def test_many_points_are_searched_in_parts(
    soup: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(11).normal(0.0, 2.0, (1001, 3))
    tree = SurfaceTree(*soup)
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", 1)
    one = tree.query(points)
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", 3)
    three = tree.query(points)
    assert np.array_equal(one.distance, three.distance) and np.array_equal(one.triangles, three.triangles)
