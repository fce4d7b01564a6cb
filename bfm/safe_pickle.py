"""Reading model pickles without running any code that they carry.

A pickle is a program: loading one from the web with :mod:`pickle` can run anything. FLAME is published as pickles that
moreover need ``chumpy``, which no current Python installs. The unpickler here knows numpy's arrays and a few plain
containers; objects of chumpy, scipy.sparse and torch become :class:`Inert` records that only remember what they were
given; every other name is refused before anything is called.
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


class UnsafePickleError(ModelFileError):
    """A pickle asks for something that a model file has no need for."""


class Inert:
    """What is left of an object whose class must not be loaded: its name, its arguments and its state."""

    kind = ""

    def __new__(cls, *_arguments: object, **_keywords: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *arguments: object, **_keywords: object) -> None:
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __hash__(self) -> int:
        return id(self)


_INERT_PACKAGES = ("chumpy", "scipy.sparse", "torch")
_PLAIN: dict[tuple[str, str], Any] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
    ("builtins", "tuple"): tuple,
    ("builtins", "int"): int,
    ("builtins", "float"): float,
    ("builtins", "complex"): complex,
    ("builtins", "bool"): bool,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
# Names by which numpy 1 and numpy 2 pickle the same functions.
_NUMPY_MODULES = {
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
}
# How Python 2 called them; FLAME's older pickles are of that age.
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
)


def load_pickle(path: Path) -> Any:
    """The object in a pickle file of Python 2 or 3; unknown classes are refused, see the module's description.

    Raises:
        UnsafePickleError: the file names something outside the short list of harmless classes.
        ModelFileError: the file is truncated or not a pickle.
    """
    with path.open("rb") as file:
        return _load(path, file)


def load_object_npy(path: Path) -> Any:
    """The single object in an ``.npy`` file that was saved with ``allow_pickle``, read as :func:`load_pickle` does.

    Raises:
        UnsafePickleError, ModelFileError: as :func:`load_pickle`; also when the file holds plain numbers.
    """
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
            if read_header is None:
                raise ValueError(f"npy version {version} is not known here")
            _, _, dtype = read_header(file)
        except ValueError as error:
            raise ModelFileError(path, f"not a readable .npy file ({error})") from None
        if dtype.kind != "O":
            raise ModelFileError(path, f"expected a pickled object, found an array of {dtype}")
        content = _load(path, file)
    if isinstance(content, np.ndarray) and content.shape == ():
        return content.item()
    return content


def to_array(path: Path, key: str, value: object) -> np.ndarray:
    """A number array, also from chumpy's ``Ch`` (its ``x``) and ``reordering.Select`` (part of another array).

    Raises:
        ModelFileError: the value is something else.
    """
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        if value.kind.startswith("chumpy.") and value.kind.endswith(".Ch") and "x" in state:
            return to_array(path, key, state["x"])
        if value.kind == "chumpy.reordering.Select" and {"a", "idxs", "preferred_shape"} <= set(state):
            whole = to_array(path, key, state["a"])
            picked = whole.reshape(-1)[np.asarray(state["idxs"], dtype=np.int64)]
            return picked.reshape(state["preferred_shape"])
        raise ModelFileError(path, f"{key!r} is a {value.kind}, which is not a plain array")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ModelFileError(path, f"{key!r} should hold numbers, found {type(value).__name__} of {array.dtype}")
    return array


def _load(path: Path, file: IO[bytes]) -> Any:
    try:
        return _Unpickler(path, file).load()
    except ModelFileError:
        raise
    except _DAMAGE as error:
        raise ModelFileError(path, f"not a readable pickle, perhaps truncated ({error})") from None


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        # Python 2 stored array bytes as text; latin1 maps each byte to itself.
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        module = _PYTHON_2.get(module, module)
        if any(module == package or module.startswith(package + ".") for package in _INERT_PACKAGES):
            return type(name, (Inert,), {"kind": f"{module}.{name}"})
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if name in _NUMPY_MODULES.get(module, ()):
            return super().find_class(_installed_numpy(module), name)
        if (module, name) == ("copyreg", "_reconstructor"):
            return _reconstructor
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        raise UnsafePickleError(
            self._path,
            f"asks to load {module}.{name}, which no face model needs. It was not run. The file may be harmful or of "
            "another format: fetch it again from its publisher",
        )


def _installed_numpy(module: str) -> str:
    here = "numpy._core" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core"
    return f"{here}.{module.rsplit('.', 1)[1]}"


def _reconstructor(cls: type, base: Callable[..., object], state: object) -> object:
    """``copyreg._reconstructor`` for inert objects only: the original calls ``base.__new__`` of any class."""
    if not (issubclass(cls, Inert) and base is object):
        raise pickle.UnpicklingError(f"cannot rebuild {cls.__name__}")
    return cls(state)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """``_codecs.encode`` as numpy uses it: Python 3 writes bytes this way at protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return codecs.encode(text, encoding)
