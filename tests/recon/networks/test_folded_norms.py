"""Norms folded into convolutions: the same answers with fewer layers, for every network that is used so."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from recon.inference.face_boxes import DEFAULT_FACE_BOX_NETWORK
from recon.inference.head_pose import DEFAULT_POSE_NETWORKS
from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK
from recon.networks.face_box_checkpoint import load_face_box_network
from recon.networks.folded_norms import folded_norms
from recon.networks.landmark_checkpoint import load_landmark_network
from recon.networks.pose.build import build_pose_network
from recon.networks.pose.checkpoint import load_pose_network
from recon.networks.pose.fsanet import FsaNetConfig
from recon.networks.pose.hopenet import HopeNetConfig


def _norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def _stirred(network):
    """Norms with statistics and gains of their own, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
                (module.bias, -0.2, 0.2),
            ):
                nn.init.uniform_(values, low, high)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    return network.eval()


_NETWORKS = {
    "landmarks": (lambda: load_landmark_network(DEFAULT_LANDMARK_NETWORK)[0], (192, 192)),
    "sixd": (lambda: load_pose_network(DEFAULT_POSE_NETWORKS["sixd"])[0], (128, 128)),
    "boxes": (lambda: load_face_box_network(DEFAULT_FACE_BOX_NETWORK)[0], (96, 64)),
    "fsanet": (lambda: _stirred(build_pose_network(FsaNetConfig())), (64, 64)),
    "hopenet": (
        lambda: _stirred(build_pose_network(HopeNetConfig(backbone="mobilenetv4_small_050", size=64))),
        (64, 64),
    ),
}


@pytest.mark.parametrize("kind", _NETWORKS)
def test_answers_are_the_same_without_norms(kind):
    torch.manual_seed(0)
    make, size = _NETWORKS[kind]
    network, crops = make(), torch.rand(2, 3, *size)
    folded = folded_norms(network, torch.zeros(1, 3, *size))
    assert _norms(folded) == 0 < _norms(network)
    with torch.no_grad():
        before, after = (dataclasses.asdict(one(crops)) for one in (network, folded))
    told = {name: value for name, value in before.items() if value is not None}
    assert told
    for name, value in told.items():
        torch.testing.assert_close(after[name], value, rtol=2e-4, atol=2e-4)


class _Shared(nn.Module):
    """A convolution whose answer is used twice, and a norm that follows an activation."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)
        self.norm, self.late = nn.BatchNorm2d(4), nn.BatchNorm2d(5)
        self.act = nn.ReLU()

    def forward(self, pictures):
        found = self.first(pictures)
        return self.late(self.act(self.second(found))) + self.norm(found).mean()


def test_norms_that_are_not_alone_behind_a_convolution_stay():
    torch.manual_seed(1)
    network = _stirred(_Shared())
    folded = folded_norms(network, torch.rand(1, 3, 6, 7))
    assert _norms(folded) == 2
    pictures = torch.rand(2, 3, 6, 7)
    with torch.no_grad():
        torch.testing.assert_close(folded(pictures), network(pictures))
