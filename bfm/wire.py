"""Values between two processes that do not trust each other: a table of nodes in JSON and the bytes of arrays.

Nothing that arrives is ever unpickled, and no node can name a class. Each node refers only to nodes before it, so a
table is read in one pass, shares what was shared, and cannot be nested too deeply.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bfm.inert import Inert, inert_record
from bfm.plain import ArrayFault, plain_array, plain_dtype, plain_shape

_MOST_NODES = 2_000_000


class WireError(ValueError):
    """A value that cannot be sent, or a message that makes no sense."""


@dataclasses.dataclass
class Message:
    """A value taken apart.

    Attributes:
        table: JSON: the nodes; the last one is the value.
        blobs: bytes of arrays and byte strings, in the order in which the nodes name them.
    """

    table: bytes
    blobs: list[bytes | memoryview]


def encode(value: object) -> Message:
    """Take a value apart: None, numbers, texts, bytes, lists, tuples, sets, dicts, numpy arrays (also of structures and
    objects), numpy scalars and :class:`Inert` records.

    An object that contains itself is cut there: the inner mention becomes an inert record of the kind ``itself``.

    Raises:
        WireError: a value of another type, or too many.
    """
    encoder = _Encoder()
    try:
        encoder.add(value)
    except RecursionError:
        raise WireError("values nested too deeply") from None
    return Message(json.dumps(encoder.nodes).encode("ascii"), encoder.blobs)


class _Encoder:
    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        self.blobs: list[bytes | memoryview] = []
        self._places: dict[int, int] = {}
        self._open: set[int] = set()
        self._kept: list[object] = []  # the identity of an object is its own only while it lives

    def add(self, value: object) -> int:
        """The number of the value's node."""
        if id(value) in self._places:
            return self._places[id(value)]
        if id(value) in self._open:
            return self._node(["inert", "itself", self._node(["tuple", []]), self._node(["none"])])
        self._open.add(id(value))
        self._kept.append(value)
        place = self._node(self._describe(value))
        self._open.discard(id(value))
        self._places[id(value)] = place
        return place

    def _node(self, node: list[Any]) -> int:
        if len(self.nodes) >= _MOST_NODES:
            raise WireError(f"more than {_MOST_NODES} values")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _blob(self, data: bytes | memoryview) -> int:
        self.blobs.append(data)
        return len(self.blobs) - 1

    def _describe(self, value: object) -> list[Any]:
        if value is None:
            return ["none"]
        if type(value) in (bool, int, float, str):
            return [type(value).__name__, value]
        if type(value) is complex:
            return ["complex", value.real, value.imag]
        if isinstance(value, (bytes, bytearray)):
            return [type(value).__name__, self._blob(bytes(value))]
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            kind = next(kind for kind in _SEQUENCES if isinstance(value, _SEQUENCES[kind]))
            return [kind, [self.add(item) for item in value]]
        if isinstance(value, dict):
            kind = "ordered" if isinstance(value, collections.OrderedDict) else "dict"
            return [kind, [[self.add(key), self.add(item)] for key, item in value.items()]]
        if isinstance(value, Inert):
            return ["inert", value.kind, self.add(value.arguments), self.add(value.state)]
        raise WireError(f"a value of type {type(value).__name__}, which is not read")

    def _array(self, value: np.ndarray | np.generic) -> list[Any]:
        array = np.asarray(value)
        shape = list(array.shape)
        if array.dtype.names is not None:
            names = list(array.dtype.names)
            return ["struct", shape, names, [self.add(row[name]) for row in array.reshape(-1) for name in names]]
        if array.dtype.kind == "O":
            return ["objects", shape, [self.add(item) for item in array.reshape(-1)]]
        try:
            plain_dtype(array.dtype.str)
        except ArrayFault as fault:
            raise WireError(str(fault)) from None
        # The order is kept, because it decides in which order sums are formed.
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        flat = np.ascontiguousarray(array.reshape(-1, order=order))  # type: ignore[call-overload]
        kind = "scalar" if isinstance(value, np.generic) else "array"
        return [kind, array.dtype.str, shape, order, self._blob(flat.view(np.uint8).data if flat.nbytes else b"")]


