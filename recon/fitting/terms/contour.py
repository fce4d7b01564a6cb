"""The occluding contour of cheek, jaw, brow and nose: where it is rendered, and where the photo has an edge.

A rendered face and a photo agree in colour on both sides of a contour only if the contours agree, but colour is compared
on the face alone. So each visible contour vertex is matched to the strongest image edge along its normal in the picture; its
residual is the signed distance along the normal (iterated closest points on edges, as in Keller et al. 2007 and Bas et al.
2016).
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.fitting.face_in_view import FaceInView
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import point_jacobian
from recon.fitting.robust import geman_mcclure
from recon.fitting.solver import LinearizedTerm
from recon.render import Topology
from recon.render.sampling import sample_pixels

_RADIUS = 0.04
"""How far an edge is sought, as a fraction of the crop's side."""
_STEP_PX = 0.5
_MIN_GRADIENT = 0.05
"""Code values a px below which nothing is called an edge."""
_MIN_PROMINENCE = 1.5
"""How many times the median slope along the line an edge must have."""
_JUMP_MM, _SLACK_MM = 8.0, 20.0
"""How much farther what lies beside a contour must be; and how far the contour may lie behind the nearest surface within two
pixels, since a surface is steep there."""
_INSIDE_PX = 2.0
_LEAST_CONFIDENCE = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class Contour:
    """Vertices on the occluding contour and the edges they found.

    Attributes:
        vertices: ``(K,)``.
        normals_px: ``(K, 2)`` unit vectors out of the face, in the picture.
        shift_px: ``(K,)`` where along the normal the photo has its edge; positive is outside the rendered face.
    """

    vertices: Int[Tensor, " k"]
    normals_px: Float[Tensor, "k 2"]
    shift_px: Float[Tensor, " k"]


def contour_vertices(v_cam: Float[Tensor, "v 3"], rays: Float[Tensor, "v 3"], topology: Topology) -> Int[Tensor, " k"]:
    """Vertices ``(K,)`` of the edges between a triangle that faces the camera and one that does not.

    Args:
        v_cam: camera frame.
        rays: directions in which the vertices are seen.
        topology: of the face.
    """
    a, b, c = v_cam[topology.faces].unbind(1)
    towards = (torch.linalg.cross(b - a, c - a) * rays[topology.faces[:, 0]]).sum(-1) < 0.0
    across = topology.neighbours
    flips = towards[:, None] & (across >= 0) & ~towards[across.clamp_min(0)]
    triangle, corner = torch.nonzero(flips).T
    return torch.unique(torch.cat([topology.faces[triangle, corner], topology.faces[triangle, (corner + 1) % 3]]))


