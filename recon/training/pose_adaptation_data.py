"""Data of the second phase of domain adaptation: drawn faces with labels, paired with unlabelled pictures of the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.networks.pose.checkpoint import load_pose_network
from recon.networks.pose.prediction import rotation_to_angles
from recon.training.face_cache import FaceCache
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.landmark_data import CachedFaces, LandmarkData
from recon.training.module import FaceModelConfig
from recon.training.pose_adaptation import PairingConfig, Variant, adaptation_rows, nearest_source
from recon.training.pose_batch import PoseBatch
from recon.training.pose_pictures import PosePictures, frame_pictures, photos_below
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed, stream_loader

_PLAN = BatchPlan(batch_size=32)
_CROPS = CropConfig()
_HELD_OUT = HeldOutConfig(count=1024)
_SETS = ("520",)


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """Unlabelled pictures of the target domain.

    Attributes:
        photos: folder with them; a subfolder is a person.
        framed: folder for their crops, written once.
        variant: ``transductive`` adapts to all of them; ``inductive`` keeps ``held_out`` of the people for testing, see
            :func:`recon.training.pose_adaptation.adaptation_rows`.
        held_out: share of an inductive run that is not adapted to.

    Raises:
        ValueError: an impossible share.
    """

    photos: str
    framed: str = "runs/pose_target"
    variant: Variant = "transductive"
    held_out: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"target.held_out must lie between 0 and 1, got {self.held_out}")


class PairedStream(IterableDataset[PoseBatch]):
    """Batches from a step on, for ever: passes over the target's pictures, each with its source sample.

    Args:
        source: drawn faces with labels.
        first: number of the first of them that may be taken: those before it taught the first phase.
        target: pictures without labels.
        predicted_deg: ``(T, 3)`` yaw, pitch, roll that the first phase's network sees in them.
        pairing: how source samples are chosen.
        data: sizes, jitter and order, of the data module.
    """

    def __init__(
        self,
        source: CachedFaces,
        first: int,
        target: PosePictures,
        predicted_deg: Float[Tensor, "t 3"],
        pairing: PairingConfig,
        data: PoseAdaptationData,
        place: StreamPlace,
    ) -> None:
        super().__init__()
        self.source, self.first, self.target, self.pairing = source, first, target, pairing
        self.predicted_deg = predicted_deg
        self.source_deg = rotation_to_angles(source.rotation[first:])
        self.size, self.jitter, self.degradation, self.plan = data.size, data.jitter, data.degradation, data.plan
        self.place = place

    def __iter__(self) -> Iterator[PoseBatch]:
        worker = get_worker_info()
        begin, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        order = EndlessOrder(len(self.target), self.plan, self.place)
        for step, rows in enumerate(order, self.place.step):
            if (step - self.place.step) % stride == begin:
                yield self.batch(rows, step_seed(self.plan.seed + 1, step, self.place.rank))

    def batch(self, rows: list[int], seed: int) -> PoseBatch:
        """Source crops with rotations and target crops, row by row of the same pose. Equal arguments give equal batches."""
        generator = torch.Generator().manual_seed(seed)
        chosen = nearest_source(self.predicted_deg[rows], self.source_deg, self.pairing.jitter_deg, generator)
        source = self.source.batch((chosen + self.first).tolist(), self.size, self.jitter, self.degradation, seed + 1)
        target, _ = self.target.batch(rows, self.size, self.jitter, generator)
        return PoseBatch(source.image, source.rotation, target)


class PoseAdaptationData(LandmarkData):
    """Pairs of drawn faces and target pictures; validation is on held-out drawn faces, never on the target.

    Args:
        folder: of the drawn faces.
        drawing: all of them, those of the first phase before the others.
        target: the unlabelled pictures.
        face_model, size, initial_weights: as in the module; ``train.py`` copies them from there. The weights are those of the
            first phase and predict the poses of the target's pictures.
        source_first: number of the first drawn face of the second phase; those before it taught the first.
        pairing: which drawn face goes with a picture.
        plan: batch size, and seed of the order, framing and degradation.
        crops: how those of training are made.
        held_out: faces for validation, of another seed.

    Raises:
        ValueError: no drawn face is left for the second phase.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        target: TargetConfig,
        face_model: FaceModelConfig | None = None,
        size: int = 64,
        initial_weights: str | None = None,
        source_first: int = 0,
        pairing: PairingConfig | None = None,
        plan: BatchPlan = _PLAN,
        crops: CropConfig = _CROPS,
        held_out: HeldOutConfig = _HELD_OUT,
    ) -> None:
        super().__init__(folder, drawing, face_model, size, _SETS, plan, crops, held_out)
        if not 0 <= source_first < drawing.count:
            raise ValueError(
                f"source_first must lie in [0, {drawing.count}), the drawn faces, got {source_first}: the second phase needs "
                "faces of its own"
            )
        if initial_weights is None:
            raise ValueError(
                "adaptation begins with the weights of the first phase; give model.init_args.initial_weights"
            )
        self.target, self.pairing = target, pairing or PairingConfig()
        self.source_first, self.initial_weights = source_first, initial_weights
        self.adapted: PosePictures | None = None
        self.held_out_names: tuple[str, ...] = ()

    def prepare_data(self) -> None:
        """Draw the faces and frame the pictures that are not there yet.

        Raises:
            PosePictureError: no picture of the target shows a face.
            FaceCacheError, OutputError: see the base class.
        """
        super().prepare_data()
        self.framed()

    def framed(self) -> PosePictures:
        """All pictures of the target that show a face. Raises as :meth:`prepare_data`."""
        sources = photos_below(Path(self.target.photos).expanduser())
        with DenseLandmarkDetector() as detector:
            return frame_pictures(sources, Path(self.target.framed).expanduser(), detector)

    def setup(self, stage: str) -> None:
        """Choose the pictures that are adapted to; those of an inductive run that are not are listed in the header of the weights."""
        pictures = self.framed()
        adapted, tested = adaptation_rows(pictures.names, self.target.variant, self.target.held_out)
        self.adapted = pictures.part(adapted)
        self.held_out_names = tuple(pictures.names[row] for row in tested)

    def facts(self) -> dict[str, Any]:
        """What the header of adapted weights says."""
        assert self.adapted is not None
        return {
            "variant": self.target.variant,
            "adapted_to": len(self.adapted),
            "held_out": list(self.held_out_names),
            "left_out": len(self.adapted.left_out),
            "jitter_deg": self.pairing.jitter_deg,
        }

    def train_dataloader(self) -> Any:
        """Pairs from the module's next step on: exactly those an uninterrupted run would see."""
        return stream_loader(self.pairs(StreamPlace.of_trainer(self.trainer)), self.crops.workers)

    def pairs(self, place: StreamPlace) -> Dataset[PoseBatch]:
        """The stream of pairs from a place on."""
        if self.adapted is None:
            self.setup("fit")
        assert self.adapted is not None
        config = self.caches["train"]
        faces = CachedFaces(FaceCache(self.folder / "train", config.count), _SETS, config.synthesis.crop_margin)
        return PairedStream(
            faces, self.source_first, self.adapted, self.predicted_deg(self.adapted), self.pairing, self, place
        )

    @torch.no_grad()
    def predicted_deg(self, pictures: PosePictures) -> Float[Tensor, "t 3"]:
        """What the first phase's network sees in pictures: yaw, pitch, roll."""
        network, _ = load_pose_network(Path(self.initial_weights).expanduser())
        found = []
        for start in range(0, len(pictures), 64):
            rows = list(range(start, min(start + 64, len(pictures))))
            crops, _ = pictures.batch(rows, network.size, None, torch.Generator())
            found.append(rotation_to_angles(network(crops).rotation))
        return torch.cat(found)
