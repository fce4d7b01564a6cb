"""Poses of heads that are fitted to the photo."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from recon.detection.face import Face, NoFaceError
from recon.face_pose import FacePose
from recon.io.image import Photo
from recon.reconstruction import Reconstruction
from recon.rotation import turn_to_ray


@runtime_checkable
class HeadMaker(Protocol):
    """What makes heads: a :class:`recon.reconstructor.Reconstructor`."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    def detect(self, photo: Photo) -> list[Face]:
        """Faces, the largest first."""
        ...

    def fit_face(self, photo: Photo, face: Face) -> Reconstruction:
        """The head of one of them."""
        ...


class FitPoseEstimator:
    """Poses of heads, whatever the method by which they are made.

    Args:
        reconstructor: makes the heads.
    """

    def __init__(self, reconstructor: HeadMaker) -> None:
        self._reconstructor = reconstructor

    @property
    def method(self) -> str:
        """That of the reconstructor."""
        return self._reconstructor.method

    def detect(self, photo: Photo) -> list[Face]:
        """Faces, the largest first. Raises NoFaceError: there is none."""
        found = self._reconstructor.detect(photo)
        if not found:
            raise NoFaceError(f"no face was found in {photo.source}")
        return found

    def __call__(self, photo: Photo, face: Face) -> FacePose:
        """The pose of one face."""
        camera = self._reconstructor.fit_face(photo, face).camera
        rotation = camera.rotation[0].double().numpy()
        if camera.model == "perspective":
            ray = camera.translation_mm[0].double()
            ray = ray / ray.norm()
            rotation = turn_to_ray(ray[None])[0].numpy().T @ rotation
            direction = ray.numpy()
        else:
            direction = np.array([0.0, 0.0, -1.0])  # all rays are parallel to the axis
        return FacePose(
            face, self.method, rotation, direction, float(camera.focal_px[0, 0]), photo.focal_px is not None
        )
