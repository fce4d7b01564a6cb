"""MATLAB files: only named variables are read, and damage is reported as damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bfm.files import ModelFileError
from bfm.isolated import call_isolated


def read_mat(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), structs: bool = False
) -> dict[str, np.ndarray]:
    """Variables of a ``.mat`` file of version 4 to 7.

    scipy's reader can be crashed by one changed byte, so it runs in a process of its own, see :mod:`bfm.isolated`.

    Args:
        path: the file.
        needed, optional: names of variables; each must hold numbers.
        structs: take structures too, whose fields may then hold anything.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: not a MATLAB file, truncated, saved as version 7.3, or a needed variable is missing.
        ReaderProcessError: the reading process cannot be started.
    """
    content: dict[str, np.ndarray] = call_isolated(
        "bfm.loaders.mat:parse_mat", path, {"needed": list(needed), "optional": list(optional)}
    )
    for name, value in content.items():
        if not (isinstance(value, np.ndarray) and (value.dtype.kind in "fiub" or (structs and value.dtype.names))):
            kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise ModelFileError(path, f"{name!r} should hold numbers, found {kind}")
    return content


def import_libraries() -> None:
    """Import what :func:`parse_mat` needs, before its memory is limited."""
    import scipy.io  # noqa: F401


def parse_mat(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, np.ndarray]:
    """What :func:`read_mat` does, in the reading process."""
    from scipy.io import loadmat, whosmat  # takes 0.3 s, which a process that reads none need not wait for

    try:
        content = loadmat(str(path), variable_names=[*needed, *optional])
    except NotImplementedError:
        raise ModelFileError(path, "saved as MATLAB 7.3 (HDF5); save it again with 'save -v7'") from None
    # scipy's parsers raise whatever they meet in a damaged file.
    except Exception as error:
        raise ModelFileError(path, f"not a readable MATLAB file, perhaps truncated ({error})") from None
    missing = [name for name in needed if name not in content]
    if missing:
        found = ", ".join(sorted(name for name, _, _ in whosmat(str(path)))) or "none"
        raise ModelFileError(path, f"lacks the variables {', '.join(missing)}; it holds: {found}")
    return {name: np.asarray(content[name]) for name in (*needed, *optional) if name in content}
