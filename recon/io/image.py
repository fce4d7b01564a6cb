"""Reading pictures of any kind into upright uint8 RGB, with the focal length if the camera wrote it."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from recon.io.exif import EXIF_BLOCK, exif_focal_px, exif_is_bounded
from recon.io.heic_depth import heic_depth
from recon.io.measured_depth import MeasuredDepth, MeasuredDepthError
from recon.io.metered_file import MeteredFile
from recon.io.names import printable
from recon.io.pictures import ImageError as ImageError
from recon.io.pictures import as_image_error, open_picture, strips
from recon.io.regular_files import open_regular

MAX_SIDE_PX = 4096
"""Longest side of what :func:`read_image` returns; larger pictures are reduced."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WHITE = (255, 255, 255)
_EXIF_BYTES, _EXIF_CALLS = 1_000_000, 100_000


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """An upright picture ready for detection and reconstruction.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB (sRGB code values). Not to be written to.
        focal_px: focal length in pixels of ``pixels`` from the file's EXIF data, or None if it says nothing usable.
        scale: size of ``pixels`` / size of the picture in the file; below 1 if it was reduced.
        notes: what was done that a user may want to know, one sentence each.
        source: the file's path, or what the picture came from.
        measured_depth: that the camera measured with the photo, of the upright picture; None if it did not.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    focal_px: float | None = None
    scale: float = 1.0
    notes: tuple[str, ...] = ()
    source: str = "array"
    measured_depth: MeasuredDepth | None = None


PhotoLike = str | os.PathLike[str] | Image.Image | np.ndarray | Photo
"""What is taken for a photo at the public doors."""


def read_image(
    source: str | os.PathLike[str] | bytes | Image.Image | np.ndarray, *, max_side_px: int = MAX_SIDE_PX
) -> Photo:
    """A picture as upright uint8 RGB.

    EXIF orientation is applied; colour profiles are converted to sRGB; CMYK, grey, palette and 16-bit pictures become
    8-bit RGB; transparent pictures are laid on white; of an animation the first frame is taken; pictures with a side
    over ``max_side_px`` are reduced (JPEGs while they are decoded, so a 20 000 px panorama needs little memory). HEIC needs the extra ``heic``; what depth its
    file holds comes with the photo.

    Args:
        source: a path, the bytes of an image file, a Pillow image, or a uint8 or uint16 array ``(H, W)``, ``(H, W, 3)``
            or ``(H, W, 4)`` (grey, RGB, RGB and alpha). None of them is changed.
        max_side_px: bound for both sides of the result.

    Raises:
        ImageError: it cannot be read; the message names the file and the fault. A missing file is a FileNotFoundError,
            a forbidden one a PermissionError, as ``open`` says it.
        TypeError: ``source`` is of another kind.
    """
    if max_side_px < 1:
        raise ValueError(f"max_side_px must be at least 1, got {max_side_px}")
    if isinstance(source, np.ndarray):
        image = _from_array(source)
        return _photo(image, f"array {source.shape}", max_side_px, image.size)
    if isinstance(source, Image.Image):
        # A copy, because decoding changes a Pillow image that was only opened.
        label = str(getattr(source, "filename", "") or "Pillow image")
        with as_image_error(printable(label)):
            return _photo(source.copy(), label, max_side_px, source.size)
    if isinstance(source, bytes | bytearray):
        return _read_file(bytes(source), f"<{len(source)} bytes>", max_side_px)
    if isinstance(source, str | os.PathLike):
        return _read_file(source, os.fspath(source), max_side_px)
    raise TypeError(
        f"a picture must be a path, bytes, a Pillow image or a uint8 array (H, W, 3), got {type(source).__name__}"
    )


def _read_file(source: str | os.PathLike[str] | bytes, label: str, max_side_px: int) -> Photo:
    said: list[str] = []
    # JPEGs are decoded at 1/2, 1/4 or 1/8, the smallest that is still large enough.
    with open_picture(source, draft_px=max_side_px, notes=said) as opened:
        opened.image.load()
        photo = _photo(opened.image, label, max_side_px, opened.size_in_file)
        if opened.image.format == "HEIF":
            photo = _with_depth(photo, opened.image.info.get("depth_images") or [], source)
        frames = opened.frames_note()
    if frames:
        photo = dataclasses.replace(photo, notes=(frames, *photo.notes))
    return dataclasses.replace(
        photo, notes=(*photo.notes, *(f"the file is not quite in order: {text}" for text in said))
    )


def _with_depth(photo: Photo, pictures: Sequence[Any], source: str | os.PathLike[str] | bytes) -> Photo:
    """The photo with the depth that its HEIC file holds, and the focal length by which that was calibrated."""
    if isinstance(source, bytes):
        data = source
    else:
        with open_regular(source)[0] as file:
            data = file.read()
    depth, note = heic_depth(pictures, data, printable(photo.source))
    notes = (*photo.notes, note) if note else photo.notes
    if depth is None:
        return dataclasses.replace(photo, notes=notes)
    try:
        depth.check_shape((photo.pixels.shape[0], photo.pixels.shape[1]))
    except MeasuredDepthError as error:
        return dataclasses.replace(photo, notes=(*photo.notes, f"its depth map was left aside: {error}"))
    focal_px = photo.focal_px if depth.focal_sides is None else depth.focal_sides * max(photo.pixels.shape[:2])
    return dataclasses.replace(photo, notes=notes, measured_depth=depth, focal_px=focal_px)


def _photo(image: Image.Image, label: str, max_side_px: int, full_size: tuple[int, int]) -> Photo:
    """The photo of a decoded picture whose size in the file is ``full_size`` (W, H)."""
    if min(image.size) < 1:
        raise ImageError(f"{printable(label)} has no pixels: {image.size[0]} x {image.size[1]}")
    exif, notes = _read_exif(image)
    profile = image.info.get("icc_profile")
    if image.mode in ("1", "P", "PA"):  # these cannot be resized smoothly
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if max(image.size) > max_side_px:
        shrink = max_side_px / max(image.size)
        size = tuple(max(1, round(side * shrink)) for side in image.size)
        image = _eight_bit(image, label).resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=3.0)
    scale = max(image.size) / max(full_size)
    if scale < 1.0:
        notes.append(f"reduced from {full_size[0]} x {full_size[1]} to {image.size[0]} x {image.size[1]} pixels")
    image, conversion = _to_rgb(_eight_bit(image, label), profile, label)
    notes += conversion
    orientation = exif.get(_ORIENTATION, 1)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
        notes.append(f"turned or mirrored upright as its EXIF orientation {orientation} says")
    focal_px, focal_note = exif_focal_px(exif, full_size)
    if focal_note:
        notes.append(focal_note)
    return Photo(
        pixels=np.array(image),
        focal_px=None if focal_px is None else focal_px * scale,
        scale=scale,
        notes=tuple(notes),
        source=label,
    )


def _read_exif(image: Image.Image) -> tuple[Image.Exif, list[str]]:
    """The EXIF data with the block of camera settings decoded; empty, with a note, if it is damaged."""
    try:
        stored = image.info.get("exif")
        if stored is None and "Raw profile type exif" in image.info:  # as ImageMagick writes it into PNGs
            stored = bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
        if stored is not None and not exif_is_bounded(stored):
            raise ValueError("fields that share their values")
        if isinstance(file := getattr(image, "fp", None), MeteredFile):
            file.allow(_EXIF_BYTES, _EXIF_CALLS)  # a TIFF's are read from the file
        exif = image.getexif()
        exif.get_ifd(EXIF_BLOCK)
    except Exception:  # foreign code, which raises nearly every type on damaged data; the picture can do without them
        return Image.Exif(), ["its EXIF data are damaged, so orientation and focal length are unknown"]
    return exif, []


def _eight_bit(image: Image.Image, label: str) -> Image.Image:
    """The same picture with at most 8 bits a channel; modes of 8 bits pass unchanged."""
    if image.mode == "F":
        raise ImageError(
            f"{printable(label)} holds floating-point pixels, whose range is unknown; save it as 8- or 16-bit first"
        )
    if not image.mode.startswith("I"):
        return image
    result = Image.new("L", image.size)
    for top, values in strips(image):
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"{printable(label)} holds integers from {values.min()} to {values.max()}, expected 16 bits (0 to 65535)"
            )
        result.paste(Image.fromarray(_high_byte(values)), (0, top))
    return result


def _to_rgb(image: Image.Image, profile: bytes | None, label: str) -> tuple[Image.Image, list[str]]:
    """RGB on white, in sRGB, and notes on what was done."""
    notes = []
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            notes.append("transparent pixels were laid on white")
        white = Image.new("RGBA", rgba.size, (*_WHITE, 255))
        return Image.alpha_composite(white, rgba).convert("RGB"), notes
    if image.mode not in ("RGB", "L", "1"):
        notes.append(f"converted from {image.mode} to RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                assert converted is not None
                return converted, [*notes, "colours were converted to sRGB with the file's profile"]
        except Exception:  # foreign code and foreign bytes; without its profile a picture is still a picture
            notes.append("the file's colour profile cannot be used, so its colours were taken as sRGB")
    return image.convert("RGB"), notes


def _from_array(array: np.ndarray) -> Image.Image:
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype not in (np.uint8, np.uint16) or not shape_ok or 0 in array.shape:
        raise ImageError(
            f"a picture array must be uint8 or uint16 of shape (H, W), (H, W, 3) or (H, W, 4), got {array.dtype} "
            f"{array.shape}; float pictures in [0, 1] become uint8 by (255 * x).round().astype('uint8')"
        )
    return Image.fromarray(np.ascontiguousarray(array if array.dtype == np.uint8 else _high_byte(array)))


def _high_byte(values: np.ndarray) -> np.ndarray:
    """0..65535 to 0..255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
