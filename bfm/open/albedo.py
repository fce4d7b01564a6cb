"""Albedo of the open model: a Gaussian process on the surface of the head, in linear RGB.

Colour at a vertex is linear in independent standard normal numbers: melanin and haemoglobin of the whole skin, tints of
single regions (cheeks, lips, beard, brows, iris, ...), and two smooth random fields on the surface, one of melanin and
one of blood. The fields have the heat kernel of the surface as covariance, which depends on distance along the surface
and is positive definite on any shape (Borovitskiy et al. 2020). Melanin and haemoglobin stay the first two components;
the Karhunen-Loeve expansion of everything else follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy.sparse.linalg import eigsh

from bfm.data import FloatArray, IntArray
from bfm.open.laplacian import surface_laplacian
from bfm.open.skin import linear_rgb, skin_reflectance

_FIELD_LENGTHS_MM = (35.0, 12.0)
_FIELD_SIGMAS = (0.38, 0.34)
"""Two scales of patchiness; sigmas in units of the whole skin's melanin and haemoglobin spread."""
_N_MODES = 160

_BLOOD = 0.013
_BLOOD_LOG_SIGMA = 0.55
_REACH_SIGMA = 2.5
"""The melanin component runs from the lightest to the darkest skin within so many standard deviations."""
_BEYOND_LIGHTEST = np.array([0.06, 0.07, 0.10])
"""Added to the lightest physical skin: photos of it, and the lightest Monk swatch, are brighter still."""
_BEYOND_DARKEST = 0.6
_BEND_IN_MEAN = 0.5
_TINT_SCALE = 0.65


@dataclasses.dataclass(frozen=True)
class SkinColour:
    """Linear model of skin colour: mean ``(3,)``, one sigma of melanin, haemoglobin and two residual tints, ``(3,)``."""

    mean: FloatArray
    melanin: FloatArray
    haemoglobin: FloatArray
    tints: FloatArray


def skin_colour(n_samples: int = 4000, seed: int = 7) -> SkinColour:
    """Linear model of the physical skin model over a population balanced over all skin tones.

    The physical colours bend: middle tones are more saturated than both ends. Melanin is the straight line between the
    ends, so that 2.5 sigma either way are still colours of skin; two tints hold the bend.
    """
    rng = np.random.default_rng(seed)
    melanin, haemoglobin = rng.normal(size=n_samples), rng.normal(size=n_samples)
    # Melanin is laid out so that the lightness of the skin, not its logarithm, is normally distributed.
    fractions = np.geomspace(0.0005, 0.6, 300)
    ramp = linear_rgb(skin_reflectance(fractions, np.full(300, _BLOOD)))
    dark, light = _BEYOND_DARKEST * ramp[-1], ramp[0] + _BEYOND_LIGHTEST
    step = (dark - light) / (2.0 * _REACH_SIGMA)
    middle = 0.5 * (dark + light)
    wanted = middle[1] + step[1] * np.clip(melanin, -_REACH_SIGMA, _REACH_SIGMA)
    melanosomes = np.interp(wanted, ramp[::-1, 1], fractions[::-1])
    colours = linear_rgb(skin_reflectance(melanosomes, _BLOOD * np.exp(_BLOOD_LOG_SIGMA * haemoglobin)))
    rest = colours - middle - melanin[:, None] * step
    blood = haemoglobin @ rest / (haemoglobin @ haemoglobin)
    rest = rest - haemoglobin[:, None] * blood
    bend = rest.mean(axis=0)
    _, spread, axes = np.linalg.svd((rest - bend) / np.sqrt(n_samples), full_matrices=False)
    tints = spread[:2, None] * axes[:2]
    signs = np.sign(tints.sum(axis=1, keepdims=True))
    return SkinColour(middle + _BEND_IN_MEAN * bend, step, blood, _TINT_SCALE * tints * signs)


@dataclasses.dataclass(frozen=True)
class SurfaceModes:
    """Smoothest functions on a surface: eigenvalues ``(M,)`` in 1/mm^2 and functions ``(V, M)``, zero off the surface."""

    spectrum: FloatArray
    functions: FloatArray
    mass: FloatArray

    def field(self, length_mm: float) -> FloatArray:
        """Factor ``(V, M)`` of the heat kernel with a correlation length: a random field is this times N(0, 1).

        Its variance is 1 on average over the surface.
        """
        scaled = self.functions * np.exp(-0.25 * length_mm**2 * self.spectrum)
        return np.asarray(scaled / np.sqrt(np.average((scaled**2).sum(axis=1), weights=self.mass)))


