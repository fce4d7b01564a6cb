"""Compiled CPU kernels of ``shading.shade_reference`` and ``shadows.lamp_visibility_reference``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, no_type_check

import numpy as np
from torch import Tensor

from bfm.compiled import compiled
from recon.lighting import CLAMPED_COSINE
from recon.render.threads import for_each_task, thread_count
from recon.synthesis.kernels.arrays import contiguous_arrays
from recon.synthesis.kernels.fast_math import power
from recon.synthesis.scene.lights import N_LAMPS

MASKING = 0.2
"""Share of a slanted mirror image that roughness hides: k of Schlick's masking term."""
_BLOCK = 128
"""Points shaded together."""
_BASIS = tuple(math.sqrt(k / math.pi) for k in (1 / 4, *(3 / 4,) * 3, 15 / 4, 15 / 4, 5 / 16, 15 / 4, 15 / 16))
"""Factors of the real spherical harmonics to order 2 before 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2."""


class ShadowMaps(NamedTuple):
    """One lamp's view of each of B pictures, and how points are looked up in it.

    ``depth`` ``(B, S, S)``; ``to_map`` ``(B, 3, 4)``, affine from the camera frame to column, row and depth; ``radius_px``
    ``(B,)`` of the filter; ``taps`` ``(T, 3)``, row, column and slack of each look-up in units of the radius.
    """

    depth: Any
    to_map: Any
    radius_px: Any
    taps: Any


class ShadedPoints(NamedTuple):
    """Fields of ``shading.Points`` but ``starts``, P rows each."""

    picture: Any
    position: Any
    normals: Any
    albedo: Any
    ambient_visibility: Any
    specular_strength: Any
    specular_exponent: Any
    subsurface_weight: Any
    lamp_visibility: Any


class LightOfPictures(NamedTuple):
    """Light of B pictures.

    ``reflected`` and ``mirrored`` ``(B, 9, 3)`` are coefficients of the surroundings' irradiance by pi and radiance, with
    the factors of the basis; ``directions`` and ``irradiances`` ``(B, 2, 3)`` are of the lamps.
    """

    reflected: Any
    mirrored: Any
    directions: Any
    irradiances: Any


class ShadingStrengths(NamedTuple):
    """Strengths of the config in [0, 1], and the widths of subsurface scattering by colour."""

    ambient_occlusion: Any
    subsurface: Any
    specular: Any
    sss_width: Any


def lamp_visibility(maps: ShadowMaps, position: Tensor, picture: Tensor) -> Tensor:
    """Kernel of ``shadows.lamp_visibility``: ``(P,)``."""
    parts, out = thread_count(), position.new_zeros(len(position))
    arrays = (contiguous_arrays(maps), _array(position), picture.numpy(), out.numpy())
    for_each_task(_lamp_visibility, parts, parts, *arrays)
    return out


def shade(
    points: ShadedPoints,
    radiance: Tensor,
    directions: Tensor,
    irradiances: Tensor,
    strengths: tuple[float, float, float, tuple[float, float, float]],
) -> Tensor:
    """Kernel of ``shading.shade``: colours ``(P, 3)``.

    Args:
        points: to be shaded.
        radiance: ``(B, 9, 3)`` of the surroundings.
        directions, irradiances: ``(B, 2, 3)`` of the lamps.
        strengths: fields of :class:`ShadingStrengths`.
    """
    parts, out = thread_count(), points.position.new_zeros(len(points.picture), 3)
    # Factors of the basis and of the clamped cosine go into the coefficients.
    mirrored = radiance * radiance.new_tensor(_BASIS)[:, None]
    reflected = mirrored * radiance.new_tensor(CLAMPED_COSINE)[:, None] / math.pi
    light = contiguous_arrays(LightOfPictures(reflected, mirrored, directions, irradiances))
    ambient_occlusion, subsurface, specular = (np.float32(value) for value in strengths[:3])
    scales = ShadingStrengths(ambient_occlusion, subsurface, specular, np.asarray(strengths[3], np.float32))
    for_each_task(_shade, parts, parts, contiguous_arrays(points), light, scales, out.numpy())
    return out


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


