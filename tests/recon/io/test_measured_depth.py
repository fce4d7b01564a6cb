"""Measured depth: files, units, and what is no depth of a face."""

import numpy as np
import pytest

from recon.export import write_depth_exr, write_depth_npy, write_depth_png
from recon.io.image import read_image
from recon.io.measured_depth import MeasuredDepth, MeasuredDepthError, planar_of_rays, read_measured_depth
from recon.io.png import encode_png
from recon.io.write_exr import encode_exr

_Y, _X = np.mgrid[:60, :40] + 0.5
_FACE_MM = 600.0 + 0.3 * ((_X - 20.0) ** 2 + (_Y - 30.0) ** 2)
_BOX = (6.0, 8.0, 34.0, 52.0)


@pytest.mark.parametrize("suffix", ["png", "exr", "npy"])
def test_what_recon_depth_writes_comes_back(suffix, tmp_path):
    holes = _FACE_MM.astype(np.float32)
    holes[3, 4] = np.nan
    write = {"png": write_depth_png, "exr": write_depth_exr, "npy": write_depth_npy}[suffix]
    path = tmp_path / f"d.{suffix}"
    write(path, holes)
    found = read_measured_depth(path)
    np.testing.assert_allclose(found.depth_mm, holes, atol=0.06)
    assert np.isnan(found.depth_mm[3, 4]) and found.metric
    found.check_face(_BOX, (60, 40))


@pytest.mark.parametrize("factor", [0.001, 0.01, 0.1, 10.0, 100.0, 1000.0])
def test_another_unit_is_told_by_the_faces_relief(factor, tmp_path):
    path = tmp_path / "d.npy"
    np.save(path, factor * _FACE_MM)
    with pytest.raises(MeasuredDepthError, match=f"which is no face; a factor of {1.0 / factor:g} would make it one"):
        read_measured_depth(path).check_face(_BOX, (60, 40))


@pytest.mark.parametrize(("unit", "factor"), [("m", 0.001), ("cm", 0.1), ("0.1mm", 10.0), ("mm", 1.0)])
def test_a_unit_that_is_named_is_taken(unit, factor, tmp_path):
    path = tmp_path / "d.npy"
    np.save(path, factor * _FACE_MM)
    found = read_measured_depth(path, unit)
    np.testing.assert_allclose(found.depth_mm, _FACE_MM)
    with pytest.raises(MeasuredDepthError, match="unknown unit of depth 'inch'; known: mm"):
        read_measured_depth(path, "inch")


def test_a_flat_wall_and_a_face_without_depth_are_no_face():
    with pytest.raises(MeasuredDepthError, match="0 mm deep, which is no face; is this depth"):
        MeasuredDepth(np.full((60, 40), 700.0)).check_face(_BOX, (60, 40))
    holes = np.where((_X - 20.0) ** 2 + (_Y - 30.0) ** 2 < 18.0**2, np.nan, _FACE_MM)
    with pytest.raises(MeasuredDepthError, match="pixels on the face have depth"):
        MeasuredDepth(holes).check_face(_BOX, (60, 40))


def test_the_map_has_the_shape_of_the_photo_in_any_size():
    depth = MeasuredDepth(_FACE_MM)
    depth.check_shape((1200, 800))
    grown = depth.at_size((120, 80))
    np.testing.assert_array_equal(grown[::2, ::2], _FACE_MM)
    np.testing.assert_array_equal(grown[1::2, 1::2], _FACE_MM)
    for size in ((800, 1200), (1200, 900)):
        with pytest.raises(MeasuredDepthError, match="is 40 x 60 px and its photo"):
            depth.check_shape(size)


def test_rays_become_planar_depth():
    focal_px = 50.0
    x, y = (_X - 20.0) / focal_px, (_Y - 30.0) / focal_px
    rays = _FACE_MM * np.sqrt(x**2 + y**2 + 1.0)
    found = planar_of_rays(MeasuredDepth(rays), focal_px / 60.0)
    np.testing.assert_allclose(found.depth_mm, _FACE_MM)


def test_an_exr_of_several_channels_is_depth_only_if_it_says_so(tmp_path):
    path = tmp_path / "d.exr"
    flat = _FACE_MM.astype(np.float32)
    path.write_bytes(encode_exr({"R": flat, "G": flat, "B": flat}))
    np.testing.assert_allclose(read_measured_depth(path).depth_mm, flat)
    path.write_bytes(encode_exr({"R": 0.5 * flat, "Z": flat}))
    np.testing.assert_allclose(read_measured_depth(path).depth_mm, flat)
    path.write_bytes(encode_exr({"R": flat, "G": 2.0 * flat, "B": flat}))
    with pytest.raises(MeasuredDepthError, match="channels .*differ and none is called Z"):
        read_measured_depth(path)


def test_files_that_are_no_depth_are_refused_by_name(tmp_path):
    eight = tmp_path / "grey.png"
    eight.write_bytes(encode_png(np.full((6, 4), 9, np.uint8)))
    zeros = tmp_path / "zeros.npy"
    np.save(zeros, np.zeros((6, 4)))
    colours = tmp_path / "colours.npy"
    np.save(colours, np.ones((6, 4, 3)))
    broken = tmp_path / "broken.exr"
    broken.write_bytes(b"v/1\1nothing")
    for path, fault in (
        (eight, "expected a 16-bit grey PNG"),
        (zeros, "holds no positive depth"),
        (colours, r"expected .H, W. numbers, found float64 .6, 4, 3."),
        (broken, "cannot be read as a depth map"),
        (tmp_path / "none.npy", "cannot be read as a depth map"),
        (tmp_path / "photo.jpg", "depth is read from .png, .exr, .npy, not from .jpg"),
    ):
        with pytest.raises(MeasuredDepthError, match=fault) as found:
            read_measured_depth(path)
        assert path.name in str(found.value)


def test_a_photo_of_one_channel_is_a_photo():
    assert read_image(encode_png(np.full((6, 4), 90, np.uint8))).pixels.shape == (6, 4, 3)
