"""Photos with depth maps, in several layouts.

``pairs``: ``NAME.jpg|png`` with ``NAME_depth.npy`` (float, mm, nan or 0 where unknown) or ``NAME_depth.png`` (16 bit, mm, 0 where
unknown), and optionally ``NAME_mask.png`` (white where the face is), ``NAME_normals.png`` (as :func:`recon.export.write_normals_png`
writes them) and ``NAME_camera.json`` (as ``face.json``: intrinsics, and where a mean head stands).

``c3i``: the depth set of C3I-SynFace as :class:`recon.datasets.C3iReader` reads it, rays turned into planar depth; ``c3i-planar`` is
the same with EXR files that hold planar depth, as newer versions of Blender write them.

``eurecom`` and ``synthhuman``: EURECOM Kinect and SynthHuman as :class:`recon.datasets.EurecomReader` and
:class:`recon.datasets.SynthHumanReader` read them.

``biwi`` and ``pandora``: colour as the depth camera would see it, as :class:`recon.datasets.BiwiDepthReader` and
:class:`recon.datasets.PandoraDepthReader` read them; the face is the head in Pini's crop. ``pandora-train`` and ``pandora-test`` are
Pandora without and with its four test subjects alone.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from bfm.files import ModelFileError
from bfm.npy import read_npy
from bfm.text import printable
from recon.camera import CameraError, PosedCamera
from recon.datasets import (
    BiwiDepthReader,
    C3iReader,
    DamagedSample,
    EurecomReader,
    FaceReader,
    PandoraDepthReader,
    SynthHumanReader,
)
from recon.datasets.c3i import DepthMeaning
from recon.datasets.pandora import TEST_SUBJECTS
from recon.evaluation.metrics.depth import FACIAL_CROP_MM
from recon.evaluation.reports.result import Skipped
from recon.export.camera_json import read_camera
from recon.io.image import MAX_SIDE_PX, ImageError, Photo, read_image
from recon.io.pictures import read_grey, read_grey16

_READERS: dict[str, Callable[[Path], EurecomReader | SynthHumanReader | BiwiDepthReader | PandoraDepthReader]] = {
    "eurecom": EurecomReader,
    "synthhuman": SynthHumanReader,
    "biwi": BiwiDepthReader,
    "pandora": PandoraDepthReader,
    "pandora-train": functools.partial(PandoraDepthReader, without=TEST_SUBJECTS),
    "pandora-test": functools.partial(PandoraDepthReader, subjects=TEST_SUBJECTS),
}
LAYOUTS = ("pairs", "c3i", "c3i-planar", *_READERS)
PLAUSIBLE_MM = (50.0, 20_000.0)
"""Median depth of a photo of a face; beyond it a file is in another unit."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
_EXTRAS = {"mask": "png", "normals": "png", "camera": "json"}
_NUMBER = re.compile(r"\D")
_LARGEST_NPY_BYTES = 8 * MAX_SIDE_PX**2 + 10_000
"""Of the largest photo, in float64, with the header: both must be of one size."""


class DepthDataError(ValueError):
    """Depth data that cannot be measured with; the message names the file."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


@dataclasses.dataclass(frozen=True, eq=False)
class DepthSample:
    """A photo and its truth.

    Attributes:
        photo: with its focal length if that is known.
        depth_mm: ``(H, W)`` planar depth, nan where unknown.
        mask: ``(H, W)`` where the face is, or None.
        normals: ``(H, W, 3)`` unit normals in the camera frame, nan where unknown, or None.
        camera: of the photo, with the pose of a mean head in it, or None.
    """

    photo: Photo
    depth_mm: Float[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "_h _w"] | None
    normals: Float[np.ndarray, "_hn _wn 3"] | None = None
    camera: PosedCamera | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class DepthItem:
    """One picture that is not read yet.

    Attributes:
        name: path below the folder, without suffix.
        files: what it is made of.
        load: reads it; raises :class:`DepthDataError`.
    """

    name: str
    files: tuple[Path, ...]
    load: Callable[[], DepthSample]


def find_depth(folder: Path, layout: str = "pairs") -> tuple[list[DepthItem], list[Skipped]]:
    """All photos with a depth map, and the photos without.

    Raises:
        ValueError: an unknown layout.
        DepthDataError: no such folder, or nothing in it.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown depth layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise DepthDataError(f"no such folder: {folder}")
    finders: dict[str, Callable[[Path], tuple[list[DepthItem], list[Skipped]]]] = {
        "pairs": _pairs,
        "c3i": _c3i,
        "c3i-planar": functools.partial(_c3i, depth="planar"),
        **{name: functools.partial(_read_by, reader) for name, reader in _READERS.items()},
    }
    return finders[layout](folder)


