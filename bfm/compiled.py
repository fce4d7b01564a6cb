"""Functions compiled by numba, and where their machine code is kept between runs.

Numba itself keeps the code beside the source, or fails where neither that nor the user's cache can be written; and it looks only
at the file of a function for changes, though constants and inlined functions of other files are compiled into it. Here each
module's kernels have a folder whose name is a digest of all of these.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import re
import stat
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np

from bfm.places import CacheError, cache_folder, mark_used, remove_unused

logger = logging.getLogger(__name__)

UNUSED_DAYS = 30.0
_NUMBA_VARIABLE = "NUMBA_CACHE_DIR"
_FOLDER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*-[0-9a-f]{16}|\.[0-9a-f]{32}\.old")
_PROBE_BYTES = 1 << 16
_LOCK = threading.Lock()
_digests: dict[str, str] = {}
"""Of modules with kernels, by name: of what was bound when their first kernel was made."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: ``numba.njit`` without the interpreter lock, whose machine code is kept on disk where that is possible.

    Kept below ``$NUMBA_CACHE_DIR``, else in the cache folder, else in a private folder for temporary files; where none can be
    written to, each process compiles anew. What a kernel takes from other files must be imported before the module's first kernel.

    Args:
        options: those of ``numba.njit``, such as ``fastmath``, ``error_model``, ``inline``.
    """

    def compile_later(wrapped: Callable[..., Any]) -> Any:
        function = inspect.unwrap(
            wrapped
        )  # type checkers wrap what they import; older ones this too, in spite of no_type_check
        plain = numba.njit(nogil=True, **options)
        base, digest = _base_folder(), _digest(function.__globals__)
        if base is None or digest is None:
            return plain(function)
        folder = base / f"{function.__module__}-{digest}"
        mark_used(folder)
        with _LOCK:
            before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
            try:
                kernel = numba.njit(nogil=True, cache=True, **options)(function)
            except RuntimeError:  # how numba says that it cannot write there after all
                return plain(function)
            finally:
                numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
        if hasattr(kernel, "_cache"):
            kernel._cache = _SafeCache(kernel._cache)
        return kernel

    return compile_later


class _SafeCache:
    """Numba's store of one kernel; where that raises, the kernel is compiled anew instead.

    Numba writes without waiting for the disk: after a power cut a file can be empty, which it does not expect. And a disk may be
    full by the time a kernel is kept.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return self._store.load_overload(signature, context)
        except Exception as error:  # unpickling a damaged file can raise anything
            logger.warning("compiled code in %s is damaged (%r); compiling anew", self._store.cache_path, error)
            try:
                self._store.flush()
            except OSError:
                self._store.disable()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            self._store.save_overload(signature, data)
        except OSError as error:
            logger.warning("could not keep compiled code in %s: %s", self._store.cache_path, error)
            self._store.disable()


@functools.cache
def _base_folder() -> Path | None:
    for place in _candidates():
        folder = place()
        if folder is not None and _private_and_writable(folder):
            remove_unused(folder, _FOLDER_NAME, UNUSED_DAYS)
            return folder
    logger.info("compiled code is not kept: set FACERECON_CACHE to a folder that can be written to")
    return None


def _candidates() -> tuple[Callable[[], Path | None], ...]:
    return _chosen_for_numba, _in_the_cache, _temporary


def _chosen_for_numba() -> Path | None:
    chosen = os.environ.get(_NUMBA_VARIABLE)
    return Path(chosen) / "facerecon-kernels" if chosen else None


def _in_the_cache() -> Path | None:
    try:
        return cache_folder() / "kernels"
    except CacheError:
        return None


def _temporary() -> Path | None:
    try:
        return Path(tempfile.gettempdir()) / f"facerecon-kernels-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    except FileNotFoundError:
        return None


def _private_and_writable(folder: Path) -> bool:
    """Whether the folder is there or can be made, nobody else can put code into it, and it takes a file."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            return False
        if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            return False
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError:
        return False
    return True


def _digest(module: Mapping[str, Any]) -> str | None:
    """Of a module's source, and of the constants and kernels that its names stand for when its first kernel is made; None
    where there is no source to read, as in a zip file."""
    name = module["__name__"]
    if name not in _digests:
        try:
            total = hashlib.sha256(Path(module["__file__"]).read_bytes())
        except (KeyError, OSError):
            return None
        for key in sorted(module):
            text = None if key.startswith("__") else _frozen(module[key])
            if text is not None:
                total.update(f"{key}={text}\n".encode(errors="surrogateescape"))
        _digests[name] = total.hexdigest()[:16]
    return _digests[name]


def _frozen(value: Any) -> str | None:
    """What numba would compile in, as text; None for what it would not."""
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return None if value.dtype.hasobject else f"{value.dtype} {value.shape} {content}"
    if isinstance(value, tuple):
        parts = [_frozen(part) for part in value]
        return None if None in parts else f"({', '.join(part for part in parts if part is not None)})"
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    other = getattr(getattr(value, "py_func", None), "__module__", None)
    return _digests.get(other) if isinstance(other, str) else None
