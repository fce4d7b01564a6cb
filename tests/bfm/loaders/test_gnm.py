from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfm.files import MissingModelFiles, ModelFileError
from bfm.loaders import gnm


@pytest.fixture
def content(dome: Any) -> dict[str, np.ndarray]:
    uv = (dome.vertices[:, :2] - dome.vertices[:, :2].min(0)) / 200
    return {
        "template_vertex_positions": (dome.vertices / 1000).astype(np.float32),
        "vertex_identity_basis": dome.rng.normal(size=(5, 42, 3)).astype(np.float32),
        "expression_basis": dome.rng.normal(size=(3, 42, 3)).astype(np.float32),
        "triangles": dome.faces[:, ::-1].astype(np.int32),
        "triangle_uvs": uv[dome.faces[:, ::-1]].astype(np.float32),
        "expression_names": np.array(["left_eye_region_000", "lower_face_region_000", "tongue_000"]),
        "vertex_groups": np.stack([np.linspace(0, 1, 42), np.linspace(1, 0, 42)]).astype(np.float32),
        "vertex_group_names": np.array(["skin", "ears"]),
        "skinning_weights": np.zeros((4, 42), np.float32),
    }


def landmark_rows(dome: Any) -> np.ndarray:
    """68 rows on triangles of the dome, the jaw along its lower edge with points 2 to 6 backwards."""
    angle = np.linspace(0.5 * np.pi, 1.5 * np.pi, 17)
    places = np.stack([-60 * np.sin(angle), 60 * np.cos(angle)], -1)
    nearest = [int(np.argmin(((dome.vertices[:, :2] - place) ** 2).sum(1))) for place in places]
    # The dome is coarse, so the jaw is shared out along edges to keep 17 different places.
    rows = np.zeros((68, 6))
    for k in range(68):
        vertex = nearest[k] if k < 17 else 20 + k % 2
        face = dome.faces[np.flatnonzero((dome.faces == vertex).any(1))[0]]
        rows[k, ::2], rows[k, 1::2] = face, np.where(face == vertex, 0.8 if k < 17 else 0.5, 0.1 if k < 17 else 0.25)
    return rows


def test_values(dome: Any, content: dict, tmp_path: Path, looks_outward: Any) -> None:
    np.savez(tmp_path / "gnm_head.npz", **content)
    data = gnm.load(tmp_path)
    np.testing.assert_allclose(data.mean_shape, dome.vertices, atol=1e-3)
    assert data.identity_basis.shape == (42, 3, 5) and data.expression_basis.shape == (42, 3, 3)
    np.testing.assert_allclose(data.identity_basis[7, 2], 1000 * content["vertex_identity_basis"][:, 7, 2], rtol=1e-5)
    np.testing.assert_allclose(data.expression_basis[8, 1], 1000 * content["expression_basis"][:, 8, 1], rtol=1e-5)
    looks_outward(data.mean_shape, data.faces)
    assert data.expression_names == ("left_eye_region_000", "lower_face_region_000", "tongue_000")
    assert data.regions["skin"].sum() == 21 and data.regions["ears"][0]
    # Each corner keeps its place on the map although the faces were turned round.
    want = (dome.vertices[data.faces][..., :2] - dome.vertices[:, :2].min(0)) / 200
    np.testing.assert_allclose(data.uv[data.uv_faces], want, atol=1e-6)
    assert len(data.uv) == 42


def test_landmarks_in_order(dome: Any, content: dict, tmp_path: Path) -> None:
    clone = tmp_path / "gnm/shape/data/versions/v3_0"
    clone.mkdir(parents=True)
    np.savez(clone / "gnm_head.npz", **content)
    rows = landmark_rows(dome)
    places = np.einsum("nk,nkc->nc", rows[:, 1::2], dome.vertices[rows[:, ::2].astype(int)])
    (tmp_path / "gnm/shape/data/landmarks").mkdir()
    order = [0, 1, 6, 5, 4, 3, 2, *range(7, 68)]
    np.savetxt(tmp_path / "gnm/shape/data/landmarks/head_sparse_68.txt", rows[order], fmt="%g")
    data = gnm.load(tmp_path)
    found = data.landmarks["68"].at(dome.vertices, data.faces)
    np.testing.assert_allclose(found, places, atol=1e-4)
    assert found[0, 0] < 0 < found[16, 0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("expression_basis", None, "lacks expression_basis; it holds: expression_names"),
        ("template_vertex_positions", np.zeros((3, 42)), r"must be \(V, 3\), found \(3, 42\)"),
        ("vertex_identity_basis", np.zeros((42, 3, 5)), r"must have shape \(components, 42, 3\)"),
        ("triangles", np.array([[0, 1, 42]]), "must lie in 0..41"),
        ("triangle_uvs", np.zeros((60, 4, 2)), r"must have shape \(60, 3, 2\), found \(60, 4, 2\)"),
        ("expression_names", np.array(["a"]), "1 expression names for 3 components"),
        ("vertex_groups", np.zeros((2, 41)), r"must have shape \(2, 42\)"),
        ("expression_names", np.array(["a", None, 3], dtype=object), "not a readable .npz"),
    ],
)
def test_bad_arrays(content: dict, tmp_path: Path, name: str, value: np.ndarray | None, message: str) -> None:
    changed = {k: v for k, v in content.items() if k != name} | ({} if value is None else {name: value})
    np.savez(tmp_path / "gnm_head.npz", **changed)
    with pytest.raises(ModelFileError, match=message):
        gnm.load(tmp_path)


def test_truncated(content: dict, tmp_path: Path) -> None:
    path = tmp_path / "gnm_head.npz"
    np.savez(path, **content)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelFileError, match="not a readable .npz file"):
        gnm.load(path)


def test_single_array_instead_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "gnm_head.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ModelFileError, match="holds a single array"):
        gnm.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:67], r"must hold 68 rows of 6 numbers, found \(67, 6\)"),
        (lambda rows: rows[:, :5], r"found \(68, 5\)"),
        (lambda rows: rows + np.array([99, 0, 0, 0, 0, 0]), "vertex indices.* must lie in 0..41"),
        (lambda rows: np.where(np.arange(6) == 0, 41, rows) + 0.0, "share no triangle"),
    ],
)
def test_bad_landmarks(dome: Any, content: dict, tmp_path: Path, change: Any, message: str) -> None:
    np.savez(tmp_path / "gnm_head.npz", **content)
    np.savetxt(tmp_path / "head_sparse_68.txt", change(landmark_rows(dome)), fmt="%g")
    with pytest.raises(ModelFileError, match=message):
        gnm.load(tmp_path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingModelFiles, match=r"lacks gnm_head.npz") as caught:
        gnm.load(tmp_path)
    assert "huggingface.co/google/gnm-v3" in str(caught.value)
