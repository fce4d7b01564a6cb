"""Batches and modules that the tests of training share."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from losses.total import LossWeights
from recon.networks.regressor import RegressorConfig
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.batch import TrainingBatch
from recon.training.module import RegressorModule
from recon.training.schedule import OptimiserConfig

sys.path.append(str(Path(__file__).parents[1] / "networks"))
from network_parts import TINY

SIZE = 64
CLEAN = SynthesisConfig.clean(pose="uniform", yaw_deg=45.0, pitch_deg=20.0, roll_deg=15.0)
DIRECT = LossWeights(
    landmark=0.001,
    photometric=0.0,
    perceptual=0.0,
    shape=0.0,
    adversarial=0.0,
    dense=0.02,
    rotation=1.0,
    translation=1.0,
    expression=0.5,
    identity=0.1,
    albedo=0.1,
    lighting=0.1,
)
"""What needs no rendering."""


def sampled(model, count: int = 2, first: int = 0) -> TrainingBatch:
    """Clean synthetic faces."""
    sampler = FaceSampler(model, CLEAN, 3, (SIZE, SIZE))
    return TrainingBatch.of(sampler.batch(range(first, first + count)))


def tiny_module(
    kind=RegressorModule,
    backbone: str = "swin_tiny",
    seed: int = 0,
    camera: str = "perspective",
    backbone_options: dict | None = None,
    **changes,
) -> RegressorModule:
    """A module with a shrunk network."""
    torch.manual_seed(seed)
    settings = {
        "weights": DIRECT,
        "optimiser": OptimiserConfig(rate=1e-3, warm_up=2, schedule="constant"),
        **changes,
    }
    options = TINY[backbone] if backbone_options is None else backbone_options
    return kind(RegressorConfig(backbone, SIZE, camera=camera, backbone_options=options), **settings)
