"""What a trained network adds to :class:`recon.Reconstructor`: heads of its own, and starts for fits."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PosedCamera
from recon.decoder import DecodedFaces, FaceDecoder, PointBasis
from recon.detection.face import Face
from recon.fitting.initial_estimate import InitialEstimate, InitialSigma
from recon.inference.lifting import FaceLifter
from recon.inference.light_albedo import LightAlbedoSettings, solve_light_and_albedo
from recon.inference.regress import CropRegression, FaceRegressor, ParameterSigma, default_checkpoint
from recon.io.image import Photo
from recon.networks.lifting_checkpoint import is_lifting_network
from recon.parameters import FaceParameters
from recon.segmentation.residual import ResidualSegmenter
from recon.segmentation.segmenter import FaceSegmenter, RenderedRegions, segment

SIGMA_WITH_LANDMARKS = InitialSigma(identity=0.7, expression=0.2, rotation_rad=math.radians(2.5))
"""How wrong a network that does not say so is for a fit that also has landmarks. Set on rendered photos."""
SIGMA_WITHOUT_LANDMARKS = InitialSigma(
    identity=1.0, expression=0.2, rotation_rad=math.radians(3.0), translation_mm=6.0, depth_fraction=0.08
)
"""The same where there are no landmarks. The turn is held, too: on rendered profiles hair and shadows pull it astray, and with 6 or
10 degrees the fit's poses were worse than the network's."""
WIDENING = 2.0
"""Of the deviations that a network states: it has seen the landmarks that the fit believes, too. Without it rendered heads come out
a tenth worse (1.24 for 1.13 mm), on video frames it makes no difference."""


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoRegression:
    """What the network says about one face, in the camera frame of the photo.

    Attributes:
        coefficients: pose and light in the camera frame of the photo.
        camera: of the photo, with the pose.
        landmark_error_percent: mean distance from the detected points in percent of the face's size; nan without points.
        photometric_rmse: root mean square colour difference on visible skin, sRGB code values in [0, 1].
    """

    coefficients: FaceParameters
    camera: PosedCamera
    landmark_error_percent: float
    photometric_rmse: float


class RegressionEstimator:
    """A trained network for one face model.

    Args:
        model: on the CPU.
        checkpoint: see :class:`recon.inference.regress.FaceRegressor`.
        device: of the network.
        segmenter: tells where the crop shows the face, for ``photometric_rmse``; ``None`` is a :class:`ResidualSegmenter`.

    Raises:
        CheckpointError, OnnxError: see there.
    """

    def __init__(
        self,
        model: MorphableModel,
        checkpoint: str | os.PathLike[str] | None,
        device: torch.device,
        segmenter: FaceSegmenter | None = None,
    ) -> None:
        self.regressor = open_regressor(model, checkpoint, device)
        self._decoder = FaceDecoder(model, "face")
        self._segmenter = segmenter or ResidualSegmenter()
        self._points = PointBasis(model, "478") if "478" in model.landmark_sets else None

    def __call__(self, photo: Photo, face: Face) -> PhotoRegression:
        """The head of one detected face, light and albedo as its crop shows them."""
        settings = LightAlbedoSettings(white_light=self.regressor.white_light)
        found = solve_light_and_albedo(self.regressor(photo, face), self._decoder, settings)
        camera = found.photo_camera
        coefficients = dataclasses.replace(
            found.coefficients,
            rotation=camera.rotation,
            translation_mm=camera.translation_mm,
            lighting=found.photo_lighting,
        )
        return PhotoRegression(
            coefficients, camera, self._landmark_error_percent(face, found), self._photometric_rmse(found)
        )

    def initial_estimate(self, photos: Sequence[Photo], faces: Sequence[Face]) -> InitialEstimate:
        """Where a fit of one person begins: one face in each of the photos.

        Shape is the mean of all answers. Albedo and light are left to the fit: the network is careful about both. Poses are
        those of a perspective camera, whatever the network's.
        """
        answers = [self.regressor(photo, face) for photo, face in zip(photos, faces, strict=True)]
        poses = [_perspective_pose(answer) for answer in answers]
        identity = torch.cat([answer.coefficients.identity for answer in answers]).mean(dim=0, keepdim=True)
        estimate = FaceParameters(
            identity,
            torch.cat([answer.coefficients.expression for answer in answers]),
            identity.new_zeros(1, answers[0].coefficients.albedo.shape[1]),
            torch.cat([rotation for rotation, _ in poses]),
            torch.cat([translation_mm for _, translation_mm in poses]),
            None,
        )
        focal_px = tuple(float(answer.photo_camera.focal_px[0, 0]) for answer in answers)
        everywhere = all(face.landmarks478 is not None for face in faces)
        usual = SIGMA_WITH_LANDMARKS if everywhere else SIGMA_WITHOUT_LANDMARKS
        stated = [sigma for answer in answers if (sigma := answer.photo_sigma) is not None]
        return InitialEstimate(estimate, focal_px, _initial_sigma(stated, usual) if stated else usual)

    @torch.no_grad()
    def _landmark_error_percent(self, face: Face, found: CropRegression) -> float:
        if face.landmarks478 is None or self._points is None:
            return math.nan
        answer, camera = found.coefficients, found.photo_camera
        points = self._points(answer.identity, answer.expression)
        pixels = camera.to_pixels(camera.to_camera(points))[0].double().numpy()
        distance_px = float(np.linalg.norm(pixels - face.landmarks478[:, :2], axis=1).mean())
        return 100.0 * distance_px / face.size_px

    @torch.no_grad()
    def _photometric_rmse(self, found: CropRegression) -> float:
        side = int(found.crop.shape[-1])
        faces = DecodedFaces(self._decoder, found.coefficients, found.crop_camera)
        rendered = faces.render((side, side))
        image = faces.srgb_image(rendered)
        prior = RenderedRegions.of_render(self._decoder.rendered_model, rendered)
        # Skin that the head does not cover says nothing of the head.
        mask = rendered.covered.to(image.dtype) * segment(self._segmenter, found.crop, prior)
        residual2 = (image - found.crop).square().mean(dim=1, keepdim=True)
        return float(((mask * residual2).sum() / mask.sum().clamp_min(1e-6)).sqrt())


def open_regressor(
    model: MorphableModel, checkpoint: str | os.PathLike[str] | None, device: torch.device
) -> FaceRegressor | FaceLifter:
    """The network of a file, or the one that comes with the package.

    Raises:
        CheckpointError, OnnxError: no checkpoint, a damaged one, or one for another face model.
    """
    path = Path(default_checkpoint(model.name) if checkpoint is None else checkpoint)
    if path.suffix.lower() == ".onnx":
        from recon.networks.lifting_onnx import is_lifting_onnx

        lifts = is_lifting_onnx(path)
    else:
        lifts = is_lifting_network(path)
    return FaceLifter(model, path) if lifts else FaceRegressor(model, path, device)


def _initial_sigma(stated: Sequence[ParameterSigma], usual: InitialSigma) -> InitialSigma:
    """What networks state of each photo; of the place, which they do not tell, what is usual. The shape's errors in photos of one
    person are alike, so several photos are no surer of it than one."""
    return dataclasses.replace(
        usual,
        identity=WIDENING * torch.stack([sigma.identity for sigma in stated]).square().mean(dim=0).sqrt(),
        expression=WIDENING * torch.stack([sigma.expression for sigma in stated]),
        rotation_rad=torch.stack([sigma.rotation_root for sigma in stated]) / WIDENING,
    )


def _perspective_pose(answer: CropRegression) -> tuple[Tensor, Tensor]:
    """Rotation ``(1, 3, 3)`` and translation ``(1, 3)`` in the photo, of a perspective camera."""
    camera = answer.photo_camera
    found = dataclasses.replace(
        answer.coefficients, rotation=camera.rotation, translation_mm=camera.translation_mm, lighting=None
    ).for_camera("perspective")
    return found.rotation, found.translation_mm
