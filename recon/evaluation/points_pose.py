"""How a head is turned by 68 points in the picture alone: the rigid fit of the mean head, a truth for photos without another."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from bfm.model import MorphableModel
from recon.alignment import scaled_orthography

_JAW = 17
"""The first points are the contour of the jaw as it is seen, which is no fixed place of a turned head."""
_STILL_MM = 10.0
"""Points that some expression moves farther tell more of the expression than of the head."""
_ROBUST_SHARE = 0.03
"""Gap in shares of the face's size from which on a point counts less."""


class PointsPose:
    """The rotation of the mean head whose still points are seen nearest to those of a picture, under weak perspective.

    It is against the ray to the head, as weak perspective has only one direction of rays. People's shapes differ from the mean head, so it
    is no exact truth: on drawn people it is off by some degrees in pitch, for one person by about the same in all pictures.

    Args:
        model: with the set ``68``.
    """

    def __init__(self, model: MorphableModel) -> None:
        with torch.no_grad():
            mean = model.landmarks68(model.shape())
            acting = model.landmarks68(model.shape(None, torch.eye(model.n_expression)))
        still = (acting - mean).norm(dim=-1).amax(dim=0) < _STILL_MM
        still[:_JAW] = False
        self._still = still.numpy()
        self._mean_mm = mean[0][still].double().numpy()

    @property
    def n_points(self) -> int:
        """Points that are used."""
        return int(self._still.sum())

    def __call__(self, points68_px: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "3 3"]:
        """Object to camera.

        Args:
            points68_px: ``(68, 2)``, y down.

        Raises:
            ValueError: points in one spot.
        """
        seen = np.asarray(points68_px, dtype=np.float64)[self._still] * [1.0, -1.0]
        seen = seen - seen.mean(axis=0)
        size = float(np.sqrt(np.square(seen).sum(axis=1).mean()))
        if not size > 1e-6:
            raise ValueError("68 points in one spot show no head")
        mean = self._mean_mm - self._mean_mm.mean(axis=0)
        rows, _ = scaled_orthography(torch.from_numpy(mean), torch.from_numpy(seen)[None])
        u, _, vt = np.linalg.svd(rows[0].numpy(), full_matrices=False)
        first = u @ vt
        start = Rotation.from_matrix(np.vstack((first, np.cross(first[0], first[1]))))

        def gaps(unknown: np.ndarray) -> np.ndarray:
            turned = (Rotation.from_rotvec(unknown[:3]) * start).as_matrix()[:2]
            return np.asarray((np.exp(unknown[3]) * mean @ turned.T + unknown[4:] - seen / size).ravel())

        scale = np.linalg.norm(rows[0].numpy(), axis=1).mean() / size
        unknown = np.array([0.0, 0.0, 0.0, np.log(scale), 0.0, 0.0])
        found = least_squares(gaps, unknown, loss="soft_l1", f_scale=_ROBUST_SHARE).x
        return np.asarray((Rotation.from_rotvec(found[:3]) * start).as_matrix())
