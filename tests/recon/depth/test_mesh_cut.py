"""Meshes cut along a line of a function."""

import numpy as np
import pytest
import trimesh

from recon.depth.mesh_cut import cut_where_negative

_SPHERE = trimesh.creation.icosphere(subdivisions=4, radius=50.0)
_HEIGHT = 17.3


@pytest.fixture(scope="module")
def cap():
    vertices, faces = np.asarray(_SPHERE.vertices), np.asarray(_SPHERE.faces)
    return trimesh.Trimesh(*cut_where_negative(vertices, faces, vertices[:, 2] - _HEIGHT), process=False)


def _rim(mesh: trimesh.Trimesh) -> np.ndarray:
    edges, counts = np.unique(np.sort(mesh.edges, axis=1), axis=0, return_counts=True)
    assert counts.max() <= 2
    return edges[counts == 1]


def test_the_rim_lies_on_the_line_and_is_one_loop(cap):
    rim = _rim(cap)
    np.testing.assert_allclose(cap.vertices[np.unique(rim), 2], _HEIGHT, atol=0.1)
    assert len(np.unique(rim)) == len(rim)
    assert len(trimesh.graph.connected_components(rim, min_len=1)) == 1
    assert cap.vertices[:, 2].min() > _HEIGHT - 0.1


def test_area_and_winding_are_those_of_the_cap(cap):
    assert cap.area == pytest.approx(2.0 * np.pi * 50.0 * (50.0 - _HEIGHT), rel=0.005)
    assert ((cap.face_normals * cap.triangles_center).sum(axis=1)[cap.area_faces > 0.0] > 0.0).all()


def test_all_nothing_and_zeros():
    vertices, faces = np.asarray(_SPHERE.vertices), np.asarray(_SPHERE.faces)
    whole, same = cut_where_negative(vertices, faces, np.ones(len(vertices)))
    np.testing.assert_array_equal(whole[same], vertices[faces])
    for values in (-np.ones(len(vertices)), np.zeros(len(vertices))):
        none, no_faces = cut_where_negative(vertices, faces, values)
        assert none.shape == (0, 3) and no_faces.shape == (0, 3)
    values = np.where(vertices[:, 2] > 0.0, 1.0, 0.0)
    half, halves = cut_where_negative(vertices, faces, values)
    assert np.isfinite(half).all() and len(halves) > 0.4 * len(faces)
