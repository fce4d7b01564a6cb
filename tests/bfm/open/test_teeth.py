"""Rows of teeth: rigid, with gums towards their roots."""

import numpy as np
import pytest

import bfm
from bfm.open.head_mesh import PARTS
from bfm.open.teeth import gums, lingual_shade, rigid_rows


def arch(n_sections=41):
    """A lower row: in each section an outer root, an outer crown, the biting edge, and an inner root."""
    angle = np.linspace(-1.4, 1.4, n_sections)
    profile = [(-15.0, 25.0), (-4.0, 25.0), (0.0, 24.5), (-9.0, 17.0)]
    rings = [np.stack([r * np.sin(angle), np.full(n_sections, y), r * np.cos(angle)], axis=1) for y, r in profile]
    part = np.zeros((4 * n_sections, len(PARTS)))
    part[:, PARTS.index("lower_teeth")] = 1.0
    return np.concatenate(rings), part, np.repeat(np.arange(4), n_sections)


def test_roots_are_gum_and_crowns_are_not():
    vertices, part, ring = arch()
    found = gums(vertices, part)
    assert found[(ring == 0) | (ring == 3)].min() > 0.95
    assert found[(ring == 1) | (ring == 2)].max() < 0.05


def test_only_the_side_towards_the_tongue_is_darker():
    vertices, part, ring = arch()
    found = lingual_shade(vertices, part)
    assert (found[ring == 3] > 0.5).all() and not found[ring != 3].any()


def test_skin_has_neither():
    vertices = np.random.default_rng(0).normal(size=(9, 3))
    part = np.zeros((9, len(PARTS)))
    part[:, PARTS.index("skin")] = 1.0
    assert not gums(vertices, part).any() and not lingual_shade(vertices, part).any()


def test_rows_move_rigidly_and_the_rest_as_before():
    rng = np.random.default_rng(3)
    part = np.repeat([PARTS.index(name) for name in ("skin", "upper_teeth", "lower_teeth")], 20)
    mean = 20.0 * rng.normal(size=(60, 3))
    turn = np.array([0.1, -0.2, 0.05])
    rigid = np.cross(turn, mean) + [1.0, -8.0, 2.0]
    expression = np.stack([rigid, rng.normal(size=(60, 3))], axis=2)
    before = expression.copy()
    found = rigid_rows(expression, mean, part)
    np.testing.assert_array_equal(found[:20], before[:20])
    assert not found[20:40].any()
    np.testing.assert_allclose(found[40:, :, 0], rigid[40:], atol=1e-9)
    # What is left of any other motion keeps distances within the row, to first order.
    points, moved = mean[40:], found[40:, :, 1]
    sides, changes = points[:, None] - points, moved[:, None] - moved
    np.testing.assert_allclose((sides * changes).sum(axis=2), 0.0, atol=1e-9)
    np.testing.assert_array_equal(expression, before)


@pytest.fixture(scope="module")
def open_head():
    return bfm.load("open").data()


def test_the_upper_row_of_the_open_model_rests_and_its_roots_are_red(open_head):
    teeth = open_head.regions["teeth"]
    points, albedo = open_head.mean_shape[teeth], open_head.mean_albedo[teeth]
    opened = open_head.expression_basis[teeth][:, :, open_head.expression_names.index("jawOpen")]
    upper = np.linalg.norm(opened, axis=1) < 1.0
    assert upper.sum() == len(upper) // 2
    assert np.abs(open_head.expression_basis[teeth][upper]).max() < 1e-5
    front = upper & (np.abs(points[:, 0]) < 10.0) & (points[:, 2] > points[upper, 2].max() - 4.0)
    redness = albedo[front, 0] / albedo[front].sum(axis=1)
    height = points[front, 1]
    assert redness[height > height.min() + 13.0].min() > 0.5 > 0.42 > redness[height < height.min() + 8.0].max()
