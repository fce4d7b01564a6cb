"""numpy's part of a pickle, as records of our own that are made into arrays when all is read.

numpy's functions for this (``dtype``, ``_reconstruct``, ``scalar`` and their ``__setstate__``) take flags and byte
counts as they come; with false ones numpy follows a pointer out of the file. Here a type is a description and a byte
order, an array is a type, a shape and bytes, and the three must fit.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np

from bfm.inert import Inert
from bfm.plain import ArrayFault, plain_array, plain_dtype, plain_shape


class Function:
    """Something that a pickle may call; unlike a plain function, it cannot be given attributes by a pickle."""

    __slots__ = ("__name__", "_function")

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self.__name__, self._function = name, function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, _state: object) -> None:
        raise ArrayFault(f"a pickle that changes {self.__name__}")


def _no_array(*_arguments: object) -> object:
    raise ArrayFault("an array that is made directly")


NDARRAY = Function("ndarray", _no_array)
"""``numpy.ndarray``, which pickles only mention."""


class _Dtype:
    """A type: a description such as ``f8``, and its byte order once that is known."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or not 8 <= len(state) <= 9 or state[0] not in (3, 4):
            raise ArrayFault("a type with a state of another kind")
        order, fields, size = state[1], state[2:5], state[5]
        if order not in ("<", ">", "|", "=") or fields != (None, None, None):
            raise ArrayFault("a type of several fields")
        # A text has its length here too; of other types nothing but the order may be set.
        if size not in ((-1, plain_dtype(self.text).itemsize) if self.text[0] in "SU" else (-1,)):
            raise ArrayFault(f"a type {self.text!r} of {size!r} bytes")
        if order != "=" and self.text[0] in "iufcU":
            self.text = f"{order if order in '<>' else '<'}{self.text}"

    def dtype(self) -> np.dtype:
        return plain_dtype(self.text)

    @property
    def holds_objects(self) -> bool:
        return self.text == "O"


def dtype_record(text: object, align: object = False, copy: object = True) -> _Dtype:
    """``numpy.dtype`` for plain numbers, texts and objects.

    Raises:
        ArrayFault: another type.
    """
    if isinstance(text, str) and text in ("O", "O8", "O4"):
        return _Dtype("O")
    if not isinstance(text, str):
        raise ArrayFault(f"a type made of a {type(text).__name__}")
    plain_dtype(text)
    return _Dtype(text.lstrip("<>|="))


class _Array:
    """An array to be filled by its state."""

    def __init__(self) -> None:
        self.parts: tuple[_Dtype, tuple[int, ...], str, object] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ArrayFault("an array with a state of another kind")
        shape, dtype, fortran, data = state[-4:]
        if not isinstance(dtype, _Dtype):
            raise ArrayFault("an array without a type")
        self.parts = (dtype, plain_shape(shape), "F" if fortran else "C", data)


def array_to_fill(kind: object, _shape: object, _typecode: object) -> _Array:
    """``numpy.core.multiarray._reconstruct``.

    Raises:
        ArrayFault: of another class than ``numpy.ndarray``.
    """
    if kind is not NDARRAY:
        raise ArrayFault("an array of another class")
    return _Array()


class _Buffer:
    """An array of protocol 5: its bytes, then perhaps an order of its axes."""

    def __init__(self, array: _Array, axes: tuple[int, ...] | None) -> None:
        self.array, self.axes = array, axes


def array_of_buffer(data: object, dtype: object, shape: object, order: object, axes: object = None) -> _Buffer:
    """``numpy.core.numeric._frombuffer``.

    Raises:
        ArrayFault: no bytes, no type or no shape.
    """
    if order not in ("C", "F", "K", "A"):
        raise ArrayFault(f"an array of order {order!r}")
    array = _Array()
    array.__setstate__((shape, dtype, order == "F", data))
    return _Buffer(array, None if axes is None or order != "K" else plain_shape(axes))


class _Scalar:
    """One number or text."""

    def __init__(self, dtype: _Dtype, data: object) -> None:
        self.dtype, self.data = dtype, data


def scalar_record(dtype: object, data: object = b"") -> _Scalar:
    """``numpy.core.multiarray.scalar`` for numbers and texts.

    Raises:
        ArrayFault: of Python objects, or without a type.
    """
    if not isinstance(dtype, _Dtype) or dtype.holds_objects:
        raise ArrayFault("a number without a type of numbers")
    return _Scalar(dtype, data)


def resolved(value: object) -> Any:
    """The value with all records made into arrays, scalars and descriptions of types; what was shared stays shared.

    Raises:
        ArrayFault: an array whose bytes do not fit its type and shape, or that was never filled.
    """
    return _Resolver().of(value)


class _Resolver:
    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def of(self, value: object) -> Any:
        if id(value) in self._done:
            return self._done[id(value)]
        if isinstance(value, (list, dict, Inert)):
            return self._filled(value)
        made = self._made(value)
        self._done[id(value)] = made
        return made

    def _made(self, value: object) -> Any:
        if isinstance(value, _Array):
            return self._array(value)
        if isinstance(value, _Buffer):
            array = self.of(value.array)
            return array if value.axes is None else array.transpose(value.axes)
        if isinstance(value, _Scalar):
            return plain_array(_bytes(value.data), value.dtype.dtype(), (), "C")[()]
        if isinstance(value, _Dtype):
            return value.text
        if isinstance(value, (tuple, set, frozenset)):
            return type(value)(self.of(item) for item in value)
        if isinstance(value, (Function, type)):
            return None  # a class that is only mentioned says nothing of a face
        return value

    def _filled(self, value: list | dict | Inert) -> Any:
        """Containers that can hold themselves are noted before what they hold."""
        made: Any
        if isinstance(value, list):
            made = self._done[id(value)] = []
            made.extend(self.of(item) for item in value)
        elif isinstance(value, dict):
            made = self._done[id(value)] = collections.OrderedDict() if type(value) is not dict else {}
            for key, item in value.items():
                made[self.of(key)] = self.of(item)
        else:
            made = self._done[id(value)] = type(value)(*())
            made.arguments, made.state = self.of(value.arguments), self.of(value.state)
        return made

    def _array(self, record: _Array) -> np.ndarray:
        if record.parts is None:
            raise ArrayFault("an array that is never filled")
        dtype, shape, order, data = record.parts
        if not dtype.holds_objects:
            return plain_array(_bytes(data), dtype.dtype(), shape, order)
        if not isinstance(data, list) or len(data) != int(np.prod(shape, dtype=object)):
            raise ArrayFault(f"objects that do not fill {shape}")
        array = np.zeros(len(data), dtype=object)
        for n, item in enumerate(data):
            array[n] = self.of(item)
        return array.reshape(shape, order="F" if order == "F" else "C")


def _bytes(data: object) -> bytes | bytearray:
    if isinstance(data, str):  # how Python 2's bytes arrive
        return data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise ArrayFault(f"an array of {type(data).__name__} instead of bytes")
    return data
