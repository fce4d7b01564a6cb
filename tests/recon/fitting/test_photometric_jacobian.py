"""Closed-form derivatives of the photometric term against their slow twins: autograd through the renderer's own functions."""

import dataclasses

import pytest
import torch

import bfm
from recon.camera import CAMERAS, PerspectiveCamera
from recon.color import encode_srgb_unclamped, encode_srgb_unclamped_slope
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import projection_gradients, rotation_gradient
from recon.fitting.surface import SurfaceModel, SurfaceSamples, photometric_jacobian, shade_samples
from recon.lighting import ambient, lamps_to_sh, sh_basis, sh_basis_gradient, shade
from recon.render import vertex_normals
from recon.rotation import euler_to_matrix

_FOCAL = torch.tensor(420.0, dtype=torch.float64)
_PRINCIPAL = torch.tensor([48.0, 45.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=5, n_albedo=4).crop("face").double()


@pytest.fixture(scope="module")
def surface(model):
    confidence = torch.zeros(model.n_vertices, dtype=torch.float64)
    confidence[10::40] = 1.0
    return SurfaceModel.of(model, confidence)


@pytest.fixture(scope="module")
def point(model):
    """Every unknown of one view, off the origin, in the order of the layout."""
    return _point(model, 27)


def _point(model, n_lighting):
    generator = torch.Generator().manual_seed(2)
    layout = ParameterLayout(model.n_identity, model.n_albedo, model.n_expression, 1, n_lighting, 1)
    x = 0.1 * torch.randn(layout.n_total, generator=generator, dtype=torch.float64)
    x[layout.expression(0)] = x[layout.expression(0)].abs()
    x[layout.rotation(0)] = x[layout.translation(0)] = 0.0
    light = ambient(torch.full((1, 3), 0.4)) + lamps_to_sh(torch.tensor([[[0.5, 0.6, 1.0]]]), torch.ones(1, 1, 3))
    x[layout.lighting(0)] = light[0, :, : n_lighting // 9].double().flatten()
    x[layout.focal(0)] = 0.1
    return layout, x


_ROTATION = euler_to_matrix(torch.tensor([[0.1, 0.4, -0.1]], dtype=torch.float64))[0]
_SHIFT = torch.tensor([3.0, 12.0, -800.0], dtype=torch.float64)


def _lighting(layout, x):
    return x[layout.lighting(0)].view(9, -1).expand(9, 3)


def _samples(model, surface, layout, x, kind=PerspectiveCamera):
    vertices = model.shape(x[layout.identity][None], x[layout.expression(0)][None])
    turn = torch.linalg.matrix_exp(rotation_gradient(x[layout.rotation(0)][None])[0].T) @ _ROTATION
    turned = vertices[0, surface.samples] @ turn.T
    place = _SHIFT + x[layout.translation(0)]
    v_cam = turned + place
    focal = _FOCAL * torch.exp(x[layout.focal(0)])
    camera = kind(_ROTATION[None], place[None], focal.expand(1, 2), _PRINCIPAL[None])
    offset = camera.to_pixels(v_cam[None])[0] - _PRINCIPAL
    normals = vertex_normals(vertices, model.faces)[0, surface.samples] @ turn.T
    albedo = model.albedo_unclamped(x[layout.albedo][None])[0, surface.samples]
    return SurfaceSamples(v_cam, normals, turned, offset + _PRINCIPAL, offset, albedo), vertices[0], camera


@pytest.mark.parametrize(("kind", "n_lighting"), [(CAMERAS["perspective"], 27), (CAMERAS["weak_perspective"], 9)])
def test_the_jacobian_equals_autograd(model, surface, kind, n_lighting):
    layout, x = _point(model, n_lighting)
    generator = torch.Generator().manual_seed(3)
    slopes = 0.02 * torch.randn(len(surface.samples), 3, 2, generator=generator, dtype=torch.float64)
    samples, vertices, camera = _samples(model, surface, layout, x, kind)
    lighting = _lighting(layout, x)
    found = photometric_jacobian(surface, samples, lighting, camera, surface.normal_jacobian(vertices), slopes, layout)

    def residual(unknowns):
        here = _samples(model, surface, layout, unknowns, kind)[0]
        colours = shade(here.albedo[None], here.normals[None], _lighting(layout, unknowns)[None])[0]
        # A picture that is a plane around each spot has these slopes everywhere.
        return encode_srgb_unclamped(colours, model.albedo_space) - (
            slopes * (here.pixels - samples.pixels)[:, None]
        ).sum(-1)

    wanted = torch.autograd.functional.jacobian(residual, x)
    for name, where in {
        "identity": layout.identity,
        "albedo": layout.albedo,
        "rotation": layout.rotation(0),
        "translation": layout.translation(0),
        "expression": layout.expression(0),
        "light": layout.lighting(0),
        "zoom": layout.focal(0),
    }.items():
        scale = float(wanted[..., where].abs().max())
        torch.testing.assert_close(found[..., where], wanted[..., where], atol=2e-5 * scale, rtol=1e-4, msg=name)


def test_normals_change_as_finite_differences_say(model, surface):
    x = torch.full((1, model.n_identity), 0.3, dtype=torch.float64)
    step = torch.zeros_like(x)
    step[0, 2] = 1e-3
    low, high = (vertex_normals(model.shape(x + s), model.faces)[0, surface.samples] for s in (-step, step))
    found = surface.normal_jacobian(model.shape(x)[0])[..., 2]
    torch.testing.assert_close(found, (high - low) / 2e-3, atol=1e-6, rtol=1e-3)


def test_colours_of_samples_are_those_of_the_renderer(model, surface, point):
    layout, x = point
    samples = _samples(model, surface, layout, x)[0]
    lighting = x[layout.lighting(0)].view(9, 3)
    wanted = shade(samples.albedo[None], samples.normals[None], lighting[None])[0]
    torch.testing.assert_close(shade_samples(samples, lighting)[0], wanted)


def test_small_gradients_equal_autograd():
    generator = torch.Generator().manual_seed(5)
    vectors = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    for row in range(4):
        by_direction = torch.autograd.functional.jacobian(sh_basis, vectors[row])
        torch.testing.assert_close(sh_basis_gradient(vectors)[row], by_direction)
        by_spin = torch.autograd.functional.jacobian(
            lambda w, v=vectors[row]: torch.linalg.cross(w, v), torch.zeros(3).double()
        )
        torch.testing.assert_close(rotation_gradient(vectors)[row], by_spin)


@pytest.mark.parametrize("kind", CAMERAS.values())
def test_pixels_follow_points_and_the_translation_as_autograd_says(kind):
    generator = torch.Generator().manual_seed(5)
    v_rot = 20.0 * torch.randn(4, 3, generator=generator, dtype=torch.float64)

    def pixels(points, place):
        camera = kind(_ROTATION[None], place[None], _FOCAL.expand(1, 2), _PRINCIPAL[None])
        return camera.to_pixels((points + place)[None])[0], camera

    by_position, by_translation = projection_gradients(v_rot + _SHIFT, pixels(v_rot, _SHIFT)[1])
    wanted = torch.autograd.functional.jacobian(lambda p, t: pixels(p, t)[0], (v_rot, _SHIFT))
    torch.testing.assert_close(by_position, torch.stack([wanted[0][k, :, k] for k in range(4)]))
    torch.testing.assert_close(by_translation, wanted[1])


@pytest.mark.parametrize("space", ["linear", "srgb"])
def test_the_slope_of_the_display_curve(space):
    shaded = torch.tensor([-0.1, 0.001, 0.2, 0.9, 1.4], dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(encode_srgb_unclamped(shaded, space).sum(), shaded)
    torch.testing.assert_close(encode_srgb_unclamped_slope(shaded.detach(), space), wanted)


def test_inputs_are_left_alone(model, surface, point):
    layout, x = point
    samples, vertices, camera = _samples(model, surface, layout, x)
    before = {f.name: getattr(samples, f.name).clone() for f in dataclasses.fields(samples)}
    slopes = torch.zeros(len(surface.samples), 3, 2, dtype=torch.float64)
    photometric_jacobian(
        surface,
        samples,
        x[layout.lighting(0)].view(9, 3),
        camera,
        surface.normal_jacobian(vertices),
        slopes,
        layout,
    )
    for name, value in before.items():
        assert torch.equal(getattr(samples, name), value), name


def test_a_thinned_surface_is_spread_evenly_and_keeps_the_area(model):
    whole = SurfaceModel.of(model, torch.ones(model.n_vertices, dtype=torch.float64))
    thin = whole.thinned(3)
    assert len(thin.samples) == -(-model.n_vertices // 3)
    assert float(thin.area_mm2.sum()) == pytest.approx(float(whole.area_mm2.sum()), rel=1e-6)
    corners = model.mean_shape[model.faces]
    edge_mm = float((corners[:, 0] - corners[:, 1]).norm(dim=1).median())
    gaps_mm = torch.cdist(model.mean_shape, model.mean_shape[thin.samples]).amin(dim=1)
    assert float(gaps_mm.mean()) < 0.8 * edge_mm
    counts = thin.area_mm2 / whole.area_mm2[thin.samples]
    assert 1.5 < float(counts.median()) < 4.5


def test_a_thinned_surface_has_the_same_derivatives_at_its_samples(model):
    whole = SurfaceModel.of(model, torch.linspace(0.1, 1.0, model.n_vertices, dtype=torch.float64))
    thin = whole.thinned(3)
    at = torch.searchsorted(whole.samples, thin.samples)
    assert torch.equal(whole.samples[at], thin.samples)
    assert torch.equal(whole.confidence[at], thin.confidence)
    assert torch.equal(whole.albedo_basis[at], thin.albedo_basis)
    bases = [surface.normal_jacobian(model.mean_shape) for surface in (whole, thin)]
    assert torch.allclose(bases[0][at], bases[1], rtol=0.0, atol=1e-9)
