"""Files that people take away hold the head as the sliders show it."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from recon.app.downloads import EVERYTHING, choices, download, mesh_formats
from recon.app.edits import Edits
from recon.io.png import encode_png
from recon.reconstruction import Reconstruction
from recon.rotation import matrix_to_euler
from recon.visualize.overview import overview

MOVED = Edits({"jawOpen": 1.0, "mouthSmileLeft": 0.0}, {0: 2.0}, (25.0, -10.0, 5.0))


def glb_json(data: bytes) -> dict:
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])


def test_edits_change_what_they_name_and_nothing_else(head: Reconstruction) -> None:
    found = head.identity.clone()
    moved = MOVED.of(head)
    assert torch.equal(head.identity, found)
    names = list(head.model.expression_names)
    assert (
        moved.expression[0, names.index("jawOpen")] == 1.0 and moved.expression[0, names.index("mouthSmileLeft")] == 0.0
    )
    assert moved.identity[0, 0] == 2.0 and torch.equal(moved.identity[0, 1:], head.identity[0, 1:])
    pitch, yaw, roll = torch.rad2deg(matrix_to_euler(moved.camera.rotation[0])).tolist()
    assert (yaw, pitch, roll) == pytest.approx((25.0, -10.0, 5.0), abs=1e-3)
    assert torch.equal(moved.camera.translation_mm, head.camera.translation_mm)
    assert head.expression[0, names.index("jawOpen")] == pytest.approx(0.4) and not Edits() and MOVED


def test_a_glb_has_the_weights_of_the_sliders(head: Reconstruction) -> None:
    file = download(head, "glb", "../../a:b", MOVED, texture_size=64)
    assert file.name == "_.._a_b-head.glb"
    mesh = glb_json(file.data)["meshes"][0]
    weights = dict(zip(mesh["extras"]["targetNames"], mesh["weights"], strict=True))
    assert weights["jawOpen"] == 1.0 and weights["mouthSmileLeft"] == 0.0 and len(weights) == 52
    loaded = trimesh.load(io.BytesIO(file.data), file_type="glb", process=False).to_geometry()
    neutral = MOVED.of(head).model.shape(MOVED.of(head).identity)[0].numpy() / 1000.0
    np.testing.assert_allclose(loaded.bounds, [neutral.min(axis=0), neutral.max(axis=0)], atol=1e-5)


@pytest.mark.parametrize("kind", ["ply", "stl"])
def test_other_meshes_are_posed(head: Reconstruction, kind: str) -> None:
    loaded = trimesh.load(io.BytesIO(download(head, kind, "a", MOVED).data), file_type=kind, process=False)
    shown = MOVED.of(head).vertices
    np.testing.assert_allclose(loaded.bounds, [shown.min(axis=0), shown.max(axis=0)], atol=1e-3)


def test_everything_is_what_the_command_writes(head: Reconstruction, tmp_path: Path) -> None:
    head.save(tmp_path, mesh_formats(), texture_size=64)
    (tmp_path / "overview.png").write_bytes(encode_png(overview(head)))
    file = download(head, EVERYTHING, "a", MOVED, texture_size=64)
    archive = zipfile.ZipFile(io.BytesIO(file.data))
    assert sorted(archive.namelist()) == sorted(path.name for path in tmp_path.iterdir())
    assert all(archive.read(path.name) == path.read_bytes() for path in tmp_path.iterdir())
    for choice in ("depth.png", "depth.npy", "normals.png", "face.json", "overview.png"):
        assert download(head, choice, "a", MOVED).data == archive.read(choice)


def test_nothing_stays_on_the_disk(head: Reconstruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert zipfile.is_zipfile(io.BytesIO(download(head, "obj", "a", Edits(), texture_size=64).data))
    assert not list(tmp_path.iterdir())
    assert "obj" in choices()
    with pytest.raises(ValueError, match="unknown download 'exe'"):
        download(head, "exe", "a", Edits())
