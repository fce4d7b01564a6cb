"""NumPy archives: only plain arrays (never pickled objects), and damage is reported as damage."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bfm.files import ModelFileError


def read_npz(path: Path, needed: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` file.

    Raises:
        ModelFileError: not an archive, truncated, an array holds Python objects, or a needed name is missing.
    """
    try:
        # Opened here, because np.load leaves a file that turns out to be no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [name for name in needed if name not in archive.files]
            if missing:
                raise ModelFileError(path, f"lacks {', '.join(missing)}; it holds: {', '.join(sorted(archive.files))}")
            return {name: archive[name] for name in needed}
    except ModelFileError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(path, f"not a readable .npz file, perhaps truncated ({error})") from None
    except (TypeError, AttributeError):
        # For an .npy file np.load returns an array, which is no context manager.
        raise ModelFileError(path, "holds a single array; an .npz archive is needed") from None
