"""Filter and smoother against least squares over all frames at once, which is their slow twin where nothing turns."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
from scipy.spatial.transform import Rotation

from recon.tracking.estimate_variances import estimate_variances
from recon.tracking.motion import (
    N_POSE,
    VELOCITY_TIME_S,
    FrameEstimate,
    HeadState,
    MotionStep,
    MotionVariances,
    first_covariance,
)
from recon.tracking.smoother import filtered, smoothed

KE = 3
D = N_POSE + KE
SIGMA = np.array([0.02, 0.02, 0.02, 0.5, 0.5, 8.0, 0.05, 0.05, 0.05])
TIMES_S = np.cumsum([0.0, 0.04, 0.04, 0.1, 0.03, 0.5, 0.04, 0.04, 0.07, 0.04, 0.04])  # a variable rate with a gap
VARIANCES = MotionVariances(np.array([1.0, 2.0, 0.5, 900.0, 400.0, 2500.0, 4.0, 1.0, 0.1]), 0.4)


def frame(time_s: float, rotvec: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> FrameEstimate:
    mixed = rng.normal(size=(D, D))
    covariance = np.diag(SIGMA) @ (np.eye(D) + 0.3 * mixed @ mixed.T / D) @ np.diag(SIGMA)
    precision = np.linalg.inv(covariance)
    return FrameEstimate(
        time_s, Rotation.from_rotvec(rotvec).as_matrix(), values[:3], values[3:], precision, 0.9 * precision
    )


def path(times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors ``(T, 3)`` and the other numbers ``(T, D - 3)`` of a smooth motion."""
    rotvec = np.stack([0.3 * np.sin(3.0 * times_s), 0.5 * np.sin(2.0 * times_s), 0.1 * np.sin(4.0 * times_s)], axis=1)
    translation = np.stack(
        [30.0 * np.sin(2.0 * times_s), 20.0 * np.cos(times_s), 50.0 * np.sin(times_s) - 900.0], axis=1
    )
    expression = np.stack([0.5 + 0.3 * np.sin((k + 2.0) * times_s) for k in range(KE)], axis=1)
    return rotvec, np.concatenate([translation, expression], axis=1)


def noisy(times_s: np.ndarray, noise: float, seed: int = 0, still: bool = False) -> list[FrameEstimate]:
    rng = np.random.default_rng(seed)
    rotvec, values = path(times_s)
    found = []
    for k, time_s in enumerate(times_s):
        one = frame(time_s, 0.0 * rotvec[k] if still else rotvec[k], values[k], rng)
        error = np.linalg.cholesky(noise * np.linalg.inv(one.precision)) @ rng.normal(size=D)
        if still:
            error[:3] *= 1e-4  # so small that rotations add up
        turned = HeadState.of(one).plus(np.concatenate([error, np.zeros(D)]))
        found.append(
            FrameEstimate(time_s, turned.rotation, turned.values[:3], turned.values[3:], one.precision, one.evidence)
        )
    return found


