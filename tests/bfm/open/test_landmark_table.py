from __future__ import annotations

import numpy as np
import pytest

from bfm.mediapipe_table import MEDIAPIPE_68, MIRROR_478
from bfm.model import MorphableModel
from bfm.open.landmark_table import ascend, descend, quad_to_triangle, triangle_to_quad
from bfm.open.quads import split_linear, triangulate

QUADS = np.array([[0, 1, 4, 3], [1, 2, 5, 4], [3, 4, 7, 6], [4, 5, 8, 7]])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture
def places(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([(s, t) for s in (0.0, 0.5, 1.0) for t in (0.0, 0.5, 1.0)])
    return rng.integers(0, 4, 59), np.concatenate([corners, rng.uniform(size=(50, 2))])


def bilinear(quads: np.ndarray, v: np.ndarray, index: np.ndarray, places: np.ndarray) -> np.ndarray:
    s, t = places.T[..., None]
    a, b, c, d = v[quads[index]].transpose(1, 0, 2)
    return (1 - s) * (1 - t) * a + s * (1 - t) * b + s * t * c + (1 - s) * t * d


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_same_place_on_every_level(levels: int, places: tuple, rng: np.random.Generator) -> None:
    """A bilinear patch, split without smoothing, stays the same surface."""
    index, place = places
    v, quads = rng.normal(size=(9, 3)), QUADS
    want = bilinear(quads, v, index, place)
    for _ in range(levels):
        step, quads = split_linear(quads, len(v))
        v = step @ v
    fine, inside = descend(index, place, levels)
    assert inside.min() >= 0.0 and inside.max() <= 1.0 and fine.max() < len(quads)
    np.testing.assert_allclose(bilinear(quads, v, fine, inside), want, atol=1e-12)


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_down_and_up_again(levels: int, places: tuple) -> None:
    index, place = places
    back, same = ascend(*descend(index, place, levels), levels)
    assert np.array_equal(back, index)
    np.testing.assert_allclose(same, place, atol=1e-12)


def test_triangles_and_back(places: tuple, rng: np.random.Generator) -> None:
    index, place = places
    cut_ac = np.array([True, False, True, False])
    points = quad_to_triangle(index, place, cut_ac)
    assert points.barycentrics.min() >= -1e-12
    back, same = triangle_to_quad(points, cut_ac)
    assert np.array_equal(back, index)
    np.testing.assert_allclose(same, place, atol=1e-12)


def test_place_in_a_parallelogram(places: tuple) -> None:
    """On flat parallelograms the two triangles and the bilinear patch are the same surface."""
    index, place = places
    x, y = np.meshgrid(np.arange(3.0), np.arange(3.0))
    v = np.stack([2 * x + y, y, x - y], axis=-1).reshape(-1, 3)
    for wanted in ([True, False, True, False], [False, True, False, True]):
        triangles, cut_ac = triangulate(QUADS, v, np.array(wanted))
        points = quad_to_triangle(index, place, cut_ac)
        np.testing.assert_allclose(points.at(v, triangles), bilinear(QUADS, v, index, place), atol=1e-12)


def test_inner_points_of_the_68_are_mediapipes(open_model: MorphableModel) -> None:
    dense, usual, inner = (open_model.landmark_points(name) for name in ("478", "68", "51"))
    for k in range(17, 68):
        assert usual.triangles[k] == dense.triangles[MEDIAPIPE_68[k]] == inner.triangles[k - 17]
        np.testing.assert_array_equal(usual.barycentrics[k], inner.barycentrics[k - 17])


def test_478_are_symmetric_on_the_mean(open_model: MorphableModel) -> None:
    points = open_model.landmarks(open_model.shape(), "478")[0].numpy()
    mirrored = points[list(MIRROR_478)] * [-1.0, 1.0, 1.0]
    assert np.linalg.norm(mirrored - points, axis=1).max() < 0.5


def test_irises_sit_on_the_eyes(open_model: MorphableModel) -> None:
    """The person's left iris: centre 473 and sides 474, 476; right: 468, 469, 471. The lids cover top and bottom."""
    faces, points = open_model.faces.numpy(), open_model.landmark_points("478")
    for name, numbers in (("left_eye", [473, 474, 476]), ("right_eye", [468, 469, 471])):
        assert open_model.region(name).numpy()[faces[points.triangles[numbers]]].all()


def test_outline_of_the_face(open_model: MorphableModel) -> None:
    """From the temple down the person's right side to the chin: each point lower, and the jaw angle well to the side."""
    outline = [162, 234, 93, 58, 172, 136, 149, 148, 152]
    points = open_model.landmarks(open_model.shape(), "478")[0].numpy()
    x, y, z = points[outline].T
    assert (abs(x[:5]) > 55.0).all() and (y[1:] < y[:-1]).all()
    assert (z[3:] > z[2:-1]).all(), "forward from the ear to the chin"
    gaps = abs(points[outline][1:] - points[outline][:-1]).max(axis=1)
    assert gaps.max() < 45.0
