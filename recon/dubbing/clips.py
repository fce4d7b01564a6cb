"""Clips of one speaking face in canonical crops, with the sound: what editors are trained on, one file a clip."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from recon.dubbing.clip_head import ClipHead
from recon.dubbing.face_crops import MouthCrop
from recon.io.files import write_file
from recon.io.safetensors_order import ordered_safetensors
from recon.speech.resample import resampled

RATE_HZ = 16_000
_FORMAT = "facerecon-face-clip-1"
_HEAD = "head."


class FaceClipError(ValueError):
    """A file that is no clip of a face, or a clip that cannot be."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceClip:
    """One face that says one thing.

    Attributes:
        frames: ``(T, S, S, 3)`` crops, sRGB, ``fps`` a second.
        hidden: ``(T, 4)`` left, top, right, bottom px of what speech moves, see :class:`recon.dubbing.face_crops.MouthCrop`.
        sound: ``(N,)`` 16-bit samples at :data:`RATE_HZ`.
        lips_mm: ``(T, 2)`` how far the inner lips are apart and how wide the mouth is, where the truth is known.
        fps: frames a second.
        facts: about it: who speaks, what, where it is from.
        head: of a face model, where one is known.
        guides: ``(T, S, S, 4)`` what the frames should look like by it, see :class:`recon.dubbing.mouth_guide.MouthGuide`.
        shown: ``(T,)`` number of the frame whose look each guide has.
    """

    frames: UInt8[np.ndarray, "t s s 3"]
    hidden: Int[np.ndarray, "t 4"]
    sound: Int[np.ndarray, " n"]
    lips_mm: Float[np.ndarray, "t 2"] | None = None
    fps: float = 25.0
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    head: ClipHead | None = None
    guides: UInt8[np.ndarray, "t s s 4"] | None = None
    shown: Int[np.ndarray, " t"] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> int:
        """Side of the crops, px."""
        return int(self.frames.shape[1])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it, whole or not at all; an older file of this name is replaced.

        Raises:
            OutputError: it cannot be written.
        """
        arrays = {"frames": self.frames, "hidden": self.hidden.astype(np.int32), "sound": self.sound}
        if self.lips_mm is not None:
            arrays["lips_mm"] = self.lips_mm.astype(np.float32)
        if self.head is not None:
            arrays.update({_HEAD + name: array for name, array in self.head.arrays().items()})
        if self.guides is not None and self.shown is not None:
            arrays.update(guides=self.guides, shown=self.shown.astype(np.int32))
        header = {"format": _FORMAT, "fps": repr(self.fps), "facts": json.dumps(dict(self.facts))}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return write_file(Path(path), ordered_safetensors(save(tensors, metadata=header)), overwrite=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceClip:
        """The clip of a file.

        Raises:
            FaceClipError: it is missing, damaged or none.
        """
        try:
            with safe_open(Path(path), framework="pt") as file:
                header = dict(file.metadata() or {})
                arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}
        except (OSError, SafetensorError) as error:
            raise FaceClipError(f"{path} cannot be read as a clip of a face: {error}") from error
        if header.get("format") != _FORMAT or not {"frames", "hidden", "sound"} <= set(arrays):
            raise FaceClipError(f"{path} is no clip of a face: format {header.get('format')!r}, expected {_FORMAT!r}")
        head = {name.removeprefix(_HEAD): array for name, array in arrays.items() if name.startswith(_HEAD)}
        return cls(
            arrays["frames"],
            arrays["hidden"],
            arrays["sound"],
            arrays.get("lips_mm"),
            float(header["fps"]),
            json.loads(header["facts"]),
            ClipHead.of_arrays(head) if head else None,
            arrays.get("guides"),
            arrays.get("shown"),
        )


def sound_of(samples: Float[np.ndarray, " n"], rate_hz: int) -> Int[np.ndarray, " m"]:
    """Samples in [-1, 1] as clips hold them."""
    heard = resampled(samples, rate_hz, RATE_HZ)
    return np.clip(np.rint(32767.0 * heard), -32768, 32767).astype(np.int16)


def framed(
    frames: list[UInt8[np.ndarray, "h w 3"]], crops: list[MouthCrop], size: int
) -> tuple[UInt8[np.ndarray, "t s s 3"], Int[np.ndarray, "t 4"]]:
    """The crops of frames, and what is hidden in each."""
    pictures = [crop.picture(frame, size) for frame, crop in zip(frames, crops, strict=True)]
    hidden = [crop.hidden_px(size) for crop in crops]
    return np.stack(pictures), np.array(hidden, dtype=np.int32)
