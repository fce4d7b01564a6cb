"""Faces for the lifting network: detections on rendered faces, and many more heads that were never rendered."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import bfm
from recon.camera import DEFAULT_DISTANCE_MM
from recon.detection.align import PX_PER_MM_AT_224
from recon.networks.landmark_network import LandmarkPrediction
from recon.networks.lifting_network import NOMINAL_SIZE
from recon.synthesis import SynthesisConfig
from recon.training.face_cache import synthesize_faces
from recon.training.framed_heads import FramedHeads, LandmarkBasis
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import DrawingConfig
from recon.training.landmark_detections import DetectionConfig, LandmarkDetections, detect_cached_faces
from recon.training.lifting_batch import LiftingBatch
from recon.training.module import FaceModelConfig
from recon.training.simulated_landmarks import DetectionNoise, DetectorErrors, SimulatedLandmarks, upright
from recon.training.stream import BatchPlan, StreamPlace, step_seed, stream_loader

_PLAN = BatchPlan(batch_size=256)
_HELD_OUT = HeldOutConfig(count=1024)
_DETECTIONS = DetectionConfig()
_NOISE = DetectionNoise()


@dataclasses.dataclass(frozen=True)
class LiftingMix:
    """What batches are made of.

    Attributes:
        detected: share of faces whose landmarks were found on their pictures; the rest are simulated.
        known_focal: share of faces whose focal length is told; the others are told that of a head at
            :data:`recon.camera.DEFAULT_DISTANCE_MM`, as photos of unknown cameras are.

    Raises:
        ValueError: a share that is none.
    """

    detected: float = 0.5
    known_focal: float = 0.5

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"{field.name} must lie in [0, 1], got {getattr(self, field.name)}")


_MIX = LiftingMix()


def assumed_intrinsics(intrinsics: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3 3"]:
    """Those of standard crops whose focal length is not known: heads lie at the default distance."""
    assumed = intrinsics.clone()
    assumed[:, 0, 0] = assumed[:, 1, 1] = PX_PER_MM_AT_224 * NOMINAL_SIZE / 224.0 * DEFAULT_DISTANCE_MM
    return assumed


def lifting_batch(
    found: LandmarkPrediction, heads: FramedHeads, basis: LandmarkBasis, known_focal: Float[Tensor, " b"]
) -> LiftingBatch:
    """A batch of faces in their standard crops.

    Args:
        found: their landmarks.
        heads: the truth.
        basis: of the landmarks.
        known_focal: ``(B,)`` 1 where the focal length is told, else 0.
    """
    intrinsics = heads.intrinsics
    told = torch.where(known_focal[:, None, None] > 0.5, intrinsics, assumed_intrinsics(intrinsics))
    return LiftingBatch(found, told, heads, heads.landmarks(basis))


@dataclasses.dataclass(frozen=True)
class _Source:
    """What the loader's workers read; see :class:`LiftingStream`."""

    folder: Path
    face_model: FaceModelConfig
    point_sets: tuple[str, ...]
    synthesis: SynthesisConfig
    passes: int
    mix: LiftingMix
    noise: DetectionNoise


