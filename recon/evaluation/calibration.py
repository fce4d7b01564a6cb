"""Error models of landmark detectors from faces whose truth is known."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.datasets import FaceRecord
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


class CalibrationError(ValueError):
    """Faces that cannot tell how a detector errs: too few, none that is found, or without the landmarks."""


def fit_error_model(
    errors: Float[np.ndarray, "m n 2"], landmark_set: str, facts: dict[str, object]
) -> LandmarkErrorModel:
    """Bias, own sigmas and modes; their number by the likelihood of held-out faces.

    Args:
        errors: ``(M, N, 2)`` of M faces, as :func:`measure_errors` gives them.
        landmark_set: name of the set.
        facts: how they were measured.

    Raises:
        CalibrationError: fewer than 50 faces.
    """
    count = len(errors)
    if count < 50:
        raise CalibrationError(f"an error model needs at least 50 faces, got {count}")
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


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledFace:
    """A picture of a face whose landmarks are known.

    Attributes:
        image: ``(H, W, 3)`` sRGB.
        points_px: ``(N, 2)`` of the set that is measured.
        landmarks68_px: ``(68, 2)``, by which it is known how the face is turned in the picture.
    """

    image: UInt8[np.ndarray, "h w 3"]
    points_px: Float[np.ndarray, "n 2"]
    landmarks68_px: Float[np.ndarray, "68 2"]


def drawn_faces(sampler: FaceSampler, indices: Iterable[int], landmark_set: str) -> Iterable[LabelledFace]:
    """Faces that are drawn as they are asked for.

    Args:
        sampler: renders them.
        indices: of which samples.
        landmark_set: name of the set.
    """
    return map(functools.partial(_drawn_face, sampler, landmark_set), indices)


def _drawn_face(sampler: FaceSampler, landmark_set: str, index: int) -> LabelledFace:
    sample = sampler[index]
    return LabelledFace(
        (255.0 * sample.image[0]).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy(),
        sample.tensors()[f"landmarks{landmark_set}_px"][0].double().numpy(),
        sample.landmarks68_px[0].double().numpy(),
    )


def kept_faces(records: Iterable[FaceRecord], landmark_set: str) -> Iterable[LabelledFace]:
    """Faces that were rendered before: ``recon synthesize`` with the layout ``folder``, whatever the engine.

    Args:
        records: as :class:`recon.datasets.FolderReader` reads them.
        landmark_set: name of the set.

    Raises:
        CalibrationError: when a record is asked for that has no such landmarks.
    """
    return map(functools.partial(_kept_face, landmark_set), records)


def _kept_face(landmark_set: str, record: FaceRecord) -> LabelledFace:
    known = {"68": record.landmarks68_px, "478": record.landmarks478_px}
    points = known.get(landmark_set, record.labels.get(f"landmarks{landmark_set}_px"))
    if points is None or record.landmarks68_px is None:
        raise CalibrationError(
            f"{record.name} has no landmarks {landmark_set!r}; the layout 'folder' of recon synthesize has them"
        )
    return LabelledFace(
        record.image, np.asarray(points, dtype=np.float64), np.asarray(record.landmarks68_px, dtype=np.float64)
    )


def measure_errors(
    detect: Callable[[UInt8[np.ndarray, "h w 3"]], Sequence[Face]], faces: Iterable[LabelledFace], landmark_set: str
) -> tuple[Float[np.ndarray, "m n 2"], int]:
    """Errors of a detector on faces whose truth is known: found less true, over the stated sigma, in axes upright with each face; and how
    many faces it did not find.

    Args:
        detect: finds faces in a picture.
        faces: with their landmarks.
        landmark_set: name of the set.

    Raises:
        CalibrationError: no face was found in any of them.
    """
    errors, missed = [], 0
    for face in faces:
        found = _nearest(detect(face.image), face.points_px)
        points = None if found is None else stated_points(found, landmark_set)
        if points is None:
            missed += 1
            continue
        off = (points.points_px[:, :2] - face.points_px) / points.sigma_px[:, None]
        errors.append(off @ upright_turn(roll_of(face.landmarks68_px)))
    if not errors:
        raise CalibrationError(f"the detector found none of {missed} synthetic faces with landmarks {landmark_set!r}")
    return np.stack(errors), missed


def _nearest(faces: Sequence[Face], true_px: Float[np.ndarray, "n 2"]) -> Face | None:
    """The face whose box lies about the true points' middle, or None."""
    middle = 0.5 * (true_px.min(axis=0) + true_px.max(axis=0))
    about = [face for face in faces if (face.box[:2] < middle).all() and (middle < face.box[2:]).all()]
    return max(about, key=lambda face: face.size_px) if about else None
