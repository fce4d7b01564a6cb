"""Face models, networks, settings and reports for the fuzzing benchmark."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
from _fuzz_files import Kind, dome, whole_files


def _make_model_obj(folder: Path) -> list[Path]:
    vertices, faces = dome()
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + [f"vt {x / 200 + 0.5} {y / 200 + 0.5}" for x, y, _ in vertices]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces]
    return whole_files(folder, "generic_neutral_mesh.obj", ["\n".join(lines).encode()])


def _read_model_obj(path: Path) -> object:
    from bfm.loaders.obj import read_obj

    return read_obj(path)


def _make_model_mat(folder: Path) -> list[Path]:
    from scipy.io import savemat

    vertices, faces = dome()
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
    return whole_files(folder, "BFM_model_front.mat", [buffer.getvalue()])


def _read_model_mat(path: Path) -> object:
    from bfm.loaders import bfm2009

    return bfm2009.load(path)


# Face models and networks


def _make_npz(folder: Path) -> list[Path]:
    vertices, faces = dome()
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
    return whole_files(folder, "gnm_head.npz", contents)


def _read_npz(path: Path) -> object:
    from bfm.loaders import gnm

    return gnm.load(path)


def _make_h5(folder: Path) -> list[Path]:
    import h5py

    vertices, faces = dome()
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
    return whole_files(folder, "model2019_fullHead.h5", [buffer.getvalue()])


def _read_h5(path: Path) -> object:
    from bfm.loaders import bfm_h5

    return bfm_h5.load_2019(path)


def _make_pickle(folder: Path) -> list[Path]:
    import scipy.sparse

    vertices, faces = dome()
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
    return whole_files(folder, "model.pkl", [pickle.dumps(content, protocol) for protocol in (0, 2, 4, 5)])


def _read_pickle(path: Path) -> object:
    from bfm.safe_pickle import load_pickle

    return load_pickle(path)


def _make_object_npy(folder: Path) -> list[Path]:
    buffer = io.BytesIO()
    np.save(buffer, np.array({"full_lmk_faces_idx": np.arange(68), "w": np.ones((68, 3))}, dtype=object))
    return whole_files(folder, "landmark_embedding.npy", [buffer.getvalue()])


def _read_object_npy(path: Path) -> object:
    from bfm.safe_pickle import load_object_npy

    return load_object_npy(path)


def _make_model(folder: Path) -> list[Path]:
    from bfm.data import ModelData
    from bfm.storage import write_model

    vertices, faces = dome()
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
    return whole_files(folder, "last.ckpt", [buffer.getvalue()])


def _read_ckpt(path: Path) -> object:
    from recon.training.saving import WholeCheckpoints

    return WholeCheckpoints().load_checkpoint(path)


# Settings, reports, data sets


def _make_settings(folder: Path) -> list[Path]:
    import dataclasses as d

    import yaml

    from recon.synthesis.config import SynthesisConfig

    whole = yaml.safe_dump(json.loads(json.dumps(d.asdict(SynthesisConfig()))))
    return whole_files(folder, "settings.yaml", [whole.encode()])


def _read_settings(path: Path) -> object:
    from recon.synthesis.config import SynthesisConfig

    return SynthesisConfig.read(path)


def _make_plan(folder: Path) -> list[Path]:
    rows = [{"name": f"row {k}", "table": 4, "config": "a.yaml", "overrides": {"x.y": k}} for k in range(3)]
    text = json.dumps({"train": ["python", "train.py"], "rows": rows}, indent=1)
    return whole_files(folder, "plan.yaml", [text.encode()], {"a.yaml": b"x: 1\n"})


def _read_plan(path: Path) -> object:
    from recon.evaluation.ablation import read_plan

    return read_plan(path)


def _make_report(folder: Path) -> list[Path]:
    from recon.evaluation.reports.provenance import provenance
    from recon.evaluation.reports.result import Evaluation, Metric, Sample, Skipped, Table

    evaluation = Evaluation(
        protocol="alignment",
        title="NME",
        provenance=provenance("fit", "w", "d", ("none", 0), 1.0),
        metrics=(Metric("nme", "NME", "%"),),
        samples=(Sample("a", "g", {"nme": 3.0}, {"yaw": "0-30"}), Sample("b", "g", {"nme": float("nan")})),
        failures=(Skipped("c", "no face"),),
        tables=(Table("t", ("x", "y"), (("a", 1.0),)),),
    )
    return whole_files(folder, "report.json", [evaluation.to_json().encode()])


def _read_report(path: Path) -> object:
    from recon.evaluation.reports.result import read_evaluation

    return read_evaluation(path)


def _make_answers(folder: Path) -> list[Path]:
    from recon.evaluation.study.questionnaire import QUESTIONS, SCHEMA

    tokens = {f"{k:012x}": {"method": "ab"[k % 2], "item": f"{k}"} for k in range(4)}
    key = json.dumps({"schema": SCHEMA, "study": "s", "tokens": tokens}).encode()
    answers = {token: dict.fromkeys(QUESTIONS, 3) for token in tokens}
    text = json.dumps({"schema": SCHEMA, "study": "s", "answers": answers}, indent=1)
    return whole_files(folder, "answers.json", [text.encode()], {"study.key.json": key})


def _read_answers(path: Path) -> object:
    from recon.evaluation.study.questionnaire import opinion_scores

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


KINDS = (
    Kind("model.obj", _make_model_obj, _read_model_obj, text=True),
    Kind("model.mat", _make_model_mat, _read_model_mat),
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
)
