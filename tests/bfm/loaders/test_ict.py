from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bfm.files import MissingModelFiles, ModelFileError
from bfm.loaders import ict

N_VERTICES = 80
TINY = ict.VertexRanges(
    N_VERTICES, n_identity=3, regions={"face": ((0, 42),), "eyes": ((42, 50), (60, 80))}, jaw={0: 7, 16: 9}
)


def write_obj(path: Path, vertices: np.ndarray, faces: list[str], uv: np.ndarray) -> None:
    lines = ["# header", "mtllib some.mtl"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv]
    path.write_text("\n".join(lines + faces) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    mean = rng.uniform(-10, 10, (N_VERTICES, 3)).round(3)
    uv = np.array([[0.1, 0.2], [0.9, 0.2], [0.9, 0.8], [0.1, 0.8], [1.25, 0.5], [1.75, 0.5], [1.5, 1.0]])
    quads = [f"f {4 * k + 1}/1 {4 * k + 2}/2 {4 * k + 3}/3 {4 * k + 4}/4" for k in range(19)]
    faces = ["usemtl M_Face", *quads, "usemtl M_BackHead", "f 77/5 78/6 79/7", "f 78/5 80/6 79/7"]
    write_obj(tmp_path / "generic_neutral_mesh.obj", mean, faces, uv)
    for k in range(3):
        write_obj(tmp_path / f"identity{k:03d}.obj", mean + (k + 1) * 0.125, faces, uv)
    for name, step in (("eyeBlink_L", [0.5, 0, 0]), ("jawOpen", [0, -0.25, 0])):
        write_obj(tmp_path / f"{name}.obj", mean + np.array(step), faces, uv)
    config = {"expressions": ["eyeBlink_L", "jawOpen"], "idx_to_landmark_verts": list(range(68))}
    (tmp_path / "vertex_indices.json").write_text(json.dumps(config))
    np.save(tmp_path / "mean.npy", mean)
    return tmp_path


def test_values(folder: Path) -> None:
    data = ict.load(folder, TINY)
    np.testing.assert_allclose(data.mean_shape, 10 * np.load(folder / "mean.npy"), atol=1e-4)
    assert data.identity_basis.shape == (N_VERTICES, 3, 3)
    np.testing.assert_allclose(data.identity_basis[5], [[1.25, 2.5, 3.75]] * 3, atol=1e-4)
    np.testing.assert_allclose(data.expression_basis[9], [[5, 0], [0, -2.5], [0, 0]], atol=1e-4)
    assert data.expression_names == ("eyeBlinkLeft", "jawOpen")
    assert data.expression_prior == "unit" and data.identity_prior == "normal"
    assert data.albedo_basis.shape == (N_VERTICES, 3, 0)


def test_quads_become_two_triangles_of_the_same_winding(folder: Path) -> None:
    data = ict.load(folder, TINY)
    assert data.faces.shape == (19 * 2 + 2, 3)
    assert data.faces[:2].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert data.faces[-1].tolist() == [77, 79, 78]


def test_parts_lie_side_by_side_in_uv(folder: Path) -> None:
    data = ict.load(folder, TINY)
    face, back = data.uv[data.uv_faces[:38]], data.uv[data.uv_faces[38:]]
    np.testing.assert_allclose(face[0], [[0.075, 0.15], [0.675, 0.15], [0.675, 0.6]], atol=1e-6)
    np.testing.assert_allclose(back[0], [[0.75 + 0.0625, 0.125], [0.75 + 0.1875, 0.125], [0.875, 0.25]], atol=1e-6)


def test_landmarks_and_regions(folder: Path) -> None:
    data = ict.load(folder, TINY)
    published = data.landmarks["68_multipie"].at(data.mean_shape, data.faces)
    ridge = data.landmarks["68"].at(data.mean_shape, data.faces)
    np.testing.assert_array_equal(published, data.mean_shape[:68])
    np.testing.assert_array_equal(ridge[[0, 1, 16]], data.mean_shape[[7, 1, 9]])
    assert np.flatnonzero(data.regions["eyes"]).tolist() == [*range(42, 50), *range(60, 80)]


def test_published_tables() -> None:
    sizes = {name: sum(stop - start for start, stop in ranges) for name, ranges in ict.LIGHT.regions.items()}
    assert sizes["face"] == 9409 and sizes["narrow_face"] == 6706 and sizes["teeth"] == 4412
    parts = [name for name in sizes if name not in ("narrow_face", "mouth_socket", "gums_tongue", "teeth")]
    assert sum(sizes[name] for name in parts if name not in ("sclera", "iris")) == ict.LIGHT.n_vertices
    assert set(ict.LIGHT.jaw) == set(range(17)) - {8}
    assert ict.LIGHT.n_identity == ict.SOURCE.sizes.identity == 100
    assert ict.LIGHT.jaw[0] == 1278 and ict.LIGHT.jaw[16] == 3496


def test_repository_folder_is_found_too(folder: Path, tmp_path: Path) -> None:
    inside = tmp_path / "clone" / "FaceXModel"
    inside.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            (inside / file.name).write_bytes(file.read_bytes())
    assert ict.load(tmp_path / "clone", TINY).identity_basis.shape[2] == 3


def test_missing_files_are_named_with_the_way_out(folder: Path) -> None:
    (folder / "vertex_indices.json").unlink()
    with pytest.raises(MissingModelFiles, match=r"vertex_indices.json") as caught:
        ict.load(folder, TINY)
    assert str(folder) in str(caught.value) and "git clone" in str(caught.value)


def test_missing_expression(folder: Path) -> None:
    (folder / "jawOpen.obj").unlink()
    with pytest.raises(ModelFileError, match=r"jawOpen.obj: missing from an otherwise present model; git clone"):
        ict.load(folder, TINY)


def test_gap_in_the_identities(folder: Path) -> None:
    (folder / "identity001.obj").unlink()
    with pytest.raises(ModelFileError, match=r"identity001.obj"):
        ict.load(folder, TINY)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("identity001.obj", "\nv ", "\n# ", "expected 80 vertices as in the mean, found 79"),
        ("identity001.obj", "v -", "v x", "not a number"),
        ("jawOpen.obj", "v -", "v 1 ", "must hold 3 numbers each"),
        ("generic_neutral_mesh.obj", "f 1/1", "f 1", "v/vt"),
        ("generic_neutral_mesh.obj", "f 1/1", "f 81/1", r"vertex indices must lie in 1..80, found 2..81"),
        ("generic_neutral_mesh.obj", "f 1/1", "f 1/9", "texture coordinate indices"),
        ("generic_neutral_mesh.obj", "M_BackHead", "M_Hat", "unknown material 'M_Hat'"),
        ("vertex_indices.json", '"expressions"', '"moods"', "needs a list named 'expressions'"),
        ("vertex_indices.json", "[0, 1,", "[1,", "expected 68 landmarks, found 67"),
        ("vertex_indices.json", "}", "", "not valid JSON"),
        ("vertex_indices.json", "[0, 1,", "[0, -1,", r"landmarks must be vertices 0..79, found '-1'"),
        ("vertex_indices.json", "[0, 1,", '[0, "x",', r"landmarks must be vertices 0..79, found 'x'"),
        ("vertex_indices.json", '"jawOpen"', '"../jawOpen"', "expressions must be names of letters and digits"),
        ("vertex_indices.json", '"jawOpen"', "[]", "expressions must be names of letters and digits"),
        ("generic_neutral_mesh.obj", "f 1/1", "f 99999999999999999999/1", "v/vt"),
        ("identity001.obj", "\nv ", "\nv 1e 1 1 # ", "not a number"),
    ],
)
def test_damage(folder: Path, file: str, old: str, new: str, message: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ModelFileError, match=message) as caught:
        ict.load(folder, TINY)
    assert file in str(caught.value)


def test_another_mesh(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="expected 26719 vertices, found 80"):
        ict.load(folder)
