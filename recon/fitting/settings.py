"""What the fitter believes before it sees a photo, and how long it looks."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """Weights and effort of a fit. Every default was set on rendered heads whose truth is known.

    Attributes:
        landmark_sigma: standard deviation of a detected point, in shares of the face's size. The 478 points err together,
            so this is larger than the scatter of one of them.
        identity_weight, albedo_weight: strength of the N(0, 1) priors.
        identity_anchor: how strongly the picture stage holds on to the shape that the points gave.
        expression_sigma: the width of the prior of ARKit weights, one-sided at 0.
        distance_mm: assumed distance of the head when the focal length is unknown. 1 m, as Deng et al. 2019.
        landmark_steps: Gauss-Newton steps on landmarks.
        picture_steps: gradient steps on the picture, coarse then fine.
        picture_sizes: side of the crop in px at each of the two resolutions.
        picture_weight: how many independent pixels the picture counts for.
    """

    landmark_sigma: float = 0.04
    identity_weight: float = 1.0
    albedo_weight: float = 1.0
    identity_anchor: float = 6.0
    expression_sigma: float = 0.30
    distance_mm: float = 1000.0
    landmark_steps: int = 30
    picture_steps: tuple[int, int] = (40, 40)
    picture_sizes: tuple[int, int] = (128, 224)
    picture_weight: float = 150.0

    @classmethod
    def of(cls, quality: str) -> FitSettings:
        """The settings of a named quality: ``fast`` uses the points and one short look at the picture.

        Raises:
            ValueError: no such quality.
        """
        chosen = {
            "fast": cls(picture_steps=(15, 0)),
            "default": cls(),
            "best": cls(picture_steps=(60, 160)),
        }.get(quality)
        if chosen is None:
            raise ValueError(f"quality must be fast, default or best, got {quality!r}")
        return chosen