def surface_modes(vertices: FloatArray, faces: IntArray, n_modes: int = _N_MODES) -> SurfaceModes:
    """The first eigenfunctions of the Laplace-Beltrami operator of the surface that ``faces`` cover."""
    used = np.unique(faces)
    local = np.full(len(vertices), -1)
    local[used] = np.arange(len(used))
    stiffness, mass = surface_laplacian(vertices[used], local[faces])
    start = np.ones(len(used)) / np.sqrt(len(used))
    # Shift-invert about a small negative number: the matrix is then positive definite.
    spectrum, modes = eigsh(stiffness, k=n_modes, M=mass, sigma=-1e-5, which="LM", v0=start)
    order = np.argsort(spectrum)
    functions = np.zeros((len(vertices), n_modes))
    functions[used] = modes[:, order]
    weights = np.zeros(len(vertices))
    weights[used] = mass.diagonal()
    return SurfaceModes(np.maximum(spectrum[order], 0.0), functions, weights)


# Linear RGB of what is not skin.
_SCLERA = np.array([0.60, 0.545, 0.51])
_IRIS = np.array([0.090, 0.064, 0.050])
_IRIS_TINTS = np.array([[0.030, 0.033, 0.034], [-0.018, 0.004, 0.026]])
_TEETH = np.array([0.62, 0.54, 0.42])
_GUMS = np.array([0.36, 0.12, 0.11])
_TONGUE = np.array([0.38, 0.13, 0.12])
_HAIR = np.array([0.060, 0.042, 0.030])
_HAIR_TINTS = np.array([[0.022, 0.016, 0.011], [0.010, 0.002, -0.002]])
_LASHES = np.array([0.045, 0.033, 0.028])

# Region: (melanin, haemoglobin) in sigmas added to the mean, and sigmas of the region's own variation of each.
_SKIN_REGIONS = {
    "cheeks": ((0.00, 0.40), (0.05, 0.40)),
    "nose": ((0.03, 0.45), (0.04, 0.30)),
    "ears": ((0.00, 0.50), (0.05, 0.30)),
    "under_eye": ((0.10, 0.25), (0.10, 0.20)),
    "lids": ((0.12, 0.45), (0.10, 0.25)),
    "forehead": ((-0.03, -0.15), (0.06, 0.15)),
    "neck": ((0.04, -0.10), (0.06, 0.12)),
}


