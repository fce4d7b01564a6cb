"""The analytic Jacobian of the photometric residual: derivative of each visible vertex's colour and pixel by the unknowns.

The residual is measured in images, rendered minus photo, both blurred alike; the derivatives are known at vertices. A
vertex at x in the image has the derivative

    dr/dp = dC/dp - grad I(x) dx/dp,

where C is the colour of that point of the surface, shading included, and grad I the mean gradient of the rendered image
and of the photo (efficient second-order minimisation, Benhimane and Malis 2004): the rendered one alone gives a
first-order step, the mean makes the step right to second order where the two images are alike.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.sparse
import scipy.spatial
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PosedCamera
from recon.color import encode_srgb_unclamped_slope
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import jacobian_of, projection_gradients, rotation_gradient
from recon.lighting import CLAMPED_COSINE, irradiance_basis, sh_basis_gradient


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceModel:
    """A model at the vertices that an image is compared at.

    Attributes:
        model: the face.
        samples: ``(S,)`` vertices that are compared.
        confidence: ``(S,)`` how well the model explains each, in [0, 1].
        area_mm2: ``(S,)`` surface that each stands for.
        shape_basis: ``(V, 3, Ki + Ke)`` mm, identity then expression.
        albedo_basis: ``(S, 3, Ka)``.
        normal_pattern: where the derivatives of triangles' normals go, see :meth:`normal_jacobian`.
    """

    model: MorphableModel
    samples: Int[Tensor, " s"]
    confidence: Float[Tensor, " s"]
    area_mm2: Float[Tensor, " s"]
    shape_basis: Float[Tensor, "v 3 k"]
    albedo_basis: Float[Tensor, "s 3 ka"]
    normal_pattern: NormalPattern

    @classmethod
    def of(cls, model: MorphableModel, confidence: Float[Tensor, " v"]) -> SurfaceModel:
        """Take the vertices of some confidence."""
        samples = torch.nonzero(confidence > 0)[:, 0]
        n = model.n_vertices
        data = model.data()
        shape = np.concatenate([data.identity_basis, data.expression_basis], axis=2)
        corners = model.mean_shape[model.faces]
        third = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1) / 6.0
        area = torch.zeros(n).to(third).index_add(0, model.faces.reshape(-1), third.repeat_interleave(3))
        like = model.mean_shape
        return cls(
            model,
            samples,
            confidence[samples],
            area[samples],
            torch.from_numpy(np.ascontiguousarray(shape)).to(like),
            torch.from_numpy(data.albedo_basis).to(like)[samples],
            NormalPattern.of(data.faces, samples.cpu().numpy(), n),
        )

    def thinned(self, every: int) -> SurfaceModel:
        """The same surface at one of ``every`` samples, evenly spread; each stands for the area nearest to it."""
        places = self.model.mean_shape[self.samples].cpu().numpy()
        # The order of a tree's leaves keeps neighbours together.
        kept = np.sort(scipy.spatial.cKDTree(places, leafsize=every).indices[::every])
        owner = scipy.spatial.cKDTree(places[kept]).query(places)[1]
        area = np.bincount(owner, weights=self.area_mm2.cpu().numpy(), minlength=len(kept))
        at = torch.from_numpy(kept).to(self.samples.device)
        return dataclasses.replace(
            self,
            samples=self.samples[at],
            confidence=self.confidence[at],
            area_mm2=torch.from_numpy(area).to(self.area_mm2),
            albedo_basis=self.albedo_basis[at],
            normal_pattern=NormalPattern.of(
                self.model.data().faces, self.samples[at].cpu().numpy(), self.model.n_vertices
            ),
        )

    def normal_jacobian(self, vertices: Float[Tensor, "v 3"]) -> Float[Tensor, "s 3 k"]:
        """Derivatives of the samples' unit normals (object frame) by the shape coefficients at ``vertices``."""
        matrix, sums = self.normal_pattern.at(vertices.double().cpu().numpy())
        flat = self.shape_basis.reshape(-1, self.shape_basis.shape[2])
        moved = torch.from_numpy(matrix @ flat.cpu().numpy()).to(vertices).view(len(self.samples), 3, -1)
        length = torch.from_numpy(np.linalg.norm(sums, axis=1)).to(vertices).clamp_min(1e-9)[:, None, None]
        normal = torch.from_numpy(sums).to(vertices)[:, :, None] / length
        return (moved - normal * (normal * moved).sum(dim=1, keepdim=True)) / length


