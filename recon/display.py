"""The old place of :mod:`recon.color`, kept for one version."""

import warnings

from recon.color import from_display, linear_to_srgb, srgb_to_linear, to_display, to_photo

__all__ = ["from_display", "linear_to_srgb", "srgb_to_linear", "to_display", "to_photo"]

warnings.warn("recon.display is now recon.color: import from there", FutureWarning, stacklevel=2)
