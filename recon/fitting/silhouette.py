"""The outline of cheek, jaw, brow and nose against what lies behind: where it is drawn, and where the photo has an edge.

A rendered face and a photo agree in colour on both sides of an outline only if the outlines agree, but colour is compared
on the face alone. So each visible vertex of the occluding contour looks along its normal for the nearest strong edge, and
wants to move there along the normal (iterated closest point on edges, as Keller et al. 2007 and Bas et al. 2016 fit
outlines).
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from recon.fitting.surface import sample_at
from recon.render import Topology

_REACH = 0.04
"""How far an edge is sought, in shares of the crop's side."""
_STEP_PX = 0.5
_LEAST_SLOPE = 0.05
"""Code values a px below which nothing is called an edge."""
_STANDING_OUT = 1.5
"""How many times the median slope along the line an edge must have."""
_JUMP_MM, _SLACK_MM = 8.0, 20.0
"""How much farther what lies beside an outline must be; and how far the outline may lie behind the nearest surface within two
pixels, since a surface is steep there."""
_INSIDE_PX = 2.0
_LEAST_TRUST = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """Vertices on the occluding contour and the edges they found.

    Attributes:
        vertices: ``(K,)``.
        normals_px: ``(K, 2)`` unit vectors out of the face, in the picture.
        shift_px: ``(K,)`` where along the normal the photo has its edge; positive is outside the drawn face.
    """

    vertices: Int[Tensor, " k"]
    normals_px: Float[Tensor, "k 2"]
    shift_px: Float[Tensor, " k"]


def contour_vertices(v_cam: Float[Tensor, "v 3"], topology: Topology) -> Int[Tensor, " k"]:
    """Vertices ``(K,)`` of the edges between a triangle that faces the camera and one that does not."""
    a, b, c = v_cam[topology.faces].unbind(1)
    towards = (torch.linalg.cross(b - a, c - a) * a).sum(-1) < 0.0
    across = topology.neighbours
    flips = towards[:, None] & (across >= 0) & ~towards[across.clamp_min(0)]
    face, corner = torch.nonzero(flips).T
    return torch.unique(torch.cat([topology.faces[face, corner], topology.faces[face, (corner + 1) % 3]]))


def find_outline(
    vertices: Int[Tensor, " k"],
    pixels: Float[Tensor, "k 2"],
    normals_px: Float[Tensor, "k 2"],
    depth_mm: Float[Tensor, " k"],
    drawn_depth_mm: Float[Tensor, "1 1 s s"],
    photo: Float[Tensor, "1 3 s s"],
    trust: Float[Tensor, "1 1 s s"],
) -> Outline:
    """Keep the contour that is seen in front of something farther, and find its edges in the photo.

    Args:
        vertices: numbers of the vertices, carried along.
        pixels, normals_px, depth_mm: of the vertices in the picture.
        drawn_depth_mm: of the drawn face; what is not covered is far.
        photo: blurred.
        trust: how likely each pixel of the photo shows bare face.
    """
    size = photo.shape[-1]
    reach = _REACH * size
    ahead = sample_at(drawn_depth_mm, pixels + _INSIDE_PX * normals_px)[:, 0]
    here = sample_at(-F.max_pool2d(-drawn_depth_mm, 5, 1, 2), pixels)[:, 0]
    margin = reach + 2.0
    kept = ((pixels > margin) & (pixels < size - margin)).all(dim=1)
    kept &= (ahead > depth_mm + _JUMP_MM) & (depth_mm < here + _SLACK_MM)
    vertices, pixels, normals_px = vertices[kept], pixels[kept], normals_px[kept]
    n_steps = int(reach / _STEP_PX)
    offsets = _STEP_PX * torch.arange(-n_steps, n_steps + 1).to(pixels)
    places = pixels[:, None] + offsets[None, :, None] * normals_px[:, None]
    colours = sample_at(photo, places.flatten(0, 1)).unflatten(0, places.shape[:2])
    slopes = (colours[:, 2:] - colours[:, :-2]).norm(dim=-1) / (2.0 * _STEP_PX)
    nearness = torch.exp(-0.5 * (offsets[1:-1] / (0.5 * reach)) ** 2)
    best = (slopes * nearness).argmax(dim=1)
    strongest = slopes.gather(1, best[:, None])[:, 0]
    shift_px = offsets[1:-1][best]
    inside = pixels + (shift_px - _INSIDE_PX)[:, None] * normals_px
    believed = sample_at(trust, inside)[:, 0] > _LEAST_TRUST
    within = (best > 0) & (best < slopes.shape[1] - 1)
    clear = within & (strongest > _LEAST_SLOPE) & (strongest > _STANDING_OUT * slopes.median(dim=1).values) & believed
    return Outline(vertices[clear], normals_px[clear], shift_px[clear])


def outline_rows(
    outline: Outline, jacobian: Float[Tensor, "k 2 d"], sigma_px: float, n_independent: float
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Weighted rows and residuals: how far the contour lies inside of its edges, along the normals.

    Args:
        outline: found edges.
        jacobian: derivative of the vertices' pixels by the unknowns.
        sigma_px: standard deviation of an edge.
        n_independent: how many independent edges all of them count for; neighbours err together.
    """
    rows = (jacobian * outline.normals_px[..., None]).sum(dim=1)
    gaps = -outline.shift_px
    share = min(1.0, n_independent / max(len(gaps), 1))
    roots = (share**0.5 / sigma_px) / (1.0 + (gaps / (3.0 * sigma_px)) ** 2)
    return rows * roots[:, None], gaps * roots
