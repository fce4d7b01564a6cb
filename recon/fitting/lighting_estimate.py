"""The first light of a view, before anything of its colours is known."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.color import decode_srgb
from recon.fitting.face_in_view import FaceInView
from recon.fitting.robust import cauchy
from recon.fitting.terms.photometric import pixel_confidence
from recon.lighting import irradiance_basis

_RIDGE = 0.02
_SATURATED = 0.985
_LEAST_PIXELS = 50


@torch.no_grad()
def estimate_lighting(
    face: FaceInView, vertex_confidence: Float[Tensor, " v"], white_light: bool = False
) -> Float[Tensor, "9 3"]:
    """The light of one view by least squares, given shape and albedo: shading is linear in it. Float64.

    Args:
        face: in the view.
        vertex_confidence: how well each vertex explains photos.
        white_light: one light for all channels, solved with all of them together.
    """
    rendered, photo = face.rendered, face.view.pixels[0]
    keep = (pixel_confidence(face, vertex_confidence)[0, 0] > 0.3) & (photo.amax(dim=0) < _SATURATED)
    if int(keep.sum()) < _LEAST_PIXELS:
        keep = rendered.covered[0, 0]
    target = decode_srgb(photo, face.model.albedo_space)[:, keep].double()
    basis = irradiance_basis(rendered.normals[0][:, keep].T.double())
    albedo = rendered.albedo[0][:, keep].double()
    designs = basis * albedo[..., None]
    if white_light:
        return _ridge_solution(designs.flatten(0, 1), target.flatten())[:, None].repeat(1, 3)
    return torch.stack([_ridge_solution(design, own) for design, own in zip(designs, target, strict=True)], dim=-1)


def _ridge_solution(design: Float[Tensor, "p 9"], target: Float[Tensor, " p"]) -> Float[Tensor, " 9"]:
    """Robust ridge least squares; the constant part is free."""
    weights = torch.ones_like(target)
    ridge = _RIDGE * float(design[:, 0].square().sum()) * torch.diag(torch.tensor([0.0] + [1.0] * 8).to(design))
    solution = torch.zeros(9).to(design)
    for _ in range(4):
        rows = design * weights[:, None]
        solution = torch.linalg.solve(rows.T @ design + ridge, rows.T @ target)
        residual = target - design @ solution
        deviation = 1.48 * residual.abs().median().clamp_min(1e-3)
        weights = cauchy(residual.square(), (2.0 * deviation) ** 2)
    return solution
