"""Parsers that misbehave, for the tests of the process that runs parsers."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from bfm.files import ModelFileError


def size(path: Path, power: int = 1) -> dict:
    print("parsers may print")
    return {"size": len(path.read_bytes()) ** power, "process": os.getpid()}


def crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def follow_a_null_pointer(path: Path) -> None:
    ctypes.string_at(0)


def hang(path: Path) -> None:
    time.sleep(600)


def grow(path: Path) -> int:
    return len(bytearray(64 << 30))


def stumble(path: Path) -> None:
    raise AttributeError("a parser's own mistake")


def complain(path: Path) -> None:
    raise ModelFileError(path, "two\nlines and \x1b[31m colours")


def everything(path: Path) -> dict:
    shared = np.arange(6, dtype=">i2").reshape(2, 3)
    return {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "twice": [shared, shared],
        "texts": np.array(["a", "bcd"]),
        "bytes": b"\x00\xff",
        "scalar": np.float32(2.5),
        "flags": np.array([True, False]),
        "nothing": np.zeros((0, 3)),
        "record": np.array([(1, "x")], dtype=[("a", object), ("b", object)]),
        "mixed": {1: None, "x": (1.5, float("inf"), 2 + 3j), b"k": {1, 2}},
    }


def unspeakable(path: Path) -> object:
    return {"file": object()}


def untrue(path: Path) -> None:
    """Answers on the wire in place of the loop that calls parsers."""
    os.write(3, b"\xff" * 64)
    os._exit(0)
