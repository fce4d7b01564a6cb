"""Small networks that the tests of networks and training share."""

from __future__ import annotations

import torch

from recon.networks.head import FaceBlocks
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig
from recon.networks.regressor import Regressor, RegressorConfig

BLOCKS = FaceBlocks("tiny", 11, 3, 5, 4, "unit", (1.0, -30.0, -6.0))
SIZE = 64

TINY: dict[str, dict] = {
    **dict.fromkeys(
        ("swin_tiny", "swin_small", "swin_base", "swin_base_22k", "swin_large", "swin_large_1k"),
        {"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 1, 2, 2), "window_size": 2},
    ),
    **dict.fromkeys(
        ("swin_base_window12", "swin_large_window12"),
        {"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 1, 2, 2), "window_size": 3},
    ),
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16)},
    **dict.fromkeys(("resnet101", "resnet152"), {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16)}),
    "resnet101x3": {"channels": (128, 128, 128, 128), "stem_chs": 32},
    **dict.fromkeys(("efficientnetv2_l", "efficientnetv2_xl"), {"channel_multiplier": 0.25, "depth_multiplier": 0.1}),
    **dict.fromkeys(("vit_b16", "vit_l16"), {"embed_dim": 24, "depth": 4, "num_heads": 2}),
    "mobilenetv2": {},
    "mobilenetv4_small": {},
    "mobilenetv4_small_050": {},
    "efficientvit_b0": {},
}
"""Options that shrink each backbone."""


def tiny_regressor(name: str = "swin_tiny", seed: int = 0, **changes) -> Regressor:
    """A regressor of a shrunk backbone with weights large enough that every input matters."""
    torch.manual_seed(seed)
    config = RegressorConfig(**{"backbone": name, "size": SIZE, "backbone_options": TINY[name], **changes})
    network = Regressor(config, BLOCKS)
    torch.nn.init.normal_(network.head.linear.weight, std=0.05)
    return network


def pictures(count: int = 2, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def intrinsics(count: int = 2, size: int = SIZE) -> torch.Tensor:
    """Unequal focal lengths and off-centre principal points, different in each picture."""
    matrix = torch.zeros(count, 3, 3)
    for k in range(count):
        matrix[k, 0, 0], matrix[k, 1, 1] = 4.5 * size + k, 4.6 * size - k
        matrix[k, 0, 2], matrix[k, 1, 2], matrix[k, 2, 2] = 0.5 * size + 9 + k, 0.5 * size - 7, 1.0
    return matrix


def tiny_landmark_network(size: int = SIZE, seed: int = 0, **changes) -> LandmarkNetwork:
    """A landmark network whose points lie inside and outside the crop, and whose norms have something to do."""
    torch.manual_seed(seed)
    config = LandmarkNetworkConfig(**{"backbone": "mobilenetv4_small_050", "size": size, "width": 16, **changes})
    network = LandmarkNetwork(config)
    network.start_from(0.3 * torch.randn(config.n_points, 3))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()
