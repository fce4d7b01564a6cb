"""Eyebrows, computed for each pixel: the mesh has a vertex every five millimetres there, fewer than a brow has edges.

A brow is a band below a curve. The curve, its upper edge, is that of the brow landmarks of the mean head, so labels stay
where people mark brows (along the upper edge; brows are plucked from below); how wide, long, dense and dark the band is,
is each person's own.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.noise import solid_noise
from recon.synthesis.scene.people import People

_SIDE = slice(22, 27)
"""The brow on the viewer's right among the 68 landmarks, from the nose outwards."""
_INNER_MM, _TAIL_MM = 3.0, 8.0
_HAIR_MM = (3.5, 0.45)
"""Cells of the noise along a hair and across it."""
_BEHIND_MM = -30.0
"""In front of the upper edge's middle: what lies farther behind is the back of the head."""


@dataclasses.dataclass(frozen=True, eq=False)
class BrowCurve:
    """Upper edge of the right-hand brow of the mean head; the other brow is its mirror image.

    Attributes:
        across_mm: ``(K,)`` x of its knots, growing.
        up_mm: ``(K,)`` their y.
        front_mm: z of its middle.
    """

    across_mm: Float[Tensor, " k"]
    up_mm: Float[Tensor, " k"]
    front_mm: float

    @classmethod
    def of(cls, model: MorphableModel) -> BrowCurve | None:
        """Of a model; ``None`` if its brows are no region of it."""
        if "brows" not in model.region_names:
            return None
        knots = model.landmarks68(model.mean_shape[None])[0, _SIDE]
        inner, tail = knots[0] - 0.5 * (knots[1] - knots[0]), knots[4] + 0.5 * (knots[4] - knots[3])
        knots = torch.cat((inner[None], knots, tail[None]))
        return cls(knots[:, 0].contiguous(), knots[:, 1].contiguous(), float(knots[3, 2]))

    def height(self, across_mm: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """y of the edge, linear between its knots."""
        place = torch.searchsorted(self.across_mm, across_mm).clamp(1, len(self.across_mm) - 1)
        left, right = self.across_mm[place - 1], self.across_mm[place]
        share = ((across_mm - left) / (right - left)).clamp(0.0, 1.0)
        return self.up_mm[place - 1] + share * (self.up_mm[place] - self.up_mm[place - 1])


@dataclasses.dataclass(frozen=True, eq=False)
class Brows:
    """The brows of B persons.

    Attributes:
        curve: of the model.
        colour: ``(B, 3)`` linear albedo of the hairs.
        density: ``(B,)`` [0, 1] share of the skin that they hide on average where they are densest.
        thickness_mm: ``(B,)`` at the thickest place.
        raised_mm: ``(B,)`` of the upper edge.
        start_mm, end_mm: ``(B,)`` x of the ends.
        strands: ``(B,)`` [0, 1] how single hairs stand out.
        noise_offset: ``(B, 3)`` in cells.
    """

    curve: BrowCurve
    colour: Float[Tensor, "b 3"]
    density: Float[Tensor, " b"]
    thickness_mm: Float[Tensor, " b"]
    raised_mm: Float[Tensor, " b"]
    start_mm: Float[Tensor, " b"]
    end_mm: Float[Tensor, " b"]
    strands: Float[Tensor, " b"]
    noise_offset: Float[Tensor, "b 3"]

    @classmethod
    def of(
        cls, curve: BrowCurve, people: People, rng: CounterRng, hair: Float[Tensor, "b 3"], strength: float
    ) -> Brows:
        """Brows of persons: men's are thicker and denser on average, the old have fewer hairs.

        Args:
            curve: of the model.
            people: for sex and age.
            rng: of the persons.
            hair: ``(B, 3)`` colour of their hair.
            strength: [0, 1] factor of the density.
        """
        male = people.column("male")
        old = ((people.column("age_years") - 55.0) / 35.0).clamp(0.0, 1.0)
        dense = 0.35 + 0.6 * rng.uniform("brow density") ** 0.8 + 0.1 * (male - 0.5) - 0.25 * old
        sparse = rng.chance("sparse brows", 0.15)
        dense = torch.where(sparse, 0.35 * dense, dense)
        spread = rng.normal("brow thickness").clamp(-2.0, 1.5)  # thicker ones would reach the lids
        # Brows are mostly darker than the hair of the head.
        dark = rng.uniform("brow colour", low=0.35, high=1.1)
        return cls(
            curve=curve,
            colour=(dark[:, None] * hair + 0.004).clamp(0.0, 1.0),
            density=strength * dense.clamp(0.05, 0.97),
            thickness_mm=(6.0 + 2.2 * male) * torch.exp(0.28 * spread),
            raised_mm=0.6 * rng.normal("brow height").clamp(-2.0, 2.0),
            start_mm=11.5 + 2.2 * rng.normal("brow start").clamp(-2.0, 2.0),
            end_mm=curve.across_mm[-2] - 2.0 + 2.5 * rng.normal("brow end").clamp(-2.0, 2.0),
            strands=rng.uniform("brow strands"),
            noise_offset=32.0 * rng.uniform("brow place", 3),
        )

    def cover(self, rest_mm: Float[Tensor, "p 3"], picture: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
        """Share of the skin that the brows hide at points.

        Args:
            rest_mm: the same points of the mean head.
            picture: whose points they are, 0 to B - 1.
        """
        across = rest_mm[:, 0].abs()
        thickness = self.thickness_mm[picture]
        below = self.curve.height(across) + self.raised_mm[picture] - rest_mm[:, 1]
        start, end = self.start_mm[picture], self.end_mm[picture]
        along = ((across - start) / (end - start)).clamp(0.0, 1.0)
        # Full width to about the highest place, then down to a third of it at the tail.
        width = thickness * (1.0 - 0.67 * ((along - 0.55) / 0.45).clamp(0.0, 1.0))
        # Hairs thin out over a third of the width below, and faster above.
        edge = (
            _smooth(below / (0.18 * width).clamp_min(0.6) + 0.5)
            * _smooth((width - below) / (0.33 * width).clamp_min(0.8) + 0.5)
            * _smooth((across - start) / _INNER_MM + 0.5)
            * _smooth((end - across) / _TAIL_MM + 0.5)
        )
        inside = (edge > 0.0) & (rest_mm[:, 2] > self.curve.front_mm + _BEHIND_MM)
        cover = torch.zeros_like(edge)
        cover[inside] = edge[inside] * self._hairs(rest_mm[inside], picture[inside], along[inside])
        return (self.density[picture] * cover).clamp(0.0, 1.0)

    def over_albedo(
        self, albedo: Float[Tensor, "p 3"], rest_mm: Float[Tensor, "p 3"], picture: Int[Tensor, " p"]
    ) -> Float[Tensor, "p 3"]:
        """The albedo of points with the brows on it."""
        cover = self.cover(rest_mm, picture)[:, None]
        return albedo + cover * (self.colour[picture] - albedo)

    def _hairs(
        self, rest_mm: Float[Tensor, "p 3"], picture: Int[Tensor, " p"], along: Float[Tensor, " p"]
    ) -> Float[Tensor, " p"]:
        """Single hairs: they stand upright near the nose and lie along the brow farther out."""
        angle = 1.25 - 1.15 * (along / 0.5).clamp(0.0, 1.0)
        cos, sin = torch.cos(angle), torch.sin(angle)
        x, y = rest_mm[:, 0].abs(), rest_mm[:, 1]
        places = torch.stack(
            ((x * cos + y * sin) / _HAIR_MM[0], (y * cos - x * sin) / _HAIR_MM[1], rest_mm[:, 0].sign()), dim=-1
        )
        noise = solid_noise(places + self.noise_offset[picture])[:, 0]
        return (1.0 + 0.6 * self.strands[picture] * noise).clamp(0.0, 1.6)


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
