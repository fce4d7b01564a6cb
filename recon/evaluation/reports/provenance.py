"""What makes a figure repeatable: code, command, machine, data and weights."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from recon.io.fingerprint import code_hash, file_hash
from recon.io.git import commit_of
from recon.io.names import printable


@dataclasses.dataclass(frozen=True)
class Provenance:
    """With what a result was made.

    Attributes:
        command: as it was typed.
        commit: of the code, with ``+changes`` if the tree was not clean; the version where git does not track the code.
        date: UTC, ISO 8601.
        hardware: processor, number of processors, threads, CUDA device.
        software: versions.
        method: how heads were predicted, with its settings.
        weights: hash of the face model's arrays, and of the checkpoint if there is one.
        data: name of the data folder.
        fingerprint: hash of names and contents of the files used.
        n_files: how many.
        seconds: wall time of the whole run.
        code: hash of the source files that ran; empty in reports from before it was recorded.
    """

    command: str
    commit: str
    date: str
    hardware: str
    software: str
    method: str
    weights: str
    data: str
    fingerprint: str
    n_files: int
    seconds: float
    code: str = ""


def provenance(method: str, weights: str, data: str, files: tuple[str, int], seconds: float) -> Provenance:
    """The record of this process.

    Args:
        method, weights, data: see :class:`Provenance`.
        files: the fingerprint of the data and the number of its files.
        seconds: of the whole run.
    """
    return Provenance(
        command=printable(shlex.join([_program(), *sys.argv[1:]])),
        commit=code_version(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        hardware=_hardware(),
        software=software(),
        method=method,
        weights=weights,
        data=printable(data),
        fingerprint=files[0],
        n_files=files[1],
        seconds=round(seconds, 2),
        code=code_hash(),
    )


def fingerprint(files: Iterable[Path], root: Path, hash_of: Callable[[Path], str] = file_hash) -> str:
    """SHA-256 over relative names and contents, in the order of names; the first 16 hexadecimal digits.

    Args:
        files: below ``root``.
        root: of the names.
        hash_of: gives the SHA-256 of a file in hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode("utf-8", errors="surrogateescape") + b"\0")
        digest.update(bytes.fromhex(hash_of(path)))
    return digest.hexdigest()[:16]


def software() -> str:
    """Versions that figures may depend on."""
    return f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"


@functools.cache
def code_version() -> str:
    """The commit of the code if git tracks it, otherwise the version of the package.

    Asked once a process: a checkout may move on while it runs.
    """
    from importlib.metadata import PackageNotFoundError, version

    commit = commit_of(Path(__file__))
    if commit:
        return commit
    try:
        return f"version {version('facerecon')}"
    except PackageNotFoundError:
        return "unknown"


def _program() -> str:
    """The program's name; ``python -m recon.cli`` is ``recon``."""
    name = Path(sys.argv[0]).name
    return "recon" if name == "cli.py" else name


def _hardware() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    processor = names[0] if names else platform.processor()
    return f"{processor}, {os.cpu_count()} processors, {torch.get_num_threads()} threads used, {gpu}{load}"
