"""Compiled CPU kernels of ``skin_points.skin_points_reference`` and ``occluder_points.occluder_appearance_reference``.

Arrays that belong together are named tuples: numba takes them as they are, and each array keeps its name in the kernel.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, no_type_check

import numpy as np
from torch import Tensor

from bfm.compiled import compiled
from recon.render.threads import for_each_task, thread_count
from recon.synthesis.kernels.arrays import as_arrays
from recon.synthesis.kernels.fast_math import exp2
from recon.synthesis.noise import noise_volume


class SkinSurface(NamedTuple):
    """P visible points of heads: ``rest_mm`` ``(P, 3)`` is the same point of the mean face, normals have any length."""

    picture: Any
    segment: Any
    position: Any
    normals: Any
    albedo: Any
    ambient_visibility: Any
    rest_mm: Any


class SkinOfPersons(NamedTuple):
    """Fields of ``skin_points.Complexion``, B rows each."""

    noise_offset: Any
    roughness: Any
    spots: Any
    bump: Any
    oiliness: Any


class SkinOfSegments(NamedTuple):
    """Fields of ``skin_points.Surfaces``, a row for each segment."""

    specular_strength: Any
    specular_exponent: Any
    subsurface_weight: Any


class SkinColumns(NamedTuple):
    """Fields of ``skin_points.SkinPoints``, P rows each."""

    position: Any
    normals: Any
    relief: Any
    albedo: Any
    ambient_visibility: Any
    specular_strength: Any
    specular_exponent: Any
    subsurface_weight: Any


class OccluderGeometry(NamedTuple):
    """Fields of ``occluder_points.OccluderSurface`` and of its attributes, P rows each."""

    picture: Any
    segment: Any
    position: Any
    normals: Any
    albedo: Any
    hair_strand: Any
    hair_tip_distance_mm: Any
    hair_curl: Any
    cloth_azimuth_rad: Any
    cloth_below_edge_mm: Any
    cloth_neckline_mm: Any
    glasses_opacity: Any


class ClothOfPersons(NamedTuple):
    """Fields of ``occluder_points.Cloth``, B rows each."""

    first: Any
    other: Any
    stripe_mm: Any
    folds: Any


class OccluderColumns(NamedTuple):
    """Fields of ``occluder_points.OccluderAppearance``, P rows each."""

    position: Any
    normals: Any
    albedo: Any
    segment: Any
    opacity: Any
    ambient_visibility: Any
    subsurface_weight: Any


class OccluderSegments(NamedTuple):
    """Ids of segments."""

    hair: int
    clothes: int
    body: int
    glasses: int


def skin_points(
    points: SkinSurface, persons: SkinOfPersons, segments: SkinOfSegments, cells_per_mm: tuple[float, float]
) -> SkinColumns:
    """Kernel of ``skin_points.skin_points``; ``cells_per_mm`` is of the fine and of the coarse noise."""
    parts, like, n = thread_count(), points.position, len(points.picture)
    out = SkinColumns(*(like.new_zeros(n, 3) for _ in range(4)), *(like.new_zeros(n) for _ in range(4)))
    arrays = (as_arrays(points), as_arrays(persons), as_arrays(segments))
    cells = np.asarray(cells_per_mm, np.float32)
    for_each_task(_skin_points, parts, parts, *arrays, cells, _volume(like), as_arrays(out))
    return out


def occluder_appearance(
    points: OccluderGeometry,
    cloth: ClothOfPersons,
    line: Tensor,
    segments: OccluderSegments,
    hair_subsurface_weight: float,
) -> OccluderColumns:
    """Kernel of ``occluder_points.occluder_appearance``; ``line`` is the table of the noise on a line."""
    parts, like, n = thread_count(), points.position, len(points.picture)
    out = OccluderColumns(
        position=like.new_zeros(n, 3),
        normals=like.new_zeros(n, 3),
        albedo=like.new_zeros(n, 3),
        segment=points.segment.clone(),
        opacity=like.new_ones(n),
        ambient_visibility=like.new_ones(n),
        subsurface_weight=like.new_zeros(n),
    )
    noise = (line.numpy(), _volume(like))
    weight = np.float32(hair_subsurface_weight)
    for_each_task(
        _occluder_appearance,
        parts,
        parts,
        as_arrays(points),
        as_arrays(cloth),
        *noise,
        segments,
        weight,
        as_arrays(out),
    )
    return out


def _volume(like: Tensor) -> np.ndarray:
    """The noise volume by z, y, x, channel."""
    array: np.ndarray = noise_volume(like.device)[0].permute(1, 2, 3, 0).contiguous().numpy()
    return array


@compiled(fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _solid_noise(volume, x, y, z):
    """``noise.solid_noise`` at one point; ``volume`` ``(n + 1, n + 1, n + 1, 2)`` by z, y, x."""
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
def _skin_points(part, parts, points, persons, segments, cells, volume, out):
    n = len(points.picture)
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-20)
    to_bits = np.float32(1.0 / math.log(2.0))
    offset = persons.noise_offset
    for p in range(part * n // parts, (part + 1) * n // parts):
        segment, who = points.segment[p], points.picture[p]
        for c in range(3):
            out.position[p, c] = points.position[p, c]
        x, y, z = points.normals[p, 0], points.normals[p, 1], points.normals[p, 2]
        length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
        x, y, z = x * length, y * length, z * length
        out.normals[p, 0], out.normals[p, 1], out.normals[p, 2] = x, y, z
        r, g, b = points.albedo[p, 0], points.albedo[p, 1], points.albedo[p, 2]
        weight = segments.subsurface_weight[segment]
        out.ambient_visibility[p] = points.ambient_visibility[p]
        out.specular_exponent[p] = segments.specular_exponent[segment]
        out.subsurface_weight[p] = weight
        specular = segments.specular_strength[segment] * persons.oiliness[who]
        rough = persons.roughness[who]
        if weight > np.float32(0.5) and rough > zero:
            rx, ry, rz = points.rest_mm[p, 0], points.rest_mm[p, 1], points.rest_mm[p, 2]
            fine_a, fine_b = _solid_noise(
                volume, rx * cells[0] + offset[who, 0], ry * cells[0] + offset[who, 1], rz * cells[0] + offset[who, 2]
            )
            coarse_a, coarse_b = _solid_noise(
                volume, rx * cells[1] + offset[who, 2], ry * cells[1] + offset[who, 1], rz * cells[1] + offset[who, 0]
            )
            tone = rough * (np.float32(0.045) * fine_a + np.float32(0.05) * coarse_a)
            freckle = min(max(fine_b + np.float32(0.6) * coarse_b - one, zero), np.float32(0.9))
            freckle *= persons.spots[who] * np.float32(0.38)
            red = np.float32(0.035) * rough * coarse_b
            r *= exp2(to_bits * (tone + red - np.float32(0.6) * freckle))
            g *= exp2(to_bits * (tone - red - freckle))
            b *= exp2(to_bits * (tone - red - np.float32(1.2) * freckle))
            bump = persons.bump[who]
            x, y, z = x + bump * fine_a, y + bump * fine_b, z + bump * coarse_a
            length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
            x, y, z = x * length, y * length, z * length
            patchy = one + np.float32(0.35) * coarse_b + np.float32(0.2) * fine_b
            specular *= min(max(patchy, np.float32(0.3)), np.float32(2.0))
        out.relief[p, 0], out.relief[p, 1], out.relief[p, 2] = x, y, z
        out.albedo[p, 0], out.albedo[p, 1], out.albedo[p, 2] = r, g, b
        out.specular_strength[p] = specular


@compiled(fastmath={"contract", "reassoc"}, inline="always")
@no_type_check
def _line_noise(line, where):
    """``noise.line_noise`` at one point."""
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
def _occluder_appearance(part, parts, points, cloth, line, volume, segments, hair_subsurface_weight, out):
    n = len(points.picture)
    zero, half, one, tiny = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(1e-20)
    for p in range(part * n // parts, (part + 1) * n // parts):
        px, py, pz = points.position[p, 0], points.position[p, 1], points.position[p, 2]
        x, y, z = points.normals[p, 0], points.normals[p, 1], points.normals[p, 2]
        length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
        facing = -(x * px + y * py + z * pz) * length / math.sqrt(max(px * px + py * py + pz * pz, tiny))
        if facing < zero:
            facing, length = -facing, -length
        x, y, z = x * length, y * length, z * length
        r, g, b = points.albedo[p, 0], points.albedo[p, 1], points.albedo[p, 2]
        segment = points.segment[p]
        if segment == segments.hair:
            strand, curl = points.hair_strand[p], points.hair_curl[p]
            fine = _line_noise(line, strand * np.float32(1.3))
            middle = _line_noise(line, strand * np.float32(0.42) + np.float32(77.0))
            coarse = _line_noise(line, strand * np.float32(0.11) + np.float32(500.0))
            straight = np.float32(0.55) * fine + np.float32(0.30) * middle + np.float32(0.15) * coarse
            cell = np.float32(1.0 / 3.6)
            knot_a, knot_b = _solid_noise(volume, px * cell, py * cell, pz * cell)
            texture = straight + curl * (_clamped(half + np.float32(0.32) * knot_a) - straight)
            ragged = (np.float32(5.0) + np.float32(6.0) * curl) * (np.float32(0.25) + np.float32(1.2) * texture)
            ragged += np.float32(9.0) * fine * fine + np.float32(5.0) * coarse
            tips = _clamped((points.hair_tip_distance_mm[p] - ragged + np.float32(5.0)) / np.float32(7.0))
            fuzz = np.float32(0.34) * (one - np.float32(0.6) * curl) * max(texture - np.float32(0.25), zero)
            out.opacity[p] = tips * _clamped((facing - np.float32(0.03) - fuzz) / np.float32(0.14))
            out.ambient_visibility[p] = np.float32(0.45) + np.float32(0.55) * texture
            out.subsurface_weight[p] = hair_subsurface_weight
            shade = np.float32(0.62) + np.float32(0.76) * texture
            r, g, b = r * shade, g * shade, b * shade
            bump = np.float32(0.55)
            x += bump * (straight - half + curl * half * knot_a)
            y += bump * curl * half * knot_b
            z += bump * (fine - half)
            length = one / math.sqrt(max(x * x + y * y + z * z, tiny))
            x, y, z = x * length, y * length, z * length
        elif segment == segments.clothes:
            azimuth, below = points.cloth_azimuth_rad[p], points.cloth_below_edge_mm[p]
            neckline = points.cloth_neckline_mm[p]
            out.ambient_visibility[p] = np.float32(0.55) + np.float32(0.45) * _clamped(below / np.float32(60.0))
            if below < neckline:
                out.segment[p], out.subsurface_weight[p] = segments.body, one
            else:
                who = points.picture[p]
                striped = math.sin(np.float32(2.0 * math.pi) * below / cloth.stripe_mm[who]) > zero
                folds = _line_noise(line, azimuth * np.float32(5.0) + np.float32(0.03) * below + cloth.folds[who])
                folds *= _line_noise(line, below / np.float32(18.0) + azimuth * np.float32(2.0))
                shade = np.float32(0.65) + np.float32(0.7) * folds
                if neckline < below < neckline + np.float32(3.0):
                    shade *= np.float32(0.7)
                colour = cloth.other[who] if striped else cloth.first[who]
                r, g, b = colour[0] * shade, colour[1] * shade, colour[2] * shade
        elif segment == segments.glasses:
            out.opacity[p] = points.glasses_opacity[p]
        out.position[p, 0], out.position[p, 1], out.position[p, 2] = px, py, pz
        out.normals[p, 0], out.normals[p, 1], out.normals[p, 2] = x, y, z
        out.albedo[p, 0], out.albedo[p, 1], out.albedo[p, 2] = r, g, b
