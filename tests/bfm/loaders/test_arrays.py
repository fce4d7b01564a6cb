"""Numbers of a file become indices only if they are some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bfm.files import ModelFileError
from bfm.loaders.arrays import as_indices, as_sigma, outward

PATH = Path("some.mat")


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300, 0.0, -1.0, 10.0, 1.5])
def test_floats_out_of_range(value: float) -> None:
    with pytest.raises(ModelFileError, match=r"some\.mat: 'tri' must"):
        as_indices(PATH, "tri", np.array([1.0, value]), 9)


@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 10])
def test_whole_numbers_do_not_wrap(value: int) -> None:
    with pytest.raises(ModelFileError, match="must lie in 1..9"):
        as_indices(PATH, "tri", np.array([1, value], dtype=np.uint64), 9)
    with pytest.raises(ModelFileError, match="must lie in 1..9"):
        as_indices(PATH, "tri", np.array([1, np.iinfo(np.int64).min]), 9)


def test_texts_are_no_deviations() -> None:
    with pytest.raises(ModelFileError, match="'sigma' must hold numbers"):
        as_sigma(PATH, "sigma", np.array(["a"]), 1)


def test_vertices_beyond_all_numbers_have_no_outside() -> None:
    vertices = np.array([[1e200, 0, 0], [0, 1e200, 0], [0, 0, 1e200], [0, 0, 0]])
    with pytest.raises(ModelFileError, match="outside cannot be told"):
        outward(PATH, vertices, np.array([[0, 1, 2], [0, 2, 3], [1, 0, 3], [2, 1, 3]]))
