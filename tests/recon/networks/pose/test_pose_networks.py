"""Whole pose networks: what holds for every one of them."""

from __future__ import annotations

import pytest
import roma
import torch

from recon.networks.pose.build import config_of_text, config_to_text
from recon.networks.pose.fsanet import FsaNet, FsaNetConfig
from recon.networks.pose.hopenet import BinnedAnswer, HopeNetConfig, bin_middles
from recon.networks.pose.prediction import PoseFunction, angles_to_rotation, rotation_to_angles
from recon.networks.pose.sixd import SixdConfig, SixdNetwork, precision_root, with_scaled_sigma
from recon.rotation import euler_to_matrix


def test_answers_are_rotations_and_differ_by_picture(network, make_crops):
    found = network(make_crops(3))
    assert isinstance(network, PoseFunction) and network.size == 64
    torch.testing.assert_close(found.rotation @ found.rotation.mT, torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0.0)
    assert (torch.linalg.det(found.rotation) > 0.0).all()
    assert float((found.rotation[0] - found.rotation[1]).detach().abs().max()) > 1e-6
    if found.precision_root is not None:
        assert torch.equal(found.precision_root, found.precision_root.tril())
        inverse = torch.linalg.inv(found.precision_root @ found.precision_root.mT)
        torch.testing.assert_close(found.covariance, inverse, rtol=1e-3, atol=1e-6)


def test_a_batch_is_its_pictures_and_stays_untouched(network, make_crops):
    pictures = make_crops(3)
    before = pictures.clone()
    whole = network(pictures)
    for k in range(3):
        torch.testing.assert_close(network(pictures[k : k + 1]).rotation[0], whole.rotation[k], atol=1e-5, rtol=0.0)
    assert torch.equal(pictures, before)


def test_every_weight_learns(network, make_crops):
    from recon.training.pose_losses import PoseLossWeights, pose_loss_terms

    network.train()
    rotation = euler_to_matrix(torch.tensor([[0.2, -0.5, 0.1], [-0.1, 0.3, 0.4], [0.0, 1.0, 0.2]]))
    terms = pose_loss_terms(network.answer(make_crops(3)), rotation, PoseLossWeights())
    torch.stack(list(terms.values())).sum().backward()
    # Of timm's backbone the layers after the last map are not there; all others must get a gradient.
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not still


def test_a_config_survives_its_text(network):
    assert config_of_text(config_to_text(network.config)) == network.config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "the kind of a pose network is one of sixd, fsanet, hopenet, got"),
        ('{"kind": "capsnet"}', "got 'capsnet'"),
        ('{"kind": "fsanet", "backbone": "resnet18"}', "fsanet has the keys kind, routings, scoring, size"),
        ('{"kind": "fsanet", "size": 96}', "takes crops of 64 px, got size 96"),
        ('{"kind": "fsanet", "scoring": "loud"}', "variance.*convolution.*uniform"),
        ('{"kind": "fsanet", "routings": 0}', "routings must be a whole number from 1 to 16, got '0'"),
        ('{"kind": "sixd", "backbone": "vgg"}', "unknown backbone 'vgg'"),
        ('{"kind": "sixd", "size": 100}', "size must be a multiple of 32"),
        ('{"kind": "sixd", "width": 0}', "width must be a whole number"),
    ],
)
def test_configs_that_make_no_network_are_refused(text, message):
    with pytest.raises((ValueError, TypeError), match=message):  # the checker of types comes first in tests
        config_of_text(text)


def test_pretraining_is_not_asked_for_when_weights_are_loaded():
    assert config_of_text(config_to_text(SixdConfig(pretrained=True))) == SixdConfig(pretrained=False)


def test_angles_and_rotations_are_each_others_inverse():
    angles_deg = torch.tensor([[-75.0, 20.0, 10.0], [0.0, 0.0, 0.0], [88.0, -60.0, -50.0], [30.0, 120.0, 170.0]])
    rotation = angles_to_rotation(angles_deg)
    yaw, pitch, roll = torch.deg2rad(angles_deg.double()).unbind(-1)
    twin = euler_to_matrix(torch.stack((pitch, yaw, roll), dim=-1))
    torch.testing.assert_close(rotation.double(), twin, atol=1e-6, rtol=0.0)
    torch.testing.assert_close(rotation_to_angles(rotation), angles_deg, atol=1e-2, rtol=0.0)


