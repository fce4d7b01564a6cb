"""Heads of drawn clips, known as well as a tracker knows those of a film, and the guides that follow from them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from bfm.model import MorphableModel
from recon.dubbing.clip_head import ClipHead
from recon.dubbing.face_crops import STEADY_POINTS, MouthCrop
from recon.dubbing.mouth_guide import MouthGuide
from recon.rotation import euler_to_matrix
from recon.synthesis.sample import FaceBatch

_IDENTITY_SIGMA = 0.5
"""Of coefficients, whose prior has 1: about 2 mm at the face, as tracked people have (docs/track.md)."""
_TURN_RAD, _FOCAL_SIGMA, _EXPRESSION_SIGMA = np.deg2rad(1.0), 0.25, 0.03


def tracked_head(
    model: MorphableModel, frames: list[FaceBatch], crops: list[MouthCrop], random: np.random.Generator
) -> ClipHead:
    """The head of a drawn clip with the errors of a tracked one: shape, lens and a turn that are wrong in all frames alike.

    Each frame's position is the one at which nose and eyes are where they are seen.

    Args:
        model: of the head.
        frames: of the clip, each a batch of one.
        crops: of each.
        random: of the errors.
    """
    true = FaceBatch.cat(frames)
    identity = true.identity[0].double().numpy()
    identity = identity + _IDENTITY_SIGMA * random.standard_normal(identity.shape)
    turn = euler_to_matrix(torch.from_numpy(_TURN_RAD * random.standard_normal(3))).numpy()
    focal_px = float(true.intrinsics[0, 0, 0]) * float(np.exp(_FOCAL_SIGMA * random.standard_normal()))
    rotation = turn @ true.rotation.double().numpy()
    expression = true.expression.double().numpy()
    expression = (expression + _EXPRESSION_SIGMA * random.standard_normal(expression.shape)).clip(0.0, 1.0)
    principal_px = true.intrinsics[0, :2, 2].double().numpy()
    steady = list(STEADY_POINTS)
    vertices = model.shape(torch.from_numpy(identity)[None].float(), torch.from_numpy(expression).float())
    turned = model.landmarks68(vertices)[:, steady].double().numpy() @ rotation.transpose(0, 2, 1)
    seen = (true.landmarks68_px[:, steady].double().numpy() - principal_px) / focal_px
    translation_mm = np.stack([position_mm(points, at) for points, at in zip(turned, seen, strict=True)])
    crop_from_frame = np.stack([crop.crop_from_frame for crop in crops])
    return ClipHead(identity, focal_px, principal_px, rotation, translation_mm, expression, crop_from_frame)


def position_mm(turned: Float[np.ndarray, "n 3"], seen: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " 3"]:
    """Where points of a head in a known rotation must be moved to to be seen at ``seen``, in focal lengths: the least squares of
    ``x + t_x = -seen_x (z + t_z)`` and ``y + t_y = seen_y (z + t_z)``."""
    n = len(turned)
    right, down = seen.T
    zeros, ones = np.zeros(n), np.ones(n)
    rows = np.concatenate([np.stack([ones, zeros, right], axis=1), np.stack([zeros, ones, -down], axis=1)])
    sides = np.concatenate([-right * turned[:, 2] - turned[:, 0], down * turned[:, 2] - turned[:, 1]])
    return np.linalg.lstsq(rows, sides, rcond=None)[0]


def frames_at_rest(opening_mm: Float[np.ndarray, " t"], about_mm: float) -> Int[np.ndarray, " k"]:
    """Numbers of the frames whose lips are about as near each other as in any."""
    return np.flatnonzero(opening_mm <= opening_mm.min() + about_mm)


def clip_guides(
    model: MorphableModel,
    head: ClipHead,
    frames: UInt8[np.ndarray, "t s s 3"],
    weights: Float[np.ndarray, "t ke"],
    shown: Int[np.ndarray, " t"],
) -> UInt8[np.ndarray, "t s s 4"]:
    """The guides of all frames of a clip.

    Args:
        model: of the head.
        head: of the clip.
        frames: its crops.
        weights: of a voice.
        shown: ``(T,)`` whose look each guide has.
    """
    guide = MouthGuide(model, head, frames.shape[1])
    looks = {number: guide.look(number, frames[number]) for number in set(shown.tolist())}
    return np.stack([guide(k, looks[int(shown[k])], weights[k]) for k in range(len(frames))])
