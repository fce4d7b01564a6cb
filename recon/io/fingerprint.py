"""What a piece of finished work was made from, so that it is kept only if it would be made the same again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bfm.model import MorphableModel

_CHUNK = 1 << 20
_PACKAGES = ("recon", "bfm", "losses")


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Named facts that decide a result: hashes of inputs, settings, versions of code and model.

    Attributes:
        facts: text, numbers, booleans, None, and lists and mappings of them, as JSON keeps them.
    """

    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        # What is read back from a file must compare equal: tuples become lists now, and what is no JSON is an error.
        object.__setattr__(self, "facts", json.loads(json.dumps(dict(self.facts), allow_nan=False)))

    @property
    def digest(self) -> str:
        """SHA-256 over all facts, hexadecimal."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def difference(self, made: Mapping[str, Any]) -> str:
        """How ``made`` (the facts of what is there) differs from these, in words; empty if it does not.

        Long values, such as hashes, are not printed: that they differ is all that people can use.
        """
        words = []
        for key in sorted({*self.facts, *made}):
            now, then = self.facts.get(key), made.get(key)
            if now != then:
                texts = [json.dumps(value) for value in (then, now)]
                short = all(len(text) <= 40 for text in texts)
                words.append(f"{key} was {texts[0]}, is {texts[1]}" if short else f"another {key}")
        return "; ".join(words)


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return stream_hash(file)


def stream_hash(file: io.BufferedIOBase) -> str:
    """SHA-256 of what is left to read of an open file, hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


@functools.cache
def code_hash() -> str:
    """SHA-256 over the files of this project's packages as they lie on disk: the code that really runs, and the networks and
    tables that come with it.

    The first 16 hexadecimal digits. Equal for a checkout and an installed copy of the same sources.
    """
    top = Path(__file__).resolve().parents[2]
    return _hash_of((path.relative_to(top).as_posix(), path) for path in package_files(top))


def package_files(top: Path) -> list[Path]:
    """Sources and data of this project's packages below a folder, without what Python and numba keep beside them."""
    return [
        path for name in _PACKAGES for path in (top / name).rglob("*") if path.suffix in (".py", ".npz", ".safetensors")
    ]


def package_version() -> str:
    """Version of the installed package; ``"unknown"`` for sources that were never installed."""
    try:
        return importlib.metadata.version("facerecon")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def folder_hash(folder: Path) -> str:
    """SHA-256 over names and contents of all files below a folder; the first 16 hexadecimal digits."""
    return _hash_of((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


def model_hash(model: MorphableModel) -> str:
    """Name of a face model and the hash of its shape and albedo arrays."""
    data = model.data()
    digest = hashlib.sha256()
    for array in (
        *(data.mean_shape, data.identity_basis, data.expression_basis, data.faces),
        *(data.mean_albedo, data.albedo_basis),
    ):
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"{model.name} {digest.hexdigest()[:16]}"


def _hash_of(named: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(named):
        digest.update(name.encode("utf-8", errors="surrogateescape") + b"\0" + bytes.fromhex(file_hash(path)))
    return digest.hexdigest()[:16]
