"""MATLAB files: only named variables are read, and damage is reported as damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bfm.files import ModelFileError


def read_mat(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Variables of a ``.mat`` file of version 4 to 7.

    Raises:
        ModelFileError: not a MATLAB file, truncated, saved as version 7.3, or a needed variable is missing.
    """
    from scipy.io import loadmat, whosmat  # takes 0.3 s, which a list of models need not wait for
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path), variable_names=[*needed, *optional])
    except NotImplementedError:
        raise ModelFileError(path, "saved as MATLAB 7.3 (HDF5); save it again with 'save -v7'") from None
    except (MatReadError, ValueError, TypeError, OSError, IndexError, KeyError, zlib.error, struct.error) as error:
        raise ModelFileError(path, f"not a readable MATLAB file, perhaps truncated ({error})") from None
    missing = [name for name in needed if name not in content]
    if missing:
        found = ", ".join(sorted(name for name, _, _ in whosmat(str(path)))) or "none"
        raise ModelFileError(path, f"lacks the variables {', '.join(missing)}; it holds: {found}")
    return {name: np.asarray(content[name]) for name in (*needed, *optional) if name in content}
