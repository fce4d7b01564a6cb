"""A depth network applied to photos: frame the face, ask the network, bring its answer back to the pixels of the photo."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.camera import MIN_FOCAL_SHARE, PORTRAIT_DISTANCE_MM, PerspectiveCamera
from recon.depth.crop_view import CropView
from recon.depth.geometry import depth_points, point_normals
from recon.detection.align import PX_PER_MM_AT_224, align
from recon.detection.detect import Detector
from recon.detection.face import Face
from recon.detector_names import DEFAULT_DETECTOR
from recon.inference.landmark_detection import detect_landmarks
from recon.io.image import Photo, PhotoLike, read_image
from recon.io.resample import resample
from recon.networks.depth.checkpoint import load_depth_network
from recon.networks.depth.crop_depth import CLASSES, FRAME, CropDepthConfig, CropDepthPrediction
from recon.networks.depth.map_depth import MapDepthNetwork
from recon.networks.network_file import CheckpointError

DEPTH_NETWORKS: dict[str, Path] = {
    "open": Path(__file__).parents[1] / "networks" / "weights" / "depth_open.safetensors",
}
"""Networks that are asked for by name, where they lie if this version comes with them."""
DEFAULT_DEPTH_NETWORK = "open"
FocalSource = Literal["given", "EXIF", "assumed"]
_BACKGROUND = CLASSES.index("background")
_STRIP_PIXELS = 1 << 18
_FINER = 1.25
"""The picture that the crop is read from has so many pixels a pixel of the crop at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceDepth:
    """The depth of one face in a photo, over the part of the photo that the network saw.

    Attributes:
        photo: the photo.
        face: the face in it.
        camera: of the photo; its pose is that of the camera itself.
        focal_source: where its focal length comes from.
        corner_px: x and y of the part's upper left pixel.
        depth_mm: ``(h, w)`` planar depth, nan where no head, hair or clothes are seen.
        normals: ``(h, w, 3)`` unit vectors in the camera frame, nan where they are not known.
        sigma_mm: ``(h, w)`` scale of the relief's error, without that of the head's distance; None if the network tells none.
        classes: ``(h, w)`` indices into :data:`recon.networks.depth.crop_depth.CLASSES`; None if the network tells none.
        distance_sigma: relative scale of the error of the head's distance for the camera's focal length; None likewise.
    """

    photo: Photo
    face: Face
    camera: PerspectiveCamera
    focal_source: FocalSource
    corner_px: tuple[int, int]
    depth_mm: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    sigma_mm: Float[np.ndarray, "h w"] | None = None
    classes: Int[np.ndarray, "h w"] | None = None
    distance_sigma: float | None = None

    @property
    def part(self) -> tuple[slice, slice]:
        """Rows and columns of the photo that the maps cover."""
        x, y = self.corner_px
        height, width = self.depth_mm.shape
        return slice(y, y + height), slice(x, x + width)

    def depth_map(self) -> Float[np.ndarray, "h w"]:
        """Depth at the photo's size; nan elsewhere."""
        whole = np.full(self.photo.pixels.shape[:2], np.nan, dtype=np.float32)
        whole[self.part] = self.depth_mm
        return whole

    def normal_map(self) -> Float[np.ndarray, "h w 3"]:
        """Normals at the photo's size; nan elsewhere."""
        whole = np.full(self.photo.pixels.shape, np.nan, dtype=np.float32)
        whole[self.part] = self.normals
        return whole

    def points(self) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """Camera frame, mm, of each pixel with depth, and the colours there, sRGB in [0, 1]."""
        seen = np.isfinite(self.depth_mm)
        rows, columns = np.nonzero(seen)
        pixels = np.stack((columns, rows), axis=1) + np.array(self.corner_px) + 0.5
        depth_mm = torch.from_numpy(self.depth_mm[seen].astype(np.float64))
        points = self.camera.to(torch.float64).unproject(torch.from_numpy(pixels)[None], depth_mm[None])[0]
        return points.numpy(), self.photo.pixels[self.part][seen] / 255.0


