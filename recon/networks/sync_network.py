"""Tells whether lips and a voice belong together, and how far lips are apart: by it edited videos are measured.

Two encoders as in SyncNet (Chung and Zisserman 2016): five frames of a mouth and the sound of the same fifth of a second go to points that
lie near each other if they belong together. The mouth's encoder looks at each frame alone first; what it finds there also tells how far the
inner lips are apart, which is known of synthetic faces. It is trained on these (``configs/dub/sync.yaml``), so its distances are not those of
SyncNet's published weights.
"""

from __future__ import annotations

import dataclasses

from jaxtyping import Float
from torch import Tensor, nn

FRAMES = 5
"""Of a video in a point."""
SOUND_FEATURES = 10
"""Of a voice in a point: as long as the frames at 25 a second."""
_TOP = 0.4
"""The mouth is looked for below this share of a crop."""
_SEEN = (32, 48)
_LIPS_MM = (10.0, 50.0)
"""Units of the opening and the width of lips."""


@dataclasses.dataclass(frozen=True)
class SyncConfig:
    """How a sync network is built.

    Attributes:
        bands: of the voice's features.
        width: channels of the first layer; the points have four times as many coordinates.

    Raises:
        ValueError: an impossible value, named.
    """

    bands: int = 256
    width: int = 24

    def __post_init__(self) -> None:
        for name, least, most in (("bands", 1, 4096), ("width", 4, 512)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}, got {str(value)[:40]!r}")


class SyncNetwork(nn.Module):
    """Crops ``(B, T, 3, S, S)`` in [-1, 1] and log-mel features ``(B, M, bands)`` to points on a unit sphere.

    Args:
        config: how it is built.
    """

    def __init__(self, config: SyncConfig) -> None:
        super().__init__()
        self.config = config
        width, points = config.width, 4 * config.width
        self.frame = nn.Sequential(
            *_halved(3, width),
            *_halved(width, 2 * width),
            *_halved(2 * width, 4 * width),
            nn.Flatten(),
            nn.Linear(4 * width * (_SEEN[0] // 8) * (_SEEN[1] // 8), points),
            nn.ReLU(),
        )
        self.lips = nn.Linear(points, 2)
        self.video = nn.Sequential(nn.Conv1d(points, points, FRAMES), nn.ReLU(), nn.Conv1d(points, points, 1))
        self.sound = nn.Sequential(
            nn.Conv1d(config.bands, points, 1),
            nn.ReLU(),
            nn.Conv1d(points, points, 5),
            nn.ReLU(),
            nn.Conv1d(points, points, SOUND_FEATURES - 4),
            nn.ReLU(),
            nn.Conv1d(points, points, 1),
        )

    def looked(self, crops: Float[Tensor, "b t 3 s s"]) -> Float[Tensor, "b t c"]:
        """What is seen in each frame."""
        batch, count, _, side, _ = crops.shape
        mouths = crops.flatten(0, 1)[:, :, round(_TOP * side) :]
        small = nn.functional.interpolate(mouths, _SEEN, mode="bilinear", align_corners=False, antialias=True)
        return self.frame(small).reshape(batch, count, -1)

    def lips_mm(self, looked: Float[Tensor, "b t c"]) -> Float[Tensor, "b t 2"]:
        """How far the inner lips are apart and how wide the mouth is, mm."""
        return self.lips(looked) * looked.new_tensor(_LIPS_MM)

    def video_points(self, looked: Float[Tensor, "b t c"]) -> Float[Tensor, "b n c"]:
        """Point k is of frames k to k + 4."""
        return nn.functional.normalize(self.video(looked.transpose(1, 2)).transpose(1, 2), dim=-1)

    def sound_points(self, features: Float[Tensor, "b m bands"]) -> Float[Tensor, "b n c"]:
        """Point k is of the features that begin with the time of frame k: two features a frame."""
        return nn.functional.normalize(self.sound(features.transpose(1, 2)).transpose(1, 2)[:, ::2], dim=-1)


def _halved(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
