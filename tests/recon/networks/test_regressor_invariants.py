"""What holds for a whole regressor, whichever backbone it has."""

import pytest
import torch
from network_parts import TINY, intrinsics, pictures, tiny_regressor

from recon.networks.backbones import BACKBONES, Backbone, BackboneError


def test_every_backbone_is_tested():
    assert set(TINY) == set(BACKBONES)


@pytest.mark.parametrize("name", TINY)
def test_values_are_finite_and_every_trainable_parameter_gets_a_gradient(name):
    network = tiny_regressor(name).train()
    frozen = network.backbone.get_parameter(next(iter(dict(network.backbone.named_parameters()))))
    frozen.requires_grad_(False)
    found = network(pictures(), intrinsics())
    shapes = {name: tuple(tensor.shape) for name, tensor in found.tensors().items()}
    assert shapes == {
        "identity": (2, 3),
        "expression": (2, 5),
        "albedo": (2, 4),
        "rotation": (2, 3, 3),
        "translation_mm": (2, 3),
        "lighting": (2, 9, 3),
    }
    assert all(bool(torch.isfinite(tensor).all()) for tensor in found.tensors().values())
    sum((tensor * torch.randn_like(tensor)).sum() for tensor in found.tensors().values()).backward()
    without = [key for key, p in network.named_parameters() if p.requires_grad and p.grad is None]
    # Stages beyond the last map used have no part in the answer; there must be none.
    assert not without, without
    assert frozen.grad is None


@pytest.mark.parametrize("name", TINY)
def test_a_batch_is_its_singles_and_state_survives(name):
    network = tiny_regressor(name).eval()
    with torch.no_grad():
        whole = network(pictures(), intrinsics()).tensors()
        other = tiny_regressor(name, seed=5).eval()
        other.load_state_dict(network.state_dict(), strict=True)
        for k in range(2):
            single = other(pictures()[k : k + 1], intrinsics()[k : k + 1]).tensors()
            for key, tensor in whole.items():
                torch.testing.assert_close(single[key][0], tensor[k], rtol=2e-4, atol=2e-4, msg=f"{name} {key}")
    assert not torch.allclose(whole["identity"][0], whole["identity"][1]), "different pictures, different faces"


def test_feature_aggregation_can_be_left_out_and_changes_the_answer():
    plain, refined = tiny_regressor(fam=False).eval(), tiny_regressor(fam=True).eval()
    count = [sum(p.numel() for p in network.parameters()) for network in (plain, refined)]
    assert count[0] != count[1]
    with torch.no_grad():
        assert plain.features(pictures()).shape == (2, 64)  # the coarsest map: 8 C
        assert refined.features(pictures()).shape == (2, 8)  # the finest


def test_checkpointing_changes_memory_not_gradients():
    grads = []
    for switch in (False, True):
        network = tiny_regressor(checkpointing=switch).train()
        network(pictures(), intrinsics()).identity.sum().backward()
        grads.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    for first, second in zip(*grads, strict=True):
        torch.testing.assert_close(first, second)


def test_normalisation_is_part_of_the_network():
    network = tiny_regressor().eval()
    keys = [key for key in network.state_dict() if key.endswith(("backbone.mean", "backbone.std"))]
    assert len(keys) == 2


def test_bad_input_is_named():
    with pytest.raises(BackboneError, match="unknown backbone 'swim'; known: swin_tiny"):
        Backbone("swim")
    with pytest.raises(BackboneError, match="multiple of 32 px, got 100"):
        Backbone("resnet18", 100)
    with pytest.raises(ValueError, match=r"takes pictures \(B, 3, 64, 64\), got \(2, 3, 96, 96\)"):
        tiny_regressor()(pictures(size=96), intrinsics())
