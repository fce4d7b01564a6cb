"""What a data set on disk holds, and which part of it a run makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from recon.synthesis.config import SynthesisConfig
from recon.synthesis.output.layouts import Layout, block_path, shard_name

Engine = Literal["raster", "cycles"]
WORK_FOLDER = ".facerecon"
"""Locks and files in the making lie here, below the data set's folder; it is gone when no run is active."""


class DatasetError(OSError):
    """A data set that cannot be written as asked."""


@dataclasses.dataclass(frozen=True)
class DatasetPlan:
    """What to write.

    Attributes:
        folder: of the data set.
        count: samples in the whole data set.
        layout: see :mod:`recon.synthesis.output.layouts`.
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
    def work(self) -> Path:
        """Folder of what is not finished."""
        return self.folder / WORK_FOLDER

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
        there = self.layout != "webdataset" or (self.folder / shard_name(block)).exists()
        return there and block_path(self.folder, block).exists()

    def done(self) -> int:
        """How many blocks of this run are finished."""
        return sum(self.is_done(block) for block in self.blocks)
