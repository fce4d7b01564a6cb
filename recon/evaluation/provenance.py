"""What makes a figure repeatable: code, command, machine, data and weights."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from bfm.model import MorphableModel

_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Provenance:
    """With what a result was made.

    Attributes:
        command: as it was typed.
        commit: of the code, with ``+changes`` if the tree was not clean; the version where there is no repository.
        date: UTC, ISO 8601.
        hardware: processor, number of processors, threads, CUDA device.
        software: versions.
        method: how heads were predicted, with its settings.
        weights: hash of the face model's arrays, and of the checkpoint if there is one.
        data: name of the data folder.
        fingerprint: hash of names and contents of the files used.
        n_files: how many.
        seconds: wall time of the whole run.
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


def provenance(
    method: str, weights: str, data: str, files: Sequence[Path], root: Path | None, seconds: float
) -> Provenance:
    """The record of this process."""
    return Provenance(
        command=shlex.join([_program(), *sys.argv[1:]]),
        commit=_commit(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        hardware=_hardware(),
        software=f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
        method=method,
        weights=weights,
        data=data,
        fingerprint=fingerprint(files, root) if root is not None else "none: the data is made by the program",
        n_files=len(files),
        seconds=round(seconds, 2),
    )


def fingerprint(files: Iterable[Path], root: Path) -> str:
    """SHA-256 over relative names and contents, in the order of names; the first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(file_hash(path)))
    return digest.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def model_hash(model: MorphableModel) -> str:
    """Name of a face model and the hash of its shape and albedo arrays."""
    data = model.data()
    digest = hashlib.sha256()
    for array in (
        *(data.mean_shape, data.identity_basis, data.expression_basis, data.faces),
        *(data.mean_albedo, data.albedo_basis),
    ):
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"{model.name} {digest.hexdigest()[:16]}"


def _program() -> str:
    """The program's name; ``python -m recon.cli`` is ``recon``."""
    name = Path(sys.argv[0]).name
    return "recon" if name == "cli.py" else name


def _commit() -> str:
    here = Path(__file__).resolve().parents[2]
    head = _git(here, "rev-parse", "--short=12", "HEAD")
    if not head:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"version {version('facerecon')}"
        except PackageNotFoundError:
            return "unknown"
    return head + ("+changes" if _git(here, "status", "--porcelain", "-uno") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=folder, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _hardware() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    processor = names[0] if names else platform.processor()
    return f"{processor}, {os.cpu_count()} processors, {torch.get_num_threads()} threads used, {gpu}{load}"
