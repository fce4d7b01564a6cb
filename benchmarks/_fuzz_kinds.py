"""Kinds of files that are read, each with small whole files made on the spot and the reader that users reach."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: for tables.
        make: writes whole files, each in a folder of its own with the files that belong to it, below the given one.
        read: opens one; what it gives back is not looked at.
        text: whether the file is text.
    """

    name: str
    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    text: bool = False


def _file(folder: Path, name: str, data: bytes, beside: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True)
    for other, content in (beside or {}).items():
        (folder / other).write_bytes(content)
    path = folder / name
    path.write_bytes(data)
    return path


def _files(folder: Path, name: str, contents: list[bytes], beside: dict[str, bytes] | None = None) -> list[Path]:
    return [_file(folder / str(k), name, data, beside) for k, data in enumerate(contents)]


def _pixels(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


@functools.cache
def _dome() -> tuple[np.ndarray, np.ndarray]:
    """A bulge of 42 vertices that looks along +z, mm, and its triangles."""
    x, y = np.meshgrid(np.linspace(-70, 70, 6), np.linspace(-90, 90, 7))
    vertices = np.stack([x, y, 60 - (x**2 + y**2) / 100], axis=-1).reshape(-1, 3)
    corner = np.arange(42).reshape(7, 6)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return vertices, faces


# Pictures


def _picture(form: str, *variants: dict[str, Any]) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        from PIL import Image

        contents = []
        for variant in variants or ({},):
            options = dict(variant)
            mode = options.pop("mode", "RGB")
            if mode == "I;16":
                image = Image.fromarray(_pixels((19, 23), "uint16"))
            else:
                image = Image.fromarray(_pixels((19, 23, 3))).convert(mode)
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
        return _files(folder, f"photo.{form.lower()}", contents)

    return make


def _read_picture(path: Path) -> object:
    from recon.faces.image import read_image

    return read_image(path)


def _make_exr(folder: Path) -> list[Path]:
    from recon.export.exr import encode_exr

    planes = {name: np.random.default_rng(1).uniform(0, 2, (20, 40)).astype(np.float32) for name in "RGB"}
    return _files(
        folder, "light.exr", [encode_exr(planes), encode_exr({name: 0 * p + 1 for name, p in planes.items()})]
    )


def _make_hdr(folder: Path) -> list[Path]:
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n"
    rgbe = _pixels((16, 32, 4))
    rgbe[..., 3] = 126 + rgbe[..., 3] % 5
    plain = head + rgbe.tobytes()
    coded = bytearray(head)
    for line in np.moveaxis(rgbe, 2, 1):
        coded += b"\x02\x02\x00\x20"
        for channel in line:
            coded += b"\xa0" + bytes([channel[0]]) if channel[0] % 2 else b"\x20" + channel.tobytes()
    return _files(folder, "light.hdr", [plain, bytes(coded)])


def _read_environment(path: Path) -> object:
    from recon.synthesis.environments import read_environment

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
        return _files(folder, f"scan.{form.removesuffix('_ascii')}", contents, {"landmarks.txt": _marks()})

    return make


def _read_scan(path: Path) -> object:
    from recon.evaluation.scan import read_scan

    return read_scan(path, path.with_name("landmarks.txt"))


def _make_marks(folder: Path) -> list[Path]:
    return _files(folder, "landmarks.txt", [_marks()])


def _read_marks(path: Path) -> object:
    from recon.evaluation.scan import read_landmarks

    return read_landmarks(path)


def _make_model_obj(folder: Path) -> list[Path]:
    vertices, faces = _dome()
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + [f"vt {x / 200 + 0.5} {y / 200 + 0.5}" for x, y, _ in vertices]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces]
    return _files(folder, "generic_neutral_mesh.obj", ["\n".join(lines).encode()])


def _read_model_obj(path: Path) -> object:
    from bfm.loaders.obj import read_obj

    return read_obj(path)


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
    return _files(folder, "image.mat", [*contents, buffer.getvalue()], {"image.jpg": b"not read"})


def _read_labels(path: Path) -> object:
    from recon.evaluation.aflw2000 import read_label

    return read_label(path.with_suffix(".jpg"))


