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
def estimate_lighting(face: FaceInView, vertex_confidence: Float[Tensor, " v"]) -> Float[Tensor, "9 3"]:
    """The light of one view by least squares, given shape and albedo: shading is linear in it. Float64."""
    rendered, photo = face.rendered, face.view.pixels[0]
    keep = (pixel_confidence(face, vertex_confidence)[0, 0] > 0.3) & (photo.amax(dim=0) < _SATURATED)
    if int(keep.sum()) < _LEAST_PIXELS:
        keep = rendered.covered[0, 0]
    target = decode_srgb(photo, face.model.albedo_space)[:, keep].double()
    basis = irradiance_basis(rendered.normals[0][:, keep].T.double())
    albedo = rendered.albedo[0][:, keep].double()
    return torch.stack([_ridge_solution(basis * albedo[c, :, None], target[c]) for c in range(3)], dim=-1)


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
