"""Everything drawn around and in front of the head: hair, clothes, glasses, hands."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.accessories import glasses_part, hand_or_object_part
from recon.synthesis.geometry.clothes import Neck, clothes_part
from recon.synthesis.geometry.hair import HairSheet, Hairstyles, hair_part, hair_segment
from recon.synthesis.geometry.parts import Part, joined


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderGrids:
    """Grids of a model for what the config asks for; ``None`` where it asks for nothing."""

    sheet: HairSheet | None
    neck: Neck | None

    @classmethod
    def of(cls, model: MorphableModel, config: SynthesisConfig) -> OccluderGrids:
        """Prepare the grids.

        Raises:
            ValueError: clothes for a model without an open neck.
        """
        return cls(HairSheet.of(model) if config.hair > 0.0 else None, Neck.of(model) if config.clothes > 0.0 else None)


@dataclasses.dataclass(frozen=True, eq=False)
class Occluders:
    """The cover of B heads.

    Attributes:
        part: all of it as one mesh.
        segments: ``(F,)`` of its faces.
    """

    part: Part
    segments: Int[Tensor, " f"]


def build_occluders(
    occluder_grids: OccluderGrids,
    config: SynthesisConfig,
    model: MorphableModel,
    rng: CounterRng,
    person_rng: CounterRng,
    hairstyles: Hairstyles,
    v_obj: Float[Tensor, "b v 3"],
    albedo: Float[Tensor, "b v 3"],
    camera: PerspectiveCamera,
) -> Occluders | None:
    """The cover's geometry; ``None`` where the config asks for none."""
    parts: list[Part] = []
    if occluder_grids.sheet is not None:
        there = hairstyles.has_sheet
        v_hair, place = hair_part(occluder_grids.sheet, hairstyles, person_rng, v_obj, model.faces)
        v_hair = torch.where(there[:, None, None], v_hair, v_hair[:, :1])
        parts.append(hair_segment(occluder_grids.sheet, camera.to_camera(v_hair), place, hairstyles.colour))
    if occluder_grids.neck is not None:
        part = clothes_part(occluder_grids.neck, rng, v_obj, albedo, camera.rotation, camera.translation_mm)
        there = rng.chance("clothed", config.clothes)
        parts.append(dataclasses.replace(part, v_cam=torch.where(there[:, None, None], part.v_cam, part.v_cam[:, :1])))
    marks = model.landmarks68(v_obj)
    if config.glasses > 0.0:
        v_glasses, part = glasses_part(person_rng, marks, person_rng.chance("glasses", config.glasses))
        parts.append(dataclasses.replace(part, v_cam=camera.to_camera(v_glasses)))
    if config.occluders > 0.0:
        skin = model.landmarks68(albedo)[:, 27:36].mean(dim=1)
        parts.append(hand_or_object_part(rng, camera.to_camera(marks), skin, rng.chance("occluder", config.occluders)))
    if not parts:
        return None
    return Occluders(*joined(parts))
