"""Writes data sets block by block, so that runs can be interrupted, resumed and shared by several machines."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

import bfm
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.layouts import Layout, block_path, encode, shard_name, tar_bytes
from recon.synthesis.sample import SEGMENT_NAMES
from recon.synthesis.sampler import FaceSampler

if TYPE_CHECKING:
    from recon.synthesis.cycles import CyclesSampler

Engine = Literal["raster", "cycles"]
CARD = "dataset.json"
_AT_ONCE = 16
_NUMBERED = re.compile(r"(\d+)\.(jpg|json|npz|exr|txt|tar|done)\.[0-9a-f]+\.part$")
_TRACED = ("engine", "paths")
"""Entries of a card that only path-traced data sets have."""


class DatasetError(OSError):
    """A data set that cannot be written as asked."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to write.

    Attributes:
        folder: of the data set.
        count: samples in the whole data set.
        layout: see :mod:`recon.synthesis.layouts`.
        config: what varies.
        seed: of the random numbers.
        size: (H, W) px.
        model: name of the face model.
        block: samples a block; a tar shard is one block.
        shard: (i, n): this run writes the blocks i, i + n, i + 2 n, ...
        engine: ``"raster"``, or ``"cycles"`` for path tracing in Blender.
        paths: samples a pixel of path tracing.
    """

    folder: Path
    count: int
    layout: Layout
    config: SynthesisConfig
    seed: int = 0
    size: tuple[int, int] = (224, 224)
    model: str = "open"
    block: int = 256
    shard: tuple[int, int] = (0, 1)
    engine: Engine = "raster"
    paths: int = 24

    def __post_init__(self) -> None:
        part, parts = self.shard
        if self.count < 1 or self.block < 1:
            raise ValueError(f"count and block must be at least 1, got {self.count} and {self.block}")
        if not 0 <= part < parts:
            raise ValueError(f"a shard i/n needs 0 <= i < n, got {part}/{parts}")

    @property
    def blocks(self) -> list[int]:
        """Blocks of this run."""
        part, parts = self.shard
        return list(range(part, -(-self.count // self.block), parts))

    def indices(self, block: int) -> list[int]:
        """Samples of a block."""
        return list(range(block * self.block, min((block + 1) * self.block, self.count)))

    def is_done(self, block: int) -> bool:
        """Whether a block was finished by this or an earlier run."""
        if self.layout == "webdataset":
            return (self.folder / shard_name(block)).exists()
        return block_path(self.folder, block).exists()


def begin(plan: Plan) -> None:
    """Make the folder and its card, or check that the card there is of the same data set.

    Raises:
        DatasetError: the folder holds another data set, or cannot be written.
    """
    card = _card(plan)
    path = plan.folder / CARD
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            try:
                found = json.loads(path.read_text())
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise DatasetError(f"{path} is no data set card ({error}): choose another folder") from error
            if not isinstance(found, dict):
                raise DatasetError(f"{path} is no data set card: choose another folder")
            other = sorted(key for key in {*card, *_TRACED} if found.get(key) != card.get(key))
            if other:
                raise DatasetError(
                    f"{plan.folder} holds another data set (different {', '.join(other)}): choose another folder, or "
                    "the same settings to go on with it"
                )
            _remove_leftovers(plan)
            return
        if any(plan.folder.iterdir()):
            raise DatasetError(f"{plan.folder} is not empty and holds no {CARD}: choose an empty folder")
        write_whole(plan.folder / "README.md", _readme(card).encode())
        write_whole(path, json.dumps(card, indent=1).encode())
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"cannot write to {plan.folder}: {error.strerror or error}") from error


def _remove_leftovers(plan: Plan) -> None:
    """Delete what a killed run had begun to write, where the block is this run's: other machines may be at work."""
    own = {block for block in plan.blocks if not plan.is_done(block)}
    for part in plan.folder.rglob(".*.part"):
        match = _NUMBERED.search(part.name)
        if match is None:
            continue
        number = int(match.group(1))
        if (number if match.group(2) in ("tar", "done") else number // plan.block) in own:
            part.unlink(missing_ok=True)


def write_block(plan: Plan, sampler: FaceSampler | CyclesSampler, block: int, progress: Callable[[int], object]) -> int:
    """Write one block; returns how many samples were written, 0 if it was there.

    Raises:
        DatasetError: the disk is full or cannot be written; nothing half-written remains.
    """
    if plan.is_done(block):
        return 0
    indices = plan.indices(block)
    try:
        samples = []
        for first in range(0, len(indices), _AT_ONCE):
            part = indices[first : first + _AT_ONCE]
            with _one_thread():
                batch = sampler.batch(part)
                scene = sampler.scene(part) if plan.layout == "c3i" else None
            for sample in encode(plan.layout, batch, scene, part):
                if plan.layout == "webdataset":
                    samples.append(sample)
                    continue
                for name, data in sample.files.items():
                    path = plan.folder / name
                    if not path.exists():
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write_whole(path, data)
            progress(len(part))
        if plan.layout == "webdataset":
            write_whole(plan.folder / shard_name(block), tar_bytes(samples))
        else:
            done = block_path(plan.folder, block)
            done.parent.mkdir(exist_ok=True)
            write_whole(done, b"")
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"cannot write to {plan.folder}: {error.strerror or error}") from error
    return len(indices)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of floating point numbers depend on how many threads share them: with one, all machines write the same bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_sampler(plan: Plan) -> FaceSampler | CyclesSampler:
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


def write_whole(path: Path, data: bytes) -> None:
    """Write to a temporary name beside the file, then rename; a file that appeared meanwhile is replaced."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _card(plan: Plan) -> dict[str, object]:
    config = dataclasses.asdict(plan.config)
    traced = dict(zip(_TRACED, (plan.engine, plan.paths), strict=True)) if plan.engine == "cycles" else {}
    return {
        "kind": "synthetic faces",
        "layout": plan.layout,
        "count": plan.count,
        "size": list(plan.size),
        "seed": plan.seed,
        "model": plan.model,
        "block": plan.block,
        "segments": list(SEGMENT_NAMES),
        "config": json.loads(json.dumps(config)),
        **traced,
    }


def _readme(card: dict[str, object]) -> str:
    config = card["config"]
    assert isinstance(config, dict)
    rows = "\n".join(f"| {name} | {value} |" for name, value in config.items())
    how = f"with Cycles, {card['paths']} paths a pixel, " if "engine" in card else ""
    return (
        f"# Synthetic faces\n\n{card['count']} pictures of {card['size']} px (height, width) made with "
        f"`recon synthesize` {how}from the face model `{card['model']}`, seed {card['seed']}, layout `{card['layout']}`.\n"
        "No person is shown: every face is drawn from random numbers. Sample i can be made again from the seed and i.\n\n"
        "Units: millimetres (EXR depth of the c3i layout: metres along the ray), pixels with centres at +0.5. Frames and "
        "signs of angles are those of `docs/conventions.md`; the c3i text files use the published Z-up world,\n"
        "and the names of its scene folders are those of the published set, though the backgrounds are not its scenes.\n\n"
        f"| setting | value |\n|---|---|\n{rows}\n"
    )
