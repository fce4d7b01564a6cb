"""Readers of published data sets, on tiny sets in their formats."""

import gzip
import io
import os
import pickle
import struct

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bfm.mediapipe_table import MEDIAPIPE_68
from recon.datasets import (
    BiwiReader,
    C3iReader,
    DamagedSample,
    FolderReader,
    PandoraReader,
    PhotoReader,
    ShardReader,
    W300LPReader,
)
from recon.io.read_exr import ExrError, decode_exr
from recon.io.write_exr import encode_exr

_TEXT = """Camera Location: (-0.0002, -0.3136, 1.6779)
Head Point Location: (-0.0002, -0.0136, 1.6779)
Camera Rotation: Yaw 0.00 Pitch 90.00 Roll -0.00
Head Rotation: Yaw -17.90 Pitch 19.43 Roll 2.90
"""


def _picture(path, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.arange(size[0] * size[1] * 3) % 251
    Image.fromarray(rows.astype(np.uint8).reshape(*size, 3)).save(path)


def _c3i(folder, stem, text, number, depth_m):
    _picture(folder / f"{stem}{number}.jpg")
    (folder / f"{text}{number}.txt").write_text(_TEXT)
    exr = encode_exr(dict.fromkeys("RGB", depth_m))
    (folder / f"depthExr{'_' if '_' in text else ''}{number}.exr").write_bytes(exr)


def test_c3i_in_both_namings_and_both_depth_meanings(tmp_path):
    down, across = np.mgrid[0:20, 0:24] + 0.5
    focal = 12.0 / np.tan(np.radians(30.0))
    stretch = np.sqrt(1.0 + ((across - 12.0) / focal) ** 2 + ((down - 10.0) / focal) ** 2)
    ray_m = (0.5 * stretch).astype(np.float32)
    ray_m[0, 0] = 1e10
    _c3i(tmp_path / "male" / "0007" / "a", "rgb_", "data_", "12", ray_m)
    _c3i(tmp_path / "female" / "0003" / "a", "image", "data", "0004", ray_m)
    reader = C3iReader(tmp_path)
    records = list(reader)
    assert not reader.faults
    assert [record.identity_number for record in records] == [3, 7]
    for record in records:
        assert record.depth_mm[0, 0] == 0.0
        assert np.allclose(record.depth_mm.ravel()[1:], 500.0, atol=1e-3)
        assert record.published_angles_deg == (-17.90, 19.43, 2.90)
        assert np.allclose(record.translation_mm, [0.0, 0.0, -300.0], atol=1e-3)
        # both worlds turn about x to the right, and yaw about z up is our yaw about y up
        assert np.degrees(np.arctan2(-record.rotation[2, 0], np.hypot(*record.rotation[2, 1:]))) == pytest.approx(
            -16.9, abs=1.2
        )
    planar = C3iReader(tmp_path, depth="planar")[0]
    assert np.allclose(planar.depth_mm.ravel()[1:], 1000.0 * ray_m.ravel()[1:], atol=1e-3)


def test_c3i_without_depth_is_the_head_pose_set(tmp_path):
    _picture(tmp_path / "male" / "0001" / "rgb_1.jpg")
    (tmp_path / "male" / "0001" / "data_1.txt").write_text(_TEXT)
    assert C3iReader(tmp_path)[0].depth_mm is None


def test_damaged_c3i_samples_are_counted_and_not_replaced(tmp_path):
    folder = tmp_path / "male" / "0001"
    for number in ("1", "2", "3", "4", "5"):
        _c3i(folder, "rgb_", "data_", number, np.full((20, 24), 0.4, np.float32))
    (folder / "data_2.txt").unlink()
    (folder / "data_3.txt").write_text(_TEXT.replace("Yaw -17.90", "Yaw many"))
    exr = (folder / "depthExr_4.exr").read_bytes()
    (folder / "depthExr_4.exr").write_bytes(exr[: len(exr) // 2])
    (folder / "rgb_5.jpg").write_bytes(b"not a picture")
    reader = C3iReader(tmp_path)
    assert len(reader) == 5
    assert [record.name for record in reader] == ["male/0001/rgb_1.jpg"]
    reasons = [fault.reason for fault in reader.faults]
    for reason, words in zip(reasons, ("txt is missing", "without three numbers", "EXR", "picture"), strict=True):
        assert words in reason
    assert "5 samples, 4 damaged and left out" in reader.report()


def test_exr_round_trip_and_half_floats():
    values = np.random.default_rng(0).normal(size=(37, 21)).astype(np.float32)
    assert np.array_equal(decode_exr(encode_exr({"Z": values, "A": -values}))["Z"], values)
    data = encode_exr({"Z": values})
    for damaged in (b"", b"PNG....." * 4, data[:60], data[:-30], data[:4] + b"\x02\x02" + data[6:]):
        with pytest.raises(ExrError):
            decode_exr(damaged)


def _lp_sample(folder, name, points, **more):
    _picture(folder / f"{name}.jpg")
    savemat(folder / f"{name}.mat", {"Pose_Para": np.array([[0.1, -0.7, 0.2, 5.0, 6.0, 0.0, 1e-3]]), **points, **more})


def test_300w_lp_and_aflw2000(tmp_path):
    flat = np.random.default_rng(0).uniform(0, 20, (2, 68))
    _lp_sample(tmp_path, "a_lp", {"pt2d": flat, "Shape_Para": np.ones((199, 1))})
    _lp_sample(tmp_path, "b_aflw", {"pt3d_68": np.vstack([flat + 1, np.zeros((1, 68))]), "pt2d": -np.ones((2, 21))})
    reader = W300LPReader(tmp_path)
    lp, aflw = list(reader)
    assert np.allclose(lp.landmarks68_px, flat.T)
    assert np.allclose(aflw.landmarks68_px, flat.T + 1)
    assert np.allclose(lp.published_angles_deg, np.degrees([-0.7, 0.1, 0.2]))
    assert lp.labels["Shape_Para"].shape == (199, 1)
    assert not reader.faults


def test_damaged_300w_lp_samples_are_counted(tmp_path):
    flat = np.zeros((2, 68))
    _lp_sample(tmp_path, "a", {"pt2d": flat})
    _lp_sample(tmp_path, "b", {"pt2d": np.zeros((2, 21))})
    _lp_sample(tmp_path, "c", {"pt2d": flat})
    (tmp_path / "c.jpg").unlink()
    (tmp_path / "d.mat").write_bytes(b"MATLAB 5.0" + b"\0" * 50)
    _picture(tmp_path / "d.jpg")
    reader = W300LPReader(tmp_path)
    assert [record.name for record in reader] == ["a"]
    assert [fault.name for fault in reader.faults] == ["b", "c", "d"]


def _biwi_depth(depth):
    flat, data, place = depth.ravel(), struct.pack("<ii", depth.shape[1], depth.shape[0]), 0
    while place < flat.size:
        empty = 0
        while place + empty < flat.size and flat[place + empty] == 0:
            empty += 1
        full = 0
        while place + empty + full < flat.size and flat[place + empty + full] != 0:
            full += 1
        data += struct.pack("<ii", empty, full) + flat[place + empty : place + empty + full].astype("<i2").tobytes()
        place += empty + full
    return data


def test_biwi(tmp_path):
    folder = tmp_path / "07"
    yaw = np.radians(25.0)
    rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    for number in ("00003", "00004"):
        _picture(folder / f"frame_{number}_rgb.png")
        lines = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in rotation)
        (folder / f"frame_{number}_pose.txt").write_text(f"{lines}\n\n10.5 -20.5 900.25\n")
    depth = np.zeros((5, 7), np.int16)
    depth[1:3, 2:5] = 812
    depth[4, 6] = 3000
    (folder / "frame_00003_depth.bin").write_bytes(_biwi_depth(depth))
    (folder / "frame_00004_depth.bin").write_bytes(_biwi_depth(depth)[:-2])
    reader = BiwiReader(tmp_path)
    (record,) = list(reader)
    assert np.array_equal(record.labels["depth_camera_mm"], depth)
    assert np.allclose(record.translation_mm, [10.5, 20.5, -900.25])
    assert np.allclose(record.published_angles_deg, [25.0, 0.0, 0.0], atol=1e-3)
    assert record.identity_number == 7
    assert "truncated" in reader.faults[0].reason


def test_photos_keep_their_landmarks(tmp_path):
    for number, name in enumerate(("a.jpg", "deep/b.png", "c.png")):
        _picture(tmp_path / name, (20, 24 + number))
    points = np.random.default_rng(0).uniform(0, 20, (478, 2))
    calls = []

    def detect(image):
        calls.append(image.shape)
        return None if len(calls) == 2 else points

    reader = PhotoReader(tmp_path, detect)
    assert len(reader) == 3
    assert [record.name for record in reader] == ["a.jpg", "deep/b.png"]
    assert reader.faults[0].name == "c.png"
    again = PhotoReader(tmp_path, detect)
    assert np.allclose(next(iter(again)).landmarks68_px, points[list(MEDIAPIPE_68)])
    assert len(list(again)) == 2
    assert len(calls) == 3


def test_a_cut_shard_is_reported(tmp_path):
    import io
    import tarfile

    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("000.jpg", "000.npz", "001.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = 700
            archive.addfile(entry, io.BytesIO(b"x" * 700))
    data = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(data[:1900])
    reader = ShardReader(tmp_path)
    assert list(reader) == []
    assert any("cannot be read to its end" in str(fault) for fault in reader.faults)


@pytest.mark.parametrize(
    "reader", [C3iReader, W300LPReader, BiwiReader, PhotoReader, FolderReader, ShardReader, PandoraReader]
)
def test_missing_and_empty_folders_say_so(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        reader(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no"):
        reader(tmp_path)


def test_a_damaged_sample_can_be_asked_for_alone(tmp_path):
    (tmp_path / "000.npz").write_bytes(b"")
    with pytest.raises(DamagedSample, match=r"000\.jpg cannot be read"):
        FolderReader(tmp_path)[0]


def test_filters_look_below_the_root(tmp_path):
    root = tmp_path / "Code" / "landmarks" / ".landmarks"
    _lp_sample(root, "a", {"pt2d": np.zeros((2, 68))})
    _lp_sample(root / "landmarks", "b", {"pt2d": np.zeros((2, 68))})
    assert [record.name for record in W300LPReader(root)] == ["a"]
    assert len(PhotoReader(root)) == 2


def test_an_exr_without_channels_is_a_damaged_sample(tmp_path):
    _c3i(tmp_path / "male" / "0001", "rgb_", "data_", "1", np.full((20, 24), 0.4, np.float32))
    path = tmp_path / "male" / "0001" / "depthExr_1.exr"
    data = path.read_bytes()
    start = data.index(b"channels\0chlist\0") + 16
    (size,) = struct.unpack_from("<i", data, start)
    path.write_bytes(data[:start] + struct.pack("<i", 1) + b"\0" + data[start + 4 + size :])
    reader = C3iReader(tmp_path)
    assert list(reader) == []
    assert "depthExr_1.exr: EXR without channels" in reader.faults[0].reason


def test_landmarks_belong_to_the_content_of_a_photo(tmp_path):
    for number, name in enumerate(("old.png", "new.png")):
        _picture(tmp_path / name, (20, 24 + number))
    seen = []

    def detect(image):
        seen.append(image.shape[1])
        return np.full((478, 2), float(image.shape[1]))

    assert len(list(PhotoReader(tmp_path, detect))) == 2
    # An older picture copied over with its date kept was taken for the former one.
    (tmp_path / "new.png").unlink()
    _picture(tmp_path / "new.png", (20, 30))
    os.utime(tmp_path / "new.png", (0, 0))
    widths = [record.landmarks478_px[0, 0] for record in PhotoReader(tmp_path, detect)]
    assert widths == [30.0, 24.0] and sorted(seen) == [24, 25, 30]


def test_landmarks_of_a_read_only_set_are_kept_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACERECON_CACHE", str(tmp_path / "cache"))
    _picture(tmp_path / "set" / "a.png")
    (tmp_path / "set" / ".landmarks").write_bytes(b"")  # nothing can be written below it
    calls = []

    def detect(image):
        calls.append(image.shape)
        return np.ones((478, 2))

    for _ in range(2):
        assert len(list(PhotoReader(tmp_path / "set", detect))) == 1
    assert len(calls) == 1
    (kept,) = (tmp_path / "cache" / "landmarks").iterdir()
    kept.write_bytes(b"PK damaged")
    assert len(list(PhotoReader(tmp_path / "set", detect))) == 1
    assert len(calls) == 2
    monkeypatch.setenv("FACERECON_CACHE", str(kept / "below a file"))
    assert len(list(PhotoReader(tmp_path / "set", detect))) == 1


def _npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (lambda: _npz(a=np.zeros(250_000)), "2 MB in 1 arrays"),
        (lambda: _npz(a=np.zeros(3)).replace(b"descr", b"descR"), "cannot be read"),
        (lambda: _npz(a=np.array([{}], dtype=object)), "cannot be read"),
        (lambda: _npz(a=np.zeros(3)), "'segmentation'"),
        (lambda: b"PK", "cannot be read"),
    ],
)
def test_labels_that_hurt_are_damaged_samples(tmp_path, labels, words, monkeypatch):
    monkeypatch.setattr("recon.datasets.record._MAX_NPZ_BYTES", 1_000_000)
    _picture(tmp_path / "0.jpg")
    (tmp_path / "0.npz").write_bytes(labels())
    with pytest.raises(DamagedSample, match=words):
        FolderReader(tmp_path)[0]


def test_a_shard_that_cannot_be_read_is_reported(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "packed.tar").write_bytes(gzip.compress(bytes(100_000)))
    (tmp_path / "size.tar").write_bytes(b"0.jpg".ljust(124, b"\0") + b"99999999999\0" + bytes(376))
    reader = ShardReader(tmp_path)
    assert list(reader) == []
    assert len(reader.faults) == 3


def test_pictures_over_pillow_s_limit_and_bombs_in_data_sets(tmp_path, monkeypatch):
    _picture(tmp_path / "a.png", (40, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    reader = PhotoReader(tmp_path, lambda image: np.ones((478, 2)))
    assert reader[0].image.shape == (40, 50, 3)
    monkeypatch.setattr("recon.io.pictures.MAX_FILE_PIXELS", 100)
    with pytest.raises(DamagedSample, match=r"a\.png.*more than the 0 million|a\.png"):
        reader[0]


def test_damaged_samples_cross_processes():
    fault = pickle.loads(pickle.dumps(DamagedSample("a\x1b", "cut")))
    assert (fault.name, fault.reason) == ("a\x1b", "cut") and str(fault) == r"a\x1b: cut"
