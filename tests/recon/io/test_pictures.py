"""Pictures that were made to hurt: each must end soon, small, and as an error that names the file."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.detection import read_image
from recon.io import pictures
from recon.io.pictures import ImageError, open_picture, picture_fault, read_grey, read_grey16, read_rgb


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 2,
    before: bytes = b"",
    after: bytes = b"",
    black: bool = True,
) -> bytes:
    """A black picture, packed as small as it can be, or its header alone."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width * depth * {0: 1, 2: 3, 3: 1, 6: 4}[colour] // 8)
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()]) if black else b""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", packed) + after + chunk(b"IEND", b"")


def progressive(width: int, height: int, more_scans: int = 0, mode: str = "L") -> bytes:
    """A JPEG of a few hundred bytes that claims any size and repeats its last scan."""
    data = encoded(Image.new(mode, (16, 16)), "JPEG", progressive=True, subsampling=0)
    frame = data.find(b"\xff\xc2")
    data = data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[last:end] * more_scans + data[end:]


def tiff(*fields: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + data


def bmp(width: int, height: int, data: bytes) -> bytes:
    """Run-length coded, 8 bit."""
    start = 14 + 40 + 1024
    head = struct.pack("<IHHI", start + len(data), 0, 0, start)
    return (
        b"BM"
        + head
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 1, 1, 256, 0)
        + bytes(1024)
        + data
    )


