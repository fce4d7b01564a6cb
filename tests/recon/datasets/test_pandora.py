"""Pandora, on tiny sequences in its format."""

import json

import numpy as np
import pytest
from PIL import Image

from recon.datasets import DamagedSample, PandoraReader
from recon.datasets.pandora import JOINT_NAMES

_DEPTH = (np.arange(6 * 8).reshape(6, 8) * 40 + 500).astype(np.uint16)


def _frame(number, yaw=10.0):
    joints = [[100.0 + k, 50.0 + k, 0.1, 0.2, 1.3] for k in range(len(JOINT_NAMES))]
    orientation = {"euler": {"yaw": yaw, "pitch": -3.5, "roll": 2.25}, "quaternion": [0.99, 0.01, 0.1, 0.02]}
    return {"frame_num": number, "orientation": orientation, "joints": joints}


def _sequence(root, subject, name, frames, pictures):
    folder = root / f"{subject:02d}" / f"{name}_ID{subject:02d}"
    for kind in ("RGB", "DEPTH"):
        (folder / kind).mkdir(parents=True)
    for number in pictures:
        Image.fromarray(np.full((9, 16, 3), (200, 100, number), np.uint8)).save(
            folder / "RGB" / f"{number:06d}_RGB.png"
        )
        Image.fromarray(_DEPTH + number).save(folder / "DEPTH" / f"{number:06d}_DEPTH.png")
    if frames is not None:
        (folder / "data.json").write_text(json.dumps(frames))
    return folder


def test_frames_have_angles_joints_and_depth(tmp_path):
    # the list need not be in the order of the pictures
    _sequence(tmp_path, 7, "base_1", [_frame(1, -20.0), _frame(0, 30.0)], [0, 1])
    reader = PandoraReader(tmp_path)
    first, second = list(reader)
    assert not reader.faults
    assert (first.name, second.name) == ("07/base_1_ID07/000000", "07/base_1_ID07/000001")
    assert first.published_angles_deg == (30.0, -3.5, 2.25)
    assert second.published_angles_deg == (-20.0, -3.5, 2.25)
    assert first.identity_number == 7
    assert first.image.shape == (9, 16, 3)
    assert second.image[0, 0].tolist() == [200, 100, 1]
    assert np.array_equal(second.labels["depth_camera_mm"], _DEPTH.astype(np.float32) + 1)
    assert first.labels["joints"].shape == (17, 5)
    assert first.labels["joints"][JOINT_NAMES.index("Head"), 0] == 103.0
    assert first.labels["quaternion_wxyz"][0] == 0.99


@pytest.mark.parametrize("as_text", [True, False])
def test_the_other_form_of_the_file(tmp_path, as_text):
    frames = {f"{k:06d}": json.dumps(_frame(k, 5.0 * k)) if as_text else _frame(k, 5.0 * k) for k in (3, 4)}
    _sequence(tmp_path, 21, "free_2", frames, [3, 4])
    assert [record.published_angles_deg[0] for record in PandoraReader(tmp_path)] == [15.0, 20.0]


def test_angles_from_the_text_file(tmp_path):
    joints = {"000002": json.dumps({"joints": _frame(2)["joints"]})}
    folder = _sequence(tmp_path, 12, "base_2", joints, [2])
    (folder / "data.txt").write_text("0 000002 1.5 -8.0 40.0\n\n")
    (record,) = PandoraReader(tmp_path)
    assert record.published_angles_deg == (40.0, -8.0, 1.5)
    assert record.labels["joints"].shape == (17, 5)


def test_subjects_can_be_chosen(tmp_path):
    for subject in (10, 11):
        _sequence(tmp_path, subject, "base_1", [_frame(0)], [0])
    assert [record.identity_number for record in PandoraReader(tmp_path, subjects=(10,))] == [10]
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        PandoraReader(tmp_path, subjects=(3,))


def test_damaged_frames_are_counted_and_not_replaced(tmp_path):
    fewer = _frame(3)
    fewer["joints"] = fewer["joints"][:5]
    turned = _frame(2)
    del turned["orientation"]["euler"]["yaw"]
    folder = _sequence(tmp_path, 1, "base_1", [_frame(0), turned, fewer, _frame(4), _frame(5)], range(6))
    (folder / "DEPTH" / "000004_DEPTH.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "DEPTH" / "000005_DEPTH.png")
    cut = _sequence(tmp_path, 1, "base_2", None, [0])
    (cut / "data.json").write_text('[{"frame_num": 0')
    _sequence(tmp_path, 1, "free_1", None, [0])
    reader = PandoraReader(tmp_path)
    assert [record.name for record in reader] == ["01/base_1_ID01/000000"]
    expected = (
        ("000001", "do not mention"), ("000002", "no orientation"), ("000003", "17 joints are expected"),
        ("000004", "cannot be read"), ("000005", "no 16-bit picture"), ("000000", "data.json cannot be read"),
        ("000000", "missing or empty"),
    )  # fmt: skip
    assert len(reader.faults) == len(expected)
    for fault, (digits, words) in zip(reader.faults, expected, strict=True):
        assert fault.name.endswith(digits)
        assert words in fault.reason
    assert "8 samples, 7 damaged" in reader.report()


@pytest.mark.parametrize("text", ["[" * 100_000, '[{"frame_num": Infinity}]', '{"1": "[["}'])
def test_annotations_that_hurt_are_damaged_samples(tmp_path, text):
    folder = _sequence(tmp_path, 1, "base_1", None, [0])
    (folder / "data.json").write_text(text)
    with pytest.raises(DamagedSample, match=r"data\.json cannot be read"):
        PandoraReader(tmp_path)[0]


def test_an_angle_beyond_floats_is_a_damaged_sample(tmp_path):
    folder = _sequence(tmp_path, 1, "base_1", None, [0])
    frame = _frame(0)
    frame["orientation"]["euler"]["yaw"] = 10**400
    (folder / "data.json").write_text(json.dumps([frame]))
    with pytest.raises(DamagedSample, match="no orientation"):
        PandoraReader(tmp_path)[0]
