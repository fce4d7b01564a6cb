"""The focal length in pixels from what a camera writes into its files."""

from __future__ import annotations

import math
import struct

from PIL import Image

EXIF_BLOCK = 0x8769
_FOCAL_MM = 0x920A
_FOCAL_35MM = 0xA405
_WIDTH, _HEIGHT = 0xA002, 0xA003
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_DIAGONAL_35MM = math.hypot(36.0, 24.0)


def exif_focal_px(exif: Image.Exif, size: tuple[int, int]) -> tuple[float | None, str]:
    """Focal length in pixels of the picture as stored, and a note if the file's data cannot be used.

    Taken from the 35 mm equivalent (which compares picture diagonals, CIPA DCG-001) if there is one, else from the focal
    length and the sensor's pixel pitch. Turning the picture upright changes nothing; whoever resizes it scales the value.

    Args:
        exif: as Pillow reads it.
        size: (W, H) of the picture in the file, px, before any turning.

    Returns:
        ``(focal_px, "")``; or ``(None, "")`` if the file says nothing; or ``(None, reason)`` if what it says is unusable:
        the picture was cropped since it was taken, or the value is beyond any lens (0.3 to 40 times the longer side).
    """
    block = exif.get_ifd(EXIF_BLOCK)
    width, height = size
    taken = _number(block.get(_WIDTH)), _number(block.get(_HEIGHT))
    taken_width = taken[0] or float(width)
    if taken[0] and taken[1]:
        aspects = sorted((width / height, taken[0] / taken[1]))
        turned = sorted((width / height, taken[1] / taken[0]))
        if turned[1] / turned[0] < aspects[1] / aspects[0]:
            taken_width, aspects = taken[1], turned
        if aspects[1] / aspects[0] > 1.02:
            return None, (
                f"the EXIF focal length was left aside: the picture was {taken[0]:.0f} x {taken[1]:.0f} pixels when "
                f"taken and is {width} x {height}, so it was cropped"
            )
    focal_35mm, focal_mm = _number(block.get(_FOCAL_35MM)), _number(block.get(_FOCAL_MM))
    per_unit = _number(block.get(_PLANE_X_RESOLUTION))
    unit_mm = _UNIT_MM.get(int(_number(block.get(_PLANE_UNIT)) or 2))
    if focal_35mm:
        focal_px = focal_35mm * math.hypot(width, height) / _DIAGONAL_35MM
    elif focal_mm and per_unit and unit_mm:
        focal_px = focal_mm * per_unit / unit_mm * width / taken_width
    else:
        return None, ""
    relative = focal_px / max(width, height)
    if not 0.3 <= relative <= 40.0:
        return None, f"the EXIF focal length was left aside: {relative:.3g} times the longer side is beyond any lens"
    return focal_px, ""


_MAX_VALUE_BYTES = 1 << 20
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def exif_is_bounded(data: bytes) -> bool:
    """Whether the values of EXIF data are in all about as long as the data.

    A field says where its value lies, so thousands of fields can name the same 60 kB; Pillow reads each of them, and makes
    numbers of them all. Data that cannot be followed count as bounded: Pillow cannot follow them either.

    Args:
        data: the TIFF structure, with or without the ``Exif\\0\\0`` before it.
    """
    while data.startswith(b"Exif\0\0"):
        data = data[6:]
    order = "<" if data[:2] == b"II" else ">"
    total = 0
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        places = [first]
        for place in places:
            (count,) = struct.unpack_from(order + "H", data, place)
            for k in range(count):
                tag, kind, n, value = struct.unpack_from(order + "HHII", data, place + 2 + 12 * k)
                total += min(n * _TYPE_BYTES.get(kind, 0), len(data))
                if tag == EXIF_BLOCK and len(places) < 2:
                    places.append(value)
    except struct.error:
        pass
    return total <= _MAX_VALUE_BYTES


def _number(value: object) -> float | None:
    """A positive finite float, or None; EXIF fields may hold anything."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
