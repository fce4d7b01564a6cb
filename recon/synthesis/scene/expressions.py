"""Combinations of ARKit weights that faces make: speech, smiles, frowns, surprise, blinks, a dropped jaw, asymmetry.

Each expression is a short list of weights with the range they take in it; several can overlap (a smile while talking).
The published synthetic set has five (neutral, angry, happy, sad, scared; Basak et al. 2023).
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.synthesis.counter_rng import CounterRng

_BOTH = ("Left", "Right")

# Name: weights at full strength. A name without a side stands for both sides.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"mouthSmile": 0.8, "cheekSquint": 0.55, "eyeSquint": 0.3, "mouthDimple": 0.3, "jawOpen": 0.06},
    "grin": {"mouthSmile": 0.75, "mouthUpperUp": 0.55, "mouthLowerDown": 0.65, "cheekSquint": 0.55, "eyeSquint": 0.3},
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.35, "cheekSquint": 0.7, "eyeSquint": 0.5, "mouthUpperUp": 0.3},
    "angry": {"browDown": 0.9, "eyeSquint": 0.4, "noseSneer": 0.5, "mouthPress": 0.5, "mouthFrown": 0.4},
    "sad": {"browInnerUp": 0.8, "mouthFrown": 0.7, "mouthShrugLower": 0.4, "eyeBlink": 0.15},
    "scared": {"browInnerUp": 0.8, "browOuterUp": 0.5, "eyeWide": 0.8, "jawOpen": 0.25, "mouthStretch": 0.6},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.7, "jawOpen": 0.5},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.4, "browDown": 0.5, "eyeSquint": 0.4},
    "vowel_a": {"jawOpen": 0.42, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "vowel_o": {"jawOpen": 0.22, "mouthFunnel": 0.7, "mouthPucker": 0.2},
    "vowel_u": {"mouthPucker": 0.75, "jawOpen": 0.06},
    "vowel_e": {"mouthStretch": 0.4, "mouthSmile": 0.25, "jawOpen": 0.12, "mouthLowerDown": 0.2},
    "lips_m": {"mouthRollLower": 0.35, "mouthRollUpper": 0.3, "mouthPress": 0.4},
    "lips_f": {"mouthRollLower": 0.5, "mouthUpperUp": 0.2, "jawOpen": 0.06},
    "lips_in": {"mouthRollLower": 0.55, "mouthRollUpper": 0.55, "mouthPress": 0.3},
    "vowel_i": {"mouthStretch": 0.3, "mouthSmile": 0.2, "jawOpen": 0.05, "mouthLowerDown": 0.35, "mouthUpperUp": 0.15},
    "kiss": {"mouthPucker": 0.95, "mouthFunnel": 0.2},
    "wide_open": {"jawOpen": 0.95, "mouthStretch": 0.25, "browInnerUp": 0.3},
    "jaw_aside": {"jawLeft": 0.5, "mouthLeft": 0.4},
    "puffed": {"cheekPuff": 0.9, "mouthPress": 0.3},
    "brows_up": {"browInnerUp": 0.8, "browOuterUp": 0.8},
    "brows_down": {"browDown": 0.8},
    "wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.6, "mouthSmileLeft": 0.4},
    "smirk": {"mouthSmileLeft": 0.7, "mouthDimpleLeft": 0.5, "cheekSquintLeft": 0.3},
    "tongue": {"tongueOut": 0.9, "jawOpen": 0.35},
}
_SHARES = {
    "neutral": 4.0,
    "happy": 2.0,
    "grin": 2.5,
    "laugh": 1.2,
    "lips_in": 1.5,
    "wide_open": 0.5,
    "tongue": 0.15,
    "puffed": 0.4,
    "jaw_aside": 0.4,
}
BASIC = ("neutral", "angry", "happy", "sad", "scared")
"""The five expressions of the published synthetic set."""

_LARGEST_GAZE = 0.75


def sample_expressions(
    names: tuple[str, ...],
    rng: CounterRng,
    strength: float,
    gaze: Float[Tensor, "b 2"],
    eyelids: float,
    basic: bool = False,
) -> Float[Tensor, "b 52"]:
    """ARKit weights ``(B, 52)`` in [0, 1].

    Args:
        names: the model's expression names, ARKit's.
        rng: random numbers.
        strength: of the expression, [0, 1].
        gaze: ``(B, 2)`` where the eyes look in units of their range: to the viewer's right, and up.
        eyelids: share of normal blinking; 1 closes the eyes in about every twelfth picture.
        basic: one of :data:`BASIC` at a time instead of mixtures.
    """
    table = expression_table(names).to(rng.device)
    if basic:
        mixed = table[basic_rows(rng)] * rng.uniform("expression amount", 1, low=0.6)
        return with_eyes(names, strength * mixed, rng, gaze, eyelids).clamp(0.0, 1.0)
    shares = [_SHARES.get(name, 1.0) for name in EXPRESSIONS]
    first, second = (table[rng.choice(f"expression {k}", shares)] for k in (1, 2))
    amounts = rng.uniform("expression amount", 2) ** torch.tensor([0.7, 1.6], device=rng.device)
    mixed = amounts[:, :1] * first + 0.6 * amounts[:, 1:] * second
    # Faces are never wholly at rest, nor the same on both sides.
    mixed = mixed * (1.0 + 0.2 * rng.normal("asymmetry", len(names)).clamp(-2.0, 2.0))
    mixed = mixed + 0.035 * rng.normal("restless", len(names)).abs()
    # Less red of the lips shows in many pictures than on the model's face, which has them full at rest; labels tell it as
    # part of the expression.
    hidden = 0.5 * rng.uniform("thin lips", 2) ** 2
    mixed[:, [names.index("mouthRollLower"), names.index("mouthRollUpper")]] += hidden
    mirror = torch.as_tensor(mirrored_names(names), device=rng.device)
    mixed = torch.where(rng.chance("other side", 0.5)[:, None], mixed[:, mirror], mixed)
    mixed = strength * mixed
    return with_eyes(names, mixed, rng, gaze, eyelids).clamp(0.0, 1.0)


def basic_rows(rng: CounterRng) -> Int[Tensor, " b"]:
    """Which of :data:`BASIC` each sample shows, as rows of :func:`expression_table`."""
    rows = [list(EXPRESSIONS).index(name) for name in BASIC]
    return torch.tensor(rows, device=rng.device)[rng.integer("basic expression", len(BASIC))]


def with_eyes(
    names: tuple[str, ...], weights: Float[Tensor, "b 52"], rng: CounterRng, gaze: Float[Tensor, "b 2"], eyelids: float
) -> Float[Tensor, "b 52"]:
    """Weights with the eyes looking somewhere and the lids following: down with the gaze, closed in a blink."""
    weights = weights.clone()
    right, up = (_LARGEST_GAZE * gaze).clamp(-_LARGEST_GAZE, _LARGEST_GAZE).unbind(1)
    # The person's left eye lies on the viewer's right: looking to the viewer's right is outwards for it.
    for name, amount in (
        ("eyeLookOutLeft", right),
        ("eyeLookInRight", right),
        ("eyeLookInLeft", -right),
        ("eyeLookOutRight", -right),
        *((f"eyeLookUp{side}", up) for side in _BOTH),
        *((f"eyeLookDown{side}", -up) for side in _BOTH),
    ):
        weights[:, names.index(name)] = amount.clamp_min(0.0)
    closed = rng.chance("closed eyes", 0.08 * eyelids)
    half = rng.chance("half closed eyes", 0.10 * eyelids) & ~closed
    lid = torch.where(closed, 0.85 + 0.15 * rng.uniform("lids"), torch.where(half, 0.6 * rng.uniform("lids"), 0.0))
    for side in _BOTH:
        k = names.index(f"eyeBlink{side}")
        weights[:, k] = torch.maximum(weights[:, k], lid)
        # A squint or a wide eye has no room in a closed one.
        for other in ("eyeSquint", "eyeWide"):
            j = names.index(f"{other}{side}")
            weights[:, j] = weights[:, j] * (1.0 - weights[:, k])
    return weights


@functools.lru_cache(maxsize=8)
def expression_table(names: tuple[str, ...]) -> Float[Tensor, "e 52"]:
    """The weights of :data:`EXPRESSIONS` as rows.

    Raises:
        ValueError: the model's expressions are not ARKit's.
    """
    table = torch.zeros(len(EXPRESSIONS), len(names))
    for row, weights in enumerate(EXPRESSIONS.values()):
        for name, value in weights.items():
            sided = [name] if name in names else [f"{name}{side}" for side in _BOTH]
            for full in sided:
                if full not in names:
                    raise ValueError(f"expressions need ARKit's names; the model has no {name!r}")
                table[row, names.index(full)] = value
    return table


@functools.lru_cache(maxsize=8)
def mirrored_names(names: tuple[str, ...]) -> tuple[int, ...]:
    """For each ARKit name the place of its partner on the other side; central ones are their own, jawLeft and
    jawRight are partners."""
    partner = []
    for name in names:
        other = name
        for one, two in (_BOTH, _BOTH[::-1]):
            if name.endswith(one):
                other = name[: -len(one)] + two
        partner.append(names.index(other))
    return tuple(partner)