def _make_model_mat(folder: Path) -> list[Path]:
    from scipy.io import savemat

    vertices, faces = _dome()
    rng = np.random.default_rng(3)
    buffer = io.BytesIO()
    content = {
        "meanshape": vertices.reshape(1, -1) / 100,
        "meantex": np.tile([200.0, 150.0, 100.0], 42).reshape(1, -1),
        "idBase": rng.normal(size=(126, 80)),
        "exBase": rng.normal(size=(126, 64)),
        "texBase": rng.normal(size=(126, 80)),
        "tri": faces + 1,
        "keypoints": np.arange(68).reshape(1, -1) * 5 % 42 + 1,
        "skinmask": np.ones((1, 42), np.uint8),
        "frontmask2_idx": np.array([[2], [5], [42]]),
    }
    savemat(buffer, content)
    return _files(folder, "BFM_model_front.mat", [buffer.getvalue()])


def _read_model_mat(path: Path) -> object:
    from bfm.loaders import bfm2009

    return bfm2009.load(path)


def _make_depth(folder: Path) -> list[Path]:
    contents = []
    for array in (np.full((12, 17), 800.0), _pixels((12, 17), "uint16"), np.full((12, 17), 8e2, ">f4")):
        buffer = io.BytesIO()
        np.save(buffer, array)
        contents.append(buffer.getvalue())
    return _files(folder, "a_depth.npy", contents)


def _read_depth(path: Path) -> object:
    from recon.evaluation.depth_folder import read_depth

    return read_depth(path)


def _make_depth_png(folder: Path) -> list[Path]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(_pixels((12, 17), "uint16")).save(buffer, "PNG")
    return _files(folder, "a_depth.png", [buffer.getvalue()])


def _make_biwi(folder: Path) -> list[Path]:
    import struct

    runs = b"".join(struct.pack("<ii", 3, 5) + np.arange(5, dtype="<i2").tobytes() for _ in range(12))
    return _files(folder, "frame_depth.bin", [struct.pack("<ii", 8, 12) + runs])


def _read_biwi(path: Path) -> object:
    from recon.datasets.biwi import read_depth

    return read_depth(path.name, path.read_bytes())


# Face models and networks


def _make_npz(folder: Path) -> list[Path]:
    vertices, faces = _dome()
    rng = np.random.default_rng(4)
    content = {
        "template_vertex_positions": (vertices / 1000).astype(np.float32),
        "vertex_identity_basis": rng.normal(size=(5, 42, 3)).astype(np.float32),
        "expression_basis": rng.normal(size=(3, 42, 3)).astype(np.float32),
        "triangles": faces.astype(np.int32),
        "triangle_uvs": (vertices[faces][..., :2] / 200 + 0.5).astype(np.float32),
        "expression_names": np.array(["left_eye_000", "lower_face_000", "tongue_000"]),
        "vertex_groups": np.stack([np.linspace(0, 1, 42), np.linspace(1, 0, 42)]).astype(np.float32),
        "vertex_group_names": np.array(["skin", "ears"]),
    }
    contents = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **content)
        contents.append(buffer.getvalue())
    return _files(folder, "gnm_head.npz", contents)


def _read_npz(path: Path) -> object:
    from bfm.loaders import gnm

    return gnm.load(path)


def _make_h5(folder: Path) -> list[Path]:
    import h5py

    vertices, faces = _dome()
    rng = np.random.default_rng(5)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        means = {"shape": vertices.reshape(-1), "expression": np.full(126, 0.5), "color": np.tile([0.8, 0.6, 0.4], 42)}
        for (block, mean), components in zip(means.items(), (5, 3, 4), strict=True):
            file[f"{block}/model/mean"] = mean.astype(np.float32)
            basis = np.linalg.qr(rng.normal(size=(126, components)))[0]
            file[f"{block}/model/pcaBasis"] = basis.astype(np.float32)
            file[f"{block}/model/pcaVariance"] = np.full(components, 100.0, np.float32)
        file["shape/representer/cells"] = faces.T.astype(np.uint32)
        points = [{"id": "center.nose.tip", "coordinates": vertices[23].tolist()}]
        file["metadata/landmarks/json"] = np.frombuffer(json.dumps(points).encode(), np.int8)
    return _files(folder, "model2019_fullHead.h5", [buffer.getvalue()])


def _read_h5(path: Path) -> object:
    from bfm.loaders import bfm_h5

    return bfm_h5.load_2019(path)


