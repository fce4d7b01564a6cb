"""Faces of data sets with depth, framed once as crops with cameras of their own.

A folder holds the crops, with room around them for framing them anew, their depth, and a description. Pictures in which no face is found,
whose files are damaged, or whose focal length nobody tells are left out, counted and listed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon.camera import PerspectiveCamera
from recon.datasets import SideBySideReader
from recon.depth.crop_view import CropView
from recon.detection.align import align
from recon.detection.detect import Detector
from recon.evaluation.depth_folder import LAYOUTS, DepthItem, DepthSample, find_depth
from recon.inference.depth import read_crop
from recon.inference.landmark_detection import faces_with_landmarks
from recon.io.faults import ends_the_run, reason
from recon.io.files import write_file
from recon.io.fingerprint import code_hash
from recon.io.image import Photo
from recon.io.left_out import warn_left_out
from recon.networks.depth.crop_depth import CLASSES, FRAME
from recon.training.degrade import Degradation, degrade
from recon.training.depth_batch import UNKNOWN, DepthBatch
from recon.training.framing import CropJitter, sample_framing

logger = logging.getLogger(__name__)

_FORMAT = "facerecon-depth-pictures-1"
_DESCRIPTION, _CROPS, _DEPTHS = "pictures.json", "crops.npy", "depths.npy"
_ROOM = 1.3
"""Sides of the network's crop a side of a framed picture."""
_WHOLE = 0.999
"""Bilinear depth counts where all four pixels are known."""
_SKIN = CLASSES.index("skin")


PICTURE_LAYOUTS = (*LAYOUTS, "side-by-side")
"""Of data sets that training takes."""


class DepthPictureError(ValueError):
    """A data set with depth in which there is no picture that can be used."""


@dataclasses.dataclass(frozen=True, eq=False)
class DepthPictures:
    """Framed faces.

    Attributes:
        names: of the pictures.
        crops: ``(N, S, S, 3)`` uint8, upright, 1.3 times as wide as the network's crop.
        depth_mm: ``(N, S, S)`` float32 planar depth along the crop's axis, 0 where it is not known or does not count.
        focal_sides: ``(N,)`` focal length in sides of these crops.
        left_out: a sentence for each picture that is not there.
    """

    names: tuple[str, ...]
    crops: UInt8[np.ndarray, "n s s 3"]
    depth_mm: Float[np.ndarray, "n s s"]
    focal_sides: Float[np.ndarray, " n"]
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def batch(
        self, rows: list[int], size: int, jitter: CropJitter, degradation: Degradation | None, seed: int
    ) -> DepthBatch:
        """Crops of some of them, framed and degraded. Equal arguments give equal crops.

        Normals are not known, what is known counts as skin, and ``origin_mm`` is nan, because nobody tells where the head's origin is.
        """
        generator = torch.Generator().manual_seed(seed)
        framing = sample_framing(len(rows), jitter, _ROOM, generator)
        side = float(self.crops.shape[1])
        intrinsics = torch.eye(3).repeat(len(rows), 1, 1)
        intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = side * torch.from_numpy(self.focal_sides[rows]).float()
        intrinsics[:, :2, 2] = 0.5 * side
        back = -(torch.linalg.inv(framing.linear) @ framing.shift[..., None])[..., 0]
        view = CropView.towards(intrinsics, side * (0.5 + back), side / framing.scale, framing.turn_rad)
        pictures = torch.from_numpy(self.crops[rows]).permute(0, 3, 1, 2).float() / 255.0
        image = view.crops(pictures, size).clamp(0.0, 1.0)
        depth_mm = _depth_of(view, torch.from_numpy(self.depth_mm[rows])[:, None], size)
        classes = torch.where(depth_mm[:, 0] > 0.0, _SKIN, UNKNOWN)
        if degradation is not None:
            image, hidden = degrade(image, degradation, generator)
            classes = torch.where(hidden[:, 0], UNKNOWN, classes)
        unknown = torch.full((len(rows),), torch.nan)
        return DepthBatch(image, depth_mm, torch.zeros_like(image), classes, view.focal_sides, unknown)


def find_pictures(folder: Path, layout: str, range_mm: tuple[float, float] | None) -> list[DepthItem]:
    """The pictures with depth of a data set.

    Args:
        folder: of the set.
        layout: one of :data:`PICTURE_LAYOUTS`.
        range_mm: what grey values of ``side-by-side`` mean, see :class:`recon.datasets.SideBySideReader`.

    Raises:
        DepthDataError, FileNotFoundError: no such folder, or nothing in it.
        ValueError: an unknown layout, or a range for a layout that needs none or none for the one that does.
    """
    if (layout == "side-by-side") != (range_mm is not None):
        raise ValueError(f"range_mm is told for the layout side-by-side and for no other, got {range_mm} for {layout}")
    if range_mm is None:
        return find_depth(folder, layout)[0]
    reader = SideBySideReader(folder, range_mm)

    def load(index: int) -> DepthSample:
        record = reader[index]
        assert record.depth_mm is not None, "the reader's"
        depth_mm = np.where(record.depth_mm > 0.0, record.depth_mm, np.nan).astype(np.float64)
        return DepthSample(Photo(record.image, source=record.name), depth_mm, None)

    return [
        DepthItem(reader.name(k), reader.files(k), lambda index=k: load(index))  # type: ignore[misc]
        for k in range(len(reader))
    ]


