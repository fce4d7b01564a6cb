"""The methods of :class:`recon.Reconstructor` that use a trained network."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np
import torch

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.coefficients import Coefficients
from recon.decoder import DecodedFaces
from recon.faces.face import Face
from recon.faces.image import Photo
from recon.networks.occlusion import ResidualOcclusion
from recon.refinement import RefinementSettings, Refiner
from recon.regression import FaceRegressor, RegressedFace
from recon.relight import relight


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkFace:
    """One face in the photo's own camera.

    Attributes:
        coefficients: pose and light in the camera frame of the photo.
        camera: of the photo, with the pose.
        gap_percent: mean distance from the detected points in percent of the face's size; nan without points.
        residual: root mean square colour difference on the face, sRGB code values in [0, 1].
    """

    coefficients: Coefficients
    camera: PerspectiveCamera
    gap_percent: float
    residual: float


class NetworkMethod:
    """``regress`` or ``hybrid`` for one face model.

    Args:
        model: on the CPU.
        method: ``"regress"`` or ``"hybrid"``.
        quality: how long ``hybrid`` refines.
        checkpoint: see :class:`recon.regression.FaceRegressor`.
        device: of the network.

    Raises:
        CheckpointError, OnnxError: see there.
    """

    def __init__(
        self,
        model: MorphableModel,
        method: str,
        quality: str,
        checkpoint: str | os.PathLike[str] | None,
        device: torch.device,
    ) -> None:
        self.regressor = FaceRegressor(model, checkpoint, device)
        self._settings = RefinementSettings.of(quality)
        self._has_points = "478" in model.landmark_sets
        self._refiner = Refiner(model, "478" if self._has_points else "68")
        self._hybrid = method == "hybrid"

    def __call__(self, photo: Photo, face: Face) -> NetworkFace:
        """The head of one detected face."""
        found = relight(self.regressor(photo, face), self._refiner.decoder)
        if self._hybrid:
            assert face.landmarks478 is not None, "detect() leaves out faces without landmarks"
            points = found.alignment.crop_points(np.asarray(face.landmarks478[:, :2], dtype=np.float64))
            found = self._refiner(found, torch.from_numpy(points).float()[None], self._settings)
            # Again, because the face now lies elsewhere and the refinement has drawn the paint to the mean.
            found = relight(found, self._refiner.decoder)
        camera = found.photo_camera
        coefficients = dataclasses.replace(
            found.coefficients,
            rotation=camera.rotation,
            translation_mm=camera.translation_mm,
            lighting=found.photo_lighting,
        )
        return NetworkFace(coefficients, camera, self._gap_percent(face, found), self._residual(found))

    @torch.no_grad()
    def _gap_percent(self, face: Face, found: RegressedFace) -> float:
        if face.landmarks478 is None or not self._has_points:
            return math.nan
        answer, camera = found.coefficients, found.photo_camera
        points = self._refiner.points(answer.identity, answer.expression)
        pixels = camera.to_pixels(camera.to_camera(points))[0].double().numpy()
        gap_px = float(np.linalg.norm(pixels - face.landmarks478[:, :2], axis=1).mean())
        return 100.0 * gap_px / face.size_px

    @torch.no_grad()
    def _residual(self, found: RegressedFace) -> float:
        side = int(found.crop.shape[-1])
        faces = DecodedFaces(self._refiner.decoder, found.coefficients, found.crop_camera)
        drawn = faces.drawn((side, side))
        picture = faces.picture(drawn)
        mask = ResidualOcclusion()(found.crop, picture, drawn.covered.to(picture.dtype))
        gap2 = (picture - found.crop).square().mean(dim=1, keepdim=True)
        return float(((mask * gap2).sum() / mask.sum().clamp_min(1e-6)).sqrt())
