"""How heads move: the state that a filter follows, its step in time, and how far it strays.

Each of the D = 6 + Ke numbers of a frame (rotation, translation, expression weights) has a velocity that is a random walk which
fades, an Ornstein-Uhlenbeck process:

    dx = v dt,    dv = -v / tau dt + sqrt(q) dW.

A random walk of x itself, the limit of a small tau, cannot tell a smooth motion from noise: it follows both or neither.
Rotations stay on their manifold: an error e is a rotation vector in the camera frame, R = exp(e) R_mean.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

VELOCITY_TIME_S = 0.4
"""tau: how long a head keeps its velocity."""
N_POSE = 6
_FIRST_SIGMA = {"rotation_rad": 1.0, "translation_mm": 1000.0, "expression": 1.0}
"""Of a head before it is seen."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameEstimate:
    """What one frame says of a head.

    Attributes:
        time_s: of the frame.
        rotation: ``(3, 3)`` object to camera.
        translation_mm: ``(3,)``.
        expression: ``(Ke,)`` weights.
        precision: ``(D, D)`` inverse covariance of rotation vector (rad, camera frame), translation (mm) and expression, priors
            included.
        evidence: ``(D, D)`` the part of it that the frame gives, without priors.
    """

    time_s: float
    rotation: Float[np.ndarray, "3 3"]
    translation_mm: Float[np.ndarray, " 3"]
    expression: Float[np.ndarray, " ke"]
    precision: Float[np.ndarray, "d d"]
    evidence: Float[np.ndarray, "d d"]


@dataclasses.dataclass(frozen=True, eq=False)
class MotionVariances:
    """What the filter takes for motion, and what for noise.

    Attributes:
        spread: ``(D,)`` q: variance of the velocity's random walk a second, in squared units of a second squared.
        noise: factor on the covariance that frames state. Below 1, because frames of one person err alike; that part no filter
            can tell from the truth.
    """

    spread: Float[np.ndarray, " d"]
    noise: float


@dataclasses.dataclass(frozen=True, eq=False)
class HeadState:
    """A head that moves.

    Attributes:
        rotation: ``(3, 3)`` object to camera.
        values: ``(D - 3,)`` translation in mm, then expression weights.
        velocity: ``(D,)`` of rotation vector, translation and expression, a second.
    """

    rotation: Float[np.ndarray, "3 3"]
    values: Float[np.ndarray, " n"]
    velocity: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, frame: FrameEstimate) -> HeadState:
        """At rest where a frame sees it."""
        values = np.concatenate([frame.translation_mm, frame.expression])
        return cls(frame.rotation, values, np.zeros(len(values) + 3))

    def plus(self, error: Float[np.ndarray, " e"]) -> HeadState:
        """Moved by an error ``(2 D,)``: of the D numbers, then of their velocities."""
        d = len(self.velocity)
        return HeadState(
            Rotation.from_rotvec(error[:3]).as_matrix() @ self.rotation,
            self.values + error[3:d],
            self.velocity + error[d:],
        )

    def minus(self, other: HeadState) -> Float[np.ndarray, " e"]:
        """The error that leads from another to this one."""
        return np.concatenate(
            [
                Rotation.from_matrix(self.rotation @ other.rotation.T).as_rotvec(),
                self.values - other.values,
                self.velocity - other.velocity,
            ]
        )


@dataclasses.dataclass(frozen=True)
class MotionStep:
    """The motion over a time: x + b v, a v, and the covariance of what is added to each number and its velocity, over q.

    Attributes:
        position_by_velocity: b, s.
        velocity_kept: a.
        spread: ``(2, 2)`` s^3, s^2, s.
    """

    position_by_velocity: float
    velocity_kept: float
    spread: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def over(cls, duration_s: float, tau: float = VELOCITY_TIME_S) -> MotionStep:
        """Exact for any time that is positive."""
        kept = math.exp(-duration_s / tau)
        lost = -math.expm1(-duration_s / tau)
        both = 0.5 * tau**2 * lost**2
        velocity = 0.5 * tau * lost * (1.0 + kept)
        position = tau**2 * (duration_s - 2.0 * tau * lost + velocity)
        if duration_s < 1e-3 * tau:  # the differences cancel
            position = duration_s**3 / 3.0
        return cls(tau * lost, kept, ((position, both), (both, velocity)))

    def mean(self, state: HeadState) -> HeadState:
        """Where the state is expected."""
        moved = self.position_by_velocity * state.velocity
        d = len(state.velocity)
        faded = (self.velocity_kept - 1.0) * state.velocity
        return state.plus(np.concatenate([moved, faded[:d]]))

    def covariance(self, before: Float[np.ndarray, "e e"], spread: Float[np.ndarray, " d"]) -> Float[np.ndarray, "e e"]:
        """Of the expected state: F P F^T + Q."""
        d = len(spread)
        after = self.through(self.through(before).T)
        for row in (0, 1):
            for column in (0, 1):
                block = after[row * d : (row + 1) * d, column * d : (column + 1) * d]
                block[np.diag_indices(d)] += self.spread[row][column] * spread
        return after

    def through(self, matrix: Float[np.ndarray, "e m"]) -> Float[np.ndarray, "e m"]:
        """F times a matrix."""
        d = len(matrix) // 2
        return np.concatenate([matrix[:d] + self.position_by_velocity * matrix[d:], self.velocity_kept * matrix[d:]])

    def inverse_spread(self) -> Float[np.ndarray, "2 2"]:
        """Of the covariance of what is added, over q."""
        return np.linalg.inv(np.array(self.spread))


def first_covariance(variances: MotionVariances) -> Float[np.ndarray, "e e"]:
    """Of a head before it is seen: anywhere, and as fast as heads are in the long run."""
    n_expression = len(variances.spread) - N_POSE
    sigma = np.repeat(list(_FIRST_SIGMA.values()), (3, 3, n_expression))
    return np.diag(np.concatenate([sigma**2, 0.5 * VELOCITY_TIME_S * variances.spread]))
