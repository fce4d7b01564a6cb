"""The old place of :mod:`recon.segmentation`, kept for one version."""

import warnings

from recon.segmentation.grabcut import FaceGuess, FaceParser, cut_face, guess_face

__all__ = ["FaceGuess", "FaceParser", "cut_face", "guess_face"]

warnings.warn("recon.parsing is now recon.segmentation: import from there", FutureWarning, stacklevel=2)
