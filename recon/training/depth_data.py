"""Drawn faces with depth for networks of face crops: cached on disk, framed and degraded anew each time they are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from recon.camera import PerspectiveCamera
from recon.depth.crop_view import CropView
from recon.depth.geometry import depth_points, point_normals
from recon.networks.depth.crop_depth import CLASSES, FRAME
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.sample import SEGMENT_NAMES
from recon.training.degrade import Degradation, degrade
from recon.training.depth_batch import UNKNOWN, DepthBatch, classes_of_segments
from recon.training.face_cache import FaceCache, FaceCacheConfig, draw_caches
from recon.training.framing import CropJitter, CropSimilarity, sample_framing
from recon.training.held_out import HELD_OUT_SEED, HeldOutConfig, share_in_batches
from recon.training.label_maps import unpacked_depth_mm, unpacked_normals, unpacked_segments
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.module import FaceModelConfig
from recon.training.photo_backgrounds import BackgroundConfig, PhotoBackgrounds
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader, worker_steps

_PLAN = BatchPlan(batch_size=24)
_CROPS = CropConfig()
_BACKGROUNDS = BackgroundConfig(photos=0.5)
_HELD_OUT = HeldOutConfig(count=512)
_BACKGROUND = SEGMENT_NAMES.index("background")
_WHOLE = 0.999
"""Bilinear values count where all four pixels are known."""


class CachedDepthFaces:
    """The faces of a cache as crops with their depth.

    Args:
        cache: of drawn faces with maps.
        margin: of the pictures beyond the standard crop, as they were drawn with.
        backgrounds: to put behind them; ``None`` leaves those that they were drawn with.
    """

    def __init__(self, cache: FaceCache, margin: float, backgrounds: PhotoBackgrounds | None = None) -> None:
        self._backgrounds = backgrounds
        self.cache, self.zoom = cache, (1.0 + 2.0 * margin) / FRAME
        self._intrinsics = torch.from_numpy(cache.labels["intrinsics"])
        self._translation_mm = torch.from_numpy(cache.labels["translation_mm"])

    def __len__(self) -> int:
        return len(self.cache)

    def batch(
        self, indices: list[int], size: int, jitter: CropJitter, degradation: Degradation | None, seed: int
    ) -> DepthBatch:
        """Crops of some faces. Equal arguments give equal crops."""
        generator = torch.Generator().manual_seed(seed)
        framing = sample_framing(len(indices), jitter, self.zoom, generator)
        view = self._view(indices, framing)
        pictures = torch.from_numpy(np.stack([self.cache.picture(k) for k in indices]))
        pictures = pictures.permute(0, 3, 1, 2).float() / 255.0
        image = view.crops(pictures, size).clamp(0.0, 1.0)
        depth_mm, normals = self._surfaces(indices, view, size)
        segments = unpacked_segments(np.stack([self.cache.map("segments", k) for k in indices]))
        # One more, because what lies beyond the picture comes out as 0.
        found = view.crops((segments + 1)[:, None].float(), size, "nearest", "zeros")[:, 0].round().long()
        classes = torch.where(found > 0, classes_of_segments((found - 1).clamp_min(0)), UNKNOWN)
        if self._backgrounds is not None:
            share = view.crops((segments == _BACKGROUND)[:, None].float(), size, padding="zeros")
            image = self._backgrounds.behind(image, CounterRng.of(seed, range(len(indices))), share)
        if degradation is not None:
            image, hidden = degrade(image, degradation, generator)
            classes = torch.where(hidden[:, 0], UNKNOWN, classes)
        origin_mm = -torch.einsum("bj,bj->b", view.turn[:, 2], self._translation_mm[indices])
        normals = _with_depths_own(normals, depth_mm, classes, view.focal_sides)
        return DepthBatch(image, depth_mm, normals, classes, view.focal_sides, origin_mm)

    def _view(self, indices: list[int], framing: CropSimilarity) -> CropView:
        side = float(self.cache.picture(0).shape[0])
        back = -(torch.linalg.inv(framing.linear) @ framing.shift[..., None])[..., 0]
        return CropView.towards(self._intrinsics[indices], side * (0.5 + back), side / framing.scale, framing.turn_rad)

    def _surfaces(self, indices: list[int], view: CropView, size: int) -> tuple[Tensor, Tensor]:
        """Planar depth along the crops' axes, and the head's normals, 0 where they are not known."""
        steps = np.stack([self.cache.map("depth", k) for k in indices])
        own = unpacked_depth_mm(steps, -self._translation_mm[indices, 2])
        known = view.crops((own > 0.0).float(), size, padding="zeros") > _WHOLE
        depth = torch.where(known, view.crops(own, size) * view.depth_ratio(size), 0.0)
        normals = unpacked_normals(np.stack([self.cache.map("normals", k) for k in indices]))
        seen = (normals != 0.0).any(dim=1, keepdim=True).float()
        with_normal = view.crops(seen, size, padding="zeros") > _WHOLE
        turned = torch.nn.functional.normalize(view.normals(view.crops(normals, size)), dim=1)
        return depth, torch.where(with_normal, turned, 0.0)


def _with_depths_own(normals: Tensor, depth_mm: Tensor, classes: Tensor, focal_sides: Tensor) -> Tensor:
    """The normals, and those of the depth where something else than the head is seen."""
    size = depth_mm.shape[-1]
    camera = PerspectiveCamera.at(size=(size, size), focal_px=(size * focal_sides)[:, None].expand(-1, 2))
    differences, known = point_normals(depth_points(depth_mm, camera), depth_mm > 0.0)
    elsewhere = (classes == CLASSES.index("hair")) | (classes == CLASSES.index("other"))
    return torch.where(known & elsewhere[:, None], differences, normals)


@dataclasses.dataclass(frozen=True)
class _Stream:
    """What the loader's workers iterate over; see :class:`DepthCropStream`."""

    folder: Path
    count: int
    margin: float
    size: int
    jitter: CropJitter
    degradation: Degradation | None
    backgrounds: BackgroundConfig


