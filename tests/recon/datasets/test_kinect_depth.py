"""BIWI and Pandora as pairs of colour and depth, on made files of a scene whose truth is known."""

import dataclasses
import json
import struct

import numpy as np
import pytest
from PIL import Image

from recon.datasets import BiwiDepthReader, DamagedSample, PandoraDepthReader
from recon.datasets.kinect import CameraPair, head_box, head_mask
from recon.datasets.kinect_depth import KINECT_ONE
from recon.datasets.pandora import JOINT_NAMES
from recon.evaluation.depth_folder import face_mask, find_depth

_ANGLE = 0.05
_PAIR = CameraPair(
    np.array([[576.0, 0.0, 190.0], [0.0, 576.0, 144.0], [0.0, 0.0, 1.0]]),
    np.array([[500.0, 0.0, 300.0], [0.0, 510.0, 225.0], [0.0, 0.0, 1.0]]),
    np.array([[np.cos(_ANGLE), 0.0, np.sin(_ANGLE)], [0.0, 1.0, 0.0], [-np.sin(_ANGLE), 0.0, np.cos(_ANGLE)]]),
    np.array([-40.0, 6.0, -3.0]),
)
_DEPTH_SIZE, _COLOUR_SIZE = (288, 384), (450, 600)
_HEAD = np.array([10.0, -5.0, 800.0, 70.0])
"""A ball before a wall: middle and radius, mm, in the depth camera's frame."""
_WALL_MM = 1400.0


def _texture(points):
    """Colours of points of the scene."""
    waves = [np.sin(points[..., 0] / 60.0), np.cos(points[..., 1] / 50.0), np.sin(points[..., 2] / 70.0)]
    return 128.0 + 100.0 * np.stack(waves, axis=-1)


