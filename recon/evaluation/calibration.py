"""Error models of landmark detectors from faces whose truth is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.detection.error_model import LandmarkErrorModel, pose_features, roll_of, stated_points, upright_turn
from recon.detection.face import Face
from recon.synthesis import FaceSampler

MODE_COUNTS = (0, 8, 16, 32, 64, 96)
"""Numbers of modes that are tried; the one under which held-out faces are most likely is taken."""
_HELD_OUT = 0.2
_MOST_SIGMAS = 6.0
"""Larger errors are cut to this: a few faces that were not seen at all must not shape the covariance."""
_RIDGE = 3.0
"""Faces' worth of prior that there is no bias."""
_ROUNDS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredErrors:
    """Errors of M faces in the axes of the upright face.

    Attributes:
        found_px: ``(M, N, 2)`` detected points, upright.
        error: ``(M, N, 2)`` found less true, over the stated sigma.
    """

    found_px: Float[np.ndarray, "m n 2"]
    error: Float[np.ndarray, "m n 2"]


def fit_error_model(
    errors: MeasuredErrors, mean_obj: Float[np.ndarray, "n 3"], landmark_set: str, facts: dict[str, object]
) -> LandmarkErrorModel:
    """Bias, own sigmas and modes; the number of modes by the likelihood of held-out faces.

    Raises:
        ValueError: fewer than 50 faces.
    """
    count = len(errors.error)
    if count < 50:
        raise ValueError(f"an error model needs at least 50 faces, got {count}")
    features = np.stack([pose_features(points, mean_obj) for points in errors.found_px])
    flat = errors.error.clip(-_MOST_SIGMAS, _MOST_SIGMAS).reshape(count, -1)
    kept = np.arange(count) % round(1.0 / _HELD_OUT) != 0
    scores: dict[int, float] = {}
    for n_modes in MODE_COUNTS:
        if n_modes < kept.sum():
            bias, own, modes = _factors(flat[kept], features[kept], n_modes)
            scores[n_modes] = _log_likelihood(flat[~kept] - features[~kept] @ bias, own, modes)
    best = max(scores, key=lambda n: scores[n])
    bias, own, modes = _factors(flat, features, best)
    return LandmarkErrorModel(
        landmark_set,
        mean_obj,
        bias.reshape(features.shape[1], -1, 2),
        own[::2],
        modes.reshape(len(modes), -1, 2),
        {**facts, "faces": count, "held_out_log_likelihood": {str(n): round(s, 2) for n, s in scores.items()}},
    )


def _factors(
    errors: Float[np.ndarray, "m d"], features: Float[np.ndarray, "m p"], n_modes: int
) -> tuple[Float[np.ndarray, "p d"], Float[np.ndarray, " d"], Float[np.ndarray, "r d"]]:
    """Bias by ridge regression; then a factor analysis by alternating principal axes and what they leave.

    x and y of a point have one own sigma.
    """
    ridge = _RIDGE * np.eye(features.shape[1])
    bias = np.linalg.solve(features.T @ features + ridge, features.T @ errors)
    left: np.ndarray = errors - features @ bias
    own: np.ndarray = left.std(axis=0)
    modes = np.zeros((0, left.shape[1]))
    for _ in range(_ROUNDS if n_modes else 0):
        own = np.repeat(np.sqrt((own.reshape(-1, 2) ** 2).mean(axis=1)), 2)
        scaled = left / own
        _, singular, axes = np.linalg.svd(scaled, full_matrices=False)
        variance = singular**2 / len(left)
        # Probabilistic principal components (Tipping and Bishop 1999): what the axes have beyond the noise.
        noise = (variance.sum() - variance[:n_modes].sum()) / (left.shape[1] - n_modes)
        modes = np.sqrt((variance[:n_modes] - noise).clip(0.0))[:, None] * axes[:n_modes] * own
        own = np.sqrt((left.var(axis=0) - (modes**2).sum(axis=0)).clip(1e-3 * left.var(axis=0)))
    own = np.repeat(np.sqrt((own.reshape(-1, 2) ** 2).mean(axis=1)), 2)
    return bias, own, modes


def _log_likelihood(
    errors: Float[np.ndarray, "m d"], own: Float[np.ndarray, " d"], modes: Float[np.ndarray, "r d"]
) -> float:
    """Mean over faces, per coordinate, constants left out."""
    scaled = errors / own
    total = np.log(own).sum() * np.ones(len(errors)) + 0.5 * (scaled**2).sum(axis=1)
    if len(modes):
        u, singular, axes = np.linalg.svd(modes / own, full_matrices=False)
        along = scaled @ axes.T
        total = (
            total + 0.5 * np.log1p(singular**2).sum() - 0.5 * (along**2 * (1.0 - 1.0 / (1.0 + singular**2))).sum(axis=1)
        )
    return float(-total.mean() / errors.shape[1])


def measure_errors(
    detect: Callable[[UInt8[np.ndarray, "h w 3"]], Sequence[Face]],
    sampler: FaceSampler,
    indices: Iterable[int],
    landmark_set: str,
) -> tuple[MeasuredErrors, int]:
    """Errors of a detector on drawn faces, and how many faces it did not find.

    Args:
        detect: finds faces in a picture.
        sampler: draws the faces.
        indices: of which samples.
        landmark_set: name of the set.

    Raises:
        ValueError: no face was found in any of them.
    """
    found_px, errors, missed = [], [], 0
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
        turn = upright_turn(roll)
        found_px.append(points.points_px[:, :2] @ turn)
        errors.append(((points.points_px[:, :2] - true_px) / points.sigma_px[:, None]) @ turn)
    if not errors:
        raise ValueError(f"the detector found none of {missed} drawn faces with landmarks {landmark_set!r}")
    return MeasuredErrors(np.stack(found_px), np.stack(errors)), missed


def _nearest(faces: Sequence[Face], true_px: Float[np.ndarray, "n 2"]) -> Face | None:
    """The face whose box lies about the true points' middle, or None."""
    middle = 0.5 * (true_px.min(axis=0) + true_px.max(axis=0))
    about = [face for face in faces if (face.box[:2] < middle).all() and (middle < face.box[2:]).all()]
    return max(about, key=lambda face: face.size_px) if about else None
