"""The old place of :mod:`recon.color`, with the old names, removed in version 0.2."""

import warnings

from recon.color import decode_srgb as from_display
from recon.color import encode_srgb as to_display
from recon.color import encode_srgb_unclamped as to_photo
from recon.color import linear_to_srgb, srgb_to_linear

__all__ = ["from_display", "linear_to_srgb", "srgb_to_linear", "to_display", "to_photo"]

warnings.warn(
    "recon.display is now recon.color, where to_display is encode_srgb, to_photo encode_srgb_unclamped and from_display "
    "decode_srgb: import from there",
    FutureWarning,
    stacklevel=2,
)
