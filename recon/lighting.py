"""Distant light as real spherical harmonics of order 2.

Lighting is ``(B, 9, 3)``, or ``(B, 9, 1)`` for white light: the coefficients of the incoming *radiance* L(w) in the real
orthonormal basis, in the order 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, where w points from the surface to the
light. A surface with normal n receives the irradiance

    E(n) = sum over l, m of A_l L_lm Y_lm(n),    A = pi, 2 pi / 3, pi / 4    (Ramamoorthi and Hanrahan 2001)

and a Lambertian surface sends back albedo E(n) / pi. So a constant white surrounding of radiance 1 shows exactly the
albedo, and L(w) = 1 + w_z gives E(n) = pi + (2 pi / 3) n_z. Light and normals are in the same frame; the renderer uses
the camera frame. Order 2 can ring below zero for hard lights; nothing is clamped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

CLAMPED_COSINE = (math.pi, *(2.0 * math.pi / 3.0,) * 3, *(math.pi / 4.0,) * 5)
"""A_l of each of the nine coefficients."""

_BAND0 = math.sqrt(1.0 / (4.0 * math.pi))
_BAND1 = math.sqrt(3.0 / (4.0 * math.pi))
_BAND2 = math.sqrt(15.0 / (4.0 * math.pi))
_BAND2_ZZ = math.sqrt(5.0 / (16.0 * math.pi))
_BAND2_XX = math.sqrt(15.0 / (16.0 * math.pi))


class LightingError(ValueError):
    """Lighting of a wrong shape."""


def sh_basis(directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 9"]:
    """The nine basis functions at unit directions."""
    x, y, z = directions.unbind(-1)
    return torch.stack(
        (
            torch.full_like(x, _BAND0),
            _BAND1 * y,
            _BAND1 * z,
            _BAND1 * x,
            _BAND2 * x * y,
            _BAND2 * y * z,
            _BAND2_ZZ * (3.0 * z * z - 1.0),
            _BAND2 * x * z,
            _BAND2_XX * (x * x - y * y),
        ),
        dim=-1,
    )


def sh_basis_gradient(directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 9 3"]:
    """Derivatives of :func:`sh_basis`, taken as polynomials in x, y and z, by the three coordinates."""
    x, y, z = directions.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows = (
        (zero, zero, zero),
        (zero, _BAND1 * one, zero),
        (zero, zero, _BAND1 * one),
        (_BAND1 * one, zero, zero),
        (_BAND2 * y, _BAND2 * x, zero),
        (zero, _BAND2 * z, _BAND2 * y),
        (zero, zero, 6.0 * _BAND2_ZZ * z),
        (_BAND2 * z, zero, _BAND2 * x),
        (2.0 * _BAND2_XX * x, -2.0 * _BAND2_XX * y, zero),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def irradiance_basis(normals: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 9"]:
    """Irradiance over pi at unit normals of a unit of each coefficient: what albedo is multiplied by, a coefficient."""
    return sh_basis(normals) * normals.new_tensor(CLAMPED_COSINE) / math.pi


def irradiance(normals: Float[Tensor, "*b n 3"], lighting: Float[Tensor, "*b 9 c"]) -> Float[Tensor, "*b n c"]:
    """Irradiance E(n) of unit normals under lighting of radiance coefficients, one colour channel or three."""
    factors = lighting.new_tensor(CLAMPED_COSINE)[:, None]
    return sh_basis(normals) @ (factors * lighting).to(normals.dtype)


def shade(
    albedo: Float[Tensor, "*b n 3"], normals: Float[Tensor, "*b n 3"], lighting: Float[Tensor, "*b 9 _c"]
) -> Float[Tensor, "*b n 3"]:
    """Colour sent back by Lambertian surfaces: albedo E(n) / pi. Not clamped.

    Args:
        albedo: in [0, 1].
        normals: unit, in the frame of the lighting.
        lighting: radiance coefficients, ``(..., 9, 3)`` or ``(..., 9, 1)``.
    """
    check_lighting(lighting)
    return albedo * (irradiance(normals, lighting) / math.pi)


def check_lighting(lighting: Tensor) -> None:
    """Refuse what is not ``(..., 9, 3)`` or ``(..., 9, 1)``.

    Raises:
        LightingError: naming the shape found.
    """
    if lighting.ndim < 2 or lighting.shape[-2] != 9 or lighting.shape[-1] not in (1, 3):
        raise LightingError(
            f"lighting must be (..., 9, 3), or (..., 9, 1) for white light, got {tuple(lighting.shape)}; "
            "coefficients come before channels"
        )


def ambient(radiance: Float[Tensor, "*b c"]) -> Float[Tensor, "*b 9 c"]:
    """Light of the same radiance from everywhere: shading is then albedo times radiance."""
    lighting = radiance.new_zeros(*radiance.shape[:-1], 9, radiance.shape[-1])
    lighting[..., 0, :] = radiance / _BAND0
    return lighting


def lamps_to_sh(directions: Float[Tensor, "*b k 3"], irradiances: Float[Tensor, "*b k c"]) -> Float[Tensor, "*b 9 c"]:
    """Directional lamps, projected.

    Args:
        directions: towards each lamp, any length but zero.
        irradiances: what each lamp gives a surface that faces it.
    """
    unit = directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    return sh_basis(unit).transpose(-1, -2) @ irradiances


def environment_to_sh(picture: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b 9 c"]:
    """An environment picture in latitude-longitude layout, projected; linear radiance.

    The middle column lies at -z, where the camera looks; the picture's right is +x, its top row +y. The columns at
    both edges are behind the camera (+z): they light the front of a face.
    """
    directions, solid_angle = environment_directions(picture)
    return torch.einsum("...chw,hwk,h->...kc", picture, sh_basis(directions), solid_angle)


def environment_directions(picture: Float[Tensor, "*b c h w"]) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, " h"]]:
    """Unit directions of the texels of an environment picture, and the solid angle of a texel by row."""
    height, width = picture.shape[-2:]
    edges = torch.linspace(0.0, math.pi, height + 1, dtype=picture.dtype, device=picture.device)
    polar = 0.5 * (edges[1:] + edges[:-1])
    azimuth = (torch.arange(width, dtype=picture.dtype, device=picture.device) + 0.5) * (
        2.0 * math.pi / width
    ) - math.pi
    solid_angle = (edges[:-1].cos() - edges[1:].cos()) * (2.0 * math.pi / width)
    directions = torch.stack(
        (
            polar.sin()[:, None] * azimuth.sin(),
            polar.cos()[:, None].expand(height, width),
            -polar.sin()[:, None] * azimuth.cos(),
        ),
        dim=-1,
    )
    return directions, solid_angle


def rotate_lighting(lighting: Float[Tensor, "*b 9 c"], rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 9 c"]:
    """The lighting turned with the scene: light that came from w comes from R w."""
    return sh_rotation(rotation) @ lighting


def sh_rotation(rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 9 9"]:
    """The matrix that turns coefficients with a rotation; exact, orthogonal, one block a band.

    A function of order 2 is fixed by its values in nine general directions, and the turned function has at d the value
    that the old one has at R^T d.
    """
    directions = rotation.new_tensor(_NINE_DIRECTIONS)
    directions = directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    from_values = torch.linalg.inv(sh_basis(directions))
    turned = from_values @ sh_basis(directions @ rotation)
    return turned * rotation.new_tensor(_SAME_BAND)


_NINE_DIRECTIONS: Sequence[tuple[float, float, float]] = (
    (1.0, 0.0, 0.2),
    (-0.3, 1.0, 0.0),
    (0.0, 0.1, 1.0),
    (1.0, 1.0, 0.0),
    (1.0, 0.0, -1.0),
    (0.0, 1.0, 1.0),
    (1.0, -1.0, 0.4),
    (-1.0, 0.3, -1.0),
    (0.2, -1.0, 1.0),
)
_SAME_BAND = [[float(math.isqrt(i) == math.isqrt(j)) for j in range(9)] for i in range(9)]
