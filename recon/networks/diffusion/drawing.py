"""Frames drawn by an editor, as they are: coding, sampling and decoding."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.networks.diffusion.editor_network import EditorNetwork, SeenBeside
from recon.networks.diffusion.sampling import SamplingConfig, sample


def drawn_frames(
    network: EditorNetwork,
    frames: Float[Tensor, "b 3 s s"],
    hidden: Bool[Tensor, "b 1 s s"],
    seen: SeenBeside,
    sampling: SamplingConfig,
    generator: torch.Generator,
) -> Float[Tensor, "b 3 s s"]:
    """Frames whose hidden part is drawn anew; the inside of the mouth is the guide's, if there is one.

    Args:
        network: of the editor.
        frames: ``(B, 3, S, S)`` in [-1, 1]; what is hidden of them is not looked at.
        hidden: ``(B, 1, S, S)`` what is drawn.
        seen: beside them.
        sampling: kind and number of steps.
        generator: of the noise.

    Raises:
        ValueError: more steps than the network's schedule has.
    """
    config = network.config
    coded = sample(
        lambda noisy_frames, level: seen.answer(network, noisy_frames, level),
        seen.coded(torch.where(hidden, seen.drawn_from, frames), config),
        hidden,
        config.schedule,
        config.target,
        sampling,
        generator,
        lambda found: seen.coded(seen.decoded(found, config).clamp(-1.0, 1.0), config),
    )
    drawn = seen.decoded(coded, config)
    return torch.where(hidden & seen.inside_mouth, seen.drawn_from, drawn)
