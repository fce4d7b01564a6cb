"""Everything drawn around and in front of the head: hair, clothes, glasses, hands; how opaque and of what colour it is."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.render import Raster, rasterize, vertex_normals
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import unit
from recon.synthesis.accessories import glasses_part, occluder_part
from recon.synthesis.clothes import Neck, cloth_colours, clothes_part
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.draws import Draws
from recon.synthesis.hair import Hairdos, HairSheet, hair_part, hair_segment
from recon.synthesis.noise import line_noise, solid_noise
from recon.synthesis.parts import Part, joined
from recon.synthesis.sample import SEGMENT_NAMES

_HAIR, _CLOTHES, _BODY, _GLASSES = (SEGMENT_NAMES.index(name) for name in ("hair", "clothes", "body", "glasses"))


@dataclasses.dataclass(frozen=True, eq=False)
class Wardrobe:
    """Grids of a model for what the config asks for; ``None`` where it asks for nothing."""

    sheet: HairSheet | None
    neck: Neck | None

    @classmethod
    def of(cls, model: MorphableModel, config: SynthesisConfig) -> Wardrobe:
        """Prepare the grids.

        Raises:
            ValueError: clothes for a model without an open neck.
        """
        return cls(HairSheet.of(model) if config.hair > 0.0 else None, Neck.of(model) if config.clothes > 0.0 else None)


@dataclasses.dataclass(frozen=True, eq=False)
class Cover:
    """The cover of B heads.

    Attributes:
        part: all of it as one mesh.
        segments: ``(F,)`` of its faces.
    """

    part: Part
    segments: Int[Tensor, " f"]


@dataclasses.dataclass(frozen=True, eq=False)
class CoverPoints:
    """Visible points of the cover, packed as the raster's pixels.

    Attributes:
        raster: of the cover alone.
        picture: ``(P,)``.
        position, normals, albedo: ``(P, 3)``.
        segment: ``(P,)``.
        opacity: ``(P,)`` [0, 1].
        sky: ``(P,)``.
        scatter: ``(P,)``.
    """

    raster: Raster
    picture: Int[Tensor, " p"]
    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    segment: Int[Tensor, " p"]
    opacity: Float[Tensor, " p"]
    sky: Float[Tensor, " p"]
    scatter: Float[Tensor, " p"]


def make_cover(
    wardrobe: Wardrobe,
    config: SynthesisConfig,
    model: MorphableModel,
    draws: Draws,
    person_draws: Draws,
    hairdos: Hairdos,
    v_obj: Float[Tensor, "b v 3"],
    albedo: Float[Tensor, "b v 3"],
    camera: PerspectiveCamera,
) -> Cover | None:
    """The cover's geometry; ``None`` where the config asks for none."""
    parts: list[Part] = []
    if wardrobe.sheet is not None:
        there = hairdos.has_sheet
        v_hair, place = hair_part(wardrobe.sheet, hairdos, person_draws, v_obj, model.faces)
        v_hair = torch.where(there[:, None, None], v_hair, v_hair[:, :1])
        parts.append(hair_segment(wardrobe.sheet, camera.to_camera(v_hair), place, hairdos.colour))
    if wardrobe.neck is not None:
        part = clothes_part(wardrobe.neck, draws, v_obj, albedo, camera.rotation, camera.translation_mm)
        there = draws.chance("clothed", config.clothes)
        parts.append(dataclasses.replace(part, v_cam=torch.where(there[:, None, None], part.v_cam, part.v_cam[:, :1])))
    marks = model.landmarks68(v_obj)
    if config.glasses > 0.0:
        v_glasses, part = glasses_part(person_draws, marks, person_draws.chance("glasses", config.glasses))
        parts.append(dataclasses.replace(part, v_cam=camera.to_camera(v_glasses)))
    if config.occluders > 0.0:
        skin = model.landmarks68(albedo)[:, 27:36].mean(dim=1)
        parts.append(occluder_part(draws, camera.to_camera(marks), skin, draws.chance("occluder", config.occluders)))
    if not parts:
        return None
    return Cover(*joined(parts))


