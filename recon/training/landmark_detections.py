"""What a landmark network finds on the faces of a cache: kept beside it, to learn from how detections err."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK
from recon.io.files import write_file
from recon.io.fingerprint import file_hash
from recon.networks.landmark_checkpoint import load_landmark_network
from recon.networks.landmark_network import LandmarkNetwork, LandmarkPrediction
from recon.networks.lifting_network import NOMINAL_SIZE
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCache, FaceCacheError
from recon.training.framed_heads import FramedHeads
from recon.training.framing import CropJitter, CropSimilarity, sample_framing
from recon.training.landmark_data import CachedFaces
from recon.training.stream import step_seed

logger = logging.getLogger(__name__)

FORMAT = "facerecon-detections-1"
_AT_ONCE = 32
_PREDICTION = tuple(field.name for field in dataclasses.fields(LandmarkPrediction))
_FRAMING = tuple(field.name for field in dataclasses.fields(CropSimilarity))


@dataclasses.dataclass(frozen=True)
class DetectionConfig:
    """How faces of a cache are looked at.

    Attributes:
        checkpoint: of the landmark network; ``None`` is that of the package.
        passes: times that each face is looked at, framed and degraded anew.
        seed: of framing and degradation.
        jitter: of framing; ``None`` is that of a second look.
        degradation: what cameras and files do to the crops; ``None`` is the usual one.

    Raises:
        ValueError: no pass.
    """

    checkpoint: str | None = None
    passes: int = 3
    seed: int = 0
    jitter: CropJitter | None = None
    degradation: Degradation | None = None

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"faces must be looked at at least once, got passes {self.passes}")

    @property
    def path(self) -> Path:
        """Of the landmark network."""
        return DEFAULT_LANDMARK_NETWORK if self.checkpoint is None else Path(self.checkpoint).expanduser()

    def described(self) -> dict[str, object]:
        """All that decides on what is found in a pass."""
        return {
            "format": FORMAT,
            "network": file_hash(self.path),
            "seed": self.seed,
            "jitter": dataclasses.asdict(self.framing),
            "degradation": dataclasses.asdict(self.degradation or Degradation()),
        }

    @property
    def framing(self) -> CropJitter:
        """Of crops."""
        return self.jitter or CropJitter(wide_share=0.0)


def detect_cached_faces(folder: Path, margin: float, config: DetectionConfig) -> None:
    """Look at the faces of a cache as often as asked; what was found before is kept.

    Args:
        folder: of the cache.
        margin: of its pictures, see :class:`recon.training.landmark_data.CachedFaces`.
        config: how.

    Raises:
        FaceCacheError: no cache there, or detections of another network or framing beside it.
        CheckpointError: no landmark network.
        OutputError: the folder cannot be written to.
    """
    place = _begin(folder, config)
    network, _ = load_landmark_network(config.path)
    missing = [number for number in range(config.passes) if not _pass_file(place, number).exists()]
    if not missing:
        return
    faces = CachedFaces(FaceCache(folder), network.config.point_sets, margin)
    for number in missing:
        logger.info("pass %d of %d: finding landmarks on %d faces", number + 1, config.passes, len(faces))
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **_one_pass(faces, network, config, number))
        write_file(_pass_file(place, number), content.getvalue(), overwrite=True)


@torch.no_grad()
def _one_pass(
    faces: CachedFaces, network: LandmarkNetwork, config: DetectionConfig, number: int
) -> dict[str, np.ndarray]:
    rows: list[dict[str, np.ndarray]] = []
    for first in range(0, len(faces), _AT_ONCE):
        indices = list(range(first, min(first + _AT_ONCE, len(faces))))
        seed = step_seed(config.seed, first, number)
        crops = faces.batch(
            indices, network.config.size, config.framing, config.degradation or Degradation(), seed
        ).image
        found = network(crops.contiguous(memory_format=torch.channels_last))
        # The first thing that a batch samples.
        framing = sample_framing(len(indices), config.framing, faces.zoom, torch.Generator().manual_seed(seed))
        row = {name: getattr(found, name).half().numpy() for name in _PREDICTION}
        rows.append(row | {name: getattr(framing, name).numpy() for name in _FRAMING})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _begin(folder: Path, config: DetectionConfig) -> Path:
    place = folder / "detections"
    place.mkdir(parents=True, exist_ok=True)
    description, wanted = place / "detections.json", json.loads(json.dumps(config.described()))
    if not description.exists():
        write_file(description, json.dumps(wanted, indent=1).encode(), overwrite=True)
        return place
    found = json.loads(description.read_text(encoding="utf-8"))
    if found != wanted:
        keys = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        raise FaceCacheError(
            f"{place} holds what another network or other settings found (they differ in: {', '.join(keys)}); remove it to look at the "
            "faces anew"
        )
    return place


def _pass_file(place: Path, number: int) -> Path:
    return place / f"pass-{number:03d}.npz"


class LandmarkDetections:
    """What was found on the faces of a cache, and the truth.

    Args:
        folder: of the cache.
        passes: how many of the passes to take.

    Attributes:
        found: landmarks in the crops that were looked at.
        heads: the truth in the same crops.

    Raises:
        FaceCacheError: a pass is missing, or one was made of fewer faces than the cache holds now.
    """

    def __init__(self, folder: Path, passes: int) -> None:
        place = folder / "detections"
        files = [_pass_file(place, number) for number in range(passes)]
        for file in files:
            if not file.is_file():
                raise FaceCacheError(f"{file} is missing: the faces of {folder} were not looked at so often")
        parts = []
        for file in files:
            with np.load(file, allow_pickle=False) as arrays:
                parts.append({name: torch.from_numpy(arrays[name]) for name in arrays.files})
        values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        cache = FaceCache(folder)
        if len(values["points"]) != passes * len(cache):
            raise FaceCacheError(
                f"{place} holds landmarks of {len(values['points']) // passes} faces, and the cache {len(cache)}: remove the folder "
                f"{place.name} to look at all of them"
            )
        self.found = LandmarkPrediction(**{name: values[name].float() for name in _PREDICTION})
        framing = CropSimilarity(**{name: values[name] for name in _FRAMING})
        self.heads = _framed_heads(cache, passes).reframed(framing)

    def __len__(self) -> int:
        return len(self.heads)


def _framed_heads(cache: FaceCache, passes: int) -> FramedHeads:
    """The heads in the cache's pictures, as often as they were looked at."""

    def label(name: str) -> Tensor:
        values = torch.from_numpy(cache.labels[name]).float()
        return values.repeat(passes, *(1 for _ in values.shape[1:]))

    intrinsics = label("intrinsics")
    intrinsics[:, :2] *= NOMINAL_SIZE / cache.picture(0).shape[0]
    return FramedHeads(label("identity"), label("expression"), label("rotation"), label("translation_mm"), intrinsics)
