"""Synthetic faces on disk, for training that looks at each of them many times: rendering a face costs more than a step.

A cache is a folder of blocks. Block k holds the faces of the indices ``[k B, (k + 1) B)`` of a sampler's seed, so that it
is the same whoever renders it, and a run that was cut short goes on with the blocks that are missing.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import io
import itertools
import json
import logging
import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

import bfm
from recon.io.files import OutputError, write_file, write_files
from recon.networks.landmark_checkpoint import landmark_fingerprint
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.sample import FaceBatch
from recon.training.label_maps import MAP_NAMES, packed_maps
from recon.training.module import FaceModelConfig

logger = logging.getLogger(__name__)

FORMAT = "facerecon-faces-2"
"""Its number grows when the same settings give other faces: 2 has brows and lips of each person."""
POINT_SETS = ("520", "478")
LABELS = (
    *("landmarks520_px", "landmarks520_cam", "landmarks520_visible"),
    *("landmarks478_px", "landmarks478_cam", "landmarks478_visible"),
    *("rotation", "translation_mm", "intrinsics", "identity", "expression"),
)
"""What is kept beside the picture, by the names of :class:`recon.synthesis.sample.FaceBatch`."""


class FaceCacheError(ValueError):
    """A folder that is no cache of faces, or holds others than those asked for."""


@dataclasses.dataclass(frozen=True)
class FaceCacheConfig:
    """Which faces a cache holds.

    Attributes:
        synthesis: what varies.
        face_model: whose faces.
        seed: of the sampler.
        size: side of the pictures, px.
        count: faces; a multiple of ``block`` is made.
        block: faces in a file.
        cutouts: pictures have a fourth channel: 255 where a person is seen, 0 on the background.
        maps: keep depth, normals and segments of every pixel, too: three times as many bytes.
    """

    synthesis: SynthesisConfig
    face_model: FaceModelConfig = dataclasses.field(default_factory=FaceModelConfig)
    seed: int = 0
    size: int = 256
    count: int = 8192
    block: int = 256
    cutouts: bool = False
    maps: bool = False

    def __post_init__(self) -> None:
        if self.count < 1 or self.block < 1:
            raise FaceCacheError(
                f"a cache holds at least one face in each file, got {self.count} in files of {self.block}"
            )

    @property
    def n_blocks(self) -> int:
        """Blocks that hold the faces."""
        return -(-self.count // self.block)

    def described(self) -> dict[str, object]:
        """All that decides on what a face of the cache is: everything but their number."""
        model = bfm.load(self.face_model.name, self.face_model.path)
        # These keys, "looks" and "mesh" are younger than the first caches.
        added = {name: True for name in ("cutouts", "maps") if getattr(self, name)}
        synthesis = dataclasses.asdict(self.synthesis)
        for name, former in (("looks", 1), ("mesh", "fine")):
            if synthesis[name] == former:
                del synthesis[name]
        return {
            **added,
            "format": FORMAT,
            "block": self.block,
            "seed": self.seed,
            "size": self.size,
            "model": self.face_model.name,
            "landmarks": landmark_fingerprint(model, POINT_SETS),
            "synthesis": synthesis,
        }


def synthesize_faces(folder: Path, config: FaceCacheConfig, workers: int = 1) -> None:
    """Render the blocks that a cache lacks, each whole or not at all.

    Args:
        folder: of the cache; made if it is not there.
        config: which faces.
        workers: processes that render.

    Raises:
        FaceCacheError: the folder holds other faces.
        OutputError: it cannot be written to.
    """
    _begin(folder, config)
    missing = [k for k in range(config.n_blocks) if not _label_file(folder, k).exists()]
    if not missing:
        return
    logger.info("rendering %d faces into %s, with %d processes", len(missing) * config.block, folder, workers)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        for k in pool.map(functools.partial(_synthesize_block, folder, config), missing):
            logger.info("block %d of %d", k + 1, config.n_blocks)


def draw_caches(folder: Path, caches: Mapping[str, FaceCacheConfig], workers: int) -> None:
    """Render what several caches in one folder lack.

    Args:
        folder: of their folders.
        caches: by the names of these.
        workers: processes that render.

    Raises:
        FaceCacheError: a folder holds other faces.
        OutputError: it cannot be written to.
    """
    try:
        for name, config in caches.items():
            synthesize_faces(folder / name, config, workers)
    except FileExistsError as error:
        raise OutputError(f"{error.filename} is a file, expected a folder for drawn faces") from error


def _begin(folder: Path, config: FaceCacheConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "faces.json"
    wanted = json.loads(json.dumps(config.described()))
    if not description.exists():
        write_file(description, json.dumps(wanted, indent=1).encode(), overwrite=True)
        return
    found = _description(description)
    if found != wanted:
        keys = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
        raise FaceCacheError(
            f"{folder} holds other faces than those asked for (they differ in: {', '.join(keys)}); give another folder, or "
            "remove this one to make its faces anew"
        )


def _description(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaceCacheError(f"{file} cannot be read: {error}; remove the folder to make its faces anew") from error
    if not isinstance(found, dict) or type(found.get("block")) is not int or found["block"] < 1:
        raise FaceCacheError(f"{file} does not describe synthetic faces; remove the folder to make its faces anew")
    return found


@functools.lru_cache(maxsize=1)
def _sampler(config: FaceCacheConfig) -> FaceSampler:
    """One a process."""
    torch.set_num_threads(1)
    model = bfm.load(config.face_model.name, config.face_model.path)
    return FaceSampler(model, config.synthesis, config.seed, (config.size, config.size))


def _synthesize_block(folder: Path, config: FaceCacheConfig, block: int) -> int:
    faces = _sampler(config).batch(range(block * config.block, (block + 1) * config.block))
    image = faces.image
    if config.cutouts:
        image = torch.cat((image, (faces.segmentation > 0)[:, None].to(image)), dim=1)
    pictures = (255.0 * image).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    # The labels come last: a block is there when its labels are.
    write_file(_picture_file(folder, block), _npy(pictures), overwrite=True)
    if config.maps:
        write_files(
            {_map_file(folder, name, block): _npy(values) for name, values in packed_maps(faces).items()},
            overwrite=True,
        )
    write_files({_label_file(folder, block): _labels(faces)}, overwrite=True)
    return block


def _labels(faces: FaceBatch) -> bytes:
    content = io.BytesIO()
    tensors = faces.tensors()
    np.savez(content, allow_pickle=False, **{name: tensors[name].numpy() for name in LABELS})
    return content.getvalue()


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _picture_file(folder: Path, block: int) -> Path:
    return folder / f"pictures-{block:05d}.npy"


def _map_file(folder: Path, name: str, block: int) -> Path:
    return folder / f"{name}-{block:05d}.npy"


def _label_file(folder: Path, block: int) -> Path:
    return folder / f"labels-{block:05d}.npz"


def _opened_maps(folder: Path, name: str, n_blocks: int) -> list[np.ndarray]:
    files = [_map_file(folder, name, k) for k in range(n_blocks)]
    missing = next((file for file in files if not file.exists()), None)
    if missing is not None:
        raise FaceCacheError(f"{folder} holds faces without maps ({missing.name} is missing); draw them anew with maps")
    return [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]


class FaceCache:
    """The faces of a cache by number; pictures stay on disk until they are asked for.

    Args:
        folder: that :func:`synthesize_faces` wrote.
        count: faces to use, from the first on; ``None`` takes all.
        maps: open depth, normals and segments, too.

    Attributes:
        labels: all faces' labels by name, ``(N, ...)``.

    Raises:
        FaceCacheError: no cache there, fewer faces than asked for, or no maps of them.
    """

    def __init__(self, folder: Path, count: int | None = None, *, maps: bool = False) -> None:
        # Up to the first that is missing: another process may be at work, and blocks are not done in order.
        every = (_label_file(folder, k) for k in itertools.count())
        files = list(itertools.takewhile(Path.exists, every))
        if not files:
            raise FaceCacheError(f"{folder} holds no synthetic faces")
        self._block = int(_description(folder / "faces.json")["block"])
        held = len(files) * self._block
        if count is not None and count > held:
            raise FaceCacheError(f"{folder} holds {held} faces from the first on, {count} asked for")
        n_blocks = len(files) if count is None else -(-count // self._block)
        files = files[:n_blocks]
        self._count = held if count is None else count
        self._pictures = [np.load(_picture_file(folder, k), mmap_mode="r", allow_pickle=False) for k in range(n_blocks)]
        self._maps = {name: _opened_maps(folder, name, n_blocks) for name in MAP_NAMES} if maps else {}
        blocks = []
        for file in files:
            with np.load(file, allow_pickle=False) as arrays:
                blocks.append({name: arrays[name] for name in LABELS})
        self.labels: dict[str, np.ndarray] = {
            name: np.concatenate([block[name] for block in blocks])[: self._count] for name in LABELS
        }

    def __len__(self) -> int:
        return self._count

    def picture(self, index: int) -> np.ndarray:
        """``(S, S, 3)`` uint8, of cutouts ``(S, S, 4)``."""
        block, place = divmod(index, self._block)
        return np.asarray(self._pictures[block][place])

    def map(self, name: str, index: int) -> np.ndarray:
        """One of :data:`recon.training.label_maps.MAP_NAMES`, packed as there; the cache was opened with ``maps``."""
        block, place = divmod(index, self._block)
        return np.asarray(self._maps[name][block][place])

    def all_pictures(self, device: torch.device) -> UInt8[Tensor, "n s s 3"]:
        """All pictures in the memory of a device."""
        side = self.picture(0).shape[0]
        pictures = torch.zeros((self._count, side, side, 3), dtype=torch.uint8, device=device)
        for k, block in enumerate(self._pictures):
            part = pictures[k * self._block : (k + 1) * self._block]
            part.copy_(torch.from_numpy(np.array(block[: len(part)])))
        return pictures
