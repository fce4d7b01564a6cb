"""Compiled twins, for the CPU, of how visible points look: ``skin_points.skin_points_reference`` and
``cover_points.cover_look_reference``."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from torch import Tensor

from bfm.compiled import compiled
from recon.render.threads import for_each_task, thread_count
from recon.synthesis.kernels.fast_math import exp2
from recon.synthesis.noise import noise_volume


def skin_points(
    packed: Tensor, segment: Tensor, picture: Tensor, persons: Tensor, surfaces: Tensor, cells: tuple[float, float]
) -> tuple[Tensor, ...]:
    """Columns of ``skin_points.SkinPoints``.

    Args:
        packed: ``(P, 13)``.
        segment, picture: ``(P,)``.
        persons: ``(B, 7)`` place, roughness, spots, bump, oiliness.
        surfaces: ``(S, 3)`` gloss, sharpness, scatter of each segment.
        cells: of the fine and of the coarse noise, 1 / mm.
    """
    parts, n = thread_count(), len(packed)
    out = tuple(packed.new_zeros(n, 3) for _ in range(4)) + tuple(packed.new_zeros(n) for _ in range(4))
    arrays = (packed.numpy(), segment.numpy(), picture.numpy(), persons.numpy(), surfaces.numpy())
    columns = (column.numpy() for column in out)
    for_each_task(_skin_points, parts, parts, *arrays, np.asarray(cells, np.float32), _volume(packed), *columns)
    return out


def occluder_appearance(
    packed: Tensor,
    segment: Tensor,
    picture: Tensor,
    cloth: Tensor,
    line: Tensor,
    kinds: tuple[int, int, int, int],
    hair_subsurface_weight: float,
) -> tuple[Tensor, ...]:
    """Columns of ``cover_points.CoverLook``.

    Args:
        packed: ``(P, 12)``.
        segment, picture: ``(P,)``.
        cloth: ``(B, 8)`` both colours, width of stripes, place of folds.
        line: table of the noise on a line.
        kinds: segments of hair, clothes, bare skin, glasses.
        hair_scatter: scatter of hair.
    """
    parts, n = thread_count(), len(packed)
    out = (
        *(packed.new_zeros(n, 3) for _ in range(3)),
        segment.clone(),
        *(packed.new_ones(n), packed.new_ones(n), packed.new_zeros(n)),
    )
    arrays = (packed.numpy(), segment.numpy(), picture.numpy(), cloth.numpy(), line.numpy(), _volume(packed))
    columns = (column.numpy() for column in out)
    for_each_task(_occluder_appearance, parts, parts, *arrays, kinds, np.float32(hair_subsurface_weight), *columns)
    return out


def _volume(like: Tensor) -> np.ndarray:
    """The noise volume by z, y, x, channel."""
    array: np.ndarray = noise_volume(like.device)[0].permute(1, 2, 3, 0).contiguous().numpy()
    return array


@compiled(fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _solid_noise(volume, x, y, z):
    """Twin of ``noise.solid_noise`` at one point; ``volume`` ``(n + 1, n + 1, n + 1, 2)`` by z, y, x."""
    n = volume.shape[0] - 1
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx) & (n - 1), int(fy) & (n - 1), int(fz) & (n - 1)
    one = np.float32(1.0)
    u, v, w = x - np.float32(fx), y - np.float32(fy), z - np.float32(fz)
    w00, w01, w10, w11 = (one - w) * (one - v), (one - w) * v, w * (one - v), w * v
    a, b = np.float32(0.0), np.float32(0.0)
    left, right = (one - u) * w00, u * w00
    a += left * volume[k, j, i, 0] + right * volume[k, j, i + 1, 0]
    b += left * volume[k, j, i, 1] + right * volume[k, j, i + 1, 1]
    left, right = (one - u) * w01, u * w01
    a += left * volume[k, j + 1, i, 0] + right * volume[k, j + 1, i + 1, 0]
    b += left * volume[k, j + 1, i, 1] + right * volume[k, j + 1, i + 1, 1]
    left, right = (one - u) * w10, u * w10
    a += left * volume[k + 1, j, i, 0] + right * volume[k + 1, j, i + 1, 0]
    b += left * volume[k + 1, j, i, 1] + right * volume[k + 1, j, i + 1, 1]
    left, right = (one - u) * w11, u * w11
    a += left * volume[k + 1, j + 1, i, 0] + right * volume[k + 1, j + 1, i + 1, 0]
    b += left * volume[k + 1, j + 1, i, 1] + right * volume[k + 1, j + 1, i + 1, 1]
    return a, b


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _skin_points(
    part, parts, packed, segment, picture, persons, surfaces, cells, volume,
    position, normals, relief, albedo, ambient_visibility, specular_strength, specular_exponent, subsurface_weight,
):  # fmt: skip
    n = len(packed)
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-20)
    to_bits = np.float32(1.0 / math.log(2.0))
    for p in range(part * n // parts, (part + 1) * n // parts):
        kind, who = surfaces[segment[p]], persons[picture[p]]
        for c in range(3):
            position[p, c] = packed[p, c]
        x, y, z = packed[p, 3], packed[p, 4], packed[p, 5]
        length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
        x, y, z = x * length, y * length, z * length
        normals[p, 0], normals[p, 1], normals[p, 2] = x, y, z
        r, g, b = packed[p, 6], packed[p, 7], packed[p, 8]
        ambient_visibility[p], specular_exponent[p], subsurface_weight[p] = packed[p, 9], kind[1], kind[2]
        specular = kind[0] * who[6]
        if kind[2] > np.float32(0.5) and who[3] > zero:
            rx, ry, rz, rough = packed[p, 10], packed[p, 11], packed[p, 12], who[3]
            fine_a, fine_b = _solid_noise(
                volume, rx * cells[0] + who[0], ry * cells[0] + who[1], rz * cells[0] + who[2]
            )
            coarse_a, coarse_b = _solid_noise(
                volume, rx * cells[1] + who[2], ry * cells[1] + who[1], rz * cells[1] + who[0]
            )
            tone = rough * (np.float32(0.045) * fine_a + np.float32(0.05) * coarse_a)
            freckle = min(max(fine_b + np.float32(0.6) * coarse_b - one, zero), np.float32(0.9))
            freckle *= who[4] * np.float32(0.38)
            red = np.float32(0.035) * rough * coarse_b
            r *= exp2(to_bits * (tone + red - np.float32(0.6) * freckle))
            g *= exp2(to_bits * (tone - red - freckle))
            b *= exp2(to_bits * (tone - red - np.float32(1.2) * freckle))
            x, y, z = x + who[5] * fine_a, y + who[5] * fine_b, z + who[5] * coarse_a
            length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
            x, y, z = x * length, y * length, z * length
            patchy = one + np.float32(0.35) * coarse_b + np.float32(0.2) * fine_b
            specular *= min(max(patchy, np.float32(0.3)), np.float32(2.0))
        relief[p, 0], relief[p, 1], relief[p, 2] = x, y, z
        albedo[p, 0], albedo[p, 1], albedo[p, 2] = r, g, b
        specular_strength[p] = specular


@compiled(fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _line_noise(line, where):
    """Twin of ``noise.line_noise`` at one place."""
    cell = math.floor(where)
    first = int(cell) & (len(line) - 1)
    share = where - np.float32(cell)
    a, b = line[first], line[(first + 1) & (len(line) - 1)]
    return a + (b - a) * (share * share * (np.float32(3.0) - np.float32(2.0) * share))


@compiled(inline="always")
@no_type_check
def _clamped(x):
    return min(max(x, np.float32(0.0)), np.float32(1.0))


@compiled(fastmath={"contract", "reassoc"}, error_model="numpy")
@no_type_check
def _occluder_appearance(
    part, parts, packed, segment_in, picture, cloth, line, volume, kinds, hair_subsurface_weight,
    position, normals, albedo, segment, opacity, ambient_visibility, subsurface_weight,
):  # fmt: skip
    n = len(packed)
    zero, half, one, tiny = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(1e-20)
    hair, clothes, body, glasses = kinds
    for p in range(part * n // parts, (part + 1) * n // parts):
        px, py, pz = packed[p, 0], packed[p, 1], packed[p, 2]
        x, y, z = packed[p, 3], packed[p, 4], packed[p, 5]
        length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
        facing = -(x * px + y * py + z * pz) * length / math.sqrt(max(px * px + py * py + pz * pz, tiny))
        if facing < zero:
            facing, length = -facing, -length
        x, y, z = x * length, y * length, z * length
        r, g, b = packed[p, 6], packed[p, 7], packed[p, 8]
        u, v, w = packed[p, 9], packed[p, 10], packed[p, 11]
        kind = segment_in[p]
        if kind == hair:
            fine = _line_noise(line, u * np.float32(1.3))
            middle = _line_noise(line, u * np.float32(0.42) + np.float32(77.0))
            coarse = _line_noise(line, u * np.float32(0.11) + np.float32(500.0))
            strand = np.float32(0.55) * fine + np.float32(0.30) * middle + np.float32(0.15) * coarse
            cell = np.float32(1.0 / 3.6)
            knot_a, knot_b = _solid_noise(volume, px * cell, py * cell, pz * cell)
            texture = strand + w * (_clamped(half + np.float32(0.32) * knot_a) - strand)
            ragged = (np.float32(5.0) + np.float32(6.0) * w) * (np.float32(0.25) + np.float32(1.2) * texture)
            ragged += np.float32(9.0) * fine * fine + np.float32(5.0) * coarse
            tips = _clamped((v - ragged + np.float32(5.0)) / np.float32(7.0))
            fuzz = np.float32(0.34) * (one - np.float32(0.6) * w) * max(texture - np.float32(0.25), zero)
            opacity[p] = tips * _clamped((facing - np.float32(0.03) - fuzz) / np.float32(0.14))
            ambient_visibility[p] = np.float32(0.45) + np.float32(0.55) * texture
            subsurface_weight[p] = hair_subsurface_weight
            shade = np.float32(0.62) + np.float32(0.76) * texture
            r, g, b = r * shade, g * shade, b * shade
            bump = np.float32(0.55)
            x += bump * (strand - half + w * half * knot_a)
            y += bump * w * half * knot_b
            z += bump * (fine - half)
            length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
            x, y, z = x * length, y * length, z * length
        elif kind == clothes:
            ambient_visibility[p] = np.float32(0.55) + np.float32(0.45) * _clamped(v / np.float32(60.0))
            if v < w:
                segment[p], subsurface_weight[p] = body, one
            else:
                who = cloth[picture[p]]
                striped = math.sin(np.float32(2.0 * math.pi) * v / who[6]) > zero
                folds = _line_noise(line, u * np.float32(5.0) + np.float32(0.03) * v + who[7])
                folds *= _line_noise(line, v / np.float32(18.0) + u * np.float32(2.0))
                shade = np.float32(0.65) + np.float32(0.7) * folds
                if w < v < w + np.float32(3.0):
                    shade *= np.float32(0.7)
                first = 3 if striped else 0
                r, g, b = who[first] * shade, who[first + 1] * shade, who[first + 2] * shade
        elif kind == glasses:
            opacity[p] = u
        position[p, 0], position[p, 1], position[p, 2] = px, py, pz
        normals[p, 0], normals[p, 1], normals[p, 2] = x, y, z
        albedo[p, 0], albedo[p, 1], albedo[p, 2] = r, g, b
