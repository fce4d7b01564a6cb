"""What a kind of occluder carries at its points beside colour: coordinates on hair and on cloth, opacity of glasses."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class HairAttributes:
    """Where points lie on the hair sheet; all of one shape.

    Attributes:
        strand: coordinate across the strands, which are 1 apart.
        tip_distance_mm: along the strand to its tip.
        curl: of the strand, [0, 1].
    """

    strand: Float[Tensor, "*points"]
    tip_distance_mm: Float[Tensor, "*points"]
    curl: Float[Tensor, "*points"]


@dataclasses.dataclass(frozen=True, eq=False)
class ClothAttributes:
    """Where points lie on the clothes, which begin as bare skin at the edge of the model's neck; all of one shape.

    Attributes:
        azimuth_rad: around the neck, 0 at the front, positive to the viewer's right.
        below_edge_mm: distance below the edge.
        neckline_mm: distance below the edge at which the cloth begins at this azimuth.
    """

    azimuth_rad: Float[Tensor, "*points"]
    below_edge_mm: Float[Tensor, "*points"]
    neckline_mm: Float[Tensor, "*points"]


@dataclasses.dataclass(frozen=True, eq=False)
class GlassesAttributes:
    """Points on glasses.

    Attributes:
        opacity: [0, 1], 1 on the frame.
    """

    opacity: Float[Tensor, "*points"]


PartAttributes = HairAttributes | ClothAttributes | GlassesAttributes
_KINDS = (HairAttributes, ClothAttributes, GlassesAttributes)
_WIDTHS = tuple(len(dataclasses.fields(kind)) for kind in _KINDS)
N_COLUMNS = sum(_WIDTHS)
"""Of :meth:`SurfaceAttributes.columns`."""


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceAttributes:
    """Attributes of a mesh of several kinds of parts, or of points on it; all zero where a point is of another kind."""

    hair: HairAttributes
    cloth: ClothAttributes
    glasses: GlassesAttributes

    @classmethod
    def of_columns(cls, columns: Float[Tensor, "*points 7"]) -> SurfaceAttributes:
        """The inverse of :meth:`columns`; views, without a copy."""
        hair, cloth, glasses = columns.split(_WIDTHS, dim=-1)
        return cls(
            HairAttributes(*hair.unbind(-1)),
            ClothAttributes(*cloth.unbind(-1)),
            GlassesAttributes(*glasses.unbind(-1)),
        )

    def columns(self) -> Float[Tensor, "*points 7"]:
        """All attributes in the order of the fields, to be interpolated together."""
        return torch.cat([_stacked(kind) for kind in (self.hair, self.cloth, self.glasses)], dim=-1)


def part_columns(attributes: PartAttributes | None, like: Float[Tensor, "b g 3"]) -> Float[Tensor, "b g 7"]:
    """Columns of a part of one kind, with zeros for the other kinds; ``None`` has no attributes."""
    filled = []
    for kind, width in zip(_KINDS, _WIDTHS, strict=True):
        if attributes is not None and isinstance(attributes, kind):
            filled.append(_stacked(attributes))
        else:
            filled.append(like.new_zeros(*like.shape[:-1], width))
    return torch.cat(filled, dim=-1)


def _stacked(attributes: PartAttributes) -> Float[Tensor, "*points k"]:
    return torch.stack([getattr(attributes, field.name) for field in dataclasses.fields(attributes)], dim=-1)
