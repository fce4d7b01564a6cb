"""HDF5 files: named data sets of the file itself, and damage is reported as damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfm.files import ModelFileError
from bfm.isolated import call_isolated
from bfm.reading import LARGEST_FILE_BYTES


def read_h5(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Data sets of an HDF5 file: arrays, scalars, bytes or texts.

    The HDF5 library runs in a process of its own, see :mod:`bfm.isolated`.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: not HDF5, truncated, a needed data set is missing, or one lies in another file.
        ReaderProcessError: the reading process cannot be started.
    """
    content: dict[str, Any] = call_isolated(
        "bfm.loaders.h5:parse_h5", path, {"needed": list(needed), "optional": list(optional)}
    )
    return content


def import_libraries() -> None:
    """Import what :func:`parse_h5` needs, before its memory is limited."""
    import h5py  # noqa: F401


def parse_h5(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """What :func:`read_h5` does, in the reading process."""
    import h5py  # takes 0.2 s, which a list of models need not wait for

    try:
        with h5py.File(path, "r") as file:
            found = {name: _dataset(path, file, name) for name in (*needed, *optional)}
            missing = [name for name in needed if found[name] is None]
            if missing:
                raise ModelFileError(path, f"lacks {', '.join(missing)}; top-level groups: {', '.join(file) or 'none'}")
            size = sum(data.size * data.dtype.itemsize for data in found.values() if data is not None)
            if size > LARGEST_FILE_BYTES:
                raise ModelFileError(path, f"unpacks to {size} bytes; at most {LARGEST_FILE_BYTES} are expected")
            return {name: data[()] for name, data in found.items() if data is not None}
    except ModelFileError:
        raise
    # The HDF5 library raises whatever it meets in a damaged file.
    except Exception as error:
        raise ModelFileError(path, f"not a readable HDF5 file, perhaps truncated ({error})") from error


def _dataset(path: Path, file: Any, name: str) -> Any:
    """The data set of this name, or None. Links and storage that lead to other files are refused."""
    import h5py

    place = file
    for part in name.split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) and part in place else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ModelFileError(path, f"has a link in place of {name!r}, which may lead to another file")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        return None
    if place.external or place.is_virtual:
        raise ModelFileError(path, f"keeps {name!r} in another file")
    return place


def text_of(value: Any) -> str:
    """A text that is stored as an HDF5 string, as a one-element array of it, or as an array of bytes.

    Raises:
        ValueError: no text.
    """
    if isinstance(value, np.ndarray):
        if value.size == 0:
            raise ValueError("an empty array instead of a text")
        value = value.tobytes() if value.dtype.kind in "iu" else value.reshape(-1)[0]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
