"""EXR and Radiance files that were made to hurt, and sound ones beside them."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from recon.io.read_exr import ExrError, decode_exr, exr_blocks, read_exr_header
from recon.io.read_radiance import RadianceError, decode_radiance
from recon.io.write_exr import encode_exr


def attribute(name: bytes, value: bytes, size: int | None = None) -> bytes:
    return name + b"\0x\0" + struct.pack("<i", len(value) if size is None else size) + value


def exr(
    width: int, height: int, chunks: list[bytes], kinds: str = "f", table: list[int] | None = None, compression: int = 3
) -> bytes:
    """A file of ZIP chunks; each begins with its first line and its size."""
    channels = b"".join(
        f"c{k}".encode() + b"\0" + struct.pack("<iB3xii", {"h": 1, "f": 2}[kind], 0, 1, 1)
        for k, kind in enumerate(kinds)
    )
    head = struct.pack("<ii", 20000630, 2) + attribute(b"compression", bytes([compression]))
    head += attribute(b"channels", channels + b"\0")
    head += attribute(b"dataWindow", struct.pack("<iiii", 0, 0, width - 1, height - 1)) + b"\0"
    places, at = [], len(head) + 8 * len(chunks if table is None else table)
    for chunk in chunks:
        places.append(at)
        at += len(chunk)
    places = places if table is None else table
    return head + struct.pack(f"<{len(places)}Q", *places) + b"".join(chunks)


def zip_chunk(first: int, raw: bytes) -> bytes:
    packed = zlib.compress(raw, 9)
    return struct.pack("<ii", first, len(packed)) + packed


def test_a_negative_size_ends_in_a_second() -> None:
    data = struct.pack("<ii", 20000630, 2) + attribute(b"abcd", b"", -8) + bytes(8)
    program = "import sys\nfrom recon.io.read_exr import decode_exr\ndecode_exr(bytes.fromhex(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, data.hex()], capture_output=True, text=True, timeout=30, check=False
    )
    assert "ExrError: truncated or damaged EXR: -8 bytes are claimed" in done.stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (exr(40_000, 16, [zip_chunk(0, bytes(50_000_000))]), "hold 2560001 bytes or more, 2560000 are expected"),
        (exr(8, 32, [], table=[1 << 63, 1 << 63]), "it refers to byte 9223372036854775808"),
        (exr(8, 32, [], table=[0, 0]), "2 of 2 chunks of lines are missing"),
        (exr(8, 32, [zip_chunk(0, bytes(512))], table=[0, 1]), "damaged EXR"),
        (exr(8, 32, [zip_chunk(0, bytes(512))] * 2), "or comes twice"),
        (exr(8, 32, [zip_chunk(8, bytes(512))] * 2), "begins at line 8"),
        (exr(60_000, 60_000, []), "60000 x 60000 px; up to 300 million are read"),
        (exr(16_000, 8_000, [], "fffh" * 4), r"takes 8\.2 GB"),
        (exr(60_000, 64, [], "f" * 64, table=[0] * 4), "lines take"),
        (exr(8, 16, [], "f" * 65), "more than 64 channels"),
        (exr(8, 16, [], table=[]), "bytes are claimed"),
        (struct.pack("<ii", 20000630, 2) + b"a" * 500, "a name has no end"),
        (struct.pack("<ii", 20000630, 2) + b"\0", "no attribute 'compression'"),
    ],
)
def test_damaged_files_are_named_with_their_fault(data: bytes, message: str) -> None:
    with pytest.raises(ExrError, match=message):
        decode_exr(data)


def test_blocks_join_to_the_picture() -> None:
    values = np.random.default_rng(0).normal(size=(37, 21)).astype(np.float32)
    data = encode_exr({"Z": values, "A": -values})
    joined = np.zeros_like(values)
    header = read_exr_header(data)
    assert (header.width, header.height) == (21, 37)
    for first, block in exr_blocks(data, header):
        assert len(block["Z"]) <= 16
        joined[first : first + len(block["Z"])] = block["Z"]
    np.testing.assert_array_equal(joined, values)
    np.testing.assert_array_equal(decode_exr(data)["A"], -values)


def test_mutated_exr_raises_nothing_else() -> None:
    rng = random.Random(3)
    whole = encode_exr({name: np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3) for name in "RGB"})
    for _ in range(1_000):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 5))):
            data[rng.randrange(len(data))] = rng.choice((0, 127, 128, 255))
        try:
            decode_exr(bytes(data))
        except ExrError:
            pass


HEAD = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEAD + b"-Y 30000 +X 60000\n", "up to 300 million are read"),
        (HEAD + b"-Y 8000 +X 16000\n", r"take 1\.5 GB"),
        (HEAD + b"-Y 99999999999 +X 4\n", "only RGBE pictures"),
        (HEAD + b"#" * 100_000 + b"-Y 4 +X 8\n", "only RGBE pictures"),
        (HEAD + b"-Y 4 +X 8\n" + bytes(100), "truncated"),
        (HEAD + b"-Y 1 +X 8\n\x02\x02\0\x08" + b"\0" * 40, "runs are damaged"),
        (HEAD + b"-Y 1 +X 8\n\x02\x02\0\x08\xff\x01" + b"\0" * 40, "runs are damaged"),
        (HEAD + b"-Y 1 +X 8\n\x02\x02\0\x08\x08\x01", "truncated"),
        (HEAD + b"-Y 1 +X 8\n\x02\x02\0\x08\x88", "truncated"),
    ],
)
def test_damaged_radiance_files(data: bytes, message: str) -> None:
    with pytest.raises(RadianceError, match=message):
        decode_radiance(data)


_MEASURED = """
import sys
from pathlib import Path
from recon.synthesis.scene.environments import read_environment
read_environment(Path(sys.argv[2]))
def at_most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3
before = at_most()
picture = read_environment(Path(sys.argv[1]))
print(at_most() - before, *picture.shape, float(picture.min()), float(picture.max()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is asked from /proc")
def test_large_radiance_maps_are_reduced_while_they_are_read(tmp_path: Path) -> None:
    # 3000 x 6000 px: 216 MB in float32, and three times that when it was computed in float64.
    runs = [bytes([128 + 120, value]) * 50 for value in (128, 128, 128, 129)]
    line = b"\x02\x02" + struct.pack(">H", 6_000) + b"".join(runs)
    (tmp_path / "large.hdr").write_bytes(HEAD + b"-Y 3000 +X 6000\n" + line * 3_000)
    (tmp_path / "small.hdr").write_bytes(HEAD + b"-Y 4 +X 8\n" + b"\x80\x80\x80\x81" * 32)
    arguments = [sys.executable, "-c", _MEASURED, tmp_path / "large.hdr", tmp_path / "small.hdr"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    megabytes, *rest = done.stdout.split()
    assert float(megabytes) < 200.0
    assert [float(number) for number in rest] == [3, 1500, 3000, 1.00390625, 1.00390625]
