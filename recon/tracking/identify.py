"""One person's shape, albedo and focal length from key frames: the fit of several views of one person."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from bfm.model import MorphableModel
from recon.detection.face import Face
from recon.fitting import FaceFitter, FitSettings, View
from recon.inference.estimator import RegressionEstimator
from recon.inference.landmark_observation import landmark_observation
from recon.io.image import Photo
from recon.segmentation.segmenter import FaceSegmenter
from recon.tracking.known_person import KnownPerson

_LENS_SHARE, _LENS_SIGMA = 1.0, 0.4
"""Focal length of cameras that people take videos with, as a share of the longer side, and the standard deviation of its logarithm: phones
and webcams have 0.65 to 1, portrait lenses up to 2.4."""
_SHARED_SIGMA = 0.3
"""Of the logarithm of a focal length by landmarks, in which all frames of a person err alike: in four drawn videos it came out 15 to 50 %
too long, from 40 frames as from 5."""


class PersonFitter:
    """Finds out who is in a video.

    Args:
        model: with the landmark set ``"478"``, on the CPU.
        quality: of the fit, see :meth:`recon.fitting.settings.FitSettings.hybrid`.
        segmenter: see :class:`recon.fitting.fit.FaceFitter`.

    Raises:
        CheckpointError: no network comes with the package for this face model.
    """

    def __init__(self, model: MorphableModel, quality: str, segmenter: FaceSegmenter | None = None) -> None:
        self._fitter = FaceFitter(model, "478", segmenter)
        self._estimator = RegressionEstimator(model, None, torch.device("cpu"), None)
        self._settings = FitSettings.hybrid(quality)

    def __call__(self, photos: Sequence[Photo], faces: Sequence[Face], focal_px: float | None = None) -> KnownPerson:
        """The person.

        A video is taken through one lens. So its focal length is found first, from the points of all key frames, and held then.

        Args:
            photos: key frames, all of one size.
            faces: the person's in each, with dense landmarks.
            focal_px: if it is known.
        """
        initial = self._estimator.initial_estimate(photos, faces)
        views = [
            View(photo.pixels, landmark_observation(face, "478")) for photo, face in zip(photos, faces, strict=True)
        ]
        if focal_px is None:
            by_points = self._fitter(views, dataclasses.replace(self._settings, levels=()), initial)
            longer_px = float(max(photos[0].pixels.shape[:2]))
            focal_px = common_focal_px(by_points.focal_px, by_points.focal_sigma, longer_px)
        found = self._fitter([dataclasses.replace(view, focal_px=focal_px) for view in views], self._settings, initial)
        parameters = found.parameters.to("cpu")
        return KnownPerson(parameters.identity, parameters.albedo, focal_px, found.principal_px[0])


def common_focal_px(focal_px: Sequence[float], focal_sigma: Sequence[float], longer_px: float) -> float:
    """The focal length of all views: what their points tell, and what lenses people have.

    Args:
        focal_px, focal_sigma: of each view by its points, and standard deviations as shares of them; nan where points do not tell.
        longer_px: longer side of the pictures.
    """
    sigma = np.array(focal_sigma)
    told = np.isfinite(sigma)
    precisions, logarithms = [_LENS_SIGMA**-2.0], [float(np.log(_LENS_SHARE * longer_px))]
    if told.any():
        weight = sigma[told] ** -2.0
        logarithms.append(float((weight * np.log(np.array(focal_px)[told])).sum() / weight.sum()))
        precisions.append(1.0 / (1.0 / float(weight.sum()) + _SHARED_SIGMA**2))
    return float(np.exp(np.average(logarithms, weights=precisions)))
