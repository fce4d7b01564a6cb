from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bfm.data import ModelData, SurfacePoints
from bfm.dense_landmarks import _centroids, _outermost, dense_landmarks
from bfm.model import MorphableModel


@pytest.fixture(scope="module")
def dense(open_data: ModelData) -> SurfacePoints:
    return dense_landmarks(open_data)


@pytest.fixture(scope="module")
def places(open_data: ModelData, dense: SurfacePoints) -> np.ndarray:
    return dense.at(open_data.mean_shape.astype(np.float64), open_data.faces)


def test_520_that_begin_with_the_68(open_data: ModelData, dense: SurfacePoints) -> None:
    usual = open_data.landmarks["68"]
    assert dense.triangles.shape == (520,)
    assert np.array_equal(dense.triangles[:68], usual.triangles)
    assert np.array_equal(dense.barycentrics[:68], usual.barycentrics.astype(np.float64))
    assert dense.barycentrics.min() >= 0.0


def test_open_model_carries_them(open_model: MorphableModel, places: np.ndarray) -> None:
    assert "520" in open_model.landmark_sets
    np.testing.assert_allclose(open_model.landmarks(open_model.shape(), "520")[0].numpy(), places, atol=1e-3)


def test_same_every_time(open_model: MorphableModel, dense: SurfacePoints) -> None:
    again = dense_landmarks(open_model)
    assert np.array_equal(again.triangles, dense.triangles) and np.array_equal(again.barycentrics, dense.barycentrics)


def test_even_cover(open_data: ModelData, places: np.ndarray) -> None:
    apart = cKDTree(places).query(places[68:], k=2)[0][:, 1]
    assert apart.min() > 4.0 and apart.max() < 15.0 and np.percentile(apart, 5) > 0.5 * np.median(apart)
    # No gaps: all of the frontal face is near a landmark; the rim above the ears is not part of the outline.
    skin = open_data.regions["face"] & ~open_data.regions["eye_sockets"]
    front = open_data.mean_shape[skin & (np.abs(open_data.mean_shape[:, 0]) < 60) & (open_data.mean_shape[:, 1] < 60)]
    front = front[(front[:, 2] > -40) & (front[:, 1] > -100)]
    assert len(front) > 3000 and cKDTree(places).query(front)[0].max() < 14.0


def test_left_mirrors_right(places: np.ndarray) -> None:
    mirrored = places * [-1.0, 1.0, 1.0]
    away = cKDTree(places).query(mirrored)[0]
    assert away.max() < 1.0, "as far as the 68 and the mean head are symmetric themselves"


def test_on_skin_alone(open_data: ModelData, dense: SurfacePoints, places: np.ndarray) -> None:
    corners = open_data.faces[dense.triangles[68:]]
    for name in ("eyes", "eye_sockets", "mouth_interior", "teeth", "tongue"):
        assert not open_data.regions[name][corners].any(), name
    assert open_data.regions["skin"][corners].all()
    # Outermost: a ray from the axis of the head outwards meets nothing further on.
    axis = np.array([0.0, -70.0])
    away = np.linalg.norm(places[68:][:, [0, 2]] - axis, axis=1)
    assert away.min() > 40.0


@pytest.mark.parametrize("count", [68, 69, 70, 101, 300, 1000])
def test_other_counts(open_data: ModelData, count: int) -> None:
    points = dense_landmarks(open_data, count)
    assert len(points.triangles) == count
    assert np.array_equal(points.triangles[:68], open_data.landmarks["68"].triangles)
    place = points.at(open_data.mean_shape.astype(np.float64), open_data.faces)
    if count > 69:
        mirrored = place[68:] * [-1.0, 1.0, 1.0]
        away = cKDTree(place).query(mirrored)[0]
        assert np.percentile(away, 98) < 1.0 and away.max() < 2.0, "an odd one lies on the midline"


def test_outermost_triangle_wins() -> None:
    """Three triangles over each other, the middle one farthest out at one end; a place beside all of them."""
    corner = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    depth = np.array([[1.0, 1.0, 1.0], [0.0, 9.0, 0.0], [2.0, 2.0, 2.0]])
    points = np.array([[-1.0, 1.0], [0.5, 0.5], [3.0, 0.5]])
    found, weights = _outermost(points, np.stack([corner] * 3), depth)
    assert found.tolist() == [-1, 2, 1]
    np.testing.assert_allclose(weights[1:], [[0.75, 0.125, 0.125], [0.125, 0.75, 0.125]])


def test_rounds_of_centroids() -> None:
    """A triangle with a point inside: 3, then 9, then 27 triangles; the right half is listed."""
    seeds = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 9.0], [0.0, 3.0]])
    found = _centroids(seeds)
    first = {(0.0, 1.0), (2.0, 4.0)}
    assert {tuple(p) for p in found[:2].round(9)} == first
    assert (found[:, 0] >= -1e-9).all()
    whole = np.concatenate([found, found[found[:, 0] > 1e-9] * [-1.0, 1.0]])
    assert len(whole) == 3 + 9 + 27, "each new point inside a triangle adds two"


def test_a_model_without_a_texture_or_regions(open_data: ModelData) -> None:
    """Only the mesh and its 68 are needed. Without regions the eyeballs count as skin."""
    bare = dataclasses.replace(
        open_data, uv=np.zeros((0, 2), np.float32), uv_faces=np.zeros((0, 3), np.int64), regions={}
    )
    assert len(dense_landmarks(bare).triangles) == 520


def test_cropped_model(open_model: MorphableModel) -> None:
    face = open_model.crop(open_model.region("skin") | open_model.region("mouth_interior"))
    points = dense_landmarks(face, 400)
    assert len(points.triangles) == 400


def test_bad_input(tiny_data: ModelData, open_data: ModelData) -> None:
    with pytest.raises(ValueError, match="at least 68, got 67"):
        dense_landmarks(open_data, 67)
    with pytest.raises(KeyError, match="model 'tiny' has no landmark set '68'"):
        dense_landmarks(dataclasses.replace(tiny_data, landmarks={}))
    with pytest.raises(ValueError, match=r"the face of model 'open' has room for at most \d+ points, 40000 asked for"):
        dense_landmarks(open_data, 40000)
