"""Photos and range pictures side by side in one file, as sets for picture-to-picture networks are kept (the pix2pix depth paper has
Texas 3DFRD so).

The left half is the photo, the right half its range picture in grey: the brighter, the nearer; 0 is unknown. What grey values mean in
mm is not in such files, so it is said when they are read.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_PERSON = re.compile(r"(?:clean_)?(\d+)")
_GREY_TOLERANCE = 24
"""Between the channels of a range picture: JPEG colours grey a little."""


class SideBySideReader(FaceReader):
    """The pictures of a folder and of those below it.

    ``identity_number`` is the first number in a file's name, which is the person in Texas 3DFRD: split by it, and not by pictures, as the
    paper did, whose test people are among those trained with.

    Args:
        root: the folder.
        range_mm: depth of the brightest grey, 255, and of the darkest that is known, 1; evenly between.
        photo_left: the photo is the left half.

    Raises:
        FileNotFoundError: no such folder, or no pictures below it.
        ValueError: a range that is none.
    """

    def __init__(self, root: str | Path, range_mm: tuple[float, float], photo_left: bool = True) -> None:
        super().__init__()
        nearest, farthest = range_mm
        if not 0.0 < nearest < farthest < float("inf"):
            raise ValueError(f"range_mm is the depth of grey 255 and of grey 1, 0 < nearest < farthest, got {range_mm}")
        self.root, self.range_mm, self.photo_left = existing_folder(root), (float(nearest), float(farthest)), photo_left
        self._pictures = sorted(path for path in self.root.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not self._pictures:
            raise FileNotFoundError(f"{self.root} holds no pictures; known: {' '.join(SUFFIXES)}")

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, index: int) -> str:
        """Of a sample: the path of its picture below the root."""
        return self._pictures[index].relative_to(self.root).as_posix()

    def files(self, index: int) -> tuple[Path, ...]:
        """The one file of a sample."""
        return (self._pictures[index],)

    def __getitem__(self, index: int) -> FaceRecord:
        path, name = self._pictures[index], self.name(index)
        both = read_picture(name, path)
        width = both.shape[1]
        if width % 2:
            raise DamagedSample(name, f"the picture is {width} px wide, two halves of one width are expected")
        halves = both[:, : width // 2], both[:, width // 2 :]
        photo, shown = halves if self.photo_left else halves[::-1]
        if int(np.ptp(shown.astype(np.int16), axis=2).max()) > _GREY_TOLERANCE:
            raise DamagedSample(
                name,
                f"the {'right' if self.photo_left else 'left'} half is no grey picture: are the halves the other way round?",
            )
        grey = shown.astype(np.float64).mean(axis=2)
        nearest, farthest = self.range_mm
        depth_mm = np.where(grey >= 1.0, farthest + (nearest - farthest) * (grey - 1.0) / 254.0, 0.0)
        if not (depth_mm > 0.0).any():
            raise DamagedSample(name, "the range picture is black all over")
        person = _PERSON.match(path.stem)
        return FaceRecord(
            name=name,
            image=np.ascontiguousarray(photo),
            depth_mm=depth_mm.astype(np.float32),
            identity_number=None if person is None else int(person.group(1)),
        )
