from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from bfm.files import ModelFileError
from bfm.inert import inert_record
from bfm.pickled_arrays import Function
from bfm.safe_pickle import (
    Inert,
    UnsafePickleError,
    _Unpickler,
    load_object_npy,
    load_pickle,
    parse_pickle,
    to_array,
)


def python2_array(array: np.ndarray) -> bytes:
    """The opcodes that Python 2's protocol 0 writes for an array, its bytes as a (binary) string."""
    kind = f"{array.dtype.kind}{array.dtype.itemsize}".encode()
    shape = b"(" + b"".join(b"I%d\n" % n for n in array.shape) + b"t"
    data = array.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n"
        + shape
        + b"cnumpy\ndtype\n(S'"
        + kind
        + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nT"
        + struct.pack("<i", len(data))
        + data
        + b"tb"
    )


def python2_ch(array: np.ndarray) -> bytes:
    """A ``chumpy.ch.Ch`` as Python 2 pickles it: rebuilt through copy_reg, then given its state."""
    start = b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR"
    return start + b"(dS'x'\n" + python2_array(array) + b"sS'_dirty_vars'\nc__builtin__\nset\n((ltRsb"


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Just enough of chumpy to pickle its objects; taken away again before they are read."""
    package, ch, reordering = (types.ModuleType(n) for n in ("chumpy", "chumpy.ch", "chumpy.reordering"))
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})  # type: ignore[attr-defined]
    reordering.Select = type("Select", (), {"__module__": "chumpy.reordering"})  # type: ignore[attr-defined]
    for module in (package, ch, reordering):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    package.ch, package.reordering = ch, reordering  # type: ignore[attr-defined]
    return package


def write(path: Path, value: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


class Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_arrays_of_python_2(tmp_path: Path) -> None:
    array = np.array([[1.5, -2.0, 250.0]])
    path = tmp_path / "old.pkl"
    path.write_bytes(b"(dS'v_template'\n" + python2_array(array) + b"sS'shapedirs'\n" + python2_ch(array * 2) + b"s.")
    content = load_pickle(path)
    np.testing.assert_array_equal(content["v_template"], array)
    np.testing.assert_array_equal(to_array(path, "shapedirs", content["shapedirs"]), array * 2)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_at_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {
        "array": np.arange(6, dtype=np.int32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.float64(2.5),
        "set": {1, 2},
        "ordered": collections.OrderedDict(a=1),
        "bytes": b"\xff\x00",
        "objects": np.array([None, "x"], dtype=object),
    }
    again = load_pickle(write(tmp_path / "new.pkl", value, protocol))
    np.testing.assert_array_equal(again["array"], value["array"])
    np.testing.assert_array_equal(again["fortran"], value["fortran"])
    for name in ("scalar", "set", "ordered", "bytes"):
        assert again[name] == value[name]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_chumpy_without_chumpy(tmp_path: Path, chumpy: Any, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    whole = chumpy.ch.Ch()
    whole.x = np.arange(24.0).reshape(2, 3, 4)
    part = chumpy.reordering.Select()
    part.__dict__.update(a=whole, idxs=np.arange(0, 24, 2), preferred_shape=(2, 3, 2))
    path = write(tmp_path / "model.pkl", {"whole": whole, "part": part}, protocol)
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.delitem(sys.modules, name)
    content = load_pickle(path)
    np.testing.assert_array_equal(to_array(path, "whole", content["whole"]), np.arange(24.0).reshape(2, 3, 4))
    np.testing.assert_array_equal(to_array(path, "part", content["part"]), np.arange(0.0, 24, 2).reshape(2, 3, 2))
    assert "chumpy" not in sys.modules


def test_sparse_matrices_stay_inert(tmp_path: Path) -> None:
    path = write(tmp_path / "model.pkl", {"J_regressor": scipy.sparse.csc_matrix(np.eye(3)), "f": np.zeros(3)})
    content = load_pickle(path)
    assert isinstance(content["J_regressor"], Inert)
    with pytest.raises(ModelFileError, match="'J_regressor' is a scipy.sparse.* not a plain array"):
        to_array(path, "J_regressor", content["J_regressor"])


@pytest.mark.parametrize(
    "call",
    [
        lambda marker: Evil(os.system, f"touch {marker}"),
        lambda marker: Evil(eval, f"open({str(marker)!r}, 'w')"),
        lambda marker: Evil(open, str(marker), "w"),
        lambda marker: Evil(getattr, np.zeros(3), "tofile"),
        lambda marker: Evil(np.save, str(marker), np.zeros(3)),
        lambda marker: Evil(pickle.loads, pickle.dumps(Evil(os.system, f"touch {marker}"))),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_not_run(tmp_path: Path, call: Any, protocol: int) -> None:
    marker = tmp_path / "marker"
    path = write(tmp_path / "evil.pkl", {"v_template": np.zeros((3, 3)), "f": call(marker)}, protocol)
    with pytest.raises(UnsafePickleError, match=r"evil.pkl: asks to load .*It was not run"):
        load_pickle(path)
    assert not marker.exists()


def test_the_malicious_pickle_would_have_run(tmp_path: Path) -> None:
    """The test above means something only if pickle itself obeys."""
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Evil(os.system, f"touch {marker}")))
    assert marker.exists()


@pytest.mark.parametrize("name", ["ndarray.tofile", "load", "memmap", "core.multiarray.scalar"])
def test_other_names_in_numpy_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.pkl"
    text = name.encode()
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(text)]) + text + b"\x93.")
    with pytest.raises(UnsafePickleError, match="numpy"):
        load_pickle(path)


def test_copy_reg_rebuilds_nothing_but_inert_objects(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.")
    with pytest.raises(ModelFileError, match="cannot rebuild ndarray"):
        load_pickle(path)


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_truncated(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "short.pkl", {"v_template": np.zeros((9, 3))})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match="short.pkl: not a readable pickle, perhaps truncated"):
        load_pickle(path)


def test_not_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "page.pkl"
    path.write_text("<html>Please log in</html>")
    with pytest.raises(ModelFileError, match="not a readable pickle"):
        load_pickle(path)


def test_object_npy_with_torch_tensors(tmp_path: Path) -> None:
    """DECA's landmark_embedding.npy keeps some tables as tensors, which are of no use here."""
    path = tmp_path / "landmark_embedding.npy"
    table = {"full": np.arange(3), "dynamic": torch.arange(4)}
    np.save(path, np.array(table, dtype=object), allow_pickle=True)
    content = load_object_npy(path)
    np.testing.assert_array_equal(content["full"], [0, 1, 2])
    assert isinstance(content["dynamic"], Inert)


