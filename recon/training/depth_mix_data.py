"""Drawn faces mixed with data sets that have depth, each with a share of every batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.training.crop_depth_module import CropDepthModule
from recon.training.depth_batch import DepthBatch
from recon.training.depth_data import CachedDepthFaces, DepthCropData
from recon.training.depth_pictures import PICTURE_LAYOUTS, DepthPictures, find_pictures, frame_depth
from recon.training.face_cache import FaceCache
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.module import FaceModelConfig
from recon.training.photo_backgrounds import BackgroundConfig, PhotoBackgrounds
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader

_PLAN = BatchPlan(batch_size=24)
_CROPS = CropConfig()
_BACKGROUNDS = BackgroundConfig(photos=0.5)
_HELD_OUT = HeldOutConfig(count=512)


@dataclasses.dataclass(frozen=True)
class DepthSetConfig:
    """A data set with depth.

    Attributes:
        data: its folder.
        layout: how it is laid out; that of ``recon evaluate depth``, or ``side-by-side``.
        share: of every batch.
        framed: folder for its crops, written once.
        focal_px: focal length of its pictures, where their files do not tell it.
        range_mm: what grey values of ``side-by-side`` mean, see :class:`recon.datasets.SideBySideReader`.

    Raises:
        ValueError: an unknown layout, or a share that is none.
    """

    data: str
    layout: str
    share: float
    framed: str
    focal_px: float | None = None
    range_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.layout not in PICTURE_LAYOUTS:
            raise ValueError(f"unknown depth layout {self.layout!r}; known: {', '.join(PICTURE_LAYOUTS)}")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"the share of {self.data} in a batch must lie in (0, 1], got {self.share}")


class DepthMixData(DepthCropData):
    """Every batch holds each data set's share, and drawn faces for the rest; validation is on held-out drawn faces.

    The review ("either F/K samples of each of K sets per minibatch of F") mixes sets so. Where one has another scale or offset of depth than
    the others, the objective must not see these: ``scale_and_shift_invariant`` (docs/depth_losses.md).

    Args:
        folder, drawing: of the drawn faces.
        sets: the data sets.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size, and seed of the order, framing and degradation.
        crops: how those of training are made.
        held_out: faces for validation, of another seed.
        backgrounds: of drawn faces in training.

    Raises:
        ValueError: no set, or shares of more than the whole or of less than one picture.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        sets: tuple[DepthSetConfig, ...],
        face_model: FaceModelConfig | None = None,
        size: int | tuple[int, int] = 256,
        plan: BatchPlan = _PLAN,
        crops: CropConfig = _CROPS,
        held_out: HeldOutConfig = _HELD_OUT,
        backgrounds: BackgroundConfig = _BACKGROUNDS,
    ) -> None:
        super().__init__(folder, drawing, face_model, size, plan, crops, held_out, backgrounds)
        self.sets = tuple(sets)
        self.counts = tuple(round(entry.share * plan.batch_size) for entry in self.sets)
        if not self.sets or min(self.counts) < 1 or sum(self.counts) > plan.batch_size:
            shares = [entry.share for entry in self.sets]
            raise ValueError(
                f"shares {shares} of a batch of {plan.batch_size} are {list(self.counts)} pictures; each set needs one, all together at "
                "most the batch"
            )

    def prepare_data(self) -> None:
        """Draw the faces and frame the pictures that are not there yet.

        Raises:
            DepthPictureError, DepthDataError, FileNotFoundError: a set without a picture that can be used.
            FaceCacheError, OutputError: see the base class.
        """
        super().prepare_data()
        self.framed()

    def framed(self) -> tuple[DepthPictures, ...]:
        """The pictures of each set that show a face with depth. Raises as :meth:`prepare_data`."""
        with DenseLandmarkDetector() as detector:
            return tuple(
                frame_depth(
                    find_pictures(Path(entry.data).expanduser(), entry.layout, entry.range_mm),
                    Path(entry.framed).expanduser(),
                    detector,
                    self.size,
                    entry.focal_px,
                )
                for entry in self.sets
            )

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on.

        Raises:
            ValueError: a network that learns where the head's origin is, which data sets do not tell.
        """
        if isinstance(getattr(self.trainer, "lightning_module", None), CropDepthModule):
            raise ValueError(
                "CropDepthModule learns relief about the head's origin, which data sets do not tell; use DepthModule"
            )
        return stream_loader(self.mixed(StreamPlace.of_trainer(self.trainer)), self.crops.workers)

    def mixed(self, place: StreamPlace) -> MixStream:
        """Batches from a place on."""
        return MixStream(self, self.framed(), place)


class MixStream(IterableDataset[DepthBatch]):
    """Batches of all sets in their order and of drawn faces, for ever.

    Args:
        data: shares, sizes and order.
        pictures: of each set.
        place: where the stream begins.
    """

    def __init__(self, data: DepthMixData, pictures: tuple[DepthPictures, ...], place: StreamPlace) -> None:
        super().__init__()
        self.settings, self.plan, self.counts = data._settings("train"), data.plan, data.counts
        self.pictures, self.place = pictures, place

    def __iter__(self) -> Iterator[DepthBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        settings, place = self.settings, self.place
        cache = FaceCache(settings.folder, settings.count, maps=True)
        faces = CachedDepthFaces(cache, settings.margin, PhotoBackgrounds(settings.backgrounds))
        sources: list[tuple[Any, int]] = list(zip(self.pictures, self.counts, strict=True))
        drawn = self.plan.batch_size - sum(self.counts)
        if drawn:
            sources.append((faces, drawn))
        orders = [
            iter(EndlessOrder(len(source), BatchPlan(count, self.plan.seed + number), place))
            for number, (source, count) in enumerate(sources)
        ]
        step = place.step
        while True:
            rows = [next(order) for order in orders]
            if (step - place.step) % stride == first:
                seed = step_seed(self.plan.seed + len(sources), step, place.rank)
                yield _joined(
                    [
                        source.batch(part, settings.size, settings.jitter, settings.degradation, seed + number)
                        for number, ((source, _), part) in enumerate(zip(sources, rows, strict=True))
                    ]
                )
            step += 1


def _joined(parts: list[DepthBatch]) -> DepthBatch:
    fields = [part.tensors() for part in parts]
    return DepthBatch(**{name: torch.cat([field[name] for field in fields]) for name in fields[0]})
