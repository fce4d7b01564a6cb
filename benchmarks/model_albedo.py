"""Whether the open model's albedo reaches all human skin: the ten swatches of the Monk Skin Tone scale.

    python benchmarks/model_albedo.py

For each swatch the nearest colour of forehead and cheeks that the prior allows (every coefficient within 2.5 sigma),
and the difference in CIEDE2000. The swatches are those published at skintone.google (Monk, "Monk Skin Tone Scale", 2019).
"""

from __future__ import annotations

import argparse

import numpy as np
from _report import print_header, print_table
from scipy.optimize import least_squares
from skimage.color import deltaE_ciede2000, rgb2lab

import bfm

SWATCHES = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
REACH_SIGMA = 2.5
TARGET = 5.0
PRIOR_WEIGHT = 0.02
"""In Lab units a sigma: of colours that are equally near the likelier is taken."""


def srgb(linear: np.ndarray) -> np.ndarray:
    """Code values in [0, 1] of linear light (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear < 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def lab(code_values: np.ndarray) -> np.ndarray:
    return np.asarray(rgb2lab(code_values[None, None])[0, 0])


def nearest(mean: np.ndarray, basis: np.ndarray, swatch: np.ndarray) -> np.ndarray:
    """Coefficients ``(K,)`` of the colour nearest to a swatch ``(3,)``."""
    wanted = lab(swatch)

    def residual(coefficients: np.ndarray) -> np.ndarray:
        away = lab(srgb(mean + basis @ coefficients)) - wanted
        return np.concatenate([away, PRIOR_WEIGHT * coefficients])

    starts = [np.concatenate([[first], np.zeros(basis.shape[1] - 1)]) for first in (-1.5, 0.0, 1.5)]
    fits = [least_squares(residual, start, bounds=(-REACH_SIGMA, REACH_SIGMA)) for start in starts]
    return np.asarray(min(fits, key=lambda found: found.cost).x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print_header()
    data = bfm.load("open").data()
    region = data.regions["forehead"] | data.regions["cheeks"]
    mean = data.mean_albedo[region].mean(axis=0).astype(np.float64)
    basis = data.albedo_basis[region].mean(axis=0).astype(np.float64)
    rows, worst = [], 0.0
    for number, code in enumerate(SWATCHES, 1):
        swatch = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0
        coefficients = nearest(mean, basis, swatch)
        colour = srgb(mean + basis @ coefficients)
        difference = float(deltaE_ciede2000(lab(swatch), lab(colour)))
        worst = max(worst, difference)
        ours = "".join(f"{round(255 * value):02x}" for value in colour)
        largest = float(np.abs(coefficients).max())
        rows.append([number, f"#{code}", f"#{ours}", f"{difference:.2f}", *(f"{c:+.2f}" for c in coefficients[:2])])
        rows[-1] += [f"{np.linalg.norm(coefficients):.2f}", f"{largest:.2f}"]
    names = ("swatch", "colour", "nearest", "dE2000", "melanin", "blood", "all, norm", "largest")
    print_table("Monk Skin Tone swatches and the nearest skin of the open model", names, rows)
    print(f"  worst {worst:.2f}, target {TARGET:.2f}: {'reached' if worst <= TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
