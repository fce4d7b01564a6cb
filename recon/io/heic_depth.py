"""The depth that HEIC photos of phones hold beside the picture.

Apple's files hold disparity or depth in 8 or more bits as an auxiliary picture, and what the codes mean in an XMP packet:
``IntMinValue`` to ``IntMaxValue`` stand evenly for ``FloatMinValue`` to ``FloatMaxValue``, which are 1 / m for the native formats
``hdis`` and ``fdis`` and m for ``hdep`` and ``fdep``. ``Accuracy`` is ``absolute`` where distances are measured (TrueDepth, LiDAR),
and ``relative`` where two lenses only tell what is nearer. Decoders hand the packet out with the picture that it is of at best,
so it is found where XMP packets are made to be found, in the bytes of the file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from recon.io.measured_depth import MeasuredDepth, MeasuredDepthError

_PIXELS = "{http://ns.apple.com/pixeldatainfo/1.0/}"
_DEPTH = "{http://ns.apple.com/depthData/1.0/}"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_INVERSE = {"hdis": True, "fdis": True, "hdep": False, "fdep": False}
_BEGIN, _END = b"<x:xmpmeta", b"</x:xmpmeta>"
_MAX_PACKETS = 64
_MAX_PACKET_BYTES = 4_000_000
_MM = 1000.0


@dataclasses.dataclass(frozen=True)
class DepthScale:
    """What the codes of a depth picture mean.

    Attributes:
        codes: the least and the largest.
        values: what they stand for: m, or 1 / m.
        inverse: values are 1 / m.
        metric: distances are measured.
        focal_sides: focal length in longer sides of the photo, or None.
    """

    codes: tuple[float, float]
    values: tuple[float, float]
    inverse: bool
    metric: bool
    focal_sides: float | None = None

    @classmethod
    def of_xmp(cls, packet: bytes) -> DepthScale | None:
        """From an XMP packet; None if it is of something else than depth, or does not say what codes mean."""
        fields = _fields(packet)
        kind = _INVERSE.get(_four_characters(fields.get(f"{_PIXELS}NativeFormat", [""])[0]))
        names = ("IntMinValue", "IntMaxValue", "FloatMinValue", "FloatMaxValue")
        numbers = [_number(fields.get(_PIXELS + name, [""])[0]) for name in names]
        low, high, first, last = numbers
        if kind is None or low is None or high is None or first is None or last is None or not low < high:
            return None
        metric = fields.get(f"{_DEPTH}Accuracy", [""])[0].strip().lower() == "absolute"
        return cls((low, high), (first, last), kind, metric, _focal_sides(fields))

    def depth_mm(self, codes: np.ndarray) -> Float[np.ndarray, "h w"]:
        """Millimetres of codes; nan where they stand for nothing in front of the camera."""
        share = (codes.astype(np.float64) - self.codes[0]) / (self.codes[1] - self.codes[0])
        values = self.values[0] + share * (self.values[1] - self.values[0])
        known = np.isfinite(values) & (values > 1e-4)
        metres = np.where(known, values, 1.0)
        return np.where(known, _MM / metres if self.inverse else _MM * metres, np.nan)


def xmp_packets(data: bytes) -> list[bytes]:
    """The XMP packets of a file, the first ones if there are very many."""
    found: list[bytes] = []
    place = 0
    while len(found) < _MAX_PACKETS and (begin := data.find(_BEGIN, place)) >= 0:
        end = data.find(_END, begin)
        if end < 0:
            break
        place = end + len(_END)
        if place - begin <= _MAX_PACKET_BYTES:
            found.append(data[begin:place])
    return found


def heic_depth(pictures: Sequence[Any], data: bytes, label: str) -> tuple[MeasuredDepth | None, str]:
    """The depth of a HEIC file, and a sentence about it.

    Args:
        pictures: its depth pictures as pi-heif lists them, decoded when they are asked for.
        data: the bytes of the file.
        label: the file, for messages.

    Returns:
        None with a sentence if there is depth that cannot be used, None with "" if there is none.
    """
    if not len(pictures):
        return None, ""
    scales = [scale for packet in xmp_packets(data) if (scale := DepthScale.of_xmp(packet)) is not None]
    if not scales:
        return None, "its depth map was left aside: the file does not say what its numbers mean"
    codes = np.asarray(pictures[0])[:, : pictures[0].size[0]]  # its rows are padded
    try:
        depth = MeasuredDepth(scales[0].depth_mm(codes), scales[0].metric, scales[0].focal_sides, f"depth of {label}")
    except MeasuredDepthError as error:
        return None, f"its depth map was left aside: {error}"
    kind = "measured" if depth.metric else "relative: it tells what is nearer, not how far"
    return depth, f"its depth map of {codes.shape[1]} x {codes.shape[0]} px is {kind}"


def _fields(packet: bytes) -> dict[str, list[str]]:
    """Texts by name: an element's own, or those of its list; and attributes. Empty for XML that is none."""
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return {}
    try:
        root = ElementTree.fromstring(packet)
    except (ElementTree.ParseError, RecursionError, ValueError):
        return {}
    found: dict[str, list[str]] = {}
    for described in root.iter(f"{_RDF}Description"):
        for name, value in described.attrib.items():
            found.setdefault(name, [value])
        for child in described:
            items = [item.text or "" for item in child.iter(f"{_RDF}li")]
            found.setdefault(child.tag, items or [child.text or ""])
    return found


def _focal_sides(fields: dict[str, list[str]]) -> float | None:
    """From the matrix, whose nine numbers go column by column, and the size that it is given for."""
    matrix = [_number(text) for text in fields.get(f"{_DEPTH}IntrinsicMatrix", [])]
    size = [_number(fields.get(f"{_DEPTH}IntrinsicMatrixReference{side}", [""])[0]) for side in ("Width", "Height")]
    if len(matrix) != 9 or matrix[0] is None or matrix[4] is None or None in size:
        return None
    longer = max(side for side in size if side is not None)
    focal = 0.5 * (matrix[0] + matrix[4]) / longer if longer > 0.0 else 0.0
    return focal if 0.1 < focal < 100.0 else None


def _four_characters(text: str) -> str:
    """A pixel format, which is written as the number of its four letters."""
    stripped = text.strip()
    if not stripped.isdecimal() or int(stripped) >= 1 << 32:
        return stripped
    return int(stripped).to_bytes(4, "big").decode("latin-1")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
