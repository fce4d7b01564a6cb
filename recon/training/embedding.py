"""The identity network of the perceptual loss, by config."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recon.networks.arcface import ArcFace, WeightsMissing, load_iresnet
from recon.networks.identity_checkpoint import DEFAULT_IDENTITY_NETWORK, load_identity_network
from recon.networks.identity_network import IRESNETS

OPEN_EMBEDDING = "open"


@dataclasses.dataclass(frozen=True)
class EmbeddingConfig:
    """Which network, and where its weights are.

    Attributes:
        network: ``open``, one that this package trained; or ``iresnet18``, ``iresnet50`` or ``iresnet100`` (the paper's) with published weights.
        weights: of ``open`` a ``.safetensors`` file of ``configs/identity.yaml``, or ``None`` for the one of the package; of the
            others ``backbone.pth`` of arcface_torch or a recognition ``.onnx`` of insightface.
    """

    network: str = OPEN_EMBEDDING
    weights: str | None = None


def open_embedding(config: EmbeddingConfig | None, wanted: bool) -> ArcFace | None:
    """The network, or ``None`` if the perceptual loss has no weight.

    Raises:
        WeightsMissing: the loss has a weight and there are no weights of a published network, or they do not fit.
        CheckpointError: the weights of ``open`` are missing, damaged or of another kind.
        ValueError: an unknown network.
    """
    if not wanted:
        return None
    config = config or EmbeddingConfig()
    if config.network == OPEN_EMBEDDING:
        network, _ = load_identity_network(Path(config.weights or DEFAULT_IDENTITY_NETWORK).expanduser())
        return ArcFace(network)
    if config.network not in IRESNETS:
        raise ValueError(
            f"embedding.network must be one of {', '.join((OPEN_EMBEDDING, *IRESNETS))}, got {config.network!r}"
        )
    if config.weights is None:
        raise WeightsMissing(
            f"{config.network} needs weights: set embedding.weights to backbone.pth of arcface_torch or to a recognition .onnx of "
            "insightface, embedding.network to open for the network of this package, or weights.perceptual to 0"
        )
    return ArcFace(load_iresnet(Path(config.weights).expanduser(), config.network))
