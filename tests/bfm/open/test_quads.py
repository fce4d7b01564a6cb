from __future__ import annotations

import numpy as np
import pytest

from bfm.open.quads import catmull_clark, edge_loop, edges_of, side_of_loop, split_linear, triangulate


def grid(n: int, m: int) -> np.ndarray:
    """``n`` by ``m`` quads, counter-clockwise seen from +z when columns run along x and rows along y."""
    corner = np.arange((n + 1) * (m + 1)).reshape(n + 1, m + 1)
    return np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], -1).reshape(-1, 4)


def torus(n: int, m: int) -> np.ndarray:
    i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    corner = [((i + a) % n * m + (j + b) % m) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
    return np.stack(corner, -1).reshape(-1, 4)


CUBE = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
CUBE_CORNERS = np.array(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float
)
# Five quads around vertex 0, and a sheet with a hole and a vertex that no quad uses.
POLE = np.array([[0, 1 + 2 * k, 2 + 2 * k, 1 + (2 * k + 2) % 10] for k in range(5)])
HOLE = np.delete(grid(4, 4), 5, axis=0)
MESHES = {
    "torus": (torus(4, 5), 20),
    "cube": (CUBE, 8),
    "open grid": (grid(3, 4), 20),
    "pole of five": (POLE, 11),
    "hole": (HOLE, 26),
}


def reference(quads: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Catmull and Clark (1978), by the book: a loop over vertices, edges and faces."""
    n = len(v)
    face_points = [v[q].mean(axis=0) for q in quads]
    faces_of_edge: dict[tuple[int, int], list[int]] = {}
    for f, quad in enumerate(quads):
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            faces_of_edge.setdefault((min(a, b), max(a, b)), []).append(f)
    edge_points = []
    for (a, b), faces in sorted(faces_of_edge.items()):
        ends = [v[a], v[b]]
        edge_points.append(
            np.mean(ends + [face_points[f] for f in faces], axis=0) if len(faces) == 2 else sum(ends) / 2
        )
    vertex_points = []
    for k in range(n):
        edges = [e for e in faces_of_edge if k in e]
        border = [e for e in edges if len(faces_of_edge[e]) == 1]
        if not edges:
            vertex_points.append(v[k])
        elif border:
            others = [v[a if b == k else b] for a, b in border]
            vertex_points.append(0.75 * v[k] + 0.125 * (others[0] + others[1]))
        else:
            f = np.mean([face_points[i] for i, quad in enumerate(quads) if k in quad], axis=0)
            r = np.mean([(v[a] + v[b]) / 2 for a, b in edges], axis=0)
            vertex_points.append((f + 2 * r + (len(edges) - 3) * v[k]) / len(edges))
    return np.stack([*vertex_points, *edge_points, *face_points])


@pytest.mark.parametrize("name", MESHES)
def test_catmull_clark_by_the_book(name: str) -> None:
    quads, n = MESHES[name]
    v = np.random.default_rng(1).normal(size=(n, 3))
    matrix, _ = catmull_clark(quads, n)
    np.testing.assert_allclose(matrix @ v, reference(quads, v), atol=1e-12)


@pytest.mark.parametrize("name", MESHES)
def test_rows_sum_to_one(name: str) -> None:
    quads, n = MESHES[name]
    for step in (catmull_clark, split_linear):
        matrix, _ = step(quads, n)
        np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1.0, atol=1e-12)


@pytest.mark.parametrize("name", MESHES)
def test_children_cover_their_parent(name: str) -> None:
    """Child 4i + k starts at corner k of face i, goes on to the next edge, and shares the centre."""
    quads, n = MESHES[name]
    _, children = catmull_clark(quads, n)
    assert np.array_equal(children[:, 0], quads.ravel())
    v = np.random.default_rng(2).normal(size=(n, 3))
    linear, same = split_linear(quads, n)
    assert np.array_equal(same, children)
    fine = linear @ v
    for i, quad in enumerate(quads):
        for k in range(4):
            here, after, before = quad[k], quad[(k + 1) % 4], quad[k - 1]
            want = [v[here], (v[here] + v[after]) / 2, v[quad].mean(axis=0), (v[before] + v[here]) / 2]
            np.testing.assert_allclose(fine[children[4 * i + k]], want, atol=1e-12)


@pytest.mark.parametrize("name", MESHES)
def test_edges(name: str) -> None:
    quads, _ = MESHES[name]
    edges, sides = edges_of(quads)
    for quad, own in zip(quads, sides, strict=True):
        for k in range(4):
            assert sorted((quad[k], quad[(k + 1) % 4])) == edges[own[k]].tolist()
    assert len(np.unique(edges, axis=0)) == len(edges)


def test_border_depends_on_the_border_alone() -> None:
    """A hem keeps its shape whatever the cloth does: the neck loop, the rims of the eye sockets."""
    quads = grid(4, 4)
    v = np.random.default_rng(3).normal(size=(25, 3))
    inner = np.array([6, 7, 8, 11, 12, 13, 16, 17, 18])
    moved = v.copy()
    moved[inner] += 5.0
    matrix, _ = catmull_clark(quads, 25)
    edges, sides = edges_of(quads)
    border = np.setdiff1d(np.arange(25), inner)
    rim_edges = 25 + np.nonzero(np.bincount(sides.ravel()) == 1)[0]
    for rows in (border, rim_edges):
        np.testing.assert_allclose((matrix @ moved)[rows], (matrix @ v)[rows], atol=1e-12)
    assert np.abs((matrix @ moved)[inner] - (matrix @ v)[inner]).min() > 1.0


def test_symmetric_mesh_stays_symmetric() -> None:
    x, y = np.meshgrid(np.arange(-3.0, 4.0), np.arange(5.0))
    v = np.stack([x, y, np.cos(x) * np.sin(1.3 * y)], axis=-1).reshape(-1, 3)
    quads = grid(4, 6)
    for _ in range(2):
        matrix, quads = catmull_clark(quads, len(v))
        v = matrix @ v
        mirrored = v * [-1.0, 1.0, 1.0]
        order, other = (np.lexsort(a.round(6).T) for a in (v, mirrored))
        np.testing.assert_allclose(v[order], mirrored[other], atol=1e-9)
    triangles, cut_ac = triangulate(quads, v)
    centres = v[quads].mean(axis=1)
    left = np.nonzero(centres[:, 0] < -1e-9)[0]
    for quad in left:
        partner = np.abs(centres - centres[quad] * [-1, 1, 1]).sum(axis=1).argmin()
        ends = {tuple(p.round(6)) for p in v[diagonal(quads[quad], cut_ac[quad])] * [-1, 1, 1]}
        assert ends == {tuple(p.round(6)) for p in v[diagonal(quads[partner], cut_ac[partner])]}


def diagonal(quad: np.ndarray, cut_ac: bool) -> np.ndarray:
    return quad[[0, 2]] if cut_ac else quad[[1, 3]]


def test_cube_becomes_round() -> None:
    quads, v = CUBE, CUBE_CORNERS
    volumes = [volume(v, quads)]
    for _ in range(5):
        matrix, quads = catmull_clark(quads, len(v))
        v = matrix @ v
        edges, sides = edges_of(quads)
        assert (np.bincount(sides.ravel()) == 2).all() and len(v) - len(edges) + len(quads) == 2
        volumes.append(volume(v, quads))
    assert volumes[0] == pytest.approx(8.0)
    steps = -np.diff(volumes)
    assert (steps > 0).all() and (steps[1:] < 0.5 * steps[:-1]).all(), "converges from outside"
    radius = np.linalg.norm(v, axis=1)
    assert radius.max() / radius.min() < 1.15, "a cube's is 1.73"


def volume(v: np.ndarray, quads: np.ndarray) -> float:
    triangles, _ = triangulate(quads, v)
    a, b, c = v[triangles].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6.0)


def test_edge_with_three_faces() -> None:
    with pytest.raises(ValueError, match="more than two faces"):
        catmull_clark(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [1, 0, 6, 7]]), 8)


def test_triangulate() -> None:
    v = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0], [3, 3, 0], [0.5, 3, 0]], float)
    quads = np.array([[0, 1, 2, 3], [0, 1, 4, 3], [3, 2, 4, 5], [1, 4, 5, 3]])
    triangles, cut_ac = triangulate(quads, v)
    assert cut_ac.tolist() == [True, False, False, True], "the shorter diagonal; ac of two equal ones"
    areas = np.cross(v[triangles[:, 1]] - v[triangles[:, 0]], v[triangles[:, 2]] - v[triangles[:, 0]])[:, 2] / 2
    assert (areas > 0).all(), "windings are kept"
    for i, quad in enumerate(quads):
        x, y, _ = v[quad].T
        shoelace = 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))
        assert areas[2 * i] + areas[2 * i + 1] == pytest.approx(shoelace)
        assert set(triangles[2 * i]) | set(triangles[2 * i + 1]) == set(quad)
    for wanted in ([True] * 4, [False] * 4):
        cut, back = triangulate(quads, v, np.array(wanted))
        assert back.tolist() == wanted
        shared = [set(cut[2 * i]) & set(cut[2 * i + 1]) for i in range(4)]
        assert shared == [set(diagonal(q, c)) for q, c in zip(quads, wanted, strict=True)]


def tube(n_around: int, n_along: int) -> np.ndarray:
    i, j = np.meshgrid(np.arange(n_along), np.arange(n_around), indexing="ij")
    a = i * n_around + j
    b = i * n_around + (j + 1) % n_around
    return np.stack([a, b, b + n_around, a + n_around], -1).reshape(-1, 4)


def test_loop_around_a_tube() -> None:
    quads = tube(7, 5)
    loop = edge_loop(quads, (14, 15))
    assert loop.tolist() == [14, 15, 16, 17, 18, 19, 20]
    assert edge_loop(quads, (15, 14)).tolist() == [15, 14, 20, 19, 18, 17, 16]
    below, above = side_of_loop(quads, loop, 0), side_of_loop(quads, loop, 40)
    assert below.tolist() == list(range(14)) and above.tolist() == list(range(14, 35))


def test_loops_that_do_not_close() -> None:
    quads = tube(7, 5)
    with pytest.raises(ValueError, match=r"edge loop through \(14, 21\) does not close: it ends at vertex 35"):
        edge_loop(quads, (14, 21))
    with pytest.raises(ValueError, match="does not close"):
        edge_loop(CUBE, (0, 1))