def _make_pickle(folder: Path) -> list[Path]:
    import scipy.sparse

    vertices, faces = _dome()
    content = {
        "v_template": vertices,
        "f": faces.astype(np.uint32),
        "names": ["a", "b"],
        "texts": np.array(["left", "right"]),
        "sparse": scipy.sparse.csc_matrix(np.eye(4)),
        "weight": np.float64(2.5),
        "objects": np.array([1, "a", None], dtype=object),
        "big": np.arange(6, dtype=">i4").reshape(2, 3, order="F"),
    }
    return _files(folder, "model.pkl", [pickle.dumps(content, protocol) for protocol in (0, 2, 4, 5)])


def _read_pickle(path: Path) -> object:
    from bfm.safe_pickle import load_pickle

    return load_pickle(path)


def _make_object_npy(folder: Path) -> list[Path]:
    buffer = io.BytesIO()
    np.save(buffer, np.array({"full_lmk_faces_idx": np.arange(68), "w": np.ones((68, 3))}, dtype=object))
    return _files(folder, "landmark_embedding.npy", [buffer.getvalue()])


def _read_object_npy(path: Path) -> object:
    from bfm.safe_pickle import load_object_npy

    return load_object_npy(path)


def _make_model(folder: Path) -> list[Path]:
    from bfm.data import ModelData
    from bfm.storage import write_model

    vertices, faces = _dome()
    rng = np.random.default_rng(6)
    data = ModelData(
        name="dome",
        licence="any use",
        source="a benchmark",
        mean_shape=vertices.astype(np.float32),
        identity_basis=rng.normal(size=(42, 3, 4)).astype(np.float32),
        expression_basis=rng.normal(size=(42, 3, 2)).astype(np.float32),
        faces=faces,
        mean_albedo=rng.uniform(0.4, 0.6, (42, 3)).astype(np.float32),
        albedo_basis=rng.normal(0, 0.02, (42, 3, 3)).astype(np.float32),
        regions={"front": np.arange(42) < 7},
    )
    place = folder / "0"
    place.mkdir(parents=True)
    write_model(data, place / "dome.safetensors")
    return [place / "dome.safetensors"]


def _read_model(path: Path) -> object:
    from bfm.storage import read_model

    return read_model(path)


def _make_network(folder: Path) -> list[Path]:
    from recon.networks.checkpoint import save_checkpoint
    from recon.networks.head import FaceBlocks
    from recon.networks.regressor import Regressor, RegressorConfig

    config = RegressorConfig(backbone="mobilenetv4_small_050", size=64, fam=False)
    network = Regressor(config, FaceBlocks("dome", 42, 4, 2, 3, "unit", (0.0, 0.0, 0.0)))
    place = folder / "0"
    place.mkdir(parents=True)
    save_checkpoint(place / "network.safetensors", network, {"nme": 1.0})
    return [place / "network.safetensors"]


def _read_network(path: Path) -> object:
    from recon.networks.checkpoint import load_regressor

    return load_regressor(path)


def _make_ckpt(folder: Path) -> list[Path]:
    import torch

    buffer = io.BytesIO()
    torch.save(
        {
            "state_dict": {"w": torch.ones(3, 4)},
            "global_step": 3,
            "pytorch-lightning_version": "2.6",
            "loops": {"a": [1, 2]},
            "name": "x",
        },
        buffer,
    )
    return _files(folder, "last.ckpt", [buffer.getvalue()])


def _read_ckpt(path: Path) -> object:
    from recon.training.saving import WholeCheckpoints

    return WholeCheckpoints().load_checkpoint(path)


# Settings, reports, data sets


def _make_settings(folder: Path) -> list[Path]:
    import dataclasses as d

    import yaml

    from recon.synthesis.config import SynthesisConfig

    whole = yaml.safe_dump(json.loads(json.dumps(d.asdict(SynthesisConfig()))))
    return _files(folder, "settings.yaml", [whole.encode()])


def _read_settings(path: Path) -> object:
    from recon.synthesis.config import SynthesisConfig

    return SynthesisConfig.read(path)


def _make_plan(folder: Path) -> list[Path]:
    rows = [{"name": f"row {k}", "table": 4, "config": "a.yaml", "overrides": {"x.y": k}} for k in range(3)]
    text = json.dumps({"train": ["python", "train.py"], "rows": rows}, indent=1)
    return _files(folder, "plan.yaml", [text.encode()], {"a.yaml": b"x: 1\n"})


