"""Files of numpy arrays: the header must tell the truth."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bfm.files import ModelFileError
from bfm.loaders.npz import parse_npz, read_npz
from bfm.npy import read_npy


def with_header(text: str, version: int = 1, data: bytes = bytes(32)) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


def header(descr: object = "<f8", order: object = False, shape: object = (2, 2)) -> str:
    return str({"descr": descr, "fortran_order": order, "shape": shape})


@pytest.mark.parametrize("dtype", ["?", "i2", ">i4", "u8", "f2", ">f8", "c16", "U3", "S2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.array([[1, 0, 1], [0, 1, 1]], order="F" if order == "F" else "C").astype(dtype)
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.flags.writeable
    assert found.flags.f_contiguous == array.flags.f_contiguous
    np.savez_compressed(tmp_path / "a.npz", one=array, two=array[0])
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", ("two", "one"))["one"], array)


def test_headers_of_python_2() -> None:
    name, content = "a.npz", io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.npy", with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (4L,), }"))
    assert parse_npz(name, content.getvalue(), ("a",))["a"].shape == (4,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin as one"),
        (b"\x93NUMPY\x09\x00", "does not begin as one"),
        (with_header(header(), version=2)[:9], "a header of"),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 8, "a header of 4294967295 bytes"),
        (with_header(header(shape=(10_000_000, 10_000))), "cut off: <f8"),
        (with_header(header(shape=(2**62, 4))), "which no memory holds"),
        (with_header(header(shape=(0, 2**61))), r"shape \(0, 2305843009213693952\)"),
        (with_header(header(shape=(-1,))), r"an array of shape \(-1,\)"),
        (with_header(header(shape=[2, 2])), "shape is no tuple"),
        (with_header(header(shape=(True,))), "an array of shape"),
        (with_header(header(descr="|O8")), "none of plain numbers"),
        (with_header(header(descr=[("a", "<f8")])), "none of plain numbers"),
        (with_header(header(descr="<f8,O")), "none of plain numbers"),
        (with_header(header(descr="<U99999999")), "none of plain numbers"),
        (with_header(header(descr="<U0", shape=(2**40,))), "an array of"),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2)}\n" + "(\n" * 40), "unreadable header"),
        (with_header("[" * 5000), "unreadable header"),
        (with_header("{'a': __import__('os')}"), "unreadable header"),
        (with_header("{'descr': '<f8'}"), "without descr, fortran_order and shape"),
        (with_header(header(), data=bytes(31)), "bytes for an array"),
        (with_header(header(descr="<U1"), data=b"\xff" * 32), "no Unicode"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"a\.npy: not a readable \.npy file.*{message}"):
        read_npy(path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ModelFileError, match=rf"a\.npz: not a readable \.npz file.*{message}"):
        read_npz(tmp_path / "a.npz", ("a",))


def test_booleans_are_0_or_1(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(with_header(header(descr="|b1", shape=(2,)), data=b"\x07\x00"))
    assert read_npy(tmp_path / "a.npy").view(np.uint8).tolist() == [1, 0]


def test_files_that_are_too_large_or_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(100))
    with pytest.raises(ModelFileError, match="has 928 bytes; at most 500"):
        read_npy(tmp_path / "a.npy", most=500)
    with pytest.raises(ModelFileError, match="is no regular file"):
        read_npy(Path("/dev/zero"))
    with pytest.raises(ModelFileError, match="cannot be opened"):
        read_npy(Path("a\0b.npy"))
    with pytest.raises(FileNotFoundError):
        read_npy(tmp_path / "none.npy")


def test_archives_that_unpack_to_too_much() -> None:
    content = io.BytesIO()
    np.savez_compressed(content, a=np.zeros(1 << 18))
    assert len(content.getvalue()) < 10_000
    with pytest.raises(ModelFileError, match=r"bomb\.npz: unpacks to 2097280 bytes; at most 100000"):
        parse_npz("bomb.npz", content.getvalue(), ("a",), most=100_000)


@pytest.mark.parametrize("place", range(0, 300, 23))
def test_archives_with_a_changed_byte(place: int) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, a=np.arange(6.0))
    raw = bytearray(content.getvalue())
    raw[place % len(raw)] ^= 0xFF
    try:
        parse_npz("a.npz", bytes(raw), ("a",))
    except ModelFileError:
        pass
