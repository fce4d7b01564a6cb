"""HEIC photos and the depth in them, on files that are written here as phones write them."""

import sys

import numpy as np
import pytest
from heic_writer import apple_xmp, can_write, heic_bytes

from recon.io.heic_depth import DepthScale, xmp_packets
from recon.io.image import ImageError, read_image

_MATRIX = [[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]
_Y, _X = np.mgrid[:96, :64]
_RGB = np.stack((_X * 3, _Y * 2, 255 - _X * 2), axis=2).astype(np.uint8)
_CODES = (60 + 2 * _Y[::2, ::2] + _X[::2, ::2]).astype(np.uint8)

needs_encoder = pytest.mark.skipif(not can_write(), reason="FFmpeg without an HEVC encoder")


@pytest.fixture(autouse=True)
def decoder():
    pytest.importorskip("pi_heif")


@needs_encoder
def test_a_photo_comes_with_its_measured_depth(tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(heic_bytes(_RGB, _CODES, apple_xmp((0.5, 3.0), matrix=_MATRIX)))
    for source in (path, path.read_bytes()):
        photo = read_image(source)
        assert np.abs(photo.pixels.astype(int) - _RGB).max() < 12  # chroma is halved
        found = photo.measured_depth
        assert found is not None and found.metric and found.depth_mm.shape == (48, 32)
        np.testing.assert_allclose(found.depth_mm, 1000.0 / (0.5 + _CODES / 255.0 * 2.5), rtol=1e-6)
        assert photo.focal_px == pytest.approx(500.0 / 640.0 * 96.0)
        assert any("depth map of 32 x 48 px is measured" in note for note in photo.notes)


@needs_encoder
@pytest.mark.parametrize(
    ("depth", "xmp", "note"),
    [
        (None, None, None),
        (_CODES, None, "does not say what its numbers mean"),
        (_CODES, apple_xmp((0.5, 3.0), native="1278226488"), "does not say what its numbers mean"),
        (_CODES, apple_xmp((-3.0, -0.5)), "holds no positive depth"),
        (_CODES[:32], apple_xmp((0.5, 3.0)), "they show different parts of the scene"),
    ],
    ids=["none", "no packet", "a matte", "nothing known", "another shape"],
)
def test_depth_that_cannot_be_used_is_left_aside_with_a_word(depth, xmp, note):
    photo = read_image(heic_bytes(_RGB, depth, xmp))
    assert photo.measured_depth is None and photo.focal_px is None
    assert (photo.notes == ()) if note is None else any(note in said for said in photo.notes)


@needs_encoder
def test_depth_of_two_lenses_is_no_measured_distance():
    photo = read_image(heic_bytes(_RGB, _CODES, apple_xmp((0.4, 2.0), accuracy="relative")))
    assert photo.measured_depth is not None and not photo.measured_depth.metric
    assert any("tells what is nearer, not how far" in note for note in photo.notes)


def test_codes_stand_for_metres_or_for_their_inverse():
    codes = np.array([[0, 51, 255]], np.uint8)
    inverse = DepthScale.of_xmp(apple_xmp((0.0, 5.0)))
    np.testing.assert_allclose(inverse.depth_mm(codes), [[np.nan, 1000.0, 200.0]])
    plain = DepthScale.of_xmp(apple_xmp((0.5, 1.5), native="fdep"))
    np.testing.assert_allclose(plain.depth_mm(codes), [[500.0, 700.0, 1500.0]])


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x/>',
        apple_xmp((0.5, "nan")),
        apple_xmp((0.5, 1.0), native=str(1 << 40)),
    ],
)
def test_packets_that_make_no_sense_say_nothing(packet):
    assert DepthScale.of_xmp(packet) is None


def test_packets_are_found_between_other_bytes():
    one, two = apple_xmp((0.5, 1.0)), apple_xmp((1.0, 2.0))
    assert xmp_packets(b"\0abc" + one + b"\xff" * 9 + two + b"<x:xmpmeta without an end") == [one, two]


@needs_encoder
def test_without_the_decoder_its_extra_is_named(monkeypatch, tmp_path):
    for name in ("pi_heif", "pi_heif.as_plugin"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "photo.heic"
    path.write_bytes(heic_bytes(_RGB))
    with pytest.raises(ImageError, match=r"is a HEIC picture: .*facerecon\[heic\].*export it as JPEG"):
        read_image(path)


@needs_encoder
def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    data = heic_bytes(_RGB, _CODES, apple_xmp((0.5, 3.0)))
    for cut in (40, 200, len(data) - 60):
        path = tmp_path / f"cut{cut}.heic"
        path.write_bytes(data[:cut])
        with pytest.raises(ImageError, match=f"cut{cut}.heic"):
            read_image(path)
