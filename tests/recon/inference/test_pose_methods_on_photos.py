"""Head poses by every method: frames, rays, uncertainty, and what is refused."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from PIL import Image

import recon
from recon.camera import PORTRAIT_DISTANCE_MM, PerspectiveCamera
from recon.detection.align import PX_PER_MM_AT_224, STANDARD_POINTS_MM, align
from recon.detection.face import Face, NoFaceError
from recon.evaluation.metrics.pose import geodesic_deg
from recon.face_pose import FacePose
from recon.inference.estimate_poses import PoseOptions, estimate_poses, open_pose_estimator
from recon.inference.fit_pose import FitPoseEstimator
from recon.inference.head_pose import LandmarkPoseEstimator, NetworkPoseEstimator, open_pose_network
from recon.inference.pose_crop import focal_length_px, pose_alignment, ray_to_head
from recon.io.image import Photo
from recon.networks.network_file import CheckpointError
from recon.networks.pose.checkpoint import save_pose_network
from recon.networks.pose.onnx import export_pose_onnx
from recon.networks.pose.prediction import PosePrediction
from recon.networks.pose.sixd import SixdConfig, SixdNetwork, precision_root
from recon.rotation import euler_to_matrix, turn_to_ray


def _face(middle_px, px_per_mm, turn_rad=0.0):
    """A frontal face of standard points, turned clockwise."""
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    points = px_per_mm * STANDARD_POINTS_MM[:, :2] * [1.0, -1.0] @ np.array([[cos, sin], [-sin, cos]])
    points = points + middle_px
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return Face(box, points, 0.9, "test")


class _Constant:
    """A network that always sees the same rotation."""

    size = 32

    def __init__(self, rotation, root=None):
        self.rotation, self.root, self.seen = rotation, root, []

    def __call__(self, crops):
        self.seen.append(crops)
        return PosePrediction(self.rotation[None], self.root)


class _Blind:
    """A detector that is not asked."""

    name = "blind"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def detect(self, image, min_face_px):
        raise AssertionError("the face is known")


_ROTATION = euler_to_matrix(torch.tensor([0.2, -0.5, 0.05]))


def test_the_crop_is_upright_and_its_answer_turned_back():
    photo = Photo(np.zeros((300, 400, 3), np.uint8))
    face = _face([210.0, 140.0], 0.8, turn_rad=0.6)
    root = precision_root(torch.tensor([[3.0, 2.0, 1.0, 0.5, 0.0, 0.0]]))
    network = _Constant(_ROTATION, root)
    found = NetworkPoseEstimator(network, "sixd", _Blind())(photo, face)
    assert network.seen[0].shape == (1, 3, 32, 32)
    # A head that is turned clockwise as seen has a negative roll more than its upright crop.
    roll = euler_to_matrix(torch.tensor([0.0, 0.0, -0.6], dtype=torch.float64)).numpy()
    assert geodesic_deg(found.rotation_ray, roll @ _ROTATION.double().numpy()) < 0.1
    inverse = np.linalg.inv((root @ root.mT)[0].double().numpy())
    np.testing.assert_allclose(found.covariance, roll @ inverse @ roll.T, rtol=1e-3)
    np.testing.assert_allclose(found.sigma_deg, np.degrees(np.sqrt(np.diag(found.covariance))))
    assert NetworkPoseEstimator(_Constant(_ROTATION), "fsanet", _Blind())(photo, face).sigma_deg is None


@pytest.mark.parametrize("focal_px", [None, 900.0])
def test_the_axis_and_the_ray_differ_by_where_the_head_is(focal_px):
    photo = Photo(np.zeros((300, 500, 3), np.uint8), focal_px)
    face = _face([430.0, 60.0], 0.5)
    alignment = pose_alignment(face, 224)
    found_px, known = focal_length_px(photo, alignment)
    assert known == (focal_px is not None)
    if focal_px is None:  # as large as seen from the distance of a portrait
        assert abs(found_px - 0.5 * PORTRAIT_DISTANCE_MM) < 1.0
        assert abs(PX_PER_MM_AT_224 / alignment.scale - 0.5) < 1e-3
    ray = ray_to_head(photo, face, found_px)
    middle = face.points5[:2].mean(axis=0)
    principal_px = torch.tensor([[250.0, 150.0]])
    camera = PerspectiveCamera(torch.eye(3)[None], torch.zeros(1, 3), torch.full((1, 2), found_px), principal_px)
    pixel = camera.to_pixels(torch.from_numpy(1000.0 * ray).float()[None, None])[0, 0]
    np.testing.assert_allclose(pixel.numpy(), middle, atol=1e-2)
    pose = FacePose(face, "test", np.eye(3), ray, found_px, known)
    assert abs(pose.pose_ray.yaw) < 1e-9 and abs(pose.pose_ray.pitch) < 1e-9
    # A head at the right and the top that faces the camera is turned to the viewer's left and down against the axis.
    assert pose.pose.yaw < -5.0 and pose.pose.pitch > 2.0
    wanted = turn_to_ray(torch.from_numpy(ray)[None])[0].numpy()
    np.testing.assert_allclose(pose.rotation, wanted)


def test_more_around_the_crop_at_the_same_scale():
    alignment = align(_face([210.0, 140.0], 0.8, 0.3).points5, 40, remove_roll=True)
    wide = alignment.widened(0.25)
    assert wide.size == 60
    points = np.array([[200.0, 150.0], [230.0, 130.0]])
    np.testing.assert_allclose(wide.crop_points(points), alignment.crop_points(points) + 10.0)
    np.testing.assert_allclose(wide.photo_points(wide.crop_points(points)), points)
    rows, columns = np.mgrid[0:300, 0:400]
    picture = np.stack((rows // 2, columns // 2, (rows + columns) // 3), axis=2).astype(np.uint8)
    inner = wide.crop(picture)[10:50, 10:50].astype(int)
    assert np.abs(inner - alignment.crop(picture)).max() <= 1
    direction = np.array([3.0, 1.0])  # x right, y up
    flat = alignment.crop_from_photo[:2, :2] @ (direction * [1.0, -1.0]) / alignment.scale
    np.testing.assert_allclose(alignment.turn[:2, :2] @ direction, flat * [1.0, -1.0], atol=1e-12)


def test_methods_agree_on_a_photo(astronaut, own_detector):
    """The closed form and the fit see the same head; the same photo gives the same numbers."""
    (landmarks,) = estimate_poses(astronaut)
    (again,) = recon.estimate_poses(Image.fromarray(astronaut), "landmarks")
    assert landmarks.method == "landmarks" and not landmarks.focal_known
    np.testing.assert_array_equal(landmarks.rotation_ray, again.rotation_ray)

    class _Fit:
        method = "fit"

        def detect(self, photo):
            return []

        def fit_face(self, photo, face):
            camera = PerspectiveCamera.at(
                torch.from_numpy(landmarks.rotation).float()[None],
                torch.from_numpy(1500.0 * landmarks.ray_cam).float()[None],
                size=(512, 512),
            )
            return types.SimpleNamespace(camera=camera)

    fit = FitPoseEstimator(_Fit())
    photo = Photo(astronaut)
    found = fit(photo, landmarks.face)
    assert geodesic_deg(found.rotation_ray, landmarks.rotation_ray) < 0.1
    assert geodesic_deg(found.rotation, landmarks.rotation) < 0.1
    with pytest.raises(NoFaceError, match="no face was found"):
        fit.detect(photo)


@pytest.mark.slow
def test_a_real_fit_agrees_with_the_landmarks(astronaut):
    (landmarks,), (fit,) = estimate_poses(astronaut), estimate_poses(astronaut, "fit", quality="fast")
    assert fit.method == "fit" and geodesic_deg(fit.rotation_ray, landmarks.rotation_ray) < 8.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    network = SixdNetwork(SixdConfig(backbone="mobilenetv4_small_050", size=64, width=16)).eval()
    return save_pose_network(tmp_path_factory.mktemp("pose") / "sixd.safetensors", network, {})


def test_networks_from_both_kinds_of_files_say_the_same(checkpoint, astronaut, tmp_path):
    network, kind = open_pose_network(checkpoint)
    exported = export_pose_onnx(network, tmp_path / "sixd.onnx")
    assert kind == "sixd"
    (here,), (there,) = (estimate_poses(astronaut, "sixd", checkpoint=path) for path in (checkpoint, exported))
    assert geodesic_deg(here.rotation_ray, there.rotation_ray) < 0.01
    np.testing.assert_allclose(here.covariance, there.covariance, rtol=1e-3)
    for path in (checkpoint, exported):
        with pytest.raises(CheckpointError, match="is a pose network of the kind sixd, fsanet is asked for"):
            open_pose_network(path, "fsanet")


def test_options_that_do_not_go_together(checkpoint):
    with pytest.raises(ValueError, match="unknown pose method 'magic'; known: sixd, fsanet, hopenet, landmarks, fit"):
        PoseOptions("magic")
    for method in ("sixd", "fsanet"):
        assert PoseOptions(method).network.is_file()  # comes with the package
    with pytest.raises(CheckpointError, match=r"train one with .*configs/pose/hopenet\.yaml.*--method landmarks"):
        PoseOptions("hopenet")
    with pytest.raises(ValueError, match="a checkpoint is for the methods sixd, fsanet, hopenet, not for landmarks"):
        PoseOptions("landmarks", checkpoint)
    with pytest.raises(ValueError, match="needs the dense landmarks of the detector open, not mediapipe"):
        PoseOptions("landmarks", detector="mediapipe")
    with pytest.raises(NoFaceError, match="no face was found"):
        estimate_poses(np.full((64, 80, 3), 90, np.uint8))
    with open_pose_estimator(PoseOptions()) as estimator:
        assert isinstance(estimator, LandmarkPoseEstimator)
        with pytest.raises(ValueError, match="needs dense ones; the detector test gives none"):
            estimator(Photo(np.zeros((300, 400, 3), np.uint8)), _face([200.0, 150.0], 1.0))