@runtime_checkable
class CropDepthFunction(Protocol):
    """Our depth network, in torch or in onnxruntime."""

    config: CropDepthConfig

    def __call__(self, crops: Float[Tensor, "b 3 h w"]) -> CropDepthPrediction:
        """Depth of crops."""
        ...


def depth_network_file(network: str | os.PathLike[str] | None) -> Path:
    """The file of a depth network.

    Args:
        network: one of :data:`DEPTH_NETWORKS`, a file, or ``None`` for the one that comes with the package.

    Raises:
        CheckpointError: it is not there.
    """
    wanted = DEFAULT_DEPTH_NETWORK if network is None else os.fspath(network)
    if wanted not in DEPTH_NETWORKS:
        place = Path(wanted)
        if not place.is_file() and not place.suffix:
            raise CheckpointError(
                f"no checkpoint at {place}, and no depth network of this name; known: {', '.join(DEPTH_NETWORKS)}"
            )
        return place
    named = DEPTH_NETWORKS[wanted]
    if not named.is_file():
        raise CheckpointError(
            f"{named.name} is not among the weights of this version: train a depth network with python train.py fit --config "
            "configs/depth/facerecon_depth.yaml (docs/depth.md) and give its best.safetensors (--network on the command line, "
            "network in Python)"
        )
    return named


class DepthEstimator:
    """Depth of faces whose five points are known.

    Args:
        network: a name of :data:`DEPTH_NETWORKS`, ``.safetensors`` that ``train.py`` wrote, or ``.onnx`` that
            ``recon export-onnx`` wrote; ``None`` takes the one that comes with the package.

    Attributes:
        path: of the checkpoint.

    Raises:
        CheckpointError, OnnxError: no checkpoint, or a damaged one.
    """

    def __init__(self, network: str | os.PathLike[str] | None = None) -> None:
        self.path = depth_network_file(network)
        self._network: CropDepthFunction | MapDepthNetwork
        if self.path.suffix.lower() == ".onnx":
            from recon.networks.depth.onnx import OnnxDepthNetwork

            self._network = OnnxDepthNetwork(self.path)
        else:
            self._network, _ = load_depth_network(self.path)

    def __call__(self, photo: Photo, face: Face, focal_px: float | None = None) -> FaceDepth:
        """The depth of a detected face.

        Args:
            photo: with the focal length that its file tells.
            face: its five points are used.
            focal_px: of the photo, where it is known better.

        Raises:
            AlignmentError: five points that no face can have.
            ValueError: a focal length that is not positive.
        """
        alignment = align(face.points5, 224, remove_roll=True)
        camera, source = _camera(photo, alignment.scale, focal_px)
        middle_px = torch.from_numpy(alignment.photo_points(np.array([[112.0, 112.0]])))
        side_px = torch.tensor([FRAME * 224.0 / alignment.scale], dtype=torch.float64)
        turn_rad = torch.tensor([alignment.picture_turn_rad], dtype=torch.float64)
        view = CropView.towards(camera.to(torch.float64).intrinsics, middle_px, side_px, turn_rad)
        network = self._network
        if isinstance(network, MapDepthNetwork):
            maps = _coded_maps(network, photo, view)
        else:
            maps = _crop_maps(network, photo, view)
        return _on_photo(photo, face, camera, source, view, maps)


def estimate_depth(
    photo: PhotoLike,
    detector: str | Detector = DEFAULT_DETECTOR,
    faces: Literal["all", "largest"] = "largest",
    *,
    network: str | os.PathLike[str] | DepthEstimator | None = None,
    focal_px: float | None = None,
) -> list[FaceDepth]:
    """The depth of the faces in one photo, the largest first.

    Args:
        photo: a path, a Pillow image, a uint8 RGB array, or a :class:`recon.io.image.Photo`.
        detector: a name of :data:`recon.detection.DETECTORS`, or a detector already entered.
        faces: ``"all"`` or ``"largest"``.
        network: see :class:`DepthEstimator`, or one already made (faster for many photos).
        focal_px: focal length of the photo in pixels, if it is known better than its EXIF data say.

    Raises:
        NoFaceError: no face was found.
        ImageError, OSError: the photo cannot be read.
        CheckpointError, OnnxError: no network, or a damaged one.
    """
    estimator = network if isinstance(network, DepthEstimator) else DepthEstimator(network)
    image = photo if isinstance(photo, Photo) else read_image(photo)
    return [estimator(image, face, focal_px) for face in detect_landmarks(image, detector, faces)]


