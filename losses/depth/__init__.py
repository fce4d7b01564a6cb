"""Losses of depth maps: the review's catalogue, one file a family, by name in :mod:`losses.depth.catalogue`.

All have one signature: predicted and true depth ``(B, 1, H, W)``, a boolean mask of the pixels that count, and by keyword what
a loss needs besides. They return ``(B,)``, one value a picture: who else is in the batch changes nothing, and an empty mask gives 0.
Lengths are in the unit of the maps; defaults are for millimetres. True depth is positive and finite on the mask.
"""

from losses.depth.batch_mean import depth_loss_shift_invariant, normal_loss

__all__ = ["depth_loss_shift_invariant", "normal_loss"]