@compiled(fastmath={"contract", "reassoc"})
@no_type_check
def _lamp_visibility(part, parts, maps, position, picture, out):
    n, side, count = len(out), maps.depth.shape[1], len(maps.taps)
    taps = maps.taps
    for p in range(part * n // parts, (part + 1) * n // parts):
        x, y, z = position[p, 0], position[p, 1], position[p, 2]
        m = maps.to_map[picture[p]]
        column = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        row = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        along = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        depth, r = maps.depth[picture[p]], maps.radius_px[picture[p]]
        n_visible = 0
        for k in range(count):
            i = min(max(int(row + taps[k, 1] * r), 0), side - 1)
            j = min(max(int(column + taps[k, 0] * r), 0), side - 1)
            n_visible += along - taps[k, 2] * r <= depth[i, j]
        out[p] = np.float32(n_visible) / np.float32(count)


@compiled(fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _radiance(light, c, x, y, z, m, out):
    """Spherical harmonics of one colour in m directions; the basis' factors are in the coefficients."""
    a, bx, by, bz, dxy = light[0, c], light[3, c], light[1, c], light[2, c], light[4, c]
    dyz, dzz, dxz, dxx = light[5, c], light[6, c], light[7, c], light[8, c]
    one, three = np.float32(1.0), np.float32(3.0)
    for i in range(m):
        out[i] = (
            a + bx * x[i] + by * y[i] + bz * z[i] + dxy * (x[i] * y[i]) + dyz * (y[i] * z[i])
            + dzz * (three * z[i] * z[i] - one) + dxz * (x[i] * z[i]) + dxx * (x[i] * x[i] - y[i] * y[i])
        )  # fmt: skip


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy", inline="always")
@no_type_check
def _add_surroundings(light, c, x, y, z, albedo, shut, m, reach, work, colour):
    """What reaches points in concave places, with the light from their own walls, and what they scatter of it."""
    zero, one = np.float32(0.0), np.float32(1.0)
    _radiance(light, c, x, y, z, m, work)
    for i in range(m):
        reach[i] = (one - shut[i]) / max(one - albedo[i] * shut[i], np.float32(1e-3))
        colour[i] = max(albedo[i] * reach[i] * work[i], zero)


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy", inline="always")
@no_type_check
def _add_lamp(power_of_lamp, wrap_of, albedo, reach, subsurface_weight, lamp_visibility, n_dot_l, peak, m, colour):
    """One colour of one lamp: soft edges in skin, and the highlight."""
    zero, half, one, tiny = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(1e-6)
    for i in range(m):
        wrap = wrap_of * subsurface_weight[i]
        soft = (n_dot_l[i] + wrap) / (one + wrap)
        bent = power(max(soft, tiny), one + wrap)
        soft = bent if soft > tiny else zero
        colour[i] += power_of_lamp * lamp_visibility[i] * (albedo[i] * soft * (half + half * reach[i]) + peak[i])


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy", inline="always")
@no_type_check
def _add_mirrored(light, c, x, y, z, amount, m, work, colour):
    _radiance(light, c, x, y, z, m, work)
    for i in range(m):
        colour[i] += amount[i] * max(work[i], np.float32(0.0))


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _shade(part, parts, points, lights, strengths, colour):
    # In blocks of one picture, quantity by quantity in short loops without branches: these become vector instructions.
    zero, one = np.float32(0.0), np.float32(1.0)
    ambient_occlusion, subsurface, specular = strengths.ambient_occlusion, strengths.subsurface, strengths.specular
    wrap_r, wrap_g, wrap_b = (
        subsurface * strengths.sss_width[0],
        subsurface * strengths.sss_width[1],
        subsurface * strengths.sss_width[2],
    )
    picture = points.picture
    by_pi, masking, tiny = np.float32(1.0 / math.pi), np.float32(MASKING), np.float32(1e-6)
    block = np.zeros((29, _BLOCK), np.float32)
    nx, ny, nz, vx, vy, vz, n_dot_v = block[0], block[1], block[2], block[3], block[4], block[5], block[6]
    r, g, b, reach_r, reach_g, reach_b = block[7], block[8], block[9], block[10], block[11], block[12]
    red, green, blue, specular_strength, specular_exponent, subsurface_weight = (
        block[13],
        block[14],
        block[15],
        block[16],
        block[17],
        block[18],
    )
    ambient_visibility, shut, lamp_visibility, n_dot_l, peak, work = (
        block[19],
        block[20],
        block[21],
        block[22],
        block[23],
        block[24],
    )
    mx, my, mz, amount = block[25], block[26], block[27], block[28]
    end = (part + 1) * len(colour) // parts
    first = part * len(colour) // parts
    while first < end:
        who = picture[first]
        m = min(_BLOCK, end - first)
        while picture[first + m - 1] != who:
            m -= 1
        for i in range(m):
            p = first + i
            nx[i], ny[i], nz[i] = points.normals[p, 0], points.normals[p, 1], points.normals[p, 2]
            vx[i], vy[i], vz[i] = points.position[p, 0], points.position[p, 1], points.position[p, 2]
            r[i], g[i], b[i] = points.albedo[p, 0], points.albedo[p, 1], points.albedo[p, 2]
            specular_strength[i], specular_exponent[i], subsurface_weight[i], ambient_visibility[i] = (
                points.specular_strength[p],
                points.specular_exponent[p],
                points.subsurface_weight[p],
                points.ambient_visibility[p],
            )
        for i in range(m):
            back = -one / max(math.sqrt(vx[i] * vx[i] + vy[i] * vy[i] + vz[i] * vz[i]), tiny)
            vx[i], vy[i], vz[i] = vx[i] * back, vy[i] * back, vz[i] * back
            n_dot_v[i] = min(max(nx[i] * vx[i] + ny[i] * vy[i] + nz[i] * vz[i], zero), one)
            shut[i] = ambient_occlusion * (one - ambient_visibility[i])
        light = lights.reflected[who]
        _add_surroundings(light, 0, nx, ny, nz, r, shut, m, reach_r, work, red)
        _add_surroundings(light, 1, nx, ny, nz, g, shut, m, reach_g, work, green)
        _add_surroundings(light, 2, nx, ny, nz, b, shut, m, reach_b, work, blue)
        for k in range(N_LAMPS):
            lx, ly, lz = lights.directions[who, k]
            lamp_r, lamp_g, lamp_b = lights.irradiances[who, k]
            if max(lamp_r, lamp_g, lamp_b) <= zero:
                continue
            for i in range(m):
                lamp_visibility[i] = points.lamp_visibility[first + i, k] * by_pi
            for i in range(m):
                n_dot_l[i] = nx[i] * lx + ny[i] * ly + nz[i] * lz
                hx, hy, hz = lx + vx[i], ly + vy[i], lz + vz[i]
                length = math.sqrt(max(hx * hx + hy * hy + hz * hz, np.float32(1e-12)))
                n_dot_h = max((nx[i] * hx + ny[i] * hy + nz[i] * hz) / length, np.float32(1e-4))
                lobe = (
                    power(n_dot_h, specular_exponent[i]) * np.float32(0.0045) * (specular_exponent[i] + np.float32(8.0))
                )
                peak[i] = (
                    specular * specular_strength[i] * lobe * math.sqrt(min(max(n_dot_l[i], zero), one) * n_dot_v[i])
                )
            _add_lamp(lamp_r, wrap_r, r, reach_r, subsurface_weight, lamp_visibility, n_dot_l, peak, m, red)
            _add_lamp(
                lamp_g,
                wrap_g,
                g,
                reach_g,
                subsurface_weight,
                lamp_visibility,
                n_dot_l,
                peak,
                m,
                green,
            )
            _add_lamp(lamp_b, wrap_b, b, reach_b, subsurface_weight, lamp_visibility, n_dot_l, peak, m, blue)
        if specular > zero:
            for i in range(m):
                back = one - n_dot_v[i]
                fresnel = np.float32(0.028) + np.float32(0.08) * back * back * back * back * back
                free = (
                    n_dot_v[i]
                    / (n_dot_v[i] * (one - masking) + masking)
                    * ambient_visibility[i]
                    * ambient_visibility[i]
                )
                amount[i] = specular * np.float32(0.8) * fresnel * min(specular_strength[i], np.float32(1.5)) * free
                twice = np.float32(2.0) * n_dot_v[i]
                mx[i], my[i], mz[i] = twice * nx[i] - vx[i], twice * ny[i] - vy[i], twice * nz[i] - vz[i]
            light = lights.mirrored[who]
            _add_mirrored(light, 0, mx, my, mz, amount, m, work, red)
            _add_mirrored(light, 1, mx, my, mz, amount, m, work, green)
            _add_mirrored(light, 2, mx, my, mz, amount, m, work, blue)
        for i in range(m):
            colour[first + i, 0], colour[first + i, 1], colour[first + i, 2] = red[i], green[i], blue[i]
        first += m
