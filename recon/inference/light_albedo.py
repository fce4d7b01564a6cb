"""Light and albedo of a regressed face, solved on its crop.

A network trained on rendered faces is careful about photos: it answers with albedo near the mean and a light too dim. Shape
and pose are its strength, and once they are given, what is left is nearly linear: colour = albedo times shading, where
shading is linear in the light and albedo in its coefficients. A few Gauss-Newton steps solve it in milliseconds.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.color import decode_srgb
from recon.decoder import DecodedFaces, FaceDecoder
from recon.fitting.robust import geman_mcclure
from recon.fitting.terms.lighting_prior import LightingPrior
from recon.inference.regress import CropRegression
from recon.lighting import ambient, irradiance_basis
from recon.parameters import FaceParameters

_NOT_SKIN = ("brows", "eyes", "eye_sockets", "lips", "mouth_interior", "teeth", "tongue")
_LEAST_FACING, _SATURATED, _LEAST_ALBEDO = 0.25, 0.985, 1e-3
_LEAST_PIXELS, _MOST_PIXELS = 60, 1500
_WHITE = torch.kron(torch.eye(9), torch.ones(3, 1))
"""``(27, 9)`` from coefficients of white light to those of the three channels."""


@dataclasses.dataclass(frozen=True)
class LightAlbedoSettings:
    """Noise and priors of the solution.

    Attributes:
        noise_sigma: standard deviation of a pixel's colour, in the model's space.
        effective_pixels: how many independent pixels a face counts for, see :class:`recon.fitting.settings.FitSettings`.
        exposure_sigma: how far a photo's exposure is from showing the face at its own albedo, as a fraction. Without it light
            and dark albedo would trade freely.
        tint_sigma: standard deviation of the light's colour, in fractions of the light that shows albedo as it is.
        band0_sigma, band1_sigma, band2_sigma: the same of its constant part about that light, and of its linear and
            quadratic parts.
        max_albedo_coefficient: bound of albedo coefficients, standard deviations.
        steps: Gauss-Newton steps.
        white_light: one light for all colour channels; colour is then the albedo's alone.
    """

    noise_sigma: float = 0.06
    effective_pixels: float = 25.0
    exposure_sigma: float = 0.12
    tint_sigma: float = 0.15
    band0_sigma: float = 0.25
    band1_sigma: float = 0.2
    band2_sigma: float = 0.1
    max_albedo_coefficient: float = 3.0
    steps: int = 8
    white_light: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class _Pixels:
    """What P pixels of visible skin show.

    Attributes:
        target: ``(P, 3)`` colours of the photo in the model's space.
        basis: ``(P, 9)`` irradiance over pi of each unit of light.
        mean: ``(P, 3)`` mean albedo.
        albedo_basis: ``(P, 3, K)`` what each coefficient adds to it.
    """

    target: Float[Tensor, "p 3"]
    basis: Float[Tensor, "p 9"]
    mean: Float[Tensor, "p 3"]
    albedo_basis: Float[Tensor, "p 3 k"]


@torch.no_grad()
def solve_light_and_albedo(
    regression: CropRegression, decoder: FaceDecoder, settings: LightAlbedoSettings | None = None
) -> CropRegression:
    """The face with the light and the albedo that its crop shows; shape and pose are left as they are.

    A crop that shows too little of the face (beyond the photo's border, or over-exposed) leaves the answer as it was.

    Args:
        regression: what a network says of one face.
        decoder: of the same model.
        settings: noise and priors.
    """
    settings = settings or LightAlbedoSettings()
    pixels = _pixels(regression, decoder)
    if len(pixels.target) < _LEAST_PIXELS:
        return regression
    coefficients = regression.coefficients.albedo[0].double()
    light = regression.coefficients.known_lighting[0].double().flatten()
    if settings.white_light:
        light = _WHITE.to(light) @ light.view(9, 3).mean(dim=1)
    for _ in range(settings.steps):
        light, coefficients = _gauss_newton_step(pixels, light, coefficients, settings)
    like = regression.coefficients.known_lighting
    answer = dataclasses.replace(
        regression.coefficients, lighting=light.view(1, 9, 3).to(like), albedo=coefficients[None].to(like)
    )
    return dataclasses.replace(regression, coefficients=answer)


def _pixels(regression: CropRegression, decoder: FaceDecoder) -> _Pixels:
    model = decoder.rendered_model
    answer: FaceParameters = regression.coefficients
    side = int(regression.crop.shape[-1])
    rendered = DecodedFaces(decoder, answer, regression.crop_camera).render((side, side))
    skin = model.region("face") if "face" in model.region_names else torch.ones(model.n_vertices).bool()
    skin = skin & ~model.any_region(*_NOT_SKIN)
    corners, barycentrics = rendered.raster.corner_index, rendered.raster.barycentrics_packed
    photo = regression.crop[0].flatten(1).T[rendered.raster.pixel_index.long()]
    rays = regression.crop_camera.view_rays(rendered.surface.position[None])[0]
    facing = -(rendered.surface.normals * rays).sum(dim=1)
    keep = skin[corners].all(dim=1) & (facing > _LEAST_FACING) & (photo.amax(dim=1) < _SATURATED)
    keep &= photo.amax(dim=1) > 0.0  # black is what lies beyond the photo
    chosen = torch.nonzero(keep).squeeze(1)
    chosen = chosen[:: max(1, -(-len(chosen) // _MOST_PIXELS))]
    corners, barycentrics = corners[chosen].long(), barycentrics[chosen].double()
    zero = torch.zeros(1, model.n_albedo)
    mean = model.albedo_unclamped(zero)[0].double()
    units = model.albedo_unclamped(torch.eye(model.n_albedo)).double() - mean
    return _Pixels(
        decode_srgb(photo[chosen], model.albedo_space).double(),
        irradiance_basis(rendered.surface.normals[chosen]).double(),
        torch.einsum("pk,pkc->pc", barycentrics, mean[corners]),
        torch.einsum("pk,jpkc->pcj", barycentrics, units[:, corners]),
    )


def _gauss_newton_step(
    pixels: _Pixels, light: Float[Tensor, " 27"], coefficients: Float[Tensor, " k"], settings: LightAlbedoSettings
) -> tuple[Float[Tensor, " 27"], Float[Tensor, " k"]]:
    """One Gauss-Newton step on ``albedo(coefficients) * shading(light) = photo`` with priors, halved until it helps."""
    albedo, shading = _albedo(pixels, coefficients), pixels.basis @ light.view(9, 3)
    residual = pixels.target - albedo * shading
    sigma = _robust_sigma(residual, settings)
    # Hair, glasses and highlights count little.
    weights = _per_pixel(residual, settings) * geman_mcclure(residual.square().mean(dim=1), sigma**2)
    by_light = torch.einsum("pc,pb,cd->pcbd", albedo, pixels.basis, torch.eye(3).to(albedo)).flatten(2)
    jacobian = torch.cat((by_light, shading[..., None] * pixels.albedo_basis), dim=-1)
    rows = (jacobian * weights[:, None, None]).flatten(0, 1)
    normal = rows.T @ jacobian.flatten(0, 1)
    right = rows.T @ residual.flatten()
    precision, precision_mean = _light_prior(settings)
    n_light = len(light)
    normal[:n_light, :n_light] += precision
    right[:n_light] += precision_mean - precision @ light
    normal[n_light:, n_light:] += torch.eye(len(coefficients)).to(normal)
    right[n_light:] -= coefficients
    if settings.white_light:
        allowed = torch.block_diag(_WHITE.to(normal), torch.eye(len(coefficients)).to(normal))
        change = allowed @ torch.linalg.solve(allowed.T @ normal @ allowed, allowed.T @ right)
    else:
        change = torch.linalg.solve(normal, right)

    def energy(light: Tensor, coefficients: Tensor) -> float:
        residual2 = (
            (pixels.target - _albedo(pixels, coefficients) * (pixels.basis @ light.view(9, 3))).square().mean(dim=1)
        )
        # Three channels.
        data = 3.0 * _per_pixel(residual, settings) * (residual2 / (1.0 + residual2 / sigma**2)).sum()
        return float(data + light @ precision @ light - 2.0 * precision_mean @ light + coefficients.square().sum())

    before = energy(light, coefficients)
    for fraction in (1.0, 0.5, 0.25, 0.125):
        new_light = light + fraction * change[:n_light]
        new_coefficients = (coefficients + fraction * change[n_light:]).clamp(
            -settings.max_albedo_coefficient, settings.max_albedo_coefficient
        )
        if energy(new_light, new_coefficients) < before:
            return new_light, new_coefficients
    return light, coefficients


def _albedo(pixels: _Pixels, coefficients: Float[Tensor, " k"]) -> Float[Tensor, "p 3"]:
    return (pixels.mean + pixels.albedo_basis @ coefficients).clamp_min(_LEAST_ALBEDO)


def _robust_sigma(residual: Float[Tensor, "p 3"], settings: LightAlbedoSettings) -> float:
    """Residual at which a pixel counts a quarter: three standard deviations, by the median absolute one."""
    return 3.0 * max(settings.noise_sigma, 1.48 * float(residual.abs().median()))


def _per_pixel(residual: Float[Tensor, "p 3"], settings: LightAlbedoSettings) -> float:
    """Weight of one pixel: neighbours are not independent."""
    return settings.effective_pixels / len(residual) / settings.noise_sigma**2


def _light_prior(settings: LightAlbedoSettings) -> tuple[Float[Tensor, "27 27"], Float[Tensor, " 27"]]:
    """Precision matrix, and its product with the mean, of the light's Gaussian prior: white, smooth, and exposed for the face."""
    prior = LightingPrior(
        settings.exposure_sigma,
        settings.tint_sigma,
        (settings.band0_sigma, settings.band1_sigma, settings.band2_sigma),
        band0_mean=float(ambient(torch.ones(1))[0, 0]),
        physical=False,
    )
    rows, residual = prior.rows(torch.zeros(9, 3, dtype=torch.float64))
    return rows.T @ rows, -rows.T @ residual
