"""The face recognition network of the perceptual loss, by config."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recon.networks.arcface import ArcFace, WeightsMissing, load_iresnet


@dataclasses.dataclass(frozen=True)
class EmbeddingConfig:
    """Which network, and where its weights are.

    Attributes:
        network: ``iresnet50`` or ``iresnet100`` (the paper's).
        weights: ``backbone.pth`` of arcface_torch or a recognition ``.onnx`` of insightface.
    """

    network: str = "iresnet100"
    weights: str | None = None


def open_embedding(config: EmbeddingConfig | None, wanted: bool) -> ArcFace | None:
    """The network, or ``None`` if the perceptual loss has no weight.

    Raises:
        WeightsMissing: the loss has a weight and there are no weights.
    """
    if not wanted:
        return None
    if config is None or config.weights is None:
        raise WeightsMissing(
            "the perceptual loss needs weights of a face recognition network: set embedding.weights to backbone.pth of "
            "arcface_torch or to a recognition .onnx of insightface, or set weights.perceptual to 0"
        )
    return ArcFace(load_iresnet(Path(config.weights).expanduser(), config.network))
