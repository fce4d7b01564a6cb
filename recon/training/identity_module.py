"""Trains identity networks on drawn people by ArcFace's loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import bfm
from losses.angular_margin import angular_margin_loss, check_margin
from recon.evaluation.metrics.embedding_pairs import PairSimilarities
from recon.networks.identity_checkpoint import load_identity_network, save_identity_network
from recon.networks.identity_network import (
    AnyIdentityNetwork,
    IdentityConfig,
    IdentityNetwork,
    build_identity_network,
    config_of_network,
)
from recon.networks.network_file import CheckpointError
from recon.training.identity_data import IdentityBatch, IdentityData, n_traits
from recon.training.initial_backbone import start_from_landmarks
from recon.training.module import FaceModelConfig
from recon.training.schedule import OptimiserConfig, make_optimiser, make_scheduler
from recon.training.single_network import SingleNetworkModule


class IdentityModule(SingleNetworkModule[AnyIdentityNetwork]):
    """Embeddings of pictures of one person gather around a direction that is the person's own.

    The direction is a linear map of what is known of the person, learnt for all together, and a part of its own, which begins with 0: of
    thousands of people with a few pictures each, directions that are learnt one by one take long to get anywhere.

    Args:
        network: how it is built.
        people: in the data.
        face_model: of the drawn faces.
        margin_rad, scale: of the loss, see :func:`losses.angular_margin.angular_margin_loss`.
        margin_warm_up: steps over which the margin grows from 0.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run of the same network to start from.
        initial_backbone: a ``.safetensors`` file of a landmark network with the same backbone, whose features to start from.

    Raises:
        ValueError: fewer than two people; an impossible margin, scale or warm-up; both initial weights and an initial backbone, or a backbone for an IResNet.
        CheckpointError: a file is missing, damaged or of another network.
    """

    def __init__(
        self,
        network: IdentityConfig,
        people: int,
        face_model: FaceModelConfig | None = None,
        margin_rad: float = 0.4,
        scale: float = 32.0,
        margin_warm_up: int = 1000,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.998,
        initial_weights: str | None = None,
        initial_backbone: str | None = None,
    ) -> None:
        check_margin(margin_rad, scale)
        if margin_warm_up < 0:
            raise ValueError(f"margin_warm_up must be at least 0 steps, got {margin_warm_up}")
        if people < 2:
            raise ValueError(f"people are told apart, so at least two are needed, got {people}")
        if initial_weights is not None and initial_backbone is not None:
            raise ValueError("give initial_weights or initial_backbone, not both")
        made = build_identity_network(network)
        if initial_weights is not None:
            _start_from_weights(made, Path(initial_weights).expanduser())
        if initial_backbone is not None:
            if not isinstance(made, IdentityNetwork):
                raise ValueError(
                    f"{network.architecture} shares no backbone with landmark networks; leave initial_backbone out"
                )
            start_from_landmarks(made.backbone, initial_backbone)
        super().__init__(made, optimiser or OptimiserConfig(), average, "equal_error_percent")
        self.margin_rad, self.scale, self.margin_warm_up = margin_rad, scale, margin_warm_up
        self.face_model, self.people = face_model or FaceModelConfig(), people
        traits = n_traits(bfm.load(self.face_model.name, self.face_model.path))
        self.trait_directions = nn.Linear(traits, network.embedding, bias=False)
        self.person_directions = nn.Parameter(torch.zeros(people, network.embedding))
        self._traits = torch.zeros(people, traits)
        self._seen: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self) -> None:
        """Take what the data know of the people.

        Raises:
            ValueError: no data of people.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, IdentityData):
            raise ValueError(f"IdentityModule learns from IdentityData, got {type(data).__name__}")
        self.set_traits(data.traits())

    def set_traits(self, traits: Float[Tensor, "people t"]) -> None:
        """Set what is known of the people, see :meth:`recon.training.identity_data.IdentityData.traits`."""
        self._traits = traits.to(self.device)

    def prototypes(self) -> Float[Tensor, "people d"]:
        """The directions of all people."""
        found: Tensor = self.trait_directions(self._traits) + self.person_directions
        return found

    def training_step(self, batch: IdentityBatch, batch_idx: int) -> Tensor:
        """One step."""
        self.restore_random_state()
        found = self.network(_scaled(batch))
        margin = self.margin_rad * min(1.0, self.batches_seen / max(1, self.margin_warm_up))
        loss = angular_margin_loss(found.float(), self.prototypes(), batch.person, margin, self.scale)
        return self.counted_loss({"person": loss}, batch)

    def on_validation_epoch_start(self) -> None:
        """Start anew."""
        super().on_validation_epoch_start()
        self._seen = []

    def validation_step(self, batch: IdentityBatch, batch_idx: int) -> None:
        """Keep a batch's embeddings."""
        with torch.no_grad():
            self._seen.append((self.averaged(_scaled(batch)).float(), batch.person))

    def on_validation_epoch_end(self) -> None:
        """Log how well people are told apart who were not trained on: errors, so that less is better."""
        seen = [tuple(torch.cat(parts).cpu() for parts in zip(*self._seen, strict=True))]
        if self.trainer.world_size > 1:
            every: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(every, seen[0])  # shares may differ in size
            seen = every
        embeddings, person = (torch.cat(parts) for parts in zip(*seen, strict=True))
        pairs = PairSimilarities.of(embeddings.numpy().astype(np.float64), person.numpy())
        self.log("val/equal_error_percent", 100.0 * pairs.equal_error_rate(), prog_bar=True)
        self.log("val/false_rejects_percent", 100.0 * (1.0 - pairs.accepted(0.01)[0]))

    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def configure_optimizers(self) -> Any:
        """Of the network and of the persons' directions."""
        moved = nn.Module()
        moved.network, moved.trait_directions, moved.person_directions = (
            self.network,
            self.trait_directions,
            self.person_directions,
        )
        optimiser = make_optimiser(moved, self.optimiser, "network.backbone.")
        schedule = {"scheduler": make_scheduler(optimiser, self.optimiser), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.identity_checkpoint.load_identity_network`."""
        return save_identity_network(path, self.averaged, metrics, extra)


def _scaled(batch: IdentityBatch) -> Tensor:
    return (2.0 * batch.image - 1.0).contiguous(memory_format=torch.channels_last)


def _start_from_weights(network: AnyIdentityNetwork, place: Path) -> None:
    found, _ = load_identity_network(place)
    if config_of_network(found) != config_of_network(network):
        raise CheckpointError(
            f"{place} is of another network than that of the config: {config_of_network(found)}, expected {config_of_network(network)}"
        )
    network.load_state_dict(found.state_dict())
