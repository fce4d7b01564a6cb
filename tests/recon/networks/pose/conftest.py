"""Small pose networks whose pictures matter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from recon.networks.pose.build import PoseNetwork, PoseNetworkConfig, build_pose_network
from recon.networks.pose.fsanet import FsaNetConfig
from recon.networks.pose.hopenet import HopeNetConfig
from recon.networks.pose.sixd import SixdConfig, SixdNetwork

CONFIGS: dict[str, PoseNetworkConfig] = {
    "sixd": SixdConfig(backbone="mobilenetv4_small_050", size=64, width=16),
    "fsanet variance": FsaNetConfig(),
    "fsanet convolution": FsaNetConfig(scoring="convolution", routings=3),
    "fsanet uniform": FsaNetConfig(scoring="uniform", routings=1),
    "hopenet": HopeNetConfig(backbone="mobilenetv4_small_050", size=64),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and the suite may share its cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_network() -> Callable[..., PoseNetwork]:
    """A network by its name above, in evaluation mode, whose norms have something to do."""

    def make(name: str, seed: int = 0) -> PoseNetwork:
        torch.manual_seed(seed)
        network = build_pose_network(CONFIGS[name])
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(network, SixdNetwork):
            torch.nn.init.normal_(network.columns.weight, std=0.3)
            torch.nn.init.normal_(network.spread.weight, std=0.3)
        return network.eval()

    return make


@pytest.fixture(params=CONFIGS)
def network(request, make_network) -> PoseNetwork:
    """Every network in turn."""
    return make_network(request.param)


def crops(count: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures of noise at several scales, so that a mean over the picture tells them apart."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.rand(count, 3, size, size, generator=generator)
    return 0.7 * torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear") + 0.3 * fine


@pytest.fixture
def make_crops() -> Callable[..., torch.Tensor]:
    return crops
