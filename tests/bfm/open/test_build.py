"""Builds of the open model from its data. Each takes half a minute or more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bfm.data import ModelData
from bfm.landmarks import MIRROR_68
from bfm.open.build import build
from bfm.open.options import BuildOptions
from bfm.storage import write_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def coarse() -> tuple[ModelData, list[tuple[str, float]]]:
    stages: list[tuple[str, float]] = []
    return build(BuildOptions(levels=0, n_identity=20), lambda stage, share: stages.append((stage, share))), stages


def test_builds_are_equal_to_the_bit(coarse: tuple, tmp_path: Path) -> None:
    again = build(BuildOptions(levels=0, n_identity=20))
    files = [tmp_path / "first", tmp_path / "second"]
    for data, path in zip((coarse[0], again), files, strict=True):
        write_model(data, path)
    assert files[0].read_bytes() == files[1].read_bytes()
    for field in dataclasses.fields(ModelData):
        one, other = getattr(coarse[0], field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            assert np.array_equal(one, other), field.name


def test_progress_reaches_the_end(coarse: tuple) -> None:
    stages = [stage for stage, _ in coarse[1]]
    assert list(dict.fromkeys(stages)) == [
        *("mesh", "morph targets", "identity components", "expressions", "albedo", "landmarks")
    ]
    assert sum(share for _, share in coarse[1]) == pytest.approx(1.0)


def test_levels_are_the_same_head(coarse: tuple, open_data: ModelData) -> None:
    """Fewer vertices, same places: the first vertices of a level are those of the level above."""
    data, n = coarse[0], len(coarse[0].mean_shape)
    assert 4500 < n < 6000 and len(open_data.mean_shape) > 3.5 * n
    moved = np.linalg.norm(open_data.mean_shape[:n] - data.mean_shape, axis=1)
    assert np.median(moved) < 0.3 and np.percentile(moved, 99) < 3.5, "subdivision smooths"
    for name in ("68", "478"):
        a, b = (d.landmarks[name].at(d.mean_shape, d.faces) for d in (data, open_data))
        away = np.linalg.norm(a - b, axis=1)
        assert np.median(away) < 0.7 and away.max() < 4.0, name
    for name, mask in data.regions.items():
        assert (mask == open_data.regions[name][:n]).mean() > 0.98, name


def test_two_levels() -> None:
    data = build(BuildOptions(levels=2, n_identity=2, n_albedo=4))
    assert len(data.mean_shape) > 75_000 and len(data.landmarks["520"].triangles) == 520
    points = data.landmarks["68"].at(data.mean_shape, data.faces)
    np.testing.assert_allclose(points, points[list(MIRROR_68)] * [-1, 1, 1], atol=0.5)
