"""Trains the face box network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.networks.face_box_checkpoint import load_face_box_network, save_face_box_network
from recon.networks.face_box_network import FaceBoxNetwork, FaceBoxNetworkConfig, FaceBoxPrediction, peaks_of, places_px
from recon.networks.network_file import CheckpointError
from recon.training.face_box_batch import FaceBoxBatch
from recon.training.face_scenes import ABSENT, SEEN
from recon.training.initial_backbone import start_from_landmarks
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig
from recon.training.single_network import SingleNetworkModule

_SPREAD = 0.1
"""Standard deviation of a face's peak / side of its box."""
_LEAST_SPREAD_PX = 3.0
_READ = 0.5
"""Size and points are learnt where the peak is at least this high."""
_FOUND = 0.3
"""A peak this near to a face's middle, in sides of its box, has found it."""


@dataclasses.dataclass(frozen=True)
class FaceBoxLossWeights:
    """Of the loss beside the focal term, whose weight is 1.

    Attributes:
        side: of the logarithm of sizes.
        points: of points, in sides of the box.
    """

    side: float = 0.5
    points: float = 8.0


@dataclasses.dataclass(frozen=True, eq=False)
class PlaceTargets:
    """What the places of a grid should answer.

    Attributes:
        peak: ``(B, h, w)`` height of the nearest face's peak, 1 at its middle.
        owner: ``(B, h, w)`` the slot of that face.
        counted: ``(B, h, w)`` not on a face that is doubtful.
    """

    peak: Float[Tensor, "b h w"]
    owner: Int[Tensor, "b h w"]
    counted: Bool[Tensor, "b h w"]


def place_targets(places: Float[Tensor, "h w 2"], batch: FaceBoxBatch, face_px: tuple[float, float]) -> PlaceTargets:
    """Gaussian peaks at the faces' middles; the place nearest to a middle has a full one.

    Args:
        places: px.
        batch: the faces; those smaller or larger than ``face_px`` are doubtful.
        face_px: sizes that are to be found.
    """
    middle, side = batch.points_px[:, :, 0], batch.side_px
    away = (places[None, None] - middle[:, :, None, None]).square().sum(dim=-1)
    spread = (_SPREAD * side).clamp_min(_LEAST_SPREAD_PX)[..., None, None]
    nearest = away <= away.amin(dim=(-2, -1), keepdim=True)
    height = torch.where(nearest, 1.0, torch.exp(-0.5 * away / spread.square()))
    asked = (batch.kind == SEEN) & (side >= face_px[0]) & (side <= face_px[1])
    doubtful = (batch.kind != ABSENT) & ~asked
    peaks = torch.where(asked[..., None, None], height, 0.0)
    peak, owner = peaks.max(dim=1)
    # A doubtful face says nothing about its whole disc.
    radius = (0.4 * side).clamp_min(_LEAST_SPREAD_PX)[..., None, None]
    unsure = (doubtful[..., None, None] & (away < radius.square())).any(dim=1)
    return PlaceTargets(peak, owner, ~unsure | (peak > _READ))


def face_box_loss_terms(
    found: FaceBoxPrediction, batch: FaceBoxBatch, face_px: tuple[float, float], weights: FaceBoxLossWeights
) -> dict[str, Tensor]:
    """Weighted terms by name: the focal loss of Zhou et al. 2019, Eq. 1, and those of sizes and points; a face counts once."""
    target = place_targets(places_px(found.logit[:, None]), batch, face_px)
    full = target.peak > 0.999
    likely = torch.nn.functional.logsigmoid(found.logit)
    unlikely = torch.nn.functional.logsigmoid(-found.logit)
    belief = found.logit.sigmoid()
    yes = (1.0 - belief).square() * likely
    no = (1.0 - target.peak) ** 4 * belief.square() * unlikely
    counted = target.counted.to(belief)
    n_faces = (full & target.counted).sum().clamp_min(1).to(belief)
    focal = -(torch.where(full, yes, no) * counted).sum() / n_faces
    share = torch.where(target.peak > _READ, target.peak, 0.0)
    total = share.sum().clamp_min(1.0)
    rows = torch.arange(len(batch), device=belief.device)[:, None, None]
    side, points = batch.side_px[rows, target.owner], batch.points_px[rows, target.owner]
    size = (share * (found.log_side - side.log()).abs()).sum() / total
    apart = (found.points_px - points).abs().mean(dim=(-2, -1)) / side
    return {"focal": focal, "side": weights.side * size, "points": weights.points * (share * apart).sum() / total}


