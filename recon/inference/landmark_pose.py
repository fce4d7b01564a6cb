"""How a head is turned, in closed form from its dense landmarks: no fit, no focal length."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from bfm.model import MorphableModel
from recon.alignment import umeyama
from recon.detection.dense_landmarks import DenseLandmarks

_STILL_MM = 10.0
"""Points that some expression moves farther than this tell more of the expression than of the head."""


class LandmarkPose:
    """The rotation of the mean head whose points lie nearest to those that were found (Umeyama 1991).

    Args:
        model: of the landmarks.
        point_sets: that faces have, in their order.

    Raises:
        KeyError: the model lacks a set.
    """

    def __init__(self, model: MorphableModel, point_sets: tuple[str, ...] = ("520", "478")) -> None:
        self.point_sets = point_sets
        with torch.no_grad():
            mean, acting = (
                torch.cat([model.landmarks(vertices, name) for name in point_sets], dim=1)
                for vertices in (model.shape(), model.shape(None, torch.eye(model.n_expression)))
            )
        self._still = ((acting - mean).norm(dim=-1).amax(dim=0) < _STILL_MM).numpy()
        self._mean_mm = mean[0].double()[self._still]

    def __call__(self, dense: DenseLandmarks) -> Float[np.ndarray, "3 3"]:
        """Object to camera, against the ray to the head, as :attr:`recon.reconstruction.Reconstruction.pose_ray`.

        Raises:
            ValueError: landmarks of other sets.
        """
        found = tuple(name for name, _ in dense.sets)
        if found != self.point_sets:
            raise ValueError(f"landmarks of the sets {', '.join(self.point_sets)} expected, got {', '.join(found)}")
        v_ray = torch.from_numpy(dense.points_px[self._still] * [1.0, -1.0, -1.0])
        return np.asarray(umeyama(self._mean_mm[None], v_ray[None])[1][0].numpy())
