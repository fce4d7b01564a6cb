"""Preparing photos for training: each is found, framed and marked once; a run that ends early goes on where it was.

The folder holds a crop for each photo, named after its contents, and a record with a line for each photo that was looked at.
A crop is whole before its line is written, and neither is ever changed. Index and labels, which training reads, are made
from the record at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from recon.detection import align
from recon.detection.align import AlignmentError
from recon.evaluation.reports.provenance import model_hash
from recon.inference.regress import default_checkpoint
from recon.io.faults import ends_the_run, reason
from recon.io.files import OutputError, write_file
from recon.io.fingerprint import Fingerprint, code_hash, file_hash
from recon.io.image import read_image
from recon.io.locks import take_lock
from recon.io.names import printable
from recon.io.parts import remove_leftovers, write_new
from recon.io.png import encode_png
from recon.networks.checkpoint import CheckpointError
from recon.reconstructor import NoFaceError, Reconstructor
from recon.training.photos import INDEX, LABELS, PhotoSetError

RECORD = "photos.record.jsonl"
_SCHEMA = "facerecon-photos/1"
_WORK_FOLDER = ".facerecon"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What preparing did: names of crops that are in the set, and why photos are not."""

    kept: tuple[str, ...]
    refused: dict[str, str]


def prepare_photos(photos: Iterable[Path], out: Path, reconstructor: Reconstructor, size: int = 256) -> Prepared:
    """Find the face of each photo, frame it and mark its 68 points, for :class:`recon.training.photos.PhotoSet`.

    The points are those of a head fitted to the detector's. Only photos with exactly one face are kept, as in the paper's
    cleaning. Photos that an earlier run has done, known by their contents, are not done again; the set holds the photos
    named now, in their order.

    Args:
        photos: picture files.
        out: folder to write to; it is made.
        reconstructor: with a fast quality; its detector and model are used.
        size: side of the stored crops in px; larger than training needs, so that they can be cut anew.

    Raises:
        PhotoSetError: the folder holds photos prepared with other settings or code, or files of the user's under names that
            are needed, or another run is at work in it.
        OutputError: it cannot be written, or the disk is full. What is done is kept: the same call goes on.
    """
    facts = Fingerprint(_facts(reconstructor, size))
    with _naming(out), _alone_in(out):
        record = _Record(out, facts)
        try:
            kept: dict[str, dict[str, Any]] = {}
            refused: dict[str, str] = {}
            for path in photos:
                line = _prepared(path, out, reconstructor, size, record)
                if "refused" in line:
                    refused[str(path)] = line["refused"]
                elif line["name"] in kept:
                    refused[str(path)] = "the same picture as another"
                else:
                    kept[line["name"]] = line
            if kept:
                _write_set(out, size, list(kept.values()), record)
        finally:
            record.close()
    return Prepared(tuple(kept), refused)


def _facts(reconstructor: Reconstructor, size: int) -> dict[str, Any]:
    try:
        network = file_hash(reconstructor.checkpoint or default_checkpoint(reconstructor.model.name))
    except CheckpointError:
        network = None  # there is none for this model, and none is needed to fit it
    return {
        "size": size,
        "method": reconstructor.method,
        "detector": reconstructor.detector_name,
        "settings": dataclasses.asdict(reconstructor.settings),
        "face_model": model_hash(reconstructor.model),
        "network": network,
        "code": code_hash(),
    }


def _prepared(path: Path, out: Path, reconstructor: Reconstructor, size: int, record: _Record) -> dict[str, Any]:
    """The line of one photo, with its crop on disk."""
    try:
        digest = file_hash(path)
        line = record.lines.get(digest)
        if line is not None and ("refused" in line or (out / line["name"]).is_file()):
            return line
        photo = read_image(path)
        faces = reconstructor.detect(photo)
        if len(faces) != 1:
            raise NoFaceError(f"{len(faces)} faces, expected one" if faces else "no face")
        head = reconstructor.fit_face(photo, faces[0])
        alignment = align(faces[0].points5, size)
        crop = encode_png(alignment.crop(photo.pixels))
    except (NoFaceError, AlignmentError) as error:
        return record.add({"sha256": digest, "refused": reason(error)})
    except Exception as error:  # one photo must not end a run of days; it is tried again by the next
        if ends_the_run(error):
            raise
        return {"refused": reason(error)}
    camera = alignment.crop_camera(head.camera)
    matrix = np.diag([float(camera.focal_px[0, 0]), float(camera.focal_px[0, 1]), 1.0])
    matrix[:2, 2] = camera.principal_px[0].numpy()
    name = f"{digest[:24]}.png"
    if not write_new(out / name, crop) and (out / name).read_bytes() != crop:
        raise PhotoSetError(
            f"{printable(out / name)} is there already and is not what this run writes: move it away, and the same call goes on"
        )
    points = np.asarray(alignment.crop_points(head.landmarks68), np.float32)
    labels = {"landmarks68_px": points.tolist(), "intrinsics": matrix.astype(np.float32).tolist()}
    return record.add({"sha256": digest, "name": name, **labels})


