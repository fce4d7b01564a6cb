from __future__ import annotations

import dataclasses
import json
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import bfm
from bfm.data import ModelData
from bfm.files import ModelFileError
from bfm.storage import FORMAT, _checksum, read_model, write_model


@pytest.fixture
def file(tiny_data: ModelData, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "tiny.safetensors"
    write_model(tiny_data, path)
    return path


def header_of(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return dict(json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][FORMAT]))


def rewrite(path: Path, header: dict[str, Any], without: str = "") -> None:
    arrays = {name: array for name, array in load(path.read_bytes()).items() if name != without}
    path.write_bytes(save(arrays, {FORMAT: json.dumps(header)}))


def test_round_trip(tiny_data: ModelData, file: Path) -> None:
    back = read_model(file)
    for field in dataclasses.fields(ModelData):
        want, got = getattr(tiny_data, field.name), getattr(back, field.name)
        if field.name.endswith("_basis"):
            # 16-bit steps of each component's largest value
            largest = np.abs(want).max(axis=(0, 1))
            assert (np.abs(got - want).max(axis=(0, 1)) <= 1e-4 * largest).all(), field.name
            assert got.shape == want.shape and got.dtype == np.float32
        elif isinstance(want, np.ndarray):
            assert np.array_equal(got, want) and got.dtype == want.dtype, field.name
        elif field.name not in ("regions", "landmarks"):
            assert got == want, field.name
    assert set(back.regions) == set(tiny_data.regions) and set(back.landmarks) == set(tiny_data.landmarks)
    for name, mask in tiny_data.regions.items():
        assert np.array_equal(back.regions[name], mask)
    for name, points in tiny_data.landmarks.items():
        assert np.array_equal(back.landmarks[name].triangles, points.triangles)
        assert np.array_equal(back.landmarks[name].barycentrics, points.barycentrics)


def test_second_round_trip_changes_nothing(file: Path) -> None:
    again = file.with_name("again.safetensors")
    write_model(read_model(file), again)
    assert np.array_equal(read_model(again).identity_basis, read_model(file).identity_basis)


def test_same_model_same_bytes(tiny_data: ModelData, file: Path) -> None:
    again = file.with_name("again.safetensors")
    write_model(tiny_data, again)
    assert again.read_bytes() == file.read_bytes()


def test_components_far_apart_in_size(tiny_data: ModelData, file: Path) -> None:
    """Each component has a scale of its own, and a component of zeros stays zero."""
    basis = tiny_data.identity_basis * np.array([100.0, 1e-3, 0.0], np.float32)
    write_model(dataclasses.replace(tiny_data, identity_basis=basis), file)
    back = read_model(file).identity_basis
    np.testing.assert_allclose(back[..., 1], basis[..., 1], atol=1e-7)
    assert (back[..., 2] == 0.0).all()


def test_model_without_some_parts(tiny_data: ModelData, file: Path) -> None:
    none = np.zeros((11, 3, 0), np.float32)
    bare = dataclasses.replace(
        tiny_data,
        albedo_basis=none,
        uv=np.zeros((0, 2), np.float32),
        uv_faces=np.zeros((0, 3), np.int64),
        regions={},
        landmarks={},
        expression_names=(),
    )
    write_model(bare, file)
    back = read_model(file)
    assert back.albedo_basis.shape == (11, 3, 0) and not back.regions and not back.landmarks


def test_loads_by_path(file: Path) -> None:
    model = bfm.load(file)
    assert model.name == "tiny" and model.n_vertices == 11 and model.licence == "any use"


def test_nothing_else_is_left_behind(tiny_data: ModelData, file: Path) -> None:
    write_model(tiny_data, file)
    assert [p.name for p in file.parent.iterdir()] == ["tiny.safetensors"]


def test_writers_at_once(tiny_data: ModelData, file: Path) -> None:
    """Threads of one process share its number, so that cannot be what keeps their files apart."""
    faults: list[BaseException] = []
    gate = threading.Barrier(6)

    def write() -> None:
        gate.wait()
        try:
            for _ in range(20):
                write_model(tiny_data, file)
                read_model(file)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [p.name for p in file.parent.iterdir()] == ["tiny.safetensors"]


