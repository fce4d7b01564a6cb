"""The folder layout of photos with depth maps.

``NAME.jpg|png`` with ``NAME_depth.npy`` (float, mm, nan or 0 where unknown) or ``NAME_depth.png`` (16 bit, mm, 0 where
unknown), and optionally ``NAME_mask.png`` (white where the face is).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, UnidentifiedImageError

from recon.evaluation.result import Left

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")


class DepthDataError(ValueError):
    """Depth data that cannot be measured with; the message names the file."""


@dataclasses.dataclass(frozen=True)
class DepthPair:
    """Files of one picture; ``mask`` is None where there is none."""

    photo: Path
    depth: Path
    mask: Path | None

    @property
    def name(self) -> str:
        return self.photo.stem


def find_depth_pairs(folder: Path) -> tuple[list[DepthPair], list[Left]]:
    """All photos with a depth map, and the photos without.

    Raises:
        DepthDataError: no such folder, or no pair in it.
    """
    if not folder.is_dir():
        raise DepthDataError(f"no such folder: {folder}")
    photos = [
        p
        for p in sorted(folder.iterdir())
        if p.suffix.lower() in PHOTO_SUFFIXES and not p.stem.endswith(("_depth", "_mask"))
    ]
    pairs, left = [], []
    for photo in photos:
        depth = depth_file(folder, photo.stem)
        if depth is None:
            left.append(Left(photo.name, f"no {photo.stem}_depth.npy or {photo.stem}_depth.png"))
            continue
        mask = folder / f"{photo.stem}_mask.png"
        pairs.append(DepthPair(photo, depth, mask if mask.is_file() else None))
    if not pairs:
        raise DepthDataError(
            f"{folder}: found {len(photos)} pictures, none with a depth map; expected NAME.jpg with NAME_depth.npy (mm) or "
            "NAME_depth.png (16 bit, mm)"
        )
    return pairs, left


def depth_file(folder: Path, stem: str) -> Path | None:
    """The depth map of a picture, if there is one."""
    candidates = (folder / f"{stem}_depth.npy", folder / f"{stem}_depth.png")
    return next((path for path in candidates if path.is_file()), None)


def read_depth(path: Path) -> Float[np.ndarray, "h w"]:
    """A depth map in mm, nan where unknown.

    Raises:
        DepthDataError: unreadable, not two-dimensional, 8 bit, or everything unknown.
    """
    try:
        if path.suffix == ".npy":
            raw = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as picture:
                if picture.mode not in ("I;16", "I", "I;16B"):
                    raise DepthDataError(f"{path}: expected a 16-bit grey PNG in mm, found mode {picture.mode}")
                raw = np.asarray(picture)
    except (OSError, ValueError, EOFError, UnidentifiedImageError) as error:
        if isinstance(error, DepthDataError):
            raise
        raise DepthDataError(f"{path}: cannot be read as a depth map ({error})") from None
    if raw.ndim != 2 or raw.dtype.kind not in "fiu":
        raise DepthDataError(f"{path}: expected (H, W) numbers, found {raw.dtype} {raw.shape}")
    depth = np.asarray(raw, dtype=np.float64)
    depth = np.where(np.isfinite(depth) & (depth > 0.0), depth, np.nan)
    if not np.isfinite(depth).any():
        raise DepthDataError(f"{path}: holds no positive depth")
    return depth


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """A mask: white counts.

    Raises:
        DepthDataError: unreadable.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L")) >= 128
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise DepthDataError(f"{path}: cannot be read as a mask ({error})") from None
