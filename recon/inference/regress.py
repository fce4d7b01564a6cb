"""A trained network applied to photos: frame the face, ask the network, bring its answer back to the photo."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import DEFAULT_DISTANCE_MM, MIN_FOCAL_SHARE, PerspectiveCamera, PosedCamera
from recon.detection.align import PX_PER_MM_AT_224, Alignment, align
from recon.detection.face import Face
from recon.io.image import Photo
from recon.lighting import rotate_lighting
from recon.networks.checkpoint import load_regressor
from recon.networks.head import FaceBlocks
from recon.networks.network_file import CheckpointError
from recon.networks.served_model import check_serves
from recon.parameters import FaceParameters

_WEIGHTS = Path(__file__).parents[1] / "networks" / "weights"
DEFAULT_CHECKPOINTS = {"open": _WEIGHTS / "lifting_open.safetensors"}
"""Checkpoints that come with the package, by face model."""


@runtime_checkable
class Network(Protocol):
    """A regressor, in torch or in onnxruntime."""

    def __call__(self, pictures: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 3 3"]) -> FaceParameters:
        """Coefficients of crops."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class ParameterSigma:
    """How sure a network is of one head.

    Attributes:
        identity, expression: ``(K,)`` standard deviations of the coefficients.
        rotation_root: ``(3, 3)`` L: the rotation vector (radians, camera frame) from the true rotation to the found one has the density
            N(0, (L^T L)^-1).
    """

    identity: Float[Tensor, " ki"]
    expression: Float[Tensor, " ke"]
    rotation_root: Float[Tensor, "3 3"]

    def turned(self, turn: Float[Tensor, "3 3"]) -> ParameterSigma:
        """The same in a camera frame that is turned: v' = turn v."""
        return dataclasses.replace(self, rotation_root=self.rotation_root @ turn.T)


@dataclasses.dataclass(frozen=True, eq=False)
class CropRegression:
    """What the network says about one face, in the camera frame of its crop.

    Attributes:
        coefficients: pose and light against the camera of the crop.
        crop: ``(1, 3, S, S)`` what the network saw, sRGB in [0, 1].
        crop_camera: of the crop, with the pose.
        alignment: between crop and photo.
        sigma: how sure it is, in the camera frame of the crop; ``None`` if it does not say.
    """

    coefficients: FaceParameters
    crop: Float[Tensor, "1 3 s s"]
    crop_camera: PosedCamera
    alignment: Alignment
    sigma: ParameterSigma | None = None

    @property
    def photo_camera(self) -> PosedCamera:
        """The camera of the full photo, with the head's pose."""
        return self.alignment.photo_camera(self.crop_camera)

    @property
    def photo_lighting(self) -> Float[Tensor, "1 9 3"]:
        """Light in the camera frame of the photo: an upright crop has turned it."""
        return rotate_lighting(self.coefficients.known_lighting, self._photo_turn)

    @property
    def photo_sigma(self) -> ParameterSigma | None:
        """How sure the network is, in the camera frame of the photo."""
        return None if self.sigma is None else self.sigma.turned(self._photo_turn[0])

    @property
    def _photo_turn(self) -> Float[Tensor, "1 3 3"]:
        return self.photo_camera.rotation @ self.crop_camera.rotation.transpose(1, 2)


class FaceRegressor:
    """A network for one face model.

    Args:
        model: the face model.
        checkpoint: ``.safetensors`` that ``train.py`` wrote, or ``.onnx`` that ``recon export-onnx`` wrote.
        device: where the network runs; ONNX files run on the CPU.

    Attributes:
        white_light: whether its network predicts white light.

    Raises:
        CheckpointError, OnnxError: no checkpoint, a damaged one, or one for another face model.
    """

    def __init__(
        self,
        model: MorphableModel,
        checkpoint: str | os.PathLike[str],
        device: torch.device | str = "cpu",
    ) -> None:
        path = Path(checkpoint)
        blocks = FaceBlocks.of(model)
        self.path, self.blocks = path, blocks
        self.network: Network
        if path.suffix.lower() == ".onnx":
            from recon.networks.onnx_export import OnnxRegressor

            network = OnnxRegressor(path)
            check_serves(path, network.blocks, blocks)
            self.network, self.size, self.device = network, network.size, torch.device("cpu")
            self.white_light = network.white_light
        else:
            regressor, _ = load_regressor(path, blocks)
            self.network, self.size = regressor.to(device), regressor.config.size
            self.device = torch.device(device)
            self.white_light = regressor.config.white_light

    @torch.no_grad()
    def __call__(self, photo: Photo, face: Face) -> CropRegression:
        """The head of a detected face; landmarks are not needed.

        Raises:
            AlignmentError: five points that no face can have.
        """
        alignment = align(face.points5, self.size, remove_roll=True)
        pixels = torch.from_numpy(alignment.crop(photo.pixels).copy()).permute(2, 0, 1)[None].float() / 255.0
        intrinsics = alignment.crop_camera(unposed_camera(photo, alignment, self.size)).intrinsics
        found = self.network(pixels.to(self.device), intrinsics.to(self.device)).to("cpu")
        return CropRegression(found, pixels, found.camera(intrinsics), alignment)


def default_checkpoint(model: str) -> Path:
    """The checkpoint that comes with the package for a face model.

    Raises:
        CheckpointError: there is none.
    """
    path = DEFAULT_CHECKPOINTS.get(model)
    if path is None or not path.is_file():
        have = ", ".join(name for name, place in DEFAULT_CHECKPOINTS.items() if place.is_file()) or "none"
        raise CheckpointError(
            f"no trained network comes with the package for the face model {model!r} (there is one for: {have}); pass "
            "checkpoint=..., or train one: python train.py fit --config configs/mobile_synthetic.yaml"
        )
    return path


def unposed_camera(photo: Photo, alignment: Alignment, size: int) -> PerspectiveCamera:
    """The photo's camera without a pose. An unknown focal length follows from a head of usual size at the default camera's distance."""
    height, width = photo.pixels.shape[:2]
    focal_px = photo.focal_px
    if focal_px is None:
        px_per_mm = PX_PER_MM_AT_224 * size / 224.0 / alignment.scale
        focal_px = max(px_per_mm * DEFAULT_DISTANCE_MM, MIN_FOCAL_SHARE * max(height, width))
    return PerspectiveCamera.at(size=(height, width), focal_px=torch.full((1, 2), float(focal_px)))
