"""Landmark networks as ONNX files: the same numbers, and nothing believed that the file does not keep."""

from __future__ import annotations

import json
import re

import onnx
import pytest
import torch
from network_parts import pictures, tiny_landmark_network, tiny_regressor

from recon.cli import main
from recon.inference.landmarks import LandmarkPredictor
from recon.networks.landmark_checkpoint import save_landmark_network
from recon.networks.landmark_onnx import (
    OUTPUTS,
    OnnxLandmarkNetwork,
    compare_landmarks_with_torch,
    export_landmark_onnx,
)
from recon.networks.onnx_export import OnnxRegressor, export_onnx
from recon.networks.onnx_file import OnnxError


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        (64, {}),
        (96, {"backbone": "resnet18", "point_sets": ("520",), "corrections": 3}),
        (128, {"backbone": "mobilenetv4_small", "width": 64}),
        (64, {"head": "direct", "point_sets": ("520",), "backbone": "mobilenetv2"}),
    ],
)
def test_the_points_are_those_of_torch(tmp_path, size, changes):
    network = tiny_landmark_network(size, **changes)
    exported = OnnxLandmarkNetwork(export_landmark_onnx(network, "f00d", tmp_path / "net.onnx"), threads=1)
    assert exported.config == network.config and exported.fingerprint == "f00d"
    assert isinstance(exported, LandmarkPredictor)
    for count in (1, 2):
        crops = pictures(count, size)
        with torch.no_grad():
            wanted = network(crops)
        found = exported(crops)
        if network.config.head == "local":
            assert (wanted.points[..., :2].abs() > 0.5).any(), "some are read beyond the border"
        for name in OUTPUTS:
            torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0.0, atol=1e-4, msg=name)
    difference, seconds = compare_landmarks_with_torch(network, tmp_path / "net.onnx", repeats=2)
    assert difference < 1e-4 and seconds > 0.0


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_landmark_onnx(
        tiny_landmark_network(point_sets=("520",)), "f00d", tmp_path_factory.mktemp("onnx") / "net.onnx"
    )


def test_crops_of_another_size_are_refused(exported):
    with pytest.raises(ValueError, match=re.escape("takes pictures (B, 3, 64, 64), got (1, 3, 96, 96)")):
        OnnxLandmarkNetwork(exported)(pictures(1, 96))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.pop("landmarks"), "makes no sense.*landmarks"),
        (lambda facts: facts.update(config="{}"), "makes no sense.*point_sets|identity"),
        (lambda facts: facts.update(config=json.dumps({"n_points": 3})), "makes no sense.*has the keys"),
        (lambda facts: facts.update(format="facerecon-regressor-onnx-1"), "is no landmark network of ours"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(exported, tmp_path, change, message):
    model = onnx.load(exported)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    change(facts)
    onnx.helper.set_model_props(model, facts)
    (tmp_path / "forged.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(OnnxError, match=rf"forged\.onnx.*({message})"):
        OnnxLandmarkNetwork(tmp_path / "forged.onnx")


def test_the_other_kind_of_network_is_named(exported, tmp_path):
    with pytest.raises(OnnxError, match="is no regressor of ours: format 'facerecon-landmarks-onnx-1'"):
        OnnxRegressor(exported)
    with pytest.raises(OnnxError, match="is no landmark network of ours: format 'facerecon-regressor-onnx-1'"):
        OnnxLandmarkNetwork(export_onnx(tiny_regressor("mobilenetv4_small_050").eval(), tmp_path / "net.onnx"))


def test_points_that_the_description_does_not_promise_are_refused(exported, tmp_path):
    model = onnx.load(exported)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    facts["config"] = json.dumps(json.loads(facts["config"]) | {"point_sets": ["478"]})
    onnx.helper.set_model_props(model, facts)
    (tmp_path / "forged.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(OnnxError, match=r"gives points that is not \(1, 478, 3\)"):
        OnnxLandmarkNetwork(tmp_path / "forged.onnx")(pictures(1))


def test_the_command_knows_the_kind_by_the_header(tmp_path, capsys):
    weights = save_landmark_network(
        tmp_path / "net.safetensors", tiny_landmark_network(point_sets=("520",)), "f00d", {}
    )
    out = tmp_path / "net.onnx"
    assert main(["export-onnx", str(out), "--checkpoint", str(weights)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"largest relative difference from torch \d\.\de-0[5-9]; \d+\.\d ms a crop", said), said
    assert OnnxLandmarkNetwork(out).fingerprint == "f00d"
    assert main(["export-onnx", str(out), "--checkpoint", str(weights)]) == 1, "it is there already"
    assert main(["export-onnx", str(tmp_path / "no.onnx"), "--checkpoint", str(tmp_path / "none.safetensors")]) == 2
    assert "no checkpoint at" in capsys.readouterr().err
