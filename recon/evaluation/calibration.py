"""Error models of landmark detectors from faces whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.detection.error_model import LandmarkErrorModel, roll_of, stated_points, upright_turn
from recon.detection.face import Face
from recon.synthesis import FaceSampler

MODE_COUNTS = (0, 8, 32, 64, 128)
"""Numbers of modes that are tried; that under which held-out faces are most likely is taken."""
_HELD_OUT = 0.2
_LOST = 4.0
"""Faces whose root mean square error is so many times the median are left out: they were not seen, and must not shape the covariance."""
_SHARED_ON_PHOTOS = 0.5
"""Of the size of the modes on synthetic faces. There points err almost only together; on photos they also err each for itself, and a fit
that believes the modes whole leaves too much to the prior: on 30 video frames its inner points are off by 3.01 % with the modes
whole and by 2.80 % with them halved (the detector's by 2.97)."""
_PRIOR_FACES = 3.0
"""Faces' worth of prior that there is no bias."""
_ROUNDS = 4


def fit_error_model(
    errors: Float[np.ndarray, "m n 2"], landmark_set: str, facts: dict[str, object]
) -> LandmarkErrorModel:
    """Bias, own sigmas and modes; their number by the likelihood of held-out faces.

    Args:
        errors: ``(M, N, 2)`` of M faces, as :func:`measure_errors` gives them.
        landmark_set: name of the set.
        facts: how they were measured.

    Raises:
        ValueError: fewer than 50 faces.
    """
    count = len(errors)
    if count < 50:
        raise ValueError(f"an error model needs at least 50 faces, got {count}")
    size = np.sqrt((errors**2).mean(axis=(1, 2)))
    seen = size <= _LOST * np.median(size)
    count = int(seen.sum())
    flat = errors[seen].reshape(count, -1)
    kept = np.arange(count) % round(1.0 / _HELD_OUT) != 0
    likelihood: dict[int, float] = {}
    widened: dict[int, float] = {}
    for n_modes in MODE_COUNTS:
        if n_modes < 0.5 * kept.sum():
            bias, own, modes = _factors(flat[kept], n_modes)
            left = flat[~kept] - bias
            likelihood[n_modes] = _log_likelihood(left, own, modes)
            widened[n_modes] = _worst_sigma(left, own, modes)
    n_modes = max(likelihood, key=lambda number: likelihood[number])
    bias, own, modes = _factors(flat, n_modes)
    shape = errors.shape[1:]
    return LandmarkErrorModel(
        landmark_set=landmark_set,
        bias=bias.reshape(shape),
        own_sigma=own[::2] * max(1.0, widened[n_modes]),
        modes=_SHARED_ON_PHOTOS * modes.reshape(-1, *shape),
        facts={
            **facts,
            "faces": count,
            "lost": int((~seen).sum()),
            "own_sigma_widened": round(widened[n_modes], 3),
            "held_out_log_likelihood": {f"{m} modes": round(v, 3) for m, v in likelihood.items()},
        },
    )


def _factors(
    errors: Float[np.ndarray, "m d"], n_modes: int
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"], Float[np.ndarray, "r d"]]:
    """The bias; then a factor analysis by alternating principal axes and what they leave.

    x and y of a point have one own sigma.
    """
    bias = errors.sum(axis=0) / (len(errors) + _PRIOR_FACES)
    left: np.ndarray = errors - bias
    own = _of_points(left.std(axis=0))
    modes = np.zeros((0, left.shape[1]))
    for _ in range(_ROUNDS if n_modes else 0):
        scaled = left / own
        _, singular, axes = np.linalg.svd(scaled, full_matrices=False)
        variance = singular**2 / len(left)
        # Probabilistic principal components (Tipping and Bishop 1999): what the axes have beyond the noise.
        noise = (variance.sum() - variance[:n_modes].sum()) / (left.shape[1] - n_modes)
        modes = np.sqrt((variance[:n_modes] - noise).clip(0.0))[:, None] * axes[:n_modes] * own
        own = _of_points(np.sqrt((left.var(axis=0) - (modes**2).sum(axis=0)).clip(1e-3 * left.var(axis=0))))
    return bias, own, modes


def _of_points(sigma: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """One sigma for x and y of each point."""
    return np.repeat(np.sqrt((sigma.reshape(-1, 2) ** 2).mean(axis=1)), 2)


def _log_likelihood(
    errors: Float[np.ndarray, "m d"], own: Float[np.ndarray, " d"], modes: Float[np.ndarray, "r d"]
) -> float:
    """Mean over faces, per coordinate, constants left out."""
    scaled = errors / own
    total = np.log(own).sum() + 0.5 * (scaled**2).sum(axis=1)
    if len(modes):
        _, singular, axes = np.linalg.svd(modes / own, full_matrices=False)
        along = scaled @ axes.T
        shared = 1.0 - 1.0 / (1.0 + singular**2)
        total = total + 0.5 * np.log1p(singular**2).sum() - 0.5 * (along**2 * shared).sum(axis=1)
    return float(-total.mean() / errors.shape[1])


def _worst_sigma(
    errors: Float[np.ndarray, "m d"], own: Float[np.ndarray, " d"], modes: Float[np.ndarray, "r d"]
) -> float:
    """Root mean square of whitened errors along the direction in which it is largest; 1 if all that is shared is known.

    Neighbours share more than some modes of some faces can tell. A fit follows directions in which many points move a little, so
    sigmas must be true there, not only a point at a time.
    """
    scaled = errors / own
    _, singular, axes = np.linalg.svd(modes / own, full_matrices=False)
    white = scaled + ((scaled @ axes.T) * ((1.0 + singular**2) ** -0.5 - 1.0)) @ axes
    return float(np.linalg.norm(white, ord=2) / np.sqrt(len(white)))


def measure_errors(
    detect: Callable[[UInt8[np.ndarray, "h w 3"]], Sequence[Face]],
    sampler: FaceSampler,
    indices: Iterable[int],
    landmark_set: str,
) -> tuple[Float[np.ndarray, "m n 2"], int]:
    """Errors of a detector on synthetic faces: found less true, over the stated sigma, in axes upright with each face; and how many faces
    it did not find.

    Args:
        detect: finds faces in a picture.
        sampler: renders the faces.
        indices: of which samples.
        landmark_set: name of the set.

    Raises:
        ValueError: no face was found in any of them.
    """
    errors, missed = [], 0
    for index in indices:
        sample = sampler[index]
        pixels = (255.0 * sample.image[0]).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        true_px = sample.tensors()[f"landmarks{landmark_set}_px"][0].double().numpy()
        roll = roll_of(sample.landmarks68_px[0].double().numpy())
        face = _nearest(detect(pixels), true_px)
        points = None if face is None else stated_points(face, landmark_set)
        if points is None:
            missed += 1
            continue
        errors.append(((points.points_px[:, :2] - true_px) / points.sigma_px[:, None]) @ upright_turn(roll))
    if not errors:
        raise ValueError(f"the detector found none of {missed} synthetic faces with landmarks {landmark_set!r}")
    return np.stack(errors), missed


def _nearest(faces: Sequence[Face], true_px: Float[np.ndarray, "n 2"]) -> Face | None:
    """The face whose box lies about the true points' middle, or None."""
    middle = 0.5 * (true_px.min(axis=0) + true_px.max(axis=0))
    about = [face for face in faces if (face.box[:2] < middle).all() and (middle < face.box[2:]).all()]
    return max(about, key=lambda face: face.size_px) if about else None
