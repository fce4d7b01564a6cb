"""The lifting network applied to photos: a face's landmarks to its head."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.landmarks import five_points_of_68
from bfm.model import MorphableModel
from recon.detection.align import Alignment, align
from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face
from recon.inference.landmarks import LandmarkRegressor
from recon.inference.regress import CropRegression, ParameterSigma, unposed_camera
from recon.io.image import Photo
from recon.networks.head import FaceBlocks, soft_front_light
from recon.networks.landmark_checkpoint import landmark_fingerprint
from recon.networks.landmark_network import LandmarkPrediction
from recon.networks.lifting_checkpoint import check_lifted_landmarks, load_lifting_network
from recon.networks.lifting_network import NOMINAL_SIZE, LiftedFaces, LiftingNetworkConfig
from recon.networks.served_model import check_serves
from recon.rotation import turn_to_ray

_CROP_PX = 128
"""Side of the crop on which light and albedo are solved afterwards."""
_LEAST_SURE = 1e-4
"""Bound of probabilities of visibility, and of one less them."""


@runtime_checkable
class LiftingFunction(Protocol):
    """A lifting network, in torch or in onnxruntime."""

    config: LiftingNetworkConfig

    def __call__(self, landmarks: LandmarkPrediction, intrinsics: Float[Tensor, "b 3 3"]) -> LiftedFaces:
        """The heads of faces in their standard crops."""
        ...


class FaceLifter:
    """A lifting network for one face model; called like :class:`recon.inference.regress.FaceRegressor`.

    Args:
        model: the face model.
        checkpoint: ``.safetensors`` that ``train.py`` wrote, or ``.onnx`` that ``recon export-onnx`` wrote.

    Attributes:
        path: of the checkpoint.
        white_light: False: light is solved afterwards, a colour channel for itself.

    Raises:
        CheckpointError, OnnxError: no checkpoint, a damaged one, or one for another face model or other landmarks.
    """

    white_light = False

    def __init__(self, model: MorphableModel, checkpoint: str | os.PathLike[str]) -> None:
        self.path = Path(checkpoint)
        blocks = FaceBlocks.of(model)
        self._network: LiftingFunction
        landmarks: str | None
        if self.path.suffix.lower() == ".onnx":
            from recon.networks.lifting_onnx import OnnxLiftingNetwork

            exported = OnnxLiftingNetwork(self.path)
            check_serves(self.path, exported.face_blocks, blocks)
            self._network, landmarks = exported, exported.fingerprint
        else:
            self._network, header = load_lifting_network(self.path, blocks)
            landmarks = header.get("landmarks")
        wanted = landmark_fingerprint(model, self._network.config.point_sets)
        check_lifted_landmarks(self.path, landmarks, wanted)
        self._model, self._n_albedo = model, model.n_albedo
        self._landmarks: LandmarkRegressor | None = None

    @torch.no_grad()
    def __call__(self, photo: Photo, face: Face) -> CropRegression:
        """The head of a detected face. Dense landmarks of other detectors than ``"open"`` are found anew.

        Raises:
            AlignmentError: five points that no face can have.
        """
        dense = self._dense(photo, face)
        points5 = five_points_of_68(dense.subset("68").points_px[:, :2])
        framing = align(points5, NOMINAL_SIZE, remove_roll=True)
        camera = unposed_camera(photo, framing, NOMINAL_SIZE)
        lifted = self._network(landmarks_in_crop(dense, framing), framing.crop_camera(camera).intrinsics)
        # Heads are in mm, so they fit crops of any size.
        alignment = align(points5, _CROP_PX, remove_roll=True)
        pixels = torch.from_numpy(alignment.crop(photo.pixels).copy()).permute(2, 0, 1)[None].float() / 255.0
        parameters = dataclasses.replace(lifted.parameters(self._n_albedo), lighting=soft_front_light()[None])
        posed = parameters.camera(alignment.crop_camera(camera).intrinsics)
        return CropRegression(parameters, pixels, posed, alignment, _sigma(lifted))

    def _dense(self, photo: Photo, face: Face) -> DenseLandmarks:
        wanted = self._network.config.point_sets
        if face.dense is not None and tuple(name for name, _ in face.dense.sets) == wanted:
            return face.dense
        if self._landmarks is None:
            self._landmarks = LandmarkRegressor(model=self._model)
        return self._landmarks(photo.pixels, face.points5)


def landmarks_in_crop(dense: DenseLandmarks, framing: Alignment) -> LandmarkPrediction:
    """A face's landmarks as the landmark network would have them in a crop.

    Args:
        dense: in pixels of the photo.
        framing: the crop.
    """
    per_px = framing.scale / framing.size
    plane = framing.crop_points(dense.points_px[:, :2]) / framing.size - 0.5
    visible = dense.visible.clip(_LEAST_SURE, 1.0 - _LEAST_SURE)

    def batch(values: Float[np.ndarray, "*n"]) -> Tensor:
        return torch.from_numpy(values).float()[None]

    return LandmarkPrediction(
        points=batch(np.column_stack([plane, per_px * dense.points_px[:, 2]])),
        log_sigma=batch(np.log(per_px * dense.sigma_px)),
        log_sigma_depth=batch(np.log(per_px * dense.sigma_depth_px)),
        visible=batch(np.log(visible / (1.0 - visible))),
    )


def _sigma(lifted: LiftedFaces) -> ParameterSigma:
    """Of the one face of a batch; the rotation's error turned from the ray's frame into the camera's."""
    ray = turn_to_ray(lifted.translation_mm)
    return ParameterSigma(
        lifted.log_sigma_identity[0].exp(),
        lifted.log_sigma_expression[0].exp(),
        (lifted.rotation_root @ ray.transpose(1, 2))[0],
    )
