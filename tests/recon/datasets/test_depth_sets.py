"""SynthHuman, EURECOM Kinect and pictures side by side, on tiny sets in their formats."""

import numpy as np
import pytest
from PIL import Image

from recon.datasets import DamagedSample, EurecomReader, SideBySideReader, SynthHumanReader
from recon.evaluation.depth_folder import DepthDataError, face_mask, find_depth
from recon.io.write_exr import encode_exr

_SIZE = (6, 8)
_CM = np.linspace(40.0, 60.0, 48, dtype=np.float32).reshape(_SIZE)


def _photo(path, size=_SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), (200, 120, 90), np.uint8)).save(path)


def _synthhuman(root, number="0000003", depth_cm=_CM):
    _photo(root / f"rgb_{number}.png")
    covered = np.zeros(_SIZE, np.uint8)
    covered[1:5, 2:7] = 255
    covered[0, 0] = 100
    Image.fromarray(covered).save(root / f"alpha_{number}.png")
    (root / f"depth_{number}.exr").write_bytes(encode_exr({"R": depth_cm, "G": depth_cm, "B": depth_cm}))
    normals = {name: np.full(_SIZE, value, np.float32) for name, value in zip("RGB", (0.0, 0.6, 0.8), strict=True)}
    (root / f"normal_{number}.exr").write_bytes(encode_exr(normals))
    (root / f"cam_{number}.txt").write_text("900.0 0.0 4.0\n0.0 901.0 3.0\n0.0 0.0 1.0\n")
    return root


def test_synthhuman_has_depth_in_mm_mask_normals_and_camera(tmp_path):
    far = _CM.copy()
    far[0, 0], far[0, 1] = np.inf, 65504.0
    record = SynthHumanReader(_synthhuman(tmp_path, depth_cm=far))[0]
    assert record.depth_mm is not None and record.mask is not None
    assert record.depth_mm[0, :2].tolist() == [0.0, 0.0]
    assert np.allclose(record.depth_mm[1:], 10.0 * _CM[1:])
    assert record.mask.sum() == 20 and record.mask[1, 2] and not record.mask[0, 0]
    assert record.intrinsics.tolist() == [[900.0, 0.0, 4.0], [0.0, 901.0, 3.0], [0.0, 0.0, 1.0]]
    assert np.allclose(record.labels["normals_published"][2, 3], (0.0, 0.6, 0.8))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("depth_0000003.exr", None, "cannot be read"),
        ("depth_0000003.exr", encode_exr({"R": _CM, "G": _CM + 1.0, "B": _CM}), "of its depth differ"),
        ("depth_0000003.exr", encode_exr({"R": _CM[:3]}), r"has \(3, 8\) px"),
        ("normal_0000003.exr", encode_exr({"Y": _CM}), "X, Y, Z or R, G, B"),
        ("alpha_0000003.png", b"no picture", "cannot be read"),
        ("cam_0000003.txt", b"900 0 4 0 901 3", "holds 6 numbers"),
        ("cam_0000003.txt", b"-900 0 4 0 901 3 0 0 1", "no matrix of intrinsics"),
        ("cam_0000003.txt", b"900 0 x 0 901 3 0 0 1", "cannot be read"),
    ],
)
def test_damaged_files_of_synthhuman_are_named(file, content, words, tmp_path):
    _synthhuman(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DamagedSample, match=words):
        SynthHumanReader(tmp_path)[0]


def _eurecom(root, person="0007", session="1", state="OpenMouth", levels=None):
    folder = root / person / f"s{session}"
    _photo(folder / "RGB" / f"rgb_{person}_s{session}_{state}.bmp")
    if levels is not None:
        depth = folder / "Depth" / "DepthKinect" / f"depth_{person}_s{session}_Open Mouth.txt"
        depth.parent.mkdir(parents=True, exist_ok=True)
        depth.write_text("\n".join("\t".join(str(value) for value in row) for row in levels))
    return root


