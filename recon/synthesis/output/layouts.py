"""How samples lie on disk: the published layout ``c3i``, tar shards for WebDataset, or a plain folder."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from recon.camera import depth_to_ray_length
from recon.datasets.c3i_world import MODES, SCENES, world_angles_deg
from recon.io.write_exr import encode_exr
from recon.synthesis.render_scene import Scene
from recon.synthesis.sample import FaceBatch
from recon.synthesis.scene.expressions import BASIC, EXPRESSIONS, basic_rows

Layout = Literal["c3i", "webdataset", "folder"]
LAYOUTS: tuple[Layout, ...] = ("c3i", "webdataset", "folder")
FAR_M = 1e10
"""What Blender writes into the depth of the background."""
_JPEG_QUALITY = 95
_NPZ_LEVEL = 1


@dataclasses.dataclass(frozen=True)
class SampleFiles:
    """Files of one sample by path below the data set's folder."""

    files: dict[str, bytes]


def encode(layout: Layout, batch: FaceBatch, scene: Scene | None, indices: list[int]) -> Iterator[SampleFiles]:
    """The files of each sample of a batch; the layout ``c3i`` also asks for the scene."""
    for row, index in enumerate(indices):
        if layout == "c3i":
            yield SampleFiles(_c3i(batch, scene, row, index))
        else:
            yield SampleFiles(_picture_and_labels(batch, row, index))


def tar_bytes(samples: list[SampleFiles]) -> bytes:
    """A tar archive of samples; equal samples give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            for name, data in sample.files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _picture_and_labels(batch: FaceBatch, row: int, index: int) -> dict[str, bytes]:
    """Picture as JPEG, a short JSON for people, and all labels as NumPy arrays."""
    arrays = {}
    for name, tensor in batch.tensors().items():
        if name == "image":
            continue
        array = tensor[row].cpu().numpy()
        arrays[name] = array.astype(np.uint8) if name == "segmentation" else array
    yaw, pitch, roll = np.degrees(batch.angles_rad[row].cpu().numpy()).round(4).tolist()
    about = {
        "index": index,
        "identity_number": int(batch.identity_number[row]),
        "yaw_deg": yaw,
        "pitch_deg": pitch,
        "roll_deg": roll,
    }
    stem = f"{index:09d}"
    return {
        f"{stem}.jpg": _jpeg(batch, row),
        f"{stem}.json": json.dumps(about).encode(),
        f"{stem}.npz": npz_bytes(arrays),
    }


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """What ``numpy.savez_compressed`` writes, in two thirds of its time: lightly compressed. Equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_NPZ_LEVEL) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            # entries without a date, so that the bytes do not depend on the day
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED, _NPZ_LEVEL)
    return buffer.getvalue()


def _c3i(batch: FaceBatch, scene: Scene | None, row: int, index: int) -> dict[str, bytes]:
    """Picture, depth as ray length in metres, and the text of four lines (Basak et al. 2023, Data in Brief)."""
    capture = None if scene is None else scene.capture
    if scene is None or capture is None:
        raise ValueError("the c3i layout needs scenes of the c3i capture modes: set capture to 'c3i'")
    sex = "male" if batch.attributes[row, 0] > 0.5 else "female"
    expression = list(EXPRESSIONS)[int(basic_rows(scene.rng)[row])]
    assert expression in BASIC
    mode = MODES[int(capture.mode[row])]
    person = int(batch.identity_number[row]) + 1
    place = SCENES[int(scene.rng.integer("c3i scene", len(SCENES))[row])]
    folder = f"{sex}/{person:04d}/Complex/{place}/{expression}/{mode}"
    depth_mm = batch.scene_depth_mm[row, 0].double().cpu()
    height, width = depth_mm.shape
    intrinsics = batch.intrinsics[row].double().cpu()
    down, across = np.mgrid[0:height, 0:width] + 0.5
    x = depth_mm.new_tensor(across).sub(intrinsics[0, 2]) / intrinsics[0, 0] * depth_mm
    y = depth_mm.new_tensor(down).sub(intrinsics[1, 2]) / intrinsics[1, 1] * depth_mm
    ray_m = depth_to_ray_length(torch.stack((x, y, depth_mm), dim=-1)) / 1000.0
    shown = np.where(depth_mm.numpy() > 0.0, ray_m.numpy(), FAR_M).astype(np.float32)
    return {
        f"{folder}/rgb_{index:04d}.jpg": _jpeg(batch, row),
        f"{folder}/depthExr_{index:04d}.exr": encode_exr(dict.fromkeys("RGB", shown)),
        f"{folder}/data_{index:04d}.txt": _text(scene, row).encode(),
    }


def _text(scene: Scene, row: int) -> str:
    capture = scene.capture
    assert capture is not None
    places = [tuple(round(float(v), 4) for v in point[row]) for point in (capture.camera_m, capture.head_m)]
    angles = [world_angles_deg(rotation)[row].tolist() for rotation in (capture.camera_rotation, capture.head_rotation)]
    lines = [f"Camera Location: {places[0]}", f"Head Point Location: {places[1]}"]
    for who, (yaw, pitch, roll) in zip(("Camera", "Head"), angles, strict=True):
        lines.append(f"{who} Rotation: Yaw {yaw:.2f} Pitch {pitch:.2f} Roll {roll:.2f}")
    return "\n".join(lines) + "\n"


def _jpeg(batch: FaceBatch, row: int) -> bytes:
    planes = (batch.image[row].clamp(0.0, 1.0) * 255.0).round().byte()
    array = planes.permute(1, 2, 0).contiguous().cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def shard_name(block: int) -> str:
    """File name of a tar shard."""
    return f"faces-{block:06d}.tar"


def block_path(folder: Path, block: int) -> Path:
    """Where a finished block is noted."""
    return folder / ".blocks" / f"{block:06d}.done"
