"""Depth that a camera measured with a photo, and files that hold such depth: PNG of 16 bit, EXR and NPY."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.files import ModelFileError
from bfm.npy import read_npy
from recon.io.names import printable
from recon.io.pictures import ImageError, read_grey16
from recon.io.read_exr import ExrError, decode_exr
from recon.io.regular_files import MAX_FILE_BYTES, FileKindError, open_regular

DEPTH_UNITS = {"mm": 1.0, "0.1mm": 0.1, "cm": 10.0, "m": 1000.0}
"""Millimetres in the units that a file may be written in."""
DEPTH_SUFFIXES = (".png", ".exr", ".npy")
FACE_RELIEF_MM = (20.0, 180.0)
"""What lies between the nearest and the farthest twentieth of a face's middle, from any side: less than a factor of ten."""
FACE_DISTANCE_MM = (100.0, 20_000.0)

_DEFAULT_UNITS = {".png": "0.1mm", ".exr": "mm", ".npy": "mm"}
_SHAPE_TOLERANCE = 1.02
_LEAST_KNOWN = 0.2
_FACTORS = (10.0, 0.1, 100.0, 0.01, 1000.0, 0.001)
_MAX_NPY_BYTES = 1 << 29


class MeasuredDepthError(ValueError):
    """Measured depth that cannot be used; the message says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredDepth:
    """Depth of everything that a photo shows.

    Attributes:
        depth_mm: ``(h, w)`` planar, nan where nothing was measured; of the upright photo, usually in fewer pixels than it has.
        metric: whether distances are true; otherwise only what is nearer and what is farther is.
        focal_sides: focal length in longer sides of the photo, as the depth camera was calibrated; None if it does not say.
        source: where it comes from, for messages.

    Raises:
        MeasuredDepthError: no depth at all, depth that is not positive, or a focal length that is none.
    """

    depth_mm: Float[np.ndarray, "h w"]
    metric: bool = True
    focal_sides: float | None = None
    source: str = "depth map"

    def __post_init__(self) -> None:
        known = self.depth_mm[np.isfinite(self.depth_mm)]
        if not len(known):
            raise MeasuredDepthError(f"{self.source}: holds no positive depth")
        if not (known > 0.0).all():
            raise MeasuredDepthError(f"{self.source}: depth must be positive or nan, found {known.min():.4g} mm")
        if self.focal_sides is not None and not 0.1 < self.focal_sides < 100.0:
            raise MeasuredDepthError(
                f"{self.source}: a focal length of {self.focal_sides:.4g} sides of the photo is beyond any lens"
            )

    def check_shape(self, size: tuple[int, int]) -> None:
        """Whether the map can be of a photo.

        Args:
            size: (H, W) of the photo, px.

        Raises:
            MeasuredDepthError: it is not of its shape.
        """
        height, width = self.depth_mm.shape
        aspects = sorted((width / height, size[1] / size[0]))
        if aspects[1] > _SHAPE_TOLERANCE * aspects[0]:
            raise MeasuredDepthError(
                f"{self.source} is {width} x {height} px and its photo {size[1]} x {size[0]}: they show different parts of the scene, or "
                "one is turned; depth must cover the whole upright photo, in any number of pixels"
            )

    def at_size(self, size: tuple[int, int]) -> Float[np.ndarray, "height width"]:
        """The depth at the pixels of a photo, by the nearest pixel of the map.

        Args:
            size: (H, W) of the photo, px.
        """
        places = [
            np.clip(((np.arange(n) + 0.5) * own / n).astype(int), 0, own - 1)
            for n, own in zip(size, self.depth_mm.shape, strict=True)
        ]
        return self.depth_mm[np.ix_(*places)]

    def check_face(self, box_px: tuple[float, float, float, float], size: tuple[int, int]) -> None:
        """Whether a face of the photo has depth, and the depth of a face: a file in another unit is told by its relief.

        Args:
            box_px: left, top, right, bottom of the face in the photo.
            size: (H, W) of the photo, px.

        Raises:
            MeasuredDepthError: hardly any depth on the face, or a face that is far too flat, deep, near or far.
        """
        self.check_shape(size)
        height, width = self.depth_mm.shape
        scale = np.array([width / size[1], height / size[0]] * 2)
        left, top, right, bottom = np.array(box_px) * scale
        # Its middle: what lies behind a head does not count.
        part = [
            slice(max(0, round(low + 0.2 * (high - low))), max(0, round(high - 0.2 * (high - low))) + 1)
            for low, high in ((top, bottom), (left, right))
        ]
        shown = self.depth_mm[part[0], part[1]]
        known = shown[np.isfinite(shown)]
        if len(known) < max(4, _LEAST_KNOWN * shown.size):
            raise MeasuredDepthError(f"{self.source}: {len(known)} of the {shown.size} pixels on the face have depth")
        low_mm, middle_mm, high_mm = (float(value) for value in np.percentile(known, (5, 50, 95)))
        if _is_face(middle_mm, high_mm - low_mm):
            return
        found = f"the face would be {middle_mm:.4g} mm away and {high_mm - low_mm:.4g} mm deep"
        factor = next((f for f in _FACTORS if _is_face(f * middle_mm, f * (high_mm - low_mm))), None)
        hint = "is this depth?" if factor is None else f"a factor of {factor:g} would make it one: name the file's unit"
        raise MeasuredDepthError(f"{self.source}: {found}, which is no face; {hint}")


def _is_face(distance_mm: float, relief_mm: float) -> bool:
    return (
        FACE_RELIEF_MM[0] <= relief_mm <= FACE_RELIEF_MM[1]
        and FACE_DISTANCE_MM[0] <= distance_mm <= FACE_DISTANCE_MM[1]
    )


def depth_unit(path: Path, unit: str | None = None) -> str:
    """The unit of a file of depth: as it is given, or that in which ``recon depth`` writes files of this suffix.

    Raises:
        MeasuredDepthError: an unknown suffix or unit.
    """
    if path.suffix.lower() not in DEPTH_SUFFIXES:
        raise MeasuredDepthError(
            f"{path}: depth is read from {', '.join(DEPTH_SUFFIXES)}, not from {path.suffix or 'this'}"
        )
    if unit is None:
        return _DEFAULT_UNITS[path.suffix.lower()]
    if unit not in DEPTH_UNITS:
        raise MeasuredDepthError(f"unknown unit of depth {unit!r}; known: {', '.join(DEPTH_UNITS)}")
    return unit


def read_measured_depth(path: Path, unit: str | None = None) -> MeasuredDepth:
    """Planar depth from a file; what is not finite or not positive is unknown.

    Args:
        path: PNG (16 bit), EXR or NPY.
        unit: a key of :data:`DEPTH_UNITS`; ``None`` is 0.1 mm for PNG and 1 mm for the others.

    Raises:
        MeasuredDepthError: see :func:`depth_unit` and :func:`depth_numbers`.
    """
    factor = DEPTH_UNITS[depth_unit(path, unit)]
    return MeasuredDepth(factor * depth_numbers(path), source=path.name)


def planar_of_rays(depth: MeasuredDepth, focal_sides: float) -> MeasuredDepth:
    """Depth along the optical axis from lengths of rays.

    Args:
        depth: whose numbers are distances from the camera.
        focal_sides: focal length in longer sides of the photo.
    """
    height, width = depth.depth_mm.shape
    focal_px = focal_sides * max(height, width)
    x = (np.arange(width) + 0.5 - 0.5 * width) / focal_px
    y = (np.arange(height) + 0.5 - 0.5 * height) / focal_px
    return dataclasses.replace(depth, depth_mm=depth.depth_mm / np.sqrt(1.0 + x**2 + y[:, None] ** 2))


def depth_numbers(path: Path) -> Float[np.ndarray, "h w"]:
    """The numbers of a file in its unit, float64; nan where they are not finite or not positive.

    Raises:
        MeasuredDepthError: unreadable, not two-dimensional, a picture of 8 bit, an EXR whose channels differ, or nothing known.
    """
    try:
        suffix = path.suffix.lower()
        raw = (
            read_npy(path, _MAX_NPY_BYTES)
            if suffix == ".npy"
            else _exr(path)
            if suffix == ".exr"
            else read_grey16(path)
        )
    except ModelFileError as error:
        raise MeasuredDepthError(f"{path}: cannot be read as a depth map ({error.fault})") from None
    except ImageError as error:
        raise MeasuredDepthError(
            f"{path}: cannot be read as a depth map; expected a 16-bit grey PNG ({error})"
        ) from None
    except (OSError, ExrError, FileKindError) as error:
        raise MeasuredDepthError(f"{path}: cannot be read as a depth map ({error})") from None
    if raw.ndim != 2 or raw.dtype.kind not in "fiu":
        raise MeasuredDepthError(f"{path}: expected (H, W) numbers, found {raw.dtype} {raw.shape}")
    depth = np.asarray(raw, dtype=np.float64)
    depth = np.where(np.isfinite(depth) & (depth > 0.0), depth, np.nan)
    if not np.isfinite(depth).any():
        raise MeasuredDepthError(f"{path}: holds no positive depth")
    return depth


def _exr(path: Path) -> np.ndarray:
    """The channel of depth: the only one, one called Z, or any of several that are equal."""
    file, size = open_regular(path)
    with file:
        if size > MAX_FILE_BYTES:
            raise ExrError(f"an EXR of {size / 1e6:.0f} MB")
        channels = decode_exr(file.read())
    named = [name for name in channels if name.rpartition(".")[2] == "Z"]
    if len(named) == 1:
        return channels[named[0]]
    first, *others = channels.values()
    if not all(np.array_equal(first, other, equal_nan=True) for other in others):
        raise ExrError(
            f"its channels {', '.join(channels)} differ and none is called Z: that is a picture, or depth with something else; "
            "write one channel"
        )
    return first
