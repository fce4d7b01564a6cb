"""Variances of the motion from the video itself: maximum likelihood by expectation maximisation (Shumway and Stoffer 1982)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float

from recon.tracking.motion import N_POSE, FrameEstimate, HeadState, MotionVariances
from recon.tracking.smoother import Smoothed, smoothed

_ROUNDS = 12
_CONVERGED = 0.02
"""Relative change of all variances below which rounds end."""
_RELAXATION = 1.8
"""Power of each round's factor on the spread: plain rounds approach it by small steps where noise hides the motion (adaptive
overrelaxed EM, Salakhutdinov and Roweis 2003; below 2 it converges near the optimum)."""
_MOST_FRAMES = 240
"""Frames that are looked at: the longest stretches up to this many in all."""
_FIRST_NOISE = 0.3
_FIRST_SIGMA = {"rotation_rad": 1.0, "across_mm": 100.0, "depth_mm": 100.0, "expression": 3.0}
"""Square roots of the variances that rounds start with, a second to the power 3/2."""
_PRIOR_FRAMES = 5.0
"""What a weight of an expression is believed to move like all others, in frames: some hardly move in a video."""


def usual_variances(n_expression: int) -> MotionVariances:
    """Before a video is looked at."""
    rotation, across, depth, expression = _FIRST_SIGMA.values()
    sigma = np.concatenate([np.full(3, rotation), [across, across, depth], np.full(n_expression, expression)])
    return MotionVariances(sigma**2, _FIRST_NOISE)


def estimate_variances(stretches: Sequence[Sequence[FrameEstimate]], n_expression: int) -> MotionVariances:
    """Variances under which the frames are likely.

    Rotations share one about all axes, translations one across the line of sight; each weight has its own, held towards the mean of
    all.

    Args:
        stretches: frames without a gap or a cut, in the order of time.
        n_expression: Ke.
    """
    chosen = _longest(stretches)
    variances = usual_variances(n_expression)
    if not chosen:
        return variances
    for _ in range(_ROUNDS):
        before, variances = variances, _maximised(chosen, variances)
        change = np.abs(np.log(np.append(variances.spread / before.spread, variances.noise / before.noise)))
        if change.max() < _CONVERGED:
            break
    return variances


def _longest(stretches: Sequence[Sequence[FrameEstimate]]) -> list[Sequence[FrameEstimate]]:
    chosen: list[Sequence[FrameEstimate]] = []
    left = _MOST_FRAMES
    for stretch in sorted(stretches, key=len, reverse=True):
        if min(len(stretch), left) >= 3:
            chosen.append(stretch[:left])
            left -= len(chosen[-1])
    return chosen


def _maximised(stretches: Sequence[Sequence[FrameEstimate]], variances: MotionVariances) -> MotionVariances:
    """One round: expected squares of what moves heads and of what frames err by, under the variances so far."""
    moved, n_steps = np.zeros(len(variances.spread)), 0
    erred, measured = 0.0, 0.0
    for frames in stretches:
        for here in smoothed(frames, variances):
            error2, numbers = _noise_square(frames[here.index], here)
            erred, measured = erred + error2, measured + numbers
            if here.following is not None:
                moved, n_steps = moved + _spread_square(here), n_steps + 1
    factor = _pooled(moved / n_steps, n_steps) / variances.spread
    return MotionVariances(variances.spread * factor**_RELAXATION, erred / measured)


def _spread_square(here: Smoothed) -> Float[np.ndarray, " d"]:
    """Expected square of what is added between a frame and the next, whitened by its covariance over q: an estimate of q."""
    assert here.following is not None and here.step is not None and here.gain is not None, "the last frame has none"
    d = len(here.belief.state.velocity)
    added = here.following.state.minus(here.step.mean(here.belief.state))
    # P_following - F G P_following - (F G P_following)^T + F P F^T
    shared = here.step.through(here.gain @ here.following.covariance)
    through = here.step.through(here.step.through(here.belief.covariance).T)
    square = here.following.covariance - shared - shared.T + through + np.outer(added, added)
    whitening = here.step.inverse_spread()
    return 0.5 * sum(
        whitening[row, column] * np.diagonal(square[row * d : (row + 1) * d, column * d : (column + 1) * d])
        for row in (0, 1)
        for column in (0, 1)
    )


def _noise_square(frame: FrameEstimate, here: Smoothed) -> tuple[float, float]:
    """Expected squared error of a frame in the directions that it measures, by its own precision, and their number.

    Directions that only the priors fix do not scatter, and would make frames look better than they are.
    """
    d = len(here.belief.state.velocity)
    error = HeadState.of(frame).minus(here.belief.state)[:d]
    square = np.outer(error, error) + here.belief.covariance[:d, :d]
    covariance = scipy.linalg.cho_solve(scipy.linalg.cho_factor(frame.precision), np.eye(d))
    return float(np.sum(frame.evidence * square)), float(np.sum(frame.evidence * covariance))


def _pooled(spread: Float[np.ndarray, " d"], n_steps: int) -> Float[np.ndarray, " d"]:
    expression = spread[N_POSE:]
    if len(expression):
        expression = (n_steps * expression + _PRIOR_FRAMES * expression.mean()) / (n_steps + _PRIOR_FRAMES)
    return np.concatenate([np.full(3, spread[:3].mean()), np.full(2, spread[3:5].mean()), spread[5:N_POSE], expression])
