"""How the data of the landmark network are made: faces are rendered once, crops of them sampled anew in each pass."""

from __future__ import annotations

import dataclasses
from typing import Literal

from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCacheConfig
from recon.training.framing import CropJitter
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig
from recon.training.module import FaceModelConfig


@dataclasses.dataclass(frozen=True)
class DrawingConfig:
    """The faces that are rendered before training starts.

    Attributes:
        synthesis: what varies in them; ``crop_margin`` gives framing its room.
        count: faces to train with.
        seed: of these faces.
        side_px: of the pictures.
        block: faces in a file.
        workers: processes that render.

    Raises:
        ValueError: a count below 1.
    """

    synthesis: SynthesisConfig
    count: int = 32768
    seed: int = 0
    side_px: int = 256
    block: int = 256
    workers: int = 2

    def __post_init__(self) -> None:
        for name in ("count", "side_px", "block", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"drawing.{name} must be at least 1, got {getattr(self, name)}")

    def training_faces(self, face_model: FaceModelConfig) -> FaceCacheConfig:
        """The faces of a model to train with."""
        return FaceCacheConfig(self.synthesis, face_model, self.seed, self.side_px, self.count, self.block)

    def held_out_faces(self, face_model: FaceModelConfig, held_out: HeldOutConfig) -> FaceCacheConfig:
        """The faces of a model to validate with, of a seed of their own."""
        synthesis = held_out.synthesis or self.synthesis
        return dataclasses.replace(
            self.training_faces(face_model), synthesis=synthesis, seed=HELD_OUT_SEED, count=held_out.count
        )


@dataclasses.dataclass(frozen=True)
class CropConfig:
    """How training's crops are made of rendered faces.

    Attributes:
        jitter: of their framing; ``None`` is the usual one.
        degradation: what cameras and files do to them; ``None`` is the usual one.
        device: where faces are kept, framed and degraded: ``cpu``, or ``cuda`` when they fit into its memory, with 0 workers.
        workers: processes that frame and degrade; 0 does it in the training process.

    Raises:
        ValueError: fewer than no workers, or workers beside a GPU.
    """

    jitter: CropJitter | None = None
    degradation: Degradation | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"crops.workers must be at least 0, got {self.workers}; 0 crops in the training process")
        if self.device == "cuda" and self.workers:
            raise ValueError(
                f"crops.device 'cuda' makes crops in the training process, got {self.workers} workers; set crops.workers to 0"
            )
