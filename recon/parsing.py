"""The old place of the interface that is now :mod:`recon.segmentation.segmenter`, removed in version 0.2."""

import warnings

from recon.segmentation.numpy_parser import FaceGuess, FaceParser, cut_face, guess_face

__all__ = ["FaceGuess", "FaceParser", "cut_face", "guess_face"]

warnings.warn(
    "recon.parsing is now recon.segmentation, where FaceSegmenter and RenderedRegions take the place of FaceParser and FaceGuess: "
    "import from there",
    FutureWarning,
    stacklevel=2,
)