class LiftingStream(IterableDataset[LiftingBatch]):
    """Batches from a step on, for ever; step n always holds the same faces."""

    def __init__(self, source: _Source, plan: BatchPlan, place: StreamPlace) -> None:
        super().__init__()
        self.source, self.plan, self.place = source, plan, place

    def __iter__(self) -> Iterator[LiftingBatch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        source, plan = self.source, self.plan
        model = bfm.load(source.face_model.name, source.face_model.path)
        basis = LandmarkBasis(model, source.point_sets)
        detections = LandmarkDetections(source.folder, source.passes)
        errors = DetectorErrors(detections.found, detections.heads, basis)
        simulated = SimulatedLandmarks(model, basis, source.synthesis, errors, source.noise, plan.seed)
        n_detected = round(source.mix.detected * plan.batch_size)
        n_simulated = plan.batch_size - n_detected
        step = self.place.step + first
        while True:
            generator = torch.Generator().manual_seed(step_seed(plan.seed, step, self.place.rank))
            parts = []
            if n_simulated:
                number = (step * self.place.world + self.place.rank) * n_simulated
                parts.append(simulated.sample(list(range(number, number + n_simulated)), generator))
            if n_detected:
                chosen = torch.randint(len(detections), (n_detected,), generator=generator)
                seen = _rows(detections.found, chosen)
                noisy = seen.points + source.noise.own(seen, generator)
                parts.append(upright(dataclasses.replace(seen, points=noisy), detections.heads.select(chosen)))
            known = (torch.rand(plan.batch_size, generator=generator) < source.mix.known_focal).float()
            found = _joined([part[0] for part in parts])
            yield lifting_batch(found, FramedHeads.cat([part[1] for part in parts]), basis, known)
            step += stride


def _rows(found: LandmarkPrediction, rows: Tensor) -> LandmarkPrediction:
    return LandmarkPrediction(**{f.name: getattr(found, f.name)[rows] for f in dataclasses.fields(found)})


def _joined(parts: list[LandmarkPrediction]) -> LandmarkPrediction:
    names = [field.name for field in dataclasses.fields(LandmarkPrediction)]
    return LandmarkPrediction(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


class LiftingData(lightning.LightningDataModule):
    """Detections on faces that are rendered once, before training starts, and heads that are simulated from how these err.

    Args:
        folder: of the synthetic faces, as that of :class:`recon.training.landmark_data.LandmarkData`, whose caches serve.
        drawing: the faces to render; simulated heads vary as they do.
        face_model, point_sets: as in the module; ``train.py`` copies them from there.
        detections: how the rendered faces are looked at.
        plan: batch size and seed.
        mix: of detected and simulated faces.
        noise: of simulated errors.
        held_out: rendered faces for validation, of another seed.
        workers: processes that make batches; 0 makes them in the training process.

    Raises:
        ValueError: fewer than no workers.
    """

    def __init__(
        self,
        folder: str,
        drawing: DrawingConfig,
        face_model: FaceModelConfig | None = None,
        point_sets: tuple[str, ...] = ("520", "478"),
        detections: DetectionConfig = _DETECTIONS,
        plan: BatchPlan = _PLAN,
        mix: LiftingMix = _MIX,
        noise: DetectionNoise = _NOISE,
        held_out: HeldOutConfig = _HELD_OUT,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}; 0 makes batches in the training process")
        self.folder = Path(folder).expanduser()
        self.face_model, self.point_sets = face_model or FaceModelConfig(), tuple(point_sets)
        self.drawing, self.detections, self.plan, self.mix, self.noise = drawing, detections, plan, mix, noise
        self.workers = workers
        self.caches = {
            "train": drawing.training_faces(self.face_model),
            "held_out": drawing.held_out_faces(self.face_model, held_out),
        }

    def prepare_data(self) -> None:
        """Render faces and look at them, as far as that has not been done.

        Raises:
            FaceCacheError: the folder holds other faces or detections.
            CheckpointError: no landmark network.
            OutputError: it cannot be written to.
        """
        for name, config in self.caches.items():
            synthesize_faces(self.folder / name, config, self.drawing.workers)
            once = dataclasses.replace(self.detections, passes=self._passes(name))
            detect_cached_faces(self.folder / name, config.synthesis.crop_margin, once)

    def _passes(self, name: str) -> int:
        return self.detections.passes if name == "train" else 1

    def train_dataloader(self) -> Any:
        """Batches from the module's next step on: exactly those an uninterrupted run would see."""
        stream = LiftingStream(self._source(), self.plan, StreamPlace.of_trainer(self.trainer))
        return stream_loader(stream, self.workers)

    def _source(self) -> _Source:
        # Simulated heads are framed by their landmarks, so the jitter of rendered ones has no meaning for them.
        synthesis = dataclasses.replace(
            self.drawing.synthesis, scale_jitter=0.0, shift_jitter=0.0, turn_jitter_deg=0.0, crop_margin=0.0
        )
        return _Source(
            self.folder / "train",
            self.face_model,
            self.point_sets,
            synthesis,
            self.detections.passes,
            self.mix,
            self.noise,
        )

    @functools.cached_property
    def held_out(self) -> list[LiftingBatch]:
        """Detections on rendered faces that are never trained on; the focal length of every second is told."""
        detections = LandmarkDetections(self.folder / "held_out", self._passes("held_out"))
        basis = LandmarkBasis(bfm.load(self.face_model.name, self.face_model.path), self.point_sets)
        batches = []
        for rows in torch.arange(len(detections)).split(self.plan.batch_size):
            found, heads = upright(_rows(detections.found, rows), detections.heads.select(rows))
            batches.append(lifting_batch(found, heads, basis, (rows % 2 == 0).float()))
        return batches

    def val_dataloader(self) -> Any:
        """Held-out faces."""
        return DataLoader(self.held_out, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    test_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch: LiftingBatch, device: torch.device, dataloader_idx: int) -> LiftingBatch:
        """Batches are not dictionaries, so Lightning needs to be told."""
        return batch.to(device, non_blocking=True)

    def point_statistics(self) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Mean and standard deviation of found points, for the network to start from; no deviation is below a hundredth of the crop."""
        points = torch.cat([batch.found.points for batch in self.held_out])
        return points.mean(dim=0), points.std(dim=0).clamp_min(_LEAST_SIGMA)


_LEAST_SIGMA = 0.01
