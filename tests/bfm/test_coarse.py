"""Models with fewer vertices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bfm import coarse
from bfm.coarse import coarse_model
from bfm.model import MorphableModel
from bfm.surface import SurfaceTree


@pytest.fixture(scope="module")
def coarse_head(open_model: MorphableModel) -> MorphableModel:
    return coarse_model(open_model, 0.3)


@pytest.fixture(scope="module")
def coefficients(open_model: MorphableModel) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    identity = torch.randn(3, open_model.n_identity, generator=generator)
    return identity, 0.7 * torch.rand(3, open_model.n_expression, generator=generator)


def _edges(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _counted(edges: np.ndarray) -> np.ndarray:
    return np.unique(edges, axis=0, return_counts=True)[1]


def test_as_many_as_asked_for_and_all_of_them_the_models_own(open_model, coarse_head):
    assert coarse_head.n_vertices == int(np.ceil(0.3 * open_model.n_vertices))
    own = {row.tobytes() for row in open_model.data().mean_shape}
    data = coarse_head.data()
    assert all(row.tobytes() in own for row in data.mean_shape)
    found = {row.tobytes(): k for k, row in enumerate(open_model.data().mean_shape)}
    rows = [found[row.tobytes()] for row in data.mean_shape]
    for name in ("identity_basis", "expression_basis", "albedo_basis", "mean_albedo"):
        assert np.array_equal(getattr(data, name), getattr(open_model.data(), name)[rows]), name
    for name in open_model.region_names:
        assert np.array_equal(data.regions[name], open_model.data().regions[name][rows]), name


def test_landmarks_lie_where_they_lay(open_model, coarse_head, coefficients):
    for name in open_model.landmark_sets:
        before = open_model.landmarks(open_model.shape(*coefficients), name)
        after = coarse_head.landmarks(coarse_head.shape(*coefficients), name)
        torch.testing.assert_close(after, before, atol=1e-4, rtol=0.0)


def test_the_surface_stays_also_in_expressions(open_model, coarse_head, coefficients):
    fine, few = open_model.shape(*coefficients).double().numpy(), coarse_head.shape(*coefficients).double().numpy()
    skin = open_model.region("skin").numpy()
    for k in range(3):
        tree = SurfaceTree(few[k], coarse_head.faces.numpy())
        away = tree.query(fine[k][skin]).distance
        assert np.median(away) < 0.1 and np.quantile(away, 0.99) < 1.0, (np.median(away), np.quantile(away, 0.99))


def test_as_many_borders_and_no_edge_of_three_faces(open_model, coarse_head):
    before, after = open_model.faces.numpy(), coarse_head.faces.numpy()
    assert _counted(_edges(after)).max() == 1, "two faces that turn the same way at an edge"
    borders = [np.sum(_counted(np.sort(_edges(faces), axis=1)) == 1) for faces in (before, after)]
    assert borders[0] == borders[1] > 0
    assert _counted(np.sort(_edges(after), axis=1)).max() == 2
    # Handles and shells are as many as before: Euler's characteristic.
    characteristic = [
        len(np.unique(faces)) - len(np.unique(np.sort(_edges(faces), axis=1), axis=0)) + len(faces)
        for faces in (before, after)
    ]
    assert characteristic[0] == characteristic[1]


def test_rims_of_colours_stay(open_model, coarse_head):
    own = {row.tobytes() for row in coarse_head.data().mean_shape}
    data = open_model.data()
    pairs = np.unique(np.sort(_edges(data.faces), axis=1), axis=0)
    step = np.abs(data.mean_albedo[pairs[:, 0]] - data.mean_albedo[pairs[:, 1]]).max(axis=1)
    rims = np.unique(pairs[step > 0.1])
    assert len(rims) > 500 and all(data.mean_shape[v].tobytes() in own for v in rims)


def test_the_same_every_time_and_all_of_it_for_a_share_of_one(open_model, coarse_head):
    again = coarse_model(open_model, 0.3)
    assert torch.equal(again.faces, coarse_head.faces) and torch.equal(again.mean_shape, coarse_head.mean_shape)
    whole = coarse_model(open_model, 1.0)
    assert torch.equal(whole.faces, open_model.faces) and torch.equal(whole.mean_shape, open_model.mean_shape)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.2, float("nan")])
def test_impossible_shares(open_model, share):
    with pytest.raises(ValueError, match=r"share of vertices to keep must lie in \(0, 1\]"):
        coarse_model(open_model, share)


def _hills(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Two heads of a small mesh with a border, and its faces."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    rng = np.random.default_rng(3)
    heads = np.stack([np.stack((x, y, rng.uniform(0.0, 0.8, x.shape)), axis=-1).reshape(-1, 3) for _ in range(2)])
    corner = np.arange(rows * columns).reshape(rows, columns)[:-1, :-1].reshape(-1)
    one = np.stack((corner, corner + 1, corner + columns), axis=1)
    other = np.stack((corner + 1, corner + columns + 1, corner + columns), axis=1)
    return heads, np.concatenate((one, other))


def _blade() -> tuple[np.ndarray, np.ndarray]:
    """A blade with three sides: the three vertices of a ring are neighbours of each other, but no face."""
    ring = np.array([[0.2, 0.03], [-0.5, 0.0], [0.2, -0.03]])
    wide = (1.0, 1.6, 0.8, 1.5, 0.9, 1.7, 0.8, 1.2)  # bulges, so that ways along the blade cost more than across it
    rings = [np.column_stack((wide[z] * ring, np.full(3, 0.5 * z))) for z in range(8)]
    lower = [np.array([3 * z + k, 3 * z + (k + 1) % 3, 3 * z + 3 + k]) for z in range(7) for k in range(3)]
    upper = [
        np.array([3 * z + (k + 1) % 3, 3 * z + 3 + (k + 1) % 3, 3 * z + 3 + k]) for z in range(7) for k in range(3)
    ]
    points = np.concatenate(rings) + np.random.default_rng(2).normal(0.0, 0.005, (24, 3))
    return points[None], np.stack(lower + upper)


@pytest.mark.parametrize("shape", [_hills(6, 7), _blade()], ids=["hills", "blade"])
def test_collapses_agree_with_a_plain_search(shape):
    heads, faces = shape
    n = heads.shape[1]
    rng = np.random.default_rng(5)
    needed, labels = rng.random(n) < 0.1, (rng.random(n) < 0.2).astype(np.int64)
    quadrics = coarse._quadrics(heads, faces)
    starts, around = coarse._faces_of_vertices(faces, n)
    target, cost = coarse._best_collapses(heads, faces, starts, around, quadrics, needed, labels)
    plain = [_plain_best(v, heads, faces, needed, labels) for v in range(n)]
    assert [u for u, _ in plain] == target.tolist()
    assert sum(u >= 0 for u, _ in plain) > 1
    np.testing.assert_allclose([c for _, c in plain], cost, rtol=1e-9)


def _plain_best(v, heads, faces, needed, labels):
    """What a vertex is pulled onto, in words that can be read: all neighbours are tried on a copy of the mesh."""
    own = faces[(faces == v).any(axis=1)]
    neighbours = set(own.ravel()) - {v}
    on_border = any((own == u).sum() != 2 for u in neighbours)
    if needed[v] or on_border:
        return -1, np.inf
    best = (-1, np.inf)
    for u in sorted(neighbours):
        of_u = set(faces[(faces == u).any(axis=1)].ravel()) - {u}
        if labels[u] != labels[v] or len(of_u & neighbours) != 2:
            continue
        left = own[~(own == u).any(axis=1)]
        moved = np.where(left == v, u, left)
        cost, turned = 0.0, False
        for head in heads:
            old, new = _normals(head, left), _normals(head, moved)
            cosine = (old * new).sum(axis=1) / (np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1))
            turned |= bool((cosine <= 0.5).any())
            for w in (v, u):
                for face in faces[(faces == w).any(axis=1)]:
                    normal = _normals(head, face[None])[0]
                    area = np.linalg.norm(normal)
                    cost += area * ((head[u] - head[face[0]]) @ normal / area) ** 2
            cost += 1e-4 * ((head[u] - head[v]) ** 2).sum() ** 2
        if not turned and cost < best[1]:
            best = (int(u), cost)
    return best


def _normals(head, faces):
    a, b, c = (head[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)
