"""Meshes and scenes that the renderer's tests share."""

from __future__ import annotations

import math

import torch

from recon.camera import PerspectiveCamera
from recon.lighting import ambient, lamps_to_sh
from recon.rotation import euler_to_matrix

SIZE = (45, 60)
"""H != W, so that swapped axes show."""


def bumpy_head(n_around=48, n_down=32, dtype=torch.float32):
    """A closed head-sized surface in mm with a nose and dents: vertices (V, 3) and faces (F, 3), outward."""
    polar = torch.linspace(0, math.pi, n_down + 2, dtype=torch.float64)[1:-1]
    around = torch.arange(n_around, dtype=torch.float64) * (2 * math.pi / n_around)
    p, a = torch.meshgrid(polar, around, indexing="ij")
    nose = 0.35 * torch.exp(
        -((p - 1.7) ** 2) / 0.05 - (torch.remainder(a + math.pi, 2 * math.pi) - math.pi) ** 2 / 0.04
    )
    radius = 1 + nose + 0.04 * torch.sin(3 * a + 0.5) * torch.sin(p) ** 2 + 0.03 * torch.cos(5 * p + a) * torch.sin(p)
    rings = torch.stack(
        (75 * radius * p.sin() * a.sin(), 110 * radius * p.cos(), 95 * radius * p.sin() * a.cos()), dim=-1
    ).reshape(-1, 3)
    poles = torch.tensor([[0.0, 110, 0], [0.0, -110, 0]], dtype=torch.float64)
    i = torch.arange(n_down - 1)[:, None] * n_around
    j = torch.arange(n_around)[None]
    a0, b0 = i + j, i + (j + 1) % n_around
    a1, b1 = a0 + n_around, b0 + n_around
    sides = torch.cat((torch.stack((a0, a1, b0), -1).reshape(-1, 3), torch.stack((b0, a1, b1), -1).reshape(-1, 3)))
    top, bottom = n_down * n_around, n_down * n_around + 1
    ring, after = j[0], (j[0] + 1) % n_around
    last = (n_down - 1) * n_around
    caps = torch.cat(
        (
            torch.stack((torch.full_like(ring, top), ring, after), -1),
            torch.stack((torch.full_like(ring, bottom), last + after, last + ring), -1),
        )
    )
    return torch.cat((rings, poles)).to(dtype), torch.cat((sides, caps))


def albedo_of(v_obj):
    """A smooth albedo in [0.2, 0.8] that tells every place apart."""
    return 0.5 + 0.3 * torch.sin(v_obj / torch.tensor([23.0, 31.0, 27.0], dtype=v_obj.dtype))


def two_heads(dtype=torch.float32):
    """Two different meshes (2, V, 3) of one topology, and the faces."""
    v_obj, faces = bumpy_head(20, 14, dtype)
    other = v_obj * torch.tensor([1.1, 0.8, 0.9], dtype=dtype) + torch.tensor([20.0, -15.0, 10.0], dtype=dtype)
    return torch.stack((v_obj, other)), faces


def camera_of(size=SIZE, dtype=torch.float32, batch=2, off_centre=True):
    """Turned cameras with unequal focal lengths and an off-centre principal point."""
    angles = torch.tensor([[0.1, -0.4, 0.2], [-0.2, 0.5, -0.1]], dtype=dtype)[:batch]
    shift = torch.tensor([[5.3, -3.7]], dtype=dtype) if off_centre else torch.zeros(1, 2, dtype=dtype)
    centre = torch.tensor([[size[1] / 2, size[0] / 2]], dtype=dtype)
    focal = torch.tensor([[3.1, 3.4]], dtype=dtype) * min(size)
    place = torch.tensor([[10.0, -12.0, -900.0], [-15.0, 8.0, -1100.0]], dtype=dtype)[:batch]
    return PerspectiveCamera.at(euler_to_matrix(angles), place, focal_px=focal, principal_px=centre + shift)


def lights(dtype=torch.float32, batch=2):
    """A soft surrounding and a warm lamp, different in each picture."""
    towards = torch.tensor([[[0.5, 0.7, 1.0]], [[-1.0, 0.2, 0.6]]], dtype=dtype)[:batch]
    warm = torch.tensor([[[1.2, 1.0, 0.8]]], dtype=dtype).expand(batch, -1, -1)
    return ambient(torch.full((batch, 3), 0.6, dtype=dtype)) + lamps_to_sh(towards, warm)


def clip_square(x0, y0, x1, y1, size, z=0.0, w=1.0, dtype=torch.float64):
    """A rectangle in pixel coordinates as clip-space vertices (1, 4, 4), and its two faces."""
    height, width = size
    corners = [(x0, y0), (x0, y1), (x1, y1), (x1, y0)]
    clip = [((2 * x / width - 1) * w, (1 - 2 * y / height) * w, z * w, w) for x, y in corners]
    return torch.tensor([clip], dtype=dtype), torch.tensor([[0, 1, 2], [0, 2, 3]])


def random_triangles(n=40, seed=0, batch=2, dtype=torch.float32, flat=False):
    """Clip-space triangles of all sizes that cross each other, the picture's borders and the camera plane.

    Flat ones have small z, so that z / w lies in the visible range behind the camera too.
    """
    generator = torch.Generator().manual_seed(seed)
    v_clip = torch.randn(batch, 3 * n, 4, generator=generator, dtype=torch.float64)
    v_clip[..., 3] = 0.7 + 0.8 * torch.rand(batch, 3 * n, generator=generator, dtype=torch.float64)
    v_clip[:, ::11, 3] = -0.3
    v_clip[..., :3] *= 0.7
    if flat:
        v_clip[..., 2] *= 0.02
        v_clip[:, ::2, 3] *= -1.0
    return v_clip.to(dtype), torch.arange(3 * n).view(n, 3)
