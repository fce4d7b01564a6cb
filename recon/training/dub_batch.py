"""Frames of speaking faces for the training of editors: the frame itself, the one before, the person, and the voice."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from safetensors import safe_open
from torch import Tensor

from recon.dubbing.clips import FaceClip, FaceClipError
from recon.dubbing.voices import at_frames, heard_voice
from recon.networks.diffusion.editor_network import Voice

_OPEN_FILES = 128


@dataclasses.dataclass(frozen=True, eq=False)
class DubBatch:
    """B frames; pictures in [-1, 1].

    Attributes:
        clean: ``(B, 3, S, S)`` the frames as they are.
        previous: ``(B, 3, S, S)`` the frames before, as an editor may have left them.
        person: ``(B, 3, S, S)`` other frames of the same people.
        hidden: ``(B, 1, S, S)`` what is drawn anew.
        voice: ``(B, window, bands)``.
        guide: ``(B, G, S, S)`` what a driven face model tells, or G = 0.
    """

    clean: Float[Tensor, "b 3 s s"]
    previous: Float[Tensor, "b 3 s s"]
    person: Float[Tensor, "b 3 s s"]
    hidden: Bool[Tensor, "b 1 s s"]
    voice: Float[Tensor, "b n bands"]
    guide: Float[Tensor, "b g s s"]

    def __len__(self) -> int:
        return len(self.clean)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DubBatch:
        """The same batch on another device."""
        return DubBatch(**{name: t.to(device, non_blocking=non_blocking) for name, t in self.tensors().items()})


@dataclasses.dataclass(frozen=True)
class DubAugmentation:
    """What is changed so that an editor listens, and mends what it drew wrong in the frame before.

    Attributes:
        other_previous: share of frames whose frame before is replaced by another frame of the clip: whoever copies is wrong there.
        previous_noise: largest standard deviation of noise in the hidden part of the frame before.
        previous_warp: largest shift of the frame before, in shares of the side ("introducing small amounts of face warping on the previous
            frame", Bigioi et al. 2024, section 4.4).
        mirrored: share of frames that are mirrored.
        colour: largest change of each channel's brightness, the same in all pictures of a frame.

    Raises:
        ValueError: a share that is none, or a strength outside [0, 1].
    """

    other_previous: float = 0.3
    previous_noise: float = 0.1
    previous_warp: float = 0.02
    mirrored: float = 0.5
    colour: float = 0.2

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"{field.name} must lie in [0, 1], got {getattr(self, field.name)}")

    @classmethod
    def held_out(cls) -> DubAugmentation:
        """For validation: nothing but a frame before that tells nothing of the mouth."""
        return cls(1.0, 0.0, 0.0, 0.0, 0.0)


class ClipFrames:
    """The frames of clips by number; pictures stay on disk until they are asked for.

    Args:
        files: of clips, see :class:`recon.dubbing.clips.FaceClip`; all of one size.
        voice: what is heard.
        window: times of the voice that are heard for a frame.
        guide: channels of guides; 0: none. With guides, the person is shown by the frames whose look these have.

    Raises:
        FaceClipError: a file is damaged or none, or lacks guides.
        ValueError: no frames, or clips of several sizes.
    """

    def __init__(self, files: list[Path], voice: Voice, window: int, guide: int = 0) -> None:
        self.files, self.window, self.guide = files, window, guide
        sizes: set[int] = set()
        places: list[tuple[int, int]] = []
        self._heard: list[np.ndarray] = []
        self._hidden: list[np.ndarray] = []
        self._fps: list[float] = []
        self._shown: list[np.ndarray] = []
        for number, file in enumerate(files):
            clip = FaceClip.load(file)
            sizes.add(clip.size)
            self._heard.append(heard_voice(clip.sound, voice).astype(np.float16))
            self._hidden.append(clip.hidden)
            self._fps.append(clip.fps)
            if guide:
                if clip.shown is None:
                    raise FaceClipError(
                        f"{file} has no guides (nothing knows where the head is); train an editor without: guide 0"
                    )
                self._shown.append(clip.shown)
            places.extend((number, k) for k in range(len(clip)))
        if len(sizes) != 1:
            raise ValueError(
                f"frames must be there and of one size, got {len(files)} clips of the sizes {sorted(sizes)}"
            )
        self.size = sizes.pop()
        self.places = np.array(places)

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, numbers: list[int], augmentation: DubAugmentation, random: np.random.Generator) -> DubBatch:
        """Some frames, augmented."""
        parts = [self._frame(number, augmentation, random) for number in numbers]
        stacked = {name: torch.from_numpy(np.stack([part[name] for part in parts])) for name in parts[0]}
        return DubBatch(**stacked)

    def _frame(self, number: int, augmentation: DubAugmentation, random: np.random.Generator) -> dict[str, np.ndarray]:
        clip, k = (int(v) for v in self.places[number])
        count = len(self._hidden[clip])
        before = max(k - 1, 0)
        if k == 0 or random.random() < augmentation.other_previous:
            before = int(random.integers(count))
        person = int(self._shown[clip][k]) if self.guide else int(random.integers(count))
        shown = [self._picture(clip, at) for at in (k, before, person)]
        hidden = np.zeros((self.size, self.size), dtype=bool)
        left, top, right, bottom = self._hidden[clip][k]
        hidden[top:bottom, left:right] = True
        shown.append(self._guide(clip, k))
        if augmentation.colour:
            gain = 1.0 + augmentation.colour * random.uniform(-1.0, 1.0, size=3)
            shown = [_brightened(picture, gain) for picture in shown]
        clean, previous, person_picture, guide = (picture.astype(np.float32) / 127.5 - 1.0 for picture in shown)
        previous = self._worn(previous, hidden, augmentation, random)
        pictures = {
            "clean": clean,
            "previous": previous,
            "person": person_picture,
            "guide": guide,
            "hidden": hidden[..., None],
        }
        if random.random() < augmentation.mirrored:
            pictures = {name: picture[:, ::-1] for name, picture in pictures.items()}
        heard = at_frames(self._heard[clip], np.array([k / self._fps[clip]]), self.window)[0]
        return {
            **{name: np.ascontiguousarray(picture.transpose(2, 0, 1)) for name, picture in pictures.items()},
            "voice": heard.astype(np.float32),
        }

    def _worn(
        self,
        previous: Float[np.ndarray, "s s 3"],
        hidden: Bool[np.ndarray, "s s"],
        augmentation: DubAugmentation,
        random: np.random.Generator,
    ) -> Float[np.ndarray, "s s 3"]:
        """A frame as an editor may have left it."""
        noise = random.uniform(0.0, augmentation.previous_noise) * random.standard_normal(previous.shape)
        worn = np.clip(previous + hidden[..., None] * noise, -1.0, 1.0)
        most = round(augmentation.previous_warp * self.size)
        if most:
            down, right = (int(v) for v in random.integers(-most, most + 1, size=2))
            padded = np.pad(worn, ((most, most), (most, most), (0, 0)), mode="edge")
            moved = padded[most + down : most + down + self.size, most + right : most + right + self.size]
            worn = np.where(hidden[..., None], moved, worn)
        return worn.astype(np.float32)

    def _picture(self, clip: int, frame: int) -> UInt8[np.ndarray, "s s 3"]:
        return _slice(self.files[clip], "frames", frame)

    def _guide(self, clip: int, frame: int) -> UInt8[np.ndarray, "s s g"]:
        if not self.guide:
            return np.zeros((self.size, self.size, 0), dtype=np.uint8)
        return _slice(self.files[clip], "guides", frame)


def _brightened(picture: UInt8[np.ndarray, "s s c"], gain: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "s s c"]:
    """Colours times a gain; a fourth channel is none."""
    bright = picture.astype(np.float64)
    bright[..., :3] = np.clip(bright[..., :3] * gain[: bright.shape[2]], 0.0, 255.0)
    return bright


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(file: Path) -> safe_open:
    return safe_open(file, framework="np")


def _slice(file: Path, name: str, row: int) -> np.ndarray:
    return np.asarray(_opened(file).get_slice(name)[row])
