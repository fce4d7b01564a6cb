"""Everything drawn around and in front of the head: hair, clothes, glasses, hands."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.draws import Draws
from recon.synthesis.geometry.accessories import glasses_part, occluder_part
from recon.synthesis.geometry.clothes import Neck, clothes_part
from recon.synthesis.geometry.hair import Hairdos, HairSheet, hair_part, hair_segment
from recon.synthesis.geometry.parts import Part, joined


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
