"""Measured depth of the photo: distances of the face's surface from measured points along its normals.

Each visible sample of the surface is compared with the point that was measured at its pixel (point to plane, Chen and Medioni
1992, with projective association). Points and normals are held while a step is solved for, so that a surface may slide along
itself; what is no face, such as hair, glasses and the edges of a map, is far beyond the others' error and counts little.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.fitting.face_in_view import FaceInView
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import jacobian_of, rotation_gradient
from recon.fitting.robust import geman_mcclure
from recon.fitting.solver import LinearizedTerm
from recon.fitting.surface import SurfaceModel
from recon.fitting.terms.photometric import sample_weights, surface_samples

_OUTLIER2 = 6.25
"""Squared residual, in units of the noise variance, at which a point counts a quarter."""
_LEAST_NOISE_MM, _MOST_NOISE_MM = 1.0, 40.0


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredPoints:
    """What was measured where samples of a surface are seen.

    Attributes:
        points: ``(S, 3)`` camera frame, mm; they mean nothing where no depth is known.
        behind_mm: ``(S,)`` how far the surface lies outside of the measured one, along its own normal.
        weights: ``(S,)`` visible area of each sample in px, times the confidence in it; 0 where nothing was measured.
    """

    points: Float[Tensor, "s 3"]
    behind_mm: Float[Tensor, " s"]
    weights: Float[Tensor, " s"]

    @classmethod
    def of(cls, face: FaceInView, surface: SurfaceModel) -> MeasuredPoints | None:
        """Under the samples of a face; None in a view without measured depth."""
        if face.view.depth is None:
            return None
        samples = surface_samples(face, surface)
        depth_mm, known = face.view.depth.at(samples.pixels)
        points = face.camera.unproject(samples.pixels[None], depth_mm[None])[0]
        behind_mm = (samples.normals * (samples.v_cam - points)).sum(dim=1)
        return cls(points, behind_mm, sample_weights(face, samples, surface) * known)

    @property
    def used(self) -> Bool[Tensor, " s"]:
        """Samples of some weight."""
        return self.weights > 0.0

    @property
    def median_mm(self) -> float:
        """Of the surfaces' distances; nan where nothing was measured."""
        return float(self.behind_mm[self.used].abs().median()) if bool(self.used.any()) else float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredDepthTerm:
    """The face's surface against measured points.

    Attributes:
        surface: where they are compared.
        effective_points: how many independent points the map counts for: its errors are alike over wide areas.
    """

    surface: SurfaceModel
    effective_points: float

    def linearize(self, face: FaceInView, layout: ParameterLayout) -> LinearizedTerm:
        """A row a visible sample that was measured; residuals are positive where the surface is outside of the measured one."""
        columns = layout.view_columns(face.index).to(face.v_cam.device)
        found = MeasuredPoints.of(face, self.surface)
        if found is None or not bool(found.used.any()):
            like = face.v_cam
            return LinearizedTerm(like.new_zeros(0, len(columns)), like.new_zeros(0), columns)
        at, keep = self.surface.samples, found.used
        jacobian = distance_jacobian(
            face.normals[at],
            face.v_rot[at],
            found.points,
            face.rotation,
            self.surface.shape_basis[at],
            layout.single_view,
        )
        noise_mm = min(max(1.48 * found.median_mm, _LEAST_NOISE_MM), _MOST_NOISE_MM)
        robust = geman_mcclure(found.behind_mm.square() / noise_mm**2, _OUTLIER2)
        weights = self.effective_points / noise_mm**2 * robust * found.weights / found.weights.sum()
        roots = weights[keep].sqrt()
        return LinearizedTerm(jacobian[keep] * roots[:, None], found.behind_mm[keep] * roots, columns)


def distance_jacobian(
    normals: Float[Tensor, "n 3"],
    v_rot: Float[Tensor, "n 3"],
    points: Float[Tensor, "n 3"],
    rotation: Float[Tensor, "3 3"],
    basis: Float[Tensor, "n 3 k"],
    layout: ParameterLayout,
) -> Float[Tensor, "n d"]:
    """Derivative of distances along normals from measured points, by the unknowns of one view.

    A longer focal length moves a measured point towards the optical axis, at its depth.

    Args:
        normals: of the surface, camera frame, held.
        v_rot: object-frame positions rotated into the camera's axes, before the translation.
        points: measured, camera frame.
        rotation: object to camera.
        basis: mm a unit of identity, then expression, object frame.
        layout: of one view.
    """
    along = normals[:, None]
    by_shape = torch.bmm(along @ rotation, basis)
    jacobian = jacobian_of(by_shape, torch.bmm(along, rotation_gradient(v_rot)), along, layout)[:, 0]
    if layout.n_focal:
        jacobian[:, layout.focal(0).start] = (normals[:, :2] * points[:, :2]).sum(dim=1)
    return jacobian