def average_precision(found: FaceBoxPrediction, batch: FaceBoxBatch, face_px: tuple[float, float]) -> float:
    """Area under the curve of precision over recall; doubtful faces neither count nor harm.

    Args:
        found: the network's answer.
        batch: the faces.
        face_px: sizes that are to be found.
    """
    peaks = peaks_of(found, 0.02)
    asked = (batch.kind == SEEN) & (batch.side_px >= face_px[0]) & (batch.side_px <= face_px[1])
    doubtful = (batch.kind != ABSENT) & ~asked
    taken = torch.zeros_like(asked)
    right: list[bool] = []
    for scene, place in zip(peaks.picture.tolist(), peaks.points_px[:, 0], strict=True):
        away = (batch.points_px[scene, :, 0] - place).norm(dim=-1) / batch.side_px[scene]
        free = asked[scene] & ~taken[scene]
        best = int(torch.where(free, away, torch.inf).argmin())
        if bool(free[best]) and float(away[best]) < _FOUND:
            taken[scene, best] = True
            right.append(True)
        elif not bool(((away < 0.5) & doubtful[scene]).any()):
            right.append(False)
    hits = torch.tensor(right, dtype=torch.float64)
    if not int(asked.sum()):
        return float("nan")
    if not right:
        return 0.0
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    return float((precision.flip(0).cummax(0).values.flip(0) * hits).sum() / asked.sum())


class FaceBoxModule(SingleNetworkModule[FaceBoxNetwork]):
    """Trains a face box network on scenes of synthetic people.

    Args:
        network: how it is built.
        face_model: whose faces.
        weights: of the loss.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from.
        initial_backbone: a ``.safetensors`` file of a landmark network with the same backbone, whose features to start from.

    Raises:
        ValueError: both initial weights and an initial backbone.
        CheckpointError: a file is missing, damaged or of another network.
    """

    def __init__(
        self,
        network: FaceBoxNetworkConfig,
        face_model: FaceModelConfig | None = None,
        weights: FaceBoxLossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.998,
        initial_weights: str | None = None,
        initial_backbone: str | None = None,
    ) -> None:
        if initial_weights is not None and initial_backbone is not None:
            raise ValueError("give initial_weights or initial_backbone, not both")
        made = FaceBoxNetwork(network)
        if initial_weights is not None:
            found, _ = load_face_box_network(Path(initial_weights).expanduser())
            if dataclasses.replace(found.config, size=network.size, pretrained=network.pretrained) != network:
                raise CheckpointError(
                    f"{initial_weights} is of another network than that of the config: {found.config}"
                )
            made.load_state_dict(found.state_dict())
        if initial_backbone is not None:
            start_from_landmarks(made.backbone, initial_backbone)
        super().__init__(made, optimiser or OptimiserConfig(), average, "missed")
        self.weights = weights or FaceBoxLossWeights()
        self.face_model = face_model or FaceModelConfig()

    def training_step(self, batch: FaceBoxBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        found = self.network(batch.image.contiguous(memory_format=torch.channels_last))
        terms = face_box_loss_terms(found, batch, self.network.config.face_px, self.weights)
        return self.counted_loss(terms, batch)

    def validation_step(self, batch: FaceBoxBatch, batch_idx: int) -> None:
        """Add a batch's figures; ``missed`` is 100 less the average precision in percent."""
        face_px = self.averaged.config.face_px
        with torch.no_grad():
            found = self.averaged(batch.image)
            means = face_box_loss_terms(found, batch, face_px, self.weights)
            # Of a batch, not of a picture: precision ranks all of its finds.
            means["missed"] = found.logit.new_tensor(100.0 * (1.0 - average_precision(found, batch, face_px)))
            self.add_metrics({name: value.expand(len(batch)) for name, value in means.items()})

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.face_box_checkpoint.load_face_box_network`."""
        return save_face_box_network(path, self.averaged, metrics, extra)