def build_albedo(
    vertices: FloatArray,
    faces: IntArray,
    maps: Mapping[str, FloatArray],
    modes: SurfaceModes,
    n_components: int,
) -> tuple[FloatArray, FloatArray]:
    """Mean ``(V, 3)`` and basis ``(V, 3, K)`` of the albedo in linear RGB.

    Args:
        vertices: ``(V, 3)`` mean head in mm.
        faces: ``(F, 3)``.
        maps: soft maps of :func:`bfm.open.regions.head_maps`.
        modes: smooth functions on the skin, see :func:`surface_modes`.
        n_components: K, at least 2.
    """
    skin = skin_colour()
    # Layers of albedo from below to above; each takes its share and leaves the rest to what lies beneath.
    brow, lips = maps["brows"], np.clip(1.15 * maps["lips"], 0.0, 1.0)
    hair = np.clip(0.80 * brow + 0.25 * maps["scalp"], 0.0, 1.0)
    lashes = 0.75 * maps["lashes"]
    skin_share = np.clip(maps["outer"] + maps["neck"], 0.0, 1.0) * (1.0 - hair) * (1.0 - lashes)
    gums = np.clip(maps["cavity"] + maps["sockets"], 0.0, 1.0) * (1.0 - lashes)

    melanin_level = np.zeros(len(vertices))
    blood_level = np.zeros(len(vertices))
    factors: list[FloatArray] = []
    # Lips have less melanin than the skin around them, and more blood under a thinner skin.
    melanin_gain = skin_share * (1.0 - 0.25 * lips)
    blood_gain = skin_share * (1.0 + 0.5 * lips)
    for name, (mean_levels, sigmas) in _SKIN_REGIONS.items():
        area = maps[name]
        melanin_level += mean_levels[0] * area
        blood_level += mean_levels[1] * area
        factors.append(_outer(skin_share * area * sigmas[0], skin.melanin))
        factors.append(_outer(skin_share * area * sigmas[1], skin.haemoglobin))
    blood_level = blood_level + 1.4 * lips
    melanin_level = melanin_level + 0.15 * lips
    factors.append(_outer(skin_share * lips, 0.4 * skin.haemoglobin))
    factors.append(_outer(skin_share * lips, 0.15 * skin.melanin))
    # Beard shadow: darker and less red, from clean-shaven to stubble.
    stubble = -0.16 * skin.mean + np.array([-0.010, 0.0, 0.008])
    factors.append(_outer(skin_share * maps["beard"], 0.6 * stubble))
    for tint in skin.tints:
        factors.append(_outer(melanin_gain, tint))
    factors += [_outer(hair, tint) for tint in _HAIR_TINTS]
    factors.append(_outer(0.25 * maps["scalp"], _HAIR - skin.mean))
    factors.append(_outer(0.12 * brow, _HAIR - skin.mean))
    factors += [_outer(maps["iris"], tint) for tint in _IRIS_TINTS]
    factors.append(_outer(maps["sclera"], np.array([0.07, 0.06, 0.05])))
    factors.append(_outer(maps["teeth"] * (1.0 - maps["in_shade"]), np.array([0.08, 0.09, 0.09])))

    mean = (
        _outer(skin_share, skin.mean)
        + _outer(skin_share * melanin_level, skin.melanin)
        + _outer(skin_share * blood_level, skin.haemoglobin)
        + _outer(skin_share * maps["beard"], 0.35 * stubble)
        + _outer(hair * (1.0 - lashes), _HAIR)
        + _outer(lashes, _LASHES)
        + _outer(np.clip(gums - skin_share, 0.0, 1.0), _GUMS)
        + _outer(maps["sclera"], _SCLERA)
        + _outer(maps["iris"], _IRIS)
        + _outer(maps["pupil"], np.full(3, 0.008))
        + _outer(maps["teeth"] * (1.0 - maps["gums"]), _TEETH)
        + _outer(maps["teeth"] * maps["gums"], _GUMS)
        + _outer(maps["tongue"], _TONGUE)
    )
    mean *= (1.0 - 0.55 * maps["limbus"])[:, None]
    # Light given by its direction alone casts no shadows, so the mouth would shine like the lips.
    mean *= (1.0 - maps["in_shade"])[:, None]
    # Hair and iris take their colour from melanin too: dark with dark skin, lighter with light skin.
    melanin_everywhere = melanin_gain + 0.14 * hair + 0.08 * maps["iris"]
    whole = np.stack([_outer(melanin_everywhere, skin.melanin), _outer(blood_gain, skin.haemoglobin)], axis=-1)
    for length_mm, sigma in zip(_FIELD_LENGTHS_MM, _FIELD_SIGMAS, strict=True):
        field = modes.field(length_mm)
        for colour, strength in ((skin.melanin, 0.14 * sigma), (skin.haemoglobin, 0.6 * sigma)):
            shared = (skin_share * strength)[:, None] * field
            factors.append(shared[:, None, :] * colour[None, :, None])
    rest = np.concatenate([f if f.ndim == 3 else f[..., None] for f in factors], axis=-1)
    weights = _importance(vertices, faces, maps)
    return mean, np.concatenate([whole, _karhunen_loeve(rest, weights, n_components - 2)], axis=-1)


def _outer(amount: FloatArray, colour: FloatArray) -> FloatArray:
    return np.asarray(amount[:, None] * colour)


def _importance(vertices: FloatArray, faces: IntArray, maps: Mapping[str, FloatArray]) -> FloatArray:
    """Area, with more weight where pictures show faces and where small things are coloured (eyes, brows, lips)."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6.0
    weights = np.bincount(faces.ravel(), weights=np.repeat(area, 3), minlength=len(vertices))
    small = maps["iris"] + maps["sclera"] + maps["brows"] + maps["lips"] + maps["lids"] + 0.3 * maps["teeth"]
    return np.asarray(weights * (0.15 + maps["front"] + 6.0 * small))


def _karhunen_loeve(factors: FloatArray, weights: FloatArray, n_components: int) -> FloatArray:
    """The best ``n_components`` columns ``(V, 3, K)`` that keep the covariance of ``factors @ N(0, 1)``."""
    n_vertices, _, n_factors = factors.shape
    flat = factors.reshape(-1, n_factors)
    scaled = flat * np.sqrt(np.repeat(weights, 3))[:, None]
    _, mixing = np.linalg.eigh(scaled.T @ scaled)
    if n_components > n_factors:
        raise ValueError(f"the albedo has {n_factors + 2} independent components, {n_components + 2} asked for")
    basis = flat @ mixing[:, ::-1][:, :n_components]
    sign = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(n_components)])
    return np.asarray((basis * np.where(sign == 0.0, 1.0, sign)).reshape(n_vertices, 3, n_components))
