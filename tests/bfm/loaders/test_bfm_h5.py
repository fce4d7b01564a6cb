from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bfm.files import MissingModelFiles, ModelFileError
from bfm.loaders import bfm_h5


@pytest.fixture
def content(dome: Any) -> dict[str, np.ndarray]:
    """The data sets of a model file; unit columns, triangles (3, F) from 0, wound inwards here."""
    sets: dict[str, np.ndarray] = {}
    means = {"shape": dome.vertices.reshape(-1), "expression": np.full(126, 0.5), "color": np.tile([0.8, 0.6, 0.4], 42)}
    for (block, mean), components in zip(means.items(), (5, 3, 4), strict=True):
        sets[f"{block}/model/mean"] = mean.astype(np.float32)
        sets[f"{block}/model/pcaBasis"] = np.linalg.qr(dome.basis(components))[0].astype(np.float32)
        sets[f"{block}/model/pcaVariance"] = np.arange(1, components + 1, dtype=np.float32) ** 2 * 100
    sets["shape/representer/cells"] = dome.faces[:, ::-1].T.astype(np.uint32)
    points = [
        {"id": "center.nose.tip", "coordinates": (dome.vertices[23] + 0.5).tolist()},
        {"id": "left.ear.top", "coordinates": [500.0, 0.0, 0.0]},
        {"id": "right.lips.corner", "coordinates": dome.vertices[14].tolist()},
    ]
    sets["metadata/landmarks/json"] = np.frombuffer(json.dumps(points).encode(), np.int8)
    return sets


def write(path: Path, content: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    return path


@pytest.mark.parametrize(
    ("load", "file"),
    [(bfm_h5.load_2017, "model2017-1_face12_nomouth.h5"), (bfm_h5.load_2019, "model2019_fullHead.h5")],
)
def test_values(dome: Any, content: dict, tmp_path: Path, looks_outward: Any, load: Any, file: str) -> None:
    write(tmp_path / file, content)
    data = load(tmp_path)
    np.testing.assert_allclose(data.mean_shape, dome.vertices + 0.5, atol=1e-4)
    # Variances 100, 400, 900: deviations 10, 20, 30.
    want = content["shape/model/pcaBasis"][3 * 9 + 1] * [10, 20, 30, 40, 50]
    np.testing.assert_allclose(data.identity_basis[9, 1], want, rtol=1e-5)
    np.testing.assert_allclose(
        data.expression_basis[41, 2], content["expression/model/pcaBasis"][125] * [10, 20, 30], rtol=1e-5
    )
    np.testing.assert_allclose(
        data.albedo_basis[0, 0], content["color/model/pcaBasis"][0] * [10, 20, 30, 40], rtol=1e-5
    )
    np.testing.assert_allclose(data.mean_albedo[7], [0.8, 0.6, 0.4])
    assert data.faces.shape == (60, 3)
    looks_outward(data.mean_shape, data.faces)


def test_neutral_mean(dome: Any, content: dict, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.h5", content)
    data = bfm_h5.load_2019(path, expression_mean=False)
    np.testing.assert_allclose(data.mean_shape, dome.vertices, atol=1e-4)


def test_named_points_on_the_mesh(dome: Any, content: dict, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.h5", content)
    data = bfm_h5.load_2019(path)
    places = data.landmarks["named"].at(dome.vertices, data.faces)
    np.testing.assert_allclose(places, dome.vertices[[23, 14]])
    assert bfm_h5.landmark_names(path) == ("center.nose.tip", "right.lips.corner")


def test_landmarks_as_a_string(content: dict, tmp_path: Path) -> None:
    text = content["metadata/landmarks/json"].tobytes().decode()
    for value in (text, np.array([text.encode()], dtype=object)):
        path = write(tmp_path / "mine.h5", content | {"metadata/landmarks/json": value})
        assert len(bfm_h5.landmark_names(path)) == 2


def test_no_landmarks(content: dict, tmp_path: Path) -> None:
    del content["metadata/landmarks/json"]
    assert bfm_h5.load_2017(write(tmp_path / "mine.h5", content)).landmarks == {}


def test_truncated(content: dict, tmp_path: Path) -> None:
    path = write(tmp_path / "model2019_bfm.h5", content)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelFileError, match="not a readable HDF5 file, perhaps truncated"):
        bfm_h5.load_2019(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("expression/model/mean", None, "lacks expression/model/mean; top-level groups: color"),
        ("shape/model/pcaBasis", np.eye(126)[:5], r"must have shape \(126, components\).*transposed"),
        ("shape/model/pcaBasis", 10 * np.eye(126)[:, :5], "must have unit columns, column 0 has length 10"),
        ("shape/model/pcaVariance", np.ones(4), "must hold 5 standard deviations, found 4"),
        ("color/model/pcaVariance", np.array([1, 1, -1, 1.0]), "must be positive, found -1.0 for component 2"),
        ("color/model/mean", np.zeros(123), "must hold 42 vertices, found 41"),
        ("shape/representer/cells", np.array([[0], [1], [42]]), r"must lie in 0..41, found 0..42"),
        ("shape/representer/cells", np.zeros((4, 5), int), r"must be \(F, 3\) or \(3, F\), found \(4, 5\)"),
        ("metadata/landmarks/json", "[{}]", "must list points with id and coordinates"),
        ("metadata/landmarks/json", "[", "must list points with id and coordinates"),
    ],
)
def test_bad_content(content: dict, tmp_path: Path, name: str, value: Any, message: str) -> None:
    changed = {k: v for k, v in content.items() if k != name} | ({} if value is None else {name: value})
    with pytest.raises(ModelFileError, match=message):
        bfm_h5.load_2017(write(tmp_path / "mine.h5", changed))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingModelFiles) as caught:
        bfm_h5.load_2019(tmp_path / "nowhere")
    text = str(caught.value)
    assert "nowhere does not exist" in text and "model2019_bfm.h5 | model2019_fullHead.h5" in text
    assert "faces.dmi.unibas.ch/bfm/bfm2019.html" in text and "FACERECON_MODELS" in text
