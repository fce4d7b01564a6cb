"""Trains editors: frames whose lower face is noise in, what the noise is out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.dubbing.voices import voice_meaning
from recon.networks.diffusion.checkpoint import load_editor, save_editor
from recon.networks.diffusion.drawing import drawn_frames
from recon.networks.diffusion.editor_network import EditorConfig, EditorNetwork, SeenBeside
from recon.networks.diffusion.noise_schedule import noisy, target_of
from recon.networks.diffusion.sampling import SamplingConfig
from recon.networks.network_file import CheckpointError
from recon.training.dub_batch import DubBatch
from recon.training.schedule import OptimiserConfig
from recon.training.tied_module import Tie, TiedModule

_MOUTH_AT, _MOUTH_SPREAD = (0.5, 0.58), (0.13, 0.09)
"""Middle and spread of mouths in crops, in shares of the side."""


def beside(batch: DubBatch) -> SeenBeside:
    """What a network sees beside the frames of a batch."""
    return SeenBeside(batch.previous, batch.person, batch.guide, batch.voice)


def hidden_mean(values: Float[Tensor, "b c s s"], batch: DubBatch) -> Float[Tensor, " b"]:
    """The mean of what is hidden, of each frame."""
    inside = batch.hidden.to(values)
    return (values * inside).sum(dim=(1, 2, 3)) / (values.shape[1] * inside.sum(dim=(1, 2, 3))).clamp_min(1.0)


def _importance(size: int, mouth: float) -> Float[Tensor, "1 1 s s"]:
    """Of errors: 1 far from the mouth, ``mouth`` more in its middle."""
    down, across = torch.meshgrid(*(torch.arange(size) / size + 0.5 / size,) * 2, indexing="ij")
    apart = ((across - _MOUTH_AT[0]) / _MOUTH_SPREAD[0]).square() + ((down - _MOUTH_AT[1]) / _MOUTH_SPREAD[1]).square()
    return (1.0 + mouth * torch.exp(-0.5 * apart))[None, None]


class DubModule(TiedModule[EditorNetwork]):
    """Trains an editor on clips of speaking faces.

    Noise and loss are inside the hidden rectangle alone (Bigioi et al. 2024, section 3.2).

    Args:
        network: how it is built.
        mouth: how much more errors count in the middle of the mouth, whose place in the crops is the same for all faces: most of the
            rectangle is cheek, neck and background, which no voice moves. 0, as published, counts all alike.
        optimiser: how it moves.
        pure_noise: share of frames in which what is hidden is noise alone: the only thing that drawing in one step asks of a network.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        initial_weights: a ``.safetensors`` file of another run to start from.

    Raises:
        ValueError: an impossible setting, named.
        CheckpointError: the initial weights are missing, damaged, or of another network.
    """

    importance: Tensor

    def __init__(
        self,
        network: EditorConfig,
        optimiser: OptimiserConfig | None = None,
        average: float = 0.9999,
        initial_weights: str | None = None,
        mouth: float = 0.0,
        pure_noise: float = 0.0,
    ) -> None:
        if not mouth >= 0.0:
            raise ValueError(f"the mouth counts at least as much as the rest, got {mouth} more")
        if not 0.0 <= pure_noise <= 1.0:
            raise ValueError(f"pure_noise is a share, got {pure_noise}")
        made = EditorNetwork(network)
        if initial_weights is not None:
            path = Path(initial_weights).expanduser()
            found, header = load_editor(path)
            if dataclasses.replace(found.config, draw_steps=network.draw_steps) != network or header[
                "meaning"
            ] != voice_meaning(network.voice):
                raise CheckpointError(
                    f"{path} holds an editor of another config or voice than this run's; leave it out"
                )
            made.load_state_dict(found.state_dict())
        tie = Tie("meaning", voice_meaning(network.voice), "another kind of voice")
        super().__init__(made, tie, optimiser or OptimiserConfig(schedule="constant"), average, "error")
        self.config, self.pure_noise = network, pure_noise
        self.register_buffer("importance", _importance(network.size, mouth), persistent=False)

    def training_step(self, batch: DubBatch, batch_idx: int) -> Tensor:
        """One step: the squared error of the answer at random levels."""
        self.restore_random_state()
        level = self.config.schedule.random_levels(len(batch)).to(batch.clean)
        if self.pure_noise:
            lowest = float(self.config.schedule.levels[-1])
            level = torch.where(torch.rand(len(batch), device=level.device) < self.pure_noise, lowest, level)
        seen = beside(batch)
        clean, noise = seen.coded(batch.clean, self.config), torch.randn_like(batch.clean)
        drawn = torch.where(batch.hidden, noisy(clean, noise, level), clean)
        off = seen.answer(self.network, drawn, level) - target_of(clean, noise, level, self.config.target)
        return self.counted_loss({self.config.target: hidden_mean(self.importance * off.square(), batch).mean()}, batch)

    def validation_step(self, batch: DubBatch, batch_idx: int) -> None:
        """Add a batch's errors (root mean square, 1 is the range of values), with its own voices and with those of other frames: an editor
        that listens errs more by these."""
        found = {}
        for name, voice in (("error", batch.voice), ("error_other_voice", batch.voice.roll(len(batch) // 2, dims=0))):
            heard = DubBatch(**{**batch.tensors(), "voice": voice})
            drawn = self._drawn(heard)
            found[name] = hidden_mean(((drawn - batch.clean) / 2.0).square(), batch).sqrt()
        self.add_metrics(found)

    @torch.no_grad()
    def _drawn(self, batch: DubBatch) -> Float[Tensor, "b 3 s s"]:
        generator, sampling = torch.Generator().manual_seed(0), SamplingConfig("ddim", self.config.draw_steps)
        return drawn_frames(self.averaged, batch.clean, batch.hidden, beside(batch), sampling, generator)

    def save_weights(self, path: Path, metrics: dict[str, float], extra: dict[str, str] | None = None) -> Path:
        """The averaged weights, for :func:`recon.networks.diffusion.checkpoint.load_editor`."""
        return save_editor(path, self.averaged, self.tie.value, metrics, extra)