def least_squares(frames: list[FrameEstimate], variances: MotionVariances) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all states from one dense system; rotations as vectors that add up."""
    n = len(frames)
    size = 2 * D
    first = np.concatenate([np.zeros(3), frames[0].translation_mm, frames[0].expression, np.zeros(D)])
    first[:3] = Rotation.from_matrix(frames[0].rotation).as_rotvec()
    normal, right = np.zeros((n * size, n * size)), np.zeros(n * size)

    def add(rows: np.ndarray, precision: np.ndarray, wanted: np.ndarray) -> None:
        normal[:] += rows.T @ precision @ rows
        right[:] += rows.T @ precision @ wanted

    def columns(k: int) -> np.ndarray:
        return np.eye(n * size)[k * size : (k + 1) * size]

    add(columns(0), np.linalg.inv(first_covariance(variances)), first)
    for k, one in enumerate(frames):
        seen = np.concatenate([Rotation.from_matrix(one.rotation).as_rotvec(), one.translation_mm, one.expression])
        add(columns(k)[:D], one.precision / variances.noise, seen)
    for k in range(n - 1):
        step = MotionStep.over(frames[k + 1].time_s - frames[k].time_s)
        motion = np.kron([[1.0, step.position_by_velocity], [0.0, step.velocity_kept]], np.eye(D))
        spread = np.kron(step.spread, np.diag(variances.spread))
        add(columns(k + 1) - motion @ columns(k), np.linalg.inv(spread), np.zeros(size))
    covariance = np.linalg.inv(normal)
    return (covariance @ right).reshape(n, size), covariance


def vector(state: HeadState) -> np.ndarray:
    return np.concatenate([Rotation.from_matrix(state.rotation).as_rotvec(), state.values, state.velocity])


def test_the_step_is_that_of_the_process() -> None:
    """Against numerical integration of the process's mean and covariance."""
    matrix = np.array([[0.0, 1.0], [0.0, -1.0 / VELOCITY_TIME_S]])
    for duration_s in (1e-5, 0.04, 0.7):
        step = MotionStep.over(duration_s)
        solved = scipy.integrate.solve_ivp(
            lambda _, x: np.concatenate(
                [
                    (matrix @ x[:4].reshape(2, 2)).ravel(),
                    (matrix @ (s := x[4:].reshape(2, 2)) + s @ matrix.T + np.diag([0.0, 1.0])).ravel(),
                ]
            ),
            (0.0, duration_s),
            np.concatenate([np.eye(2).ravel(), np.zeros(4)]),
            rtol=1e-10,
            atol=1e-25,
        ).y[:, -1]
        np.testing.assert_allclose(solved[:4], [1.0, step.position_by_velocity, 0.0, step.velocity_kept], rtol=1e-7)
        np.testing.assert_allclose(np.ravel(step.spread), solved[4:], rtol=1e-4)


def test_the_last_filtered_state_and_all_smoothed_are_those_of_least_squares() -> None:
    frames = noisy(TIMES_S, 0.4, still=True)
    wanted, covariance = least_squares(frames, VARIANCES)
    found = list(smoothed(frames, VARIANCES))[::-1]
    scale = np.sqrt(np.diag(covariance)).reshape(len(frames), -1)
    for k, here in enumerate(found):
        assert here.index == k
        assert np.abs((vector(here.belief.state) - wanted[k]) / scale[k]).max() < 1e-2
        part = covariance[k * 2 * D : (k + 1) * 2 * D, k * 2 * D : (k + 1) * 2 * D]
        np.testing.assert_allclose(
            here.belief.covariance / np.outer(scale[k], scale[k]), part / np.outer(scale[k], scale[k]), atol=1e-5
        )
        if here.following is not None:
            shared = covariance[k * 2 * D : (k + 1) * 2 * D, (k + 1) * 2 * D : (k + 2) * 2 * D]
            scales = np.outer(scale[k], scale[k + 1])
            np.testing.assert_allclose(here.gain @ here.following.covariance / scales, shared / scales, atol=1e-5)
    last = list(filtered(frames, VARIANCES))[-1]
    assert np.abs((vector(last.state) - wanted[-1]) / scale[-1]).max() < 1e-2
    # The filter knows nothing of later frames.
    some, _ = least_squares(frames[:4], VARIANCES)
    assert np.abs((vector(list(filtered(frames, VARIANCES))[3].state) - some[-1]) / scale[3]).max() < 1e-2


def test_blocks_change_no_number() -> None:
    frames = noisy(TIMES_S, 0.4)
    one = [here.belief for here in smoothed(frames, VARIANCES)]
    for block in (1, 4, 11):
        for a, b in zip(one, smoothed(frames, VARIANCES, block=block), strict=True):
            np.testing.assert_array_equal(vector(a.state), vector(b.belief.state))
            np.testing.assert_array_equal(a.covariance, b.belief.covariance)


