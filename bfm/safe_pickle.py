"""Reading model pickles without running any code that they carry.

A pickle is a program: loading one from the web with :mod:`pickle` can run anything. FLAME is published as pickles that
moreover need ``chumpy``, which no current Python installs. The unpickler here knows numpy's arrays and a few plain
containers; objects of chumpy, scipy.sparse and torch become :class:`Inert` records that only remember what they were
given; every other name is refused before anything is called.

numpy's own functions are not called either, because they trust what a pickle tells them of types and memory. Types,
arrays and scalars become records, see :mod:`bfm.pickled_arrays`, and are made into arrays once all is read and checked.
All of it happens in a process of its own, see :mod:`bfm.isolated`.
"""

from __future__ import annotations

import codecs
import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from bfm.files import ModelFileError
from bfm.inert import Inert as Inert
from bfm.inert import inert_class
from bfm.isolated import call_isolated
from bfm.npy import read_npy_header
from bfm.pickled_arrays import NDARRAY, Function, array_of_buffer, array_to_fill, dtype_record, resolved, scalar_record
from bfm.plain import ArrayFault


class UnsafePickleError(ModelFileError):
    """A pickle asks for something that a model file has no need for."""


_INERT_PACKAGES = ("chumpy", "scipy.sparse", "torch")


def load_pickle(path: Path) -> Any:
    """The object in a pickle file of Python 2 or 3; unknown classes are refused, see the module's description.

    Raises:
        FileNotFoundError: no such file.
        UnsafePickleError: the file names something outside the short list of harmless classes.
        ModelFileError: the file is truncated, not a pickle, or its arrays do not hold what they say.
        ReaderProcessError: the reading process cannot be started.
    """
    return call_isolated("bfm.safe_pickle:parse_pickle", path)


def load_object_npy(path: Path) -> Any:
    """The single object in an ``.npy`` file that was saved with ``allow_pickle``, read as :func:`load_pickle` does.

    Raises:
        UnsafePickleError, ModelFileError: as :func:`load_pickle`; also when the file holds plain numbers.
    """
    return call_isolated("bfm.safe_pickle:parse_object_npy", path)


def to_array(path: Path, key: str, value: object) -> np.ndarray:
    """A number array, also from chumpy's ``Ch`` (its ``x``) and ``reordering.Select`` (part of another array).

    Raises:
        ModelFileError: the value is something else.
    """
    try:
        array = _numbers(path, key, value)
    except ModelFileError:
        raise
    # Shapes and indices come from the file.
    except (ValueError, TypeError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        raise ModelFileError(path, f"{key!r} is no array that could be made ({error})") from error
    if array.dtype.kind not in "fiu":
        raise ModelFileError(path, f"{key!r} should hold numbers, found {type(value).__name__} of {array.dtype}")
    return array


def _numbers(path: Path, key: str, value: object) -> np.ndarray:
    if not isinstance(value, Inert):
        return np.asarray(value)
    state = value.state if isinstance(value.state, dict) else {}
    if value.kind.startswith("chumpy.") and value.kind.endswith(".Ch") and "x" in state:
        return to_array(path, key, state["x"])
    if value.kind == "chumpy.reordering.Select" and {"a", "idxs", "preferred_shape"} <= set(state):
        whole = to_array(path, key, state["a"])
        picked = whole.reshape(-1)[np.asarray(state["idxs"], dtype=np.int64)]
        return picked.reshape(state["preferred_shape"])
    raise ModelFileError(path, f"{key!r} is a {value.kind}, which is not a plain array")


def parse_pickle(path: Path) -> Any:
    """What :func:`load_pickle` does, in the reading process."""
    with path.open("rb") as file:
        return _load(path, file)


def parse_object_npy(path: Path) -> Any:
    """What :func:`load_object_npy` does, in the reading process."""
    with path.open("rb") as file:
        try:
            descr = read_npy_header(file).descr
        except ArrayFault as fault:
            raise ModelFileError(path, f"not a readable .npy file ({fault})") from None
        if not (isinstance(descr, str) and descr.lstrip("<>|=").startswith("O")):
            named = np.dtype(descr) if isinstance(descr, str) and descr[1:2] in "biufc" else descr
            raise ModelFileError(path, f"expected a pickled object, found an array of {named}")
        content = _load(path, file)
    if isinstance(content, np.ndarray) and content.shape == ():
        return content.item()
    return content


def _load(path: Path, file: IO[bytes]) -> Any:
    try:
        return resolved(_Unpickler(path, file).load())
    except ModelFileError:
        raise
    # A damaged or malicious program for the unpickler fails in whatever way it likes.
    except Exception as error:
        raise ModelFileError(path, f"not a readable pickle, perhaps truncated ({str(error)[:300]})") from None


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        # Python 2 stored array bytes as text; latin1 maps each byte to itself.
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        module = _PYTHON_2.get(module, module)
        if any(module == package or module.startswith(package + ".") for package in _INERT_PACKAGES):
            return inert_class(module, name)
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise UnsafePickleError(
            self._path,
            f"asks to load {module[:60]}.{name[:60]}, which no face model needs. It was not run. The file may be harmful "
            "or of another format: fetch it again from its publisher",
        )


def _reconstructor(cls: Any, base: Callable[..., object], state: object) -> object:
    """``copyreg._reconstructor`` for inert objects only: the original calls ``base.__new__`` of any class."""
    if not (isinstance(cls, type) and issubclass(cls, Inert) and base is object):
        raise pickle.UnpicklingError(f"cannot rebuild {getattr(cls, '__name__', 'that')}")
    return cls(state)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """``_codecs.encode`` as numpy uses it: Python 3 writes bytes this way at protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return codecs.encode(text, encoding)


def _no_bytes() -> bytes:
    """How the bytes of an empty array are written at protocols 0 to 2; the original also takes a number."""
    return b""


def _bytearray(data: object = b"", encoding: str = "latin-1") -> bytearray:
    """``bytearray`` of bytes or text; the original also takes a number, and as much memory."""
    if isinstance(data, str) and encoding == "latin-1":
        return bytearray(data.encode(encoding))
    if not isinstance(data, (bytes, list)):
        raise pickle.UnpicklingError(f"cannot make a bytearray of {type(data).__name__}")
    return bytearray(data)


# What a pickle may name. Nothing here can be changed through it: classes of C refuse that, and so does Function.
_KNOWN: dict[tuple[str, str], Any] = {
    **{
        ("builtins", cls.__name__): cls
        for cls in (set, frozenset, list, dict, tuple, int, float, complex, bool, object)
    },
    ("builtins", "bytes"): Function("bytes", _no_bytes),
    ("builtins", "bytearray"): Function("bytearray", _bytearray),
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("copyreg", "_reconstructor"): Function("_reconstructor", _reconstructor),
    ("_codecs", "encode"): Function("encode", _encode_latin1),
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Function("dtype", dtype_record),
    # Names by which numpy 1 and numpy 2 pickle the same functions.
    **{
        (f"numpy.{core}.{module}", name): Function(name, function)
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", array_to_fill),
            ("multiarray", "scalar", scalar_record),
            ("numeric", "_frombuffer", array_of_buffer),
        )
    },
}
# How Python 2 called them; FLAME's older pickles are of that age.
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
