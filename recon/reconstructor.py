"""The front door: photos in, heads out."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch

import bfm
from bfm.model import MorphableModel
from recon.camera import CAMERAS, CameraModel, PosedCamera
from recon.detection.align import AlignmentError
from recon.detection.detect import Detector, open_detector, smallest_face_px
from recon.detection.face import Face
from recon.detection.face import NoFaceError as NoFaceError
from recon.detector_names import DEFAULT_DETECTOR
from recon.fitting import FaceFitter, FitResult, FitSettings, InitialEstimate, View
from recon.inference.estimator import PhotoRegression, RegressionEstimator
from recon.inference.landmark_observation import landmark_observation
from recon.io.image import Photo, read_image
from recon.io.image import PhotoLike as PhotoLike
from recon.io.measured_depth import MeasuredDepth, MeasuredDepthError
from recon.lighting import ambient
from recon.networks.network_file import CheckpointError
from recon.reconstruction import FitReport, Reconstruction
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.numpy_parser import FaceParser, segmenter_of_parser
from recon.segmentation.residual import ResidualSegmenter
from recon.segmentation.segmenter import FaceSegmenter

METHODS = ("fit", "regress", "hybrid")
"""How a :class:`Reconstructor` finds a head."""

_SMALL_FACE_PX = 64.0
_HALF_FACE_HIDDEN_YAW_DEG = 75.0
"""Yaw from which a head's far half is so hidden that users are told; it says nothing of what detectors find."""
_LARGE_LANDMARK_ERROR_PERCENT = 5.0
_UNSURE_POINTS_SHARE = 0.03
"""Median standard deviation of a face's points, as a share of its size, from which users are told. It is 0.015 for usual faces, 0.028
for one of 24 px, and 0.035 to 0.06 for one whose lower, upper, left or right half is covered or beyond the border."""