def _pairs(folder: Path) -> tuple[list[DepthItem], list[Skipped]]:
    photos = [
        p
        for p in sorted(folder.iterdir())
        if p.suffix.lower() in PHOTO_SUFFIXES and not p.stem.endswith(("_depth", "_mask", "_normals"))
    ]
    items, left = [], []
    for photo in photos:
        depth = depth_file(folder, photo.stem)
        if depth is None:
            left.append(Skipped(photo.name, f"no {photo.stem}_depth.npy or {photo.stem}_depth.png"))
            continue
        extras = {name: folder / f"{photo.stem}_{name}.{suffix}" for name, suffix in _EXTRAS.items()}
        found = {name: path for name, path in extras.items() if path.is_file()}
        files = (photo, depth, *found.values())
        items.append(DepthItem(photo.stem, files, functools.partial(_load_pair, photo, depth, **found)))
    if not items:
        raise DepthDataError(
            f"{folder}: found {len(photos)} pictures, none with a depth map; expected NAME.jpg with NAME_depth.npy (mm) or "
            "NAME_depth.png (16 bit, mm)"
        )
    return items, left


def _load_pair(
    photo: Path, depth: Path, mask: Path | None = None, normals: Path | None = None, camera: Path | None = None
) -> DepthSample:
    try:
        picture = read_image(photo)
        seen_from = None if camera is None else read_camera(camera)
    except (ImageError, CameraError, OSError) as error:
        raise DepthDataError(str(error)) from None
    if seen_from is not None and picture.focal_px is None:
        picture = dataclasses.replace(picture, focal_px=float(seen_from.focal_px[0, 0]))
    found = DepthSample(
        picture,
        read_depth_map(depth),
        None if mask is None else read_mask(mask),
        None if normals is None else read_normals(normals),
        seen_from,
    )
    return _checked(found, photo.name)


def _c3i(folder: Path, depth: DepthMeaning = "ray") -> tuple[list[DepthItem], list[Skipped]]:
    try:
        reader = C3iReader(folder, depth)
    except FileNotFoundError as error:
        raise DepthDataError(str(error)) from None

    items = []
    for index, path in enumerate(reader.pictures):
        number = _NUMBER.sub("", path.stem)
        beside = [
            p
            for suffix in ("txt", "exr")
            for p in path.parent.glob(f"*{number}.{suffix}")
            if _NUMBER.sub("", p.stem) == number
        ]
        name = path.relative_to(folder).with_suffix("").as_posix()
        items.append(DepthItem(name, (path, *sorted(beside)), functools.partial(_load_record, reader, index)))
    return items, []


def _read_by(
    kind: Callable[[Path], EurecomReader | SynthHumanReader | BiwiDepthReader | PandoraDepthReader], folder: Path
) -> tuple[list[DepthItem], list[Skipped]]:
    try:
        reader = kind(folder)
    except FileNotFoundError as error:
        raise DepthDataError(str(error)) from None
    return [
        DepthItem(reader.name(k).removesuffix(".png"), reader.files(k), functools.partial(_load_record, reader, k))
        for k in range(len(reader))
    ], []


