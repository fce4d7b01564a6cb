"""Visible points of what covers the head: strands, cloth, lenses; how opaque and of what colour they are."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.camera import PerspectiveCamera
from recon.render import Raster, rasterize, vertex_normals
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import unit
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.clothes import cloth_colours
from recon.synthesis.geometry.occluders import Occluders
from recon.synthesis.kernels import appearance as appearance_kernels
from recon.synthesis.noise import line_noise, line_table, solid_noise
from recon.synthesis.sample import SEGMENT_NAMES

_HAIR, _CLOTHES, _BODY, _GLASSES = (SEGMENT_NAMES.index(name) for name in ("hair", "clothes", "body", "glasses"))
_HAIR_SUBSURFACE_WEIGHT = 0.35


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderAppearance:
    """P visible points of the cover.

    Attributes:
        position, normals, albedo: ``(P, 3)``.
        segment: ``(P,)``.
        opacity: ``(P,)`` [0, 1].
        sky: ``(P,)``.
        scatter: ``(P,)``.
    """

    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    segment: Int[Tensor, " p"]
    opacity: Float[Tensor, " p"]
    ambient_visibility: Float[Tensor, " p"]
    subsurface_weight: Float[Tensor, " p"]


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderPoints:
    """Visible points of the cover, packed as the raster's pixels.

    Attributes:
        raster: of the cover alone.
        picture: ``(P,)``.
        look: of each point.
    """

    raster: Raster
    picture: Int[Tensor, " p"]
    appearance: OccluderAppearance


@dataclasses.dataclass(frozen=True, eq=False)
class Cloth:
    """What B persons wear: two linear colours, the width of stripes in mm, and where the folds lie."""

    first: Float[Tensor, "b 3"]
    other: Float[Tensor, "b 3"]
    stripe_mm: Float[Tensor, " b"]
    folds: Float[Tensor, " b"]

    @classmethod
    def draw(cls, rng: CounterRng) -> Cloth:
        """At random."""
        return cls(*cloth_colours(rng), rng.uniform("stripe width", low=8.0, high=40.0), 3000.0 * rng.uniform("folds"))


def occluder_points(
    occluders: Occluders, camera: PerspectiveCamera, size: tuple[int, int], rng: CounterRng
) -> OccluderPoints:
    """Draw the cover alone and give its points colour and opacity."""
    part = occluders.part
    raster = rasterize(camera.to_clip(part.v_cam, size), part.faces, size)
    attributes = (part.v_cam, vertex_normals(part.v_cam, part.faces), part.albedo, part.place)
    packed = interpolate_packed(torch.cat(attributes, dim=-1), raster)
    picture = torch.div(raster.pixel_index, size[0] * size[1], rounding_mode="floor")
    segment = occluders.segments[raster.triangle_ids.view(-1)[raster.pixel_index].long()]
    return OccluderPoints(raster, picture, occluder_appearance(packed, segment, picture, Cloth.draw(rng)))


def occluder_appearance(
    packed: Float[Tensor, "p 12"], segment: Int[Tensor, " p"], picture: Int[Tensor, " p"], cloth: Cloth
) -> OccluderAppearance:
    """How points of the cover look. Compiled on the CPU.

    Args:
        packed: interpolated position, normal (of any length), albedo, and place on the part.
        segment: ``(P,)`` of the part.
        picture: ``(P,)``.
        cloth: of each picture.
    """
    if packed.device.type != "cpu":
        return occluder_appearance_reference(packed, segment, picture, cloth)
    table = torch.cat((cloth.first, cloth.other, cloth.stripe_mm[:, None], cloth.folds[:, None]), dim=1)
    kinds = (_HAIR, _CLOTHES, _BODY, _GLASSES)
    line = line_table(packed.device)
    return OccluderAppearance(
        *appearance_kernels.occluder_appearance(packed, segment, picture, table, line, kinds, _HAIR_SUBSURFACE_WEIGHT)
    )


def occluder_appearance_reference(
    packed: Float[Tensor, "p 12"], segment: Int[Tensor, " p"], picture: Int[Tensor, " p"], cloth: Cloth
) -> OccluderAppearance:
    """The plain twin of :func:`cover_look`."""
    position, normals, albedo, place = packed.split(3, dim=1)
    normals = unit(normals)
    view = -torch.nn.functional.normalize(position, dim=-1)
    facing = (normals * view).sum(dim=-1)
    # Sheets are seen from both sides.
    normals = torch.where((facing < 0.0)[:, None], -normals, normals)
    facing = facing.abs()
    opacity = torch.where(segment == _GLASSES, place[:, 0], torch.ones_like(facing))
    ambient_visibility, subsurface_weight = torch.ones_like(facing), torch.zeros_like(facing)

    rows = torch.nonzero(segment == _HAIR)[:, 0]
    if len(rows):
        appearance = _hair_appearance(place[rows], facing[rows], position[rows])
        albedo = albedo.index_copy(0, rows, albedo[rows] * appearance.shade[:, None])
        opacity = opacity.index_copy(0, rows, appearance.opacity)
        ambient_visibility = ambient_visibility.index_copy(0, rows, appearance.ambient_visibility)
        normals = normals.index_copy(0, rows, unit(normals[rows] + appearance.bump))
        subsurface_weight = subsurface_weight.index_fill(0, rows, _HAIR_SUBSURFACE_WEIGHT)
    rows = torch.nonzero(segment == _CLOTHES)[:, 0]
    if len(rows):
        colour, bare, under_chin = _cloth_appearance(place[rows], picture[rows], cloth)
        albedo = albedo.index_copy(0, rows, torch.where(bare[:, None], albedo[rows], colour))
        segment = segment.index_copy(0, rows, torch.where(bare, _BODY, _CLOTHES))
        subsurface_weight = subsurface_weight.index_copy(0, rows, bare.to(subsurface_weight.dtype))
        ambient_visibility = ambient_visibility.index_copy(0, rows, under_chin)
    return OccluderAppearance(position, normals, albedo, segment, opacity, ambient_visibility, subsurface_weight)


@dataclasses.dataclass(frozen=True, eq=False)
class _HairAppearance:
    shade: Float[Tensor, " p"]
    opacity: Float[Tensor, " p"]
    ambient_visibility: Float[Tensor, " p"]
    bump: Float[Tensor, "p 3"]


def _hair_appearance(place: Tensor, facing: Tensor, position: Tensor) -> _HairAppearance:
    """Strands along the columns; curls where hair curls; ragged at the tips and against the light."""
    across, to_tip, curl = place.unbind(1)
    fine, middle, coarse = line_noise(across * 1.3), line_noise(across * 0.42 + 77.0), line_noise(across * 0.11 + 500.0)
    strand = 0.55 * fine + 0.30 * middle + 0.15 * coarse
    knots = solid_noise(position / 3.6)
    curls = (0.5 + 0.32 * knots[:, 0]).clamp(0.0, 1.0)
    texture = strand + curl * (curls - strand)
    shade = 0.62 + 0.76 * texture
    ragged = (5.0 + 6.0 * curl) * (0.25 + 1.2 * texture) + 9.0 * fine * fine + 5.0 * coarse
    tips = ((to_tip - ragged + 5.0) / 7.0).clamp(0.0, 1.0)
    fuzz = 0.34 * (1.0 - 0.6 * curl) * (texture - 0.25).clamp_min(0.0)
    edge = ((facing - 0.03 - fuzz) / 0.14).clamp(0.0, 1.0)
    ambient_visibility = 0.45 + 0.55 * texture
    bump = 0.55 * torch.stack((strand - 0.5 + curl * 0.5 * knots[:, 0], curl * 0.5 * knots[:, 1], fine - 0.5), dim=-1)
    return _HairAppearance(shade, tips * edge, ambient_visibility, bump)


def _cloth_appearance(place: Tensor, who: Tensor, cloth: Cloth) -> tuple[Tensor, Tensor, Tensor]:
    """Below the neckline cloth with folds and stripes, above it bare skin with the cloth's shadow.

    Returns:
        Colour of the cloth ``(P, 3)``, whether skin is bare ``(P,)``, openness ``(P,)``.
    """
    azimuth, below, neckline = place.unbind(1)
    striped = torch.sin(2.0 * torch.pi * below / cloth.stripe_mm[who]) > 0.0
    colour = torch.where(striped[:, None], cloth.other[who], cloth.first[who])
    folds = line_noise(azimuth * 5.0 + 0.03 * below + cloth.folds[who]) * line_noise(below / 18.0 + azimuth * 2.0)
    colour = colour * (0.65 + 0.7 * folds)[:, None]
    rim = (below > neckline) & (below < neckline + 3.0)
    colour = torch.where(rim[:, None], colour * 0.7, colour)
    return colour, below < neckline, 0.55 + 0.45 * (below / 60.0).clamp(0.0, 1.0)
