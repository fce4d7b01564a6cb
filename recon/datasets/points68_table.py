"""Pictures with a table of 68 points: ``points68.csv`` with a header and, a line a picture, ``file,x0,y0,...,x67,y67`` in pixels.

Points are those of 300-W in their order; the contour of the jaw may be the visible one. The part of a name before the first ``_`` is the
person.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture, read_text

POINTS_TABLE = "points68.csv"
_MAX_BYTES = 200_000_000
_FARTHEST_PX = 1e6


class Points68Reader(FaceReader):
    """The pictures of a ``points68.csv`` in its order.

    Raises:
        FileNotFoundError: no such folder or table.
        DamagedSample: the table cannot be read.
        ValueError: its first column is not ``file``.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        path = self.root / POINTS_TABLE
        if not path.is_file():
            raise FileNotFoundError(f"{self.root} holds no {POINTS_TABLE}")
        header, *lines = list(csv.reader(io.StringIO(read_text(POINTS_TABLE, path, _MAX_BYTES)))) or [[]]
        if header[:1] != ["file"]:
            raise ValueError(f"{path} should begin with the columns file,x0,y0,..., it begins with {header[:3]}")
        self._lines = [line for line in lines if line]

    def __len__(self) -> int:
        return len(self._lines)

    def name(self, index: int) -> str:
        """Of a sample: the path of its picture below the root, as the table has it."""
        return self._lines[index][0]

    def points_px(self, index: int) -> np.ndarray:
        """``(68, 2)``, without reading the picture.

        Raises:
            DamagedSample: no 68 finite points, or a picture outside of the folder.
        """
        name, *texts = self._lines[index]
        try:
            numbers = np.array(texts, dtype=np.float64)
        except ValueError:
            numbers = np.zeros(0)
        if numbers.size != 136 or not (np.abs(numbers) < _FARTHEST_PX).all():
            raise DamagedSample(name, f"{POINTS_TABLE} has no 68 finite points for it")
        if not (self.root / name).resolve().is_relative_to(self.root.resolve()):
            raise DamagedSample(name, "the picture lies outside of the folder")
        return numbers.reshape(68, 2)

    def __getitem__(self, index: int) -> FaceRecord:
        name, points = self.name(index), self.points_px(index)
        return FaceRecord(name=name, image=read_picture(name, self.root / name), landmarks68_px=points)
