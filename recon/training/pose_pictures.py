"""Photos for pose networks, framed once: a target domain without labels, or a few labelled pictures.

A folder holds the crops, with room around them for framing them anew, and a description. Photos in which no face is found, or
that cannot be read, are left out, counted and listed; none of them becomes a sample.
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

from recon.detection.detect import Detector
from recon.detection.face import Face
from recon.inference.landmark_detection import faces_with_landmarks
from recon.inference.pose_crop import pose_alignment
from recon.io.faults import ends_the_run, reason
from recon.io.files import write_file
from recon.io.fingerprint import code_hash
from recon.io.image import read_image
from recon.io.left_out import warn_left_out
from recon.training.framing import CropJitter, sample_framing

logger = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_FORMAT = "facerecon-pose-pictures-2"
_DESCRIPTION, _CROPS, _ROTATIONS = "pictures.json", "crops.npy", "rotations.npy"
_MARGIN = 0.2


class PosePictureError(ValueError):
    """A folder of pictures for pose networks in which there is none that can be used, or that is damaged."""


@dataclasses.dataclass(frozen=True, eq=False)
class PictureSource:
    """A photo to frame.

    Attributes:
        name: unique.
        photo: the file.
        rotation_ray: ``(3, 3)`` of the head against the ray to it; ``None`` without a label.
        box: of the face that the label is of; ``None`` takes the largest.
    """

    name: str
    photo: Path
    rotation_ray: Float[np.ndarray, "3 3"] | None = None
    box: Float[np.ndarray, " 4"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class PosePictures:
    """Framed photos.

    Attributes:
        names: of the photos.
        crops: ``(N, S, S, 3)`` uint8, upright, with a margin of a fifth of the standard crop's side on each side.
        rotation: ``(N, 3, 3)`` in the camera frame of the crop, against the ray; ``None`` without labels.
        left_out: a sentence for each photo that is not there.
    """

    names: tuple[str, ...]
    crops: UInt8[np.ndarray, "n s s 3"]
    rotation: Float[np.ndarray, "n 3 3"] | None
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def part(self, rows: Sequence[int]) -> PosePictures:
        """Some of them."""
        rotation = None if self.rotation is None else self.rotation[list(rows)]
        return PosePictures(tuple(self.names[k] for k in rows), self.crops[list(rows)], rotation, self.left_out)

    def batch(
        self, rows: Sequence[int], size: int, jitter: CropJitter | None, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 3 3"] | None]:
        """Crops of some of them in [0, 1], and their rotations.

        Args:
            rows: which.
            size: side, px.
            jitter: of the framing; ``None`` is the standard one.
            generator: of the framing.
        """
        still = CropJitter(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        framing = sample_framing(len(rows), jitter or still, 1.0 + 2.0 * _MARGIN, generator)
        pictures = torch.from_numpy(self.crops[list(rows)]).permute(0, 3, 1, 2).float() / 255.0
        rotation = None
        if self.rotation is not None:
            rotation = framing.rotations(torch.from_numpy(self.rotation[list(rows)]).float())
        return framing.crops(pictures, size), rotation


def photos_below(folder: Path) -> list[PictureSource]:
    """All pictures of a folder and its subfolders, in order, without labels.

    Raises:
        PosePictureError: no such folder, or no picture.
    """
    if not folder.is_dir():
        raise PosePictureError(f"no such folder of photos: {folder}")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise PosePictureError(f"{folder} holds no pictures; known: {' '.join(SUFFIXES)}")
    return [PictureSource(path.relative_to(folder).as_posix(), path) for path in found]


def frame_pictures(
    sources: Sequence[PictureSource], folder: Path, detector: Detector, side_px: int = 160
) -> PosePictures:
    """Framed photos from a folder, where an earlier call left them, or framed now.

    Args:
        sources: photos; all with labels, or none.
        folder: of the crops; made if it is not there.
        detector: entered.
        side_px: of the standard crop in them.

    Raises:
        ValueError: some have labels and some have none.
        PosePictureError: no face in any of them.
        OutputError: the folder cannot be written to.
    """
    if len({source.rotation_ray is None for source in sources}) > 1:
        raise ValueError("photos are framed with labels or without, not both together")
    facts = _facts(sources, side_px)
    if (folder / _DESCRIPTION).is_file():
        kept = _read(folder, facts)
        if kept is not None:
            return kept
    names: list[str] = []
    crops: list[np.ndarray] = []
    rotations: list[np.ndarray] = []
    left: list[str] = []
    for source in sources:
        try:
            crop, rotation = _framed(source, detector, side_px)
        except Exception as error:  # one photo must not end a run
            if ends_the_run(error):
                raise
            left.append(f"{source.name}: {reason(error)}")
            continue
        names.append(source.name)
        crops.append(crop)
        if rotation is not None:
            rotations.append(rotation)
    warn_left_out(logger, "photos", folder, len(sources), left)
    if not names:
        raise PosePictureError(
            f"none of {len(sources)} photos shows a face that can be framed; the first: {left[0] if left else 'no photo'}"
        )
    found = PosePictures(tuple(names), np.stack(crops), np.stack(rotations) if rotations else None, tuple(left))
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / _CROPS, _npy(found.crops), overwrite=True)
    if found.rotation is not None:
        write_file(folder / _ROTATIONS, _npy(found.rotation), overwrite=True)
    described = {**facts, "names": names, "labelled": found.rotation is not None, "left_out": left}
    write_file(folder / _DESCRIPTION, json.dumps(described, indent=1).encode(), overwrite=True)  # last
    return found


def _framed(source: PictureSource, detector: Detector, side_px: int) -> tuple[np.ndarray, np.ndarray | None]:
    photo = read_image(source.photo)
    faces = faces_with_landmarks(photo, detector)
    if source.box is not None:
        middle = 0.5 * (source.box[:2] + source.box[2:])
        faces = sorted(faces, key=lambda face: _distance(face, middle))
    alignment = pose_alignment(faces[0], side_px)
    rotation = None if source.rotation_ray is None else alignment.turn @ source.rotation_ray
    return alignment.widened(_MARGIN).crop(photo.pixels), rotation


def _distance(face: Face, middle: Float[np.ndarray, " 2"]) -> float:
    return float(np.linalg.norm(0.5 * (face.box[:2] + face.box[2:]) - middle))


def _facts(sources: Sequence[PictureSource], side_px: int) -> dict[str, Any]:
    digest = hashlib.sha256()
    for source in sources:
        label = "" if source.rotation_ray is None else source.rotation_ray.round(6).tolist()
        size, changed = (found.st_size, found.st_mtime_ns) if (found := _stat(source.photo)) else (0, 0)
        digest.update(f"{source.name} {size} {changed} {label}\n".encode())
    return {"format": _FORMAT, "side_px": side_px, "photos": digest.hexdigest(), "code": code_hash()}


def _stat(path: Path) -> Any:
    return path.stat() if path.is_file() else None


def read_framed(folder: Path) -> PosePictures:
    """Framed photos as :func:`frame_pictures` left them, whatever they were made from.

    Raises:
        PosePictureError: there are none, or they are damaged.
    """
    if not (folder / _DESCRIPTION).is_file():
        raise PosePictureError(f"{folder} holds no framed pictures ({_DESCRIPTION} is missing)")
    kept = _read(folder, {})
    assert kept is not None  # nothing was asked of what they were made from
    return kept


def _read(folder: Path, facts: dict[str, Any]) -> PosePictures | None:
    """What an earlier call left, if it was made from the same."""
    try:
        found = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        if any(found.get(key) != value for key, value in facts.items()):
            return None
        crops = np.load(folder / _CROPS, allow_pickle=False)
        # Not by whether the file is there: labelled pictures may have been framed into this folder before.
        rotation = np.load(folder / _ROTATIONS, allow_pickle=False) if found["labelled"] else None
        names = tuple(found["names"])
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise PosePictureError(
            f"the framed pictures in {folder} are damaged ({reason(error)}); remove the folder to frame them anew"
        ) from error
    for held in (crops, rotation):
        if held is not None and len(held) != len(names):
            raise PosePictureError(
                f"{folder} names {len(names)} pictures and holds {len(held)}; remove it to frame anew"
            )
    return PosePictures(names, crops, rotation, tuple(found["left_out"]))


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()
