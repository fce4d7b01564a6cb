"""One picture of a data set with what the set knows about it, and what all readers share."""

from __future__ import annotations

import abc
import dataclasses
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from bfm.npy import read_npy_stream
from recon.io.faults import reason
from recon.io.names import printable
from recon.io.pictures import ImageError, read_rgb
from recon.io.regular_files import FileKindError, read_regular

_MAX_TEXT_BYTES = 64_000_000
_MAX_NPZ_BYTES, _MAX_NPZ_ARRAYS = 600_000_000, 1_000


class DamagedSample(ValueError):
    """A sample whose files are missing, truncated or contradict each other."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{printable(name)}: {printable(reason)}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type[DamagedSample], tuple[str, str]]:
        return type(self), (self.name, self.reason)  # it crosses processes in data loaders


@dataclasses.dataclass(frozen=True, eq=False)
class FaceRecord:
    """A picture and its labels; the names, units and frames are those of :class:`recon.synthesis.FaceBatch`.

    What a data set does not know is ``None``.

    Attributes:
        name: unique in the data set.
        image: ``(H, W, 3)`` uint8 RGB.
        depth_mm: ``(H, W)`` planar depth of what is seen; 0 where there is none.
        mask: ``(H, W)`` where the head is seen.
        segmentation: ``(H, W)``.
        normals: ``(H, W, 3)``.
        landmarks68_px: ``(68, 2)``.
        landmarks478_px: ``(478, 2)``.
        landmarks68_cam: ``(68, 3)`` mm, camera frame.
        rotation: ``(3, 3)``; translation_mm: ``(3,)``; intrinsics: ``(3, 3)``.
        published_angles_deg: yaw, pitch, roll in the data set's own convention.
        identity_number: who it is.
        labels: everything else the data set stores, by name.
    """

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    depth_mm: Float[np.ndarray, "h w"] | None = None
    mask: Bool[np.ndarray, "h w"] | None = None
    segmentation: Int[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"] | None = None
    normals: Float[np.ndarray, "h w 3"] | None = None
    landmarks68_px: Float[np.ndarray, "68 2"] | None = None
    landmarks478_px: Float[np.ndarray, "478 2"] | None = None
    landmarks68_cam: Float[np.ndarray, "68 3"] | None = None
    rotation: Float[np.ndarray, "3 3"] | None = None
    translation_mm: Float[np.ndarray, 3] | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    published_angles_deg: tuple[float, float, float] | None = None
    identity_number: int | None = None
    labels: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


class FaceReader(abc.ABC):
    """Samples by number, or one after the other with the damaged ones counted.

    Attributes:
        faults: the damaged samples that iterating met, in order.
    """

    def __init__(self) -> None:
        self.faults: list[DamagedSample] = []

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of samples, damaged ones included."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> FaceRecord:
        """One sample.

        Raises:
            DamagedSample: its files are missing or damaged.
            IndexError: no such sample.
        """

    def __iter__(self) -> Iterator[FaceRecord]:
        """The sound samples in order; damaged ones go to ``faults`` and nothing takes their place."""
        self.faults = []
        for index in range(len(self)):
            try:
                yield self[index]
            except DamagedSample as fault:
                self.faults.append(fault)

    def report(self) -> str:
        """What iterating found, for people."""
        total = len(self)
        if not self.faults:
            return f"{total} samples, none damaged"
        listed = "\n".join(f"  {fault}" for fault in self.faults[:20])
        return f"{total} samples, {len(self.faults)} damaged and left out:\n{listed}"


def read_picture(name: str, data: bytes | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture to RGB.

    Raises:
        DamagedSample: not a readable picture.
    """
    try:
        return read_rgb(data)
    except FileNotFoundError:
        raise DamagedSample(name, f"the picture {data!s} is missing") from None
    except (OSError, ImageError) as error:
        raise DamagedSample(name, f"the picture cannot be read ({reason(error)})") from None


def read_bytes(name: str, path: Path, max_bytes: int = _MAX_TEXT_BYTES) -> bytes:
    """An annotation file of bounded size.

    Raises:
        DamagedSample: missing, forbidden, empty, too large, or no regular file.
    """
    try:
        return read_regular(path, max_bytes=max_bytes)
    except (OSError, FileKindError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DamagedSample(name, f"{path.name} cannot be read ({said})") from None


def read_text(name: str, path: Path, max_bytes: int = _MAX_TEXT_BYTES) -> str:
    """As :func:`read_bytes`, for text in UTF-8."""
    try:
        return read_bytes(name, path, max_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedSample(name, f"{path.name} cannot be read ({error})") from None


def read_npz(name: str, data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file, none of them of objects.

    Raises:
        DamagedSample: damaged, or over 600 MB when unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > _MAX_NPZ_BYTES or len(entries) > _MAX_NPZ_ARRAYS:
                raise DamagedSample(
                    name, f"the labels take {unpacked / 1e6:.0f} MB in {len(entries)} arrays when unpacked"
                )
            arrays = {}
            for entry in entries:  # a member never yields more than the size that its entry states
                with archive.open(entry) as member:
                    arrays[entry.filename.removesuffix(".npy")] = read_npy_stream(member, entry.file_size)
            return arrays
    except DamagedSample:
        raise
    # zipfile and its decompressors raise whatever they meet in a damaged archive.
    except Exception as error:
        raise DamagedSample(name, f"the labels cannot be read ({reason(error)})") from None


def existing_folder(root: str | Path) -> Path:
    """The folder of a data set.

    Raises:
        FileNotFoundError: it is not there.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"the data set folder {folder} does not exist")
    return folder
