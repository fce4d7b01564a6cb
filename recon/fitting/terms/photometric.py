"""The photometric term: the rendered face against the photo, at the visible vertices.

Each step renders the face and measures the blurred difference to the photo. Shape, pose and light are strongly coupled:
following the gradient alone, a step at a time, did not part them, so all are solved for at once.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.blur import gaussian_blur
from recon.color import encode_srgb_unclamped
from recon.fitting.face_in_view import FaceInView
from recon.fitting.layout import ParameterLayout
from recon.fitting.robust import geman_mcclure
from recon.fitting.solver import LinearizedTerm
from recon.fitting.surface import SurfaceModel, SurfaceSamples, photometric_jacobian
from recon.render.sampling import sample_pixels

_OUTLIER2 = 18.75
"""Squared residual, in units of the noise variance, at which a sample counts a quarter: 3 channels at 2.5 sigma each."""
_LEAST_NOISE, _MOST_NOISE = 0.004, 0.25
_HIDDEN_MM = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class PhotometricTerm:
    """Code values of the rendered face against those of the photo, both blurred alike.

    Attributes:
        photos: ``(1, 3, S, S)`` blurred, a view.
        blur_px: standard deviation of the blur.
        surface: where they are compared.
        normal_jacobians: ``(N, 3, K)`` derivatives of the samples' normals by the shape, a view.
        effective_pixels: how many independent pixels the photo counts for.
    """

    photos: tuple[Float[Tensor, "1 3 s s"], ...]
    blur_px: float
    surface: SurfaceModel
    normal_jacobians: tuple[Float[Tensor, "n 3 k"], ...]
    effective_pixels: float

    def linearize(self, face: FaceInView, layout: ParameterLayout) -> LinearizedTerm:
        """Three rows a visible sample; residuals are rendered minus photo."""
        view, photo, surface = face.view, self.photos[face.index], self.surface
        columns = layout.view_columns(face.index).to(photo.device)
        samples = surface_samples(face, surface)
        over_photo = (
            encode_srgb_unclamped(face.rendered.image, face.model.albedo_space)
            + (1.0 - face.rendered.mask) * view.pixels
        )
        rendered = gaussian_blur(over_photo, self.blur_px)
        residual = sample_pixels((rendered - photo)[0], samples.pixels)
        weights = sample_weights(face, samples, surface)
        keep = weights > 0
        if not bool(keep.any()):
            return LinearizedTerm(photo.new_zeros(0, len(columns)), photo.new_zeros(0), columns)
        noise = float((1.48 * residual[keep].abs().amax(dim=1).median()).clamp(_LEAST_NOISE, _MOST_NOISE))
        robust = geman_mcclure(residual.square().sum(dim=1) / noise**2, _OUTLIER2)
        weights = self.effective_pixels / noise**2 * robust * weights / weights.sum()
        slopes = [sample_pixels(slope[0], samples.pixels) for slope in _image_gradient(0.5 * (rendered + photo))]
        jacobian = photometric_jacobian(
            surface,
            samples,
            face.lighting,
            face.camera,
            self.normal_jacobians[face.index],
            torch.stack(slopes, dim=-1),
            layout.single_view,
        )
        roots = weights[keep].sqrt()[:, None]
        return LinearizedTerm(
            (jacobian[keep] * roots[..., None]).flatten(0, 1), (residual[keep] * roots).flatten(), columns
        )


def pixel_confidence(face: FaceInView, vertex_confidence: Float[Tensor, " v"]) -> Float[Tensor, "1 1 s s"]:
    """Where the model shows a surface worth comparing and the photo shows it uncovered."""
    ids = face.rendered.triangle_ids[0]
    by_triangle = vertex_confidence[face.model.faces].amin(dim=1)
    on_face = torch.where(ids >= 0, by_triangle[ids.clamp_min(0).long()], torch.zeros((), device=ids.device))
    return on_face[None, None] * face.view.face_mask * _facing_confidence(face.rendered.normals[:, 2:])


def photometric_rmse(face: FaceInView, vertex_confidence: Float[Tensor, " v"]) -> float:
    """Root mean square difference of code values between rendered face and photo, on confident pixels."""
    confidence = pixel_confidence(face, vertex_confidence)
    rendered = encode_srgb_unclamped(face.rendered.image, face.model.albedo_space)
    residual2 = (rendered - face.view.pixels).square().mean(dim=1, keepdim=True)
    return float(((confidence * residual2).sum() / confidence.sum().clamp_min(1e-6)).sqrt())


def surface_samples(face: FaceInView, surface: SurfaceModel) -> SurfaceSamples:
    """The samples of a surface where a face has them in its view."""
    at = surface.samples
    pixels = face.to_pixels(face.v_cam[at])
    return SurfaceSamples(
        face.v_cam[at], face.normals[at], face.v_rot[at], pixels, pixels - face.view.principal_px, face.albedo[at]
    )


def sample_weights(face: FaceInView, samples: SurfaceSamples, surface: SurfaceModel) -> Float[Tensor, " s"]:
    """Visible area of each sample in px, times the confidence in it and in the photo there."""
    facing = -(samples.normals * face.rays[surface.samples]).sum(-1)
    slack_mm = _HIDDEN_MM + 3.0 * (1.0 - facing.clamp(0.0, 1.0))
    side = face.view.size[0]
    inside = ((samples.pixels > 1.0) & (samples.pixels < side - 1.0)).all(dim=1)
    behind_mm = -samples.v_cam[:, 2] - face.nearest_mm(samples.pixels)
    visible = inside & (facing > 0.05) & (behind_mm < slack_mm)
    px_per_mm = face.camera.px_per_mm(-samples.v_cam[None, :, 2])[0]
    area_px = surface.area_mm2 * facing.clamp(0.0, 1.0) * px_per_mm**2
    confidence = (
        sample_pixels(face.view.face_mask[0], samples.pixels)[:, 0] * surface.confidence * _facing_confidence(facing)
    )
    return area_px * confidence * visible


def _facing_confidence(facing: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Less where the surface turns away: a pixel there shows much of it at once."""
    return (facing / 0.35).clamp(0.0, 1.0)


def _image_gradient(image: Float[Tensor, "1 c s s"]) -> tuple[Tensor, Tensor]:
    """Central differences by x and y, per px; 0 on the border."""
    by_x, by_y = torch.zeros_like(image), torch.zeros_like(image)
    by_x[..., 1:-1] = 0.5 * (image[..., 2:] - image[..., :-2])
    by_y[..., 1:-1, :] = 0.5 * (image[..., 2:, :] - image[..., :-2, :])
    return by_x, by_y
