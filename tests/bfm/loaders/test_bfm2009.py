from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from bfm.files import MissingModelFiles, ModelFileError
from bfm.loaders import bfm2009


@pytest.fixture
def front(dome: Any) -> dict[str, np.ndarray]:
    """The variables of BFM_model_front.mat: decimetres, per sigma, indices from 1, wound inwards here."""
    return {
        "meanshape": dome.vertices.reshape(1, -1) / 100,
        "meantex": np.tile([200.0, 150.0, 100.0], dome.n).reshape(1, -1),
        "idBase": dome.basis(80),
        "exBase": dome.basis(64),
        "texBase": dome.basis(80),
        "tri": dome.faces[:, ::-1] + 1,
        "keypoints": dome.keypoints.reshape(1, -1) + 1,
        "skinmask": (np.arange(dome.n) % 3 == 0).reshape(1, -1).astype(np.uint8),
        "frontmask2_idx": np.array([[2], [5], [42]]),
    }


@pytest.fixture
def parts(dome: Any, tmp_path: Path) -> Path:
    """The published parts of a mesh of 50 vertices, of which 45 have expressions, of which 42 are kept."""
    rng = np.random.default_rng(11)
    trim = rng.permutation(50)[:45]
    kept = rng.permutation(45)[:42]
    full = {"shapeMU": rng.normal(size=(50, 3)), "texMU": np.full((50, 3), 51.0)}
    full["shapeMU"][trim[kept]] = dome.vertices * 1e3
    bases = {"shapePC": rng.normal(size=(150, 199)), "texPC": rng.normal(size=(150, 199))}
    sigmas = {"shapeEV": rng.uniform(1e3, 9e5, (199, 1)), "texEV": rng.uniform(1, 9, (199, 1))}
    savemat(tmp_path / "01_MorphableModel.mat", {k: v.reshape(-1, 1) for k, v in full.items()} | bases | sigmas)
    expression = rng.normal(size=(1 + 79, 45, 3)).astype("<f4")
    (tmp_path / "Exp_Pca.bin").write_bytes(np.array([79], "<i4").tobytes() + expression.tobytes())
    std = rng.uniform(1, 5, 79)
    (tmp_path / "std_exp.txt").write_text(" ".join(f"{s:.8f}" for s in std))
    savemat(tmp_path / "BFM_exp_idx.mat", {"trimIndex": trim.reshape(-1, 1) + 1})
    savemat(tmp_path / "BFM_front_idx.mat", {"idx": kept.reshape(-1, 1) + 1})
    savemat(tmp_path / "facemodel_info.mat", {"tri": dome.faces + 1, "keypoints": dome.keypoints + 1})
    np.savez(tmp_path / "truth.npz", trim=trim, kept=kept, expression=expression, std=std, **bases, **sigmas)
    return tmp_path


def test_front_values(dome: Any, front: dict[str, np.ndarray], tmp_path: Path, looks_outward: Any) -> None:
    savemat(tmp_path / "BFM_model_front.mat", front)
    data = bfm2009.load(tmp_path)
    np.testing.assert_allclose(data.mean_shape, dome.vertices, atol=1e-4)
    np.testing.assert_allclose(data.identity_basis[7, 2], 100 * front["idBase"][7 * 3 + 2], rtol=1e-5)
    np.testing.assert_allclose(data.expression_basis[8, 1], 100 * front["exBase"][8 * 3 + 1], rtol=1e-5)
    np.testing.assert_allclose(data.mean_albedo[3], np.array([200, 150, 100]) / 255, rtol=1e-5)
    np.testing.assert_allclose(data.albedo_basis[41, 0], front["texBase"][123] / 255, rtol=1e-5)
    looks_outward(data.mean_shape, data.faces)
    np.testing.assert_array_equal(data.landmarks["68"].at(data.mean_shape, data.faces), data.mean_shape[dome.keypoints])
    assert data.albedo_space == "srgb"
    assert np.flatnonzero(data.regions["front"]).tolist() == [1, 4, 41]
    assert np.flatnonzero(data.regions["skin"]).tolist() == list(range(0, 42, 3))


def test_parts_values(dome: Any, parts: Path, looks_outward: Any) -> None:
    data = bfm2009.load(parts)
    truth = np.load(parts / "truth.npz")
    np.testing.assert_allclose(data.mean_shape, dome.vertices, atol=1e-3)
    assert data.identity_basis.shape == (42, 3, 80) and data.expression_basis.shape == (42, 3, 64)
    row = 3 * truth["trim"][truth["kept"][10]] + 2
    want = 1e-3 * truth["shapePC"][row] * truth["shapeEV"][:, 0]
    np.testing.assert_allclose(data.identity_basis[10, 2], want[:80], rtol=1e-5)
    np.testing.assert_allclose(
        data.albedo_basis[10, 2], (truth["texPC"][row] * truth["texEV"][:, 0])[:80] / 255, rtol=1e-5
    )
    np.testing.assert_allclose(
        data.expression_basis[10, 1, 5],
        1e-3 * truth["expression"][1 + 5, truth["kept"][10], 1] * truth["std"][5],
        rtol=1e-5,
    )
    np.testing.assert_allclose(data.mean_albedo, 0.2, rtol=1e-6)
    looks_outward(data.mean_shape, data.faces)