def test_the_root_of_a_precision_has_a_positive_diagonal_within_its_bounds():
    root = precision_root(torch.tensor([[1.0, -50.0, 50.0, 0.5, -2.0, 3.0]]))[0]
    diagonal = root.diagonal()
    assert abs(float(diagonal[0]) - 2.71828) < 1e-3
    assert abs(float(diagonal[1]) - 1.0 / torch.pi) < 1e-4 and abs(float(diagonal[2]) - 180.0 / torch.pi / 0.1) < 0.1
    assert float(root[2, 0]) == pytest.approx(-2.0 * float(diagonal[2]), rel=1e-6)
    assert torch.equal(root, root.tril())


def test_the_covariance_is_that_of_errors_drawn_from_it():
    """Rotations exp(w) R with w of the stated covariance have that covariance when it is taken back from them."""
    generator = torch.Generator().manual_seed(0)
    root = precision_root(torch.tensor([[3.0, 2.5, 3.5, 0.4, -0.3, 0.2]]))
    normal = torch.randn(20000, 3, generator=generator)
    w = torch.linalg.solve_triangular(root[0].mT, normal.mT, upper=True).mT
    base = euler_to_matrix(torch.tensor([0.2, -0.7, 0.4]))
    from losses.rotation_likelihood import tangent_error

    back = tangent_error(base.expand(20000, 3, 3), roma.rotvec_to_rotmat(w) @ base)
    from recon.networks.pose.prediction import PosePrediction

    stated = PosePrediction(base[None], root).covariance[0]
    torch.testing.assert_close(torch.cov(back.mT), stated, rtol=0.1, atol=2e-4)


def test_expectations_of_bins():
    sharp = torch.full((1, 3, 66), -100.0)
    sharp[0, 0, 0], sharp[0, 1, 33], sharp[0, 2, 65] = 100.0, 100.0, 100.0
    assert BinnedAnswer(sharp).angles_deg.tolist() == [[-97.5, 1.5, 97.5]]
    assert torch.allclose(BinnedAnswer(torch.zeros(2, 3, 66)).angles_deg, torch.zeros(2, 3), atol=1e-4)
    assert torch.allclose(bin_middles(sharp).diff(), torch.full((65,), 3.0))
    with pytest.raises(ValueError, match="unknown backbone"):
        HopeNetConfig(backbone="none")


def test_options_reach_the_backbone():
    from recon.networks.backbones import BackboneError

    with pytest.raises(BackboneError, match="backbones take no option 'colour'"):
        SixdNetwork(SixdConfig(), colour=1)


def test_the_size_of_fsanet_is_that_of_the_layers_in_the_specification():
    convolution = lambda a, b, k: a * b * k * k + b  # noqa: E731
    linear = lambda a, b: a * b + b  # noqa: E731
    widths = [3, 16, 32, 32, 64, 64, 128, 128]
    blocks = sum(convolution(a, b, 3) + 2 * b for a, b in zip(widths[:-1], widths[1:], strict=True))
    stream = blocks + sum(convolution(width, 64, 1) for width in (32, 64, 128))
    mapping = linear(3 * 64, 7 * 5) + 3 * linear(64, 5 * 192)
    capsules = 3 * 21 * 64 * 16
    heads = 3 * (2 * linear(4, 3) + linear(8, 9))
    for scoring, scores in (("variance", 0), ("uniform", 0), ("convolution", 3 * 65)):
        found = sum(weight.numel() for weight in FsaNet(FsaNetConfig(scoring=scoring)).parameters())
        assert found == 2 * stream + mapping + capsules + heads + scores


def test_a_scaled_sigma_leaves_the_rotation_alone():
    """Covariances are as much larger as the square of the factor, whatever the crop."""
    torch.manual_seed(0)
    network = SixdNetwork(SixdConfig(backbone="mobilenetv4_small_050", size=64, width=16)).eval()
    torch.nn.init.normal_(network.spread.weight, std=0.3)
    crops = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        before, after = network(crops), with_scaled_sigma(network, 1.7)(crops)
        again = network(crops)
    assert torch.equal(before.rotation, after.rotation) and torch.equal(before.precision_root, again.precision_root)
    torch.testing.assert_close(after.covariance, 1.7**2 * before.covariance, rtol=2e-3, atol=0.0)
    assert not torch.allclose(before.covariance[0], before.covariance[1], rtol=1e-2)
    with pytest.raises(ValueError, match="the factor of a standard deviation must be positive, got 0.0"):
        with_scaled_sigma(network, 0.0)
