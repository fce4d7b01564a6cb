"""Where a protocol takes head poses from: reconstructed heads, or methods that tell a pose alone."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from recon.evaluation.predict import FaceBox, Predictor
from recon.inference.estimate_poses import PoseOptions, open_pose_estimator, pose_facts
from recon.io.faults import UsageError
from recon.io.image import Photo, read_image
from recon.networks.network_file import CheckpointError
from recon.networks.onnx_file import OnnxError
from recon.rotation import turn_to_ray


@dataclasses.dataclass(frozen=True, eq=False)
class FoundPose:
    """How one head is turned.

    Attributes:
        rotation_ray: ``(3, 3)`` against the ray to the head.
        covariance: ``(3, 3)`` radians squared, see :class:`recon.face_pose.FacePose`; ``None`` if it is not told.
        rotation_axis: ``(3, 3)`` against the camera's axis, of methods that tell the head's place themselves; ``None`` of others.
    """

    rotation_ray: Float[np.ndarray, "3 3"]
    covariance: Float[np.ndarray, "3 3"] | None = None
    rotation_axis: Float[np.ndarray, "3 3"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class PoseSource:
    """How poses are found, with what the report has to say about it.

    Attributes:
        pose: of the face nearest to the middle of a box in a photo, or of the largest without one; raises for a photo that it
            cannot do.
        method: description.
        weights: hashes.
        settings: what poses depend on, as JSON keeps them.
    """

    pose: Callable[[Photo, FaceBox | None], FoundPose]
    method: str
    weights: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def find(self, photo: Path, near: FaceBox | None = None) -> FoundPose:
        """A pose; raises whatever reading and finding raise."""
        return self.pose(read_image(photo), near)

    def facts(self) -> dict[str, Any]:
        """All that decides the poses of a photo."""
        return {"method": self.method, "weights": self.weights, **self.settings}


def poses_of_heads(predictor: Predictor) -> PoseSource:
    """The poses of reconstructed heads."""

    def pose(photo: Photo, near: FaceBox | None) -> FoundPose:
        camera = predictor.predict(photo, near).camera
        axis = ray = camera.rotation[0].double()
        if camera.model == "perspective":
            ray = turn_to_ray(camera.translation_mm[:1].double())[0].T @ axis
        return FoundPose(ray.numpy(), rotation_axis=axis.numpy())

    return PoseSource(pose, predictor.method, predictor.weights, predictor.settings)


@contextlib.contextmanager
def open_pose_source(options: PoseOptions) -> Iterator[PoseSource]:
    """The poses of a method of ``recon pose``.

    Raises:
        UsageError: options that do not work.
        DetectorUnavailable: a detector is not there.
    """
    with contextlib.ExitStack() as stack:
        try:
            estimator = stack.enter_context(open_pose_estimator(options))
            facts = pose_facts(options)
        except (CheckpointError, OnnxError) as error:
            raise UsageError(str(error)) from error

        def pose(photo: Photo, near: FaceBox | None) -> FoundPose:
            faces = estimator.detect(photo)
            if near is not None:
                middle = 0.5 * (near[:2] + near[2:])
                faces = sorted(
                    faces, key=lambda face: float(np.linalg.norm(0.5 * (face.box[:2] + face.box[2:]) - middle))
                )
            found = estimator(photo, faces[0])
            return FoundPose(found.rotation_ray, found.covariance)

        weights = "those of the package"
        if options.network is not None:
            weights = f"checkpoint {options.network.name} {str(facts['checkpoint'])[:16]}"
        yield PoseSource(pose, f"{options.method}, detector {options.detector}", weights, facts)


def turned_by(rotation_ray: Float[np.ndarray, "3 3"], translation_mm: np.ndarray | None) -> Float[np.ndarray, "3 3"]:
    """A rotation against the ray to a head as one against the axis of the camera, for a head at a known place.

    Args:
        rotation_ray: ``(3, 3)``.
        translation_mm: ``(3,)`` of the head, camera frame; ``None`` under weak perspective, where both are the same.
    """
    if translation_mm is None:
        return rotation_ray
    ray = turn_to_ray(torch.from_numpy(np.asarray(translation_mm, dtype=np.float64))[None])[0].numpy()
    return np.asarray(ray @ rotation_ray)