def shared_exif(n_fields: int, n_bytes: int) -> bytes:
    """Fields that all name the same bytes as their value."""
    first = 8
    second = first + 2 + 12 * n_fields + 4
    value = second + 2 + 12 * n_fields + 4
    fields = b"".join(struct.pack("<HHII", 40000 + k, 5, n_bytes // 8, value) for k in range(n_fields))
    pointer = struct.pack("<HHII", 0x8769, 4, 1, second)
    lists = (
        struct.pack("<H", n_fields) + pointer + fields[12:] + bytes(4) + struct.pack("<H", n_fields) + fields + bytes(4)
    )
    return b"II*\0" + struct.pack("<I", first) + lists + b"\1" * n_bytes


small = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)

BOMBS = {
    "compressed text": (
        lambda: png(8, 8, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))),
        "Decompressed data too large",
    ),
    "long text": (lambda: png(8, 8, after=chunk(b"tEXt", b"a\0" + bytes(33_000_000))), "more text and metadata"),
    "pixels": (lambda: png(60_000, 6_000, 1, 0, black=False), "60000 x 6000 pixels, more than the 300 million"),
    "bytes": (lambda: png(17_000, 9_000, 8, 6, black=False), r"would take 1\.2 GB to decode"),
    "deep": (lambda: png(14_000, 10_000, 16, 6, black=False), r"would take 1\.1 GB to decode"),
    "scans": (lambda: progressive(16_000, 16_000, 60), "progressive JPEG of 25. million samples in 24 scans"),
    "coefficients": (lambda: progressive(15_000, 13_000, 0, "RGB"), r"would take 1\.4 GB to decode \(195 million"),
    "fill bytes": (lambda: b"\xff\xd8\xff" + b"\xff" * 50_000, "far more than a sound file does"),
    "empty segments": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 50_000, "far more than a sound file does"),
    "metadata": (lambda: b"\xff\xd8" + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 4, "more metadata than is read"),
    "canvas": (
        lambda: b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff\xff\0" * 2 + bytes(12),
        "4295 million pixels, more than",
    ),
    "tags": (lambda: shared_exif(2_000, 100_000), "far more than a sound file|not an image in a format"),
    "tile": (
        lambda: tiff(
            (256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
            (322, 4, 1, 1 << 16), (323, 4, 1, 1 << 15), (324, 4, 1, 8), (325, 4, 1, 100),
        ),
        r"would take 2\.1 GB|more pixels than are read from its format",
    ),
    "delta": (lambda: bmp(90_000, 100, b"\0\2\xff\xff" * 9), "run-length coded BMP 90000 px wide"),
    "one-pixel runs": (lambda: bmp(10_000, 10_000, b"\1\1" * 50_000), "far more than a sound file does"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image in a format"),
    "sides": (lambda: png(200_000, 1, black=False), "sides up to 100000 are read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Smaller bombs do, and types are checked at every call in tests.
    monkeypatch.setattr(pictures, "_HEADER_CALLS", 10_000)
    monkeypatch.setattr(pictures, "_DECODING_CALLS", 10_000)
    make, message = BOMBS[name]
    path = tmp_path / "photo.jpg"
    path.write_bytes(make())
    with pytest.raises(ImageError, match=rf"photo\.jpg.*({message})"):
        read_image(path)


_MEASURED = """
import sys
from recon.io.pictures import MAX_DECODED_BYTES
from recon.io.image import read_image
def at_most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3
before = at_most()
photo = read_image(sys.argv[1])
print(at_most() - before, photo.pixels.max())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is asked from /proc")
def test_deep_pictures_are_reduced_before_they_are_converted(tmp_path: Path) -> None:
    # 30 million pixels of 16 bits: 60 MB as they are, 776 MB when numpy computed on all of them.
    path = tmp_path / "deep.png"
    path.write_bytes(png(6_000, 5_000, 16, 0))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, path], capture_output=True, text=True, timeout=60, check=True
    )
    megabytes, brightest = done.stdout.split()
    assert float(megabytes) < 350.0 and brightest == "0"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    program = (
        "import sys\nfrom recon.io.pictures import picture_fault\nfor path in sys.argv[1:]: print(picture_fault(path))"
    )
    paths = [tmp_path / "pipe.png", tmp_path / "endless.png", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, timeout=30, check=True
    )
    pipe, endless, folder = done.stdout.splitlines()
    assert "pipe.png is a pipe, socket or device" in pipe
    assert "endless.png is a pipe, socket or device" in endless
    assert "is a folder" in folder


def test_the_size_of_a_file_is_known_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "long.jpg", "wb") as file:
        file.write(encoded(Image.fromarray(small), "JPEG"))
        file.truncate(1_100_000_000)  # of holes
    with pytest.raises(ImageError, match=r"long\.jpg has 1100 MB, more than the 1000 MB that are read"):
        read_image(tmp_path / "long.jpg")


def test_ghostscript_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    for read in (read_image, read_rgb, read_grey, read_grey16):
        with pytest.raises(ImageError, match="not an image in a format"):
            read(path)
    assert not (tmp_path / "was-run").exists()


def test_exif_fields_that_share_their_values_are_left_aside() -> None:
    data = encoded(Image.fromarray(small), "PNG")
    photo = read_image(data[:33] + chunk(b"eXIf", shared_exif(3_000, 300_000)) + data[33:])
    np.testing.assert_array_equal(photo.pixels, small)
    assert photo.notes == ("its EXIF data are damaged, so orientation and focal length are unknown",)


def test_endless_animations_are_not_counted_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_FRAME_CALLS", 10_000)
    frame = b"," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    photo = read_image(b"GIF89a" + struct.pack("<HH", 8, 8) + b"\x80\0\0" + bytes(6) + frame * 5_000 + b";")
    assert photo.notes[0] == "the first of several frames was taken"


def test_pictures_over_pillow_s_limit_are_read_and_it_stays_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # and an error over 200
    seen = []
    load = pictures.open_picture

    def spying(*args, **kwargs):
        seen.append(Image.MAX_IMAGE_PIXELS)
        return load(*args, **kwargs)

    monkeypatch.setattr("recon.io.image.open_picture", spying)
    data = encoded(Image.fromarray(small), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = read_image(data)
    np.testing.assert_array_equal(photo.pixels, small)
    assert photo.notes == () and seen == [100]
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))


def test_warnings_of_pillow_become_notes_and_never_escape() -> None:
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(5)
    data = encoded(Image.fromarray(small), "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture_fault(data) == ""
        assert read_rgb(data).shape == small.shape
        assert any("EXIF" in note for note in read_image(data).notes)


def test_pictures_are_read_in_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(small), "PNG"))
    before, found = list(warnings.filters), []
    threads = [threading.Thread(target=lambda: found.append(read_image(path).pixels)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(np.array_equal(pixels, small) for pixels in found)
    assert warnings.filters == before


def test_names_in_messages_can_be_printed(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9\x1b[2J.jpg"
    with open(path, "wb") as file:
        file.write(b"no picture")
    with pytest.raises(ImageError) as fault:
        read_image(os.fsdecode(path))
    assert str(fault.value).encode() and r"caf\xe9\x1b[2J.jpg" in str(fault.value)


def test_memory_that_runs_out_and_deep_recursion_are_faults_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.fromarray(small), "PNG")
    for raised, words in (
        (MemoryError(), "more memory"),
        (RecursionError("too deep"), "damaged"),
        (AttributeError("x"), "x"),
    ):

        def fails(image, raised=raised):
            raise raised

        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fails)
        with pytest.raises(ImageError, match=words):
            read_rgb(data)


def test_mutated_files_raise_nothing_else() -> None:
    image, rng = Image.fromarray(small), random.Random(7)
    whole = [encoded(image, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]
    whole += [encoded(image, "JPEG", progressive=True), encoded(image.convert("P"), "PNG", transparency=3)]
    whole += [encoded(Image.fromarray(small[..., 0].astype(np.uint16)), "PNG")]
    faults = 0
    for _ in range(500):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.choice((1, 2, 4))):
            data[rng.randrange(min(len(data), rng.choice((60, 10_000))))] = rng.choice(
                (0, 127, 255, rng.randrange(256))
            )
        try:
            read_image(bytes(data))
        except ImageError:
            faults += 1
    assert faults > 50


def test_plain_readers_give_the_file_s_own_pixels() -> None:
    image = Image.fromarray(small)
    np.testing.assert_array_equal(read_rgb(encoded(image, "PNG")), small)
    np.testing.assert_array_equal(
        read_rgb(encoded(image.convert("P"), "GIF")), np.array(image.convert("P").convert("RGB"))
    )
    np.testing.assert_array_equal(read_grey(encoded(image, "BMP")), np.array(image.convert("L")))
    deep = small[..., 0].astype(np.uint16) * 200
    np.testing.assert_array_equal(read_grey16(encoded(Image.fromarray(deep), "PNG")), deep)
    with pytest.raises(ImageError, match=r"no 16-bit picture of grey values \(mode RGB\)"):
        read_grey16(encoded(image, "PNG"))
    with open_picture(encoded(image, "JPEG"), draft_px=10) as opened:
        assert opened.size_in_file == (30, 24) and opened.image.size == (15, 12)


def test_a_tall_picture_is_joined_from_its_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", 100)  # three rows of 30, the last strip of other height
    values = np.random.default_rng(1).integers(0, 65536, (25, 30), dtype=np.uint16)
    data = encoded(Image.fromarray(values), "PNG")
    np.testing.assert_array_equal(read_grey16(data), values)
    wanted = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(data).pixels, np.stack([wanted] * 3, axis=-1))
