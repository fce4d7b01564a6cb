"""Colour of skin from melanin and blood: Kubelka-Munk reflectance of an epidermis over a dermis.

The two-layer model of Anderson and Parrish (1981, "The optics of human skin") and Cotton and Claridge (1996): melanin
absorbs in the epidermis, blood in the dermis, and both scatter. Absorption and scattering are Jacques's (2013, "Optical
properties of biological tissues: a review", section 3; melanosomes 6.6e11 lambda^-3.33 1/cm, Jacques 1998);
haemoglobin extinction is Prahl's compilation (Oregon Medical Laser Center, 1999).
"""

from __future__ import annotations

import numpy as np

from bfm.data import FloatArray

WAVELENGTHS_NM = np.arange(400.0, 701.0, 10.0)

# Molar extinction in 1/(cm mol/l) every 10 nm from 400 to 700 nm: oxygenated, deoxygenated.
_HBO2 = np.array(
    [266232, 466840, 480360, 246072, 102580, 62816, 44480, 33209.2, 26629.2, 23684.4, 20932.8, 20035.2, 24202.4]
    + [39956.8, 53236, 43016, 32613.2, 44496, 50104, 14400.8, 3200, 1506, 942, 610, 442, 368, 319.6, 294, 277.6]
    + [276, 290]
)
_HB = np.array(
    [223296, 303956, 407560, 528600, 413280, 103292, 23388.8, 16156.4, 14550, 16684, 20862, 25773.6, 31589.6]
    + [39036.4, 46592, 53412, 53788, 45072, 37020, 28324.4, 14677.2, 9443.6, 6509.6, 5148.8, 4345.2, 3750.12]
    + [3226.56, 2795.12, 2407.92, 2051.96, 1794.28]
)
_OXYGENATION = 0.75
_BLOOD_G_PER_L = 150.0
_HAEMOGLOBIN_G_PER_MOL = 64_500.0
_EPIDERMIS_CM = 0.006

_XYZ_TO_LINEAR_SRGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)


def skin_reflectance(melanosomes: FloatArray, blood: FloatArray) -> FloatArray:
    """Diffuse reflectance ``(..., 31)`` at :data:`WAVELENGTHS_NM`.

    Args:
        melanosomes: volume fraction in the epidermis; 0.01 (lightest) to 0.43 (darkest skin), Jacques 1998.
        blood: volume fraction in the dermis; about 0.002 to 0.02, lips more.
    """
    melanosomes, blood = np.asarray(melanosomes)[..., None], np.asarray(blood)[..., None]
    base_per_cm = 0.244 + 85.3 * np.exp(-(WAVELENGTHS_NM - 154.0) / 66.2)
    melanin_per_cm = 6.6e11 * WAVELENGTHS_NM**-3.33
    epidermis_per_cm = melanosomes * melanin_per_cm + (1.0 - melanosomes) * base_per_cm
    extinction = _OXYGENATION * _HBO2 + (1.0 - _OXYGENATION) * _HB
    blood_per_cm = np.log(10.0) * extinction * _BLOOD_G_PER_L / _HAEMOGLOBIN_G_PER_MOL
    dermis_per_cm = blood * blood_per_cm + (1.0 - blood) * base_per_cm
    # Kubelka and Munk's coefficients for diffuse light: K = 2 mu_a, S = 3/4 mu_s'.
    scattering = 0.75 * 46.0 * (WAVELENGTHS_NM / 500.0) ** -1.421
    ratio = 2.0 * dermis_per_cm / scattering
    dermis = 1.0 + ratio - np.sqrt(ratio**2 + 2.0 * ratio)
    a = 1.0 + 2.0 * epidermis_per_cm / scattering
    b = np.sqrt(a**2 - 1.0)
    depth = b * scattering * _EPIDERMIS_CM
    below = a * np.sinh(depth) + b * np.cosh(depth)
    epidermis, through = np.sinh(depth) / below, b / below
    return np.asarray(epidermis + through**2 * dermis / (1.0 - epidermis * dermis))


def linear_rgb(reflectance: FloatArray) -> FloatArray:
    """Linear sRGB ``(..., 3)`` of a reflectance ``(..., 31)`` under equal-energy light balanced to D65 white."""
    matching = _matching_functions()
    xyz = reflectance @ matching / matching[:, 1].sum()
    white = matching.sum(axis=0) / matching[:, 1].sum()
    return np.asarray((xyz / white * np.array([0.95047, 1.0, 1.08883])) @ _XYZ_TO_LINEAR_SRGB.T)


def _matching_functions() -> FloatArray:
    """CIE 1931 colour matching functions ``(31, 3)``: the multi-lobe fit of Wyman, Sloan and Shirley (2013)."""

    def lobe(scale: float, centre: float, below: float, above: float) -> FloatArray:
        width = np.where(WAVELENGTHS_NM < centre, below, above)
        return np.asarray(scale * np.exp(-0.5 * ((WAVELENGTHS_NM - centre) * width) ** 2))

    x = lobe(1.056, 599.8, 1 / 37.9, 1 / 31.0) + lobe(0.362, 442.0, 1 / 16.0, 1 / 26.7)
    x += lobe(-0.065, 501.1, 1 / 20.4, 1 / 26.2)
    y = lobe(0.821, 568.8, 1 / 46.9, 1 / 40.5) + lobe(0.286, 530.9, 1 / 16.3, 1 / 31.1)
    z = lobe(1.217, 437.0, 1 / 11.8, 1 / 36.0) + lobe(0.681, 459.0, 1 / 26.0, 1 / 13.8)
    return np.stack([x, y, z], axis=1)