def _seen(matrix, rotation, translation, size):
    """What a camera sees: points of the scene in the depth camera's frame, by tracing rays."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    rays = np.stack((x, y, np.ones_like(x)), axis=-1) @ np.linalg.inv(matrix).T @ rotation  # into the depth frame
    start = -rotation.T @ translation
    middle, radius = _HEAD[:3], _HEAD[3]
    a, b = (rays**2).sum(-1), (rays @ (start - middle))
    inside = b**2 - a * (((start - middle) ** 2).sum() - radius**2)
    ball = (-b - np.sqrt(inside.clip(0.0))) / a
    wall = (_WALL_MM - start[2]) / rays[..., 2]
    along = np.where(inside > 0.0, ball, wall)
    return start + along[..., None] * rays


@pytest.fixture(scope="module")
def scene():
    depth_mm = _seen(_PAIR.depth_matrix, np.eye(3), np.zeros(3), _DEPTH_SIZE)[..., 2]
    colour = _texture(_seen(_PAIR.colour_matrix, _PAIR.rotation, _PAIR.translation_mm, _COLOUR_SIZE))
    return depth_mm.round().astype(np.float32), colour.round().astype(np.uint8)


def test_depth_pixels_get_the_colour_of_their_points(scene):
    depth_mm, colour = scene
    image, seen = _PAIR.colour_at_depth(colour, depth_mm)
    truth = _texture(_seen(_PAIR.depth_matrix, np.eye(3), np.zeros(3), _DEPTH_SIZE))
    assert 0.8 < seen.mean() < 1.0
    assert (image[~seen] == 0).all()
    error = np.abs(image.astype(float) - truth).max(axis=-1)
    assert np.quantile(error[seen], 0.97) < 8.0
    # Colour left where it was, as if both cameras were one, would be far off.
    still = dataclasses.replace(_PAIR, rotation=np.eye(3), translation_mm=np.zeros(3))
    wrong = np.abs(still.colour_at_depth(colour, depth_mm)[0].astype(float) - truth)[..., 0]
    assert np.median(wrong[seen]) > 20.0


def test_the_second_kinects_colour_camera_stands_where_it_is_said_to():
    points = KINECT_ONE.points(np.full((424, 512), 1000.0, np.float32))
    x, y, z = KINECT_ONE.colour_matrix @ points[212, 256] / points[212, 256, 2]
    assert (x, y, z) == pytest.approx((960.0 + 1060.0 * 0.0534, 540.0 + 1060.0 * 0.0014, 1.0), abs=0.2)


def test_what_the_colour_camera_does_not_see_is_black(scene):
    depth_mm, colour = scene
    _, seen = _PAIR.colour_at_depth(colour, depth_mm)
    # Points move to the left in the colour camera's frame, so it stands to the right and does not see the wall left of the ball.
    wall = depth_mm > 1300.0
    row = int(round(576.0 * _HEAD[1] / _HEAD[2] + 144.0))
    columns = np.flatnonzero(wall[row])
    left, right = columns[columns < 190].max(), columns[columns > 190].min()
    assert not seen[row, left] and seen[row, right]
    holes = depth_mm.copy()
    holes[:20] = 0.0
    assert not _PAIR.colour_at_depth(colour, holes)[1][:20].any()


def test_the_box_is_that_of_the_paper():
    depth_mm = np.full((424, 512), 1000.0, np.float32)
    found = head_box(depth_mm, np.array([250.0, 200.0]), (365.0, 365.0))
    assert found is not None
    box, mean_mm = found
    assert mean_mm == 1000.0
    assert box.tolist() == [192, 142, 308, 258]  # 117 px
    assert head_mask(depth_mm, box, mean_mm).sum() == 116 * 116
    nearer = head_box(0.5 * depth_mm, np.array([250.0, 200.0]), (365.0, 365.0))
    assert nearer is not None and nearer[0].tolist() == [133, 83, 367, 317]
    assert head_box(depth_mm, np.array([2.0, 2.0]), (365.0, 365.0))[0].tolist() == [0, 0, 60, 60]  # type: ignore[index]
    assert head_box(0.0 * depth_mm, np.array([250.0, 200.0]), (365.0, 365.0)) is None
    assert head_box(depth_mm, np.array([600.0, 200.0]), (365.0, 365.0)) is None


def _text(*blocks):
    return "\n\n".join("\n".join(" ".join(f"{x:.9g}" for x in row) for row in np.atleast_2d(b)) for b in blocks)


@pytest.fixture
def biwi(tmp_path, scene):
    depth_mm, colour = scene
    folder = tmp_path / "biwi" / "07"
    folder.mkdir(parents=True)
    (folder / "depth.cal").write_text(_text(_PAIR.depth_matrix, np.zeros(4), np.eye(3), np.zeros(3), [384, 288]))
    (folder / "rgb.cal").write_text(
        _text(_PAIR.colour_matrix, np.zeros(4), _PAIR.rotation, _PAIR.translation_mm, [600, 450])
    )
    for number in (3, 4):
        (folder / f"frame_{number:05d}_pose.txt").write_text(_text(np.eye(3), _HEAD[:3]))
        Image.fromarray(colour).save(folder / f"frame_{number:05d}_rgb.png")
        run = struct.pack("<iiii", 384, 288, 0, depth_mm.size) + depth_mm.astype("<i2").tobytes()
        (folder / f"frame_{number:05d}_depth.bin").write_bytes(run)
    return folder


@pytest.fixture
def pandora(tmp_path, scene):
    depth_mm, colour = scene
    joints = np.zeros((len(JOINT_NAMES), 5))
    joints[JOINT_NAMES.index("Head"), :2] = 576.0 * _HEAD[:2] / _HEAD[2] + [190.0, 144.0]
    for subject in (9, 10):
        folder = tmp_path / "pandora" / f"{subject:02d}" / f"base_1_ID{subject:02d}"
        for kind in ("RGB", "DEPTH"):
            (folder / kind).mkdir(parents=True)
        Image.fromarray(colour).save(folder / "RGB" / "000000_RGB.png")
        Image.fromarray(depth_mm.astype(np.uint16)).save(folder / "DEPTH" / "000000_DEPTH.png")
        euler = {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}
        told = [{"frame_num": 0, "orientation": {"euler": euler}, "joints": joints.tolist()}]
        (folder / "data.json").write_text(json.dumps(told))
    return tmp_path / "pandora"


def test_biwi_is_read_as_pairs(biwi, scene):
    reader = BiwiDepthReader(biwi.parent)
    first, second = list(reader)
    assert not reader.faults
    assert (first.name, second.name) == ("07/frame_00003", "07/frame_00004") == (reader.name(0), reader.name(1))
    assert [path.name for path in reader.files(0)] == [
        *("frame_00003_pose.txt", "frame_00003_rgb.png", "frame_00003_depth.bin", "depth.cal", "rgb.cal")
    ]
    assert np.array_equal(first.depth_mm, scene[0])
    assert np.array_equal(first.image, _PAIR.colour_at_depth(scene[1], scene[0])[0])
    assert np.array_equal(first.intrinsics, _PAIR.depth_matrix)
    ball = scene[0] < 1000.0
    assert (first.mask & ball).sum() > 0.8 * ball.sum()
    assert not (first.mask & ~ball).any()
    assert first.identity_number == 7
    with pytest.raises(FileNotFoundError, match="no frames of the sequences"):
        BiwiDepthReader(biwi.parent, (8,))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("rgb.cal", "1 2 3", "holds 3 numbers, 27 or 28"),
        ("rgb.cal", _text(np.zeros((3, 3)), np.zeros(4), np.eye(3), np.zeros(3), [1, 1]), "no camera matrix"),
        ("rgb.cal", _text(_PAIR.colour_matrix, np.zeros(5), np.ones((3, 3)), np.zeros(3), [1, 1]), "no rotation"),
        ("rgb.cal", _text(_PAIR.colour_matrix, np.zeros(5), -np.eye(3), np.zeros(3), [1, 1]), "no rotation"),
        ("rgb.cal", _text(_PAIR.colour_matrix, [0.2, 0, 0, 0], np.eye(3), np.zeros(3), [1, 1]), "tells of distortion"),
        ("rgb.cal", _text(_PAIR.colour_matrix, np.zeros(4), np.eye(3), np.full(3, np.nan), [1, 1]), "not finite"),
        (
            "rgb.cal",
            _text(_PAIR.colour_matrix, np.zeros(4), np.eye(3), np.zeros(3), [300, 225]),
            "its calibration is of",
        ),
        (
            "depth.cal",
            _text(_PAIR.depth_matrix, np.zeros(5), np.eye(3), np.ones(3), [384, 288]),
            "moves its own camera",
        ),
        ("frame_00003_pose.txt", _text(np.eye(3), [0.0, 0.0, -800.0]), "800 mm behind the camera"),
        ("frame_00003_pose.txt", _text(np.eye(3), [5000.0, 0.0, 800.0]), "no depth around the head"),
    ],
)
def test_damaged_biwi_is_refused(biwi, file, content, message):
    (biwi / file).write_text(content)
    with pytest.raises(DamagedSample, match=message):
        BiwiDepthReader(biwi.parent)[0]


def test_frames_without_depth_or_calibration_are_refused(biwi):
    (biwi / "frame_00003_depth.bin").unlink()
    with pytest.raises(DamagedSample, match="no depth picture"):
        BiwiDepthReader(biwi.parent)[0]
    (biwi / "rgb.cal").unlink()
    with pytest.raises(DamagedSample, match="rgb.cal cannot be read"):
        BiwiDepthReader(biwi.parent)[1]


def test_pandora_is_read_as_pairs_with_the_papers_split(pandora, scene):
    found = PandoraDepthReader(pandora, cameras=_PAIR)[1]
    assert found.name == "10/base_1_ID10/000000"
    assert np.array_equal(found.image, _PAIR.colour_at_depth(scene[1], scene[0])[0])
    assert found.published_angles_deg == (1.0, 2.0, 3.0)
    names = {layout: [item.name[:2] for item in find_depth(pandora, layout)[0]] for layout in _SPLITS}
    assert names == _SPLITS
    (pandora / "10" / "base_1_ID10" / "data.json").write_text(
        json.dumps([{"frame_num": 0, "orientation": {"euler": {"yaw": 1, "pitch": 2, "roll": 3}}}])
    )
    with pytest.raises(DamagedSample, match="no joints"):
        PandoraDepthReader(pandora, (10,))[0]


_SPLITS = {"pandora": ["09", "10"], "pandora-train": ["09"], "pandora-test": ["10"]}


def test_evaluation_measures_the_head_in_the_crop(biwi):
    (item, _), left = find_depth(biwi.parent, "biwi")
    assert not left
    sample = item.load()
    assert sample.photo.focal_px == 576.0
    assert np.array_equal(face_mask(sample), BiwiDepthReader(biwi.parent)[0].mask)
