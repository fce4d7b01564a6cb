"""A speech network that has learnt nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.networks.speech_checkpoint import save_speech_network
from recon.networks.speech_network import SpeechNetwork, SpeechNetworkConfig
from recon.speech.animator import speech_meaning
from recon.speech.features import MelConfig


@pytest.fixture(scope="session")
def speech_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights that answers differently to different sounds."""
    torch.manual_seed(0)
    network = SpeechNetwork(SpeechNetworkConfig(width=12, dilations=(1, 2, 4), lookahead=4))
    network.start_from(torch.full((256,), -5.0), torch.full((256,), 3.0))
    for layer in (network.first, network.last[1]):
        torch.nn.init.normal_(layer.weight, std=0.3)
    path = tmp_path_factory.mktemp("speech") / "random.safetensors"
    return save_speech_network(path, network, speech_meaning(MelConfig()), {})
