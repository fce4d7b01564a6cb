"""An editor applied to crops: the lower face of each frame is drawn to a voice, and the next frame goes on from it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

import recon.networks
from recon.dubbing.voices import voice_meaning
from recon.networks.diffusion.checkpoint import load_editor
from recon.networks.diffusion.drawing import drawn_frames
from recon.networks.diffusion.editor_network import SeenBeside
from recon.networks.diffusion.sampling import SamplingConfig
from recon.networks.network_file import CheckpointError

DEFAULT_CHECKPOINT = "dub_open.safetensors"


def default_editor() -> Path:
    """The editor that comes with this package."""
    return Path(next(iter(recon.networks.__path__))) / "weights" / DEFAULT_CHECKPOINT


@dataclasses.dataclass(frozen=True, eq=False)
class ShownBefore:
    """What an editor sees beside a frame.

    Attributes:
        previous: ``(S, S, 3)`` the crop of the frame before, as it was edited.
        person: ``(S, S, 3)`` the crop of a frame of the same person as it was taken.
    """

    previous: UInt8[np.ndarray, "s s 3"]
    person: UInt8[np.ndarray, "s s 3"]


class FaceEditor:
    """Draws lower faces.

    Args:
        checkpoint: that ``train.py`` wrote; ``None`` takes the package's.
        sampling: how pictures are drawn; ``None``: by DDIM in the steps that the editor was trained for.
        seed: of the noise, which is the same in all frames of a video, so that what the voice does not move stays still.

    Attributes:
        config: of the network.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one for another kind of voice.
        ValueError: more steps than its schedule has.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | None = None,
        sampling: SamplingConfig | None = None,
        seed: int = 0,
    ) -> None:
        path = Path(checkpoint) if checkpoint is not None else default_editor()
        self._network, header = load_editor(path)
        self._network.requires_grad_(False).to(memory_format=torch.channels_last)
        self.config, self.seed = self._network.config, seed
        self.sampling = sampling or SamplingConfig("ddim", self.config.draw_steps)
        if header["meaning"] != voice_meaning(self.config.voice):
            raise CheckpointError(
                f"{path} was trained for another kind of voice than this version hears; train it again"
            )
        self.config.schedule.spaced(self.sampling.steps or self.config.schedule.steps)

    def frame(
        self,
        crop: UInt8[np.ndarray, "s s 3"],
        hidden: tuple[int, int, int, int],
        before: ShownBefore,
        voice: Float[np.ndarray, "n bands"],
        guide: UInt8[np.ndarray, "s s 4"] | None = None,
    ) -> UInt8[np.ndarray, "s s 3"]:
        """A crop with its lower face drawn anew.

        Args:
            crop: ``(S, S, 3)`` sRGB; what is hidden of it is not looked at.
            hidden: first column and row, and those after the last, of what is drawn.
            before: the other pictures.
            voice: about the frame's time, see :mod:`recon.dubbing.voices`.
            guide: ``(S, S, 4)`` if the network takes one, see :class:`recon.dubbing.mouth_guide.MouthGuide`.

        Raises:
            ValueError: a guide that is missing or not asked for, or crops of another size.
        """
        size = self.config.size
        shapes = {picture.shape[:2] for picture in (crop, before.previous, before.person)}
        if shapes != {(size, size)} or (0 if guide is None else guide.shape[2]) != self.config.guide:
            raise ValueError(
                f"this editor takes crops of {size} px and a guide of {self.config.guide} channels, got {sorted(shapes)} and "
                f"{'none' if guide is None else guide.shape}"
            )
        left, top, right, bottom = hidden
        mask = torch.zeros(1, 1, size, size, dtype=torch.bool)
        mask[:, :, top:bottom, left:right] = True
        seen = SeenBeside(
            _tensor(before.previous),
            _tensor(before.person),
            torch.zeros(1, 0, size, size) if guide is None else _tensor(guide),
            torch.tensor(voice, dtype=torch.float32)[None],
        )
        generator = torch.Generator().manual_seed(self.seed)
        with torch.inference_mode():
            drawn = drawn_frames(self._network, _tensor(crop), mask, seen, self.sampling, generator)
        found = ((drawn[0].permute(1, 2, 0) + 1.0) * 127.5).round().clamp(0.0, 255.0).byte().numpy()
        return np.where(mask[0, 0].numpy()[..., None], found, crop)

    def clip(
        self,
        crops: UInt8[np.ndarray, "t s s 3"],
        hidden: Int[np.ndarray, "t 4"],
        voice: Float[np.ndarray, "t n bands"],
        guides: UInt8[np.ndarray, "t s s 4"] | None = None,
        shown: int = 0,
    ) -> UInt8[np.ndarray, "t s s 3"]:
        """All crops of a clip, one after the other; ``shown`` is the number of the one that shows the person."""
        person = previous = crops[shown]
        drawn = []
        for k in range(len(crops)):
            left, top, right, bottom = (int(v) for v in hidden[k])
            before = ShownBefore(previous, person)
            guide = None if guides is None else guides[k]
            previous = self.frame(crops[k], (left, top, right, bottom), before, voice[k], guide)
            drawn.append(previous)
        return np.stack(drawn)


def _tensor(picture: UInt8[np.ndarray, "h w c"]) -> Float[Tensor, "1 c h w"]:
    """In [-1, 1]."""
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 127.5 - 1.0