def _load_record(reader: FaceReader, index: int) -> DepthSample:
    try:
        record = reader[index]
    except DamagedSample as fault:
        raise DepthDataError(str(fault)) from None
    if record.depth_mm is None or not (record.depth_mm > 0.0).any():
        raise DepthDataError(f"{record.name}: no depth")
    assert record.intrinsics is not None, "of all data sets with depth that are read here"
    photo = Photo(record.image, focal_px=float(record.intrinsics[0, 0]), source=record.name)
    depth = np.where(record.depth_mm > 0.0, record.depth_mm, np.nan).astype(np.float64)
    return _checked(DepthSample(photo, depth, record.mask), record.name)


def _checked(sample: DepthSample, name: str) -> DepthSample:
    size = sample.photo.pixels.shape[:2]
    for what, array in (("depth map", sample.depth_mm), ("mask", sample.mask), ("map of normals", sample.normals)):
        if array is not None and array.shape[:2] != size:
            raise DepthDataError(f"{name}: the {what} is {array.shape}, the photo {size}")
    median_mm = float(np.nanmedian(sample.depth_mm))
    low, high = PLAUSIBLE_MM
    if not low <= median_mm <= high:
        raise DepthDataError(
            f"{name}: the median depth is {median_mm:.4g}, and that of photos of faces lies between {low:g} and {high:g} mm: "
            f"the file is in another unit ({'metres' if median_mm < low else 'a tenth of a millimetre or less'}?); convert it to mm"
        )
    return sample


def face_mask(sample: DepthSample) -> Bool[np.ndarray, "h w"]:
    """The pixels of the face: those of the mask, or the depth papers' facial crop, true depth below 50 cm."""
    if sample.mask is not None:
        return sample.mask & np.isfinite(sample.depth_mm)
    return np.nan_to_num(sample.depth_mm, nan=math.inf) <= FACIAL_CROP_MM


def depth_file(folder: Path, stem: str) -> Path | None:
    """The depth map of a picture, if there is one."""
    candidates = (folder / f"{stem}_depth.npy", folder / f"{stem}_depth.png")
    return next((path for path in candidates if path.is_file()), None)


def read_depth_map(path: Path) -> Float[np.ndarray, "h w"]:
    """A depth map in mm, nan where unknown.

    Raises:
        DepthDataError: unreadable, not two-dimensional, 8 bit, or everything unknown.
    """
    try:
        raw = read_npy(path, _LARGEST_NPY_BYTES) if path.suffix == ".npy" else read_grey16(path)
    except ModelFileError as error:
        raise DepthDataError(f"{path}: cannot be read as a depth map ({error.fault})") from None
    except ImageError as error:
        raise DepthDataError(
            f"{path}: cannot be read as a depth map; expected a 16-bit grey PNG in mm ({error})"
        ) from None
    except OSError as error:
        raise DepthDataError(f"{path}: cannot be read as a depth map ({error})") from None
    if raw.ndim != 2 or raw.dtype.kind not in "fiu":
        raise DepthDataError(f"{path}: expected (H, W) numbers, found {raw.dtype} {raw.shape}")
    depth = np.asarray(raw, dtype=np.float64)
    depth = np.where(np.isfinite(depth) & (depth > 0.0), depth, np.nan)
    if not np.isfinite(depth).any():
        raise DepthDataError(f"{path}: holds no positive depth")
    return depth


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """A mask: white counts.

    Raises:
        DepthDataError: unreadable.
    """
    try:
        return read_grey(path) >= 128
    except (OSError, ImageError) as error:
        raise DepthDataError(f"{path}: cannot be read as a mask ({error})") from None


def read_normals(path: Path) -> Float[np.ndarray, "h w 3"]:
    """Unit normals of a picture that :func:`recon.export.write_normals_png` wrote; nan where it is black.

    Raises:
        DepthDataError: unreadable.
    """
    try:
        pixels = read_image(path).pixels
    except (OSError, ImageError) as error:
        raise DepthDataError(f"{path}: cannot be read as normals ({error})") from None
    normals = pixels / 127.5 - 1.0
    lengths = np.linalg.norm(normals, axis=2, keepdims=True)
    return np.where(pixels.any(axis=2, keepdims=True), normals / lengths, np.nan)