def _camera(photo: Photo, crop_scale: float, given_px: float | None) -> tuple[PerspectiveCamera, FocalSource]:
    """The photo's camera. An unknown focal length follows from a head of usual size at a portrait's distance, as in a fit."""
    height, width = photo.pixels.shape[:2]
    if given_px is not None and not 0.0 < given_px < float("inf"):
        raise ValueError(f"a focal length must be a positive number of pixels, got {given_px}")
    focal_px, source = given_px, "given"
    if focal_px is None:
        focal_px, source = photo.focal_px, "EXIF"
    if focal_px is None:
        px_per_mm = PX_PER_MM_AT_224 / crop_scale
        focal_px, source = max(px_per_mm * PORTRAIT_DISTANCE_MM, MIN_FOCAL_SHARE * max(height, width)), "assumed"
    camera = PerspectiveCamera.at(size=(height, width), focal_px=torch.full((1, 2), float(focal_px)))
    unposed = camera.with_pose(torch.eye(3)[None], torch.zeros(1, 3))
    return unposed, source  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True, eq=False)
class _Maps:
    """A crop's maps, ``(1, C, S, S)`` each; depth is planar along the crop's axis, normals are in its frame."""

    depth_mm: Tensor
    sigma_mm: Tensor | None = None
    normals: Tensor | None = None
    classes: Tensor | None = None
    distance_sigma: float | None = None


@torch.no_grad()
def _crop_maps(network: CropDepthFunction, photo: Photo, view: CropView) -> _Maps:
    crop = read_crop(photo, view, network.config.size)
    found: CropDepthPrediction = network(crop)
    return _Maps(
        found.depth_mm(view.focal_sides.float()),
        found.sigma_mm(),
        found.normals,
        found.classes,
        float(found.log_sigma_scale.exp()),
    )


@torch.no_grad()
def _coded_maps(network: MapDepthNetwork, photo: Photo, view: CropView) -> _Maps:
    height, width = network.config.size
    if height != width:
        raise CheckpointError(
            f"the network {network.config.architecture} was trained with whole pictures of {height} x {width} px; faces in photos "
            "need one of square crops (configs/depth/base/crops.yaml)"
        )
    return _Maps(network.depth_mm(read_crop(photo, view, width), view.focal_sides.float()))