def test_a_failed_write_keeps_the_old_file(tiny_data: ModelData, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(tiny_data, file)
    assert file.read_bytes() == before and len(list(file.parent.iterdir())) == 1


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_partial_file(file: Path, share: float) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(ModelFileError, match="tiny.safetensors: is not a whole safetensors file"):
        read_model(file)


def test_damaged_bytes(file: Path) -> None:
    """A file of the right length with zeros in it, as a power cut leaves."""
    raw = bytearray(file.read_bytes())
    raw[-64:] = bytes(64)
    file.write_bytes(raw)
    with pytest.raises(ModelFileError, match="does not match its checksum; delete it"):
        read_model(file)


@pytest.mark.parametrize("content", [b"hello, this is no model", b"\x80\x04\x95", b"PK\x03\x04" + bytes(200)])
def test_file_of_another_kind(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match="is not a whole safetensors file"):
        read_model(file)


def test_safetensors_file_of_another_program(file: Path) -> None:
    file.write_bytes(save({"weight": np.zeros(3, np.float32)}))
    with pytest.raises(ModelFileError, match="is no face model of this version: its header lacks 'facerecon-model-2'"):
        read_model(file)


def test_file_without_an_array(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = header_of(file)
    rewrite(file, header, without="uv_faces")
    with pytest.raises(ModelFileError, match="checksum"):
        read_model(file)
    monkeypatch.setattr("bfm.storage._checksum", lambda arrays: header["checksum"])
    with pytest.raises(ModelFileError, match="tiny.safetensors: lacks 'uv_faces'"):
        read_model(file)


def test_header_without_a_text(file: Path) -> None:
    header = header_of(file)
    del header["licence"]
    rewrite(file, header)
    with pytest.raises(ModelFileError, match="lacks 'licence'"):
        read_model(file)


def test_arrays_that_do_not_fit(file: Path) -> None:
    rewrite(file, header_of(file) | {"expression_names": ["one"]})
    with pytest.raises(ModelFileError, match="1 expression names for 2 components"):
        read_model(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.safetensors does not exist"):
        read_model(tmp_path / "none.safetensors")


def test_folder_that_cannot_be(tiny_data: ModelData, file: Path) -> None:
    with pytest.raises(OSError):
        write_model(tiny_data, file / "below a file" / "x.safetensors")


def forge(path: Path, arrays: dict[str, np.ndarray], **header: Any) -> None:
    """Other content with a checksum that fits."""
    old = header_of(path) | header
    kept = {**load(path.read_bytes()), **arrays}
    path.write_bytes(save(kept, {FORMAT: json.dumps(old | {"checksum": _checksum(kept)})}))


@pytest.mark.parametrize(
    ("arrays", "header", "message"),
    [
        ({}, {"name": 7}, "name must be a text"),
        ({}, {"expression_prior": "wide"}, "expression_prior must be normal or unit, found 'wide'"),
        ({}, {"expression_names": "ab"}, "expression_names must be a list of texts"),
        ({}, {"expression_names": [1, 2]}, "expression_names must be a list of texts"),
        ({"mean_shape": np.zeros((1 << 40, 0), np.float32)}, {}, "mean_shape must have three columns"),
        ({"mean_shape": np.zeros(3, np.float32)}, {}, "mean_shape must have three columns"),
        ({"faces": np.full((9, 3), np.nan, np.float32)}, {}, "faces must not hold float32"),
        ({"faces": np.full((9, 3), -1, np.int32)}, {}, r"indices in \[0, 11\), found -1..-1"),
        ({"identity_basis.scale": np.ones(1 << 20)}, {}, "identity_basis must be"),
        ({"identity_basis": np.zeros((11, 3, 3))}, {}, "identity_basis must be"),
        ({"region.front": np.zeros(2, np.int8)}, {}, "region.front must not hold int8"),
        ({"landmarks.68.triangles": np.full(68, 99, np.int32)}, {}, r"indices in \[0, 9\)"),
        ({"landmarks.68.barycentrics": np.ones((68, 3), np.float32)}, {}, "barycentrics must sum to 1"),
        ({"mean_albedo": np.full((11, 3), np.nan, np.float32)}, {}, "mean_albedo holds nan"),
    ],
)
def test_content_that_makes_no_model(
    file: Path, arrays: dict[str, np.ndarray], header: dict[str, Any], message: str
) -> None:
    forge(file, arrays, **header)
    with pytest.raises(ModelFileError, match=rf"tiny\.safetensors: .*{message}"):
        read_model(file)


@pytest.mark.parametrize("text", ["[]", "7", "null", '{"checksum": []}', "[" * 100_000])
def test_headers_that_are_no_mapping(file: Path, text: str) -> None:
    file.write_bytes(save(load(file.read_bytes()), {FORMAT: text}))
    with pytest.raises(ModelFileError, match=r"tiny\.safetensors"):
        read_model(file)
