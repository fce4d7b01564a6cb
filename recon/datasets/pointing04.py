"""Pointing'04, the head pose image database (Gourier et al. 2004): 15 people, two series of 93 pictures each, pan and tilt in steps."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture

_NAME = re.compile(r"person(?:ne)?(\d\d)(\d)(\d\d)([+-]\d{1,2})([+-]\d{1,2})\.jpe?g", re.IGNORECASE)
_TILTS = (-90, -60, -30, -15, 0, 15, 30, 60, 90)
_PANS = tuple(range(-90, 91, 15))


@dataclasses.dataclass(frozen=True)
class Pointing04Name:
    """What the name of a picture says.

    Attributes:
        person: 1 to 15.
        series: 1 or 2.
        number: in the series.
        tilt_deg: positive looks up.
        pan_deg: negative looks to the left.
    """

    person: int
    series: int
    number: int
    tilt_deg: float
    pan_deg: float


class Pointing04Reader(FaceReader):
    """Pictures ``personne08123-30+45.jpg`` (or ``person...``): person, series, number, tilt, pan.

    ``published_angles_deg`` are pan, tilt and 0, convention ``pointing04`` of :mod:`recon.datasets.pose_conventions`. People were
    asked to look at marks on the walls without moving their eyes, so labels are rough.

    Raises:
        FileNotFoundError: no such folder, or no such pictures below it.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self._pictures = sorted(path for path in self.root.rglob("*") if _NAME.fullmatch(path.name))
        if not self._pictures:
            raise FileNotFoundError(f"{self.root} holds no pictures named like personne08123-30+45.jpg")

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The picture files, in the order of the samples."""
        return tuple(self._pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, index: int) -> str:
        """Of a sample: the path of its picture below the root."""
        return self._pictures[index].relative_to(self.root).as_posix()

    def __getitem__(self, index: int) -> FaceRecord:
        path, name = self._pictures[index], self.name(index)
        told = parsed_name(name)
        return FaceRecord(
            name=name,
            image=read_picture(name, path),
            published_angles_deg=(told.pan_deg, told.tilt_deg, 0.0),
            identity_number=told.person,
        )


def parsed_name(name: str) -> Pointing04Name:
    """What the name of a picture says.

    Raises:
        DamagedSample: it is no name of the set, or has angles that the set does not.
    """
    match = _NAME.fullmatch(name.rpartition("/")[2])
    if match is None:
        raise DamagedSample(name, "the name is not like personne08123-30+45.jpg")
    person, series, number, tilt, pan = (int(text) for text in match.groups())
    if tilt not in _TILTS or pan not in _PANS:
        raise DamagedSample(name, f"the set has no tilt {tilt} with pan {pan} degrees")
    return Pointing04Name(person, series, number, float(tilt), float(pan))
