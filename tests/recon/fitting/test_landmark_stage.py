"""Shape and pose from landmarks alone, on a made-up model."""

import dataclasses

import numpy as np
import pytest
import roma
import torch
from point_parts import independent

from recon.fitting import FitSettings
from recon.fitting.landmark_model import LandmarkModel, pose_from_points, size_slope
from recon.fitting.layout import ParameterLayout
from recon.fitting.stages import landmark_stage
from recon.fitting.state import FitState, ViewAtState, ViewTensors
from recon.fitting.terms.landmark import LandmarkTerm
from recon.parameters import FaceParameters

N_IDENTITY, N_EXPRESSION = 4, 3


@pytest.fixture
def landmarks():
    """60 points on a bumpy half ellipsoid with 4 identity and 3 expression components."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1.2, 1.2, (60, 2))
    unit = np.stack([np.sin(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 0]) * np.cos(angles[:, 1])], axis=1)
    mean = unit * [70.0, 100.0, 60.0] + rng.normal(0.0, 4.0, (60, 3))
    basis = np.concatenate([rng.normal(0.0, 3.0, (60, 3, 4)), rng.normal(0.0, 6.0, (60, 3, 3))], axis=2)
    parts = [torch.from_numpy(part) for part in (mean, basis, unit)]
    return LandmarkModel(*parts, N_IDENTITY, size_slope(parts[0], parts[1][..., :N_IDENTITY]), True)


def view_of(landmarks, identity, expression, rotvec, translation_mm):
    """A view with exact landmarks, and the rotation."""
    rotation = roma.rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float64))
    points_obj = landmarks.points_obj(torch.tensor(identity).double(), torch.tensor(expression).double())
    v_cam = points_obj @ rotation.T + torch.tensor(translation_mm).double()
    principal_px = torch.tensor([[130.0, 90.0]]).double()
    points = principal_px + 900.0 * v_cam[:, :2] * torch.tensor([1.0, -1.0]) / -v_cam[:, 2:]
    return ViewTensors(independent(points, 0.1), torch.full((1, 2), 900.0).double(), principal_px), rotation


def fitted(landmarks, views, sigma_px, identity_precision, expression_sigma, n_steps=40, unit=True):
    poses = [pose_from_points(landmarks, view) for view in views]
    start = FaceParameters(
        torch.zeros(1, N_IDENTITY).double(),
        torch.zeros(len(views), N_EXPRESSION).double(),
        torch.zeros(1, 0).double(),
        torch.stack([rotation for rotation, _ in poses]),
        torch.stack([translation for _, translation in poses]),
        None,
    )
    model = dataclasses.replace(landmarks, unit_expression=unit)
    settings = FitSettings(landmark_steps=n_steps, identity_precision=identity_precision)
    views = [dataclasses.replace(view, landmarks=independent(view.landmarks.points_px, sigma_px)) for view in views]
    widths = torch.full((len(views), N_EXPRESSION), expression_sigma).double()
    return landmark_stage(model, FitState.of(start), views, settings, widths).parameters


def reprojected(landmarks, face, view):
    points = landmarks.points_obj(face.identity[0], face.expression[0])
    camera = FitState.of(face).camera(view, 0)
    return camera.to_pixels(camera.to_camera(points[None]))[0]


def test_recovers_shape_and_pose_of_exact_landmarks(landmarks):
    identity = [1.0, -0.8, 0.5, 0.2]
    view, rotation = view_of(landmarks, identity, [0.6, 0.0, 0.3], [0.2, -0.3, 0.1], [12.0, -20.0, -800.0])
    found = fitted(landmarks, [view], 0.075, 1e-3, 10.0)
    torch.testing.assert_close(found.rotation[0], rotation, atol=2e-2, rtol=0)
    assert float((reprojected(landmarks, found, view) - view.landmarks.points_px).abs().max()) < 0.3
    torch.testing.assert_close(found.identity[0], torch.tensor(identity).double(), atol=0.3, rtol=0)


def test_views_share_the_identity_and_keep_their_own_expression(landmarks):
    identity = [0.9, -0.7, 0.4, -0.3]
    expressions = [[0.8, 0.0, 0.0], [0.0, 0.7, 0.2]]
    views = [
        view_of(landmarks, identity, expressions[0], [0.0, 0.5, 0.0], [0.0, 10.0, -900.0])[0],
        view_of(landmarks, identity, expressions[1], [0.1, -0.5, 0.1], [5.0, 0.0, -700.0])[0],
    ]
    found = fitted(landmarks, views, 0.075, 1e-2, 5.0)
    assert found.identity.shape == (1, 4)
    torch.testing.assert_close(found.identity[0], torch.tensor(identity).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(found.expression, torch.tensor(expressions).double(), atol=0.1, rtol=0)


def test_weights_stay_in_the_unit_interval(landmarks):
    view, _ = view_of(landmarks, [0.0] * 4, [1.6, -0.7, 0.4], [0.0, 0.2, 0.0], [0.0, 0.0, -800.0])
    found = fitted(landmarks, [view], 0.15, 1.0, 1.0, 30)
    assert float(found.expression.min()) >= 0.0 and float(found.expression.max()) <= 1.0
    free = fitted(landmarks, [view], 0.15, 1.0, 1.0, 30, unit=False)
    assert float(free.expression.max()) > 1.2 and float(free.expression.min()) < -0.2


def test_one_wild_point_does_not_move_the_head(landmarks):
    view, rotation = view_of(landmarks, [0.0] * 4, [0.0] * 3, [0.1, 0.2, 0.0], [0.0, 0.0, -800.0])
    points = view.landmarks.points_px.clone()
    points[7] += 80.0
    found = fitted(landmarks, [dataclasses.replace(view, landmarks=independent(points, 1.0))], 3.0, 1.0, 0.3, 25)
    torch.testing.assert_close(found.rotation[0], rotation, atol=0.03, rtol=0)


def test_arguments_are_left_alone(landmarks):
    view, _ = view_of(landmarks, [0.0] * 4, [0.0] * 3, [0.1, 0.2, 0.0], [0.0, 0.0, -800.0])
    tensors = (landmarks.mean, landmarks.basis, view.landmarks.points_px, view.landmarks.sigma_px)
    before = [tensor.clone() for tensor in tensors]
    fitted(landmarks, [view], 3.0, 1.0, 0.3, 3)
    assert all(torch.equal(x, y) for x, y in zip(before, tensors, strict=True))


def test_landmarks_on_one_spot_are_refused(landmarks):
    flat = dataclasses.replace(landmarks, mean=torch.zeros_like(landmarks.mean))
    view, _ = view_of(landmarks, [0.0] * 4, [0.0] * 3, [0.1, 0.2, 0.0], [0.0, 0.0, -800.0])
    with pytest.raises(ValueError, match="no pose follows"):
        pose_from_points(flat, view)


def test_points_that_face_away_count_less(landmarks):
    """The mean face's normals say which, as long as no render does."""
    view, rotation = view_of(landmarks, [0.0] * 4, [0.0] * 3, [0.0, 1.2, 0.0], [0.0, 0.0, -800.0])
    face = FaceParameters(
        torch.zeros(1, 4).double(), torch.zeros(1, 3).double(), torch.zeros(1, 0).double(),
        rotation[None], torch.tensor([[0.0, 0.0, -800.0]]).double(), None,
    )  # fmt: skip
    layout = ParameterLayout(4, 0, 3, 1)
    rows = LandmarkTerm(landmarks).linearize(ViewAtState(FitState.of(face), view, 0), layout)
    weight = rows.jacobian.unflatten(0, (60, 2))[:, 0, layout.translation(0).start].abs()
    facing = (landmarks.normals @ rotation.T)[:, 2]
    assert float(weight[facing < -0.2].max()) < 0.35 * float(weight[facing > 0.5].min())
