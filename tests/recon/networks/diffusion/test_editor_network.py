"""The editor's network: sizes, what it hears, and its file."""

import dataclasses
import json

import pytest
import torch

from recon.networks.diffusion.checkpoint import load_editor, save_editor
from recon.networks.diffusion.editor_network import EditorConfig, EditorNetwork
from recon.networks.diffusion.noise_schedule import NoiseSchedule
from recon.networks.network_file import CheckpointError

SMALL = EditorConfig(
    size=16,
    patch=2,
    channels=8,
    multiples=(1, 2),
    blocks=1,
    head_channels=4,
    dropout=0.0,
    voice="articulators",
    window=3,
)


def _awake(network):
    """Blocks start as the identity and the answer as nothing; give them something to say."""
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def _inputs(config, batch=2):
    generator = torch.Generator().manual_seed(6)
    bands = {"mel": 256, "articulators": 8}[config.voice]
    return (
        torch.randn(batch, config.inputs, config.size, config.size, generator=generator),
        torch.rand(batch, generator=generator),
        torch.rand(batch, config.window, bands, generator=generator),
    )


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (EditorConfig(), 66.66),
        (EditorConfig(multiples=(1, 2, 3), attention_px=(32,), schedule=NoiseSchedule("cosine", 1000)), 13.70),
    ],
)
def test_the_published_editors_have_their_sizes(config, millions):
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in EditorNetwork(config).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("guide", [0, 4])
def test_answers_have_the_pictures_size_and_follow_every_input(patch, guide):
    config = dataclasses.replace(SMALL, patch=patch, guide=guide, attention_px=(16 // patch // 2,))
    network = _awake(EditorNetwork(config))
    seen, level, voice = _inputs(config)
    with torch.no_grad():
        found = network(seen, level, voice)
        assert found.shape == (2, 3, 16, 16)
        for channel in range(config.inputs):
            changed = seen.clone()
            changed[:, channel] += 1.0
            assert (network(changed, level, voice) - found).abs().max() > 1e-4
        assert (network(seen, level * 0.5, voice) - found).abs().max() > 1e-4
        for k in range(config.window):
            changed = voice.clone()
            changed[:, k] += 1.0
            assert (network(seen, level, changed) - found).abs().max() > 1e-4


def test_pictures_of_a_batch_do_not_mix():
    network = _awake(EditorNetwork(SMALL))
    seen, level, voice = _inputs(SMALL)
    with torch.no_grad():
        together = network(seen, level, voice)
        alone = torch.cat([network(seen[k : k + 1], level[k : k + 1], voice[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_a_new_network_answers_nothing_and_learns():
    network = EditorNetwork(SMALL)
    seen, level, voice = _inputs(SMALL)
    found = network(seen, level, voice)
    assert (found == 0).all()
    (found - 1.0).square().mean().backward()
    assert network.last[2].weight.grad.abs().max() > 0


def test_a_file_gives_the_same_network_again(tmp_path):
    config = dataclasses.replace(SMALL, schedule=NoiseSchedule("cosine", 50), target="velocity")
    network = _awake(EditorNetwork(config))
    path = save_editor(tmp_path / "editor.safetensors", network, "meaning", {"error": 0.1})
    again, header = load_editor(path)
    assert again.config == config and header["meaning"] == "meaning" and json.loads(header["metrics"]) == {"error": 0.1}
    inputs = _inputs(config)
    with torch.no_grad():
        torch.testing.assert_close(again(*inputs), network(*inputs))
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_editor(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 18}, "multiple of 4"),
        ({"attention_px": (5,)}, "levels' sides"),
        ({"head_channels": 3}, "head_channels must divide"),
        ({"window": 4}, "window is odd"),
        ({"dropout": 1.0}, "dropout lies"),
        ({"guide": 3}, "guide must be 0 or 4"),
        ({"channels": 0}, "channels must be a whole number"),
        ({"multiples": ()}, "multiples must be"),
    ],
)
def test_impossible_configs_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)