@dataclasses.dataclass(frozen=True, eq=False)
class NormalPattern:
    """Which entry of which triangle's derivative adds to which sample's normal. Only the numbers change from step to step.

    A triangle's normal (v1 - v0) x (v2 - v0) changes by d_i x (v_{i+1} - v_{i+2}) when corner i moves by d_i.

    Attributes:
        triangles: ``(F, 3)`` vertices of each.
        n_samples, n_vertices: sizes.
        order: sorts the entries by row.
        columns, starts: the sparse matrix's columns in that order, and where its rows start.
        rows_of: ``(3, F)`` sample of each corner, -1 for none.
    """

    triangles: np.ndarray
    n_samples: int
    n_vertices: int
    order: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    rows_of: np.ndarray

    @classmethod
    def of(cls, triangles: np.ndarray, samples: np.ndarray, n_vertices: int) -> NormalPattern:
        row_of = np.full(n_vertices, -1)
        row_of[samples] = np.arange(len(samples))
        rows, columns = [], []
        for target in range(3):
            used = row_of[triangles[:, target]] >= 0
            for corner in range(3):
                for q, w in _OFF_DIAGONAL:
                    rows.append(3 * row_of[triangles[used, target]] + q)
                    columns.append(3 * triangles[used, corner] + w)
        flat_rows = np.concatenate(rows)
        order = np.argsort(flat_rows, kind="stable")
        starts = np.searchsorted(flat_rows[order], np.arange(3 * len(samples) + 1))
        columns_in_order = np.concatenate(columns)[order]
        return cls(triangles, len(samples), n_vertices, order, columns_in_order, starts, row_of[triangles].T)

    def at(self, vertices: np.ndarray) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
        """The derivative ``(3 S, 3 V)`` of the samples' normal sums, and the sums ``(S, 3)`` themselves."""
        corners = vertices[self.triangles]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = np.zeros((self.n_samples + 1, 3))
        values: list[np.ndarray] = []
        for target in range(3):
            rows = self.rows_of[target]
            for axis in range(3):
                sums[:, axis] += np.bincount(
                    np.where(rows < 0, self.n_samples, rows), weights=across[:, axis], minlength=self.n_samples + 1
                )
            for corner in range(3):
                x, y, z = (corners[rows >= 0, (corner + 1) % 3] - corners[rows >= 0, (corner + 2) % 3]).T
                entries = {(0, 1): z, (0, 2): -y, (1, 0): -z, (1, 2): x, (2, 0): y, (2, 1): -x}
                values.extend(entries[place] for place in _OFF_DIAGONAL)
        matrix = scipy.sparse.csr_matrix(
            (np.concatenate(values)[self.order].astype(np.float32), self.columns, self.starts),
            shape=(3 * self.n_samples, 3 * self.n_vertices),
        )
        return matrix, sums[:-1]


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """The samples of a surface in one view.

    Attributes:
        v_cam, normals: ``(S, 3)`` camera frame.
        v_rot: ``(S, 3)`` object-frame positions rotated into the camera's axes, before the translation.
        pixels: ``(S, 2)``.
        offset_px: ``(S, 2)`` pixels from the principal point.
        albedo: ``(S, 3)``.
    """

    v_cam: Float[Tensor, "s 3"]
    normals: Float[Tensor, "s 3"]
    v_rot: Float[Tensor, "s 3"]
    pixels: Float[Tensor, "s 2"]
    offset_px: Float[Tensor, "s 2"]
    albedo: Float[Tensor, "s 3"]


def shade_samples(samples: SurfaceSamples, lighting: Float[Tensor, "9 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Colour in the model's space, shading, and basis of irradiance over pi ``(S, 9)`` at each sample."""
    basis = irradiance_basis(samples.normals)
    shading = basis @ lighting
    return samples.albedo * shading, shading, basis


def photometric_jacobian(
    surface: SurfaceModel,
    samples: SurfaceSamples,
    lighting: Float[Tensor, "9 3"],
    camera: PosedCamera,
    normal_jacobian: Float[Tensor, "s 3 k"],
    slopes: Float[Tensor, "s 3 2"],
    layout: ParameterLayout,
) -> Float[Tensor, "s 3 d"]:
    """Derivative of the residual's code values at each sample and channel, by the unknowns of one view.

    Args:
        surface: the bases.
        samples: where they are.
        lighting: radiance coefficients, camera frame.
        camera: of the crop, with the head's pose.
        normal_jacobian: of :meth:`SurfaceModel.normal_jacobian`.
        slopes: image gradient by x and y at the samples, per px.
        layout: of one view; with 9 numbers of lighting, light is white.
    """
    colour, shading, by_lighting = shade_samples(samples, lighting)
    slope = encode_srgb_unclamped_slope(colour, surface.model.albedo_space)
    lit = (slope * samples.albedo)[..., None]
    factors = lighting * (lighting.new_tensor(CLAMPED_COSINE) / math.pi)[:, None]
    by_normal = lit * torch.einsum("sjx,jc->scx", sh_basis_gradient(samples.normals), factors)
    rotation = camera.rotation[0]
    by_position, by_translation = (-torch.bmm(slopes, by) for by in projection_gradients(samples.v_cam, camera))
    # Both frames' bases are rotated by R; folding R into the small matrices saves turning the large ones.
    by_shape = torch.bmm(by_normal @ rotation, normal_jacobian)
    by_shape = by_shape + torch.bmm(by_position @ rotation, surface.shape_basis[surface.samples])
    by_rotation = torch.bmm(by_normal, rotation_gradient(samples.normals))
    by_rotation = by_rotation + torch.bmm(by_position, rotation_gradient(samples.v_rot))
    jacobian = jacobian_of(by_shape, by_rotation, by_translation, layout)
    jacobian[..., layout.albedo] = (slope * shading)[..., None] * surface.albedo_basis
    light, n_channels = layout.lighting(0), layout.n_lighting // 9
    for channel in range(3):
        own = light.start + channel % n_channels
        jacobian[:, channel, own : light.stop : n_channels] = lit[:, channel] * by_lighting
    jacobian[..., layout.focal(0).start] = -(slopes * samples.offset_px[:, None, :]).sum(-1)
    return jacobian


_OFF_DIAGONAL = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))
