"""Synthetic faces for the landmark network: cached on disk, framed and degraded anew each time they are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from recon.training.degrade import Degradation, degrade
from recon.training.face_cache import FaceCache, draw_caches
from recon.training.framing import CropJitter, inside, sample_framing
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig, share_in_batches
from recon.training.landmark_batch import LandmarkBatch
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.module import FaceModelConfig
from recon.training.ray_truth import depth_along_ray, ray_rotation
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader, worker_steps

_PLAN = BatchPlan(batch_size=48)
_CROPS = CropConfig()
_HELD_OUT = HeldOutConfig(count=1024)


class CachedFaces:
    """The labels of a cache as the network needs them.

    Args:
        cache: of synthetic faces.
        point_sets: of the points, one after the other.
        margin: of the pictures beyond the standard crop, as they were rendered with.
        device: where crops are made. On the CPU pictures stay on disk until they are asked for; on a GPU all of them lie in
            its memory (200 kB a face at 256 px).
    """

    def __init__(
        self, cache: FaceCache, point_sets: tuple[str, ...], margin: float, device: torch.device | str = "cpu"
    ) -> None:
        self.cache, self.zoom, self.device = cache, 1.0 + 2.0 * margin, torch.device(device)
        labels = cache.labels
        px = np.concatenate([labels[f"landmarks{name}_px"] for name in point_sets], axis=1)
        v_cam = np.concatenate([labels[f"landmarks{name}_cam"] for name in point_sets], axis=1)
        visible = np.concatenate([labels[f"landmarks{name}_visible"] for name in point_sets], axis=1)
        side = float(cache.picture(0).shape[0])
        focal = torch.from_numpy(labels["intrinsics"][:, 0, 0]) / side
        translation_mm = torch.from_numpy(labels["translation_mm"])
        depth = depth_along_ray(torch.from_numpy(v_cam), translation_mm, focal).numpy()
        points = np.concatenate((px / side - 0.5, depth[..., None]), axis=-1).astype(np.float32)
        self.points = torch.from_numpy(points).to(self.device)
        self.visible = torch.from_numpy(visible).to(self.device)
        self.rotation = ray_rotation(torch.from_numpy(labels["rotation"]), translation_mm).float().to(self.device)
        self._pictures = None if self.device.type == "cpu" else cache.all_pictures(self.device)

    def __len__(self) -> int:
        return len(self.cache)

    def mean_points(self) -> Float[Tensor, "n 3"]:
        """Where points lie on average in the standard crop."""
        return self.zoom * self.points.mean(dim=0)

    def batch(
        self, indices: list[int], size: int, jitter: CropJitter, degradation: Degradation | None, seed: int
    ) -> LandmarkBatch:
        """Crops of some faces. Equal arguments give equal crops."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.tensor(indices, device=self.device)
        framing = sample_framing(len(indices), jitter, self.zoom, generator).to(self.device)
        crops = framing.crops(self._shown(indices, chosen).permute(0, 3, 1, 2).float() / 255.0, size)
        points = framing.points(self.points[chosen])
        visible = self.visible[chosen] & inside(points)
        if degradation is not None:
            crops, hidden = degrade(crops, degradation, generator)
            at = torch.nn.functional.grid_sample(
                hidden.float(), 2.0 * points[:, None, :, :2], mode="nearest", align_corners=False
            )
            visible = visible & (at[:, 0, 0] < 0.5)
        rotation = framing.rotations(self.rotation[chosen])
        return LandmarkBatch(crops, points, visible, rotation)

    def _shown(self, indices: list[int], chosen: Int[Tensor, " b"]) -> UInt8[Tensor, "b s s 3"]:
        if self._pictures is not None:
            return self._pictures[chosen]
        return torch.from_numpy(np.stack([self.cache.picture(k) for k in indices]))


@dataclasses.dataclass(frozen=True)
class _Stream:
    """What the loader's workers iterate over; see :class:`LandmarkStream`."""

    folder: Path
    count: int
    point_sets: tuple[str, ...]
    margin: float
    size: int
    jitter: CropJitter
    degradation: Degradation | None
    device: str = "cpu"