def decode(table: bytes, blobs: Sequence[bytes | bytearray | memoryview]) -> Any:
    """The value of a message.

    Raises:
        WireError: no message of :func:`encode`.
    """
    try:
        nodes = json.loads(table)
        values: list[Any] = []
        for kind, *parts in nodes:
            values.append(_BUILDERS[kind](values, blobs, *parts))
        return values[-1]
    # Whatever is wrong with a message of a process that read foreign bytes, it is not read.
    except Exception as error:
        raise WireError(f"a message that makes no sense ({type(error).__name__}: {error})") from error


def _items(values: list[Any], numbers: list[int]) -> list[Any]:
    if any(type(n) is not int or not 0 <= n < len(values) for n in numbers):
        raise WireError("a node that refers to a later one")
    return [values[n] for n in numbers]


def _pairs(values: list[Any], pairs: list[list[int]]) -> list[tuple[Any, Any]]:
    return list(
        zip(_items(values, [key for key, _ in pairs]), _items(values, [item for _, item in pairs]), strict=True)
    )


def _objects(values: list[Any], shape: object, numbers: list[int]) -> np.ndarray:
    items = _items(values, numbers)
    array = np.zeros(len(items), dtype=object)
    for n, item in enumerate(items):
        array[n] = item
    return array.reshape(plain_shape(shape))


def _struct(values: list[Any], shape: object, names: list[str], numbers: list[int]) -> np.ndarray:
    items = _items(values, numbers)
    if not names or len(items) % len(names):
        raise WireError("a structure whose fields do not fit")
    array = np.zeros(len(items) // len(names), dtype=[(name, object) for name in names])
    for n, item in enumerate(items):
        array[names[n % len(names)]][n // len(names)] = item
    return array.reshape(plain_shape(shape))


def _plain(blobs: Sequence[bytes | bytearray | memoryview], dtype: str, shape: object, order: str, blob: int) -> Any:
    return plain_array(blobs[blob], plain_dtype(dtype), plain_shape(shape), order)


_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "frozenset": frozenset, "set": set}
_BUILDERS: dict[str, Callable[..., Any]] = {
    "none": lambda values, blobs: None,
    "bool": lambda values, blobs, x: bool(x),
    "int": lambda values, blobs, x: int(x),
    "float": lambda values, blobs, x: float(x),
    "str": lambda values, blobs, x: str(x),
    "complex": lambda values, blobs, real, imaginary: complex(real, imaginary),
    "bytes": lambda values, blobs, n: bytes(blobs[n]),
    "bytearray": lambda values, blobs, n: bytearray(blobs[n]),
    "array": lambda values, blobs, *parts: _plain(blobs, *parts),
    "scalar": lambda values, blobs, *parts: _plain(blobs, *parts)[()],
    "list": lambda values, blobs, numbers: _items(values, numbers),
    "tuple": lambda values, blobs, numbers: tuple(_items(values, numbers)),
    "set": lambda values, blobs, numbers: set(_items(values, numbers)),
    "frozenset": lambda values, blobs, numbers: frozenset(_items(values, numbers)),
    "dict": lambda values, blobs, pairs: dict(_pairs(values, pairs)),
    "ordered": lambda values, blobs, pairs: collections.OrderedDict(_pairs(values, pairs)),
    "inert": lambda values, blobs, kind, arguments, state: inert_record(
        str(kind), tuple(_items(values, [arguments])[0]), _items(values, [state])[0]
    ),
    "objects": lambda values, blobs, shape, numbers: _objects(values, shape, numbers),
    "struct": lambda values, blobs, shape, names, numbers: _struct(values, shape, names, numbers),
}
