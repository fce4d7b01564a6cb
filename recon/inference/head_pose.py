"""How heads in a photo are turned, by any of four methods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from bfm.model import MorphableModel
from recon.detection.detect import Detector
from recon.detection.face import Face
from recon.face_pose import FacePose
from recon.inference.landmark_detection import faces_with_landmarks
from recon.inference.landmark_pose import LandmarkPose
from recon.inference.pose_crop import focal_length_px, pose_alignment, ray_to_head
from recon.io.image import Photo
from recon.networks.folded_norms import folded_norms
from recon.networks.network_file import CheckpointError
from recon.networks.pose.build import KINDS
from recon.networks.pose.checkpoint import check_kind, load_pose_network
from recon.networks.pose.prediction import PoseFunction

NETWORK_METHODS = KINDS
METHODS = (*NETWORK_METHODS, "landmarks", "fit")
"""Names of all methods."""
DEFAULT_POSE_NETWORKS = {
    "sixd": Path(__file__).parents[1] / "networks" / "weights" / "pose_open.safetensors",
    "fsanet": Path(__file__).parents[1] / "networks" / "weights" / "fsanet_open.safetensors",
}
"""What comes with the package, by method."""


@runtime_checkable
class PoseEstimator(Protocol):
    """A method, ready for photos."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    def detect(self, photo: Photo) -> list[Face]:
        """Faces that it can work on, the largest first, at least one.

        Raises:
            NoFaceError: there is none.
        """
        ...

    def __call__(self, photo: Photo, face: Face) -> FacePose:
        """The pose of one of them."""
        ...


class NetworkPoseEstimator:
    """Poses by a trained network of :mod:`recon.networks.pose`.

    Args:
        network: in torch or onnxruntime.
        method: name of it.
        detector: entered; its dense landmarks, or five points, frame the face.
    """

    def __init__(self, network: PoseFunction, method: str, detector: Detector) -> None:
        self.method = method
        self._network, self._detector = network, detector

    def detect(self, photo: Photo) -> list[Face]:
        """Faces with landmarks. Raises NoFaceError: there is none."""
        return faces_with_landmarks(photo, self._detector)

    @torch.no_grad()
    def __call__(self, photo: Photo, face: Face) -> FacePose:
        """The pose of one face.

        Raises:
            AlignmentError: its points cannot be a face's.
        """
        alignment = pose_alignment(face, self._network.size)
        crop = torch.from_numpy(alignment.crop(photo.pixels).copy()).permute(2, 0, 1)[None].float() / 255.0
        found = self._network(crop)
        back = alignment.turn.T
        covariance = None
        if found.covariance is not None:
            covariance = back @ found.covariance[0].double().numpy() @ back.T
        focal_px, known = focal_length_px(photo, alignment)
        ray = ray_to_head(photo, face, focal_px)
        rotation = back @ found.rotation[0].double().numpy()
        return FacePose(face, self.method, rotation, ray, focal_px, known, covariance)


class LandmarkPoseEstimator:
    """Poses in closed form from dense landmarks, see :class:`recon.inference.landmark_pose.LandmarkPose`.

    Args:
        model: the face model of the landmarks.
        detector: ``"open"``, entered.
    """

    method = "landmarks"

    def __init__(self, model: MorphableModel, detector: Detector) -> None:
        self._pose, self._detector = LandmarkPose(model), detector

    def detect(self, photo: Photo) -> list[Face]:
        """Faces with landmarks. Raises NoFaceError: there is none."""
        return faces_with_landmarks(photo, self._detector)

    def __call__(self, photo: Photo, face: Face) -> FacePose:
        """The pose of one face.

        Raises:
            ValueError: it has no dense landmarks.
        """
        if face.dense is None:
            raise ValueError(f"the pose by landmarks needs dense ones; the detector {face.detector} gives none")
        focal_px, known = focal_length_px(photo, pose_alignment(face, 224))
        return FacePose(face, self.method, self._pose(face.dense), ray_to_head(photo, face, focal_px), focal_px, known)


def open_pose_network(
    checkpoint: str | os.PathLike[str], kind: str | None = None, threads: int = 0
) -> tuple[PoseFunction, str]:
    """A pose network from a ``.safetensors`` or an ``.onnx`` file, and its kind.

    Args:
        checkpoint: the file.
        kind: one of :data:`NETWORK_METHODS` that it must be; ``None`` takes any.
        threads: of onnxruntime; 0 leaves it to it.

    Raises:
        CheckpointError, OnnxError: no such file, a damaged one, or one of another kind.
    """
    path = Path(checkpoint)
    if path.suffix.lower() == ".onnx":
        from recon.networks.pose.onnx import OnnxPoseNetwork

        exported = OnnxPoseNetwork(path, threads)
        if kind is not None:
            check_kind(path, exported.config, kind)
        return exported, exported.config.kind
    network, _ = load_pose_network(path, kind)
    return folded_norms(network, torch.zeros(1, 3, network.size, network.size)), network.config.kind


def default_pose_network(method: str) -> Path:
    """The network of a method that comes with the package.

    Args:
        method: one of :data:`NETWORK_METHODS`.

    Raises:
        CheckpointError: none comes with it.
    """
    path = DEFAULT_POSE_NETWORKS.get(method)
    if path is None or not path.is_file():
        raise CheckpointError(
            f"the method {method} needs the weights of a trained network, and none comes with the package: train one with "
            f"python train.py fit --config configs/pose/{method}.yaml and name it with --checkpoint RUN/best.safetensors, or use "
            "--method landmarks, which needs none"
        )
    return path
