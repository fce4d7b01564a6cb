"""The one door for pictures of other people: every file that Pillow decodes passes through here.

Formats are named (a file of another kind is refused, whatever it is called), files are regular and of bounded size, what
decoding takes is known from the header before anything is allocated, and whatever Pillow raises is one error that names the
file. Pillow's global limit of pixels is neither used nor changed: its format classes are called directly.
Threads may call these functions; they decode one picture at a time, because recording warnings is not safe otherwise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL
from jaxtyping import UInt8, UInt16
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from recon.io.faults import reason
from recon.io.heic_files import HeicUnavailable, heic_opener, is_heic
from recon.io.metered_file import MeteredFile
from recon.io.names import printable
from recon.io.picture_headers import HeaderError, HeaderFacts, jpeg_facts, png_facts, webp_facts
from recon.io.regular_files import MAX_FILE_BYTES, FileKindError, open_regular

MAX_FILE_PIXELS = 300_000_000
"""Pictures of more pixels are refused."""
MAX_SIDE_IN_FILE_PX = 100_000
MAX_DECODED_BYTES = 1_100_000_000
"""Bound for what decoding a picture takes at once."""
FORMATS = "JPEG, PNG, TIFF, WebP, BMP or GIF"

_MAX_BLOCKS = 200_000
"""Strips or tiles of a TIFF."""
_MAX_RLE_SIDE_PX = 32_768
_HEADER_BYTES, _HEADER_CALLS = 32_000_000, 500_000
_DECODING_CALLS = 3_000_000
_STRIP_PIXELS = 1 << 21
_BYTES_OF_MODE = {
    **{"RGB": 4, "L": 1, "I": 5, "I;16": 3, "I;16B": 3, "I;16L": 3, "I;16N": 3},
    **{"1": 9, "P": 9, "PA": 12},
}
"""Bytes a pixel takes in Pillow, with the copies that reducing makes of pictures of this mode."""
_BYTES_OF_OTHERS = 8
_MAX_NOTES = 5
_FRAME_CALLS = 200_000
_Opener = Callable[..., ImageFile.ImageFile]
_Facts = Callable[[MeteredFile], HeaderFacts]


class ImageError(ValueError):
    """A picture that cannot be read, and why."""


def _nothing_more(_: MeteredFile) -> HeaderFacts:
    return HeaderFacts()


def _kinds() -> tuple[tuple[bytes, _Opener, _Facts], ...]:
    tiff = tuple(
        (magic, TiffImagePlugin.TiffImageFile, _nothing_more) for magic in (b"MM\0*", b"II*\0", b"MM*\0", b"II\0*")
    )
    big = tuple((magic, TiffImagePlugin.TiffImageFile, _nothing_more) for magic in (b"MM\0+", b"II+\0"))
    return (
        # Gives the class for JPEG, or that for several JPEGs in one file (MPO).
        (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory, jpeg_facts),
        (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile, png_facts),
        (b"RIFF", WebPImagePlugin.WebPImageFile, webp_facts),
        (b"GIF8", GifImagePlugin.GifImageFile, _nothing_more),
        (b"BM", BmpImagePlugin.BmpImageFile, _nothing_more),
        *tiff,
        *big,
    )


_KINDS = _kinds()
_lock = threading.Lock()  # recording warnings is not safe in several threads


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)  # a thread that is not there in the child may have held it


@dataclasses.dataclass(frozen=True, eq=False)
class OpenPicture:
    """A picture whose header was checked.

    Attributes:
        image: with its size as it will be decoded. Pixels are decoded when they are first asked for.
        size_in_file: (W, H) px.
    """

    image: ImageFile.ImageFile
    size_in_file: tuple[int, int]
    _file: MeteredFile

    def frames_note(self) -> str:
        """A sentence for people if the file holds several pictures. ``image`` must not be used after this."""
        self._file.allow(2 * self._file.size + _HEADER_BYTES, _FRAME_CALLS)
        try:
            n_frames = getattr(self.image, "n_frames", 1)
            return f"the first of {n_frames} frames was taken" if n_frames > 1 else ""
        except Exception:  # foreign code; the first frame is sound, and what follows does not matter
            return "the first of several frames was taken"


@contextlib.contextmanager
def open_picture(
    source: str | os.PathLike[str] | bytes, *, draft_px: int | None = None, notes: list[str] | None = None
) -> Iterator[OpenPicture]:
    """A picture whose header was checked and whose pixels are not decoded yet.

    What the body of the ``with`` raises while it decodes becomes an :class:`ImageError`; Pillow's warnings are not issued.

    Args:
        source: a path or the bytes of a file.
        draft_px: JPEGs are decoded at 1/2, 1/4 or 1/8, the smallest whose sides are still at least this.
        notes: gets what Pillow warned of.

    Raises:
        ImageError: no picture of a format that is read, damaged, or one that takes more than the limits of this module. The
            message names the file.
        OSError: as ``open`` says it: a missing or forbidden file.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, bytes):
            label, size = f"<{len(source)} bytes>", len(source)
            if not source:
                raise ImageError(f"{label} is empty (0 bytes)")
            raw: io.BufferedIOBase = io.BytesIO(source)
        else:
            label = printable(source)
            try:
                raw, size = open_regular(source)
            except FileKindError as error:
                raise ImageError(str(error)) from None
        stack.enter_context(raw)
        stack.enter_context(as_image_error(label))
        if size > MAX_FILE_BYTES:
            raise ImageError(
                f"{label} has {size / 1e6:.0f} MB, more than the {MAX_FILE_BYTES / 1e6:.0f} MB that are read"
            )
        said = stack.enter_context(_recorded_warnings())
        file = MeteredFile(raw, size) if not isinstance(source, bytes) else _MeteredBytes(raw, size)
        image, facts = _opened(file, label)
        stack.callback(image.close)
        full_size = image.size
        _check_pixels(full_size[0] * full_size[1], full_size, label)
        if draft_px is not None:
            image.draft(None, (draft_px, draft_px))
        _check_memory(image, facts, size, full_size[0] * full_size[1], label)
        file.allow(1 << 62, _DECODING_CALLS + size // 1000)
        yield OpenPicture(image, full_size, file)
        if notes is not None:
            notes.extend(said())


class _MeteredBytes(MeteredFile):
    """Bytes in memory: Pillow's TIFF reader asks for all of them at once."""

    def fileno(self) -> int:
        raise OSError("no file on disk")


def _opened(file: MeteredFile, label: str) -> tuple[ImageFile.ImageFile, HeaderFacts]:
    file.allow(64, 4)
    magic = file.read(16)
    kind = _heic_kind(label) if is_heic(magic) else next((kind for kind in _KINDS if magic.startswith(kind[0])), None)
    if kind is None:
        raise ImageError(f"{label} is not an image in a format that can be read ({FORMATS})")
    _, opener, read_facts = kind
    try:
        file.allow(file.size + _HEADER_BYTES, _HEADER_CALLS + file.size // 1000)
        facts = read_facts(file)
        if facts.pixels:
            _check_pixels(facts.pixels, None, label)
            _check_bytes(facts.extra_bytes + 4 * facts.pixels + 2 * file.size, facts.pixels, label)
        file.allow(_HEADER_BYTES + (2 * file.size if facts.file_in_memory else 0), _HEADER_CALLS)
        file.seek(0)
        return opener(file, ""), facts
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise ImageError(f"{label} is not an image in a format that can be read ({FORMATS})") from error


def _heic_kind(label: str) -> tuple[bytes, _Opener, _Facts]:
    try:
        opener = heic_opener()
    except HeicUnavailable as error:
        raise ImageError(f"{label} is a HEIC picture: {error}; or export it as JPEG or PNG") from error
    return b"", opener, lambda file: HeaderFacts(file_in_memory=True)


def _check_pixels(pixels: int, size: tuple[int, int] | None, label: str) -> None:
    shown = f"{size[0]} x {size[1]} pixels" if size else f"{pixels / 1e6:.0f} million pixels"
    if pixels > MAX_FILE_PIXELS:
        raise ImageError(
            f"{label} has {shown}, more than the {MAX_FILE_PIXELS / 1e6:.0f} million that are read; reduce it first"
        )
    if size and max(size) > MAX_SIDE_IN_FILE_PX:
        raise ImageError(f"{label} has {shown}; sides up to {MAX_SIDE_IN_FILE_PX} are read; reduce it first")
    if size and min(size) < 1:
        raise ImageError(f"{label} has no pixels: {size[0]} x {size[1]}")


def _check_memory(
    image: ImageFile.ImageFile, facts: HeaderFacts, file_size: int, pixels_in_file: int, label: str
) -> None:
    pixels = image.size[0] * image.size[1]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        facts = _tiff_facts(image, label)
    if isinstance(image, BmpImagePlugin.BmpImageFile) and image.tile and image.tile[0][0] == "bmp_rle":
        # Pillow unpacks these in Python, and a single code may skip 255 lines.
        if max(image.size) > _MAX_RLE_SIDE_PX:
            raise ImageError(f"{label} is a run-length coded BMP {image.size[0]} px wide; save it as PNG")
    held = 2 * file_size if facts.file_in_memory else 0
    taken = pixels * _BYTES_OF_MODE.get(image.mode, _BYTES_OF_OTHERS) + facts.extra_bytes + held
    _check_bytes(max(taken, facts.unpacked_bytes), pixels_in_file, label)


def _tiff_facts(image: TiffImagePlugin.TiffImageFile, label: str) -> HeaderFacts:
    """A strip or tile is unpacked at once, at its full depth."""
    width, height = image.size
    tags = image.tag_v2
    offsets = tags.get(TiffImagePlugin.STRIPOFFSETS) or tags.get(TiffImagePlugin.TILEOFFSETS)
    blocks = len(offsets) if isinstance(offsets, tuple) else 1
    if blocks > _MAX_BLOCKS:
        raise ImageError(f"{label} is a TIFF of {blocks} strips or tiles, more than the {_MAX_BLOCKS} that are read")
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    bits = bits if isinstance(bits, tuple) else (bits,)
    samples = max(int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)), len(bits))
    bytes_a_pixel = max(1, samples * max(map(int, bits)) // 8)
    across = int(tags.get(TiffImagePlugin.TILEWIDTH, width))
    down = int(tags.get(TiffImagePlugin.TILELENGTH, min(height, int(tags.get(TiffImagePlugin.ROWSPERSTRIP, height)))))
    packed = not image.tile or image.tile[0][0] != "raw"
    return HeaderFacts(
        extra_bytes=max(0, across * down) * bytes_a_pixel if packed else 0,
        unpacked_bytes=width * height * bytes_a_pixel,
    )


def _check_bytes(taken: int, pixels: int, label: str) -> None:
    if taken > MAX_DECODED_BYTES:
        raise ImageError(
            f"{label} would take {taken / 1e9:.1f} GB to decode ({pixels / 1e6:.0f} million pixels), more than the "
            f"{MAX_DECODED_BYTES / 1e9:.1f} GB that are spent on a picture; reduce it first"
        )


@contextlib.contextmanager
def as_image_error(label: str) -> Iterator[None]:
    """Whatever a decoder raises on a damaged picture becomes one :class:`ImageError` that begins with ``label``."""
    try:
        yield
    except ImageError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise ImageError(f"{label} is not an image in a format that can be read ({FORMATS})") from error
    except HeaderError as error:
        raise ImageError(f"{label} is not read: {error}") from error
    except Image.DecompressionBombError as error:  # Pillow's own limits for some parts of TIFF, WebP and GIF
        raise ImageError(f"{label} has more pixels than are read from its format: {error}; reduce it first") from error
    except MemoryError as error:
        raise ImageError(f"{label} needs more memory to decode than there is") from error
    except Exception as error:  # foreign code: decoders raise nearly every type on damaged files
        raise ImageError(f"{label} is a damaged image file: {reason(error)}") from error


@contextlib.contextmanager
def _recorded_warnings() -> Iterator[Callable[[], list[str]]]:
    """Keeps Pillow's warnings, to be had from the function that it gives; those of other code are issued at the end."""
    home = str(Path(PIL.__file__).parent)
    complaints: list[warnings.WarningMessage] = []

    def said() -> list[str]:
        texts = dict.fromkeys(
            printable(" ".join(str(one.message).split()))
            for one in complaints
            if one.filename.startswith(home) and not issubclass(one.category, Image.DecompressionBombWarning)
        )
        more = len(texts) - _MAX_NOTES
        return [*itertools.islice(texts, _MAX_NOTES), *([f"and {more} other complaints"] if more > 0 else [])]

    try:
        with _lock, warnings.catch_warnings(record=True) as recorded:
            complaints = recorded
            warnings.simplefilter("always")
            yield said
    finally:
        for one in complaints:
            if not one.filename.startswith(home):  # of another thread
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def picture_fault(source: str | os.PathLike[str] | bytes) -> str:
    """Why a picture cannot be read, as far as its header tells; empty if it tells nothing. No pixel is decoded."""
    try:
        with open_picture(source):
            return ""
    except (ImageError, OSError) as error:
        return reason(error)


def strips(image: Image.Image, mode: str | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """A decoded picture from top to bottom: first row of each strip, and its pixels ``(h, W)`` or ``(h, W, C)``.

    Arrays and conversions of whole pictures would take several times the picture's own memory.

    Args:
        image: its pixels are decoded first if they are not yet.
        mode: of Pillow, to convert to.
    """
    image.load()
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        part = image.crop((0, top, width, min(height, top + rows)))
        yield top, np.asarray(part.convert(mode) if mode and mode != part.mode else part)


def read_rgb(source: str | os.PathLike[str] | bytes) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels as they are in the file, as RGB: neither turned upright nor converted to sRGB nor reduced.

    Raises what :func:`open_picture` raises.
    """
    with open_picture(source) as opened:
        image = opened.image
        pixels = image.size[0] * image.size[1]
        _check_bytes(pixels * (3 + _BYTES_OF_MODE.get(image.mode, _BYTES_OF_OTHERS)), pixels, _label(source))
        result = np.zeros((image.size[1], image.size[0], 3), np.uint8)
        for top, strip in strips(image, "RGB"):
            result[top : top + len(strip)] = strip
        return result


def read_grey(source: str | os.PathLike[str] | bytes) -> UInt8[np.ndarray, "h w"]:
    """The pixels as grey values of 8 bits. Raises what :func:`open_picture` raises."""
    with open_picture(source) as opened:
        image = opened.image
        result = np.zeros((image.size[1], image.size[0]), np.uint8)
        for top, strip in strips(image, "L"):
            result[top : top + len(strip)] = strip
        return result


def read_grey16(source: str | os.PathLike[str] | bytes) -> UInt16[np.ndarray, "h w"]:
    """The values of a grey picture of 16 bits.

    Raises:
        ImageError, OSError: as :func:`open_picture`; also a picture of another depth, or values beyond 16 bits.
    """
    with open_picture(source) as opened:
        image = opened.image
        if image.mode not in ("I", "I;16", "I;16B"):
            raise ImageError(f"{_label(source)} is no 16-bit picture of grey values (mode {image.mode})")
        result = np.zeros((image.size[1], image.size[0]), np.uint16)
        for top, strip in strips(image):
            if strip.min() < 0 or strip.max() > 65535:
                raise ImageError(f"{_label(source)} holds values from {strip.min()} to {strip.max()}, beyond 16 bits")
            result[top : top + len(strip)] = strip
        return result


def _label(source: str | os.PathLike[str] | bytes) -> str:
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else printable(source)
