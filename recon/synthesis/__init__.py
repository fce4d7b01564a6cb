"""Synthetic faces with exact ground truth, on the fly and to disk."""

from recon.synthesis.sample import SEGMENT_NAMES, FaceBatch

__all__ = ["SEGMENT_NAMES", "FaceBatch"]
