"""Where the head is and which way it turns; and the camera that sees it, cropped as a face crop or left alone."""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.landmarks import EYE_CORNERS_68, MOUTH_CORNERS_68, NOSE_TIP_68
from recon.alignment import planar_angle, scaled_orthography
from recon.camera import PerspectiveCamera
from recon.detection.align import PX_PER_MM_AT_224, STANDARD_POINTS_MM
from recon.rotation import euler_to_matrix
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng

HEAD_CENTRE_MM = (0.0, -30.0, -60.0)
"""Middle of the head in the object frame, between the ears."""
HEAD_HEIGHT_MM = 235.0
STEP_DEG = 3.0
"""Step of the uniform distribution, as in the published synthetic head-pose set."""

_BIWI_SIGMA_DEG = (26.0, 17.0, 11.0)
_LP_SIGMA_DEG = (22.0, 14.0, 12.0)


@dataclasses.dataclass(frozen=True, eq=False)
class HeadPoses:
    """B heads before a camera.

    Attributes:
        rotation: ``(B, 3, 3)``.
        translation_mm: ``(B, 3)`` of the object's origin.
        distance_mm: ``(B,)`` camera to the middle of the head.
    """

    rotation: Float[Tensor, "b 3 3"]
    translation_mm: Float[Tensor, "b 3"]
    distance_mm: Float[Tensor, " b"]

    @classmethod
    def of(cls, rotation: Float[Tensor, "b 3 3"], translation_mm: Float[Tensor, "b 3"]) -> HeadPoses:
        """Heads whose origin, the point between the eyes, is taken for their middle."""
        return cls(rotation, translation_mm, torch.linalg.vector_norm(translation_mm, dim=1))


def sample_angles(config: SynthesisConfig, rng: CounterRng) -> Float[Tensor, "b 3"]:
    """``(B, 3)`` yaw, pitch, roll in radians, within the config's limits."""
    limits = torch.tensor([config.yaw_deg, config.pitch_deg, config.roll_deg], device=rng.device)
    if config.pose == "uniform":
        steps = torch.floor(limits / STEP_DEG)
        uniform = rng.uniform("angles", 3)
        angles = STEP_DEG * (torch.floor(uniform * (2.0 * steps + 1.0)) - steps)
        return torch.deg2rad(angles)
    if config.pose == "biwi":
        angles = _truncated(rng, "angles", limits, limits.new_tensor(_BIWI_SIGMA_DEG))
        return torch.deg2rad(angles)
    # 300W-LP turns each fitted photo on towards profile: yaw is nearly even out to 90 degrees.
    angles = _truncated(rng, "angles", limits, limits.new_tensor(_LP_SIGMA_DEG))
    even = (2.0 * rng.uniform("even yaw") - 1.0) * limits[0]
    angles[:, 0] = torch.where(rng.chance("large yaw", 0.55), even, angles[:, 0])
    return torch.deg2rad(angles)


def _truncated(rng: CounterRng, name: str, limits: Tensor, sigma: Tensor) -> Tensor:
    """Normal values folded back at the limits, so that no value is more frequent at the edge."""
    sigma = torch.minimum(sigma, 0.6 * limits)
    values = sigma * rng.normal(name, 3)
    beyond = values.abs() > limits
    again = (2.0 * rng.uniform(f"{name} again", 3) - 1.0) * sigma
    return torch.where(beyond, again, values)


def sample_poses(config: SynthesisConfig, rng: CounterRng) -> HeadPoses:
    """Heads turned, and placed at a distance, not always in the middle of the camera's view."""
    yaw, pitch, roll = sample_angles(config, rng).unbind(1)
    rotation = euler_to_matrix(torch.stack((pitch, yaw, roll), dim=1))
    distance = rng.log_uniform("distance", *config.distance_mm)
    aside = (rng.normal("aside", 2).clamp(-2.5, 2.5) * rng.device_tensor([0.10, 0.07])).clamp(-0.3, 0.3)
    direction = torch.cat((aside, -torch.ones_like(aside[:, :1])), dim=1)
    centre_cam = distance[:, None] * direction
    centre = rotation.new_tensor(HEAD_CENTRE_MM)
    return HeadPoses(rotation, centre_cam - rotation @ centre, distance)


