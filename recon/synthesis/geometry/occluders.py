"""All geometry around and in front of the head: hair, clothes, glasses, hands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.accessories import glasses_part, hand_or_object_part
from recon.synthesis.geometry.attributes import SurfaceAttributes, part_columns
from recon.synthesis.geometry.clothes import Neck, clothes_part
from recon.synthesis.geometry.hair import HairSheet, Hairstyles, hair_part
from recon.synthesis.geometry.parts import Head, Part


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderGrids:
    """Grids of a model for what the config asks for; ``None`` where it asks for nothing."""

    hair: HairSheet | None
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
    """All geometry around and in front of B heads, as one mesh.

    Attributes:
        v_cam: ``(B, G, 3)`` mm, camera frame.
        faces: ``(F, 3)``.
        segments: ``(F,)`` id in SEGMENT_NAMES of each face.
        albedo: ``(B, G, 3)`` linear.
        attributes: ``(B, G)`` each.
    """

    v_cam: Float[Tensor, "b g 3"]
    faces: Int[Tensor, "f 3"]
    segments: Int[Tensor, " f"]
    albedo: Float[Tensor, "b g 3"]
    attributes: SurfaceAttributes

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> Occluders:
        """Parts joined, in their order."""
        faces, segments, first = [], [], 0
        for part in parts:
            faces.append(part.faces + first)
            segments.append(torch.full((len(part.faces),), part.segment, device=part.faces.device))
            first += part.v_cam.shape[1]
        columns = torch.cat([part_columns(part.attributes, part.v_cam) for part in parts], dim=1)
        return cls(
            v_cam=torch.cat([part.v_cam for part in parts], dim=1),
            faces=torch.cat(faces),
            segments=torch.cat(segments),
            albedo=torch.cat([part.albedo for part in parts], dim=1),
            attributes=SurfaceAttributes.of_columns(columns),
        )


def build_occluders(
    grids: OccluderGrids,
    config: SynthesisConfig,
    head: Head,
    hairstyles: Hairstyles,
    rng: CounterRng,
    look_rng: CounterRng,
) -> Occluders | None:
    """The geometry around heads; ``None`` where the config asks for none.

    Args:
        grids: of the model, made for the same config.
        config: for the shares of heads with clothes, glasses and things before the face.
        head: what the parts are fitted to.
        hairstyles: of the heads.
        rng: of the samples: clothes and what is before the face differ between pictures of a person.
        look_rng: of the persons' looks: hair and glasses differ between these only.
    """
    parts: list[Part] = []
    if grids.hair is not None:
        parts.append(hair_part(grids.hair, hairstyles, look_rng, head))
    if grids.neck is not None:
        parts.append(clothes_part(grids.neck, rng, head, rng.chance("clothed", config.clothes)))
    if config.glasses > 0.0:
        parts.append(glasses_part(look_rng, head, look_rng.chance("glasses", config.glasses)))
    if config.occluders > 0.0:
        parts.append(hand_or_object_part(rng, head, rng.chance("occluder", config.occluders)))
    return Occluders.of_parts(parts) if parts else None
