"""Synthetic faces with exact ground truth, on the fly and to disk."""

from recon.synthesis.config import SynthesisConfig, SynthesisConfigError
from recon.synthesis.sample import FACE_SEGMENTS, SEGMENT_NAMES, FaceBatch
from recon.synthesis.sampler import FaceSampler

__all__ = [
    "FACE_SEGMENTS",
    "SEGMENT_NAMES",
    "FaceBatch",
    "FaceSampler",
    "SynthesisConfig",
    "SynthesisConfigError",
]
