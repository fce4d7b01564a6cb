"""How like the truth, and how sharp, edited pictures are: SSIM, PSNR, CPBD and the Frechet distance of two sets."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.ndimage
from jaxtyping import Float, UInt8

Rectangle = tuple[int, int, int, int]
"""First column and row, and those after the last."""
_BLOCK = 64
_EDGE_SHARE = 0.002
_JUST_NOTICED = 0.63
_BETA = 3.6
_EDGE_SLOPE = 0.1
"""Least Sobel slope of an edge, of a picture in [0, 1]."""


def region_ssim(
    found: UInt8[np.ndarray, "h w 3"], true: UInt8[np.ndarray, "h w 3"], region: Rectangle | None = None
) -> float:
    """Structural similarity (Wang et al. 2004, Gaussian window of 1.5 px) within a rectangle of two pictures; 1 if they are equal."""
    from skimage.metrics import structural_similarity

    _, values = structural_similarity(
        true,
        found,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(_part(values, region).mean())


def region_psnr(
    found: UInt8[np.ndarray, "h w 3"], true: UInt8[np.ndarray, "h w 3"], region: Rectangle | None = None
) -> float:
    """Peak signal-to-noise ratio within a rectangle, dB; infinite if the pictures are equal there."""
    off = _part(found, region).astype(np.float64) - _part(true, region)
    mean = float(np.square(off).mean())
    return float("inf") if mean == 0.0 else 10.0 * np.log10(255.0**2 / mean)


def cpbd(picture: UInt8[np.ndarray, "h w 3"]) -> float:
    """Share of vertical edges whose blur is not noticed (Narvekar and Karam 2011): 1 is sharp, 0 blurred; nan without edges.

    The width of an edge is the distance between the darkest and the brightest pixel beside it, along the row; widths up to 5 px at low
    contrast and 3 px at high contrast are just not noticed. Edges are Sobel's, thinned along the row.
    """
    gray = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    slope = scipy.ndimage.sobel(gray / 255.0, axis=1) / 4.0
    strong = np.abs(slope)
    peak = (strong > _EDGE_SLOPE) & (strong >= np.roll(strong, 1, axis=1)) & (strong > np.roll(strong, -1, axis=1))
    peak[:, [0, -1]] = False
    noticed: list[float] = []
    for top in range(0, gray.shape[0], _BLOCK):
        for left in range(0, gray.shape[1], _BLOCK):
            block = (slice(top, top + _BLOCK), slice(left, left + _BLOCK))
            rows, columns = np.nonzero(peak[block])
            if len(rows) <= _EDGE_SHARE * gray[block].size:
                continue
            limit = 5.0 if np.ptp(gray[block]) <= 50.0 else 3.0
            places = zip((top + rows).tolist(), (left + columns).tolist(), strict=True)
            widths = [_edge_width(gray[row], column, float(slope[row, column])) for row, column in places]
            noticed.extend(1.0 - np.exp(-((np.array(widths) / limit) ** _BETA)))
    return float((np.array(noticed) <= _JUST_NOTICED).mean()) if noticed else float("nan")


def frechet_distance(first: Float[np.ndarray, "n c"], second: Float[np.ndarray, "m c"]) -> float:
    """Of two Gaussians with the means and covariances of two sets of features (Heusel et al. 2017, equation 6).

    With features of Inception-v3's last pooling it is the FID; the weights for these are not part of this package, so whoever compares with
    published figures has to bring the features.

    Raises:
        ValueError: fewer than two rows, or sets of different width.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"two sets of at least two rows of one width are needed, got {first.shape} and {second.shape}")
    spreads = [np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second)]
    eigenvalues = scipy.linalg.eigvals(spreads[0] @ spreads[1])
    shared = np.sqrt(np.clip(eigenvalues.real, 0.0, None)).sum()
    apart = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    return float(apart + np.trace(spreads[0]) + np.trace(spreads[1]) - 2.0 * shared)


def _part(picture: np.ndarray, region: Rectangle | None) -> np.ndarray:
    if region is None:
        return picture
    left, top, right, bottom = region
    return picture[top:bottom, left:right]


def _edge_width(row: Float[np.ndarray, " w"], column: int, slope: float) -> float:
    """Pixels from the one extreme of brightness beside an edge to the other."""
    rising = 1.0 if slope > 0.0 else -1.0
    first = last = column
    while first > 0 and rising * (row[first] - row[first - 1]) > 0.0:
        first -= 1
    while last + 1 < len(row) and rising * (row[last + 1] - row[last]) > 0.0:
        last += 1
    return float(last - first)
