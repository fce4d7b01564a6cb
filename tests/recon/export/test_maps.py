"""Depth and normal maps, read back by Pillow, NumPy, a reader of our own and, where it is installed, OpenEXR."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.export import write_depth_exr, write_depth_npy, write_depth_png, write_normals_png
from recon.io.write_exr import encode_exr

HEIGHT, WIDTH = 37, 23  # more lines than two chunks, and no square


@pytest.fixture
def depth_mm() -> np.ndarray:
    depth = np.random.default_rng(1).uniform(300.0, 1500.0, (HEIGHT, WIDTH)).astype(np.float32)
    depth[:4, :7] = np.nan
    depth[20, 3] = 1000.0
    return depth


def read_exr(data: bytes) -> dict[str, np.ndarray]:
    """Float32 scan-line EXR with no or ZIP compression, written from the format's description."""
    assert struct.unpack_from("<ii", data) == (20000630, 2)
    at, attributes = 8, {}
    while data[at] != 0:
        name, kind = data[at : at + 300].split(b"\0")[:2]
        at += len(name) + len(kind) + 2
        (size,) = struct.unpack_from("<i", data, at)
        attributes[name.decode()] = data[at + 4 : at + 4 + size]
        at += 4 + size
    at += 1
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    names, rest = [], attributes["channels"]
    while rest[0] != 0:
        name, rest = rest.split(b"\0", 1)
        assert struct.unpack_from("<i", rest) == (2,)
        names.append(name.decode())
        rest = rest[16:]
    lines = np.zeros((height, len(names), width), np.float32)
    for start in struct.unpack_from(f"<{-(-height // 16)}Q", data, at):
        first, size = struct.unpack_from("<ii", data, start)
        count = min(16, height - first)
        chunk, full = data[start + 8 : start + 8 + size], count * len(names) * width * 4
        if size < full:
            predicted = np.frombuffer(zlib.decompress(chunk), np.uint8).astype(np.int64)
            predicted[1:] -= 128
            apart = (np.cumsum(predicted) & 0xFF).astype(np.uint8)
            raw = np.zeros(full, np.uint8)
            raw[0::2], raw[1::2] = apart[: (full + 1) // 2], apart[(full + 1) // 2 :]
            chunk = raw.tobytes()
        lines[first : first + count] = np.frombuffer(chunk, "<f4").reshape(count, len(names), width)
    return {name: lines[:, i] for i, name in enumerate(names)}


def test_depth_png_counts_tenths_of_a_millimetre(depth_mm: np.ndarray, tmp_path: Path) -> None:
    image = Image.open(write_depth_png(tmp_path / "depth ö.png", depth_mm))
    assert "0.1 mm" in image.text["Description"]
    steps = np.asarray(image)
    assert steps.dtype.kind in "iu" and steps.shape == (HEIGHT, WIDTH)
    assert steps[20, 3] == 10000
    np.testing.assert_array_equal(steps == 0, np.isnan(depth_mm))
    seen = steps > 0
    assert np.abs(steps[seen] * 0.1 - depth_mm[seen]).max() <= 0.0501


@pytest.mark.parametrize("far_mm", [6553.6, 9000.0])
def test_depth_png_refuses_what_16_bits_cannot_hold(depth_mm: np.ndarray, tmp_path: Path, far_mm: float) -> None:
    depth_mm[30, 2] = far_mm
    with pytest.raises(ValueError, match="6553.5 mm, found .* write EXR or NPY"):
        write_depth_png(tmp_path / "depth.png", depth_mm)
    assert not list(tmp_path.iterdir())


def test_depth_png_holds_its_largest_value(depth_mm: np.ndarray, tmp_path: Path) -> None:
    depth_mm[30, 2] = 6553.5
    assert np.asarray(Image.open(write_depth_png(tmp_path / "depth.png", depth_mm)))[30, 2] == 65535


@pytest.mark.parametrize("value", [0.0, -5.0, np.inf])
@pytest.mark.parametrize("write", [write_depth_png, write_depth_exr, write_depth_npy])
def test_impossible_depths_are_refused(depth_mm: np.ndarray, tmp_path: Path, write, value: float) -> None:
    depth_mm[30, 2] = value
    with pytest.raises(ValueError, match="positive and finite"):
        write(tmp_path / "depth", depth_mm)


def test_depth_npy_comes_back(depth_mm: np.ndarray, tmp_path: Path) -> None:
    read = np.load(write_depth_npy(tmp_path / "depth.npy", depth_mm.astype(np.float64)))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, depth_mm)


def test_depth_exr_comes_back(depth_mm: np.ndarray, tmp_path: Path) -> None:
    path = write_depth_exr(tmp_path / "depth.exr", depth_mm)
    np.testing.assert_array_equal(read_exr(path.read_bytes())["Z"], depth_mm)


def test_compressible_exr_is_compressed_and_comes_back() -> None:
    ramp = np.tile(np.arange(64, dtype=np.float32), (50, 1))
    data = encode_exr({"Z": ramp, "A": ramp.T[:50, :1] + 0 * ramp})
    assert len(data) < ramp.nbytes
    read = read_exr(data)
    np.testing.assert_array_equal(read["Z"], ramp)
    np.testing.assert_array_equal(read["A"], np.arange(50, dtype=np.float32)[:, None] + 0 * ramp)


def test_openexr_reads_it(depth_mm: np.ndarray, tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    smooth = np.where(np.isnan(depth_mm), np.nan, 700.0).astype(np.float32)
    for name, depth in (("rough.exr", depth_mm), ("smooth.exr", smooth)):
        with openexr.File(str(write_depth_exr(tmp_path / name, depth))) as file:
            np.testing.assert_array_equal(file.channels()["Z"].pixels, depth)
            assert "mm" in file.header()["comments"]


@pytest.mark.parametrize("channels", [{}, {"Z": np.zeros((3, 4))}, {"Z": np.zeros((3, 4, 1), np.float32)}])
def test_exr_refuses_what_it_cannot_write(channels: dict) -> None:
    with pytest.raises(ValueError, match="EXR"):
        encode_exr(channels)


def test_normals_png_encoding(tmp_path: Path) -> None:
    normals = np.full((2, 3, 3), np.nan)
    normals[0, 0], normals[0, 1], normals[0, 2], normals[1, 0] = [0, 0, 1], [1, 0, 0], [0, -1, 0], [-0.6, 0.8, 0]
    image = Image.open(write_normals_png(tmp_path / "normals.png", normals))
    assert "camera frame" in image.text["Description"]
    pixels = np.asarray(image)
    assert pixels[0].tolist() == [[128, 128, 255], [255, 128, 128], [128, 0, 128]]
    assert pixels[1].tolist() == [[51, 230, 128], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="unit vectors, found lengths 2 to 2"):
        write_normals_png(tmp_path / "long.png", np.full((1, 1, 3), [0.0, 0.0, 2.0]))
