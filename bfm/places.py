"""Folders of the user: where what is made once is kept, and where face models are looked for."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "FACERECON_CACHE"
MODELS_VARIABLE = "FACERECON_MODELS"
DAY_S = 86400.0


class CacheError(OSError):
    """What is made once cannot be kept on disk."""


class HomeError(OSError):
    """There is no home folder to look in."""


def cache_folder() -> Path:
    """``$FACERECON_CACHE``, or the user's cache directory. It may not exist yet.

    Raises:
        CacheError: neither the variable nor a home folder is set.
    """
    try:
        return _user_folder(CACHE_VARIABLE, lambda: platformdirs.user_cache_path("facerecon"))
    except HomeError as error:
        raise CacheError(str(error)) from error


def models_root() -> Path:
    """The folder of model folders: ``$FACERECON_MODELS``, or the user's data directory.

    Raises:
        HomeError: neither the variable nor a home folder is set.
    """
    return _user_folder(MODELS_VARIABLE, lambda: platformdirs.user_data_path("facerecon") / "models")


def _user_folder(variable: str, default: Callable[[], Path]) -> Path:
    chosen = os.environ.get(variable)
    # A "~" that nobody can expand stays, and would become a folder of that name in the working directory.
    try:
        path = Path(chosen).expanduser() if chosen else default()
        unknown = not chosen and path.parts[0].startswith("~")
    except RuntimeError:  # pathlib's way to say so
        unknown = True
    if unknown:
        place = f"{variable}={chosen!r} names" if chosen else "this user has"
        raise HomeError(f"{place} no home folder that is known: set {variable} to a folder that can be written to")
    return path


def remove_unused(folder: Path, pattern: re.Pattern[str], days: float) -> None:
    """Remove files and folders in ``folder`` whose whole name fits ``pattern`` and that are ``days`` old or older.

    Names must be of a kind that only this project gives. Links are left alone; what cannot be removed stays; what another process removes
    meanwhile is no error. A folder is renamed first, so that nobody sees it half there.
    """
    latest = time.time() - days * DAY_S
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if not pattern.fullmatch(entry.name):
            continue
        try:
            facts = entry.lstat()
            if facts.st_mtime > latest:
                continue
            if stat.S_ISREG(facts.st_mode):
                entry.unlink()
            elif stat.S_ISDIR(facts.st_mode):
                aside = folder / f".{uuid.uuid4().hex}.old"
                entry.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
        except OSError:
            continue


def mark_used(path: Path) -> None:
    """Set the time by which :func:`remove_unused` judges, at most once a day; a place that is read-only stays as it is."""
    try:
        if path.stat().st_mtime < time.time() - DAY_S:
            os.utime(path)
    except OSError:
        return