def test_eurecom_pairs_pictures_with_the_measured_levels(tmp_path):
    levels = np.arange(700, 748).reshape(_SIZE)
    levels[2, 3] = 0
    _eurecom(tmp_path, levels=levels)
    _eurecom(tmp_path, state="Smile")
    _eurecom(tmp_path, person="0009")
    first, other_state, second = list(EurecomReader(tmp_path))
    assert other_state.name == "0007/s1/Smile" and other_state.depth_mm is None
    assert (first.name, first.identity_number) == ("0007/s1/OpenMouth", 7)
    assert np.array_equal(first.depth_mm, levels.astype(np.float32))
    assert first.intrinsics.tolist() == [[525.0, 0.0, 4.0], [0.0, 525.0, 3.0], [0.0, 0.0, 1.0]]
    assert second.identity_number == 9 and second.depth_mm is None
    assert [record.identity_number for record in EurecomReader(tmp_path, people=(9,))] == [9]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n4 5", "rows of one length"),
        ("", "is empty"),
        ("\n", "rows of one length"),
        ("\n".join(["a " * 8] * 6), "cannot be read"),
        ("\n".join(["1 " * 8] * 5), r"has \(5, 8\) px"),
        ("\n".join(["-1 " * 8] * 6), "between 0 and 10000"),
        ("\n".join(["70000 " * 8] * 6), "between 0 and 10000"),
        ("\n".join(["nan " * 8] * 6), "between 0 and 10000"),
    ],
)
def test_damaged_levels_of_eurecom_are_named(text, words, tmp_path):
    _eurecom(tmp_path, levels=np.full(_SIZE, 700))
    next(tmp_path.rglob("*.txt")).write_text(text)
    with pytest.raises(DamagedSample, match=words):
        EurecomReader(tmp_path)[0]


def test_halves_are_photo_and_range(tmp_path):
    both = np.zeros((4, 10, 3), np.uint8)
    both[:, :5] = (200, 120, 90)
    both[:, 5:] = np.array([0, 1, 128, 254, 255], np.uint8)[:, None]
    Image.fromarray(both).save(tmp_path / "0101_2.png")
    Image.fromarray(both[:, ::-1]).save(tmp_path / "other.png")
    reader = SideBySideReader(tmp_path, (600.0, 854.0))
    first = reader[0]
    assert first.image.shape == (4, 5, 3) and first.image[0, 0].tolist() == [200, 120, 90]
    assert np.allclose(first.depth_mm[1], [0.0, 854.0, 727.0, 601.0, 600.0])
    assert first.identity_number == 101
    with pytest.raises(DamagedSample, match="other way round"):
        reader[1]
    (record,) = [r for r in SideBySideReader(tmp_path, (600.0, 854.0), photo_left=False) if r.name == "other.png"]
    assert np.allclose(record.depth_mm[1], [600.0, 601.0, 727.0, 854.0, 0.0])
    assert record.identity_number is None


def test_pictures_that_are_no_pairs_are_named(tmp_path):
    Image.fromarray(np.zeros((4, 9, 3), np.uint8)).save(tmp_path / "1.png")
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(tmp_path / "2.png")
    reader = SideBySideReader(tmp_path, (600.0, 900.0))
    assert list(reader) == []
    assert "two halves" in reader.faults[0].reason and "black all over" in reader.faults[1].reason
    with pytest.raises(ValueError, match="nearest < farthest"):
        SideBySideReader(tmp_path, (900.0, 600.0))


@pytest.mark.parametrize("reader", [EurecomReader, SynthHumanReader, lambda root: SideBySideReader(root, (1.0, 2.0))])
def test_folders_without_pictures_are_refused(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        reader(tmp_path)


def test_both_sets_are_layouts_of_depth(tmp_path):
    _synthhuman(tmp_path / "s")
    _eurecom(tmp_path / "e", levels=np.full(_SIZE, 700))
    _eurecom(tmp_path / "e", person="0009")
    (item,), left = find_depth(tmp_path / "s", "synthhuman")
    sample = item.load()
    assert (item.name, len(item.files), left) == ("rgb_0000003", 5, [])
    assert sample.photo.focal_px == 900.0
    assert face_mask(sample).sum() == 20
    (first, second), _ = find_depth(tmp_path / "e", "eurecom")
    assert first.load().depth_mm[0, 0] == 700.0 and len(first.files) == 2
    with pytest.raises(DepthDataError, match="no depth"):
        second.load()
    for layout in ("eurecom", "synthhuman"):
        with pytest.raises(DepthDataError, match="holds no pictures"):
            find_depth(tmp_path / ("s" if layout == "eurecom" else "e"), layout)
