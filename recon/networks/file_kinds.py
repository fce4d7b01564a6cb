"""Which kind of file weights are in, by its first bytes: names can be wrong."""

from __future__ import annotations

from pathlib import Path

_ZIP = b"PK\x03\x04"
_LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like one of safetensors: the length of its header, then JSON.

    Raises:
        OSError: it cannot be read.
    """
    start = _first_bytes(path, 9)
    return len(start) == 9 and 2 <= int.from_bytes(start[:8], "little") <= _LARGEST_HEADER and start[8:] == b"{"


def is_torch_archive(path: Path) -> bool:
    """Whether a file begins like one of ``torch.save``, such as a training's ``last.ckpt``.

    Raises:
        OSError: it cannot be read.
    """
    return _first_bytes(path, 4) == _ZIP


def weights_beside(path: Path) -> Path | None:
    """The ``best.safetensors`` of the run that wrote a checkpoint, if it is there."""
    for folder in (path.parent, path.parent.parent):
        if (folder / "best.safetensors").is_file():
            return folder / "best.safetensors"
    return None


def _first_bytes(path: Path, count: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(count)
