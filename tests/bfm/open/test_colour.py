"""Skin colour and the albedo of the open model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from bfm.model import MorphableModel
from bfm.open.albedo import SurfaceModes, _karhunen_loeve, skin_colour, surface_modes
from bfm.open.skin import WAVELENGTHS_NM, linear_rgb, skin_reflectance


def test_more_melanin_is_darker_at_every_wavelength() -> None:
    fractions = np.concatenate([[0.0], np.geomspace(1e-4, 0.6, 40)])
    reflectance = skin_reflectance(fractions, np.full(41, 0.01))
    assert (np.diff(reflectance, axis=0) < 0.0).all()


def test_more_blood_is_darker_and_redder() -> None:
    reflectance = skin_reflectance(np.full(30, 0.03), np.geomspace(1e-4, 0.2, 30))
    assert (np.diff(reflectance, axis=0) < 0.0).all()
    r, g, _ = linear_rgb(reflectance).T
    assert (np.diff(r / g) > 0.0).all()


@pytest.mark.parametrize("melanosomes", [0.0, 0.01, 0.43, 1.0])
@pytest.mark.parametrize("blood", [0.0, 0.002, 0.02, 1.0])
def test_reflectance_is_one(melanosomes: float, blood: float) -> None:
    reflectance = skin_reflectance(np.array(melanosomes), np.array(blood))
    assert reflectance.shape == (31,) and np.isfinite(reflectance).all()
    assert (reflectance > 0.0).all() and (reflectance < 1.0).all()


def test_haemoglobin_has_its_two_bands() -> None:
    """Oxygenated blood absorbs most at 542 and 577 nm, with a window between (the W of a healthy skin's spectrum)."""
    spectrum = skin_reflectance(np.array(0.01), np.array(0.02))
    at = {int(nm): value for nm, value in zip(WAVELENGTHS_NM, spectrum, strict=True)}
    assert at[540] < at[560] > at[580] and at[600] > at[580] and at[500] > at[540]


def test_colours_of_plain_spectra() -> None:
    np.testing.assert_allclose(linear_rgb(np.ones(31)), 1.0, atol=5e-3)
    np.testing.assert_allclose(linear_rgb(np.full(31, 0.25)), 0.25 * linear_rgb(np.ones(31)))
    red, green, blue = (
        linear_rgb(((low <= WAVELENGTHS_NM) & (WAVELENGTHS_NM < high)).astype(float))
        for low, high in ((600, 701), (500, 570), (400, 490))
    )
    assert red.argmax() == 0 and green.argmax() == 1 and blue.argmax() == 2


def test_linear_skin_model_spans_skin() -> None:
    skin = skin_colour()
    for sigma in (-2.5, -1.0, 0.0, 1.0, 1.9):
        r, g, b = skin.mean + sigma * skin.melanin
        assert 0.0 < b < g < r < 1.0, "skin is redder than green and greener than blue, light or dark"
    assert (skin.melanin < 0.0).all()
    assert skin.haemoglobin[1] < skin.haemoglobin[0], "blood takes green"
    again = skin_colour()
    assert np.array_equal(again.mean, skin.mean) and np.array_equal(again.tints, skin.tints)


def test_karhunen_loeve_keeps_the_covariance() -> None:
    rng = np.random.default_rng(1)
    factors, weights = rng.normal(size=(9, 3, 5)), rng.uniform(0.5, 2.0, 9)
    basis = _karhunen_loeve(factors, weights, 5)
    flat, made = factors.reshape(27, 5), basis.reshape(27, 5)
    np.testing.assert_allclose(made @ made.T, flat @ flat.T, atol=1e-9)
    # Orthogonal under the weights, and in falling order.
    gram = made.T @ (np.repeat(weights, 3)[:, None] * made)
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    assert (np.diff(np.diag(gram)) <= 1e-12).all()


def test_karhunen_loeve_is_the_best_of_its_size() -> None:
    rng = np.random.default_rng(2)
    factors, weights = rng.normal(size=(9, 3, 6)), rng.uniform(0.5, 2.0, 9)
    scale = np.sqrt(np.repeat(weights, 3))
    singular = np.linalg.svd(factors.reshape(27, 6) * scale[:, None], compute_uv=False)
    made = _karhunen_loeve(factors, weights, 4).reshape(27, 4) * scale[:, None]
    assert (made**2).sum() == pytest.approx((singular[:4] ** 2).sum())
    with pytest.raises(ValueError, match="has 8 independent components, 9 asked for"):
        _karhunen_loeve(factors, weights, 7)


@pytest.fixture(scope="module")
def sphere_modes() -> tuple[SurfaceModes, float]:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=50.0)
    apart = np.concatenate([mesh.vertices, [[500.0, 0.0, 0.0]]])
    return surface_modes(apart, np.asarray(mesh.faces), 30), float(mesh.area)


