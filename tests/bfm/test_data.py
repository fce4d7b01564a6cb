from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bfm.data import ModelData, ModelDataError, SurfacePoints


def bad_index(array: np.ndarray, value: int) -> np.ndarray:
    changed = array.copy()
    changed[1, 2] = value
    return changed


def with_nan(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed.flat[4] = np.nan
    return changed


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "mean of another width": ({"mean_shape": lambda d: d.mean_shape[:, :2]}, r"mean_shape must have shape \(11, 3\)"),
    "mean that is flat": ({"mean_shape": lambda d: d.mean_shape.ravel()}, r"mean_shape must have shape \(33, 3\)"),
    "nan in the mean": ({"mean_shape": lambda d: with_nan(d.mean_shape)}, "mean_shape holds nan or inf"),
    "inf in a basis": ({"identity_basis": lambda d: d.identity_basis / 0.0}, "identity_basis holds nan or inf"),
    "components first": (
        {"identity_basis": lambda d: d.identity_basis.transpose(2, 0, 1)},
        r"identity_basis must have shape \(11, 3, 3\), got \(3, 11, 3\)",
    ),
    "expression of other vertices": ({"expression_basis": lambda d: d.expression_basis[:-1]}, "expression_basis must"),
    "albedo of other vertices": ({"mean_albedo": lambda d: d.mean_albedo[:-1]}, "mean_albedo must have shape"),
    "albedo basis": ({"albedo_basis": lambda d: d.albedo_basis[:, :2]}, "albedo_basis must have shape"),
    "quads": ({"faces": lambda d: np.zeros((4, 4), int), "uv_faces": lambda d: d.uv_faces[:4]}, "faces must have"),
    "face index too large": (
        {"faces": lambda d: bad_index(d.faces, 11)},
        r"faces must hold indices in \[0, 11\), found 0..11",
    ),
    "face index below 0": ({"faces": lambda d: bad_index(d.faces, -1)}, r"in \[0, 11\), found -1..10"),
    "uv of three": ({"uv": lambda d: np.zeros((13, 3))}, "uv must have shape"),
    "uv faces missing": ({"uv_faces": lambda d: d.uv_faces[:-1]}, r"uv_faces must have shape \(9, 3\), got \(8, 3\)"),
    "uv index too large": ({"uv_faces": lambda d: bad_index(d.uv_faces, 13)}, r"uv_faces must hold indices in \[0, 13"),
    "names": ({"expression_names": lambda d: ("one",)}, "1 expression names for 2 components"),
    "region": ({"regions": lambda d: {"chin": np.ones(12, bool)}}, r"region 'chin' must have shape \(11,\), got \(12"),
    "landmark": (
        {"landmarks": lambda d: {"one": SurfacePoints(np.array([9]), np.ones((1, 3)) / 3)}},
        r"landmarks 'one' must hold indices in \[0, 9\), found 9..9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_arrays_that_do_not_fit(tiny_data: ModelData, fault: str) -> None:
    changes, text = FAULTS[fault]
    with pytest.raises(ModelDataError, match=f"model 'tiny': .*{text}|model 'tiny': {text}"):
        dataclasses.replace(tiny_data, **{name: make(tiny_data) for name, make in changes.items()})


@pytest.mark.parametrize(
    ("triangles", "barycentrics", "text"),
    [
        (np.zeros(3, int), np.ones((2, 3)) / 3, r"triangles \(N,\) and barycentrics \(N, 3\), got \(3,\) and \(2, 3\)"),
        (np.zeros((2, 1), int), np.ones((2, 3)) / 3, r"got \(2, 1\)"),
        (np.zeros(2, int), np.ones((2, 2)) / 2, r"and \(2, 2\)"),
        (np.zeros(2, int), np.array([[1, 0, 0], [0.5, 0.5, 0.01]]), "one is off by 0.01"),
        (np.zeros(1, int), np.array([[np.nan, 0, 0]]), "one is off by nan"),
    ],
)
def test_points_that_are_none(triangles: np.ndarray, barycentrics: np.ndarray, text: str) -> None:
    with pytest.raises(ModelDataError, match=text):
        SurfacePoints(triangles, barycentrics)


def test_points_move_with_the_mesh(tiny_data: ModelData) -> None:
    points = SurfacePoints(np.array([2, 7]), np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]))
    (a, b, c), corner = tiny_data.faces[2], tiny_data.faces[7][0]
    for v in (tiny_data.mean_shape, 3.0 * tiny_data.mean_shape[::-1]):
        want = np.stack([0.2 * v[a] + 0.3 * v[b] + 0.5 * v[c], v[corner]])
        np.testing.assert_allclose(points.at(v, tiny_data.faces), want, rtol=1e-5)


def test_points_at_vertices(tiny_data: ModelData) -> None:
    wanted = [10, 0, 5, 5, 3]
    points = SurfacePoints.at_vertices(wanted, tiny_data.faces)
    assert np.array_equal(points.at(tiny_data.mean_shape, tiny_data.faces), tiny_data.mean_shape[wanted])
    assert len(SurfacePoints.at_vertices([], tiny_data.faces).triangles) == 0


@pytest.mark.parametrize("lost", [11, -1, 4])
def test_points_at_vertices_without_a_triangle(tiny_data: ModelData, lost: int) -> None:
    faces = tiny_data.faces[~(tiny_data.faces == 4).any(axis=1)]
    with pytest.raises(ModelDataError, match=rf"vertices \[{lost}\] belong to no triangle"):
        SurfacePoints.at_vertices([0, lost, 1], faces)
