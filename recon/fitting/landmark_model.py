"""A face model at its landmarks alone, and the first pose that landmarks give."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.alignment import scaled_orthography
from recon.fitting.state import ViewTensors
from recon.render import vertex_normals


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkModel:
    """N landmarks as a linear function of identity and expression, float64.

    Attributes:
        mean: ``(N, 3)`` mm, object frame.
        basis: ``(N, 3, Ki + Ke)`` mm a unit of identity, then of expression.
        normals: ``(N, 3)`` of the mean face.
        n_identity: Ki.
        size_slope: ``(Ki,)`` what each identity coefficient adds to the size of the mean face, as a fraction of it.
        unit_expression: whether expression weights are confined to [0, 1].
    """

    mean: Float[Tensor, "n 3"]
    basis: Float[Tensor, "n 3 k"]
    normals: Float[Tensor, "n 3"]
    n_identity: int
    size_slope: Float[Tensor, " ki"]
    unit_expression: bool

    @property
    def n_expression(self) -> int:
        return self.basis.shape[2] - self.n_identity

    @classmethod
    def of(cls, model: MorphableModel, landmark_set: str) -> LandmarkModel:
        """The named landmark set of a model."""
        data = model.data()
        points = data.landmarks[landmark_set] if landmark_set in data.landmarks else model.landmark_points(landmark_set)
        corners, weights = data.faces[points.triangles], points.barycentrics.astype(np.float64)
        device = model.mean_shape.device

        def at(values: np.ndarray) -> Tensor:
            picked = np.einsum("nk,nk...->n...", weights, values[corners].astype(np.float64))
            return torch.from_numpy(picked).to(device)

        mean, identity = at(data.mean_shape), at(data.identity_basis)
        vertices = torch.from_numpy(data.mean_shape.astype(np.float64))[None]
        normals = vertex_normals(vertices, torch.from_numpy(data.faces).long())[0]
        return cls(
            mean,
            torch.cat([identity, at(data.expression_basis)], dim=2),
            at(normals.numpy()),
            identity.shape[2],
            size_slope(mean, identity),
            data.expression_prior == "unit",
        )

    def points_obj(self, identity: Float[Tensor, " ki"], expression: Float[Tensor, " ke"]) -> Float[Tensor, "n 3"]:
        """Landmarks in the object frame, mm."""
        return self.mean + self.basis @ torch.cat([identity, expression])


def size_slope(mean: Float[Tensor, "n 3"], identity: Float[Tensor, "n 3 ki"]) -> Float[Tensor, " ki"]:
    """What each identity coefficient adds to the size of the mean face, as a fraction of it.

    Size is the root mean square distance of points from their centre.
    """
    centred = mean - mean.mean(dim=0)
    return torch.einsum("nc,nck->k", centred, identity) / centred.square().sum()


def visibility_weight(facing: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Confidence of landmarks by the cosine between their normal and the ray to the camera.

    A detector marks hidden points, too, about where they are: they keep a little weight.
    """
    return ((facing + 0.15) / 0.45).clamp(0.06, 1.0)


def pose_from_points(model: LandmarkModel, view: ViewTensors) -> tuple[Float[Tensor, "3 3"], Float[Tensor, " 3"]]:
    """Rotation and translation (mm) of the mean face: scaled orthography solved linearly, then perspective.

    Raises:
        ValueError: the points lie on a line or in one spot, so that no pose follows.
    """
    like = model.mean
    seen = (view.landmarks.points_px - view.principal_px).to(like) * like.new_tensor([1.0, -1.0])
    try:
        rows, origin = scaled_orthography(like, seen[None], _weights(view.landmarks.sigma_px).to(like)[None])
    except ValueError:
        raise ValueError("the landmarks lie on a line or in one spot: no pose follows from them") from None
    u, singular, vt = torch.linalg.svd(rows[0], full_matrices=False)
    scale = float(singular.mean().clamp_min(1e-6))
    first_two = u @ vt
    rotation = torch.cat([first_two, torch.linalg.cross(first_two[0], first_two[1])[None]])
    translation_mm = torch.cat([origin[0] / scale, -view.focal_px[0, :1].to(like) / scale])
    return rotation, translation_mm


def _weights(sigma_px: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Of points in a linear estimate: one over the variance, the largest 1; equal where nothing is known of any."""
    precision = sigma_px.double() ** -2.0
    largest = precision.max()
    return precision / largest if float(largest) > 0.0 else torch.ones_like(precision)
