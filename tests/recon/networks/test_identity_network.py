"""Identity networks: shapes, files, and what is refused."""

import json

import pytest
import torch

from recon.networks.arcface import ArcFace, IResNet
from recon.networks.backbones import BackboneError
from recon.networks.identity_checkpoint import load_identity_network, save_identity_network
from recon.networks.identity_network import (
    IdentityConfig,
    IdentityNetwork,
    build_identity_network,
    config_of_network,
)
from recon.networks.network_file import CheckpointError

SMALL = IdentityConfig("mobilenetv4_small_050", embedding=24, width=8)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(1)
    return build_identity_network(SMALL).eval()


def test_embeddings_of_crops_and_the_places_of_features_count(small):
    crops = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    found = small(crops)
    assert found.shape == (3, 24)
    torch.testing.assert_close(small(crops[1:2]), found[1:2], atol=1e-5, rtol=1e-4)
    assert (small(crops.roll(32, dims=-1)) - found).abs().max() > 1e-3
    assert small.fc.in_features == 8 * 49 + small.backbone.channels[0]


@pytest.mark.parametrize("config", [SMALL, IdentityConfig("iresnet18", embedding=16, width=4, drop=0.0)])
def test_a_network_comes_back_from_its_file(tmp_path, config):
    torch.manual_seed(2)
    network = build_identity_network(config).eval()
    assert isinstance(network, IResNet if config.architecture.startswith("iresnet") else IdentityNetwork)
    assert config_of_network(network) == config
    path = save_identity_network(tmp_path / "n.safetensors", network, {"val/equal_error": 12.5})
    again, header = load_identity_network(path)
    assert config_of_network(again) == config and json.loads(header["metrics"]) == {"val/equal_error": 12.5}
    crops = torch.rand(2, 3, 112, 112) - 0.5
    assert torch.equal(again(crops), network(crops))
    assert not again.training


def test_the_perceptual_loss_reaches_the_picture_through_it(small):
    picture = torch.rand(1, 3, 90, 120, requires_grad=True)
    marks = torch.rand(1, 68, 2) * 40.0 + 30.0
    ArcFace(small)(picture, marks).square().sum().backward()
    assert torch.isfinite(picture.grad).all() and picture.grad.abs().sum() > 0.0
    assert all(parameter.grad is None for parameter in small.parameters())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"embedding": 0}, ValueError, "embedding must be a whole number from 1"),
        ({"width": 5000}, ValueError, "width must be a whole number from 1"),
        ({"drop": 1.0}, ValueError, "drop must lie in"),
        ({"architecture": "swin_tiny"}, BackboneError, "built for one size of picture and none of 112 px"),
        ({"architecture": "alexnet"}, BackboneError, "unknown backbone 'alexnet'"),
    ],
)
def test_impossible_networks_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        build_identity_network(IdentityConfig(**changes))


def test_other_files_are_refused(tmp_path, small):
    path = save_identity_network(tmp_path / "n.safetensors", small, {})
    path.write_bytes(path.read_bytes().replace(b"facerecon-identity-1", b"facerecon-identity-9"))
    with pytest.raises(CheckpointError, match="identity network"):
        load_identity_network(path)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_identity_network(tmp_path / "absent.safetensors")
