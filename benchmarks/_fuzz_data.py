"""Pictures, scans, labels and data sets for the fuzzing benchmark."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _fuzz_files import Kind, pixels, whole_files

# Pictures


def _picture(form: str, *variants: dict[str, Any]) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        from PIL import Image

        contents = []
        for variant in variants or ({},):
            options = dict(variant)
            mode = options.pop("mode", "RGB")
            if mode == "I;16":
                image = Image.fromarray(pixels((19, 23), "uint16"))
            else:
                image = Image.fromarray(pixels((19, 23, 3))).convert(mode)
            if "exif" in options:
                exif = Image.Exif()
                exif[0x0112], exif[0x010F] = 6, "maker"
                exif.get_ifd(0x8769).update({0xA405: 35, 0x920A: 50.0, 0xA20E: 900.0, 0xA210: 2})
                options["exif"] = exif
            if "append_images" in options:
                options["append_images"] = [image.rotate(90), image]
            buffer = io.BytesIO()
            image.save(buffer, form, **options)
            contents.append(buffer.getvalue())
        return whole_files(folder, f"photo.{form.lower()}", contents)

    return make


def _read_picture(path: Path) -> object:
    from recon.io.image import read_image

    return read_image(path)


def _make_exr(folder: Path) -> list[Path]:
    from recon.io.write_exr import encode_exr

    planes = {name: np.random.default_rng(1).uniform(0, 2, (20, 40)).astype(np.float32) for name in "RGB"}
    return whole_files(
        folder, "light.exr", [encode_exr(planes), encode_exr({name: 0 * p + 1 for name, p in planes.items()})]
    )


def _make_hdr(folder: Path) -> list[Path]:
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n"
    rgbe = pixels((16, 32, 4))
    rgbe[..., 3] = 126 + rgbe[..., 3] % 5
    plain = head + rgbe.tobytes()
    coded = bytearray(head)
    for line in np.moveaxis(rgbe, 2, 1):
        coded += b"\x02\x02\x00\x20"
        for channel in line:
            coded += b"\xa0" + bytes([channel[0]]) if channel[0] % 2 else b"\x20" + channel.tobytes()
    return whole_files(folder, "light.hdr", [plain, bytes(coded)])


def _read_environment(path: Path) -> object:
    from recon.synthesis.scene.environments import read_environment

    return read_environment(path)


# Meshes and scans

_LANDMARKS = ((-45, 35), (-15, 35), (15, 35), (45, 35), (0, -10), (-25, -45), (25, -45))
"""x and y of the seven points, mm."""


@functools.cache
def _scan_mesh() -> Any:
    """A rounded face-like sheet of some hundred triangles, mm."""
    import trimesh

    x, y = np.meshgrid(np.linspace(-80, 80, 17), np.linspace(-110, 110, 21))
    z = 60 - (x**2 + 0.6 * y**2) / 120
    corner = np.arange(x.size).reshape(x.shape)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return trimesh.Trimesh(np.stack([x, y, z], -1).reshape(-1, 3), faces, process=False)


@functools.cache
def _marks() -> bytes:
    """Seven points that lie on the sheet."""
    vertices = _scan_mesh().vertices
    near = [vertices[np.linalg.norm(vertices[:, :2] - point, axis=1).argmin()] for point in _LANDMARKS]
    return "".join("{} {} {}\n".format(*point) for point in near).encode()


def _scan(form: str, *options: dict[str, Any]) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        contents = []
        for option in options or ({},):
            data = _scan_mesh().export(file_type=form, **option)
            contents.append(data.encode() if isinstance(data, str) else data)
        return whole_files(folder, f"scan.{form.removesuffix('_ascii')}", contents, {"landmarks.txt": _marks()})

    return make


def _read_scan(path: Path) -> object:
    from recon.evaluation.scans.scan import read_scan

    return read_scan(path, path.with_name("landmarks.txt"))


def _make_marks(folder: Path) -> list[Path]:
    return whole_files(folder, "landmarks.txt", [_marks()])


def _read_marks(path: Path) -> object:
    from recon.evaluation.scans.scan import read_scan_landmarks

    return read_scan_landmarks(path)


# Labels


def _make_labels(folder: Path) -> list[Path]:
    from scipy.io import savemat

    rng = np.random.default_rng(2)
    content = {
        "pt3d_68": rng.uniform(50, 400, (3, 68)),
        "Pose_Para": rng.uniform(-0.5, 0.5, (1, 7)).astype(np.float32),
        "pt2d": rng.uniform(0, 400, (2, 21)),
        "Illum_Para": rng.uniform(size=(1, 10)),
        "note": "some text",
        "cell": np.array([1, "a"], dtype=object),
    }
    contents = []
    for compressed in (False, True):
        buffer = io.BytesIO()
        savemat(buffer, content, do_compression=compressed)
        contents.append(buffer.getvalue())
    buffer = io.BytesIO()
    savemat(buffer, {name: content[name] for name in ("pt3d_68", "Pose_Para")}, format="4")
    return whole_files(folder, "image.mat", [*contents, buffer.getvalue()], {"image.jpg": b"not read"})


def _read_labels(path: Path) -> object:
    from recon.evaluation.aflw2000 import read_label

    return read_label(path.with_suffix(".jpg"))


def _make_depth(folder: Path) -> list[Path]:
    contents = []
    for array in (np.full((12, 17), 800.0), pixels((12, 17), "uint16"), np.full((12, 17), 8e2, ">f4")):
        buffer = io.BytesIO()
        np.save(buffer, array)
        contents.append(buffer.getvalue())
    return whole_files(folder, "a_depth.npy", contents)


def _read_depth(path: Path) -> object:
    from recon.evaluation.depth_folder import read_depth_map

    return read_depth_map(path)


def _make_depth_png(folder: Path) -> list[Path]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels((12, 17), "uint16")).save(buffer, "PNG")
    return whole_files(folder, "a_depth.png", [buffer.getvalue()])


def _make_biwi(folder: Path) -> list[Path]:
    import struct

    runs = b"".join(struct.pack("<ii", 3, 5) + np.arange(5, dtype="<i2").tobytes() for _ in range(12))
    return whole_files(folder, "frame_depth.bin", [struct.pack("<ii", 8, 12) + runs])


def _read_biwi(path: Path) -> object:
    from recon.datasets.biwi import read_depth

    return read_depth(path.name, path.read_bytes())


def _sample_files() -> dict[str, bytes]:
    from PIL import Image

    from recon.synthesis.output.layouts import npz_bytes

    rng = np.random.default_rng(7)
    buffer = io.BytesIO()
    Image.fromarray(pixels((16, 24, 3))).save(buffer, "JPEG")
    plane = np.ones((1, 16, 24), np.float32)
    arrays = {
        "segmentation": np.zeros((16, 24), np.uint8),
        "landmarks68_px": rng.uniform(0, 16, (68, 2)).astype(np.float32),
        "landmarks478_px": rng.uniform(0, 16, (478, 2)).astype(np.float32),
        "landmarks68_cam": rng.normal(size=(68, 3)).astype(np.float32),
        "rotation": np.eye(3, dtype=np.float32),
        "translation_mm": np.zeros(3, np.float32),
        "intrinsics": np.eye(3, dtype=np.float32),
        "scene_depth_mm": 800 * plane,
        "mask": plane > 0,
        "normals": np.zeros((3, 16, 24), np.float32),
        "identity_number": np.array(3),
    }
    return {"jpg": buffer.getvalue(), "npz": npz_bytes(arrays)}


def _make_shard(folder: Path) -> list[Path]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for k in range(3):
            for suffix, data in _sample_files().items():
                entry = tarfile.TarInfo(f"{k:09d}.{suffix}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return whole_files(folder, "faces-000000.tar", [buffer.getvalue()])


def _read_shard(path: Path) -> object:
    from recon.datasets import ShardReader

    return [record.name for record in ShardReader(path.parent)]


def _make_sample(folder: Path) -> list[Path]:
    files = _sample_files()
    return whole_files(folder, "000000000.npz", [files["npz"]], {"000000000.jpg": files["jpg"]})


def _read_sample(path: Path) -> object:
    from recon.datasets import FolderReader

    return FolderReader(path.parent)[0]


KINDS = (
    Kind("jpeg", _picture("JPEG", {"exif": 1}, {"mode": "CMYK"}, {"mode": "L", "progressive": True}), _read_picture),
    Kind("png", _picture("PNG", {"exif": 1}, {"mode": "I;16"}, {"mode": "RGBA"}, {"mode": "P"}), _read_picture),
    Kind(
        "tiff",
        _picture("TIFF", {}, {"compression": "tiff_lzw"}, {"mode": "I;16"}, {"compression": "tiff_deflate"}),
        _read_picture,
    ),
    Kind(
        "webp", _picture("WEBP", {"exif": 1}, {"lossless": True}, {"save_all": True, "append_images": 1}), _read_picture
    ),
    Kind("gif", _picture("GIF", {}, {"save_all": True, "append_images": 1}), _read_picture),
    Kind("bmp", _picture("BMP", {}, {"mode": "P"}, {"mode": "1"}), _read_picture),
    Kind("exr", _make_exr, _read_environment),
    Kind("hdr", _make_hdr, _read_environment),
    Kind("obj", _scan("obj"), _read_scan, text=True),
    Kind("ply", _scan("ply", {"encoding": "binary"}, {"encoding": "ascii"}), _read_scan),
    Kind("stl", _scan("stl"), _read_scan),
    Kind("landmarks", _make_marks, _read_marks, text=True),
    Kind("mat", _make_labels, _read_labels),
    Kind("npy", _make_depth, _read_depth),
    Kind("depth.png", _make_depth_png, _read_depth),
    Kind("biwi", _make_biwi, _read_biwi),
    Kind("tar", _make_shard, _read_shard),
    Kind("sample", _make_sample, _read_sample),
)