def read_crop(photo: Photo, view: CropView, size: int) -> Float[Tensor, "1 3 s s"]:
    """What the crop's camera sees of a photo, antialiased; beyond the photo its border goes on.

    Args:
        photo: the photo.
        view: one crop of it.
        size: side of the crop, px.

    Returns:
        ``(1, 3, size, size)`` sRGB code values in [0, 1].
    """
    height, width = photo.pixels.shape[:2]
    places = view.places(size)[0].numpy()
    # Pixels of the photo a pixel of the crop, by the area about its middle.
    middle = places[size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1]
    across, down = middle[0, 1] - middle[0, 0], middle[1, 0] - middle[0, 0]
    step_px = max(1.0, float(np.sqrt(abs(across[0] * down[1] - across[1] * down[0]))) / _FINER)
    low = np.clip(places.min(axis=(0, 1)) - 2.0 * step_px, 0.0, (width - 1, height - 1))
    high = np.clip(places.max(axis=(0, 1)) + 2.0 * step_px, low + 1.0, (width, height))
    to_photo = np.array([[step_px, 0.0, low[0]], [0.0, step_px, low[1]], [0.0, 0.0, 1.0]])
    shape = tuple(max(1, int(extent // step_px)) for extent in (high - low)[::-1])
    picture = torch.from_numpy(resample(photo.pixels, to_photo, (shape[0], shape[1])).copy())
    own = dataclasses.replace(
        view,
        focal_px=view.focal_px / step_px,
        principal_px=(view.principal_px - torch.from_numpy(low)) / step_px,
    )
    shown = own.crops(picture.permute(2, 0, 1)[None].double() / 255.0, size)
    return shown.float().clamp(0.0, 1.0)


def _on_photo(
    photo: Photo, face: Face, camera: PerspectiveCamera, source: FocalSource, view: CropView, maps: _Maps
) -> FaceDepth:
    """The maps at the pixels of the photo."""
    height, width = photo.pixels.shape[:2]
    size = maps.depth_mm.shape[-1]
    outline = view.places(size)[0]
    low = [max(0, int(v)) for v in outline.amin(dim=(0, 1)).floor().tolist()]
    high = [min(limit, int(v) + 1) for v, limit in zip(outline.amax(dim=(0, 1)).tolist(), (width, height), strict=True)]
    if high[0] <= low[0] or high[1] <= low[1]:
        raise ValueError("the face lies outside of its photo")
    columns, rows = torch.arange(low[0], high[0]), torch.arange(low[1], high[1])
    parts = [maps.depth_mm, maps.sigma_mm, maps.normals, maps.classes]
    joined = torch.cat([part for part in parts if part is not None], dim=1).double()
    n_lengths = 1 if maps.sigma_mm is None else 2
    strips = [
        _strip(view, joined, n_lengths, rows[k : k + step], columns)
        for step in [max(1, _STRIP_PIXELS // len(columns))]
        for k in range(0, len(rows), step)
    ]
    found = torch.cat(strips, dim=1)
    depth_mm = found[0]
    if maps.normals is None or maps.sigma_mm is None or maps.classes is None:
        normals = _difference_normals(depth_mm, camera, (low[0], low[1]))
        return FaceDepth(photo, face, camera, source, (low[0], low[1]), _array(depth_mm), _array(normals))
    classes = found[5:].argmax(dim=0)
    depth_mm = torch.where(classes == _BACKGROUND, torch.nan, depth_mm)
    turned = view.photo_normals(torch.nn.functional.normalize(found[2:5], dim=0)[None].to(view.turn))[0]
    normals = torch.where(depth_mm.isfinite()[None], turned, torch.nan).permute(1, 2, 0)
    return FaceDepth(
        *(photo, face, camera, source, (low[0], low[1]), _array(depth_mm), _array(normals)),
        sigma_mm=_array(torch.where(depth_mm.isfinite(), found[1], torch.nan)),
        classes=torch.where(found[0].isfinite(), classes, _BACKGROUND).numpy(),
        distance_sigma=maps.distance_sigma,
    )


def _strip(view: CropView, joined: Tensor, n_lengths: int, rows: Tensor, columns: Tensor) -> Tensor:
    """``(C, rows, columns)`` maps at some pixels, the first ``n_lengths``, which lie along the crop's axis, turned into those along the
    photo's; nan beyond the crop."""
    y, x = torch.meshgrid(rows.double() + 0.5, columns.double() + 0.5, indexing="ij")
    places, ratio = view.seen_from(torch.stack((x, y), dim=-1).view(1, -1, 2))
    # Not beyond the middles of the border's pixels: nothing is extrapolated.
    inside = (places.abs() <= 0.5 - 0.5 / joined.shape[-1]).all(dim=-1) & (ratio > 0.0)
    grid = torch.where(inside[..., None], 2.0 * places, 0.0)[:, None]
    found = torch.nn.functional.grid_sample(joined, grid, padding_mode="border", align_corners=False)[0, :, 0]
    found = torch.cat((found[:n_lengths] / ratio, found[n_lengths:]))
    return torch.where(inside, found, torch.nan).unflatten(1, (len(rows), len(columns)))


def _difference_normals(depth_mm: Tensor, camera: PerspectiveCamera, corner_px: tuple[int, int]) -> Tensor:
    own = camera.to(depth_mm).cropped(float(corner_px[0]), float(corner_px[1]))
    known = depth_mm.isfinite()[None, None]
    points = depth_points(torch.where(known, depth_mm, 1.0), own)
    normals, inside = point_normals(points, known)
    return torch.where(inside, normals, torch.nan)[0].permute(1, 2, 0)


def _array(values: Tensor) -> np.ndarray:
    return values.to(torch.float32).numpy()
