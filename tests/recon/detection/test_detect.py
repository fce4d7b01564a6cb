"""Detection on scikit-image's astronaut and pictures made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from bfm.mediapipe_table import MEDIAPIPE_68
from recon.detection import Detector, DetectorUnavailable, Face, UnknownDetectorError, detect, open_detector
from recon.detection.face import distinct, roll_rad, roll_turn_deg
from recon.detection.insightface_detector import InsightfaceDetector
from recon.detection.regions import tile_sides

EYES_AND_NOSE = np.array([[203.0, 106.0], [246.0, 107.0], [222.0, 128.0]])  # read off the picture by eye
MOUTH = np.array([[205.0, 146.0], [246.0, 146.0]])
TOLERANCE_PX = 5.0


@pytest.fixture(scope="module", params=["open", "mediapipe"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return request.getfixturevalue({"open": "own_detector"}.get(request.param, request.param))


@pytest.fixture(scope="module")
def truth(astronaut: np.ndarray, detector) -> Face:
    (face,) = detect(astronaut, detector)
    return face


@pytest.fixture(scope="module")
def mesh_face(astronaut: np.ndarray, mediapipe) -> Face:
    (face,) = detect(astronaut, mediapipe)
    return face


def resized(image: np.ndarray, width: int) -> np.ndarray:
    height = round(image.shape[0] * width / image.shape[1])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def test_astronaut(truth: Face) -> None:
    assert np.linalg.norm(truth.points5[:3] - EYES_AND_NOSE, axis=1).max() < TOLERANCE_PX
    assert np.linalg.norm(truth.points5[3:] - MOUTH, axis=1).max() < 2 * TOLERANCE_PX
    assert truth.rotation_deg == 0 and truth.score > 0.6
    assert (truth.box[:2] <= truth.landmarks478[:, :2].min(axis=0)).all()
    assert (truth.box[2:] >= truth.landmarks478[:, :2].max(axis=0)).all()
    nose_z, ear_z = truth.landmarks478[1, 2], truth.landmarks478[234, 2]
    assert nose_z < ear_z - 20  # z grows away from the viewer, at the scale of the 90 px wide face


def test_mediapipe_marks_the_68_with_its_own_points(mesh_face: Face) -> None:
    assert mesh_face.detector == "mediapipe"
    np.testing.assert_array_equal(mesh_face.landmarks68, mesh_face.landmarks478[list(MEDIAPIPE_68), :2])


def test_same_photo_same_faces(astronaut: np.ndarray, truth: Face) -> None:
    (again,) = detect(astronaut, truth.detector)
    np.testing.assert_array_equal(again.landmarks478, truth.landmarks478)
    assert again.score == truth.score


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_turned_photos(astronaut: np.ndarray, detector, truth: Face, turn_deg: int) -> None:
    """Turned clockwise by some angle, the face needs the rest of a full turn, and its points turn with the photo."""
    turned = np.ascontiguousarray(np.rot90(astronaut, -turn_deg // 90))
    (face,) = detect(turned, detector)
    assert face.rotation_deg == (360 - turn_deg) % 360
    x, y = truth.points5.T
    wanted = {90: (512 - y, x), 180: (512 - x, 512 - y), 270: (y, 512 - x)}[turn_deg]
    assert np.linalg.norm(face.points5 - np.stack(wanted, axis=1), axis=1).max() < 2.0


def test_mirrored_photo_gives_mirrored_points(astronaut: np.ndarray, detector, truth: Face) -> None:
    (face,) = detect(np.ascontiguousarray(astronaut[:, ::-1]), detector)
    wanted = (truth.points5 * [-1, 1] + [512, 0])[[1, 0, 2, 4, 3]]
    assert np.linalg.norm(face.points5 - wanted, axis=1).max() < 0.02 * truth.size_px


def test_small_faces_in_a_large_photo(astronaut: np.ndarray, detector, truth: Face) -> None:
    canvas = np.full((2000, 3000, 3), (90, 110, 130), np.uint8)
    places = {(2600, 150): 300, (120, 1500): 260, (1300, 900): 500}
    for (left, top), width in places.items():
        canvas[top : top + width, left : left + width] = resized(astronaut, width)
    faces = detect(canvas, detector)
    assert len(faces) == 3
    assert [face.size_px for face in faces] == sorted((face.size_px for face in faces), reverse=True)
    for face, width, (left, top) in zip(faces, (500, 300, 260), ((1300, 900), (2600, 150), (120, 1500)), strict=True):
        wanted = truth.points5 * width / 512 + [left, top]
        assert np.linalg.norm(face.points5 - wanted, axis=1).max() < 0.05 * face.size_px


def test_two_faces_side_by_side_and_overlapping(astronaut: np.ndarray, detector, truth: Face) -> None:
    apart = detect(np.concatenate([astronaut, astronaut], axis=1), detector)
    assert sorted(round(face.points5[2, 0] / 512, 1) for face in apart) == [0.4, 1.4]
    # The second head is laid 75 px to the right of the first, so their boxes overlap by a fifth.
    overlapping = astronaut.copy()
    overlapping[30:200, 247:360] = astronaut[30:200, 172:285]
    faces = detect(overlapping, detector)
    assert len(faces) == 2
    first, second = sorted(faces, key=lambda face: face.box[0])
    assert second.box[0] < first.box[2]
    assert np.linalg.norm(second.points5 - truth.points5 - [75, 0], axis=1).max() < 8.0


@pytest.mark.parametrize("width", [24, 40, 900])
def test_thumbnails_and_close_ups(astronaut: np.ndarray, detector, truth: Face, width: int) -> None:
    head = resized(astronaut[40:200, 150:310], width)
    (face,) = detect(head, detector)
    wanted = (truth.points5 - [150, 40]) * width / 160
    assert np.linalg.norm(face.points5 - wanted, axis=1).max() < 0.06 * width


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "page", "text", "brick", "moon"])
def test_a_cat_a_cup_and_a_wall_have_no_face(detector, name: str) -> None:
    image = getattr(skimage.data, name)()
    image = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image
    assert detect(image, detector) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (5, 3)])
def test_hardly_any_pixels(detector, size: tuple[int, int]) -> None:
    assert detect(np.full((*size, 3), 128, np.uint8), detector) == []


def test_wrong_arguments(astronaut: np.ndarray, detector) -> None:
    with pytest.raises(UnknownDetectorError, match="'dlib'; choose one of: open, mediapipe, insightface"):
        detect(astronaut, "dlib")
    for image in (astronaut / 255.0, astronaut[:, :, 0], astronaut[:0]):
        with pytest.raises(ValueError, match="detect needs a"):
            detect(image, detector)
    with pytest.raises(ValueError, match="min_face_px must be a positive"):
        detect(astronaut, detector, min_face_px=0.0)
    with pytest.raises(RuntimeError, match="with statement"):
        detect(astronaut, open_detector("mediapipe"))


def test_photo_is_left_alone(astronaut: np.ndarray, detector) -> None:
    writable = astronaut[40:200, 150:310].copy()
    detect(writable, detector)
    np.testing.assert_array_equal(writable, astronaut[40:200, 150:310])


def moved(face: Face, offset: tuple[float, float], factor: float = 1.0) -> Face:
    """The face grown about its middle and moved by shares of its size."""
    middle = face.points5.mean(axis=0)
    step = np.array(offset) * face.size_px
    box = ((face.box.reshape(2, 2) - middle) * factor + middle + step).ravel()
    return Face(box, (face.points5 - middle) * factor + middle + step, face.score, face.detector)


def test_finds_of_one_head_are_one_face(truth: Face) -> None:
    for offset, factor in (((0.1, 0.1), 1.0), ((0.0, 0.2), 0.3), ((0.1, 0.0), 2.0)):
        assert len(distinct([truth, moved(truth, offset, factor)])) == 1
    assert len(distinct([truth, moved(truth, (0.6, 0.0))])) == 2
    large, small = moved(truth, (3.0, 0.0), 1.5), moved(truth, (0.0, 2.0), 0.5)
    assert [face.size_px for face in distinct([small, large, truth])] == [large.size_px, truth.size_px, small.size_px]


@pytest.mark.parametrize("roll_deg", [0.0, 40.0, -100.0, 179.0])
@pytest.mark.parametrize("width", [1.0, 0.1, 0.0])
def test_roll_of_frontal_and_profile_faces(truth: Face, roll_deg: float, width: float) -> None:
    upright = np.array([[-31.0, 0], [31, 0], [0, 33], [-25, 67], [25, 67]]) * [width, 1]
    roll = np.radians(roll_deg)
    points = upright @ np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    assert np.degrees(roll_rad(points[:2], points[3:])) == pytest.approx(roll_deg)
    assert roll_turn_deg(points) == {0.0: 0, 40.0: 0, -100.0: 90, 179.0: 180}[roll_deg]


def test_tiles_reach_the_smallest_face() -> None:
    sides = tile_sides((2000, 3000), 47.0)
    assert sides[0] == 3000 and sides[-1] == pytest.approx(47 / 0.085)
    ratios = np.divide(sides[1:], sides[:-1])
    assert (ratios < 1).all() and (ratios >= 0.5).all()
    assert tile_sides((100, 120), 20.0) == [120.0]


def test_nothing_is_written_to_the_terminal(truth: Face) -> None:
    code = f"import skimage.data, recon.detection as f; assert len(f.detect(skimage.data.astronaut(), {truth.detector!r})) == 1"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert done.stdout == "" and done.stderr == ""


def test_faces_check_themselves(truth: Face) -> None:
    with pytest.raises(ValueError, match=r"points5 must have shape \(5, 2\), got \(4, 2\)"):
        Face(truth.box, truth.points5[:4], 1.0, "x")
    with pytest.raises(ValueError, match="holds nan"):
        Face(truth.box, truth.points5 * np.nan, 1.0, "x")
    with pytest.raises(ValueError, match="x0 < x1"):
        Face(truth.box[[2, 1, 0, 3]], truth.points5, 1.0, "x")
    double = truth.scaled(2.0)
    np.testing.assert_array_equal(double.landmarks478, 2 * truth.landmarks478)
    assert double.size_px == pytest.approx(2 * truth.size_px)


class _Analyser:
    """Stands in for InsightFace: sees one face in the photo turned clockwise by ``turn_deg``, at the same pixels."""

    def __init__(self, turn_deg: int, points5: np.ndarray, shape: tuple[int, ...]) -> None:
        self.calls: list[np.ndarray] = []
        self.turn, self.points5, self.shape = turn_deg, points5, shape

    def get(self, bgr: np.ndarray) -> list[SimpleNamespace]:
        self.calls.append(bgr)
        if (0, 90, 270, 180)[len(self.calls) - 1] != self.turn:
            return []
        points68 = np.column_stack([np.linspace(40, 90, 68), np.linspace(30, 95, 68), np.zeros(68)])
        record = SimpleNamespace(bbox=np.array([40.0, 30, 90, 95]), kps=self.points5, det_score=np.float32(0.87))
        record.landmark_3d_68 = points68
        return [record]


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_insightface_records_become_faces(turn_deg: int) -> None:
    points5 = np.array([[50.0, 50], [80, 50], [65, 65], [53, 80], [77, 80]])
    photo = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    analyser = _Analyser(turn_deg, points5, photo.shape)
    with InsightfaceDetector(analyser) as detector:
        (face,) = detect(photo, detector)
    np.testing.assert_array_equal(analyser.calls[0], photo[:, :, ::-1])
    assert face.rotation_deg == turn_deg and face.detector == "insightface" and face.score == pytest.approx(0.87)
    # The same pixel of the turned photo, looked up in an array that says where it came from; centres at +0.5.
    y, x = np.mgrid[:120, :200]
    origin = np.rot90(np.stack([x, y], axis=-1), -turn_deg // 90)
    np.testing.assert_allclose(face.points5, [origin[int(v), int(u)] + 0.5 for u, v in points5])
    assert face.landmarks68.shape == (68, 2) and face.landmarks478 is None
    np.testing.assert_allclose(face.box[2:] - face.box[:2], (50, 65) if turn_deg % 180 == 0 else (65, 50))


def test_insightface_says_what_to_install(astronaut: np.ndarray) -> None:
    try:
        import insightface  # noqa: F401
    except ImportError:
        with pytest.raises(DetectorUnavailable, match="pip install insightface onnxruntime"):
            detect(astronaut, "insightface")
    else:
        pytest.skip("insightface is installed")
