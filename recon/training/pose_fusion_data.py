"""Data of fusion training: a little labelled data of the target's kind, alone (fine-tuning) or mixed with drawn faces."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from recon.evaluation.mixed_up_convention import mixed_up_convention
from recon.evaluation.pose_labels import PoseLabel, find_poses
from recon.evaluation.pose_source import turned_by
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.head_pose import default_pose_network
from recon.networks.pose.checkpoint import load_pose_network
from recon.training.face_cache import FaceCache
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.landmark_data import CachedFaces, LandmarkData
from recon.training.module import FaceModelConfig
from recon.training.pose_batch import PoseBatch
from recon.training.pose_pictures import PictureSource, PosePictures, frame_pictures
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader

logger = logging.getLogger(__name__)

_PLAN = BatchPlan(batch_size=32)
_CROPS = CropConfig()
_HELD_OUT = HeldOutConfig(count=1024)
_SETS = ("520",)
_CHECKED = 48
"""Labelled pictures by which the angle convention is checked."""


@dataclasses.dataclass(frozen=True)
class LabelledConfig:
    """Labelled pictures of a published data set.

    Attributes:
        data: its folder.
        layout, convention: how it is laid out and what a table's angles mean, as for ``recon evaluate pose``.
        groups: people or sequences to train with, by the name of their folder; ``None`` takes all. Test on others.
        count: pictures, evenly from all; the paper takes 1000.
        framed: folder for their crops, written once.
        share: of a batch; 1 is the paper's fine-tuning, less mixes them with drawn faces.

    Raises:
        ValueError: an impossible count or share.
    """

    data: str
    layout: Literal["aflw2000", "biwi", "c3i", "pointing04", "table"] = "biwi"
    convention: str | None = None
    groups: tuple[str, ...] | None = None
    count: int = 1000
    framed: str = "runs/pose_labelled"
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0.0 < self.share <= 1.0:
            raise ValueError(
                f"labelled.count must be at least 1 and labelled.share in (0, 1], got {self.count} and {self.share}"
            )


class PoseFusionData(LandmarkData):
    """Labelled pictures and drawn faces in shares of each batch; validation is on held-out drawn faces.

    Args:
        folder: of the drawn faces.
        drawing: which these are.
        labelled: the labelled pictures.
        face_model, size: as in the module; ``train.py`` copies them from there.
        plan: batch size, and seed of the order, framing and degradation.
        crops: how those of training are made.
        held_out: faces for validation, of another seed.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        labelled: LabelledConfig,
        face_model: FaceModelConfig | None = None,
        size: int = 64,
        plan: BatchPlan = _PLAN,
        crops: CropConfig = _CROPS,
        held_out: HeldOutConfig = _HELD_OUT,
    ) -> None:
        super().__init__(folder, drawing, face_model, size, _SETS, plan, crops, held_out)
        self.labelled = labelled

    def prepare_data(self) -> None:
        """Draw the faces and frame the labelled pictures that are not there yet; warn if the labels seem to be read by a wrong convention.

        Raises:
            LabelError: no picture with a usable label.
            PosePictureError: none of them shows a face.
            FaceCacheError, OutputError: see the base class.
        """
        super().prepare_data()
        doubt = convention_in_doubt(self.labels(), self.framed())
        if doubt:
            logger.warning("%s", doubt)

    def labels(self) -> list[PoseLabel]:
        """Of the pictures that are trained with, of which some may not show a face. Raises as :meth:`prepare_data`."""
        found, _ = find_poses(Path(self.labelled.data).expanduser(), self.labelled.layout, self.labelled.convention)
        groups = self.labelled.groups
        wanted = [label for label in found if groups is None or label.group in groups]
        if not wanted:
            known = sorted({label.group for label in found})
            raise ValueError(f"no labelled picture is of the groups {groups}; the data have {', '.join(known[:20])}")
        rows = np.unique(np.linspace(0, len(wanted) - 1, min(self.labelled.count, len(wanted))).round().astype(int))
        return [wanted[row] for row in rows]

    def framed(self) -> PosePictures:
        """The labelled pictures that show a face. Raises as :meth:`prepare_data`."""
        sources = [PictureSource(label.name, label.photo, label.rotation_ray, label.box) for label in self.labels()]
        with DenseLandmarkDetector() as detector:
            return frame_pictures(sources, Path(self.labelled.framed).expanduser(), detector)

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on."""
        return stream_loader(self.stream(StreamPlace.of_trainer(self.trainer)), self.crops.workers)

    def stream(self, place: StreamPlace) -> Dataset[PoseBatch]:
        """Batches from a place on."""
        config = self.caches["train"]
        faces = CachedFaces(FaceCache(self.folder / "train", config.count), _SETS, config.synthesis.crop_margin)
        return FusionStream(faces, self.framed(), self, place)


@torch.no_grad()
def convention_in_doubt(labels: Sequence[PoseLabel], pictures: PosePictures) -> str:
    """A warning if the pose network of the package, which saw drawn faces alone, finds some of the pictures turned as their labels would say
    by another angle convention; otherwise nothing. See :func:`recon.evaluation.mixed_up_convention.mixed_up_convention`.

    Args:
        labels: of the pictures and perhaps of more.
        pictures: framed, with rotations.
    """
    network, _ = load_pose_network(default_pose_network("sixd"))
    rows = np.unique(np.linspace(0, len(pictures) - 1, min(_CHECKED, len(pictures))).round().astype(int)).tolist()
    crops, told = pictures.batch(rows, network.size, None, torch.Generator())
    assert told is not None
    by_name = {label.name: label for label in labels}
    shown = [by_name[pictures.names[row]] for row in rows]
    found = []
    for label, seen, framed in zip(shown, network(crops).rotation.double().numpy(), told.double().numpy(), strict=True):
        turn = framed @ label.rotation_ray.T  # from the photo to its upright crop
        found.append(turned_by(turn.T @ seen, label.translation_mm))
    remedy = "Check the data, or for a table set labelled.convention"
    return mixed_up_convention([label.angles_deg for label in shown], found, shown[0].convention, remedy)


class FusionStream(IterableDataset[PoseBatch]):
    """Batches of labelled pictures and drawn faces, for ever.

    Args:
        drawn: faces.
        labelled: pictures.
        data: shares, sizes and order.
        place: where the stream begins.
    """

    def __init__(self, drawn: CachedFaces, labelled: PosePictures, data: PoseFusionData, place: StreamPlace) -> None:
        super().__init__()
        self.drawn, self.labelled, self.place = drawn, labelled, place
        self.size, self.jitter, self.degradation, self.plan = data.size, data.jitter, data.degradation, data.plan
        self.n_labelled = max(1, round(data.labelled.share * data.plan.batch_size))

    def __iter__(self) -> Iterator[PoseBatch]:
        worker = get_worker_info()
        begin, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        n_drawn = self.plan.batch_size - self.n_labelled
        real = iter(self._order(len(self.labelled), self.n_labelled, 0))
        drawn = iter(self._order(len(self.drawn), n_drawn, 1)) if n_drawn else None
        step = self.place.step
        while True:
            rows, faces = next(real), next(drawn) if drawn is not None else []
            if (step - self.place.step) % stride == begin:
                yield self.batch(rows, faces, step_seed(self.plan.seed + 2, step, self.place.rank))
            step += 1

    def _order(self, length: int, count: int, which: int) -> EndlessOrder:
        return EndlessOrder(length, BatchPlan(count, self.plan.seed + which), self.place)

    def batch(self, rows: list[int], faces: list[int], seed: int) -> PoseBatch:
        """One batch. Equal arguments give equal batches."""
        generator = torch.Generator().manual_seed(seed)
        image, rotation = self.labelled.batch(rows, self.size, self.jitter, generator)
        assert rotation is not None
        if not faces:
            return PoseBatch(image, rotation)
        drawn = self.drawn.batch(faces, self.size, self.jitter, self.degradation, seed + 1)
        return PoseBatch(torch.cat((image, drawn.image)), torch.cat((rotation, drawn.rotation)))
