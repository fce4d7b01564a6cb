from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from bfm.files import MissingModelFiles, ModelFileError
from bfm.loaders import w300lp

STRUCT = {"mu_shape": "shapeMU", "w": "shapePC", "sigma": "shapeEV", "mu_exp": "expMU", "w_exp": "expPC"}
STRUCT |= {"sigma_exp": "expEV", "tri": "tri", "keypoints": "kpt_ind"}


@pytest.fixture
def raw(dome: Any) -> dict[str, np.ndarray]:
    """Variables under 3DDFA's names: micrometres, raw basis units, MATLAB's (3, F) from 1, wound inwards."""
    return {
        "mu_shape": (dome.vertices * 1e3 - 200).reshape(-1, 1),
        "w": dome.basis(199),
        "sigma": np.linspace(9e5, 1e4, 199).reshape(-1, 1),
        "mu_exp": np.full((126, 1), 200.0),
        "w_exp": 1e4 * dome.basis(29),
        "sigma_exp": np.linspace(2, 0.1, 29).reshape(-1, 1),
        "tri": dome.faces[:, ::-1].T + 1,
        "keypoints": dome.keypoints.reshape(1, -1) + 1,
    }


def write_two(folder: Path, raw: dict[str, np.ndarray], expression: str = "Model_Exp.mat") -> Path:
    later = ("mu_exp", "w_exp", "sigma_exp")
    savemat(folder / "Model_Shape.mat", {k: v for k, v in raw.items() if k not in later})
    savemat(folder / expression, {k: raw[k] for k in later if k in raw})
    return folder


def write_struct(folder: Path, raw: dict[str, np.ndarray], **more: np.ndarray) -> Path:
    savemat(folder / "BFM.mat", {"model": {STRUCT[k]: v for k, v in raw.items()} | more})
    return folder


@pytest.mark.parametrize("layout", ["Model_Exp.mat", "Model_Expression.mat", "BFM.mat"])
def test_values(dome: Any, raw: dict, tmp_path: Path, looks_outward: Any, layout: str) -> None:
    write_struct(tmp_path, raw) if layout == "BFM.mat" else write_two(tmp_path, raw, layout)
    data = w300lp.load(tmp_path)
    np.testing.assert_allclose(data.mean_shape, dome.vertices, atol=1e-3)
    np.testing.assert_allclose(data.identity_basis[5, 2], 1e-3 * raw["w"][17] * raw["sigma"][:, 0], rtol=1e-5)
    np.testing.assert_allclose(data.expression_basis[6, 0], 1e-3 * raw["w_exp"][18] * raw["sigma_exp"][:, 0], rtol=1e-5)
    looks_outward(data.mean_shape, data.faces)
    np.testing.assert_array_equal(data.landmarks["68"].at(data.mean_shape, data.faces), data.mean_shape[dome.keypoints])
    assert data.albedo_basis.shape == (42, 3, 0)


def test_label_gives_the_shape_of_its_definition(dome: Any, raw: dict, tmp_path: Path) -> None:
    """mu_shape + w Shape_Para + mu_exp + w_exp Exp_Para, in micrometres, is our shape of the converted label."""
    folder = write_two(tmp_path, raw)
    shape_para = dome.rng.normal(size=(199, 1)) * raw["sigma"]
    exp_para = dome.rng.normal(size=(29, 1)) * raw["sigma_exp"]
    want = raw["mu_shape"] + raw["w"] @ shape_para + raw["mu_exp"] + raw["w_exp"] @ exp_para
    identity, expression = w300lp.read_label_scale(folder).coefficients(shape_para, exp_para)
    assert identity.shape == (199,) and expression.shape == (29,)
    data = w300lp.load(folder)
    shape = data.mean_shape + data.identity_basis @ identity + data.expression_basis @ expression
    np.testing.assert_allclose(shape, want.reshape(-1, 3) * 1e-3, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize(("n_shape", "n_exp", "message"), [(40, 29, "Shape_Para must hold 199"), (199, 10, "Exp_Para")])
def test_label_of_another_width(raw: dict, tmp_path: Path, n_shape: int, n_exp: int, message: str) -> None:
    scale = w300lp.read_label_scale(write_two(tmp_path, raw))
    with pytest.raises(ValueError, match=message):
        scale.coefficients(np.zeros(n_shape), np.zeros(n_exp))


def test_struct_with_texture(dome: Any, raw: dict, tmp_path: Path) -> None:
    texture = {
        "texMU": np.full((126, 1), 51.0),
        "texPC": dome.basis(199),
        "texEV": np.linspace(9, 1, 199).reshape(-1, 1),
    }
    data = w300lp.load(write_struct(tmp_path, raw, **texture))
    np.testing.assert_allclose(data.mean_albedo, 0.2, rtol=1e-6)
    np.testing.assert_allclose(data.albedo_basis[2, 1], texture["texPC"][7] * texture["texEV"][:, 0] / 255, rtol=1e-5)


def test_struct_without_a_field(raw: dict, tmp_path: Path) -> None:
    del raw["w_exp"]
    with pytest.raises(ModelFileError, match="'model' lacks expPC; it holds: shapeMU"):
        w300lp.load(write_struct(tmp_path, raw))


def test_struct_that_is_none(tmp_path: Path) -> None:
    savemat(tmp_path / "BFM.mat", {"model": np.zeros(3)})
    with pytest.raises(ModelFileError, match="'model' must be one struct"):
        w300lp.load(tmp_path)


def test_missing_variable(raw: dict, tmp_path: Path) -> None:
    del raw["sigma_exp"]
    with pytest.raises(ModelFileError, match=r"Model_Exp.mat: lacks the variables sigma_exp; it holds: mu_exp, w_exp"):
        w300lp.load(write_two(tmp_path, raw))


def test_zero_deviation(raw: dict, tmp_path: Path) -> None:
    raw["sigma"][4] = 0
    with pytest.raises(ModelFileError, match="'sigma' must be positive, found 0.0 for component 4"):
        w300lp.read_label_scale(write_two(tmp_path, raw))


def test_other_mesh_in_the_expression_file(raw: dict, tmp_path: Path) -> None:
    raw["w_exp"] = raw["w_exp"][:-3]
    with pytest.raises(ModelFileError, match=r"'w_exp' must have shape \(126, components\)"):
        w300lp.load(write_two(tmp_path, raw))


def test_missing_file(raw: dict, tmp_path: Path) -> None:
    (write_two(tmp_path, raw) / "Model_Exp.mat").unlink()
    with pytest.raises(MissingModelFiles, match="lacks Model_Exp.mat") as caught:
        w300lp.load(tmp_path)
    assert "3DDFA" in str(caught.value) and "BFM.mat" in str(caught.value)
