"""The heads of samples before anything is seen of them: who they are, what their faces do, where they are, and the camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.datasets.c3i_world import Capture
from recon.synthesis.camera.c3i_path import sample_capture
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.scene.expressions import sample_expressions
from recon.synthesis.scene.people import People, sample_people
from recon.synthesis.scene.poses import HeadPoses, aligned_cameras, free_cameras, sample_poses

_PEOPLE_SEED = 0x9E3779B9
_GAZE_REACH = 0.55
"""Share of a turn of the head, in radians, that the eyes' range can make up for."""


@dataclasses.dataclass(frozen=True, eq=False)
class SampledHeads:
    """B heads.

    Attributes:
        rng: random numbers of the samples.
        person_rng: of the people.
        look_rng: of how they look that day: hairstyle, beard, make-up and glasses.
        numbers: of the people.
        people: who they are.
        expression: ``(B, n_expression)``.
        poses: where they are.
        capture: the published capture mode that the poses come from, or ``None``.
    """

    rng: CounterRng
    person_rng: CounterRng
    look_rng: CounterRng
    numbers: list[int]
    people: People
    expression: Float[Tensor, "b ke"]
    poses: HeadPoses
    capture: Capture | None

    def camera(
        self, config: SynthesisConfig, landmarks68_obj: Float[Tensor, "b 68 3"], size: tuple[int, int]
    ) -> PerspectiveCamera:
        """The cameras that see the heads, with their poses.

        Args:
            config: as the heads were sampled with.
            landmarks68_obj: of the heads, mm, object frame.
            size: (H, W) of the pictures, px.
        """
        if config.framing == "free":
            return free_cameras(config, self.rng, self.poses, size)
        marks_cam = landmarks68_obj @ self.poses.rotation.transpose(1, 2) + self.poses.translation_mm[:, None]
        return aligned_cameras(config, self.rng, self.poses, marks_cam, size)


def sample_heads(model: MorphableModel, config: SynthesisConfig, seed: int, indices: Sequence[int]) -> SampledHeads:
    """The heads of the samples with these indices, as :class:`recon.synthesis.sampler.FaceSampler` shows them.

    Args:
        model: whose heads; the numbers are on its device.
        config: what varies.
        seed: of all random numbers.
        indices: of the samples, 0 or more.
    """
    device = model.mean_shape.device
    rng = CounterRng.of(seed, indices, device)
    numbers = [index % config.identities for index in indices] if config.identities else list(indices)
    person_rng = CounterRng.of(seed ^ _PEOPLE_SEED, numbers, device)
    look_rng = CounterRng.of(seed ^ _PEOPLE_SEED, [_look(config, index) for index in indices], device)
    people = sample_people(model, person_rng, config.identity, config.albedo)
    capture = sample_capture(rng) if config.capture else None
    poses = HeadPoses.of(*capture.head_to_camera) if capture else sample_poses(config, rng)
    return SampledHeads(
        rng, person_rng, look_rng, numbers, people, _expressions(model, config, rng, poses), poses, capture
    )


def _look(config: SynthesisConfig, index: int) -> int:
    """The number of a sample's look; the first look of a person has the person's own number."""
    if not config.identities:
        return index
    repeat, person = divmod(index, config.identities)
    return person + config.identities * (repeat % config.looks if config.looks else repeat)


def _expressions(
    model: MorphableModel, config: SynthesisConfig, rng: CounterRng, poses: HeadPoses
) -> Float[Tensor, "b ke"]:
    names = model.expression_names
    if not names:
        spread = rng.normal("expression", model.n_expression).clamp(-2.0, 2.0)
        return config.expression * spread
    # Most people look into the camera as far as their eyes can turn; others anywhere.
    towards = -torch.nn.functional.normalize(poses.translation_mm, dim=1)[:, None] @ poses.rotation
    at_camera = (towards[:, 0, :2] / _GAZE_REACH).clamp(-1.0, 1.0)
    anywhere = 0.45 * rng.normal("gaze", 2)
    at_camera_now = rng.chance("looks at camera", 0.6)[:, None]
    gaze = config.gaze * torch.where(at_camera_now, at_camera + 0.08 * anywhere, anywhere)
    weights = sample_expressions(names, rng, config.expression, gaze, config.eyelids, config.expressions == "basic")
    return weights.reshape(len(rng.keys), len(names))
