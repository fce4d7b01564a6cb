"""Kalman filter and Rauch-Tung-Striebel smoother over frames of one head, in memory that does not grow with the video.

The filter goes forward and keeps its state once a block; the smoother goes backward and filters each block anew, so that
covariances of one block only are held. The numbers are those of one block over all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float

from recon.tracking.motion import FrameEstimate, HeadState, MotionStep, MotionVariances, first_covariance

_BLOCK = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Belief:
    """A head's state and the covariance ``(2 D, 2 D)`` of its error."""

    state: HeadState
    covariance: Float[np.ndarray, "e e"]


@dataclasses.dataclass(frozen=True, eq=False)
class Smoothed:
    """A frame's state as all frames tell it.

    Attributes:
        index: of the frame.
        belief: of it.
        following: of the frame after it; ``None`` for the last.
        step: between the two.
        gain: ``(2 D, 2 D)`` G: the errors of the two have the covariance G P_following.
    """

    index: int
    belief: Belief
    following: Belief | None
    step: MotionStep | None
    gain: Float[np.ndarray, "e e"] | None


def filtered(frames: Sequence[FrameEstimate], variances: MotionVariances) -> Iterator[Belief]:
    """What each frame and those before it tell."""
    belief: Belief | None = None
    for index, frame in enumerate(frames):
        if belief is not None:
            belief = predict(belief, step_between(frames, index - 1), variances)
        belief = update(belief or _unseen(frame, variances), frame, variances)
        yield belief


def predict(belief: Belief, step: MotionStep, variances: MotionVariances) -> Belief:
    """The state after a time."""
    return Belief(step.mean(belief.state), step.covariance(belief.covariance, variances.spread))


def update(belief: Belief, frame: FrameEstimate, variances: MotionVariances) -> Belief:
    """The state when a frame has been seen."""
    d = len(belief.state.velocity)
    innovation = HeadState.of(frame).minus(belief.state)[:d]
    noise = variances.noise * scipy.linalg.cho_solve(scipy.linalg.cho_factor(frame.precision), np.eye(d))
    across = belief.covariance[:, :d]
    gain = scipy.linalg.cho_solve(scipy.linalg.cho_factor(across[:d] + noise), across.T).T
    covariance = belief.covariance - gain @ across.T
    return Belief(belief.state.plus(gain @ innovation), 0.5 * (covariance + covariance.T))


def smoothed(frames: Sequence[FrameEstimate], variances: MotionVariances, block: int = _BLOCK) -> Iterator[Smoothed]:
    """What all frames tell of each, from the last frame to the first.

    Args:
        frames: in the order of time.
        variances: of the motion.
        block: frames whose covariances are held at once; changes no number.
    """
    starts: list[Belief] = []
    for index, belief in enumerate(filtered(frames, variances)):
        if index % block == 0:
            starts.append(belief)
    following: Belief | None = None
    for number in range(len(starts) - 1, -1, -1):
        first = number * block
        beliefs = [starts[number]]
        for index in range(first + 1, min(first + block, len(frames))):
            expected = predict(beliefs[-1], step_between(frames, index - 1), variances)
            beliefs.append(update(expected, frames[index], variances))
        for index in range(first + len(beliefs) - 1, first - 1, -1):
            here = _smooth(index, beliefs[index - first], following, frames, variances)
            following = here.belief
            yield here


def _smooth(
    index: int, belief: Belief, following: Belief | None, frames: Sequence[FrameEstimate], variances: MotionVariances
) -> Smoothed:
    if following is None:
        return Smoothed(index, belief, None, None, None)
    step = step_between(frames, index)
    expected = predict(belief, step, variances)
    # P F^T by symmetry.
    gain = scipy.linalg.cho_solve(scipy.linalg.cho_factor(expected.covariance), step.through(belief.covariance)).T
    state = belief.state.plus(gain @ following.state.minus(expected.state))
    covariance = belief.covariance + gain @ (following.covariance - expected.covariance) @ gain.T
    return Smoothed(index, Belief(state, 0.5 * (covariance + covariance.T)), following, step, gain)


def step_between(frames: Sequence[FrameEstimate], index: int) -> MotionStep:
    """The motion from a frame to the next."""
    return MotionStep.over(frames[index + 1].time_s - frames[index].time_s)


def _unseen(frame: FrameEstimate, variances: MotionVariances) -> Belief:
    return Belief(HeadState.of(frame), first_covariance(variances))
