"""The 52 ARKit face shapes on the open head."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bfm.data import FloatArray
from bfm.open.head_mesh import HeadMesh
from bfm.open.makehuman import EXPRESSION_FOLDER, read_target

_SIDED = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"),
    *("eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile"),
    *("mouthStretch", "mouthUpperUp", "noseSneer"),
)
_CENTRAL = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel"),
    *("mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    *("mouthShrugUpper", "tongueOut"),
)
ARKIT_NAMES = tuple(sorted((*(f"{name}{side}" for name in _SIDED for side in ("Left", "Right")), *_CENTRAL)))
"""Apple's names, alphabetical; Left and Right are the person's own."""


def expression_offsets(folder: Path, head: HeadMesh, n_base: int) -> FloatArray:
    """Offsets ``(N, 3, 52)`` in mm at full weight, in the order of :data:`ARKIT_NAMES`."""
    offsets = [
        head.binding @ read_target(folder / EXPRESSION_FOLDER / f"{name}.target", n_base) for name in ARKIT_NAMES
    ]
    return np.stack(offsets, axis=-1)