class Reconstructor:
    """Turns photos into heads.

    Args:
        model: a model's name, see ``recon models``, or a model.
        method: ``"fit"``, analysis by synthesis; ``"regress"``, one look by a trained network; ``"hybrid"``, a shorter fit
            that starts from the network's answer and stays near it. A face without dense landmarks is
            fitted from the network's answer by both ``"fit"`` and ``"hybrid"``.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU, if there is one, for ``"regress"``; the CPU for fits, which are
            faster there.
        quality: ``"fast"``, ``"default"`` or ``"best"``.
        detector: a name of :data:`recon.detection.DETECTORS` or a detector that was entered by ``with``. Only ``"open"`` knows its
            own errors, finds full profiles and tells how far a head is.
        checkpoint: of the network, ``.safetensors`` or ``.onnx``; ``None`` takes the one that comes with the package.
        face_parser: the old form of ``segmenter``, removed in version 0.2.
        segmenter: tells visible skin from hair, hands and glasses; a face-parsing network fits in here. ``None`` takes a
            :class:`recon.segmentation.grabcut.GrabCutSegmenter` for fit and texture, and a
            :class:`recon.segmentation.residual.ResidualSegmenter` for how well a network's answer explains the photo.
        camera, white_light: of fits, see :class:`recon.fitting.settings.FitSettings`. A network has its own.

    Raises:
        ValueError: an unknown method, quality, camera or device, a model without the 478 landmarks, a checkpoint that is missing,
            damaged or made for another face model, or one that the method does not use; a camera or white light for
            ``"regress"``; a segmenter and a face parser.
    """

    def __init__(
        self,
        model: str | MorphableModel = "open",
        method: str = "fit",
        device: str = "auto",
        quality: str = "default",
        detector: str | Detector = DEFAULT_DETECTOR,
        checkpoint: str | os.PathLike[str] | None = None,
        face_parser: FaceParser | None = None,
        *,
        segmenter: FaceSegmenter | None = None,
        camera: CameraModel = "perspective",
        white_light: bool = False,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
        if checkpoint is not None and method == "fit":
            raise ValueError(
                "method 'fit' takes no checkpoint (where it needs a network it takes the one of the package): leave it out, or choose regress or hybrid"
            )
        if method == "regress" and (camera != "perspective" or white_light):
            raise ValueError(
                "method 'regress' has the camera and the light that its network was trained with: leave out camera and "
                "white_light, or choose fit or hybrid"
            )
        self.method = method
        self.checkpoint = checkpoint
        self.settings, self._hybrid_settings = (
            dataclasses.replace(make(quality), camera=camera, white_light=white_light)
            for make in (FitSettings.of, FitSettings.hybrid)
        )
        self.device = choose_device(device, method)
        self._detector = detector
        if face_parser is not None and segmenter is not None:
            raise ValueError("segmenter and face_parser are two forms of one thing: leave out face_parser")
        # The old form never had a say in how good a network's answer is.
        self._rmse_segmenter = segmenter or ResidualSegmenter()
        if face_parser is not None:
            segmenter = segmenter_of_parser(face_parser)
        self._segmenter = segmenter or GrabCutSegmenter()
        loaded = bfm.load(model) if isinstance(model, str) else model
        if method != "regress" and "478" not in loaded.landmark_sets:
            raise ValueError(
                f"model {loaded.name!r} has no '478' landmark set, which fitting needs; "
                "recon.landmark_transfer.transfer.transfer_landmarks makes one"
            )
        self.model = loaded.to("cpu")
        self._device_model = (
            self.model if self.device.type == "cpu" else bfm.MorphableModel(loaded.data()).to(self.device)
        )
        self._network: RegressionEstimator | None = None
        if method != "fit":
            self._network = RegressionEstimator(self.model, checkpoint, self.device, self._rmse_segmenter)

    def __call__(self, photos: PhotoLike | Sequence[PhotoLike]) -> list[Reconstruction]:
        """Heads of all faces in one photo, or of the largest face in each of several photos.

        Raises:
            NoFaceError: a photo without a face.
            ImageError, OSError: a photo that cannot be read.
        """
        if isinstance(photos, list | tuple):
            return [self.reconstruct(photo, faces="largest")[0] for photo in photos]
        return self.reconstruct(photos)  # type: ignore[arg-type]

    def reconstruct(self, photo: PhotoLike, faces: Literal["all", "largest"] = "all") -> list[Reconstruction]:
        """Heads of the faces in one photo, the largest first.

        Raises:
            NoFaceError: no face was found.
            ImageError, OSError: the photo cannot be read.
        """
        image = photo if isinstance(photo, Photo) else read_image(photo)
        found = self.detect(image)
        if faces == "largest":
            found = found[:1]
        return [self.fit_face(image, face) for face in found]

    def same_person(self, photos: Iterable[PhotoLike]) -> list[Reconstruction]:
        """One head from several photos of one person: identity and albedo are shared, the rest is each photo's own.

        The largest face of each photo is taken.

        Raises:
            NoFaceError: a photo without a face.
            ValueError: the method is ``"regress"``.
        """
        if self.method == "regress":
            raise ValueError("several photos of one person need method 'fit' or 'hybrid', this is 'regress'")
        images = [photo if isinstance(photo, Photo) else read_image(photo) for photo in photos]
        return self.fit_person(images, [self.detect(image)[0] for image in images])

    def fit_person(self, photos: Sequence[Photo], faces: Sequence[Face]) -> list[Reconstruction]:
        """:meth:`same_person` for faces that were detected before, one in each photo.

        Raises:
            NoFaceError: a network is to look at a face, and its five points cannot be a face's.
            ValueError: the method is ``"regress"``.
        """
        if self.method == "regress":
            raise ValueError("several photos of one person need method 'fit' or 'hybrid', this is 'regress'")
        return self._fitted(list(photos), list(faces))

    @property
    def segmenter(self) -> FaceSegmenter:
        """Of fit and texture."""
        return self._segmenter

    @property
    def detector_name(self) -> str:
        """Of the detector, or its class if it was given one."""
        return self._detector if isinstance(self._detector, str) else type(self._detector).__name__

    def detect(self, photo: Photo) -> list[Face]:
        """Faces that the method can use, the largest first.

        Raises:
            NoFaceError: none was found, or the only ones have no dense landmarks and no network is there to start from.
        """
        smallest = smallest_face_px(photo.pixels)
        if isinstance(self._detector, str):
            with open_detector(self._detector) as detector:
                found = detector.detect(photo.pixels, smallest)
        else:
            found = self._detector.detect(photo.pixels, smallest)
        if not found:
            raise NoFaceError(f"no face was found in {photo.source}")
        marked = [face for face in found if face.landmarks478 is not None]
        if len(marked) == len(found):
            return found
        try:
            self._starting_network()
        except CheckpointError as error:
            if marked:
                return marked
            raise NoFaceError(
                f"a face was found in {photo.source}, but no landmarks on it, and "
                f"without them fitting must start from a network: {error}"
            ) from error
        return found

    def fit_face(self, photo: Photo, face: Face) -> Reconstruction:
        """The head of one detected face.

        Raises:
            NoFaceError: a network is to look at the face, and its five points cannot be a face's.
        """
        if self.method != "regress":
            return self._fitted([photo], [face])[0]
        assert self._network is not None, "made with the method"
        try:
            return self._from_regression(photo, face, self._network(photo, face))
        except AlignmentError as error:
            raise NoFaceError(f"what was found in {photo.source} seems to be no face: {error}") from error

    def _fitted(self, photos: list[Photo], faces: list[Face]) -> list[Reconstruction]:
        marked = all(face.landmarks478 is not None for face in faces)
        initial: InitialEstimate | None = None
        if self.method == "hybrid" or not marked:
            try:
                initial = self._starting_network().initial_estimate(photos, faces)
            except AlignmentError as error:
                names = ", ".join(photo.source for photo in photos)
                raise NoFaceError(f"what was found in {names} seems to be no face: {error}") from error
        result = self._fitter(
            [_view(photo, face, self.settings.camera) for photo, face in zip(photos, faces, strict=True)],
            # Without landmarks the head has farther to go.
            self._hybrid_settings if self.method == "hybrid" and marked else self.settings,
            initial,
        )
        return [self._result(p, f, result, k) for k, (p, f) in enumerate(zip(photos, faces, strict=True))]

    @functools.cached_property
    def _fitter(self) -> FaceFitter:
        return FaceFitter(self._device_model, "478", self._segmenter)

    def _starting_network(self) -> RegressionEstimator:
        """Made when the first face without landmarks asks for it, if the method has none of its own.

        Raises:
            CheckpointError: no network comes with the package for this face model.
        """
        if self._network is None:
            self._network = RegressionEstimator(self.model, None, self.device, self._rmse_segmenter)
        return self._network

    def _from_regression(self, photo: Photo, face: Face, found: PhotoRegression) -> Reconstruction:
        error_percent = found.landmark_error_percent
        return Reconstruction(
            model=self.model,
            photo=photo,
            face=face,
            identity=found.coefficients.identity,
            expression=found.coefficients.expression,
            albedo_coefficients=found.coefficients.albedo,
            lighting=found.coefficients.known_lighting,
            camera=found.camera,
            segmenter=self._segmenter,
            fit_report=FitReport(
                error_percent, found.photometric_rmse, _warnings(photo, face, found.camera, error_percent)
            ),
        )

    def _result(self, photo: Photo, face: Face, result: FitResult, index: int) -> Reconstruction:
        own = result.parameters.to("cpu").select(slice(index, index + 1))
        camera = CAMERAS[own.camera_model](
            own.rotation,
            own.translation_mm,
            torch.full((1, 2), result.focal_px[index]),
            torch.tensor([result.principal_px[index]]),
        )
        error_percent = 100.0 * result.reprojection_error_px[index] / face.size_px
        warnings = _warnings(
            *(photo, face, camera, error_percent, result.distance_sigma[index], result.depth_error_mm[index])
        )
        _, left_aside = usable_depth(photo, face, own.camera_model)
        if left_aside:
            warnings = (*warnings, left_aside)
        return Reconstruction(
            model=self.model,
            photo=photo,
            face=face,
            identity=own.identity,
            expression=own.expression,
            albedo_coefficients=own.albedo,
            # A fit to landmarks alone knows no light.
            lighting=ambient(torch.ones(1, 3)) if own.lighting is None else own.lighting,
            camera=camera,
            segmenter=self._segmenter,
            fit_report=FitReport(
                error_percent,
                result.photometric_rmse[index],
                warnings,
                result.distance_sigma[index],
                result.focal_sigma[index],
                result.depth_error_mm[index],
            ),
        )


def _view(photo: Photo, face: Face, camera: CameraModel) -> View:
    depth, _ = usable_depth(photo, face, camera)
    return View(photo.pixels, landmark_observation(face, "478"), photo.focal_px, depth)


def usable_depth(photo: Photo, face: Face, camera: CameraModel = "perspective") -> tuple[MeasuredDepth | None, str]:
    """The photo's measured depth if a fit of the face can use it, or why it cannot; ``(None, "")`` if there is none."""
    depth = photo.measured_depth
    if depth is None:
        return None, ""
    if camera != "perspective":
        return None, "measured depth was left aside: the camera of this fit has no distances"
    if not depth.metric:
        return None, "measured depth was left aside: it tells what is nearer, not how far"
    left, top, right, bottom = (float(value) for value in face.box)
    try:
        depth.check_face((left, top, right, bottom), (photo.pixels.shape[0], photo.pixels.shape[1]))
    except MeasuredDepthError as error:
        return None, f"measured depth was left aside: {error}"
    return depth, ""


def _warnings(
    photo: Photo,
    face: Face,
    camera: PosedCamera,
    error_percent: float,
    distance_sigma: float = math.nan,
    depth_error_mm: float = math.nan,
) -> tuple[str, ...]:
    from recon.rotation import matrix_to_euler

    found: list[str] = []
    if face.size_px < _SMALL_FACE_PX:
        found.append(f"the face is only {face.size_px:.0f} px large; expect little likeness")
    yaw_deg = float(torch.rad2deg(matrix_to_euler(camera.rotation[0]))[1])
    if abs(yaw_deg) > _HALF_FACE_HIDDEN_YAW_DEG:
        found.append(f"the head is turned by {yaw_deg:.0f} degrees; half of the face is a guess")
    if face.landmarks478 is None:
        found.append("no dense landmarks were found; pose and shape start from a network and may be off")
    if error_percent > _LARGE_LANDMARK_ERROR_PERCENT:
        found.append(f"the head misses the detected points by {error_percent:.1f} % of the face's size")
    if face.dense is not None:
        unsure_share = float(np.median(face.dense.sigma_px)) / face.size_px
        if unsure_share > _UNSURE_POINTS_SHARE:
            found.append(
                f"the points of the face are known to {100.0 * unsure_share:.1f} % of its size only, as where it is covered, "
                "beyond the border or blurred; pose, shape and expression may be far off"
            )
    if face.rotation_deg:
        found.append(f"the photo seems to lie on its side or head: the face is turned by {face.rotation_deg} degrees")
    if photo.focal_px is None and math.isnan(depth_error_mm):
        known = f"known to {100.0 * distance_sigma:.0f} %" if math.isfinite(distance_sigma) else "assumed"
        found.append(f"the focal length is not known; the distance and the depth of the face are {known}")
    return tuple(found)


def choose_device(name: str, method: str) -> torch.device:
    """The device of a name, which may be ``"auto"``, for a method.

    Raises:
        ValueError: no such device, or no CUDA here.
    """
    if name == "auto":
        # A fit is thousands of small steps, whose start on a GPU takes longer than the step on a CPU.
        return torch.device("cuda" if method == "regress" and torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") and not name.startswith("cuda:"):
        raise ValueError(f"device must be auto, cpu or cuda, got {name!r}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch finds no CUDA device")
    return torch.device(name)