def frame_depth(
    items: Sequence[DepthItem], folder: Path, detector: Detector, size: int, focal_px: float | None = None
) -> DepthPictures:
    """Framed faces from a folder, where an earlier call left them, or framed now.

    Args:
        items: pictures with depth.
        folder: of the crops; made if it is not there.
        detector: entered.
        size: side of the network's crops, px.
        focal_px: of all pictures, where it is known better than their files say.

    Raises:
        DepthPictureError: none of them can be used.
        OutputError: the folder cannot be written to.
    """
    facts = _facts(items, size, focal_px)
    kept = _read(folder, facts)
    if kept is not None:
        return kept
    framed: list[tuple[str, np.ndarray, np.ndarray, float]] = []
    left: list[str] = []
    for item in items:
        try:
            crop, depth_mm, focal_sides = _framed(item, detector, round(_ROOM * size), focal_px)
        except Exception as error:  # one picture must not end a run
            if ends_the_run(error):
                raise
            left.append(f"{item.name}: {reason(error)}")
            continue
        framed.append((item.name, crop, depth_mm, focal_sides))
    warn_left_out(logger, "pictures with depth", folder, len(items), left)
    if not framed:
        raise DepthPictureError(
            f"none of {len(items)} pictures with depth can be used; the first: {left[0] if left else 'no picture'}"
        )
    names, crops, depths, focals = zip(*framed, strict=True)
    found = DepthPictures(names, np.stack(crops), np.stack(depths), np.array(focals), tuple(left))
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / _CROPS, _npy(found.crops), overwrite=True)
    write_file(folder / _DEPTHS, _npy(found.depth_mm), overwrite=True)
    described = {**facts, "names": names, "focal_sides": focals, "left_out": left}
    write_file(folder / _DESCRIPTION, json.dumps(described, indent=1).encode(), overwrite=True)  # last
    return found


def _framed(
    item: DepthItem, detector: Detector, side_px: int, focal_px: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    sample = item.load()
    photo = sample.photo
    focal = focal_px if focal_px is not None else photo.focal_px
    if focal is None:
        raise DepthPictureError("nobody tells the focal length: set focal_px")
    height, width = photo.pixels.shape[:2]
    alignment = align(faces_with_landmarks(photo, detector)[0].points5, 224, remove_roll=True)
    camera = PerspectiveCamera.at(size=(height, width), focal_px=torch.full((1, 2), float(focal)))
    view = CropView.towards(
        camera.to(torch.float64).intrinsics,
        torch.from_numpy(alignment.photo_points(np.array([[112.0, 112.0]]))),
        torch.tensor([_ROOM * FRAME * 224.0 / alignment.scale], dtype=torch.float64),
        torch.tensor([alignment.picture_turn_rad], dtype=torch.float64),
    )
    counts = sample.depth_mm if sample.mask is None else np.where(sample.mask, sample.depth_mm, np.nan)
    depth_mm = _depth_of(view, torch.from_numpy(np.nan_to_num(counts, nan=0.0))[None, None], side_px)
    if not (depth_mm > 0.0).any():
        raise DepthPictureError("there is no depth on the face")
    crop = (255.0 * read_crop(photo, view, side_px)[0]).round().byte().permute(1, 2, 0).numpy()
    return crop, depth_mm[0, 0].float().numpy(), float(view.focal_sides[0])


def _depth_of(view: CropView, depth_mm: Tensor, size: int) -> Tensor:
    """Planar depth along the crops' axes, 0 where it is not known."""
    known = view.crops((depth_mm > 0.0).to(depth_mm.dtype), size, padding="zeros") > _WHOLE
    return torch.where(known, view.crops(depth_mm, size) * view.depth_ratio(size), 0.0)


def _facts(items: Sequence[DepthItem], size: int, focal_px: float | None) -> dict[str, Any]:
    digest = hashlib.sha256()
    for item in items:
        told = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in item.files if path.is_file()]
        digest.update(f"{item.name} {told}\n".encode())
    return {"format": _FORMAT, "size": size, "focal_px": focal_px, "files": digest.hexdigest(), "code": code_hash()}


def _read(folder: Path, facts: dict[str, Any]) -> DepthPictures | None:
    """What lies in the folder, if it was made from these pictures in the same way; None otherwise, or if it is damaged."""
    try:
        told = json.loads((folder / _DESCRIPTION).read_text("utf-8"))
        if {key: told[key] for key in facts} != facts:
            return None
        crops, depths = (np.load(folder / name, mmap_mode="r") for name in (_CROPS, _DEPTHS))
        names, focals = tuple(told["names"]), np.array(told["focal_sides"], dtype=np.float64)
        if not len(crops) == len(depths) == len(names) == len(focals):
            return None
        return DepthPictures(names, crops, depths, focals, tuple(told["left_out"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()
