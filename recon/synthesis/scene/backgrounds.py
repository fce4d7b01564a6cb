"""What lies behind the head: out-of-focus places made of noise, gradients and edges, or the pictures of a folder."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from recon.io.faults import reason
from recon.io.left_out import warn_left_out
from recon.io.pictures import ImageError, open_picture, picture_fault
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.kernels import backgrounds as background_kernels
from recon.synthesis.noise import grain, grain_tile

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
logger = logging.getLogger(__name__)
_KEPT_BYTES = 256_000_000
_KEPT_SIDE = 320
"""Pictures of a folder are kept at this size: they lie out of focus behind a face."""


class BackgroundError(ValueError):
    """A background folder that cannot be used."""


def procedural(rng: CounterRng, size: tuple[int, int]) -> Float[Tensor, "b 3 h w"]:
    """Backgrounds in linear light, [0, 1]: layers of soft noise from coarse to fine, shelves and windows, blurred lights."""
    batch = len(rng.keys)
    base = _colours(rng, "wall")
    busy = rng.uniform("busy") ** 1.5
    picture = base[..., None, None].expand(batch, 3, 48, 48)
    fade = rng.normal("fade", 1, 2, 2) * 0.10 + rng.normal("fade tint", 3, 2, 2) * 0.04
    picture = picture + _grown(fade, (48, 48))
    for cells, amount in ((4, 0.16), (9, 0.11), (20, 0.07)):
        layer = rng.normal(f"layer {cells}", 1, cells, cells) + 0.15 * rng.normal(f"tint {cells}", 3, cells, cells)
        picture = picture + (amount * busy)[:, None, None, None] * _grown(layer, (48, 48))
    picture = _shapes(rng, picture, busy)
    # Out of focus by different amounts: the coarser the grid, the softer.
    soft, focus = torch.nn.functional.avg_pool2d(picture, 4), rng.uniform("focus")
    fine_at = torch.stack((rng.integer("fine row", 512), rng.integer("fine column", 512)), dim=1)
    return enlarged(picture, soft, focus, fine_at, 0.10 * busy * focus, size)


def enlarged(
    sharp: Float[Tensor, "b 3 n n"],
    soft: Float[Tensor, "b 3 m m"],
    focus: Float[Tensor, " b"],
    fine_at: Int[Tensor, "b 2"],
    amount: Float[Tensor, " b"],
    size: tuple[int, int],
) -> Float[Tensor, "b 3 h w"]:
    """Small pictures of code values as large ones in linear light. Compiled on the CPU.

    Args:
        sharp, soft: the picture in focus and out of it.
        focus: share of the sharp one.
        fine_at: row and column of the noise tile, for fine structure.
        amount: of the fine structure.
        size: (H, W) px.
    """
    if sharp.device.type != "cpu":
        return enlarged_reference(sharp, soft, focus, fine_at, amount, size)
    fine = grain_tile(sharp.device).mean(dim=0)
    return background_kernels.enlarged(sharp, soft, focus, fine, fine_at, amount, size)


def enlarged_reference(
    sharp: Float[Tensor, "b 3 n n"],
    soft: Float[Tensor, "b 3 m m"],
    focus: Float[Tensor, " b"],
    fine_at: Int[Tensor, "b 2"],
    amount: Float[Tensor, " b"],
    size: tuple[int, int],
) -> Float[Tensor, "b 3 h w"]:
    """Reference implementation of :func:`enlarged` in torch."""
    half = size[0] // 2 + 1, size[1] // 2 + 1
    fine = grain(grain_tile(sharp.device).mean(dim=0, keepdim=True), fine_at[:, 0], fine_at[:, 1], half)
    sharp, soft, fine = (
        torch.nn.functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)
        for picture in (sharp, soft, fine)
    )
    picture = soft + focus[:, None, None, None] * (sharp - soft) + amount[:, None, None, None] * fine
    # Designed as code values; a square is close enough to the sRGB curve for invented colours.
    return picture.clamp(0.0, 1.0) ** 2


def _colours(rng: CounterRng, name: str) -> Float[Tensor, "b 3"]:
    """Mostly dull colours of all lightnesses, now and then a strong one."""
    light = rng.uniform(f"{name} light", low=0.03, high=0.97)
    chroma = 0.03 + 0.17 * rng.uniform(f"{name} chroma") ** 3
    return (light[:, None] + chroma[:, None] * rng.normal(f"{name} hue", 3) * rng.device_tensor([1.0, 0.6, 1.0])).clamp(
        0.0, 1.0
    )


def _shapes(rng: CounterRng, picture: Tensor, busy: Tensor) -> Tensor:
    """A few boxes and discs with soft edges, as furniture, windows and lights out of focus are."""
    height, width = picture.shape[-2:]
    rows = torch.arange(height, device=picture.device)[None, :, None] + 0.5
    columns = torch.arange(width, device=picture.device)[None, None, :] + 0.5
    for k in range(6):
        there = rng.uniform(f"shape {k}") < 0.25 + 0.7 * busy
        x, y = (rng.uniform(f"shape {k} {axis}", 1, 1) * height for axis in "xy")
        half_x, half_y = (rng.uniform(f"shape {k} half {axis}", 1, 1, low=1.5, high=20.0) for axis in "xy")
        round_ = rng.chance(f"shape {k} round", 0.35)[:, None, None]
        dx, dy = (columns - x).abs(), (rows - y).abs()
        box = torch.minimum(half_x - dx, half_y - dy)
        disc = 0.5 * half_x - torch.hypot(dx, dy)
        edge = rng.uniform(f"shape {k} edge", 1, 1, low=0.4, high=2.0)
        share = torch.sigmoid(torch.where(round_, disc, box) / edge) * there[:, None, None]
        colour = _colours(rng, f"shape {k}")[..., None, None]
        picture = picture + (0.75 * share)[:, None] * (colour - picture)
    return picture


def _grown(layer: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.nn.functional.interpolate(layer, size=size, mode="bicubic", align_corners=True)


class FolderBackgrounds:
    """The pictures of a folder, kept small.

    Pictures are read when they are first sampled; the last ones, up to 256 MB, stay in memory. Pictures whose header cannot be
    read are left out from the beginning, with a warning that counts them. One that turns out to be damaged later is replaced
    by the next one of the folder that can be read, so that samples still follow from their index.

    Raises:
        BackgroundError: no folder, or no pictures in it that can be read.
    """

    def __init__(self, folder: str | Path) -> None:
        root = Path(folder)
        if not root.is_dir():
            raise BackgroundError(f"the background folder {root} does not exist; name a folder with pictures")
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise BackgroundError(f"the background folder {root} holds no pictures ({', '.join(sorted(_SUFFIXES))})")
        faults = {path: fault for path in paths if (fault := picture_fault(path))}
        self.paths = tuple(path for path in paths if path not in faults)
        if not self.paths:
            first = next(iter(faults.values()))
            raise BackgroundError(f"the background folder {root} holds no pictures that can be read: {first}")
        warn_left_out(logger, "background pictures", root, len(paths), list(faults.values()))
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._damaged: set[int] = set()

    def picture(self, number: int) -> UInt8[Tensor, "3 h w"]:
        """A picture of the folder, or the next one that can be read.

        Raises:
            BackgroundError: none can be read any more.
        """
        for k in range(number, number + len(self.paths)):
            index = k % len(self.paths)
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            if index in self._damaged:
                continue
            try:
                picture = _read(self.paths[index])
            except (ImageError, OSError) as error:
                self._damaged.add(index)
                logger.warning(
                    "%d of %d background pictures turned out to be damaged and are replaced by others; the last: %s",
                    len(self._damaged),
                    len(self.paths),
                    reason(error),
                )
                continue
            self._kept[index] = picture
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
            return picture
        raise BackgroundError(f"none of the {len(self.paths)} background pictures can be read any more")

    def sample(self, rng: CounterRng, size: tuple[int, int]) -> Float[Tensor, "b 3 h w"]:
        """A random part of a random picture for each sample, mirrored half the time."""
        number = rng.integer("background picture", len(self.paths)).tolist()
        zoom = rng.uniform("background zoom", low=0.5, high=1.0).tolist()
        place = rng.uniform("background place", 2).tolist()
        mirrored = rng.chance("background mirrored", 0.5).tolist()
        parts = []
        for k, z, (px, py), flip in zip(number, zoom, place, mirrored, strict=True):
            picture = self.picture(k)
            height, width = picture.shape[1:]
            scale = z * min(height / size[0], width / size[1])
            high, wide = max(2, int(scale * size[0])), max(2, int(scale * size[1]))
            top, left = int(py * (height - high)), int(px * (width - wide))
            part = picture[:, top : top + high, left : left + wide].float()[None] / 255.0
            part = torch.nn.functional.interpolate(part, size=size, mode="bilinear", align_corners=False)
            parts.append(part.flip(-1) if flip else part)
        return torch.cat(parts).to(rng.device)


def _read(path: Path) -> UInt8[Tensor, "3 h w"]:
    with open_picture(path, draft_px=2 * _KEPT_SIDE) as opened:
        opened.image.load()
        small = opened.image if opened.image.mode == "RGB" else opened.image.convert("RGB")
        small.thumbnail((_KEPT_SIDE, _KEPT_SIDE))
        return torch.as_tensor(np.array(small)).permute(2, 0, 1)