def test_both_layouts_agree(dome: Any, parts: Path, tmp_path: Path) -> None:
    """What Deng et al. write from the parts, decimetres and per sigma, loads as the parts do."""
    data = bfm2009.load(parts)
    path = tmp_path / "any_name.mat"
    written = {
        "meanshape": data.mean_shape.reshape(1, -1) / 100,
        "meantex": data.mean_albedo.reshape(1, -1) * 255,
        "idBase": data.identity_basis.reshape(-1, 80) / 100,
        "exBase": data.expression_basis.reshape(-1, 64) / 100,
        "texBase": data.albedo_basis.reshape(-1, 80) * 255,
        "tri": dome.faces + 1,
        "keypoints": dome.keypoints + 1,
    }
    savemat(path, written)
    again = bfm2009.load(path)
    for name in ("mean_shape", "identity_basis", "expression_basis", "mean_albedo", "albedo_basis", "faces"):
        np.testing.assert_allclose(getattr(again, name), getattr(data, name), rtol=1e-5, atol=1e-5)


def test_swapped_bytes_in_the_header(parts: Path) -> None:
    content = (parts / "Exp_Pca.bin").read_bytes()
    (parts / "Exp_Pca.bin").write_bytes(content[:4][::-1] + content[4:])
    with pytest.raises(ModelFileError, match="or 79 in the other byte order"):
        bfm2009.load(parts)


@pytest.mark.parametrize("length", [2, 4, 1000])
def test_truncated_exp_pca(parts: Path, length: int) -> None:
    content = (parts / "Exp_Pca.bin").read_bytes()
    (parts / "Exp_Pca.bin").write_bytes(content[:length])
    with pytest.raises(ModelFileError, match=r"Exp_Pca.bin: .*truncated"):
        bfm2009.load(parts)


@pytest.mark.parametrize("text", ["1 2 3", "one two", "0 " * 79, "nan " * 79])
def test_bad_std_exp(parts: Path, text: str) -> None:
    (parts / "std_exp.txt").write_text(text)
    with pytest.raises(ModelFileError, match="std_exp"):
        bfm2009.load(parts)


def test_truncated_mat(front: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "BFM_model_front.mat"
    savemat(path, front)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match="truncated"):
        bfm2009.load(path)


def test_not_a_mat(tmp_path: Path) -> None:
    path = tmp_path / "BFM_model_front.mat"
    path.write_text("<html>Please log in</html>" * 40)
    with pytest.raises(ModelFileError, match="not a readable MATLAB file"):
        bfm2009.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("idBase", None, "lacks the variables idBase; it holds: exBase"),
        ("idBase", np.zeros((80, 126)), r"'idBase' must have shape \(126, components\).*seems transposed"),
        ("exBase", np.zeros((123, 64)), r"'exBase' must have shape \(126, components\)"),
        ("meanshape", np.zeros((42, 3)), "'meanshape' must be one vector"),
        ("meantex", np.zeros((1, 123)), "'meantex' must hold 42 vertices, found 41"),
        ("tri", np.array([[0, 1, 2]]), r"'tri' must lie in 1..42, found 0..2"),
        ("tri", np.array([[1.5, 1, 2]]), "'tri' must hold whole numbers"),
        ("keypoints", np.arange(67) % 42 + 1, r"'keypoints' must have shape \(68,\), found"),
        ("skinmask", np.ones(41), "'skinmask' must hold 42 values, found 41"),
    ],
)
def test_bad_variables(
    front: dict[str, np.ndarray], tmp_path: Path, name: str, value: np.ndarray | None, message: str
) -> None:
    changed = {k: v for k, v in front.items() if k != name} | ({} if value is None else {name: value})
    savemat(tmp_path / "BFM_model_front.mat", changed)
    with pytest.raises(ModelFileError, match=message):
        bfm2009.load(tmp_path)


def test_missing_files(parts: Path) -> None:
    (parts / "std_exp.txt").unlink()
    (parts / "01_MorphableModel.mat").unlink()
    with pytest.raises(MissingModelFiles) as caught:
        bfm2009.load(parts)
    text = str(caught.value)
    assert f"{parts} lacks 01_MorphableModel.mat, std_exp.txt." in text
    assert (
        "BFM_model_front.mat | 01_MorphableModel.mat + Exp_Pca.bin + std_exp.txt" in text
        and "faces.dmi.unibas.ch" in text
    )