def test_a_camera_that_is_turned_sees_the_same_motion() -> None:
    """Large rotations: the path turned as a whole, errors and all, is smoothed into the turned path."""
    frames = noisy(TIMES_S, 0.4)
    turn = Rotation.from_euler("xyz", [0.4, -2.0, 1.1]).as_matrix()
    mixing = np.eye(D)
    mixing[:3, :3] = mixing[3:6, 3:6] = turn
    turned = [
        FrameEstimate(
            one.time_s,
            turn @ one.rotation,
            turn @ one.translation_mm,
            one.expression,
            mixing @ one.precision @ mixing.T,
            mixing @ one.evidence @ mixing.T,
        )
        for one in frames
    ]
    even = MotionVariances(np.array([1.0] * 3 + [900.0] * 3 + [4.0, 1.0, 0.1]), 0.4)
    for a, b in zip(smoothed(frames, even), smoothed(turned, even), strict=True):
        np.testing.assert_allclose(turn @ a.belief.state.rotation, b.belief.state.rotation, atol=1e-8)
        np.testing.assert_allclose(turn @ a.belief.state.values[:3], b.belief.state.values[:3], atol=1e-6)


def test_variances_are_found() -> None:
    """Drawn from the process itself; the noise within 15 %, the spread of each within a factor of 2.2."""
    rng = np.random.default_rng(3)
    step = MotionStep.over(0.04)
    truth = MotionVariances(np.array([1.0] * 3 + [900.0] * 2 + [2500.0] + [4.0] * KE), 0.4)
    root = np.linalg.cholesky(np.array(step.spread))
    state = HeadState(np.eye(3), np.array([0.0, 0.0, -900.0, 0.5, 0.5, 0.5]), np.zeros(D))
    frames = []
    for k in range(120):
        one = frame(0.04 * k, Rotation.from_matrix(state.rotation).as_rotvec(), state.values, rng)
        error = np.linalg.cholesky(truth.noise * np.linalg.inv(one.precision)) @ rng.normal(size=D)
        seen = state.plus(np.concatenate([error, np.zeros(D)]))
        frames.append(
            FrameEstimate(one.time_s, seen.rotation, seen.values[:3], seen.values[3:], one.precision, one.evidence)
        )
        state = step.mean(state).plus((root @ rng.normal(size=(2, D)) * np.sqrt(truth.spread)).ravel())
    found = estimate_variances([frames], KE)
    assert abs(found.noise / truth.noise - 1.0) < 0.15
    assert np.abs(np.log(found.spread / truth.spread)).max() < np.log(2.2)


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_smoothing_helps(noise: float) -> None:
    times_s = 0.04 * np.arange(40)
    frames = noisy(times_s, noise)
    rotvec, values = path(times_s)

    def errors(states: list[HeadState]) -> tuple[float, float]:
        """Root mean square of errors over their sigmas, and mean absolute second difference of the same."""
        wrong = [
            HeadState(Rotation.from_rotvec(rotvec[k]).as_matrix(), values[k], np.zeros(D)) for k in range(len(states))
        ]
        error = np.stack([state.minus(true)[:D] / SIGMA for state, true in zip(states, wrong, strict=True)])
        return float(np.sqrt(np.mean(error**2))), float(np.abs(np.diff(error, 2, axis=0)).mean())

    variances = estimate_variances([frames], KE)
    single = errors([HeadState.of(one) for one in frames])
    causal = errors([belief.state for belief in filtered(frames, variances)])
    two_pass = errors([here.belief.state for here in smoothed(frames, variances)][::-1])
    assert two_pass[0] < 0.7 * single[0] and two_pass[0] < causal[0] < single[0]
    assert two_pass[1] < 0.15 * single[1] and two_pass[1] < causal[1] < single[1]


def test_nothing_to_learn_from() -> None:
    few = estimate_variances([noisy(TIMES_S[:2], 0.4)], KE)
    none = estimate_variances([], KE)
    np.testing.assert_array_equal(few.spread, none.spread)
    assert (none.spread > 0.0).all() and len(list(smoothed(noisy(TIMES_S[:1], 0.4), none))) == 1
