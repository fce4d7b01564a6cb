"""What all kinds of files for the fuzzing benchmark share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: for tables.
        make: writes whole files, each in a folder of its own with the files that belong to it, below the given one.
        read: opens one; what it gives back is not looked at.
        text: whether the file is text.
    """

    name: str
    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    text: bool = False


def one_file(folder: Path, name: str, data: bytes, beside: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True)
    for other, content in (beside or {}).items():
        (folder / other).write_bytes(content)
    path = folder / name
    path.write_bytes(data)
    return path


def whole_files(folder: Path, name: str, contents: list[bytes], beside: dict[str, bytes] | None = None) -> list[Path]:
    return [one_file(folder / str(k), name, data, beside) for k, data in enumerate(contents)]


def pixels(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


@functools.cache
def dome() -> tuple[np.ndarray, np.ndarray]:
    """A bulge of 42 vertices that looks along +z, mm, and its triangles."""
    x, y = np.meshgrid(np.linspace(-70, 70, 6), np.linspace(-90, 90, 7))
    vertices = np.stack([x, y, 60 - (x**2 + y**2) / 100], axis=-1).reshape(-1, 3)
    corner = np.arange(42).reshape(7, 6)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return vertices, faces