def test_modes_of_a_sphere(sphere_modes: tuple[SurfaceModes, float]) -> None:
    """Laplace's eigenvalues on a sphere of radius R are l (l + 1) / R^2, each 2 l + 1 times."""
    modes, area = sphere_modes
    want = np.concatenate([np.full(2 * level + 1, level * (level + 1.0)) for level in range(5)]) / 50.0**2
    np.testing.assert_allclose(modes.spectrum[:25], want, rtol=0.03, atol=1e-9)
    assert modes.mass.sum() == pytest.approx(area) and modes.mass[-1] == 0.0
    assert (modes.functions[-1] == 0.0).all(), "nothing off the surface"


def test_fields_have_unit_variance_and_their_length(sphere_modes: tuple[SurfaceModes, float]) -> None:
    modes, _ = sphere_modes
    long, short = (modes.field(length) for length in (60.0, 25.0))
    for field in (long, short):
        variance = (field**2).sum(axis=1)
        assert np.average(variance, weights=modes.mass) == pytest.approx(1.0)
        assert variance[:-1].std() < 0.05, "the same everywhere on a sphere"
    # Correlation with the first vertex falls with distance, and faster for the shorter length.
    here = np.stack([f @ f[0] for f in (long, short)])
    assert (here[0] > here[1] - 1e-9).mean() > 0.5 and here[0].argmax() == here[1].argmax() == 0


def test_mean_albedo_is_a_colour(open_model: MorphableModel) -> None:
    mean = open_model.mean_albedo
    assert open_model.albedo_space == "linear" and mean.min() >= 0.0 and mean.max() <= 1.0
    skin = mean[open_model.region("face") & ~open_model.region("brows") & ~open_model.region("eye_sockets")]
    r, g, b = skin.T
    assert (r > g).float().mean() > 0.99 and (g > b).float().mean() > 0.95


def test_parts_have_their_colours(open_model: MorphableModel) -> None:
    def colour(name: str) -> torch.Tensor:
        return open_model.mean_albedo[open_model.region(name)].mean(dim=0)

    cheeks, lips, brows, eyes = (colour(name) for name in ("cheeks", "lips", "brows", "eyes"))
    teeth = open_model.region("teeth")
    behind_mm = open_model.mean_shape[teeth, 2].max() - open_model.mean_shape[teeth, 2]
    front, back = (open_model.mean_albedo[teeth][where].mean(dim=0) for where in (behind_mm < 6.0, behind_mm > 30.0))
    assert lips[0] / lips[1] > cheeks[0] / cheeks[1], "lips are redder"
    assert (brows < 0.7 * cheeks).all() and (front > cheeks).all()
    assert (back < 0.4 * front).all(), "the mouth lies in shade"
    assert eyes.max() / eyes.min() < 1.6, "the white of the eye is nearly grey"


def test_first_components_are_melanin_and_blood(open_model: MorphableModel) -> None:
    weights = torch.zeros(3, open_model.n_albedo)
    weights[1, 0] = weights[2, 1] = 2.0
    cheeks = open_model.albedo(weights)[:, open_model.region("cheeks")].mean(dim=1)
    assert (cheeks[1] < cheeks[0] - 0.05).all(), "melanin darkens every channel"
    assert cheeks[2, 0] / cheeks[2, 1] > 1.05 * cheeks[0, 0] / cheeks[0, 1], "blood reddens"
    one = open_model.albedo_unclamped(weights)[1] - open_model.mean_albedo
    assert (one[open_model.region("teeth")].abs() < 1e-6).all() and (one[open_model.region("face")] <= 1e-6).all()


def test_samples_stay_colours_of_skin(open_model: MorphableModel) -> None:
    weights = torch.randn(100, open_model.n_albedo, generator=torch.Generator().manual_seed(3))
    raw = open_model.albedo_unclamped(weights)[:, open_model.region("cheeks") | open_model.region("forehead")]
    assert ((raw < 0.0) | (raw > 1.0)).float().mean() < 0.01
    r, g, b = raw.mean(dim=1).T
    assert (r > g).all() and (g > b).float().mean() > 0.95
