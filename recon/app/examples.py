"""Example faces for people who have no photo at hand: drawn by this project's renderer, of nobody."""

from __future__ import annotations

import functools

import numpy as np
import torch
from jaxtyping import UInt8

import bfm
from recon.io.png import encode_png
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.sampler import FaceSampler

N_EXAMPLES = 4
_SEED = 22
_SIDE_PX = 448
_SETTINGS = SynthesisConfig(
    pose="biwi",
    yaw_deg=35.0,
    pitch_deg=20.0,
    roll_deg=12.0,
    crop_margin=0.35,
    distance_mm=(500.0, 1200.0),
    occluders=0.0,
    glasses=0.0,
    blur=0.0,
    motion_blur=0.0,
    low_resolution=0.0,
    jpeg=0.0,
    gray=0.0,
    colour_cast=0.2,
    noise=0.2,
)


@functools.lru_cache(maxsize=1)
def example_photos() -> tuple[bytes, ...]:
    """PNG files of :data:`N_EXAMPLES` people of the open model, the same every time, made once a process."""
    sampler = FaceSampler(bfm.load("open"), _SETTINGS, seed=_SEED, size=(_SIDE_PX, _SIDE_PX))
    return tuple(encode_png(_bytes(sampler[index].image[0])) for index in range(N_EXAMPLES))


def _bytes(picture: torch.Tensor) -> UInt8[np.ndarray, "h w 3"]:
    return (255.0 * picture.permute(1, 2, 0).clamp(0.0, 1.0)).round().to(torch.uint8).numpy()
