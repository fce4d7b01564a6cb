"""Visible points of the head: positions, normals, and the pores, spots and patches of the skin."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.render.mesh import unit
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.kernels import appearance as kernels
from recon.synthesis.noise import solid_noise
from recon.synthesis.sample import SEGMENT_NAMES
from recon.synthesis.scene.people import People

_FINE_MM, _COARSE_MM = 2.1, 9.0
"""Cells of the two noises."""


@dataclasses.dataclass(frozen=True, eq=False)
class Complexion:
    """The skin of B persons.

    Attributes:
        noise_offset: ``(B, 3)`` shift in the noise, in cells.
        roughness: ``(B,)`` amount of pores and patches.
        spots: ``(B,)`` amount of freckles.
        bump: ``(B,)`` height of the relief.
        oiliness: ``(B,)`` factor of the specular strength, in this picture.
    """

    noise_offset: Float[Tensor, "b 3"]
    roughness: Float[Tensor, " b"]
    spots: Float[Tensor, " b"]
    bump: Float[Tensor, " b"]
    oiliness: Float[Tensor, " b"]

    @classmethod
    def of(cls, people: People, person_rng: CounterRng, rng: CounterRng, strength: float) -> Complexion:
        """Persons keep their spots; the highlight is the sample's.

        Args:
            people: for age and sex.
            person_rng: of the persons.
            rng: of the samples.
            strength: [0, 1]; 0 is smooth.
        """
        sex = 0.65 + 0.35 * people.column("male")
        rough = strength * person_rng.uniform("skin roughness", low=0.35, high=1.1) * sex
        spots = strength * person_rng.uniform("spots") ** 3 * 0.6
        old = ((people.column("age_years") - 40.0) / 40.0).clamp(0.0, 1.0)
        return cls(
            noise_offset=32.0 * person_rng.uniform("skin place", 3),
            roughness=rough,
            spots=spots * (1.0 + old),
            bump=0.055 * rough * (1.0 + 0.8 * old),
            oiliness=rng.uniform("oily", low=0.4, high=1.5),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SkinPoints:
    """P visible points of heads.

    Attributes:
        position: ``(P, 3)`` mm, camera frame.
        normals: ``(P, 3)`` unit, of the mesh.
        relief: ``(P, 3)`` unit, with the skin's relief.
        albedo: ``(P, 3)``.
        ambient_visibility: ``(P,)`` share of the surroundings that reaches the point.
        specular_strength: ``(P,)`` 1 is bare skin.
        specular_exponent: ``(P,)``.
        subsurface_weight: ``(P,)`` [0, 1], 1 is skin.
    """

    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    relief: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    ambient_visibility: Float[Tensor, " p"]
    specular_strength: Float[Tensor, " p"]
    specular_exponent: Float[Tensor, " p"]
    subsurface_weight: Float[Tensor, " p"]


@dataclasses.dataclass(frozen=True, eq=False)
class SkinSurface:
    """P visible points of heads as geometry and the model alone give them.

    Attributes:
        picture: ``(P,)`` of each.
        segment: ``(P,)`` ids in SEGMENT_NAMES.
        position: ``(P, 3)`` mm, camera frame.
        normals: ``(P, 3)`` of any length, camera frame.
        albedo: ``(P, 3)``.
        ambient_visibility: ``(P,)`` share of the surroundings that reaches the point.
        rest_mm: ``(P, 3)`` the same point of the mean face, which keeps the spots with the skin.
    """

    picture: Int[Tensor, " p"]
    segment: Int[Tensor, " p"]
    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    ambient_visibility: Float[Tensor, " p"]
    rest_mm: Float[Tensor, "p 3"]


def skin_points(surface: SkinSurface, complexion: Complexion) -> SkinPoints:
    """Points with the appearance of their person's skin. Compiled on the CPU.

    Args:
        surface: the points.
        complexion: of each picture's person.
    """
    if surface.position.device.type != "cpu":
        return skin_points_reference(surface, complexion)
    table = Surfaces.on(surface.position.device)
    return SkinPoints(
        *kernels.skin_points(
            kernels.SkinSurface(*_fields(surface)),
            kernels.SkinOfPersons(*_fields(complexion)),
            kernels.SkinOfSegments(*_fields(table)),
            cells_per_mm=(1.0 / _FINE_MM, 1.0 / _COARSE_MM),
        )
    )


def skin_points_reference(surface: SkinSurface, complexion: Complexion) -> SkinPoints:
    """Reference implementation of :func:`skin_points` in torch."""
    surfaces, segment, picture = Surfaces.on(surface.position.device), surface.segment, surface.picture
    normals, albedo, rest_mm = unit(surface.normals), surface.albedo, surface.rest_mm
    at = complexion.noise_offset[picture]
    fine, coarse = solid_noise(rest_mm / _FINE_MM + at), solid_noise(rest_mm / _COARSE_MM + at.flip(-1))
    rough, spots = complexion.roughness[picture], complexion.spots[picture]
    tone = 0.045 * rough * fine[:, 0] + 0.05 * rough * coarse[:, 0]
    freckle = spots * ((fine[:, 1] + 0.6 * coarse[:, 1] - 1.0).clamp(0.0, 0.9) * 0.38)
    red = 0.035 * rough * coarse[:, 1]
    factor = torch.exp(torch.stack((tone + red - 0.6 * freckle, tone - red - freckle, tone - red - 1.2 * freckle), -1))
    bump = complexion.bump[picture, None] * torch.stack((fine[:, 0], fine[:, 1], coarse[:, 0]), -1)
    patchy = (1.0 + 0.35 * coarse[:, 1] + 0.2 * fine[:, 1]).clamp(0.3, 2.0)
    subsurface_weight = surfaces.subsurface_weight[segment]
    skin = ((subsurface_weight > 0.5) & (rough > 0.0))[:, None]
    specular_strength = surfaces.specular_strength[segment] * complexion.oiliness[picture]
    return SkinPoints(
        position=surface.position,
        normals=normals,
        relief=torch.where(skin, unit(normals + bump), normals),
        albedo=torch.where(skin, albedo * factor, albedo),
        ambient_visibility=surface.ambient_visibility,
        specular_strength=torch.where(skin[:, 0], specular_strength * patchy, specular_strength),
        specular_exponent=surfaces.specular_exponent[segment],
        subsurface_weight=subsurface_weight,
    )


def _fields(group: SkinSurface | Complexion | Surfaces) -> list[Tensor]:
    return [getattr(group, field.name) for field in dataclasses.fields(group)]


@dataclasses.dataclass(frozen=True, eq=False)
class Surfaces:
    """Optical kind of each segment: highlight strength, its exponent, light scattered like skin."""

    specular_strength: Float[Tensor, " s"]
    specular_exponent: Float[Tensor, " s"]
    subsurface_weight: Float[Tensor, " s"]

    @classmethod
    def on(cls, device: torch.device) -> Surfaces:
        """The table, in the order of SEGMENT_NAMES."""
        kinds = {
            "face": (1.0, 14.0, 1.0),
            "nose": (1.35, 18.0, 1.0),
            "lips": (1.9, 30.0, 0.8),
            "brows": (0.5, 12.0, 0.6),
            "eyelids": (0.9, 16.0, 1.0),
            "eyes": (9.0, 420.0, 0.15),
            "mouth": (2.0, 60.0, 0.5),
            "ears": (0.8, 12.0, 1.0),
            "scalp": (0.6, 12.0, 1.0),
            "neck": (0.7, 12.0, 1.0),
            "hair": (1.6, 24.0, 0.35),
            "body": (0.7, 12.0, 1.0),
            "glasses": (7.0, 160.0, 0.0),
            "occluder": (0.7, 14.0, 0.5),
        }
        columns = zip(*[kinds.get(name, (0.2, 8.0, 0.0)) for name in SEGMENT_NAMES], strict=True)
        return cls(*(torch.tensor(column, device=device) for column in columns))
