"""Shape and pose from landmarks alone: damped Gauss-Newton on a linear model, in closed form, a millisecond a step."""

from __future__ import annotations

import dataclasses

import numpy as np

from bfm.data import FloatArray
from bfm.model import MorphableModel
from recon.fitting.anchor import Start
from recon.fitting.plausibility import shape_prior, size_slope
from recon.fitting.unknowns import Layout, solve_within

_NEAR_MM = 50.0


@dataclasses.dataclass(frozen=True)
class PointModel:
    """A face model seen only at its landmarks, float64.

    Attributes:
        mean: ``(N, 3)`` mm.
        identity: ``(N, 3, Ki)`` mm per sigma.
        expression: ``(N, 3, Ke)`` mm per unit.
        normals: ``(N, 3)`` of the mean face, object frame.
        bounded: whether expression weights are confined to [0, 1].
    """

    mean: FloatArray
    identity: FloatArray
    expression: FloatArray
    normals: FloatArray
    bounded: bool

    @classmethod
    def of(cls, model: MorphableModel, name: str) -> PointModel:
        """The named landmark set of a model."""
        data = model.data()
        points = data.landmarks[name] if name in data.landmarks else model.landmark_points(name)
        corners, weights = data.faces[points.triangles], points.barycentrics.astype(np.float64)

        def at(values: FloatArray) -> FloatArray:
            return np.asarray(np.einsum("nk,nk...->n...", weights, values[corners].astype(np.float64)))

        normals = _vertex_normals(data.mean_shape.astype(np.float64), data.faces)
        return cls(
            at(data.mean_shape),
            at(data.identity_basis),
            at(data.expression_basis),
            at(normals),
            data.expression_prior == "unit",
        )


@dataclasses.dataclass(frozen=True)
class PointView:
    """Landmarks of one photo.

    Attributes:
        points_pix: ``(N, 2)``.
        weights: ``(N,)``, 0 leaves a point out.
        focal_px, principal_px: intrinsics: a number and ``(2,)``.
        size_px: size of the face, the unit of the landmarks' standard deviation.
        jaw_factor: on the width of the prior of an open jaw.
    """

    points_pix: FloatArray
    weights: FloatArray
    focal_px: float
    principal_px: FloatArray
    size_px: float
    jaw_factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class PointFit:
    """Coefficients and poses that explain the landmarks.

    Attributes:
        identity: ``(Ki,)``.
        expression: ``(views, Ke)``.
        rotation: ``(views, 3, 3)``, object to camera.
        translation_mm: ``(views, 3)``.
    """

    identity: FloatArray
    expression: FloatArray
    rotation: FloatArray
    translation_mm: FloatArray

    def points_obj(self, model: PointModel, view: int) -> FloatArray:
        """Landmarks ``(N, 3)`` in the object frame."""
        return np.asarray(model.mean + model.identity @ self.identity + model.expression @ self.expression[view])


def project(points_cam: FloatArray, view: PointView) -> FloatArray:
    """Pixels ``(N, 2)`` of points in the camera frame."""
    depth = np.maximum(-points_cam[:, 2:], _NEAR_MM)
    return np.asarray(view.principal_px + view.focal_px * points_cam[:, :2] * [1.0, -1.0] / depth)


def pose_from_points(model: PointModel, view: PointView) -> tuple[FloatArray, FloatArray]:
    """Rotation ``(3, 3)`` and translation ``(3,)`` of the mean face: scaled orthography solved linearly, then perspective.

    Raises:
        ValueError: the points lie on a line or spot, so that no pose follows.
    """
    weights = np.sqrt(view.weights)[:, None]
    design = np.concatenate([model.mean, np.ones((len(model.mean), 1))], axis=1)
    seen = (view.points_pix - view.principal_px) * [1.0, -1.0]
    solution, _, rank, _ = np.linalg.lstsq(design * weights, seen * weights, rcond=None)
    if rank < 4:
        raise ValueError("the landmarks lie on a line or in one spot: no pose follows from them")
    rows = solution[:3].T
    u, singular, vt = np.linalg.svd(rows)
    scale = float(singular.mean())
    first_two = u @ vt[:2]
    rotation = np.stack([first_two[0], first_two[1], np.cross(first_two[0], first_two[1])])
    distance = view.focal_px / max(scale, 1e-6)
    translation = np.array([solution[3, 0] / scale, solution[3, 1] / scale, -distance])
    return rotation, translation


