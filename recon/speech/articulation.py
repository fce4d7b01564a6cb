"""What a mouth does to speak, in a few independent numbers, and the ARKit weights that show it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ARTICULATORS = ("jaw", "closure", "pucker", "funnel", "spread", "tuck", "upper", "lower")
"""Each in [0, 1]. ``jaw``: how far it is open; ``closure``: share of that opening that the lips close; ``pucker``, ``funnel``: lips rounded and
pushed forward; ``spread``: corners drawn aside; ``tuck``: lower lip against the upper teeth; ``upper``, ``lower``: lips parted."""

_BOTH = ("Left", "Right")
_PRESS = 0.22
_ROLL_SHUT = 0.13
_ROLL_TUCK = 0.6
_LIFT_TUCK = 0.22
SPOKEN_WEIGHTS = (
    *("jawOpen", "mouthClose", "mouthPucker", "mouthFunnel", "mouthRollLower", "mouthRollUpper"),
    *(f"{name}{side}" for name in ("mouthPress", "mouthStretch", "mouthUpperUp", "mouthLowerDown") for side in _BOTH),
)
"""ARKit's names of what speech moves."""


def arkit_weights(articulation: Float[np.ndarray, "t 8"], names: tuple[str, ...]) -> Float[np.ndarray, "t m"]:
    """ARKit weights ``(T, M)`` of a mouth; what speech does not move is 0.

    Shut lips stay shut: what would part them yields to the closure, and ``mouthClose`` takes back what the jaw opens, as ARKit defines it.

    Args:
        articulation: ``(T, 8)`` of :data:`ARTICULATORS`.
        names: ``(M,)`` of a face's shapes; those that are not in :data:`SPOKEN_WEIGHTS` get 0.
    """
    jaw, closure, pucker, funnel, spread, tuck, upper, lower = np.clip(articulation, 0.0, 1.0).T
    parted = 1.0 - closure
    sided = {
        "mouthPress": _PRESS * closure,
        "mouthStretch": spread,
        "mouthUpperUp": parted * np.maximum(upper, _LIFT_TUCK * tuck),
        "mouthLowerDown": parted * lower * (1.0 - tuck),
    }
    values = {
        "jawOpen": jaw,
        "mouthClose": closure * jaw,
        "mouthPucker": pucker,
        "mouthFunnel": parted * funnel,
        "mouthRollLower": np.maximum(_ROLL_SHUT * closure, _ROLL_TUCK * tuck),
        "mouthRollUpper": _ROLL_SHUT * closure,
        **{f"{name}{side}": value for name, value in sided.items() for side in _BOTH},
    }
    weights = np.zeros((len(articulation), len(names)))
    for position, name in enumerate(names):
        if name in values:
            weights[:, position] = values[name]
    return weights
