"""A sketch tells another model from the same one built elsewhere."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bfm.data import ModelData
from bfm.sketch import ModelSketch, SketchError, _signs


@pytest.fixture
def data(make_tiny: Callable[..., ModelData]) -> ModelData:
    """Displacements of some mm, as faces have."""
    tiny = make_tiny(n_identity=6, n_expression=5)
    return dataclasses.replace(tiny, identity_basis=3.0 * tiny.identity_basis, mean_shape=50.0 * tiny.mean_shape)


def changed(data: ModelData, field: str, values: np.ndarray) -> str:
    return ModelSketch.of(data).difference(ModelSketch.of(dataclasses.replace(data, **{field: values})))


def test_the_signs_are_the_same_everywhere_and_even() -> None:
    assert _signs(1)[2:5].tolist() == [[-1, 1, -1], [1, -1, 1], [1, 1, 1]]
    signs = _signs(5000)
    assert abs(signs.mean()) < 0.01 and np.abs(np.corrcoef(signs) - np.eye(len(signs))).max() < 0.05


def test_last_bits_of_another_machine_make_no_difference(data: ModelData) -> None:
    rng = np.random.default_rng(0)
    for field in ("mean_shape", "identity_basis", "expression_basis", "mean_albedo", "albedo_basis"):
        values = getattr(data, field)
        noise = 1e-4 * np.abs(values).max() * rng.standard_normal(values.shape)
        assert changed(data, field, (values + noise).astype(np.float32)) == ""


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("identity_basis", lambda b: b[..., ::-1], r"identity \(by .* mm, component \d\)"),
        ("identity_basis", lambda b: b * np.array([1, 1, -1, 1, 1, 1]), r"identity \(by .* mm, component 2\)"),
        ("identity_basis", lambda b: 1.5 * b, r"^identity \(by"),
        ("identity_basis", lambda b: b[..., :4], r"identity \(6 and 4 components\)"),
        ("expression_basis", lambda b: np.roll(b, 1, axis=0), r"^expressions \(by"),
        ("mean_shape", lambda m: m + [0, 3, 0], r"^mean shape \(by [\d.]+ mm\)"),
        ("albedo_basis", lambda b: -b, r"^albedo \(by 0\.\d+, component \d\)"),
    ],
)
def test_other_bases_are_told(data: ModelData, field: str, change: Any, message: str) -> None:
    data = dataclasses.replace(data, expression_names=())
    values = np.ascontiguousarray(change(getattr(data, field)), dtype=np.float32)
    assert re.search(message, changed(data, field, values))


def test_the_difference_is_the_distance_in_mm(data: ModelData) -> None:
    shift = np.random.default_rng(1).standard_normal((3000, 3)).astype(np.float32)
    big = dataclasses.replace(
        data,
        mean_shape=np.zeros((3000, 3), np.float32),
        mean_albedo=np.zeros((3000, 3), np.float32),
        **{f"{name}_basis": np.zeros((3000, 3, 1), np.float32) for name in ("identity", "expression", "albedo")},
        expression_names=(),
        regions={},
    )
    found = changed(big, "mean_shape", 2.0 * shift)
    distance = float(found.split("by ")[1].split(" mm")[0])
    assert distance == pytest.approx(2.0 * np.sqrt(3.0), rel=0.35)  # eight sums estimate it so well


def test_through_json(data: ModelData) -> None:
    sketch = ModelSketch.of(data)
    assert ModelSketch.of_json(json.loads(json.dumps(sketch.to_json()))) == sketch


@pytest.mark.parametrize(
    "change",
    [
        lambda c: None,
        lambda c: [c],
        lambda c: {**c, "more": []},
        lambda c: {**c, "identity": 3},
        lambda c: {**c, "identity": [[1, 2]]},
        lambda c: {**c, "identity": [[float("nan")] * 8]},
        lambda c: {**c, "identity": [["1"] * 8]},
        lambda c: {**c, "identity": [[True] * 8]},
        lambda c: {**c, "identity": [[0.0] * 8] * 20_000},
    ],
)
def test_what_is_no_sketch_is_refused(data: ModelData, change: Any) -> None:
    with pytest.raises(SketchError, match="sketch"):
        ModelSketch.of_json(change(ModelSketch.of(data).to_json()))
