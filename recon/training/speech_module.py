"""Trains the speech network: sounds in, the motion of the mouth that makes them out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.networks.speech_checkpoint import load_speech_network, save_speech_network
from recon.networks.speech_network import SpeechNetwork, SpeechNetworkConfig
from recon.speech.animator import speech_meaning
from recon.speech.articulation import ARTICULATORS
from recon.speech.features import MelConfig
from recon.training.schedule import OptimiserConfig
from recon.training.speech_data import SpeechBatch
from recon.training.tied_module import Tie, TiedModule

_SPREAD = {
    "jaw": 0.07,
    "closure": 0.3,
    "pucker": 0.15,
    "funnel": 0.1,
    "spread": 0.1,
    "tuck": 0.25,
    "upper": 0.07,
    "lower": 0.08,
}
"""How much each articulator moves in speech: errors count in its units."""
_CLOSURE, _JAW = ARTICULATORS.index("closure"), ARTICULATORS.index("jaw")
_SHUT = 0.5


@dataclasses.dataclass(frozen=True)
class SpeechLossWeights:
    """Weights of the loss.

    Attributes:
        position: of squared errors in units of how much an articulator moves.
        velocity: of those of its change from one feature to the next.
        closure: factor on the closure's errors, which are seen at once; they count three times where the lips are shut.

    Raises:
        ValueError: a negative weight.
    """

    position: float = 1.0
    velocity: float = 1.0
    closure: float = 2.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) >= 0.0:
                raise ValueError(f"{field.name} must be at least 0, got {getattr(self, field.name)}")


def speech_loss_terms(
    found: Float[Tensor, "b n a"], true: Float[Tensor, "b n a"], weights: SpeechLossWeights
) -> dict[str, Tensor]:
    """Terms of the loss by name, of motions at the same times."""
    scale = true.new_tensor([_SPREAD[name] for name in ARTICULATORS])
    factor = torch.ones_like(true)
    factor[..., _CLOSURE] = weights.closure * (1.0 + 2.0 * true[..., _CLOSURE])
    off = (found - true) / scale
    return {
        "position": weights.position * (factor * off.square()).mean(),
        "velocity": weights.velocity * (factor[:, 1:] * off.diff(dim=1).square()).mean(),
    }


def speech_metrics(found: Float[Tensor, "b n a"], true: Float[Tensor, "b n a"]) -> dict[str, Float[Tensor, " b"]]:
    """Of each sentence: correlations of jaw and closure with the truth; of the features at which the lips are shut, the share that is
    found, and of those that are found, the share that is true; and ``error``, which is low when all are good."""
    jaw = _correlation(found[..., _JAW], true[..., _JAW])
    closure = _correlation(found[..., _CLOSURE], true[..., _CLOSURE])
    shut, said = true[..., _CLOSURE] > _SHUT, found[..., _CLOSURE] > _SHUT
    both = (shut & said).sum(dim=1).to(found.dtype)
    scale = true.new_tensor([_SPREAD[name] for name in ARTICULATORS])
    return {
        "jaw_correlation": jaw,
        "closure_correlation": closure,
        "closure_recall": both / shut.sum(dim=1).clamp_min(1),
        "closure_precision": both / said.sum(dim=1).clamp_min(1),
        "error": ((found - true) / scale).square().mean(dim=(1, 2)).sqrt(),
    }


def _correlation(x: Float[Tensor, "b n"], y: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    return (x * y).sum(dim=1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-9)


class SpeechModule(TiedModule[SpeechNetwork]):
    """Trains a speech network on sounds whose mouths are known.

    Args:
        network: how it is built.
        mel: its features.
        weights: of the loss.
        optimiser: how it moves.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from.

    Raises:
        ValueError: an impossible setting, named.
        CheckpointError: the initial weights are missing, damaged, or of other features.
    """

    def __init__(
        self,
        network: SpeechNetworkConfig,
        mel: MelConfig | None = None,
        weights: SpeechLossWeights | None = None,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.999,
        initial_weights: str | None = None,
    ) -> None:
        features = mel or MelConfig()
        if network.bands != features.bands or network.outputs != len(ARTICULATORS):
            raise ValueError(
                f"the network must take {features.bands} bands and tell of {len(ARTICULATORS)} articulators, got {network.bands} and "
                f"{network.outputs}"
            )
        meaning = speech_meaning(features)
        made = SpeechNetwork(network)
        if initial_weights is not None:
            found, _ = load_speech_network(Path(initial_weights).expanduser(), meaning)
            made.load_state_dict(found.state_dict())
        tie = Tie("meaning", meaning, "other features or articulators")
        super().__init__(made, tie, optimiser or OptimiserConfig(), average, "closure_correlation")
        self.weights = weights or SpeechLossWeights()
        self._starts_anew = initial_weights is None

    def on_fit_start(self) -> None:
        """A new run takes the mean of the features, which the data know."""
        data = getattr(self.trainer, "datamodule", None)
        if self.batches_seen == 0 and self._starts_anew and data is not None:
            mean, std = data.feature_statistics()
            for network in (self.network, self.averaged):
                network.start_from(mean, std)

    def _found_and_true(self, network: SpeechNetwork, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """Motions at the same times: an answer comes ``lookahead`` features late, and of the times before the first it knows nothing."""
        late = network.config.lookahead
        return network(batch.features)[:, late:], batch.articulation[:, : batch.articulation.shape[1] - late]

    def training_step(self, batch: SpeechBatch, batch_idx: int) -> Tensor:
        """One step; each term is logged under its own name."""
        self.restore_random_state()
        found, true = self._found_and_true(self.network, batch)
        return self.counted_loss(speech_loss_terms(found, true, self.weights), batch)

    def validation_step(self, batch: SpeechBatch, batch_idx: int) -> None:
        """Add a batch's errors."""
        with torch.no_grad():
            self.add_metrics(speech_metrics(*self._found_and_true(self.averaged, batch)))

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.speech_checkpoint.load_speech_network`."""
        return save_speech_network(path, self.averaged, self.tie.value, metrics, extra)
