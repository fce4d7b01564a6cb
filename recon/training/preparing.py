"""Preparing photos for training: each photo's face is detected, cropped, segmented and given landmarks once; a run that ends early goes on
where it was.

The folder holds a crop and a mask for each photo, named after its contents, and a record with a line for each photo that was
looked at. Both are whole before their line is written and none is ever changed. Index and labels, which training reads, are made
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
from jaxtyping import Float, UInt8
from safetensors.torch import save

from recon.camera import PosedCamera
from recon.detection import align
from recon.detection.align import Alignment, AlignmentError
from recon.inference.regress import default_checkpoint
from recon.io.faults import ends_the_run, reason
from recon.io.files import OutputError, write_file
from recon.io.fingerprint import Fingerprint, code_hash, file_hash, model_hash
from recon.io.image import read_image
from recon.io.locks import take_lock
from recon.io.names import printable
from recon.io.parts import remove_leftovers, write_new
from recon.io.png import encode_png
from recon.networks.network_file import CheckpointError
from recon.reconstruction import Reconstruction
from recon.reconstructor import NoFaceError, Reconstructor
from recon.render import Mesh, Topology, render
from recon.segmentation.segmenter import RenderedRegions, segment
from recon.training.photos import INDEX, LABELS, TENSOR_OF_SOURCE, PhotoSetError

RECORD = "photos.record.jsonl"
_SCHEMA = "facerecon-photos/1"
_FORMAT = 2
"""Of the crops' labels: 2 adds masks and the detector's landmarks."""
_WORK_FOLDER = ".facerecon"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What preparing did: names of crops that are in the set, and why photos are not."""

    kept: tuple[str, ...]
    refused: dict[str, str]


def prepare_photos(photos: Iterable[Path], out: Path, reconstructor: Reconstructor, size: int = 256) -> Prepared:
    """Detect the face of each photo, crop it, segment it and store its 68 landmarks, for :class:`recon.training.photos.PhotoSet`.

    Stored are the detector's points and those of the fitted head, and the mask of visible skin by the reconstructor's
    segmenter. Only photos with exactly one face are kept, as in the paper's cleaning. Photos that an earlier run has done, known by their contents, are not done again; the set holds the photos
    named now, in their order.

    Args:
        photos: picture files.
        out: folder to write to; it is made.
        reconstructor: with a fast quality; its detector, model and segmenter are used.
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
        "format": _FORMAT,
        "size": size,
        "method": reconstructor.method,
        "detector": reconstructor.detector_name,
        "segmenter": _name_of(reconstructor.segmenter),
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
        if line is not None and ("refused" in line or all((out / line[key]).is_file() for key in ("name", "mask"))):
            return line
        photo = read_image(path)
        faces = reconstructor.detect(photo)
        if len(faces) != 1:
            raise NoFaceError(f"{len(faces)} faces, expected one" if faces else "no face")
        head = reconstructor.fit_face(photo, faces[0])
        alignment = align(faces[0].points5, size)
        camera = alignment.crop_camera(head.camera)
        pixels = alignment.crop(photo.pixels)
        contents = {
            f"{digest[:24]}.png": encode_png(pixels),
            f"{digest[:24]}.mask.png": encode_png(_mask(head, camera, pixels)),
        }
    except (NoFaceError, AlignmentError) as error:
        return record.add({"sha256": digest, "refused": reason(error)})
    except Exception as error:  # one photo must not end a run of days; it is tried again by the next
        if ends_the_run(error):
            raise
        return {"refused": reason(error)}
    for name, data in contents.items():
        if not write_new(out / name, data) and (out / name).read_bytes() != data:
            raise PhotoSetError(
                f"{printable(out / name)} is there already and is not what this run writes: move it away, and the same call "
                "goes on"
            )
    detected = faces[0].landmarks68
    labels = {
        TENSOR_OF_SOURCE["fit"]: _in_crop(alignment, head.landmarks68),
        TENSOR_OF_SOURCE["detector"]: None if detected is None else _in_crop(alignment, detected),
        "intrinsics": camera.intrinsics[0].tolist(),
    }
    return record.add({"sha256": digest, **dict(zip(("name", "mask"), contents, strict=True)), **labels})


def _in_crop(alignment: Alignment, points: Float[np.ndarray, "68 2"]) -> list[list[float]]:
    return np.asarray(alignment.crop_points(np.asarray(points, np.float64)), np.float32).tolist()


def _mask(head: Reconstruction, camera: PosedCamera, pixels: UInt8[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "s s"]:
    """Visible skin in the crop of a fitted head, 255 for certainty."""
    model = head.model
    mesh = Mesh.of(
        torch.as_tensor(head.vertices)[None],
        Topology.of(model.faces, model.n_vertices),
        torch.as_tensor(head.albedo)[None],
    )
    with torch.no_grad():
        prior = RenderedRegions.of_render(
            model, render(mesh, camera, head.lighting, (pixels.shape[0], pixels.shape[1]))
        )
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255.0
    mask = segment(head.segmenter, image, prior)[0, 0]
    return np.asarray((255.0 * mask.clamp(0.0, 1.0)).round().to(torch.uint8).numpy())


def _name_of(segmenter: object) -> str:
    """Where a segmenter's code is: a class or a function."""
    named = segmenter if hasattr(segmenter, "__qualname__") else type(segmenter)
    return f"{named.__module__}.{named.__qualname__}"


def _write_set(out: Path, size: int, lines: list[dict[str, Any]], record: _Record) -> None:
    """Labels, then the index; without an index there is no set, so that it never goes with labels of other photos."""
    no_landmarks = np.full((68, 2), np.nan).tolist()
    tensors = {
        name: torch.tensor([line[name] or no_landmarks for line in lines])
        for name in (*TENSOR_OF_SOURCE.values(), "intrinsics")
    }
    index = {"size": size, "names": [line["name"] for line in lines], "masks": [line["mask"] for line in lines]}
    contents = {LABELS: save(tensors), INDEX: json.dumps(index).encode()}
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
    wanted = {name: (68, 2) for name in TENSOR_OF_SOURCE.values()} | {"intrinsics": (3, 3)}
    unknown = TENSOR_OF_SOURCE["detector"]
    try:
        for name, shape in wanted.items():
            if content[name] is None and name == unknown:
                continue
            if np.asarray(content[name], np.float32).shape != shape:
                return False
    except (KeyError, ValueError, TypeError):
        return False
    stem = content["sha256"][:24]
    return content.get("name") == f"{stem}.png" and content.get("mask") == f"{stem}.mask.png"


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
