"""The speech network: pieces and wholes, causality, its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.networks.network_file import CheckpointError
from recon.networks.speech_checkpoint import load_speech_network, save_speech_network
from recon.networks.speech_network import SpeechNetwork, SpeechNetworkConfig

_CONFIG = SpeechNetworkConfig(bands=11, outputs=3, width=8, kernel=3, dilations=(1, 3), lookahead=2)


@pytest.fixture
def network() -> SpeechNetwork:
    torch.manual_seed(0)
    return SpeechNetwork(_CONFIG).eval().requires_grad_(False)


def _features(n: int = 23, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, n, 11, generator=torch.Generator().manual_seed(1))


def test_pieces_give_the_numbers_of_the_whole(network: SpeechNetwork) -> None:
    features = _features()
    whole = network(features)
    assert whole.shape == (2, 23, 3) and float(whole.std()) > 1e-3
    for sizes in ([23], [1] * 23, [2, 9, 1, 11]):
        state, parts = network.initial_state(2), []
        for piece in features.split(sizes, dim=1):
            logits, state = network.step(piece, state)
            parts.append(torch.sigmoid(logits))
        torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_the_past_that_is_heard_is_as_long_as_it_should_be(network: SpeechNetwork) -> None:
    features = _features(batch=1)
    before = network(features)
    for at in (0, 9):
        changed = features.clone()
        changed[:, at] += 1.0
        moved = (network(changed) - before).abs().amax(dim=(0, 2)) > 1e-7
        reach = (_CONFIG.kernel - 1) * sum(_CONFIG.dilations)
        assert torch.nonzero(moved)[:, 0].tolist() == list(range(at, at + reach + 1))


def test_a_batch_is_its_rows(network: SpeechNetwork) -> None:
    features = _features()
    torch.testing.assert_close(network(features)[1:], network(features[1:]))


def test_every_weight_learns() -> None:
    network = SpeechNetwork(_CONFIG)
    network(_features()).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0.0 for p in network.parameters())


def test_features_are_seen_in_their_units(network: SpeechNetwork) -> None:
    features = _features()
    wanted = network(features)
    network.start_from(torch.full((11,), 3.0), torch.full((11,), 2.0))
    torch.testing.assert_close(network(features * 2.0 + 3.0), wanted)
    network.start_from(torch.zeros(11), torch.zeros(11))
    assert bool(torch.isfinite(network(features)).all())


def test_files(network: SpeechNetwork, tmp_path: Path) -> None:
    path = save_speech_network(tmp_path / "speech.safetensors", network, "meaning", {"error": 1.0}, dtype=torch.float16)
    again, header = load_speech_network(path, "meaning")
    assert again.config == _CONFIG and '"error": 1.0' in header["metrics"]
    torch.testing.assert_close(again(_features()), network(_features()), atol=2e-3, rtol=0)
    with pytest.raises(CheckpointError, match="other features"):
        load_speech_network(path, "another")


@pytest.mark.parametrize(
    "changes",
    [{"width": 0}, {"kernel": 65}, {"dilations": ()}, {"dilations": (0,)}, {"lookahead": -1}, {"bands": -1}],
)
def test_configs_that_no_network_has(changes: dict) -> None:
    with pytest.raises(ValueError):
        SpeechNetworkConfig(**changes)
