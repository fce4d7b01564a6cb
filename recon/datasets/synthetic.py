"""Reads what ``recon synthesize`` writes: tar shards and folders."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from recon.datasets.record import DamagedSample, FaceReader, FaceRecord, existing_folder, read_picture

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

    def __getitem__(self, index: int) -> FaceRecord:
        stem = self._stems[index]
        found: dict[str, bytes] = {}
        for suffix in ("jpg", "npz"):
            try:
                found[suffix] = (self.root / f"{stem}.{suffix}").read_bytes()
            except OSError as error:
                raise DamagedSample(stem, f"{stem}.{suffix} cannot be read ({error.strerror})") from None
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
            with tarfile.open(shard) as archive:
                for entry in archive:
                    stem, _, suffix = entry.name.partition(".")
                    samples.setdefault(stem, {})[suffix] = (entry.offset_data, entry.size)
        except (tarfile.TarError, OSError) as error:
            self._broken.append(DamagedSample(shard.name, f"the shard cannot be read to its end ({error})"))
        return [(shard, stem, places) for stem, places in samples.items()]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from super().__iter__()
        self.faults = [*self._broken, *self.faults]

    def __getitem__(self, index: int) -> FaceRecord:
        shard, stem, places = self._places[index]
        found: dict[str, bytes] = {}
        with open(shard, "rb") as file:
            for suffix in ("jpg", "npz"):
                if suffix not in places:
                    raise DamagedSample(stem, f"{stem}.{suffix} is missing in {shard.name}")
                start, size = places[suffix]
                file.seek(start)
                found[suffix] = file.read(size)
        return _record(stem, found)


def _record(name: str, files: dict[str, bytes]) -> FaceRecord:
    image = read_picture(name, files["jpg"])
    try:
        with np.load(io.BytesIO(files["npz"]), allow_pickle=False) as archive:
            labels = {key: archive[key] for key in archive.files}
        known = {key: labels.pop(key) for key in _KNOWN}
        depth, mask, normals = labels.pop("scene_depth_mm")[0], labels.pop("mask")[0], labels.pop("normals")
        number = int(labels.pop("identity_number"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DamagedSample(name, f"the labels cannot be read ({error})") from None
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
        **known,
    )
