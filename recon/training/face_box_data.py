"""Data of the face box network: people rendered once, scenes with them composed and degraded anew in every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from recon.color import linear_to_srgb
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.scene.backgrounds import procedural
from recon.training.degrade import Degradation, degrade
from recon.training.face_box_batch import FaceBoxBatch
from recon.training.face_cache import FaceCache, synthesize_faces
from recon.training.face_scenes import DOUBTFUL, SEEN, Cutouts, SceneConfig, SceneFaces, compose_scenes
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig, share_in_batches
from recon.training.landmark_config import DrawingConfig
from recon.training.module import FaceModelConfig
from recon.training.photo_backgrounds import BackgroundConfig, PhotoBackgrounds
from recon.training.stream import BatchPlan, StreamPlace, step_seed, stream_loader

_PLAN = BatchPlan(batch_size=32)
_HELD_OUT = HeldOutConfig(count=512)


@dataclasses.dataclass(frozen=True)
class ComposingConfig:
    """How scenes are made.

    Attributes:
        faces: who is seen in them.
        backgrounds: behind.
        degradation: what cameras and files do to them.
        workers: processes that make them; 0 makes them in the training process.

    Raises:
        ValueError: fewer than no workers.
    """

    faces: SceneConfig = SceneConfig()
    backgrounds: BackgroundConfig = BackgroundConfig()
    degradation: Degradation = Degradation()
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(
                f"scenes.workers must be at least 0, got {self.workers}; 0 makes scenes in the training process"
            )


class SceneMaker:
    """Makes scenes of a cache.

    Args:
        folder: of the cache.
        count: people to use.
        size: side of the scenes, px.
        config: how scenes are made.
    """

    def __init__(self, folder: Path, count: int, size: int, config: ComposingConfig) -> None:
        self.cutouts = Cutouts(FaceCache(folder, count))
        self.size, self.config = size, config
        self._photos = PhotoBackgrounds(config.backgrounds)

    def batch(self, seed: int, count: int) -> FaceBoxBatch:
        """Some scenes; equal seeds make equal scenes."""
        generator = torch.Generator().manual_seed(seed)
        scenes, faces = compose_scenes(self._backgrounds(seed, count), self.cutouts, self.config.faces, generator)
        scenes, hidden = degrade(scenes, self.config.degradation, generator)
        faces = _doubted(faces, hidden[:, 0])
        return FaceBoxBatch(scenes, faces.kind, faces.side_px, faces.points_px)

    def _backgrounds(self, seed: int, count: int) -> Tensor:
        rng, size = CounterRng.of(seed, range(count)), (self.size, self.size)
        made = linear_to_srgb(procedural(rng, size)).clamp(0.0, 1.0)
        return self._photos.behind(made, rng)


def _doubted(faces: SceneFaces, hidden: Tensor) -> SceneFaces:
    """Faces whose middle or half of whose five points lie under a patch are doubtful."""
    height, width = hidden.shape[1:]
    at = 2.0 * faces.points_px / torch.tensor([width, height]) - 1.0
    under = torch.nn.functional.grid_sample(hidden[:, None].float(), at, mode="nearest", align_corners=False)[:, 0]
    lost = (under[..., 0] > 0.5) | (under[..., 1:].mean(dim=-1) > 0.5)
    return dataclasses.replace(faces, kind=torch.where(lost & (faces.kind == SEEN), DOUBTFUL, faces.kind))


class _SceneStream(IterableDataset[FaceBoxBatch]):
    """Batches from a step on, for ever; worker k of n makes steps k, k + n, ..."""

    def __init__(self, settings: dict[str, Any], plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.settings, self.plan, self.place = settings, plan, place

    def __iter__(self) -> Iterator[FaceBoxBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        maker, step = SceneMaker(**self.settings), self.place.step + first
        while True:
            yield maker.batch(step_seed(self.plan.seed, step, self.place.rank), self.plan.batch_size)
            step += stride


class FaceBoxData(lightning.LightningDataModule):
    """Scenes with synthetic people, who are rendered before training starts and kept in a folder.

    Args:
        folder: of the synthetic people; 200 kB each at 224 px.
        drawing: the people to train with.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size, and seed of the scenes.
        scenes: how they are made, those of validation too.
        held_out: people and scenes for validation, of another seed.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        face_model: FaceModelConfig | None = None,
        size: int = 192,
        plan: BatchPlan = _PLAN,
        scenes: ComposingConfig | None = None,
        held_out: HeldOutConfig = _HELD_OUT,
    ) -> None:
        super().__init__()
        self.folder = Path(folder).expanduser()
        model = face_model or FaceModelConfig()
        caches = {"train": drawing.training_faces(model), "held_out": drawing.held_out_faces(model, held_out)}
        self.caches = {name: dataclasses.replace(config, cutouts=True) for name, config in caches.items()}
        self.size, self.plan, self.scenes, self.rendering_workers = (
            size,
            plan,
            scenes or ComposingConfig(),
            drawing.workers,
        )
        self._held_out: list[FaceBoxBatch] = []

    def prepare_data(self) -> None:
        """Render the people that are not there yet.

        Raises:
            FaceCacheError: the folder holds others.
            OutputError: it cannot be written to.
        """
        for name, config in self.caches.items():
            synthesize_faces(self.folder / name, config, self.rendering_workers)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        stream = _SceneStream(self._settings("train"), self.plan, StreamPlace.of_trainer(self.trainer))
        return stream_loader(stream, self.scenes.workers)

    def val_dataloader(self) -> Any:
        """Scenes with people who are never trained on; each process has its share."""
        if not self._held_out:
            count = self.caches["held_out"].count
            maker = SceneMaker(**self._settings("held_out"))
            parts = share_in_batches(count, self.plan.batch_size, self.trainer)
            self._held_out = [maker.batch(HELD_OUT_SEED + part[0], len(part)) for part in parts]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def _settings(self, name: str) -> dict[str, Any]:
        return {
            "folder": self.folder / name,
            "count": self.caches[name].count,
            "size": self.size,
            "config": self.scenes,
        }