def test_object_npy_with_code(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "landmark_embedding.npy"
    np.save(path, np.array({"full": Evil(os.system, f"touch {marker}")}, dtype=object), allow_pickle=True)
    with pytest.raises(UnsafePickleError, match="system"):
        load_object_npy(path)
    assert not marker.exists()


@pytest.mark.parametrize(("content", "message"), [(b"PK", "not a readable .npy"), (None, "found an array of float64")])
def test_object_npy_of_another_kind(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "table.npy"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    path.write_bytes(buffer.getvalue() if content is None else content)
    with pytest.raises(ModelFileError, match=message):
        load_object_npy(path)


def test_to_array_wants_numbers(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="'f' should hold numbers, found str"):
        to_array(tmp_path / "x.pkl", "f", "faces")


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
SCALAR = b"cnumpy.core.multiarray\nscalar\n("


def dtype(text: bytes, order: bytes = b"<", size: int = -1, flags: int = 0) -> bytes:
    """The opcodes of a type and its state."""
    return b"cnumpy\ndtype\n(S'" + text + b"'\nI0\nI1\ntR(I3\nS'" + order + b"'\nNNNI%d\nI-1\nI%d\ntb" % (size, flags)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        # An object type that says it holds none: numpy then takes eight bytes of the file for a pointer.
        (SCALAR + dtype(b"O8", b"|", flags=0) + b"S'AAAAAAAA'\ntR.", "without a type of numbers"),
        (ARRAY + b"(I1\n(I1\nt" + dtype(b"O8", b"|", flags=0) + b"I00\nS'AAAAAAAA'\ntb.", "objects that do not fill"),
        (SCALAR + dtype(b"f8", size=4096) + b"S'AAAAAAAA'\ntR.", "'f8' of 4096 bytes"),
        (SCALAR + dtype(b"U2", size=4096) + b"S'AAAAAAAA'\ntR.", "'U2' of 4096 bytes"),
        (SCALAR + dtype(b"V8") + b"S'AAAAAAAA'\ntR.", "type 'V8'"),
        (SCALAR + dtype(b"M8[s]") + b"S'AAAAAAAA'\ntR.", "none of plain numbers"),
        (SCALAR + dtype(b"f8,O") + b"S'AAAAAAAA'\ntR.", "none of plain numbers"),
        (SCALAR + dtype(b"f8") + b"S'AAAA'\ntR.", "4 bytes for an array of <f8"),
        (SCALAR + dtype(b"U2", size=8) + b"S'AAAAAAAA'\ntR.", "no Unicode"),
        (ARRAY + b"(I1\n(I1000\nI1000\nt" + dtype(b"f8") + b"I00\nS'AAAAAAAA'\ntb.", "8 bytes for an array"),
        (ARRAY + b"(I1\n(I-1\nt" + dtype(b"f8") + b"I00\nS''\ntb.", "an array of shape"),
        (ARRAY + b"(I1\n(L4611686018427387904L\nI64\nt" + dtype(b"f8") + b"I00\nS''\ntb.", "an array of shape"),
        (ARRAY + b"(I1\n(I1\ntNI00\nS''\ntb.", "an array without a type"),
        (ARRAY + b".", "never filled"),
        (b"cnumpy\nndarray\n(I9\ntR.", "made directly"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(c__builtin__\nset\n(I0\ntS'b'\ntR.", "another class"),
        (b"c__builtin__\nbytearray\n(L99999999999L\ntR.", "bytearray of int"),
        (b"ccopy_reg\n_reconstructor\n(N}S'__defaults__'\n(I1\ntstb.", "changes _reconstructor"),
        (b"cnumpy\ndtype\n}S'__call__'\nI1\nsb.", "changes dtype"),
    ],
)
def test_arrays_with_a_false_state_are_refused(tmp_path: Path, program: bytes, message: str) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(program)
    with pytest.raises(ModelFileError, match=rf"evil\.pkl: not a readable pickle.*{message}"):
        load_pickle(path)
    with pytest.raises(ModelFileError, match=message):
        parse_pickle(path)  # already here, not only because the other process would have crashed


def test_numpy_never_builds_from_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions trust what they are told; the names that a pickle knows them by are ours."""
    asked: list[object] = []
    original = _Unpickler.find_class
    monkeypatch.setattr(_Unpickler, "find_class", lambda self, *name: asked.append(original(self, *name)) or asked[-1])
    parse_pickle(write(tmp_path / "a.pkl", {"a": np.zeros(3), "b": np.float64(1), "c": np.array(["x"])}))
    assert asked and all(isinstance(found, Function) for found in asked)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_arrays_of_every_kind_come_back_equal(tmp_path: Path, protocol: int) -> None:
    arrays = [
        np.array([[1, 2], [3, 4]], dtype=dtype)
        for dtype in ("?", "i1", "u2", "<i4", ">i8", "<f2", ">f4", "f8", "c8", "c16")
    ]
    arrays += [np.array(["a", "öß"]), np.array([b"a", b"bc"]), np.zeros((0, 3)), np.array(2.5), np.ones((2, 3, 4)).T]
    shared = np.arange(3)
    found = load_pickle(write(tmp_path / "a.pkl", {"arrays": arrays, "twice": [shared, shared]}, protocol))
    for array, again in zip(arrays, found["arrays"], strict=True):
        assert again.dtype == array.dtype and again.flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(again, array)
    assert found["twice"][0] is found["twice"][1]


def test_objects_that_hold_themselves_are_cut(tmp_path: Path) -> None:
    ring: list = [1]
    ring.append(ring)
    found = load_pickle(write(tmp_path / "ring.pkl", {"f": ring}))
    assert found["f"][0] == 1 and found["f"][1].kind == "itself"
    with pytest.raises(ModelFileError, match="'f'"):
        to_array(tmp_path / "ring.pkl", "f", found["f"])


def test_a_chain_of_selections_ends_in_an_error(tmp_path: Path) -> None:
    link = Inert()
    for _ in range(5000):
        link = inert_record("chumpy.reordering.Select", (), {"a": link, "idxs": [0], "preferred_shape": (1,)})
    with pytest.raises(ModelFileError, match="'f' is no array that could be made"):
        to_array(tmp_path / "x.pkl", "f", link)
