"""Colours of the packed list of visible points, as light, skin and eyes make them."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.lighting import CLAMPED_COSINE
from recon.render.shading import shade_packed
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.kernels import shading as kernels
from recon.synthesis.kernels.shading import MASKING
from recon.synthesis.scene.lights import N_LAMPS, Lights

_SSS_WIDTH = (0.34, 0.14, 0.07)
"""How far light of each colour reaches beyond the terminator in skin, as a share of the radius: red goes farthest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """P visible points.

    Attributes:
        picture: ``(P,)`` int64, the picture of each.
        starts: B + 1 offsets of the pictures.
        position: ``(P, 3)`` mm, camera frame.
        normals: ``(P, 3)`` unit, camera frame.
        albedo: ``(P, 3)`` linear.
        ambient_visibility: ``(P,)`` [0, 1], share of the surroundings that lights the point.
        specular_strength: ``(P,)`` 1 is bare skin.
        specular_exponent: ``(P,)`` of the highlight.
        subsurface_weight: ``(P,)`` [0, 1], 1 is skin.
        lamp_visibility: ``(P, 2)`` [0, 1], share of each lamp that is not shadowed.
    """

    picture: Int[Tensor, " p"]
    starts: tuple[int, ...]
    position: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    ambient_visibility: Float[Tensor, " p"]
    specular_strength: Float[Tensor, " p"]
    specular_exponent: Float[Tensor, " p"]
    subsurface_weight: Float[Tensor, " p"]
    lamp_visibility: Float[Tensor, "p 2"]


def lambertian(points: Points, lights: Lights) -> Float[Tensor, "p 3"]:
    """Exactly the Lambertian shading of ``recon.render`` under ``lights.total``."""
    return shade_packed(points.albedo, points.normals, lights.total, points.starts)


def shade(points: Points, lights: Lights, config: SynthesisConfig) -> Float[Tensor, "p 3"]:
    """Surroundings with ambient occlusion, lamps with shadows and subsurface scattering, specular highlights.

    Concave places brighten again by light from their own walls, more so in light skin (Jimenez et al. 2016, "Practical real-time
    strategies for accurate indirect occlusion", whose cubic fit is replaced by the geometric series it approximates).
    Compiled on the CPU.
    """
    if points.albedo.device.type != "cpu":
        return shade_reference(points, lights, config)
    columns = (getattr(points, name) for name in kernels.ShadedPoints._fields)
    strengths = (config.ambient_occlusion, config.subsurface, config.specular, _SSS_WIDTH)
    return kernels.shade(
        kernels.ShadedPoints(*columns), lights.surroundings, lights.directions, lights.irradiances, strengths
    )


def shade_reference(points: Points, lights: Lights, config: SynthesisConfig) -> Float[Tensor, "p 3"]:
    """Reference implementation of :func:`shade` in torch."""
    ambient_visibility, reach, colour, view = _surroundings(points, lights, config)
    n_dot_v = (points.normals * view).sum(dim=-1).clamp(0.0, 1.0)
    wrap = config.subsurface * points.subsurface_weight[:, None] * points.albedo.new_tensor(_SSS_WIDTH)
    for k in range(N_LAMPS):
        towards = lights.directions[:, k][points.picture]
        lamp = lights.irradiances[:, k][points.picture] * points.lamp_visibility[:, k : k + 1] / torch.pi
        n_dot_l = (points.normals * towards).sum(dim=-1)
        soft = ((n_dot_l[:, None] + wrap) / (1.0 + wrap)).clamp_min(0.0) ** (1.0 + wrap)
        colour = colour + points.albedo * lamp * soft * (0.5 + 0.5 * reach)
        half = torch.nn.functional.normalize(towards + view, dim=-1)
        n_dot_h = (points.normals * half).sum(dim=-1).clamp_min(0.0)
        peak = 0.0045 * (points.specular_exponent + 8.0) * n_dot_h**points.specular_exponent
        specular = config.specular * points.specular_strength * peak * (n_dot_l.clamp(0.0, 1.0) * n_dot_v).sqrt()
        colour = colour + specular[:, None] * lamp
    fresnel = 0.028 + 0.08 * (1.0 - n_dot_v) ** 5
    # What a rough surface mirrors at a slant is mostly hidden by its own bumps (Schlick 1994) or by what is around it.
    free = n_dot_v / (n_dot_v * (1.0 - MASKING) + MASKING) * points.ambient_visibility**2
    amount = config.specular * 0.8 * fresnel * points.specular_strength.clamp_max(1.5) * free
    return colour + amount[:, None] * _mirrored(points, lights, view).clamp_min(0.0)


def _surroundings(
    points: Points, lights: Lights, config: SynthesisConfig
) -> tuple[Tensor, Tensor, Float[Tensor, "p 3"], Float[Tensor, "p 3"]]:
    """Ambient visibility, how much of the surroundings' light each colour gets, that light, and the way to the camera."""
    ambient_visibility = (1.0 - config.ambient_occlusion * (1.0 - points.ambient_visibility))[:, None]
    reach = ambient_visibility / (1.0 - points.albedo * (1.0 - ambient_visibility)).clamp_min(1e-3)
    colour = shade_packed(points.albedo * reach, points.normals, lights.surroundings, points.starts).clamp_min(0.0)
    return ambient_visibility, reach, colour, -torch.nn.functional.normalize(points.position, dim=-1)


def _mirrored(points: Points, lights: Lights, view: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """Radiance of the surroundings where each point mirrors them."""
    n_dot_v = (points.normals * view).sum(dim=-1, keepdim=True).clamp(0.0, 1.0)
    mirrored = 2.0 * n_dot_v * points.normals - view
    # The kernel applies the cosine lobe; a reflection wants the bare radiance.
    factors = lights.surroundings.new_tensor(CLAMPED_COSINE)[:, None] / torch.pi
    return shade_packed(torch.ones_like(mirrored), mirrored, lights.surroundings / factors, points.starts)
