"""MATLAB files: named variables of numbers, and damage is an error of ours."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from bfm.files import ModelFileError
from bfm.loaders.mat import read_mat

POINTS = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "labels.mat"
    scipy.io.savemat(file, {"points": POINTS, "text": np.array(["abcdefgh" * 3]), "cells": np.array([1, "x"], object)})
    return file


def test_numbers(path: Path) -> None:
    found = read_mat(path, ("points",), ("absent",))
    assert list(found) == ["points"]
    np.testing.assert_array_equal(found["points"], POINTS)
    assert found["points"].flags.f_contiguous, "as MATLAB has it: sums over it are rounded as before"


@pytest.mark.parametrize("name", ["text", "cells"])
def test_what_is_no_number_is_refused(path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=rf"labels\.mat: '{name}' should hold numbers, found"):
        read_mat(path, ("points",), (name,))


def test_a_byte_that_crashes_the_parser_is_an_error(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    place = raw.index(b"abcdefgh") - 8
    raw[place : place + 4] = struct.pack("<I", 0x8010)  # a data type that does not exist
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=r"labels\.mat"):
        read_mat(path, ("text",))
    np.testing.assert_array_equal(read_mat(path, ("points",))["points"], POINTS)


@pytest.mark.parametrize("keep", [0, 100, 150, 200])
def test_truncated(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match=r"labels\.mat: (not a readable|lacks)"):
        read_mat(path, ("points",))
