import math

import pytest
import torch

from recon.rotation import euler_to_matrix, matrix_to_euler, matrix_to_sixd, rotation_angle, sixd_to_matrix

torch.manual_seed(0)


def about(axis, angle):
    c, s = math.cos(angle), math.sin(angle)
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return torch.tensor(rows[axis], dtype=torch.float64)


def random_angles(n=200):
    limits = torch.tensor([math.pi, math.pi / 2, math.pi], dtype=torch.float64) * 0.98
    return (2 * torch.rand(n, 3, dtype=torch.float64) - 1) * limits


def test_order_is_roll_after_yaw_after_pitch():
    pitch, yaw, roll = 0.3, -0.7, 1.1
    want = about("z", roll) @ about("y", yaw) @ about("x", pitch)
    got = euler_to_matrix(torch.tensor([[pitch, yaw, roll]], dtype=torch.float64))[0]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("angles", "point", "towards"),
    [
        ((math.pi / 2, 0, 0), (0, 0, 1), (0, -1, 0)),  # positive pitch: the face looks down
        ((0, math.pi / 2, 0), (0, 0, 1), (1, 0, 0)),  # positive yaw: it looks to the viewer's right
        ((0, 0, math.pi / 2), (0, 1, 0), (-1, 0, 0)),  # positive roll: the crown goes to the viewer's left
    ],
)
def test_signs_of_the_angles(angles, point, towards):
    turned = euler_to_matrix(torch.tensor([angles], dtype=torch.float64))[0] @ torch.tensor(point, dtype=torch.float64)
    torch.testing.assert_close(turned, torch.tensor(towards, dtype=torch.float64), rtol=0, atol=1e-12)


def test_euler_angles_come_back():
    angles = random_angles()
    torch.testing.assert_close(matrix_to_euler(euler_to_matrix(angles)), angles, rtol=0, atol=1e-10)


@pytest.mark.parametrize("yaw", [math.pi / 2, -math.pi / 2])
def test_gimbal_lock_gives_the_same_rotation_with_roll_0(yaw):
    rotation = euler_to_matrix(torch.tensor([[0.4, yaw, 0.9]], dtype=torch.float64))
    angles = matrix_to_euler(rotation)
    assert angles[0, 2] == 0
    torch.testing.assert_close(euler_to_matrix(angles), rotation, rtol=0, atol=1e-9)


def test_small_angles_are_not_lost_in_float32():
    angles = torch.tensor([[1e-4, -2e-4, 3e-4]])
    torch.testing.assert_close(matrix_to_euler(euler_to_matrix(angles)), angles, rtol=1e-3, atol=0)


def test_sixd_comes_back_and_is_the_first_two_columns():
    rotation = euler_to_matrix(random_angles())
    sixd = matrix_to_sixd(rotation)
    torch.testing.assert_close(sixd[:, 3:], rotation[:, :, 1])
    torch.testing.assert_close(sixd_to_matrix(sixd), rotation, rtol=0, atol=1e-12)


def test_any_sixd_gives_a_rotation():
    rotation = sixd_to_matrix(torch.randn(50, 6, dtype=torch.float64) * 10)
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(rotation @ rotation.transpose(-1, -2), identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))


def test_gradients():
    angles = random_angles(4).requires_grad_()
    assert torch.autograd.gradcheck(euler_to_matrix, angles)
    assert torch.autograd.gradcheck(lambda x: matrix_to_euler(euler_to_matrix(x)), angles)
    assert torch.autograd.gradcheck(sixd_to_matrix, torch.randn(4, 6, dtype=torch.float64, requires_grad=True))


def test_zero_rotation_has_a_finite_gradient():
    angles = torch.zeros(1, 3, requires_grad=True)
    euler_to_matrix(angles).square().sum().backward()
    assert torch.isfinite(angles.grad).all()


def test_angle_between_rotations():
    angles = torch.tensor([[0.0, 1e-3, 0.0], [0.0, 2.0, 0.0]], dtype=torch.float64)
    got = rotation_angle(euler_to_matrix(angles), euler_to_matrix(torch.zeros_like(angles)))
    torch.testing.assert_close(got, angles[:, 1], rtol=1e-6, atol=0)