def find_contour(
    vertices: Int[Tensor, " k"],
    pixels: Float[Tensor, "k 2"],
    normals_px: Float[Tensor, "k 2"],
    depth_mm: Float[Tensor, " k"],
    rendered_depth_mm: Float[Tensor, "1 1 s s"],
    photo: Float[Tensor, "1 3 s s"],
    mask: Float[Tensor, "1 1 s s"],
) -> Contour:
    """Keep the contour that is seen in front of something farther, and find its edges in the photo.

    Args:
        vertices: numbers of the vertices, carried along.
        pixels, normals_px, depth_mm: of the vertices in the picture.
        rendered_depth_mm: of the rendered face; what is not covered is far.
        photo: blurred.
        mask: how surely each pixel of the photo shows the uncovered face.
    """
    size = photo.shape[-1]
    radius = _RADIUS * size
    ahead = sample_pixels(rendered_depth_mm[0], pixels + _INSIDE_PX * normals_px)[:, 0]
    here = sample_pixels(-F.max_pool2d(-rendered_depth_mm, 5, 1, 2)[0], pixels)[:, 0]
    margin = radius + 2.0
    kept = ((pixels > margin) & (pixels < size - margin)).all(dim=1)
    kept &= (ahead > depth_mm + _JUMP_MM) & (depth_mm < here + _SLACK_MM)
    vertices, pixels, normals_px = vertices[kept], pixels[kept], normals_px[kept]
    n_steps = int(radius / _STEP_PX)
    offsets = _STEP_PX * torch.arange(-n_steps, n_steps + 1).to(pixels)
    places = pixels[:, None] + offsets[None, :, None] * normals_px[:, None]
    colours = sample_pixels(photo[0], places.flatten(0, 1)).unflatten(0, places.shape[:2])
    slopes = (colours[:, 2:] - colours[:, :-2]).norm(dim=-1) / (2.0 * _STEP_PX)
    nearness = torch.exp(-0.5 * (offsets[1:-1] / (0.5 * radius)) ** 2)
    best = (slopes * nearness).argmax(dim=1)
    strongest = slopes.gather(1, best[:, None])[:, 0]
    shift_px = offsets[1:-1][best]
    inside = pixels + (shift_px - _INSIDE_PX)[:, None] * normals_px
    on_face = sample_pixels(mask[0], inside)[:, 0] > _LEAST_CONFIDENCE
    within = (best > 0) & (best < slopes.shape[1] - 1)
    clear = within & (strongest > _MIN_GRADIENT) & (strongest > _MIN_PROMINENCE * slopes.median(dim=1).values) & on_face
    return Contour(vertices[clear], normals_px[clear], shift_px[clear])


def contour_rows(
    contour: Contour, jacobian: Float[Tensor, "k 2 d"], sigma_px: float, effective_edges: float
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Weighted rows and residuals: how far the contour lies inside of its edges, along the normals.

    Args:
        contour: found edges.
        jacobian: derivative of the vertices' pixels by the unknowns.
        sigma_px: standard deviation of an edge.
        effective_edges: how many independent edges all of them count for; neighbours err together.
    """
    rows = (jacobian * contour.normals_px[..., None]).sum(dim=1)
    residual_px = -contour.shift_px
    weight = min(1.0, effective_edges / max(len(residual_px), 1)) / sigma_px**2
    roots = (weight * geman_mcclure(residual_px.square(), (3.0 * sigma_px) ** 2)).sqrt()
    return rows * roots[:, None], residual_px * roots


@dataclasses.dataclass(frozen=True, eq=False)
class ContourTerm:
    """The occluding contour against edges of the blurred photo.

    Attributes:
        photos: ``(1, 3, S, S)`` blurred, a view.
        usable: ``(V,)`` vertices whose contour a photo shows as an edge.
        shape_basis: ``(V, 3, Ki + Ke)`` mm.
        sigma: standard deviation of an edge, as a fraction of the crop's side.
        effective_edges: see :func:`contour_rows`.
    """

    photos: tuple[Float[Tensor, "1 3 s s"], ...]
    usable: Bool[Tensor, " v"]
    shape_basis: Float[Tensor, "v 3 k"]
    sigma: float
    effective_edges: float

    def linearize(self, face: FaceInView, layout: ParameterLayout) -> LinearizedTerm:
        """A row a contour vertex with an edge."""
        photo = self.photos[face.index]
        on_contour = contour_vertices(face.v_cam, face.rays, face.topology)
        on_contour = on_contour[self.usable[on_contour]]
        contour = find_contour(
            on_contour,
            face.to_pixels(face.v_cam[on_contour]),
            F.normalize(face.normals[on_contour, :2] * photo.new_tensor([1.0, -1.0]), dim=-1),
            -face.v_cam[on_contour, 2],
            face.depth_mm,
            photo,
            face.view.face_mask,
        )
        at = contour.vertices
        jacobian = point_jacobian(face.v_rot[at], face.v_cam[at], self.shape_basis[at], face.camera, layout.single_view)
        sigma_px = self.sigma * photo.shape[-1]
        rows, residual = contour_rows(contour, jacobian, sigma_px, self.effective_edges)
        return LinearizedTerm(rows, residual, layout.view_columns(face.index).to(rows.device))