def _write_set(out: Path, size: int, lines: list[dict[str, Any]], record: _Record) -> None:
    """Labels, then the index; without an index there is no set, so that it never goes with labels of other photos."""
    tensors = {name: torch.tensor([line[name] for line in lines]) for name in ("landmarks68_px", "intrinsics")}
    contents = {
        LABELS: save(tensors),
        INDEX: json.dumps({"size": size, "names": [line["name"] for line in lines]}).encode(),
    }
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    found = {name: file_hash(out / name) for name in contents if os.path.lexists(out / name)}
    if found == hashes:
        return
    for name, digest in found.items():
        if digest not in record.written:
            raise PhotoSetError(
                f"{printable(out / name)} was changed or was not written by this project: move it away, and the same call goes on"
            )
    record.add({"written": sorted(hashes.values())})
    (out / INDEX).unlink(missing_ok=True)
    for name, data in contents.items():
        write_file(out / name, data, overwrite=True)


class _Record:
    """The lines of what is done: each on the disk before the next photo begins.

    Raises:
        PhotoSetError: it is of other settings, or no record, or there is a set without one.
    """

    def __init__(self, out: Path, facts: Fingerprint) -> None:
        path = out / RECORD
        self.lines: dict[str, dict[str, Any]] = {}
        self.written: set[str] = set()
        header = json.dumps({"schema": _SCHEMA, "facts": facts.facts}).encode() + b"\n"
        if not os.path.lexists(path):
            for name in (INDEX, LABELS):
                if os.path.lexists(out / name):
                    raise PhotoSetError(
                        f"{printable(out)} holds {name} without {RECORD}, so how it was made is not known: choose another folder"
                    )
            write_new(path, header)
        self._file = open(path, "r+b")
        try:
            self._read(path, facts)
        except BaseException:
            self._file.close()
            raise

    def _read(self, path: Path, facts: Fingerprint) -> None:
        first = _content(self._file.readline())
        if first.get("schema") != _SCHEMA or not isinstance(first.get("facts"), dict):
            raise PhotoSetError(f"{printable(path)} is no record of prepared photos: choose another folder")
        other = facts.difference(first["facts"])
        if other:
            raise PhotoSetError(
                f"{printable(path.parent)} holds photos that were prepared otherwise ({printable(other)}): choose another folder"
            )
        end = self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # a killed run began it
            end += len(line)
            content = _content(line)
            if isinstance(content.get("written"), list):
                self.written.update(map(str, content["written"]))
            elif isinstance(content.get("sha256"), str) and ("refused" in content or _is_labelled(content)):
                self.lines[content["sha256"]] = content
        self._file.truncate(end)
        self._file.seek(end)

    def add(self, line: dict[str, Any]) -> dict[str, Any]:
        """Keep a line; it is on the disk when this returns. If it cannot be written, the lines before stay whole."""
        start = self._file.tell()
        data = json.dumps(line).encode() + b"\n"
        try:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self._file.fileno(), start)
            raise
        if "sha256" in line:
            self.lines[line["sha256"]] = line
        return line

    def close(self) -> None:
        """After a full disk the buffer cannot be written either; the next run drops what there is of its line."""
        with contextlib.suppress(OSError):
            self._file.close()


def _content(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_labelled(content: dict[str, Any]) -> bool:
    try:
        shapes = [np.asarray(content[name], np.float32).shape for name in ("landmarks68_px", "intrinsics")]
    except (KeyError, ValueError, TypeError):
        return False
    name = content.get("name")
    return shapes == [(68, 2), (3, 3)] and isinstance(name, str) and name == f"{content['sha256'][:24]}.png"


@contextlib.contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold the folder for this run, and remove what killed ones left."""
    out.mkdir(parents=True, exist_ok=True)
    lock = take_lock(out / _WORK_FOLDER / "prepare.lock", wait=False)
    if lock is None:
        raise PhotoSetError(
            f"another run is preparing photos in {printable(out)}: wait for it, or choose another folder"
        )
    try:
        remove_leftovers(out)
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            (out / _WORK_FOLDER).rmdir()


@contextlib.contextmanager
def _naming(out: Path) -> Iterator[None]:
    """Faults of the file system as errors that name the folder."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError) or not error.errno:
            raise
        raise OutputError(f"cannot write to {printable(out)}: {error.strerror}") from error
