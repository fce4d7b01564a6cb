"""Delighting: large coarse residuals shrink, small ones and detail stay."""

import numpy as np
import pytest

from recon.texturing.delight import _BOUND, delight

SIDE, REACH = 203, 4.0  # not a multiple of the reduction
WHOLE = np.ones((SIDE, SIDE), dtype=np.float32)


def grey(values):
    return np.repeat(values[..., None], 3, axis=-1).astype(np.float32)


def test_a_highlight_shrinks_below_the_bound_and_a_faint_one_stays():
    strong = delight(grey(0.9 * WHOLE), WHOLE, WHOLE, REACH)
    faint = delight(grey(0.01 * WHOLE), WHOLE, WHOLE, REACH)
    assert (strong > 0.0).all() and (strong <= _BOUND + 1e-6).all()
    np.testing.assert_allclose(faint, 0.01, rtol=0.02)


def test_the_edge_of_a_shadow_leaves_a_faint_rim_only():
    """A blur instead of the guided filter would leave half of the step on either side."""
    shadow = np.where(np.arange(SIDE) < SIDE // 2, -1.2, 0.0) * WHOLE
    left = delight(grey(shadow), WHOLE, WHOLE, REACH)
    assert np.abs(left).max() < 0.15 * 1.2
    assert np.abs(left).mean() < _BOUND


def test_freckles_stay_in_the_shadow_and_beside_it():
    rng = np.random.default_rng(3)
    shadow = np.where(np.arange(SIDE) < SIDE // 2, -1.0, 0.0) * WHOLE
    freckles = np.where(rng.random((SIDE, SIDE)) < 0.02, -0.15, 0.0)
    with_them = delight(grey(shadow + freckles), WHOLE, WHOLE, REACH)
    without = delight(grey(shadow), WHOLE, WHOLE, REACH)
    away = np.abs(np.arange(SIDE) - SIDE // 2) > 20
    shown = (with_them - without)[:, away, 0][freckles[:, away] < 0]
    np.testing.assert_allclose(shown, -0.15, atol=0.04)


def test_a_brow_keeps_its_contrast_to_the_skin_around():
    brow = np.zeros((SIDE, SIDE), dtype=bool)
    brow[95:105, 60:140] = True
    skin = np.where(brow, 0.0, 1.0).astype(np.float32)
    residual = grey(np.where(brow, -0.2, 0.8))
    left = delight(residual, skin, WHOLE, REACH)
    contrast = left[20, 20, 0] - left[100, 100, 0]
    assert contrast == pytest.approx(1.0, abs=0.02)


def test_a_brow_keeps_its_contrast_at_the_edge_of_a_shadow_too():
    """There the coarse part follows the residual, and a brow's own residual must not count as more shadow."""
    brow = np.zeros((SIDE, SIDE), dtype=bool)
    brow[95:105, 60:140] = True
    skin = np.where(brow, 0.0, 1.0).astype(np.float32)
    shadow = np.where(np.arange(SIDE) < 100, -1.0, 0.0) * WHOLE
    left = delight(grey(shadow - brow), skin, WHOLE, REACH)
    without = delight(grey(shadow), WHOLE, WHOLE, REACH)
    contrast = (without - left)[97, [92, 96, 98, 102, 104], 0]
    np.testing.assert_allclose(contrast, 1.0, atol=0.33)


def test_what_the_photo_does_not_show_has_no_say():
    """Beyond the cut the residual is rubbish; the skin beside it must not take it for its own."""
    share = np.where(np.arange(SIDE) < 100, 1.0, 0.0).astype(np.float32) * WHOLE
    rubbish = np.where(share > 0, 0.0, 3.0)
    left = delight(grey(rubbish), WHOLE, share, REACH)
    assert np.abs(left[:, :100]).max() < 1e-3


def test_tint_is_held_on_skin_and_left_on_lips():
    skin = np.where(np.arange(SIDE) < 100, 1.0, 0.0).astype(np.float32) * WHOLE
    residual = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    residual[..., 0], residual[..., 2] = 0.3, -0.3
    left = delight(residual, skin, WHOLE, REACH)
    assert np.abs(left[:, :90]).max() < 0.06
    np.testing.assert_allclose(left[:, 110:, 0], 0.3, atol=1e-3)


def test_the_argument_is_left_as_it_was():
    rng = np.random.default_rng(4)
    residual = rng.normal(size=(SIDE, SIDE, 3)).astype(np.float32)
    before = residual.copy()
    answer = delight(residual, WHOLE, WHOLE, REACH)
    assert np.array_equal(residual, before) and np.isfinite(answer).all()


def test_wet_lips_do_not_shine_and_lipstick_stays():
    lips = np.zeros((SIDE, SIDE), dtype=bool)
    lips[95:125, 60:140] = True
    skin = np.where(lips, 0.0, 1.0).astype(np.float32)
    lipstick, shine = np.array([0.1, -0.3, -0.25]), np.array([0.45, 0.75, 0.9])
    residual = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    residual[lips] = lipstick
    residual[100:110, 80:100] = shine
    left = delight(residual, skin, WHOLE, REACH)
    np.testing.assert_allclose(left[120, 120], lipstick, atol=0.02)
    wet = left[105, 90]
    assert wet.mean() < 0.26
    tint = wet - wet.mean()
    assert tint[0] > -0.07 and np.abs(tint).max() < 0.08