class LandmarkStream(IterableDataset[LandmarkBatch]):
    """Batches from a step on, for ever: passes over the cache, each in a new order.

    With several workers, worker k makes steps k, k + n, ...; torch's loader takes turns, so the order is that of steps.
    """

    def __init__(self, settings: _Stream, plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.settings, self.plan, self.place = settings, plan, place

    def __iter__(self) -> Iterator[LandmarkBatch]:
        settings, plan, place = self.settings, self.plan, self.place
        cache = FaceCache(settings.folder, settings.count)
        faces = CachedFaces(cache, settings.point_sets, settings.margin, settings.device)
        for step, indices in worker_steps(EndlessOrder(len(faces), plan, place), place):
            seed = step_seed(plan.seed + 1, step, place.rank)
            yield faces.batch(indices, settings.size, settings.jitter, settings.degradation, seed)


class LandmarkData(lightning.LightningDataModule):
    """Faces rendered once, before training starts, and kept in a folder.

    Args:
        folder: of the synthetic faces; 200 kB a face at 256 px.
        drawing: the faces to train with.
        face_model, size, point_sets: as in the module; ``train.py`` copies them from there.
        plan: batch size, and seed of the order, framing and degradation.
        crops: how those of training are made; validation has tight framing and pictures as they were rendered, on the CPU.
        held_out: faces for validation, of another seed.

    Raises:
        ValueError: crops should be made on a GPU, and there is none.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        face_model: FaceModelConfig | None = None,
        size: int = 160,
        point_sets: tuple[str, ...] = ("520", "478"),
        plan: BatchPlan = _PLAN,
        crops: CropConfig = _CROPS,
        held_out: HeldOutConfig = _HELD_OUT,
    ) -> None:
        super().__init__()
        if crops.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("with crops.device 'cuda' crops are made on a GPU, and none is found; set it to cpu")
        self.folder = Path(folder).expanduser()
        model = face_model or FaceModelConfig()
        self.caches = {
            "train": drawing.training_faces(model),
            "held_out": drawing.held_out_faces(model, held_out),
        }
        self.size, self.point_sets = size, tuple(point_sets)
        self.plan, self.crops, self.rendering_workers = plan, crops, drawing.workers
        self.jitter, self.degradation = crops.jitter or CropJitter(), crops.degradation or Degradation()
        self._held_out: list[LandmarkBatch] = []

    def prepare_data(self) -> None:
        """Render the faces that are not there yet.

        Raises:
            FaceCacheError: the folder holds other faces.
            OutputError: it cannot be written to.
        """
        draw_caches(self.folder, self.caches, self.rendering_workers)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        place = StreamPlace.of_trainer(self.trainer)
        device = "cpu" if self.crops.device == "cpu" else f"cuda:{torch.cuda.current_device()}"
        settings = dataclasses.replace(self._settings("train"), device=device)
        return stream_loader(LandmarkStream(settings, self.plan, place), self.crops.workers)

    def val_dataloader(self) -> Any:
        """Held-out faces in tight framing; each process has its share."""
        if not self._held_out:
            faces = self.held_out()
            parts = share_in_batches(len(faces), self.plan.batch_size, self.trainer)
            tight = dataclasses.replace(self.jitter, wide_share=0.0)
            self._held_out = [
                faces.batch(part, self.size, tight, None, HELD_OUT_SEED + number * self.plan.batch_size)
                for number, part in enumerate(parts)
            ]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def held_out(self) -> CachedFaces:
        """Faces that are never trained on."""
        settings = self._settings("held_out")
        return CachedFaces(FaceCache(settings.folder, settings.count), settings.point_sets, settings.margin)

    def mean_points(self) -> Float[Tensor, "n 3"]:
        """Where points lie on average, for the network to start from."""
        return self.held_out().mean_points()

    def _settings(self, name: str) -> _Stream:
        config = self.caches[name]
        margin = config.synthesis.crop_margin
        return _Stream(
            self.folder / name, config.count, self.point_sets, margin, self.size, self.jitter, self.degradation
        )
