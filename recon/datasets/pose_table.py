"""Pictures with a table of angles: for data sets whose files are not described publicly (SASE) or are somebody's own.

``poses.csv`` has a header and a line a picture: ``picture`` (path below the folder), ``yaw``, ``pitch``, ``roll`` in degrees and, if
there are people, ``person``. What the angles mean is said when the table is read, by a convention of
:mod:`recon.datasets.pose_conventions`. SASE (Lusi et al. 2016, Kinect 2, 50 people) measures its angles by five markers on the face
and does not publish their signs.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from pathlib import Path

from recon.datasets.pose_conventions import CONVENTIONS
from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture, read_text

TABLE = "poses.csv"
_COLUMNS = ("picture", "yaw", "pitch", "roll")
_MAX_BYTES = 200_000_000


@dataclasses.dataclass(frozen=True)
class PoseRow:
    """A line of the table.

    Attributes:
        picture: path below the folder.
        angles_deg: yaw, pitch, roll as written.
        person: who it is, or empty.
    """

    picture: str
    angles_deg: tuple[float, float, float]
    person: str = ""


class PoseTableReader(FaceReader):
    """The pictures of a ``poses.csv`` in its order.

    Args:
        root: folder with the table.
        convention: what its angles mean.

    Raises:
        FileNotFoundError: no such folder or table.
        ValueError: an unknown convention, or a table without the columns.
    """

    def __init__(self, root: str | Path, convention: str = "zyx") -> None:
        super().__init__()
        if convention not in CONVENTIONS:
            raise ValueError(f"unknown angle convention {convention!r}; known: {', '.join(CONVENTIONS)}")
        self.root, self.convention = existing_folder(root), convention
        path = self.root / TABLE
        if not path.is_file():
            raise FileNotFoundError(f"{self.root} holds no {TABLE} with the columns {', '.join(_COLUMNS)}")
        table = csv.DictReader(io.StringIO(read_text(TABLE, path, _MAX_BYTES)))
        missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(table.fieldnames or ())}"
            )
        self._lines = list(table)

    def __len__(self) -> int:
        return len(self._lines)

    def name(self, index: int) -> str:
        """Of a sample: the path of its picture below the root, as the table has it."""
        return str(self._lines[index]["picture"])

    def row(self, index: int) -> PoseRow:
        """A line of the table, without reading its picture.

        Raises:
            DamagedSample: no finite angles, or a picture outside of the folder.
        """
        line, name = self._lines[index], self.name(index)
        try:
            yaw, pitch, roll = (float(line[key]) for key in _COLUMNS[1:])
        except (TypeError, ValueError):
            raise DamagedSample(name, f"{TABLE} has no three numbers for it") from None
        if not all(math.isfinite(angle) for angle in (yaw, pitch, roll)):
            raise DamagedSample(name, f"{TABLE} has angles that are not finite: {(yaw, pitch, roll)}")
        if not (self.root / name).resolve().is_relative_to(self.root.resolve()):
            raise DamagedSample(name, "the picture lies outside of the folder")
        return PoseRow(name, (yaw, pitch, roll), str(line.get("person") or ""))

    def __getitem__(self, index: int) -> FaceRecord:
        row = self.row(index)
        return FaceRecord(
            name=row.picture,
            image=read_picture(row.picture, self.root / row.picture),
            published_angles_deg=row.angles_deg,
            identity_number=int(row.person) if row.person.isdecimal() else None,
        )
