"""How the head of a detected face is turned, whatever told it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float

from recon.detection.face import Face
from recon.reconstruction import HeadPose
from recon.rotation import turn_to_ray


@dataclasses.dataclass(frozen=True, eq=False)
class FacePose:
    """How one head is turned.

    Attributes:
        face: as it was detected.
        method: what told the pose.
        rotation_ray: ``(3, 3)`` object to camera against the ray to the head: a head that looks into the camera has yaw and pitch
            0 wherever in the photo it is.
        ray_cam: ``(3,)`` direction of that ray, length 1, camera frame.
        focal_px: focal length that the ray follows from, px of the photo.
        focal_known: the photo's file or a fit told it; otherwise the head is taken to be at the distance of a portrait.
        covariance: ``(3, 3)`` radians squared, of the rotation vector w about the camera's axes with which the true rotation is
            exp(w) ``rotation_ray``; ``None`` if the method does not say how sure it is.
    """

    face: Face
    method: str
    rotation_ray: Float[np.ndarray, "3 3"]
    ray_cam: Float[np.ndarray, " 3"]
    focal_px: float
    focal_known: bool
    covariance: Float[np.ndarray, "3 3"] | None = None

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """``(3, 3)`` object to camera, against the axis of the camera."""
        turn = turn_to_ray(torch.from_numpy(self.ray_cam)[None])[0].numpy()
        return np.asarray(turn @ self.rotation_ray)

    @property
    def pose(self) -> HeadPose:
        """Degrees, against the axis of the camera."""
        return HeadPose.of(torch.from_numpy(self.rotation))

    @property
    def pose_ray(self) -> HeadPose:
        """Degrees, against the ray to the head."""
        return HeadPose.of(torch.from_numpy(self.rotation_ray))

    @property
    def sigma_deg(self) -> Float[np.ndarray, " 3"] | None:
        """Standard deviations, degrees, of turns about the camera's axes: x (as pitch of a frontal head), y (yaw), z (roll)."""
        return None if self.covariance is None else np.degrees(np.sqrt(np.diag(self.covariance)))
