"""Reads what ``recon synthesize`` writes: tar shards and folders."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

from recon.datasets.record import (
    DamagedSample,
    FaceReader,
    FaceRecord,
    existing_folder,
    read_bytes,
    read_npz,
    read_picture,
)
from recon.io.regular_files import open_regular

_CLOSING = 1024
"""Bytes of zeros at the end of every tar file."""
_MAX_MEMBER_BYTES = 300_000_000
_MAX_ENTRIES = 200_000
_KNOWN = (
    "segmentation",
    "landmarks68_px",
    "landmarks478_px",
    "landmarks68_cam",
    "rotation",
    "translation_mm",
    "intrinsics",
)


class FolderReader(FaceReader):
    """The layout ``folder``: ``<index>.jpg`` and ``<index>.npz`` side by side.

    Raises:
        FileNotFoundError: no such folder, or no samples in it.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        self._stems = sorted({path.stem for path in self.root.iterdir() if path.suffix in (".jpg", ".npz")})
        if not self._stems:
            raise FileNotFoundError(f"{self.root} holds no samples (<index>.jpg and <index>.npz)")

    def __len__(self) -> int:
        return len(self._stems)

    def name(self, index: int) -> str:
        """Of a sample: the stem of its files."""
        return self._stems[index]

    def __getitem__(self, index: int) -> FaceRecord:
        stem = self._stems[index]
        found: dict[str, bytes] = {}
        for suffix in ("jpg", "npz"):
            found[suffix] = read_bytes(stem, self.root / f"{stem}.{suffix}", _MAX_MEMBER_BYTES)
        return _record(stem, found)


class ShardReader(FaceReader):
    """The layout ``webdataset``: all ``*.tar`` of a folder, sample by sample.

    Raises:
        FileNotFoundError: no such folder, or no shards in it.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__()
        self.root = existing_folder(root)
        shards = sorted(self.root.glob("*.tar"))
        if not shards:
            raise FileNotFoundError(f"{self.root} holds no tar shards")
        self._places: list[tuple[Path, str, dict[str, tuple[int, int]]]] = []
        self._broken: list[DamagedSample] = []
        for shard in shards:
            self._places += self._index(shard)

    def _index(self, shard: Path) -> list[tuple[Path, str, dict[str, tuple[int, int]]]]:
        """Where the files of each sample lie in a shard."""
        samples: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with open_regular(shard, max_bytes=1 << 62)[0] as file, tarfile.open(fileobj=file, mode="r:") as archive:
                for count, entry in enumerate(archive):
                    if count >= _MAX_ENTRIES:
                        raise tarfile.ReadError(f"over {_MAX_ENTRIES} entries")
                    stem, _, suffix = entry.name.partition(".")
                    samples.setdefault(stem, {})[suffix] = (entry.offset_data, entry.size)
        # tarfile raises more on damaged bytes than its own errors, such as ValueError for sizes.
        except Exception as error:
            self._broken.append(DamagedSample(shard.name, f"the shard cannot be read to its end ({error})"))
        else:
            if not _ends(shard):
                self._broken.append(DamagedSample(shard.name, "the shard cannot be read to its end (it is cut)"))
        return [(shard, stem, places) for stem, places in samples.items()]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from super().__iter__()
        self.faults = [*self._broken, *self.faults]

    def __getitem__(self, index: int) -> FaceRecord:
        shard, stem, places = self._places[index]
        found: dict[str, bytes] = {}
        for suffix in ("jpg", "npz"):
            if suffix not in places:
                raise DamagedSample(stem, f"{stem}.{suffix} is missing in {shard.name}")
            start, size = places[suffix]
            if not 0 <= size <= _MAX_MEMBER_BYTES:
                raise DamagedSample(stem, f"{stem}.{suffix} claims {size} bytes in {shard.name}")
            try:
                with open(shard, "rb") as file:
                    file.seek(start)
                    found[suffix] = file.read(size)
            except OSError as error:
                raise DamagedSample(stem, f"{shard.name} cannot be read ({error.strerror})") from None
        return _record(stem, found)


def _ends(shard: Path) -> bool:
    """Whether a tar file has its closing blocks: Python's reader takes a cut header for the end."""
    with open(shard, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _CLOSING))
        return size % 512 == 0 and file.read() == bytes(_CLOSING)


def _record(name: str, files: dict[str, bytes]) -> FaceRecord:
    image = read_picture(name, files["jpg"])
    labels = read_npz(name, files["npz"])
    try:
        known = {key: labels.pop(key) for key in _KNOWN}
        depth, mask, normals = labels.pop("scene_depth_mm")[0], labels.pop("mask")[0], labels.pop("normals")
        number = int(labels.pop("identity_number"))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DamagedSample(name, f"the labels cannot be read ({error})") from None
    if normals.ndim != 3:
        raise DamagedSample(name, f"the normals have the shape {normals.shape}, (3, H, W) is expected")
    if mask.shape != image.shape[:2]:
        raise DamagedSample(name, f"the picture has {image.shape[:2]} px, its labels {mask.shape}")
    return FaceRecord(
        name=name,
        image=image,
        depth_mm=depth,
        mask=mask,
        normals=np.moveaxis(normals, 0, -1),
        identity_number=number,
        labels=labels,
        **known,  # type: ignore[arg-type]
    )