def free_cameras(
    config: SynthesisConfig, rng: CounterRng, poses: HeadPoses, size: tuple[int, int]
) -> PerspectiveCamera:
    """Cameras whose optical axis meets the middle of the picture."""
    height, width = size
    if config.field_of_view_deg is not None:
        half = math.tan(0.5 * math.radians(config.field_of_view_deg))
        focal = torch.full_like(poses.distance_mm, 0.5 * width / half)
    else:
        share = rng.uniform("head share", low=config.head_share[0], high=config.head_share[1])
        focal = share * min(height, width) * poses.distance_mm / HEAD_HEIGHT_MM
    principal = focal.new_tensor([0.5 * width, 0.5 * height]).expand(len(focal), 2)
    return PerspectiveCamera(poses.rotation, poses.translation_mm, focal[:, None].expand(-1, 2), principal)


def aligned_cameras(
    config: SynthesisConfig,
    rng: CounterRng,
    poses: HeadPoses,
    marks_cam: Float[Tensor, "b 68 3"],
    size: tuple[int, int],
) -> PerspectiveCamera:
    """Cameras of crops framed by five points as :func:`recon.detection.align.align` frames photos, with jitter.

    The crop of a photo is a similarity of the picture, which the intrinsics take up exactly; its turn goes into the pose
    (see :meth:`recon.detection.align.Alignment.crop_camera`). So the face is rendered in its crop directly.

    Args:
        config: for the jitter and whether faces are turned upright.
        rng: random numbers.
        poses: of the heads.
        marks_cam: ``(B, 68, 3)`` landmarks in mm, camera frame; the five points follow from them as from a detector's.
        size: (H, W) of the picture; the framing grows with the shorter side.
    """
    seen = marks_cam[..., :2] / -marks_cam[..., 2:]  # picture of unit focal length, y up
    # Eyes as detectors of five points mark them: between their corners, wherever the lids are.
    eyes = torch.stack([seen[:, list(corners)].mean(dim=1) for corners in EYE_CORNERS_68], dim=1)
    flat = torch.cat((eyes, seen[:, [NOSE_TIP_68, *MOUTH_CORNERS_68]]), dim=1)
    turn = torch.deg2rad(config.turn_jitter_deg * rng.normal("turn jitter").clamp(-2.0, 2.0))
    if config.upright:
        standard = flat.new_tensor(STANDARD_POINTS_MM[:, :2].tolist())
        turn = turn - planar_angle(standard.expand_as(flat), flat)
    rotation, translation = poses.rotation, poses.translation_mm
    if config.upright or config.turn_jitter_deg > 0.0:
        about_z = euler_to_matrix(torch.stack((torch.zeros_like(turn), torch.zeros_like(turn), turn), dim=1))
        rotation = about_z @ rotation
        translation = (about_z @ translation[..., None])[..., 0]
        flat = flat @ about_z[:, :2, :2].transpose(1, 2)
    rows, origin = scaled_orthography(flat.new_tensor(STANDARD_POINTS_MM.tolist()), flat)
    per_mm = torch.linalg.vector_norm(rows, dim=2).mean(dim=1)
    side = min(size) / (1.0 + 2.0 * config.crop_margin)
    scale = PX_PER_MM_AT_224 * side / 224.0 / per_mm
    scale = scale * torch.exp(config.scale_jitter * rng.normal("scale jitter").clamp(-2.5, 2.5))
    shift = config.shift_jitter * side * rng.normal("shift jitter", 2).clamp(-2.5, 2.5)
    middle = origin.new_tensor([0.5 * size[1], 0.5 * size[0]])
    principal = middle + shift - scale[:, None] * origin * origin.new_tensor([1.0, -1.0])
    return PerspectiveCamera(rotation, translation, scale[:, None].expand(-1, 2), principal)
