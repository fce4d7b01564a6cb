"""Networks that begin with the features of a landmark network."""

from __future__ import annotations

from pathlib import Path

from recon.networks.backbones import Backbone
from recon.networks.landmark_checkpoint import load_landmark_network
from recon.networks.network_file import CheckpointError


def start_from_landmarks(backbone: Backbone, path: str) -> None:
    """Take the weights of the backbone of a landmark network.

    Args:
        backbone: whose weights are set.
        path: of a ``.safetensors`` file.

    Raises:
        CheckpointError: the file is missing, damaged, no landmark network, or one with another backbone.
    """
    place = Path(path).expanduser()
    landmarks, _ = load_landmark_network(place)
    if landmarks.config.backbone != backbone.name:
        raise CheckpointError(
            f"the backbone of {place} is {landmarks.config.backbone}, the network's {backbone.name}: make them equal"
        )
    backbone.load_state_dict(landmarks.backbone.state_dict())