def _read_plan(path: Path) -> object:
    from recon.evaluation.ablation import read_plan

    return read_plan(path)


def _make_report(folder: Path) -> list[Path]:
    from recon.evaluation.provenance import provenance
    from recon.evaluation.result import Evaluation, Left, Metric, Sample, Table

    evaluation = Evaluation(
        protocol="alignment",
        title="NME",
        provenance=provenance("fit", "w", "d", ("none", 0), 1.0),
        metrics=(Metric("nme", "NME", "%"),),
        samples=(Sample("a", "g", {"nme": 3.0}, {"yaw": "0-30"}), Sample("b", "g", {"nme": float("nan")})),
        failures=(Left("c", "no face"),),
        tables=(Table("t", ("x", "y"), (("a", 1.0),)),),
    )
    return _files(folder, "report.json", [evaluation.to_json().encode()])


def _read_report(path: Path) -> object:
    from recon.evaluation.result import read_evaluation

    return read_evaluation(path)


def _make_answers(folder: Path) -> list[Path]:
    from recon.evaluation.study import QUESTIONS, SCHEMA

    tokens = {f"{k:012x}": {"method": "ab"[k % 2], "item": f"{k}"} for k in range(4)}
    key = json.dumps({"schema": SCHEMA, "study": "s", "tokens": tokens}).encode()
    answers = {token: dict.fromkeys(QUESTIONS, 3) for token in tokens}
    text = json.dumps({"schema": SCHEMA, "study": "s", "answers": answers}, indent=1)
    return _files(folder, "answers.json", [text.encode()], {"study.key.json": key})


def _read_answers(path: Path) -> object:
    from recon.evaluation.study import opinion_scores

    return opinion_scores(path.with_name("study.key.json"), [path])


def _make_record(folder: Path) -> list[Path]:
    from recon.io.fingerprint import Fingerprint
    from recon.io.output_folder import OutputFolder

    output = OutputFolder(folder)
    claim = output.claim(["0"], {"source": "a.jpg", "sha256": "00"}, wait=False)
    assert claim is not None
    with claim:
        claim.write(
            0, Fingerprint({"quality": "fast"}), lambda place: (place / "head.glb").write_bytes(b"x"), {"faces": 1}
        )
    output.close()
    return [folder / "0" / ".facerecon.json"]


def _read_record(path: Path) -> object:
    from recon.io.output_folder import read_record

    return read_record(path.parent)


def _sample_files() -> dict[str, bytes]:
    from PIL import Image

    from recon.synthesis.layouts import npz_bytes

    rng = np.random.default_rng(7)
    buffer = io.BytesIO()
    Image.fromarray(_pixels((16, 24, 3))).save(buffer, "JPEG")
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
    return _files(folder, "faces-000000.tar", [buffer.getvalue()])


def _read_shard(path: Path) -> object:
    from recon.datasets import ShardReader

    return [record.name for record in ShardReader(path.parent)]


def _make_sample(folder: Path) -> list[Path]:
    files = _sample_files()
    return _files(folder, "000000000.npz", [files["npz"]], {"000000000.jpg": files["jpg"]})


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
    Kind("model.obj", _make_model_obj, _read_model_obj, text=True),
    Kind("landmarks", _make_marks, _read_marks, text=True),
    Kind("mat", _make_labels, _read_labels),
    Kind("model.mat", _make_model_mat, _read_model_mat),
    Kind("npy", _make_depth, _read_depth),
    Kind("depth.png", _make_depth_png, _read_depth),
    Kind("biwi", _make_biwi, _read_biwi),
    Kind("npz", _make_npz, _read_npz),
    Kind("h5", _make_h5, _read_h5),
    Kind("pickle", _make_pickle, _read_pickle),
    Kind("object.npy", _make_object_npy, _read_object_npy),
    Kind("safetensors", _make_model, _read_model),
    Kind("network", _make_network, _read_network),
    Kind("ckpt", _make_ckpt, _read_ckpt),
    Kind("yaml", _make_settings, _read_settings, text=True),
    Kind("plan", _make_plan, _read_plan, text=True),
    Kind("report", _make_report, _read_report, text=True),
    Kind("answers", _make_answers, _read_answers, text=True),
    Kind("record", _make_record, _read_record, text=True),
    Kind("tar", _make_shard, _read_shard),
    Kind("sample", _make_sample, _read_sample),
)
