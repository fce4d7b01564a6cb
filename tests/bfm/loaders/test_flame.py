from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from bfm.files import MissingModelFiles, ModelFileError
from bfm.loaders import flame
from bfm.safe_pickle import UnsafePickleError


@pytest.fixture
def model(dome: Any) -> dict[str, Any]:
    return {
        "v_template": dome.vertices / 1000,
        "f": dome.faces.astype(np.uint32),
        "shapedirs": dome.rng.normal(size=(42, 3, 400)),
        "posedirs": np.zeros((42, 3, 36)),
        "J_regressor": scipy.sparse.csc_matrix(np.ones((5, 42)) / 42),
        "weights": np.full((42, 5), 0.2),
        "kintree_table": np.zeros((2, 5), np.int64),
        "bs_style": "lbs",
    }


def write(path: Path, value: object) -> Path:
    path.write_bytes(pickle.dumps(value, 2))
    return path


def embedding(dome: Any, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    triangles = dome.rng.integers(0, len(dome.faces), n)
    weights = dome.rng.dirichlet([1, 2, 3], n)
    return triangles, weights, np.einsum("nk,nkc->nc", weights, dome.vertices[dome.faces[triangles]])


@pytest.mark.parametrize("file", ["generic_model.pkl", "flame2023.pkl", "flame2023_no_jaw.pkl", "flame2023_Open.pkl"])
def test_values(dome: Any, model: dict, tmp_path: Path, looks_outward: Any, file: str) -> None:
    write(tmp_path / file, model)
    data = flame.load(tmp_path)
    np.testing.assert_allclose(data.mean_shape, dome.vertices, atol=1e-4)
    np.testing.assert_allclose(data.identity_basis, 1000 * model["shapedirs"][..., :300], rtol=1e-5)
    np.testing.assert_allclose(data.expression_basis, 1000 * model["shapedirs"][..., 300:], rtol=1e-5)
    looks_outward(data.mean_shape, data.faces)
    assert data.landmarks == {} and data.regions == {} and data.uv.shape == (0, 2)
    assert data.albedo_basis.shape == (42, 3, 0)


@pytest.mark.parametrize("inwards", [False, True])
def test_landmarks(dome: Any, model: dict, tmp_path: Path, inwards: bool) -> None:
    """Weights follow their corners even if the faces have to be turned round."""
    triangles, weights, places = embedding(dome, 68)
    inner, inner_weights, inner_places = embedding(dome, 51)
    if inwards:
        model["f"] = model["f"][:, ::-1]
        weights, inner_weights = weights[:, ::-1], inner_weights[:, ::-1]
    write(tmp_path / "generic_model.pkl", model)
    table = {"full_lmk_faces_idx": triangles[None], "full_lmk_bary_coords": weights[None]}
    np.save(tmp_path / "landmark_embedding.npy", np.array(table, dtype=object), allow_pickle=True)
    write(
        tmp_path / "flame_static_embedding.pkl",
        {"lmk_face_idx": inner.astype(np.uint32), "lmk_b_coords": inner_weights},
    )
    data = flame.load(tmp_path)
    np.testing.assert_allclose(data.landmarks["68"].at(dome.vertices, data.faces), places, atol=1e-4)
    np.testing.assert_allclose(data.landmarks["51"].at(dome.vertices, data.faces), inner_places, atol=1e-4)


def test_regions(model: dict, tmp_path: Path) -> None:
    write(tmp_path / "generic_model.pkl", model)
    write(
        tmp_path / "FLAME_masks.pkl", {"left_ear": np.array([0, 5]), "right_ear": np.array([7]), "nose": np.array([20])}
    )
    regions = flame.load(tmp_path).regions
    assert np.flatnonzero(regions["ears"]).tolist() == [0, 5, 7]
    assert set(regions) == {"left_ear", "right_ear", "nose", "ears"}


def test_texture(dome: Any, model: dict, tmp_path: Path) -> None:
    """A texture that is a ramp in u and v, so that the value at a vertex tells where it was read."""
    write(tmp_path / "generic_model.pkl", model)
    low, high = dome.vertices[:, :2].min(0), dome.vertices[:, :2].max(0)
    uv = 0.1 + 0.8 * (dome.vertices[:, :2] - low) / (high - low)
    height, width = 50, 40
    v, u = np.meshgrid(1 - (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    image = np.stack([100 * u, 100 * v, np.full_like(u, 255.0)], -1)
    directions = np.stack([0.1 * image, -0.2 * image], -1)
    np.savez(tmp_path / "FLAME_texture.npz", mean=image, tex_dir=directions, vt=uv, ft=dome.faces.astype(np.uint32))
    data = flame.load(tmp_path)
    want = np.stack([np.ones(42), 100 * uv[:, 1] / 255, 100 * uv[:, 0] / 255], -1)
    np.testing.assert_allclose(data.mean_albedo, want, atol=1e-5)
    np.testing.assert_allclose(data.albedo_basis[..., 1], -0.2 * want, atol=1e-5)
    np.testing.assert_allclose(data.uv[data.uv_faces], uv[data.faces], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shapedirs", None, "lacks shapedirs; it holds: J_regressor"),
        ("shapedirs", np.zeros((42, 3, 150)), r"'shapedirs' must have shape \(42, 3, 400\), found \(42, 3, 150\)"),
        ("v_template", np.zeros((42, 2)), r"'v_template' must have shape \(V, 3\)"),
        ("f", np.array([[0, 1, 42]]), "'f' must lie in 0..41"),
        ("f", scipy.sparse.csc_matrix(np.eye(3)), "'f' is a scipy.sparse"),
    ],
)
def test_bad_content(model: dict, tmp_path: Path, name: str, value: Any, message: str) -> None:
    changed = {k: v for k, v in model.items() if k != name} | ({} if value is None else {name: value})
    with pytest.raises(ModelFileError, match=message):
        flame.load(write(tmp_path / "mine.pkl", changed))


def test_not_a_dict(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="should hold a dict, found a list"):
        flame.load(write(tmp_path / "mine.pkl", [1, 2]))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("full_lmk_faces_idx", np.zeros((1, 51), int), "expected 68 points, found 51"),
        ("full_lmk_faces_idx", np.full((1, 68), 60), "must lie in 0..59"),
        ("full_lmk_bary_coords", np.ones((1, 68, 2)), "expected 68 points"),
    ],
)
def test_bad_landmarks(model: dict, tmp_path: Path, key: str, value: np.ndarray, message: str) -> None:
    write(tmp_path / "generic_model.pkl", model)
    table = {
        "full_lmk_faces_idx": np.zeros((1, 68), int),
        "full_lmk_bary_coords": np.full((1, 68, 3), 1 / 3),
        key: value,
    }
    np.save(tmp_path / "landmark_embedding.npy", np.array(table, dtype=object), allow_pickle=True)
    with pytest.raises(ModelFileError, match=message):
        flame.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ft": np.zeros((3, 3), int)}, "one row for each of the model's 60 faces, found 3"),
        ({"tex_dir": np.zeros((8, 9, 3, 2))}, r"found \(9, 8, 3\) and \(8, 9, 3, 2\)"),
    ],
)
def test_bad_texture(dome: Any, model: dict, tmp_path: Path, change: dict, message: str) -> None:
    write(tmp_path / "generic_model.pkl", model)
    good = {"mean": np.zeros((9, 8, 3)), "tex_dir": np.zeros((9, 8, 3, 2)), "vt": np.zeros((42, 2)), "ft": dome.faces}
    np.savez(tmp_path / "FLAME_texture.npz", **(good | change))
    with pytest.raises(ModelFileError, match=message):
        flame.load(tmp_path)


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("file", ["generic_model.pkl", "flame_static_embedding.pkl", "FLAME_masks.pkl"])
def test_malicious_pickle(model: dict, tmp_path: Path, file: str) -> None:
    marker = tmp_path / "marker"
    write(tmp_path / "generic_model.pkl", model)
    write(tmp_path / file, model | {"lmk_face_idx": 0, "lmk_b_coords": 0, "extra": Evil(f"touch {marker}")})
    with pytest.raises(UnsafePickleError, match=file):
        flame.load(tmp_path)
    assert not marker.exists()


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingModelFiles) as caught:
        flame.load(tmp_path)
    assert "generic_model.pkl" in str(caught.value) and "flame.is.tue.mpg.de" in str(caught.value)
