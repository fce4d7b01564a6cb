"""Ways to the depth of a face that are compared with each other: our network, the fit, and the mean head in the true pose."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

import bfm
from bfm.model import MorphableModel
from recon.camera import PosedCamera
from recon.evaluation.predict import FaceBox, PredictorOptions, open_predictor
from recon.io.faults import UsageError
from recon.io.fingerprint import file_hash, model_hash
from recon.io.image import Photo
from recon.lighting import ambient
from recon.render import Mesh, Topology, render

METHODS = ("network", "fit", "mean")


@dataclasses.dataclass(frozen=True, eq=False)
class DepthCase:
    """A photo of a face whose depth is known.

    Attributes:
        photo: with its focal length.
        depth_mm: ``(H, W)`` planar depth of what is seen, nan where unknown.
        face: ``(H, W)`` the pixels that count, all of known depth.
        normals: ``(H, W, 3)`` unit normals in the camera frame, nan where unknown; None if they are not told.
        camera: with the pose of a mean head in it; None if it is not told.
        box: of the face; None for the largest of the photo.
    """

    photo: Photo
    depth_mm: Float[np.ndarray, "h w"]
    face: Bool[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"] | None = None
    camera: PosedCamera | None = None
    box: FaceBox | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class FoundDepth:
    """What a method says of a photo; nan where it says nothing.

    Attributes:
        depth_mm: ``(H, W)`` planar depth.
        normals: ``(H, W, 3)`` unit normals in the camera frame.
        sigma_mm: ``(H, W)`` stated scale of the error of depth without that of the head's distance; None if it is not told.
        distance_sigma: stated relative scale of the error of the head's distance; None likewise.
    """

    depth_mm: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    sigma_mm: Float[np.ndarray, "h w"] | None = None
    distance_sigma: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class DepthMethod:
    """One way.

    Attributes:
        name: one of :data:`METHODS`.
        find: the depth of a case; it sees the truth only if that is said of the method.
        description: for people.
        weights: hashes.
        settings: what the answer depends on, as JSON keeps it.
    """

    name: str
    find: Callable[[DepthCase], FoundDepth]
    description: str
    weights: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """All that decides the depth of a photo."""
        return {"method": self.description, "weights": self.weights, **self.settings}


@dataclasses.dataclass(frozen=True)
class DepthMethodsOptions:
    """What the command line says.

    Attributes:
        names: of :data:`METHODS`; repeated ones count once.
        network: see :func:`recon.inference.depth.depth_network_file`.
        predictor: of the fit; the detector is everybody's.

    Raises:
        UsageError: an unknown name, or none.
    """

    names: tuple[str, ...] = ("network",)
    network: str | None = None
    predictor: PredictorOptions = dataclasses.field(default_factory=PredictorOptions)

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in METHODS]
        if unknown or not self.names:
            raise UsageError(f"methods of depth are {', '.join(METHODS)}, got {', '.join(unknown) or 'none'}")


@contextlib.contextmanager
def open_depth_methods(options: DepthMethodsOptions) -> Iterator[tuple[DepthMethod, ...]]:
    """The methods.

    Raises:
        UsageError: a network or options that do not work.
        DetectorUnavailable: a detector is not there.
    """
    openers: dict[str, Callable[[], contextlib.AbstractContextManager[DepthMethod]]] = {
        "network": lambda: _network(options.network, options.predictor.detector),
        "fit": lambda: _fit(options.predictor),
        "mean": lambda: contextlib.nullcontext(mean_head(bfm.load(options.predictor.model))),
    }
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(openers[name]()) for name in dict.fromkeys(options.names))


@contextlib.contextmanager
def _network(network: str | os.PathLike[str] | None, detector_name: str) -> Iterator[DepthMethod]:
    from recon.inference.depth import DepthEstimator
    from recon.inference.landmark_detection import detector_info, faces_with_landmarks
    from recon.networks.network_file import CheckpointError
    from recon.networks.onnx_file import OnnxError

    try:
        estimator = DepthEstimator(network)
        info = detector_info(detector_name)
    except (CheckpointError, OnnxError) as error:
        raise UsageError(str(error)) from error
    checkpoint = file_hash(estimator.path)
    with info.detector as detector:

        def find(case: DepthCase) -> FoundDepth:
            faces = _nearest_first(faces_with_landmarks(case.photo, detector), case.box)
            found = estimator(case.photo, faces[0])
            sigma_mm = None
            if found.sigma_mm is not None:
                sigma_mm = np.full(case.depth_mm.shape, np.nan)
                sigma_mm[found.part] = found.sigma_mm
            return FoundDepth(found.depth_map(), found.normal_map(), sigma_mm, found.distance_sigma)

        settings = {"checkpoint": checkpoint, "detector": detector_name}
        description = f"depth network {estimator.path.name}, detector {detector_name}"
        yield DepthMethod("network", find, description, f"{estimator.path.name} {checkpoint[:16]}", settings)


@contextlib.contextmanager
def _fit(options: PredictorOptions) -> Iterator[DepthMethod]:
    with open_predictor(dataclasses.replace(options, method="fit", checkpoint=None)) as predictor:

        def find(case: DepthCase) -> FoundDepth:
            head = predictor.predict(case.photo, case.box)
            return FoundDepth(head.depth_map(), head.normal_map())

        yield DepthMethod("fit", find, predictor.method, predictor.weights, predictor.settings)


def mean_head(model: MorphableModel) -> DepthMethod:
    """The model's mean head where the truth says the head is: what is known of a face without looking at it."""
    vertices, topology = model.shape(), Topology.of(model.faces, model.n_vertices)
    light = ambient(torch.ones(1, 3))

    @torch.no_grad()
    def find(case: DepthCase) -> FoundDepth:
        if case.camera is None:
            raise ValueError("the head's true pose is not told, so the mean head has no place")
        size = case.depth_mm.shape
        mesh = Mesh.of(vertices, topology, torch.ones(1, model.n_vertices, 3))
        drawn = render(mesh, case.camera, light, (size[0], size[1]))
        covered = drawn.covered[0, 0].numpy()
        depth_mm = np.where(covered, drawn.depth_mm[0, 0].numpy(), np.nan)
        return FoundDepth(depth_mm, np.where(covered[..., None], drawn.normals[0].permute(1, 2, 0).numpy(), np.nan))

    name = f"mean head of {model.name} in the true pose"
    return DepthMethod("mean", find, name, model_hash(model), {"model": model.name})


def _nearest_first(faces: list[Any], box: FaceBox | None) -> list[Any]:
    if box is None:
        return faces
    middle = 0.5 * (box[:2] + box[2:])
    return sorted(faces, key=lambda face: float(np.linalg.norm(0.5 * (face.box[:2] + face.box[2:]) - middle)))
