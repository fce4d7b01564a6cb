"""Writes data sets block by block, so that runs can be killed, resumed and shared by several processes and machines.

The files of a block are made in a folder of their own below :data:`~recon.synthesis.output.plan.WORK_FOLDER`, reach the disk, and
then take their names; last comes the mark that the block is done. A block in the making is locked, so what a killed run left
is known by its lock being free.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import bfm
from bfm.model import MorphableModel
from recon.io.locks import take_lock
from recon.io.names import printable
from recon.io.parts import place, remove_leftovers, sync_folder, write_new
from recon.synthesis.output.card import lay_card
from recon.synthesis.output.layouts import SampleFiles, block_path, encode, shard_name, tar_bytes
from recon.synthesis.output.plan import DatasetError, DatasetPlan, Engine
from recon.synthesis.sampler import FaceSampler

if TYPE_CHECKING:
    from recon.synthesis.cycles import CyclesSampler

__all__ = ["DatasetError", "Engine", "DatasetPlan", "begin", "make_sampler", "tidy", "write_block"]

_AT_ONCE = 16
_SYNCS_AT_ONCE = 8
"""Disks take many files at a time: eight threads wait a fraction as long as one."""
_UNFINISHED = re.compile(r"block-(\d+)\.(lock|[0-9a-f]{16}\.part)")


def begin(plan: DatasetPlan, model: MorphableModel) -> None:
    """Make the folder and its card, or check that the card there is of the same data set; remove what killed runs left.

    Args:
        plan: what to write.
        model: the face model that the samples are made from.

    Raises:
        DatasetError: the folder holds another data set, files of the user's, or cannot be written.
    """
    with _naming(plan.folder):
        lay_card(plan, model)
    tidy(plan)


def write_block(
    plan: DatasetPlan,
    sampler: FaceSampler | CyclesSampler,
    block: int,
    progress: Callable[[int], object] = lambda made: None,
    *,
    wait: bool = True,
) -> int | None:
    """Write one block.

    Args:
        plan: what to write.
        sampler: of the plan, see :func:`make_sampler`.
        block: its number.
        progress: gets the number of samples made, now and then.
        wait: if another run is making this block, until that ends.

    Returns:
        How many samples were written; 0 if the block was there; ``None`` if another run is making it and ``wait`` is False.

    Raises:
        DatasetError: the disk is full or cannot be written, or a name is taken by a file that this run would not write.
            Nothing half-written remains, and the files that are there are left as they are.
    """
    with _naming(plan.folder):
        if plan.is_done(block):
            return 0
        lock = take_lock(_lock_path(plan, block), wait=wait)
        if lock is None:
            return None
        try:
            if plan.is_done(block):
                return 0
            _make(plan, sampler, block, progress)
        finally:
            lock.release()
    return len(plan.indices(block))


def _make(
    plan: DatasetPlan, sampler: FaceSampler | CyclesSampler, block: int, progress: Callable[[int], object]
) -> None:
    staging = plan.work / f"block-{block:06d}.{secrets.token_hex(8)}.part"
    staging.mkdir()
    try:
        parts: dict[Path, Path] = {}
        samples: list[SampleFiles] = []
        for sample in _samples(plan, sampler, block, progress):
            if plan.layout == "webdataset":
                samples.append(sample)
                continue
            for name, data in sample.files.items():
                parts[_staged(staging, len(parts), data)] = plan.folder / name
        if plan.layout == "webdataset":
            parts[_staged(staging, 0, tar_bytes(samples))] = plan.folder / shard_name(block)
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            list(pool.map(_sync, parts))
        for part, path in parts.items():
            _take_place(part, path)
        for folder in {folder for path in parts.values() for folder in path.relative_to(plan.folder).parents}:
            sync_folder(plan.folder / folder)
        done = block_path(plan.folder, block)
        done.parent.mkdir(exist_ok=True)
        write_new(done, b"", plan.work)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _samples(
    plan: DatasetPlan, sampler: FaceSampler | CyclesSampler, block: int, progress: Callable[[int], object]
) -> Iterator[SampleFiles]:
    indices = plan.indices(block)
    for first in range(0, len(indices), _AT_ONCE):
        part = indices[first : first + _AT_ONCE]
        with _one_thread():
            batch = sampler.batch(part)
            scene = sampler.scene(part) if plan.layout == "c3i" else None
        yield from encode(plan.layout, batch, scene, part)
        progress(len(part))


def _staged(staging: Path, number: int, data: bytes) -> Path:
    """Written under a name that no reader of data sets takes for a sample."""
    path = staging / f"{number:06d}"
    with open(path, "xb") as file:
        file.write(data)
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_place(part: Path, path: Path) -> None:
    """Give a file its name; the same file of a run that was killed before the block's mark is as good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if place(part, path):
        return
    if path.is_symlink() or not path.is_file() or not filecmp.cmp(part, path, shallow=False):
        raise DatasetError(
            f"{printable(path)} is there already and is not what this run writes: move it away, and the same command goes on"
        )


def tidy(plan: DatasetPlan) -> None:
    """Remove what killed runs left, and the folder for unfinished work if nobody is at work.

    Raises:
        DatasetError: the folder cannot be written.
    """
    if not plan.work.is_dir():
        return
    with _naming(plan.folder):
        remove_leftovers(plan.work)
        left: dict[int, list[Path]] = {}
        for path in plan.work.iterdir():
            match = _UNFINISHED.fullmatch(path.name)
            if match is not None:
                left.setdefault(int(match[1]), []).append(path)
        for block, paths in left.items():
            lock = take_lock(_lock_path(plan, block), wait=False)
            if lock is None:
                continue  # a run is at work on it
            try:
                for path in paths:
                    if path.suffix == ".part" and not path.is_symlink():
                        shutil.rmtree(path, ignore_errors=True)
            finally:
                lock.release()
    with contextlib.suppress(OSError):
        plan.work.rmdir()


def _lock_path(plan: DatasetPlan, block: int) -> Path:
    return plan.work / f"block-{block:06d}.lock"


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Faults of the file system as errors that name the place."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DatasetError) or not error.errno:
            raise
        where = printable(error.filename if isinstance(error.filename, str) else folder)
        raise DatasetError(f"cannot write to {where}: {error.strerror}") from error


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of floating point numbers depend on how many threads share them: with one, all machines write the same bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_sampler(plan: DatasetPlan) -> FaceSampler | CyclesSampler:
    """The sampler of a plan, on the CPU.

    Raises:
        BlenderError: path tracing is asked for and there is no usable Blender.
    """
    if plan.engine == "raster":
        return FaceSampler(bfm.load(plan.model), plan.config, plan.seed, plan.size)
    from recon.synthesis.cycles import CyclesSampler, CyclesSettings, load_bpy

    bpy = load_bpy()
    sampler = FaceSampler(bfm.load(plan.model), plan.config, plan.seed, plan.size)
    return CyclesSampler(sampler, CyclesSettings(samples=plan.paths), bpy)
