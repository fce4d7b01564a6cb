"""Visible points of the occluders: strands, cloth, lenses; how opaque and of what colour they are."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.camera import PerspectiveCamera
from recon.render import Raster, rasterize, vertex_normals
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import unit
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.attributes import N_COLUMNS, ClothAttributes, HairAttributes, SurfaceAttributes
from recon.synthesis.geometry.clothes import cloth_colours
from recon.synthesis.geometry.occluders import Occluders
from recon.synthesis.kernels import appearance as kernels
from recon.synthesis.noise import line_noise, line_table, solid_noise
from recon.synthesis.sample import SEGMENT_NAMES

_HAIR, _CLOTHES, _BODY, _GLASSES = (SEGMENT_NAMES.index(name) for name in ("hair", "clothes", "body", "glasses"))
_HAIR_SUBSURFACE_WEIGHT = 0.35
_Attributes = TypeVar("_Attributes", HairAttributes, ClothAttributes)


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderSurface:
    """P visible points of the occluders as geometry alone gives them.

    Attributes:
        picture: ``(P,)`` of each.
        segment: ``(P,)`` id in SEGMENT_NAMES of the part.
        position: ``(P, 3)`` mm, camera frame.
        normals: ``(P, 3)`` of any length, camera frame.
        albedo: ``(P, 3)`` linear.
        attributes: ``(P,)`` each.
    """

    picture: Int[Tensor, " p"]
    segment: Int[Tensor, " p"]
    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    attributes: SurfaceAttributes


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderAppearance:
    """How P visible points of the occluders look.

    Attributes:
        position: ``(P, 3)`` mm, camera frame.
        normals: ``(P, 3)`` unit, camera frame, towards the camera.
        albedo: ``(P, 3)`` linear.
        segment: ``(P,)`` id in SEGMENT_NAMES; bare skin of the clothes' mesh is ``body``.
        opacity: ``(P,)`` [0, 1].
        ambient_visibility: ``(P,)`` [0, 1], share of the surroundings that lights the point.
        subsurface_weight: ``(P,)`` [0, 1], 1 is skin.
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
    """Visible points of the occluders, packed as the raster's pixels.

    Attributes:
        raster: of the occluders alone.
        picture: ``(P,)`` of each point.
        appearance: of each point.
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
    def sample(cls, rng: CounterRng) -> Cloth:
        """At random."""
        return cls(*cloth_colours(rng), rng.uniform("stripe width", low=8.0, high=40.0), 3000.0 * rng.uniform("folds"))

    def of_pictures(self, picture: Int[Tensor, " p"]) -> Cloth:
        """What the persons in these pictures wear."""
        return Cloth(self.first[picture], self.other[picture], self.stripe_mm[picture], self.folds[picture])


def occluder_points(
    occluders: Occluders, camera: PerspectiveCamera, size: tuple[int, int], rng: CounterRng
) -> OccluderPoints:
    """Rasterise the occluders alone and give their points opacity and colour."""
    raster = rasterize(camera.to_clip(occluders.v_cam, size), occluders.faces, size)
    normals = vertex_normals(occluders.v_cam, occluders.faces)
    vertices = (occluders.v_cam, normals, occluders.albedo, occluders.attributes.columns())
    position, normal, albedo, columns = interpolate_packed(torch.cat(vertices, dim=-1), raster).split(
        (3, 3, 3, N_COLUMNS), dim=1
    )
    picture = torch.div(raster.pixel_index, size[0] * size[1], rounding_mode="floor")
    segment = occluders.segments[raster.triangle_ids.view(-1)[raster.pixel_index].long()]
    surface = OccluderSurface(picture, segment, position, normal, albedo, SurfaceAttributes.of_columns(columns))
    return OccluderPoints(raster, picture, occluder_appearance(surface, Cloth.sample(rng)))


def occluder_appearance(surface: OccluderSurface, cloth: Cloth) -> OccluderAppearance:
    """How points of the occluders look. Compiled on the CPU.

    Args:
        surface: the points.
        cloth: of each picture.
    """
    if surface.position.device.type != "cpu":
        return occluder_appearance_reference(surface, cloth)
    hair, worn, glasses = surface.attributes.hair, surface.attributes.cloth, surface.attributes.glasses
    points = kernels.OccluderGeometry(
        picture=surface.picture,
        segment=surface.segment,
        position=surface.position,
        normals=surface.normals,
        albedo=surface.albedo,
        hair_strand=hair.strand,
        hair_tip_distance_mm=hair.tip_distance_mm,
        hair_curl=hair.curl,
        cloth_azimuth_rad=worn.azimuth_rad,
        cloth_below_edge_mm=worn.below_edge_mm,
        cloth_neckline_mm=worn.neckline_mm,
        glasses_opacity=glasses.opacity,
    )
    garments = kernels.ClothOfPersons(cloth.first, cloth.other, cloth.stripe_mm, cloth.folds)
    segments = kernels.OccluderSegments(_HAIR, _CLOTHES, _BODY, _GLASSES)
    line = line_table(surface.position.device)
    return OccluderAppearance(*kernels.occluder_appearance(points, garments, line, segments, _HAIR_SUBSURFACE_WEIGHT))


def occluder_appearance_reference(surface: OccluderSurface, cloth: Cloth) -> OccluderAppearance:
    """Reference implementation of :func:`occluder_appearance` in torch."""
    position, albedo, segment = surface.position, surface.albedo, surface.segment
    attributes = surface.attributes
    normals = unit(surface.normals)
    view = -torch.nn.functional.normalize(position, dim=-1)
    facing = (normals * view).sum(dim=-1)
    # Sheets are seen from both sides.
    normals = torch.where((facing < 0.0)[:, None], -normals, normals)
    facing = facing.abs()
    opacity = torch.where(segment == _GLASSES, attributes.glasses.opacity, torch.ones_like(facing))
    ambient_visibility, subsurface_weight = torch.ones_like(facing), torch.zeros_like(facing)

    rows = torch.nonzero(segment == _HAIR)[:, 0]
    if len(rows):
        hair = _hair_appearance(_rows_of(attributes.hair, rows), facing[rows], position[rows])
        albedo = albedo.index_copy(0, rows, albedo[rows] * hair.shade[:, None])
        opacity = opacity.index_copy(0, rows, hair.opacity)
        ambient_visibility = ambient_visibility.index_copy(0, rows, hair.ambient_visibility)
        normals = normals.index_copy(0, rows, unit(normals[rows] + hair.bump))
        subsurface_weight = subsurface_weight.index_fill(0, rows, _HAIR_SUBSURFACE_WEIGHT)
    rows = torch.nonzero(segment == _CLOTHES)[:, 0]
    if len(rows):
        clothes = _cloth_appearance(_rows_of(attributes.cloth, rows), cloth.of_pictures(surface.picture[rows]))
        albedo = albedo.index_copy(0, rows, torch.where(clothes.is_bare[:, None], albedo[rows], clothes.colour))
        segment = segment.index_copy(0, rows, torch.where(clothes.is_bare, _BODY, _CLOTHES))
        subsurface_weight = subsurface_weight.index_copy(0, rows, clothes.is_bare.to(subsurface_weight.dtype))
        ambient_visibility = ambient_visibility.index_copy(0, rows, clothes.ambient_visibility)
    return OccluderAppearance(position, normals, albedo, segment, opacity, ambient_visibility, subsurface_weight)


@dataclasses.dataclass(frozen=True, eq=False)
class _HairAppearance:
    shade: Float[Tensor, " p"]
    opacity: Float[Tensor, " p"]
    ambient_visibility: Float[Tensor, " p"]
    bump: Float[Tensor, "p 3"]


def _hair_appearance(
    hair: HairAttributes, facing: Float[Tensor, " p"], position: Float[Tensor, "p 3"]
) -> _HairAppearance:
    """Strands along the sheet; curls where hair curls; ragged at the tips and against the light."""
    strand, curl = hair.strand, hair.curl
    fine, middle, coarse = line_noise(strand * 1.3), line_noise(strand * 0.42 + 77.0), line_noise(strand * 0.11 + 500.0)
    straight = 0.55 * fine + 0.30 * middle + 0.15 * coarse
    knots = solid_noise(position / 3.6)
    curls = (0.5 + 0.32 * knots[:, 0]).clamp(0.0, 1.0)
    texture = straight + curl * (curls - straight)
    shade = 0.62 + 0.76 * texture
    ragged = (5.0 + 6.0 * curl) * (0.25 + 1.2 * texture) + 9.0 * fine * fine + 5.0 * coarse
    tips = ((hair.tip_distance_mm - ragged + 5.0) / 7.0).clamp(0.0, 1.0)
    fuzz = 0.34 * (1.0 - 0.6 * curl) * (texture - 0.25).clamp_min(0.0)
    edge = ((facing - 0.03 - fuzz) / 0.14).clamp(0.0, 1.0)
    bump = 0.55 * torch.stack((straight - 0.5 + curl * 0.5 * knots[:, 0], curl * 0.5 * knots[:, 1], fine - 0.5), dim=-1)
    return _HairAppearance(shade, tips * edge, 0.45 + 0.55 * texture, bump)


@dataclasses.dataclass(frozen=True, eq=False)
class _ClothAppearance:
    colour: Float[Tensor, "p 3"]
    is_bare: Bool[Tensor, " p"]
    ambient_visibility: Float[Tensor, " p"]


def _cloth_appearance(points: ClothAttributes, cloth: Cloth) -> _ClothAppearance:
    """Below the neckline cloth with folds and stripes, above it bare skin that the cloth shades."""
    azimuth, below, neckline = points.azimuth_rad, points.below_edge_mm, points.neckline_mm
    striped = torch.sin(2.0 * torch.pi * below / cloth.stripe_mm) > 0.0
    colour = torch.where(striped[:, None], cloth.other, cloth.first)
    folds = line_noise(azimuth * 5.0 + 0.03 * below + cloth.folds) * line_noise(below / 18.0 + azimuth * 2.0)
    colour = colour * (0.65 + 0.7 * folds)[:, None]
    rim = (below > neckline) & (below < neckline + 3.0)
    colour = torch.where(rim[:, None], colour * 0.7, colour)
    return _ClothAppearance(colour, below < neckline, 0.55 + 0.45 * (below / 60.0).clamp(0.0, 1.0))


def _rows_of(attributes: _Attributes, rows: Int[Tensor, " r"]) -> _Attributes:
    return type(attributes)(*(getattr(attributes, field.name)[rows] for field in dataclasses.fields(attributes)))
