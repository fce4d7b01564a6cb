from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.detection import ImageError, exif_focal_px, read_image
from recon.io.image import MAX_SIDE_PX

ORIENTATION, EXIF_BLOCK = 0x0112, 0x8769


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_with(orientation: int = 1, **camera: object) -> Image.Exif:
    tags = dict(focal=0x920A, focal35=0xA405, width=0xA002, height=0xA003, resolution=0xA20E, unit=0xA210)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    block = exif.get_ifd(EXIF_BLOCK)
    for name, value in camera.items():
        block[tags[name]] = value
    return exif


@pytest.fixture
def small(astronaut: np.ndarray) -> np.ndarray:
    return astronaut[50:190:2, 150:310:2]  # 70 x 80, no square


def test_every_way_to_give_a_picture(small: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "Zoë the first.png"
    path.write_bytes(encoded(Image.fromarray(small), "PNG"))
    for source in (path, str(path), path.read_bytes(), Image.fromarray(small), Image.open(path), small):
        photo = read_image(source)
        np.testing.assert_array_equal(photo.pixels, small)
        assert photo.pixels.dtype == np.uint8 and photo.scale == 1.0 and photo.focal_px is None and photo.notes == ()
    assert read_image(path).source == str(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_formats(small: np.ndarray, kind: str) -> None:
    read = read_image(encoded(Image.fromarray(small), kind)).pixels
    assert np.abs(read.astype(int) - small).mean() < 6


def test_grey_and_sixteen_bits(small: np.ndarray) -> None:
    grey = small[:, :, 1]
    wanted = np.stack([grey] * 3, axis=-1)
    deep = grey.astype(np.uint16) * 257
    for source in (grey, deep, encoded(Image.fromarray(grey), "PNG"), encoded(Image.fromarray(deep), "PNG")):
        np.testing.assert_array_equal(read_image(source).pixels, wanted)
    np.testing.assert_array_equal(read_image(small.astype(np.uint16) * 257).pixels, small)


def test_cmyk_and_palette(small: np.ndarray) -> None:
    photo = read_image(encoded(Image.fromarray(small).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(photo.pixels.astype(int) - small).mean() < 6
    assert photo.notes == ("converted from CMYK to RGB",)
    palette = Image.fromarray(small).quantize(256)
    assert np.abs(read_image(encoded(palette, "PNG")).pixels.astype(int) - small).mean() < 6


def test_transparency_is_laid_on_white(small: np.ndarray) -> None:
    alpha = np.full(small.shape[:2], 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 128
    photo = read_image(encoded(Image.fromarray(np.dstack([small, alpha])), "PNG"))
    assert (photo.pixels[:10] == 255).all()
    np.testing.assert_array_equal(photo.pixels[20:], small[20:])
    np.testing.assert_allclose(photo.pixels[10:20], small[10:20] * (128 / 255) + 127, atol=1.5)
    assert photo.notes == ("transparent pixels were laid on white",)


def test_first_frame_of_an_animation(small: np.ndarray) -> None:
    frames = [Image.fromarray(small), Image.fromarray(255 - small), Image.new("RGB", (80, 70))]
    photo = read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50))
    assert np.abs(photo.pixels.astype(int) - small).mean() < 12
    assert photo.notes[0] == "the first of 3 frames was taken"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(small: np.ndarray, orientation: int) -> None:
    # What a camera held so would have stored; the definition of each value, independent of Pillow.
    stored = {
        1: small,
        2: small[:, ::-1],
        3: small[::-1, ::-1],
        4: small[::-1],
        5: small.transpose(1, 0, 2),
        6: np.rot90(small, 1),
        7: small[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(small, -1),
    }[orientation]
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif_with(orientation))
    photo = read_image(data)
    np.testing.assert_array_equal(photo.pixels, small)
    assert bool(photo.notes) == (orientation != 1)


def test_profile_is_converted_to_srgb() -> None:
    from PIL import ImageCms

    # A profile that is not sRGB and needs no file: Lab, wrongly attached to RGB, must be refused with a note.
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    photo = read_image(encoded(Image.new("RGB", (8, 8), (200, 30, 40)), "PNG", icc_profile=lab))
    assert photo.pixels[0, 0].tolist() == [200, 30, 40]
    assert photo.notes == ("the file's colour profile cannot be used, so its colours were taken as sRGB",)


def test_broken_files_are_named_with_their_fault(astronaut: np.ndarray, tmp_path: Path) -> None:
    jpeg, png = encoded(Image.fromarray(astronaut), "JPEG"), encoded(Image.fromarray(astronaut), "PNG")
    for name, data, fault in (
        ("cut.jpg", jpeg[: len(jpeg) // 2], "is a damaged image file: .*truncated"),
        ("cut.png", png[: len(png) // 2], "is a damaged image file"),
        ("head.jpg", jpeg[:20], "is not an image in a format that can be read"),
        ("empty.jpg", b"", r"is empty \(0 bytes\)"),
        ("text.jpg", b"this is no picture " * 9, "is not an image in a format that can be read"),
        (
            "phone.heic",
            b"\0\0\0\x18ftypheic" + bytes(40),
            "is (not an image in a format that can be read|a HEIC picture)",
        ),
    ):
        path = tmp_path / f"Zoë {name}"
        path.write_bytes(data)
        with pytest.raises(ImageError, match=f"Zoë {name} {fault}"):
            read_image(path)
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.jpg")


def test_other_arrays_and_types_are_refused(small: np.ndarray) -> None:
    for array in (small / 255.0, small[..., :2], small[None], small[:0]):
        with pytest.raises(ImageError, match="uint8 or uint16"):
            read_image(array)
    with pytest.raises(ImageError, match="floating-point pixels"):
        read_image(Image.fromarray(small[..., 0].astype(np.float32)))


def test_damaged_exif_is_noted(small: np.ndarray) -> None:
    data = encoded(Image.fromarray(small), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(5))
    photo = read_image(data)
    assert photo.pixels.shape == small.shape
    assert any("EXIF" in note for note in photo.notes)


def test_large_pictures_are_reduced(astronaut: np.ndarray) -> None:
    wide = Image.fromarray(astronaut).resize((6000, 1500))
    for kind, options in (("JPEG", {}), ("PNG", {"compress_level": 1})):
        photo = read_image(encoded(wide, kind, exif=exif_with(focal35=50), **options))
        assert photo.pixels.shape == (1024, MAX_SIDE_PX, 3)
        assert photo.scale == pytest.approx(MAX_SIDE_PX / 6000)
        assert photo.notes == ("reduced from 6000 x 1500 to 4096 x 1024 pixels",)
        assert photo.focal_px == pytest.approx(50 * np.hypot(4096, 1024) / np.hypot(36, 24))
        small = np.asarray(Image.fromarray(photo.pixels).resize((512, 512)))
        assert np.abs(small.astype(int) - astronaut).mean() < 12


def test_pillow_s_limit_is_put_back_and_ours_applies(monkeypatch: pytest.MonkeyPatch, small: np.ndarray) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    read_image(encoded(Image.fromarray(small), "PNG"))
    assert Image.MAX_IMAGE_PIXELS == limit
    monkeypatch.setattr("recon.io.pictures.MAX_FILE_PIXELS", 5000)
    with pytest.raises(ImageError, match="80 x 70 pixels, more than the"):
        read_image(encoded(Image.fromarray(small), "PNG"))


def test_the_source_is_left_alone(small: np.ndarray) -> None:
    array, image = small.copy(), Image.fromarray(small).convert("P")
    before = image.tobytes()
    read_image(array)
    read_image(image)
    np.testing.assert_array_equal(array, small)
    assert image.mode == "P" and image.tobytes() == before


def test_focal_length_from_35_mm_equivalent() -> None:
    # A full-frame picture of 3600 x 2400 px has 100 px per mm of film.
    assert exif_focal_px(exif_with(focal35=50), (3600, 2400)) == (pytest.approx(5000.0), "")


def test_focal_length_from_the_pixel_pitch() -> None:
    # 8 mm behind a sensor of 4000 px at 5080 px per inch (5 um pitch): 1600 px; half of it in a half-size copy.
    exif = exif_with(focal=8.0, resolution=5080.0, unit=2, width=4000, height=3000)
    assert exif_focal_px(exif, (4000, 3000)) == (pytest.approx(1600.0), "")
    assert exif_focal_px(exif, (2000, 1500)) == (pytest.approx(800.0), "")
    centimetres = exif_with(focal=8.0, resolution=2000.0, unit=3, width=4000, height=3000)
    assert exif_focal_px(centimetres, (4000, 3000)) == (pytest.approx(1600.0), "")


def test_focal_length_that_cannot_be_used() -> None:
    assert exif_focal_px(exif_with(), (640, 480)) == (None, "")
    assert exif_focal_px(exif_with(focal=8.0), (640, 480)) == (None, "")
    focal, note = exif_focal_px(exif_with(focal35=50, width=4000, height=3000), (1500, 1500))
    assert focal is None and "it was cropped" in note
    focal, note = exif_focal_px(exif_with(focal35=5000), (640, 480))
    assert focal is None and "beyond any lens" in note
    # Stored turned by an editor: width and height exchanged is no crop.
    assert exif_focal_px(exif_with(focal35=50, width=3600, height=2400), (2400, 3600))[0] == pytest.approx(5000.0)


def test_focal_length_stays_when_a_photo_is_turned_upright(small: np.ndarray) -> None:
    data = encoded(Image.fromarray(small), "JPEG", exif=exif_with(6, focal35=36))
    photo = read_image(data)
    assert photo.pixels.shape == (80, 70, 3)
    assert photo.focal_px == pytest.approx(36 * np.hypot(80, 70) / np.hypot(36, 24))