def fit_points(
    model: PointModel,
    views: list[PointView],
    sigma: float,
    identity_weight: float,
    expression_sigma: float | FloatArray,
    n_steps: int,
    start: Start | None = None,
) -> PointFit:
    """The most probable identity (shared), expressions and poses given landmarks in one or more views.

    Args:
        model: the face at its landmarks.
        views: one a photo.
        sigma: standard deviation of a landmark in shares of the face's size.
        identity_weight: strength of the identity prior.
        expression_sigma: width of the expression prior, one for all, ``(Ke,)`` or ``(views, Ke)``.
        n_steps: Gauss-Newton steps.
        start: shape and expression to start from and stay near; the pose follows from the landmarks.
    """
    n_id, n_exp, n_views = model.identity.shape[2], model.expression.shape[2], len(views)
    poses = [pose_from_points(model, view) for view in views]
    state = PointFit(
        np.zeros(n_id) if start is None else start.state.identity[0].double().cpu().numpy(),
        np.zeros((n_views, n_exp)) if start is None else start.state.expression.double().cpu().numpy(),
        np.stack([r for r, _ in poses]),
        np.stack([t for _, t in poses]),
    )
    layout = Layout(n_id, 0, n_exp, n_views)
    slope, widths = size_slope(model.mean, model.identity), np.asarray(expression_sigma)
    for step in range(n_steps):
        # The prior starts stiff: pose first, then identity, then what is left is expression.
        stiffness = max(1.0, 30.0 * 0.6**step)
        believed, wanted = shape_prior(layout, state.identity, state.expression, identity_weight, widths, slope)
        normal, right = stiffness * believed, stiffness * wanted
        if start is not None:
            weights, pull = start.equations(
                layout, state.identity, state.expression, state.rotation, state.translation_mm
            )
            normal[range(layout.n_all), range(layout.n_all)] += stiffness * weights
            right += stiffness * pull
        for index, view in enumerate(views):
            jacobian, residual = _linearise(model, view, state, index)
            weight = _robust(residual, view, sigma, model, state, index)
            rows = (jacobian * weight[:, None, None]).reshape(-1, jacobian.shape[2])
            where = layout.of_view(index)
            normal[np.ix_(where, where)] += rows.T @ jacobian.reshape(rows.shape)
            right[where] += rows.T @ residual.ravel()
        state = _advance(state, layout, normal, right, model.bounded)
    return state


def _linearise(model: PointModel, view: PointView, state: PointFit, index: int) -> tuple[FloatArray, FloatArray]:
    """Jacobian ``(N, 2, Ki + 6 + Ke)`` of the projection and residual ``(N, 2)`` photo - model, in pixels."""
    rotation, translation = state.rotation[index], state.translation_mm[index]
    turned = state.points_obj(model, index) @ rotation.T
    points_cam = turned + translation
    depth = np.maximum(-points_cam[:, 2], _NEAR_MM)
    n_points = len(depth)
    camera = np.zeros((n_points, 2, 3))
    camera[:, 0, 0], camera[:, 1, 1] = view.focal_px / depth, -view.focal_px / depth
    camera[:, 0, 2] = view.focal_px * points_cam[:, 0] / depth**2
    camera[:, 1, 2] = -view.focal_px * points_cam[:, 1] / depth**2
    # Turning by a small w in the camera frame moves a point by w cross x.
    x, y, z = turned.T
    zero = np.zeros(n_points)
    spin = np.stack([np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], axis=2)
    shape = np.concatenate([model.identity, model.expression], axis=2)
    in_camera = np.matmul(rotation, shape)
    n_id = model.identity.shape[2]
    jacobian = np.concatenate(
        [camera @ in_camera[:, :, :n_id], camera @ spin, camera, camera @ in_camera[:, :, n_id:]], 2
    )
    return jacobian, view.points_pix - project(points_cam, view)


def _robust(
    residual: FloatArray, view: PointView, sigma: float, model: PointModel, state: PointFit, index: int
) -> FloatArray:
    """Weight ``(N,)`` of each point: its own, by visibility, and less for outliers (Geman and McClure)."""
    scale = sigma * view.size_px
    gap = np.linalg.norm(residual, axis=1) / scale
    turned = model.normals @ state.rotation[index].T
    towards = -(state.points_obj(model, index) @ state.rotation[index].T + state.translation_mm[index])
    facing = (turned * towards).sum(1) / np.linalg.norm(towards, axis=1)
    visible = np.clip((facing + 0.15) / 0.45, 0.06, 1.0)
    return np.asarray(view.weights * visible / scale**2 / (1.0 + (gap / 3.0) ** 2) ** 2)


def _advance(state: PointFit, layout: Layout, normal: FloatArray, right: FloatArray, bounded: bool) -> PointFit:
    views = range(layout.n_views)
    faces = [np.arange(layout.expression(v).start, layout.expression(v).stop) for v in views]
    positions = np.concatenate(faces) if bounded else np.zeros(0, dtype=int)
    now = state.expression.ravel() if bounded else np.zeros(0)
    step = solve_within(normal, right, positions, now, 0.0, 1.0)
    expression = state.expression + np.stack([step[layout.expression(v)] for v in views])
    poses = [step[layout.pose(v)] for v in views]
    return PointFit(
        state.identity + step[layout.identity],
        expression.clip(0.0, 1.0) if bounded else expression,
        np.stack([rotation_of(pose[:3]) @ state.rotation[v] for v, pose in zip(views, poses, strict=True)]),
        np.stack([state.translation_mm[v] + pose[3:] for v, pose in zip(views, poses, strict=True)]),
    )


def rotation_of(spin: FloatArray) -> FloatArray:
    """Rotation matrix of a rotation vector, by Rodrigues's formula, with steps limited to 0.5 rad."""
    angle = float(np.linalg.norm(spin))
    if angle < 1e-12:
        return np.eye(3)
    axis = spin / angle
    angle = min(angle, 0.5)
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


def _vertex_normals(vertices: FloatArray, faces: np.ndarray) -> FloatArray:
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = np.stack(
        [np.bincount(faces.ravel(), weights=np.repeat(across[:, k], 3), minlength=len(vertices)) for k in range(3)], 1
    )
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))
