"""Photos of a folder behind people."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.scene.backgrounds import FolderBackgrounds


@dataclasses.dataclass(frozen=True)
class BackgroundConfig:
    """What is behind the people.

    Attributes:
        folder: photos without faces; ``None`` has drawn backgrounds only.
        photos: share of the pictures with a photo behind, where there is a folder.

    Raises:
        ValueError: a share that is none.
    """

    folder: str | None = None
    photos: float = 0.85

    def __post_init__(self) -> None:
        if not 0.0 <= self.photos <= 1.0:
            raise ValueError(f"backgrounds.photos must lie in [0, 1], got {self.photos}")


class PhotoBackgrounds:
    """Puts photos behind people, sharp ones too, which drawn backgrounds never are.

    Args:
        config: which, and how often.

    Raises:
        BackgroundError: no folder, or no pictures in it that can be read.
    """

    def __init__(self, config: BackgroundConfig) -> None:
        self._photos = None if config.folder is None else FolderBackgrounds(config.folder)
        self._share = config.photos

    def behind(
        self, pictures: Float[Tensor, "b 3 h w"], rng: CounterRng, background: Float[Tensor, "b 1 h w"] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The pictures, some with a photo in place of their background.

        Args:
            pictures: sRGB code values in [0, 1].
            rng: of B samples.
            background: share of it in each pixel, in [0, 1]; ``None`` takes whole pictures for background.
        """
        if self._photos is None:
            return pictures
        height, width = pictures.shape[-2:]
        chosen = rng.chance("photo behind", self._share)[:, None, None, None]
        share = chosen.float() if background is None else torch.where(chosen, background, 0.0)
        return torch.lerp(pictures, self._photos.sample(rng, (height, width)), share)
