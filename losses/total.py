"""One weighted sum of named terms (Eq. 9 of the reconstruction paper)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term; 0 leaves the term out, and it is then not computed.

    The first five are w1..w5 of Eq. 9. The others use what only labelled or synthetic faces have; the paper has none of
    them.

    Attributes:
        landmark: squared px of the 68 points, plus openings.
        photometric: pictures.
        perceptual: face embeddings.
        shape: decimetres of vertices, the unit in which the paper's 1.20 is meant.
        adversarial: the discriminator's value; it sees decimetres, too.
        depth: mm, after each picture's mean difference is taken out.
        normals: 1 - cosine.
        rotation: radians.
        translation: share of the distance.
        dense: Wing of dense landmarks in the picture, in px of a crop of 224 px.
        dense_mm: mm of dense landmarks in the head's own frame.
        identity, expression, albedo: coefficients.
        lighting: shading coefficients.
        prior: coefficient priors of all blocks.
        white_light: difference of the light's channels.
    """

    PHOTO_TERMS: ClassVar[tuple[str, ...]] = ("landmark", "photometric", "perceptual", "prior", "white_light")
    """Terms for unlabelled photos: points, image and embedding, with the priors that keep such faces possible."""
    RENDERED_TERMS: ClassVar[tuple[str, ...]] = ("photometric", "perceptual", "depth", "normals")
    """Terms that need a rendered image."""

    landmark: float = 0.001
    photometric: float = 1.70
    perceptual: float = 0.30
    shape: float = 1.20
    adversarial: float = 0.10
    depth: float = 0.0
    normals: float = 0.0
    rotation: float = 0.0
    translation: float = 0.0
    dense: float = 0.0
    dense_mm: float = 0.0
    identity: float = 0.0
    expression: float = 0.0
    albedo: float = 0.0
    lighting: float = 0.0
    prior: float = 0.0
    white_light: float = 0.0

    def __post_init__(self) -> None:
        for name, weight in dataclasses.asdict(self).items():
            if not (weight >= 0.0 and weight < float("inf")):
                raise ValueError(f"loss weight {name} must be a finite number of at least 0, got {weight}")

    def scaled(self, names: Collection[str], factor: float) -> LossWeights:
        """These weights, those of some terms multiplied by a factor.

        Raises:
            KeyError: no such term.
        """
        weights = dataclasses.asdict(self)
        return dataclasses.replace(self, **{name: factor * weights[name] for name in names})

    def for_photos(self) -> LossWeights:
        """These weights, 0 for all terms but those for unlabelled photos."""
        others = [field.name for field in dataclasses.fields(self) if field.name not in self.PHOTO_TERMS]
        return self.scaled(others, 0.0)

    def wants(self, *names: str) -> bool:
        """Whether any of these terms has a weight.

        Raises:
            KeyError: no such term.
        """
        weights = dataclasses.asdict(self)
        return any(weights[name] > 0.0 for name in names)


PAPER_WEIGHTS = LossWeights()
"""Eq. 9: 0.001, 1.70, 0.30, 1.20, 0.10."""


def weighted_sum(terms: Mapping[str, Float[Tensor, ""]], weights: LossWeights) -> Float[Tensor, ""]:
    """Sum of weight times term over the given terms.

    Raises:
        ValueError: no term, or a term without a weight of its name.
    """
    known = dataclasses.asdict(weights)
    unknown = sorted(set(terms) - set(known))
    if unknown:
        raise ValueError(f"loss term {unknown[0]!r} has no weight; known: {', '.join(known)}")
    if not terms:
        raise ValueError("no loss term was computed: all weights are 0, or the batch lacks what they need")
    return sum((known[name] * term for name, term in terms.items()), start=next(iter(terms.values())).new_zeros(()))
