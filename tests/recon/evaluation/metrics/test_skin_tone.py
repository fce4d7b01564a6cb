"""Lightness and tones of skin."""

import numpy as np
import pytest

from recon.evaluation.metrics.skin_tone import MONK_SRGB, monk_tone, skin_lab


@pytest.mark.parametrize("number", range(1, 11))
def test_each_tone_is_nearest_to_itself(number):
    tone = MONK_SRGB[number - 1]
    colour = np.array([int(tone[k : k + 2], 16) for k in (0, 2, 4)]) / 255.0
    rng = np.random.default_rng(number)
    skin = colour + 0.002 * rng.normal(size=(501, 3))
    skin[:100] = 0.5 * rng.random((100, 3))  # a beard, which a median does not see
    found = skin_lab(np.concatenate((skin[100:], skin[:100])))
    assert monk_tone(skin_lab(colour[None])) == number
    assert abs(found[0] - skin_lab(colour[None])[0]) < 1.0


def test_lightness_is_that_of_cielab():
    # CIE 1976: L* of linear light Y is 116 Y^(1/3) - 16; sRGB code 188 / 255 is linear 0.5029.
    assert skin_lab(np.full((3, 3), 188.0 / 255.0))[0] == pytest.approx(116.0 * 0.5029 ** (1.0 / 3.0) - 16.0, abs=0.05)