def cover_points(
    cover: Cover, camera: PerspectiveCamera, size: tuple[int, int], draws: Draws, person_draws: Draws
) -> CoverPoints:
    """Draw the cover alone and give its points colour and opacity."""
    part = cover.part
    raster = rasterize(camera.to_clip(part.v_cam, size), part.faces, size)
    attributes = (part.v_cam, vertex_normals(part.v_cam, part.faces), part.albedo, part.place)
    position, normals, albedo, place = interpolate_packed(torch.cat(attributes, dim=-1), raster).split(3, dim=1)
    picture = torch.div(raster.pixel_index, size[0] * size[1], rounding_mode="floor")
    segment = cover.segments[raster.triangle_ids.view(-1)[raster.pixel_index].long()]
    normals = unit(normals)
    view = -torch.nn.functional.normalize(position, dim=-1)
    facing = (normals * view).sum(dim=-1)
    # Sheets are seen from both sides.
    normals = torch.where((facing < 0.0)[:, None], -normals, normals)
    facing = facing.abs()
    opacity = torch.ones_like(facing)
    sky, scatter = torch.ones_like(facing), torch.zeros_like(facing)

    rows = torch.nonzero(segment == _HAIR)[:, 0]
    if len(rows):
        look = _hair_look(place[rows], facing[rows], position[rows], person_draws, picture[rows])
        albedo = albedo.index_copy(0, rows, albedo[rows] * look.shade[:, None])
        opacity = opacity.index_copy(0, rows, look.opacity)
        sky = sky.index_copy(0, rows, look.sky)
        normals = normals.index_copy(0, rows, unit(normals[rows] + look.bump))
        scatter = scatter.index_fill(0, rows, 0.35)
    rows = torch.nonzero(segment == _CLOTHES)[:, 0]
    if len(rows):
        albedo, segment, scatter, sky = _clothes_look(rows, place, picture, draws, albedo, segment, scatter, sky)
    rows = torch.nonzero(segment == _GLASSES)[:, 0]
    if len(rows):
        opacity = opacity.index_copy(0, rows, place[rows, 0])
    return CoverPoints(raster, picture, position, normals, albedo, segment, opacity, sky, scatter)


@dataclasses.dataclass(frozen=True, eq=False)
class _HairLook:
    shade: Float[Tensor, " p"]
    opacity: Float[Tensor, " p"]
    sky: Float[Tensor, " p"]
    bump: Float[Tensor, "p 3"]


def _hair_look(place: Tensor, facing: Tensor, position: Tensor, draws: Draws, picture: Tensor) -> _HairLook:
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
    sky = 0.45 + 0.55 * texture
    bump = 0.55 * torch.stack((strand - 0.5 + curl * 0.5 * knots[:, 0], curl * 0.5 * knots[:, 1], fine - 0.5), dim=-1)
    return _HairLook(shade, tips * edge, sky, bump)


def _clothes_look(
    rows: Tensor,
    place: Tensor,
    picture: Tensor,
    draws: Draws,
    albedo: Tensor,
    segment: Tensor,
    scatter: Tensor,
    sky: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Below the neckline cloth with folds and stripes, above it bare skin with the cloth's shadow."""
    azimuth, below, neckline = place[rows].unbind(1)
    who = picture[rows]
    first, other = cloth_colours(draws)
    width = draws.uniform("stripe width", low=8.0, high=40.0)[who]
    striped = torch.sin(2.0 * torch.pi * below / width) > 0.0
    cloth = torch.where(striped[:, None], other[who], first[who])
    folds = line_noise(azimuth * 5.0 + 0.03 * below + 3000.0 * draws.uniform("folds")[who]) * line_noise(
        below / 18.0 + azimuth * 2.0
    )
    cloth = cloth * (0.65 + 0.7 * folds)[:, None]
    rim = (below - neckline).abs() < 3.0
    cloth = torch.where((rim & (below > neckline))[:, None], cloth * 0.7, cloth)
    bare = below < neckline
    albedo = albedo.index_copy(0, rows, torch.where(bare[:, None], albedo[rows], cloth))
    segment = segment.index_copy(0, rows, torch.where(bare, _BODY, _CLOTHES))
    scatter = scatter.index_copy(0, rows, bare.to(scatter.dtype))
    under_chin = 0.55 + 0.45 * (below / 60.0).clamp(0.0, 1.0)
    return albedo, segment, scatter, sky.index_copy(0, rows, under_chin)
