"""EURECOM Kinect Face Dataset (Min et al. 2014): 52 people, two sessions of nine states, colour and depth of a first Kinect.

Below the root lie, in any folders (as published ``<person>/s<session>/RGB`` and ``<person>/s<session>/Depth/DepthKinect``),
``rgb_PPPP_sS_STATE.bmp`` and ``depth_PPPP_sS_STATE.txt``, the levels that the camera measured, one row a line, mm, 0 where it saw nothing.
Both cover the same part of the scene, 256 x 256 px cut out of 640 x 480. The set comes by agreement and its files are not described
publicly: names are taken with either suffix in any case, and states as they are written.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture, read_text
from recon.io.faults import reason
from recon.io.pictures import ImageError, read_grey16

STATES = (
    *("Neutral", "Smile", "OpenMouth", "LeftProfile", "RightProfile", "OcclusionEyes", "OcclusionMouth"),
    *("OcclusionPaper", "LightOn"),
)
"""The nine states (Min et al. 2014), as they are usually written."""
FOCAL_PX = 525.0
"""Nominal focal length of the first Kinect at 640 x 480 px, which pictures cut out of these keep."""
_RGB = re.compile(r"rgb_(\d{4})_s(\d)_(.+)\.(?:bmp|png|jpe?g)", re.IGNORECASE)
_DEPTH = re.compile(r"depth_(\d{4})_s(\d)_(.+)\.(txt|png)", re.IGNORECASE)
_FARTHEST_MM = 10_000.0
"""A first Kinect measures nothing beyond."""


class EurecomReader(FaceReader):
    """The colour pictures with the depth that lies on them.

    ``identity_number`` is the person; the names are ``PPPP/sS/STATE``. ``intrinsics`` have the nominal focal length and the middle of the
    picture as principal point, because where a picture was cut out of the camera's is not told.

    Args:
        root: folder of the people.
        people: numbers of those to read; ``None`` reads all.

    Raises:
        FileNotFoundError: no such folder, or no pictures below it.
    """

    def __init__(self, root: str | Path, people: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self._pictures: list[tuple[tuple[str, ...], Path]] = []
        self._depths: dict[tuple[str, ...], Path] = {}
        for path in sorted(self.root.rglob("*")):
            found = _RGB.fullmatch(path.name)
            if found and (people is None or int(found.group(1)) in people):
                self._pictures.append((_key(found), path))
            found = _DEPTH.fullmatch(path.name)
            if found:
                self._depths[_key(found)] = path
        if not self._pictures:
            raise FileNotFoundError(f"{self.root} holds no pictures named like rgb_0001_s1_Neutral.bmp")

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, index: int) -> str:
        """Of a sample: person, session and state."""
        found = _RGB.fullmatch(self._pictures[index][1].name)
        assert found is not None
        return f"{found.group(1)}/s{found.group(2)}/{found.group(3)}"

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample that are there, its picture first."""
        key, path = self._pictures[index]
        depth = self._depths.get(key)
        return (path,) if depth is None else (path, depth)

    def __getitem__(self, index: int) -> FaceRecord:
        key, path = self._pictures[index]
        name = self.name(index)
        image = read_picture(name, path)
        height, width = image.shape[:2]
        depth = self._depths.get(key)
        depth_mm = None
        if depth is not None:
            depth_mm = _levels(name, depth)
            if depth_mm.shape != (height, width):
                raise DamagedSample(name, f"{depth.name} has {depth_mm.shape} px, the picture {(height, width)}")
        return FaceRecord(
            name=name,
            image=image,
            depth_mm=depth_mm,
            intrinsics=np.array([[FOCAL_PX, 0.0, 0.5 * width], [0.0, FOCAL_PX, 0.5 * height], [0.0, 0.0, 1.0]]),
            identity_number=int(key[0]),
        )


def _key(found: re.Match[str]) -> tuple[str, ...]:
    """Person, session and state, the last without regard to case, blanks and underscores."""
    return found.group(1), found.group(2), re.sub(r"[\W_]", "", found.group(3)).lower()


def _levels(name: str, path: Path) -> Float[np.ndarray, "h w"]:
    """``(H, W)`` float32 mm; 0 where nothing was measured."""
    if path.suffix.lower() == ".png":
        try:
            return read_grey16(path).astype(np.float32)
        except (OSError, ImageError) as error:
            raise DamagedSample(name, f"{path.name} cannot be read ({reason(error)})") from None
    rows = [line.replace(",", " ").split() for line in read_text(name, path).splitlines() if line.strip()]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise DamagedSample(
            name, f"{path.name} holds {len(rows)} rows of {sorted(widths)[:3]} numbers, rows of one length are expected"
        )
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({error})") from None
    if not np.isfinite(values).all() or values.min() < 0.0 or values.max() > _FARTHEST_MM:
        raise DamagedSample(
            name,
            f"{path.name} holds levels from {values.min():.6g} to {values.max():.6g}, mm of a Kinect lie between 0 and {_FARTHEST_MM:g}",
        )
    return values.astype(np.float32)
