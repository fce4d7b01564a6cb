"""Writes HEIC files as phones do: a picture, depth beside it and the XMP packet that says what the depth means.

The pictures are coded by the HEVC encoder of PyAV's FFmpeg; the container is that of ISO/IEC 23008-12.
"""

import struct

import av
import numpy as np

DEPTH_URN = b"urn:mpeg:hevc:2015:auxid:2\0"


def can_write() -> bool:
    return "libx265" in av.codecs_available


def apple_xmp(values, native="1751411059", accuracy="absolute", matrix=None, size=(640, 480)):
    """What Apple's phones write: values for the codes 0 to 255, and the matrix column by column."""
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in np.asarray(matrix).T.ravel()) if matrix is not None else ""
    camera = (
        f"<depthData:IntrinsicMatrix><rdf:Seq>{items}</rdf:Seq></depthData:IntrinsicMatrix>"
        f"<depthData:IntrinsicMatrixReferenceWidth>{size[0]}</depthData:IntrinsicMatrixReferenceWidth>"
        f"<depthData:IntrinsicMatrixReferenceHeight>{size[1]}</depthData:IntrinsicMatrixReferenceHeight>"
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" '
        f'xmlns:depthData="http://ns.apple.com/depthData/1.0/" apdi:NativeFormat="{native}">'
        "<apdi:IntMinValue>0</apdi:IntMinValue><apdi:IntMaxValue>255</apdi:IntMaxValue>"
        f"<apdi:FloatMinValue>{values[0]}</apdi:FloatMinValue><apdi:FloatMaxValue>{values[1]}</apdi:FloatMaxValue>"
        f"<depthData:Accuracy>{accuracy}</depthData:Accuracy>{camera if matrix is not None else ''}"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def heic_bytes(rgb, depth_codes=None, xmp=None):
    """A file. ``rgb`` and ``depth_codes`` are uint8 with sides of multiples of 16 px."""
    items = [(1, b"hvc1", *_coded(rgb, "yuv420p"))]
    if depth_codes is not None:
        items.append((2, b"hvc1", *_coded(depth_codes, "gray")))
    if xmp is not None:
        items.append((3, b"mime", xmp, b""))
    infos = b"".join(_infe(number, kind) for number, kind, *_ in items)
    properties, uses = b"", []
    for number, kind, _, config in items:
        if kind == b"hvc1":
            height, width = (rgb if number == 1 else depth_codes).shape[:2]
            made = [config, _full(b"ispe", struct.pack(">II", width, height))]
            if number == 2:
                made.append(_full(b"auxC", DEPTH_URN))
            start = sum(len(places) for _, places in uses)
            uses.append((number, [start + k + 1 for k in range(len(made))]))
            properties += b"".join(made)
    ipma = struct.pack(">I", len(uses)) + b"".join(
        struct.pack(">HB", number, len(places)) + bytes(place | 0x80 for place in places) for number, places in uses
    )
    references = b""
    if depth_codes is not None:
        references += _box(b"auxl", struct.pack(">HHH", 2, 1, 1))
    if xmp is not None:
        references += _box(b"cdsc", struct.pack(">HHH", 3, 1, 2 if depth_codes is not None else 1))

    def meta(places):
        located = b"".join(
            struct.pack(">HHHII", number, 0, 1, place, len(data))
            for (number, _, data, _), place in zip(items, places, strict=True)
        )
        return _full(
            b"meta",
            _full(b"hdlr", struct.pack(">I4s12x", 0, b"pict") + b"\0")
            + _full(b"pitm", struct.pack(">H", 1))
            + _full(b"iloc", struct.pack(">BBH", 0x44, 0, len(items)) + located)
            + _full(b"iinf", struct.pack(">H", len(items)) + infos)
            + (_full(b"iref", references) if references else b"")
            + _box(b"iprp", _box(b"ipco", properties) + _full(b"ipma", ipma)),
        )

    ftyp = _box(b"ftyp", b"heic" + struct.pack(">I", 0) + b"mif1heic")
    start = len(ftyp) + len(meta([0] * len(items))) + 8
    places = []
    for _, _, data, _ in items:
        places.append(start)
        start += len(data)
    return ftyp + meta(places) + _box(b"mdat", b"".join(data for _, _, data, _ in items))


def _coded(pixels, pix_fmt):
    """The picture's slices with their lengths, and the box with its parameter sets."""
    context = av.CodecContext.create("libx265", "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base = pix_fmt, 1
    context.options = {"x265-params": "log-level=none:lossless=1:keyint=1:pools=1:frame-threads=1"}
    frame = av.VideoFrame.from_ndarray(pixels, format="gray" if pixels.ndim == 2 else "rgb24").reformat(format=pix_fmt)
    stream = b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
    units = [unit.rstrip(b"\0") for unit in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    kinds = [unit[0] >> 1 & 63 for unit in units]
    sets = {kind: unit for kind, unit in zip(kinds, units, strict=True) if kind in (32, 33, 34)}
    profile = sets[33].replace(b"\0\0\3", b"\0\0")[3:15]
    arrays = b"".join(struct.pack(">BHH", 0x80 | kind, 1, len(sets[kind])) + sets[kind] for kind in (32, 33, 34))
    chroma = 0 if pix_fmt == "gray" else 1
    config = bytes([1]) + profile + bytes([0xF0, 0, 0xFC, 0xFC | chroma, 0xF8, 0xF8, 0, 0, 0x0F, 3]) + arrays
    slices = [unit for kind, unit in zip(kinds, units, strict=True) if kind < 32]
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in slices), _box(b"hvcC", config)


def _infe(number, kind):
    content = b"application/rdf+xml\0" if kind == b"mime" else b""
    return _box(b"infe", struct.pack(">IHH4s", 2 << 24, number, 0, kind) + b"\0" + content)


def _box(kind, data):
    return struct.pack(">I", 8 + len(data)) + kind + data


def _full(kind, data):
    return _box(kind, bytes(4) + data)
