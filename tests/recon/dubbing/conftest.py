"""Small editors: one with random weights, and one with a guide that has learnt nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from recon.dubbing.voices import voice_meaning
from recon.networks.diffusion.checkpoint import save_editor
from recon.networks.diffusion.editor_network import EditorConfig, EditorNetwork
from recon.networks.diffusion.noise_schedule import NoiseSchedule

SMALL_EDITOR = EditorConfig(
    size=32,
    patch=2,
    channels=8,
    multiples=(1, 2),
    blocks=1,
    head_channels=4,
    dropout=0.0,
    voice="articulators",
    schedule=NoiseSchedule("cosine", 40),
    target="velocity",
)


@pytest.fixture(scope="session")
def editor_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It answers something, and differently to different voices."""
    torch.manual_seed(3)
    network = EditorNetwork(SMALL_EDITOR)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("editor") / "random.safetensors"
    return save_editor(path, network, voice_meaning("articulators"), {})


@pytest.fixture(scope="session")
def guided_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It answers 0. In one step from pure noise nothing but the guide is left."""
    config = dataclasses.replace(SMALL_EDITOR, size=64, guide=4, follows=False, difference=4.0, draw_steps=1)
    path = tmp_path_factory.mktemp("guided") / "new.safetensors"
    return save_editor(path, EditorNetwork(config), voice_meaning("articulators"), {})