class DepthCropStream(IterableDataset[DepthBatch]):
    """Batches from a step on, for ever: passes over the cache, each in a new order.

    With several workers, worker k makes steps k, k + n, ...; torch's loader takes turns, so the order is that of steps.
    """

    def __init__(self, settings: _Stream, plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.settings, self.plan, self.place = settings, plan, place

    def __iter__(self) -> Iterator[DepthBatch]:
        settings, plan, place = self.settings, self.plan, self.place
        faces = CachedDepthFaces(
            FaceCache(settings.folder, settings.count, maps=True),
            settings.margin,
            PhotoBackgrounds(settings.backgrounds),
        )
        for step, indices in worker_steps(EndlessOrder(len(faces), plan, place), place):
            seed = step_seed(plan.seed + 1, step, place.rank)
            yield faces.batch(indices, settings.size, settings.jitter, settings.degradation, seed)


class DepthCropData(lightning.LightningDataModule):
    """Crops of faces that are drawn once, before training starts, and kept in a folder with their maps.

    Args:
        folder: of the drawn faces; 590 kB a face at 256 px.
        drawing: the faces to train with.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size, and seed of the order, framing and degradation.
        crops: how those of training are made; validation has tight framing and pictures as they were drawn.
        held_out: faces for validation, of another seed.
        backgrounds: of training's crops; those of validation are as they were drawn.

    Raises:
        ValueError: crops should be made on a GPU, or pictures that are not square.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        face_model: FaceModelConfig | None = None,
        size: int | tuple[int, int] = 256,
        plan: BatchPlan = _PLAN,
        crops: CropConfig = _CROPS,
        held_out: HeldOutConfig = _HELD_OUT,
        backgrounds: BackgroundConfig = _BACKGROUNDS,
    ) -> None:
        super().__init__()
        if crops.device != "cpu":
            raise ValueError(f"crops with depth are made on the CPU, got crops.device {crops.device!r}; set it to cpu")
        if not isinstance(size, int) and size[0] != size[1]:
            raise ValueError(f"crops of faces are square, got a network for pictures of {tuple(size)} px")
        self.folder = Path(folder).expanduser()
        model = face_model or FaceModelConfig()
        self.caches: dict[str, FaceCacheConfig] = {
            "train": dataclasses.replace(drawing.training_faces(model), maps=True),
            "held_out": dataclasses.replace(drawing.held_out_faces(model, held_out), maps=True),
        }
        self.size = size if isinstance(size, int) else size[0]
        self.plan, self.crops, self.rendering_workers, self.backgrounds = plan, crops, drawing.workers, backgrounds
        self.jitter, self.degradation = crops.jitter or CropJitter(), crops.degradation or Degradation()
        self._held_out: list[DepthBatch] = []

    def prepare_data(self) -> None:
        """Draw the faces that are not there yet.

        Raises:
            FaceCacheError: the folder holds other faces.
            OutputError: it cannot be written to.
        """
        draw_caches(self.folder, self.caches, self.rendering_workers)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        place = StreamPlace.of_trainer(self.trainer)
        return stream_loader(DepthCropStream(self._settings("train"), self.plan, place), self.crops.workers)

    def val_dataloader(self) -> Any:
        """Held-out faces in tight framing; each process has its share."""
        if not self._held_out:
            settings = self._settings("held_out")
            faces = CachedDepthFaces(FaceCache(settings.folder, settings.count, maps=True), settings.margin)
            parts = share_in_batches(len(faces), self.plan.batch_size, self.trainer)
            tight = dataclasses.replace(self.jitter, wide_share=0.0)
            self._held_out = [
                faces.batch(part, self.size, tight, None, HELD_OUT_SEED + number * self.plan.batch_size)
                for number, part in enumerate(parts)
            ]
        return DataLoader(self._held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def _settings(self, name: str) -> _Stream:
        config = self.caches[name]
        margin = config.synthesis.crop_margin
        return _Stream(
            self.folder / name, config.count, margin, self.size, self.jitter, self.degradation, self.backgrounds
        )

    def transfer_batch_to_device(self, batch: DepthBatch, device: torch.device, dataloader_idx: int) -> DepthBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)
