import math

import pytest
import torch
from torch.nn.functional import normalize

from recon.lighting import (
    LightingError,
    ambient,
    environment_to_sh,
    irradiance,
    lamps_to_sh,
    rotate_lighting,
    sh_basis,
    sh_rotation,
    shade,
)
from recon.rotation import euler_to_matrix


def directions(n=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, 3, dtype=torch.float64, generator=generator), dim=-1)


def random_lighting(batch=2, channels=3, seed=1):
    return torch.randn(batch, 9, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotations():
    return euler_to_matrix(torch.tensor([[0.3, -1.2, 0.8], [2.0, 0.4, -2.5]], dtype=torch.float64))


def sphere(n=400):
    """Directions and solid angles that integrate polynomials over the sphere: Gauss-Legendre in z, even in azimuth."""
    import numpy as np

    z, weight = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(20))
    azimuth = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    ring = torch.sqrt(1 - z * z)[:, None]
    grid = torch.stack((ring * azimuth.cos(), ring * azimuth.sin(), z[:, None].expand(-1, n)), dim=-1)
    return grid.reshape(-1, 3), (weight[:, None] * (2 * math.pi / n)).expand(-1, n).reshape(-1)


def test_basis_is_orthonormal():
    points, solid_angle = sphere()
    basis = sh_basis(points)
    gram = torch.einsum("n,ni,nj->ij", solid_angle, basis, basis)
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), rtol=0, atol=1e-12)


def test_irradiance_of_known_light():
    normals = directions()
    lighting = torch.zeros(9, 3, dtype=torch.float64)
    lighting[0], lighting[2] = math.sqrt(4 * math.pi), math.sqrt(4 * math.pi / 3)  # L(w) = 1 + w_z
    want = (math.pi + 2 * math.pi / 3 * normals[:, 2:]).expand(-1, 3)
    torch.testing.assert_close(irradiance(normals, lighting), want)


def test_irradiance_is_the_integral_over_the_hemisphere():
    points, solid_angle = sphere(2000)
    lighting, normals = random_lighting(1)[0], directions(5)
    # the kink of the clamped cosine limits the quadrature, not the formula
    cosine = (normals @ points.T).clamp(min=0)
    want = torch.einsum("kn,n,nc->kc", cosine, solid_angle, sh_basis(points) @ lighting)
    torch.testing.assert_close(irradiance(normals, lighting), want, rtol=0, atol=0.02)


def test_constant_light_shows_the_albedo():
    albedo = torch.rand(2, 64, 3, dtype=torch.float64)
    normals = directions().expand(2, 64, 3)
    white = ambient(torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(shade(albedo, normals, white), albedo)


def test_white_lighting_is_three_equal_channels():
    albedo, normals = torch.rand(2, 7, 3, dtype=torch.float64), directions(7).expand(2, 7, 3)
    white = random_lighting(channels=1)
    torch.testing.assert_close(shade(albedo, normals, white), shade(albedo, normals, white.expand(-1, -1, 3)))


def test_turning_light_and_normals_together_changes_nothing():
    lighting, rotation = random_lighting(), rotations()
    normals = directions().expand(2, 64, 3)
    turned = irradiance(normals @ rotation.transpose(-1, -2), rotate_lighting(lighting, rotation))
    torch.testing.assert_close(turned, irradiance(normals, lighting))


def test_rotation_matrices_are_orthogonal_and_compose():
    first, second = rotations()
    a, b = sh_rotation(first), sh_rotation(second)
    torch.testing.assert_close(a @ a.T, torch.eye(9, dtype=torch.float64), rtol=0, atol=1e-10)
    torch.testing.assert_close(sh_rotation(first @ second), a @ b, rtol=0, atol=1e-10)


def test_a_turned_lamp_is_the_lamp_at_the_turned_direction():
    towards, power = directions(2)[:, None], torch.rand(2, 1, 3, dtype=torch.float64)
    turned = torch.einsum("bij,bkj->bki", rotations(), towards)
    torch.testing.assert_close(rotate_lighting(lamps_to_sh(towards, power), rotations()), lamps_to_sh(turned, power))


def test_a_lamp_lights_what_faces_it_most():
    towards = directions(1)
    lighting = lamps_to_sh(towards * 7, torch.ones(1, 1, dtype=torch.float64))
    facing = irradiance(towards, lighting)
    # order 2 keeps 1/4 + 1/2 + 5/16 of the lamp's irradiance on a surface that faces it
    torch.testing.assert_close(facing, torch.full((1, 1), 17 / 16, dtype=torch.float64))
    assert (irradiance(directions(200, seed=3), lighting) < facing).all()


def test_environment_pictures_keep_light_of_order_2():
    lighting = random_lighting(1)
    height, width = 64, 128
    polar = (torch.arange(height, dtype=torch.float64) + 0.5) * math.pi / height
    azimuth = (torch.arange(width, dtype=torch.float64) + 0.5) * 2 * math.pi / width - math.pi
    towards = torch.stack(
        (
            polar.sin()[:, None] * azimuth.sin(),
            polar.cos()[:, None].expand(height, width),
            -polar.sin()[:, None] * azimuth.cos(),
        ),
        dim=-1,
    )
    picture = (sh_basis(towards) @ lighting[0]).permute(2, 0, 1)[None]
    torch.testing.assert_close(environment_to_sh(picture), lighting, rtol=0, atol=5e-3)


def test_constant_environment_is_ambient_light():
    radiance = torch.tensor([[0.3, 0.5, 0.9]], dtype=torch.float64)
    picture = radiance[..., None, None].expand(1, 3, 64, 128)
    torch.testing.assert_close(environment_to_sh(picture), ambient(radiance), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("row", "column", "towards"),
    [(32, 64, (0, 0, -1)), (32, 96, (1, 0, 0)), (0, 5, (0, 1, 0)), (32, 0, (0, 0, 1))],
)
def test_environment_directions(row, column, towards):
    picture = torch.zeros(1, 64, 128, dtype=torch.float64)
    picture[0, row, column] = 1
    linear = environment_to_sh(picture)[[3, 1, 2], 0]  # coefficients of x, y, z
    assert torch.dot(linear / linear.norm(), torch.tensor(towards, dtype=torch.float64)) > 0.99


def test_gradients():
    normals = directions(5).requires_grad_()
    lighting = random_lighting(1)[0].requires_grad_()
    albedo = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shade, (albedo, normals, lighting))
    assert torch.autograd.gradcheck(rotate_lighting, (random_lighting().requires_grad_(), rotations().requires_grad_()))
    assert torch.autograd.gradcheck(
        lamps_to_sh, (directions(3).requires_grad_(), torch.rand(3, 3, dtype=torch.float64, requires_grad=True))
    )


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 9, 2), (27,)])
def test_lighting_of_a_wrong_shape_is_refused(shape):
    with pytest.raises((LightingError, TypeError), match=r"9, 3|shape|type"):
        shade(torch.rand(2, 5, 3), torch.rand(2, 5, 3), torch.zeros(shape))
