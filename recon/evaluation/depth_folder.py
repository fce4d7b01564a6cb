"""Photos with depth maps, in two layouts.

``pairs``: ``NAME.jpg|png`` with ``NAME_depth.npy`` (float, mm, nan or 0 where unknown) or ``NAME_depth.png`` (16 bit, mm, 0 where
unknown), and optionally ``NAME_mask.png`` (white where the face is).

``c3i``: the depth set of C3I-SynFace as :class:`recon.datasets.C3iReader` reads it, rays turned into planar depth.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from bfm.files import ModelFileError
from bfm.npy import read_npy
from bfm.text import printable
from recon.datasets import C3iReader, DamagedSample
from recon.evaluation.reports.result import Skipped
from recon.io.image import MAX_SIDE_PX, ImageError, Photo, read_image
from recon.io.pictures import read_grey, read_grey16

LAYOUTS = ("pairs", "c3i")
PLAUSIBLE_MM = (50.0, 20_000.0)
"""Median depth of a photo of a face; beyond it a file is in another unit."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
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
    """

    photo: Photo
    depth_mm: Float[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "_h _w"] | None


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
    return _c3i(folder) if layout == "c3i" else _pairs(folder)


def _pairs(folder: Path) -> tuple[list[DepthItem], list[Skipped]]:
    photos = [
        p
        for p in sorted(folder.iterdir())
        if p.suffix.lower() in PHOTO_SUFFIXES and not p.stem.endswith(("_depth", "_mask"))
    ]
    items, left = [], []
    for photo in photos:
        depth = depth_file(folder, photo.stem)
        if depth is None:
            left.append(Skipped(photo.name, f"no {photo.stem}_depth.npy or {photo.stem}_depth.png"))
            continue
        mask = folder / f"{photo.stem}_mask.png"
        files = (photo, depth, mask) if mask.is_file() else (photo, depth)
        items.append(DepthItem(photo.stem, files, lambda files=files: _load_pair(*files)))  # type: ignore[misc]
    if not items:
        raise DepthDataError(
            f"{folder}: found {len(photos)} pictures, none with a depth map; expected NAME.jpg with NAME_depth.npy (mm) or "
            "NAME_depth.png (16 bit, mm)"
        )
    return items, left


def _load_pair(photo: Path, depth: Path, mask: Path | None = None) -> DepthSample:
    try:
        picture = read_image(photo)
    except (ImageError, OSError) as error:
        raise DepthDataError(str(error)) from None
    return _checked(DepthSample(picture, read_depth_map(depth), None if mask is None else read_mask(mask)), photo.name)


def _c3i(folder: Path) -> tuple[list[DepthItem], list[Skipped]]:
    try:
        reader = C3iReader(folder)
    except FileNotFoundError as error:
        raise DepthDataError(str(error)) from None

    def load(index: int) -> DepthSample:
        try:
            record = reader[index]
        except DamagedSample as fault:
            raise DepthDataError(str(fault)) from None
        if record.depth_mm is None or not (record.depth_mm > 0.0).any():
            raise DepthDataError(f"{record.name}: no depth (depthExr_<number>.exr)")
        assert record.intrinsics is not None
        photo = Photo(record.image, focal_px=float(record.intrinsics[0, 0]), source=record.name)
        depth = np.where(record.depth_mm > 0.0, record.depth_mm, np.nan).astype(np.float64)
        return _checked(DepthSample(photo, depth, None), record.name)

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
        items.append(DepthItem(name, (path, *sorted(beside)), lambda index=index: load(index)))  # type: ignore[misc]
    return items, []


def _checked(sample: DepthSample, name: str) -> DepthSample:
    size = sample.photo.pixels.shape[:2]
    for what, array in (("depth map", sample.depth_mm), ("mask", sample.mask)):
        if array is not None and array.shape != size:
            raise DepthDataError(f"{name}: the {what} is {array.shape}, the photo {size}")
    median_mm = float(np.nanmedian(sample.depth_mm))
    low, high = PLAUSIBLE_MM
    if not low <= median_mm <= high:
        raise DepthDataError(
            f"{name}: the median depth is {median_mm:.4g}, and that of photos of faces lies between {low:g} and {high:g} mm: "
            f"the file is in another unit ({'metres' if median_mm < low else 'a tenth of a millimetre or less'}?); convert it to mm"
        )
    return sample


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
