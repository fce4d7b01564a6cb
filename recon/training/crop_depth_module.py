"""Trains our depth network of face crops."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from losses.facial_depth import laplace_nll, normal_cosine, slope_l1
from recon.networks.depth.checkpoint import load_depth_network, save_depth_network
from recon.networks.depth.crop_depth import (
    CLASSES,
    SIDES_PER_MM,
    CropDepthConfig,
    CropDepthNetwork,
    CropDepthPrediction,
)
from recon.networks.network_file import CheckpointError
from recon.training.depth_batch import UNKNOWN, DepthBatch
from recon.training.depth_metrics import depth_metrics, normals_error_deg
from recon.training.initial_backbone import start_from_landmarks
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import SingleNetworkModule


@dataclasses.dataclass(frozen=True)
class CropDepthWeights:
    """Of the loss of our network.

    Attributes:
        relief: of the likelihood of the relief.
        scale: of the likelihood of the logarithm of the scale.
        normals: of 1 - cosine.
        slope: of the relief's slopes, in sides a side.
        classes: of the cross entropy of what is seen.
        hair, other: of a pixel that shows hair, or anything beside head and body, where one of skin has 1.

    Raises:
        ValueError: a weight below 0.
    """

    relief: float = 1.0
    scale: float = 0.3
    normals: float = 2.0
    slope: float = 0.3
    classes: float = 0.5
    hair: float = 0.4
    other: float = 0.15

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0.0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"weights.{field.name} must be 0 or more, got {getattr(self, field.name)}")


@dataclasses.dataclass(frozen=True, eq=False)
class ReliefTargets:
    """What the network should answer.

    Attributes:
        relief: ``(B, 1, H, W)``; means nothing where depth is not known.
        log_scale: ``(B,)``.
    """

    relief: Float[Tensor, "b 1 h w"]
    log_scale: Float[Tensor, " b"]

    @classmethod
    def of(cls, batch: DepthBatch) -> ReliefTargets:
        """By the meaning of both, see :mod:`recon.networks.depth.crop_depth`."""
        sides_per_mm = batch.focal_sides / batch.origin_mm
        behind_mm = batch.depth_mm - batch.origin_mm[:, None, None, None]
        return cls(behind_mm * sides_per_mm[:, None, None, None], (sides_per_mm / SIDES_PER_MM).log())


def pixel_weights(batch: DepthBatch, weights: CropDepthWeights) -> Float[Tensor, "b 1 h w"]:
    """How much each pixel counts; those whose class is hidden count as skin does, and the background not at all."""
    of_class = {"background": 0.0, "skin": 1.0, "hair": weights.hair, "other": weights.other}
    table = batch.image.new_tensor([*(of_class[name] for name in CLASSES), 1.0])  # the last is UNKNOWN's, -1
    return table[batch.classes][:, None]


def crop_depth_terms(found: CropDepthPrediction, batch: DepthBatch, weights: CropDepthWeights) -> dict[str, Tensor]:
    """Weighted terms by name; their sum is the loss."""
    target = ReliefTargets.of(batch)
    shares = pixel_weights(batch, weights)
    with_depth = shares * batch.known
    with_normal = shares * (batch.normals != 0.0).any(dim=1, keepdim=True)
    difference = torch.where(batch.known, found.relief - target.relief, 0.0)
    off = (found.log_scale - target.log_scale).abs()
    scale = found.log_sigma_scale + off * torch.exp(-found.log_sigma_scale)
    classes = torch.nn.functional.cross_entropy(found.classes, batch.classes, ignore_index=UNKNOWN)
    return {
        "relief": weights.relief * laplace_nll(difference, found.log_sigma, with_depth).mean(),
        "scale": weights.scale * scale.mean(),
        "normals": weights.normals * normal_cosine(found.normals, batch.normals, with_normal).mean(),
        "slope": weights.slope * difference.shape[-1] * slope_l1(difference, with_depth).mean(),
        "classes": weights.classes * classes,
    }


def crop_depth_metrics(found: CropDepthPrediction, batch: DepthBatch) -> dict[str, Float[Tensor, " b"]]:
    """Those of :func:`recon.training.depth_metrics.depth_metrics`; ``normals_deg``; ``classes``, the share of pixels of
    the right class; and ``within_sigma``, the share of skin whose relief is nearer to the truth than the scale of its own
    Laplace distribution, of which 63 % should be."""
    target, face = ReliefTargets.of(batch), batch.face
    with_normal = face & (batch.normals != 0.0).any(dim=1, keepdim=True)
    told = batch.classes != UNKNOWN
    right = (found.classes.argmax(dim=1) == batch.classes) & told
    within = ((found.relief - target.relief).abs() < found.log_sigma.exp()) & face
    return {
        **depth_metrics(found.depth_mm(batch.focal_sides), batch.depth_mm, face),
        "normals_deg": normals_error_deg(found.normals, batch.normals, with_normal),
        "classes": right.float().sum(dim=(1, 2)) / told.sum(dim=(1, 2)).clamp_min(1),
        "within_sigma": within.float().sum(dim=(1, 2, 3)) / face.sum(dim=(1, 2, 3)).clamp_min(1),
    }


def _of_same_build(path: Path, config: CropDepthConfig) -> CropDepthNetwork:
    found, _ = load_depth_network(path)
    if not isinstance(found, CropDepthNetwork) or found.config != dataclasses.replace(
        config, size=found.config.size, pretrained=False
    ):
        raise CheckpointError(f"{path} is of another network than that of the config: {found.config}")
    return found


class CropDepthModule(SingleNetworkModule[CropDepthNetwork]):
    """Trains our depth network on drawn faces.

    Args:
        network: how it is built.
        face_model: whose faces.
        weights: of the loss.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from, of any size of crop.
        initial_backbone: a ``.safetensors`` file of a landmark network with the same backbone, whose features to start from.

    Raises:
        ValueError: both initial weights and an initial backbone.
        CheckpointError: a file is missing, damaged or of another network.
    """

    def __init__(
        self,
        network: CropDepthConfig,
        face_model: FaceModelConfig | None = None,
        weights: CropDepthWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.998,
        initial_weights: str | None = None,
        initial_backbone: str | None = None,
    ) -> None:
        if initial_weights is not None and initial_backbone is not None:
            raise ValueError("give initial_weights or initial_backbone, not both")
        made = CropDepthNetwork(network)
        if initial_weights is not None:
            made.load_state_dict(_of_same_build(Path(initial_weights).expanduser(), network).state_dict())
        if initial_backbone is not None:
            start_from_landmarks(made.backbone, initial_backbone)
        super().__init__(made, optimiser or OptimiserConfig(), average, "scaled_rmse_mm")
        self.weights = weights or CropDepthWeights()
        self.face_model = face_model or FaceModelConfig()

    def training_step(self, batch: DepthBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        found = self.network(batch.image.contiguous(memory_format=torch.channels_last))
        return self.counted_loss(crop_depth_terms(found, batch, self.weights), batch)

    def validation_step(self, batch: DepthBatch, batch_idx: int) -> None:
        """Add a batch's errors."""
        with torch.no_grad():
            self.add_metrics(crop_depth_metrics(self.averaged(batch.image), batch))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.depth.checkpoint.load_depth_network`."""
        return save_depth_network(path, self.averaged, metrics, extra)
