"""The door to head poses: a photo in, the pose of its faces out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import bfm
from recon.detector_names import DEFAULT_DETECTOR, OPEN
from recon.face_pose import FacePose
from recon.inference.fit_pose import FitPoseEstimator
from recon.inference.head_pose import (
    METHODS,
    NETWORK_METHODS,
    LandmarkPoseEstimator,
    NetworkPoseEstimator,
    PoseEstimator,
    default_pose_network,
    open_pose_network,
)
from recon.inference.landmark_detection import detector_info
from recon.io.fingerprint import file_hash
from recon.io.image import Photo as Photo
from recon.io.image import PhotoLike, read_image
from recon.reconstructor import Reconstructor

DEFAULT_METHOD = "landmarks"


@dataclasses.dataclass(frozen=True)
class PoseOptions:
    """How poses are found.

    Attributes:
        method: one of :data:`recon.inference.head_pose.METHODS`.
        checkpoint: of a network, ``.safetensors`` or ``.onnx``; ``None`` takes the one that comes with the package.
        detector: of faces; ``landmarks`` needs ``"open"``.
        quality: of a fit, ``"fast"``, ``"default"`` or ``"best"``.

    Raises:
        ValueError: an unknown method, or options that do not go together.
        CheckpointError: a network without a checkpoint, of which none comes with the package.
    """

    method: str = DEFAULT_METHOD
    checkpoint: Path | None = None
    detector: str = DEFAULT_DETECTOR
    quality: str = "default"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown pose method {self.method!r}; known: {', '.join(METHODS)}")
        if self.method in NETWORK_METHODS and self.checkpoint is None:
            default_pose_network(self.method)
        if self.method not in NETWORK_METHODS and self.checkpoint is not None:
            raise ValueError(f"a checkpoint is for the methods {', '.join(NETWORK_METHODS)}, not for {self.method}")
        if self.method == "landmarks" and self.detector != OPEN:
            raise ValueError(
                f"the method landmarks needs the dense landmarks of the detector {OPEN}, not {self.detector}"
            )

    @property
    def network(self) -> Path | None:
        """The file of the network that tells poses; ``None`` of methods without one."""
        if self.method not in NETWORK_METHODS:
            return None
        return default_pose_network(self.method) if self.checkpoint is None else self.checkpoint


@contextlib.contextmanager
def open_pose_estimator(options: PoseOptions) -> Iterator[PoseEstimator]:
    """A method, ready for photos.

    Raises:
        CheckpointError, OnnxError: no such checkpoint, a damaged one, or one of another kind.
        DetectorUnavailable: the detector's package or networks are missing.
    """
    if options.network is not None:
        # One crop at a time is too small for threads of onnxruntime, which would wait for each other.
        network, kind = open_pose_network(options.network, options.method, threads=1)
        with detector_info(options.detector).detector as detector:
            yield NetworkPoseEstimator(network, kind, detector)
        return
    with detector_info(options.detector).detector as detector:
        if options.method == "landmarks":
            yield LandmarkPoseEstimator(bfm.load("open"), detector)
        else:
            yield FitPoseEstimator(Reconstructor(method="fit", quality=options.quality, detector=detector))


def pose_facts(options: PoseOptions) -> dict[str, Any]:
    """What decides the poses of a photo besides the code, as JSON keeps it."""
    return {
        "method": options.method,
        "checkpoint": None if options.network is None else file_hash(options.network),
        "detector": options.detector,
        "quality": options.quality if options.method == "fit" else None,
    }


def estimate_poses(
    photo: PhotoLike,
    method: str = DEFAULT_METHOD,
    faces: Literal["all", "largest"] = "largest",
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    detector: str = DEFAULT_DETECTOR,
    quality: str = "default",
) -> list[FacePose]:
    """How the heads in one photo are turned, the largest face first. For many photos open one :func:`open_pose_estimator`.

    Args:
        photo: a path, a Pillow image, a uint8 RGB array, or a :class:`recon.io.image.Photo`.
        method: ``"landmarks"``, in closed form from the dense landmarks; ``"fit"``, a head fitted to the photo; ``"sixd"``,
            ``"fsanet"`` or ``"hopenet"``, a trained network.
        faces: ``"all"`` or ``"largest"``.
        checkpoint: of a network; ``None`` takes the one that comes with the package.
        detector: a name of :data:`recon.detection.DETECTORS`.
        quality: of a fit.

    Raises:
        ValueError: an unknown method, or options that do not go together.
        CheckpointError, OnnxError: no checkpoint where none comes with the package, or one that cannot be used.
        NoFaceError: no face was found.
        ImageError, OSError: the photo cannot be read.
    """
    options = PoseOptions(method, None if checkpoint is None else Path(checkpoint), detector, quality)
    image = photo if isinstance(photo, Photo) else read_image(photo)
    with open_pose_estimator(options) as estimator:
        found = estimator.detect(image)
        return [estimator(image, face) for face in (found if faces == "all" else found[:1])]
