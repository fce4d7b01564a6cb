"""Light and paint of a regressed face, solved on its crop.

A network trained on drawn faces is careful about photos: it answers with paint near the mean and a light too dim. Shape
and pose are its strength, and once they are given, what is left is nearly linear: colour = paint times shading, where
shading is linear in the light and paint in its coefficients. A few Gauss-Newton steps solve it in milliseconds.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.color import decode_srgb
from recon.decoder import DecodedFaces, FaceDecoder
from recon.inference.regress import RegressedFace
from recon.lighting import CLAMPED_COSINE, ambient, sh_basis
from recon.parameters import FaceParameters

_UNTRUSTED = ("brows", "eyes", "eye_sockets", "lips", "mouth_interior", "teeth", "tongue")
_LEAST_FACING, _SATURATED, _LEAST_PAINT = 0.25, 0.985, 1e-3
_LEAST_PIXELS, _MOST_PIXELS = 60, 1500
_TOWARDS = (0.0, 0.25, 1.0)


@dataclasses.dataclass(frozen=True)
class RelightSettings:
    """What is believed about colours before looking.

    Attributes:
        noise: standard deviation of a pixel's colour, in the model's space.
        independent: the pixels of a face are worth so many independent ones.
        exposure_sigma: how far a photo's exposure is from showing the face at its own albedo, as a share. Without it light
            and dark paint would trade freely.
        tint_share: standard deviation of the light's colour, in shares of the light that shows paint as it is.
        band0_share, band1_share, band2_share: the same of its constant part about that light, and of its linear and
            quadratic parts.
        most_albedo: bound of albedo coefficients, standard deviations.
        steps: Gauss-Newton steps.
    """

    noise: float = 0.06
    independent: float = 25.0
    exposure_sigma: float = 0.12
    tint_share: float = 0.15
    band0_share: float = 0.25
    band1_share: float = 0.2
    band2_share: float = 0.1
    most_albedo: float = 3.0
    steps: int = 8


@dataclasses.dataclass(frozen=True, eq=False)
class _Pixels:
    """What P pixels of the bare face show.

    Attributes:
        target: ``(P, 3)`` colours of the photo in the model's space.
        basis: ``(P, 9)`` irradiance over pi of each unit of light.
        mean: ``(P, 3)`` mean paint.
        paint: ``(P, 3, K)`` what each coefficient adds to it.
    """

    target: Float[Tensor, "p 3"]
    basis: Float[Tensor, "p 9"]
    mean: Float[Tensor, "p 3"]
    paint: Float[Tensor, "p 3 k"]


@torch.no_grad()
def relight(face: RegressedFace, decoder: FaceDecoder, settings: RelightSettings | None = None) -> RegressedFace:
    """The face with the light and the albedo that its crop shows; shape and pose are left as they are.

    A crop that shows too little of the face (beyond the photo's border, or over-exposed) leaves the answer as it was.

    Args:
        face: what a network says.
        decoder: of the same model.
        settings: beliefs.
    """
    chosen = settings or RelightSettings()
    pixels = _pixels(face, decoder)
    if len(pixels.target) < _LEAST_PIXELS:
        return face
    albedo = face.coefficients.albedo[0].double()
    light = face.coefficients.known_lighting[0].double().flatten()
    for _ in range(chosen.steps):
        light, albedo = _step(pixels, light, albedo, chosen)
    like = face.coefficients.known_lighting
    answer = dataclasses.replace(face.coefficients, lighting=light.view(1, 9, 3).to(like), albedo=albedo[None].to(like))
    return dataclasses.replace(face, coefficients=answer)


def _pixels(face: RegressedFace, decoder: FaceDecoder) -> _Pixels:
    model = decoder.drawn_model
    answer: FaceParameters = face.coefficients
    side = int(face.crop.shape[-1])
    drawn = DecodedFaces(decoder, answer, face.crop_camera).drawn((side, side))
    trusted = model.region("face") if "face" in model.region_names else torch.ones(model.n_vertices).bool()
    trusted = trusted & ~model.any_region(*_UNTRUSTED)
    corners, shares = drawn.raster.corner_index, drawn.raster.barycentrics_packed
    photo = face.crop[0].flatten(1).T[drawn.raster.pixel_index.long()]
    facing = -(drawn.surface.normals * torch.nn.functional.normalize(drawn.surface.position, dim=1)).sum(dim=1)
    keep = trusted[corners].all(dim=1) & (facing > _LEAST_FACING) & (photo.amax(dim=1) < _SATURATED)
    keep &= photo.amax(dim=1) > 0.0  # black is what lies beyond the photo
    chosen = torch.nonzero(keep).squeeze(1)
    chosen = chosen[:: max(1, -(-len(chosen) // _MOST_PIXELS))]
    corners, shares = corners[chosen].long(), shares[chosen].double()
    factors = torch.tensor(CLAMPED_COSINE, dtype=torch.float64) / math.pi
    zero = torch.zeros(1, model.n_albedo)
    mean = model.albedo_unclamped(zero)[0].double()
    units = model.albedo_unclamped(torch.eye(model.n_albedo)).double() - mean
    return _Pixels(
        decode_srgb(photo[chosen], model.albedo_space).double(),
        sh_basis(drawn.surface.normals[chosen]).double() * factors,
        torch.einsum("pk,pkc->pc", shares, mean[corners]),
        torch.einsum("pk,jpkc->pcj", shares, units[:, corners]),
    )


def _step(
    pixels: _Pixels, light: Float[Tensor, " 27"], albedo: Float[Tensor, " k"], settings: RelightSettings
) -> tuple[Float[Tensor, " 27"], Float[Tensor, " k"]]:
    """One Gauss-Newton step on ``paint(albedo) * shading(light) = photo`` with priors, halved until it helps."""
    paint, shading = _paint(pixels, albedo), pixels.basis @ light.view(9, 3)
    gap = pixels.target - paint * shading
    spread = _spread(gap, settings)
    # Geman and McClure: hair, glasses and highlights do not pull.
    weights = _per_pixel(gap, settings) / (1.0 + gap.square().mean(dim=1) / spread**2) ** 2
    by_light = torch.einsum("pc,pb,cd->pcbd", paint, pixels.basis, torch.eye(3).to(paint)).flatten(2)
    jacobian = torch.cat((by_light, shading[..., None] * pixels.paint), dim=-1)
    rows = (jacobian * weights[:, None, None]).flatten(0, 1)
    normal = rows.T @ jacobian.flatten(0, 1)
    right = rows.T @ gap.flatten()
    stiffness, wanted = _light_prior(settings)
    n_light = len(light)
    normal[:n_light, :n_light] += stiffness
    right[:n_light] += wanted - stiffness @ light
    normal[n_light:, n_light:] += torch.eye(len(albedo)).to(normal)
    right[n_light:] -= albedo
    change = torch.linalg.solve(normal, right)

    def energy(light: Tensor, albedo: Tensor) -> float:
        gap2 = (pixels.target - _paint(pixels, albedo) * (pixels.basis @ light.view(9, 3))).square().mean(dim=1)
        data = 3.0 * _per_pixel(gap, settings) * (gap2 / (1.0 + gap2 / spread**2)).sum()
        return float(data + light @ stiffness @ light - 2.0 * wanted @ light + albedo.square().sum())

    before = energy(light, albedo)
    for share in (1.0, 0.5, 0.25, 0.125):
        moved = light + share * change[:n_light]
        painted = (albedo + share * change[n_light:]).clamp(-settings.most_albedo, settings.most_albedo)
        if energy(moved, painted) < before:
            return moved, painted
    return light, albedo


def _paint(pixels: _Pixels, albedo: Float[Tensor, " k"]) -> Float[Tensor, "p 3"]:
    return (pixels.mean + pixels.paint @ albedo).clamp_min(_LEAST_PAINT)


def _spread(gap: Float[Tensor, "p 3"], settings: RelightSettings) -> float:
    """Gap at which a pixel counts a quarter."""
    return 3.0 * max(settings.noise, 1.48 * float(gap.abs().median()))


def _per_pixel(gap: Float[Tensor, "p 3"], settings: RelightSettings) -> float:
    """Weight of one pixel: neighbours are not independent."""
    return settings.independent / len(gap) / settings.noise**2


def _light_prior(settings: RelightSettings) -> tuple[Float[Tensor, "27 27"], Float[Tensor, " 27"]]:
    """Normal equations of what is likely: white light, smooth, and exposed for the face."""
    factors = torch.tensor(CLAMPED_COSINE, dtype=torch.float64) / math.pi
    level = float(ambient(torch.ones(1))[0, 0])
    eye3 = torch.eye(3, dtype=torch.float64)
    tint = torch.kron(torch.eye(9, dtype=torch.float64), eye3 - 1.0 / 3.0) / (settings.tint_share * level) ** 2
    shares = torch.tensor([settings.band0_share] + [settings.band1_share] * 3 + [settings.band2_share] * 5).double()
    smooth = torch.kron(torch.diag((shares * level) ** -2.0), eye3)
    towards = torch.nn.functional.normalize(torch.tensor([_TOWARDS], dtype=torch.float64), dim=1)
    row = (sh_basis(towards)[0] * factors / (3.0 * settings.exposure_sigma)).repeat_interleave(3)
    wanted = row / settings.exposure_sigma
    wanted[:3] += level / (settings.band0_share * level) ** 2
    return tint + smooth + torch.outer(row, row), wanted
