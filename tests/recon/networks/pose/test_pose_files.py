"""Pose networks on disk: strict, described, and the same in ONNX."""

from __future__ import annotations

import json
import re

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from recon.cli import main
from recon.networks.network_file import CheckpointError
from recon.networks.onnx_file import OnnxError
from recon.networks.pose.checkpoint import is_pose_network, load_pose_network, save_pose_network
from recon.networks.pose.onnx import OnnxPoseNetwork, compare_pose_with_torch, export_pose_onnx
from recon.networks.pose.prediction import PoseFunction


def test_a_network_comes_back_from_its_file(network, make_crops, tmp_path):
    place = save_pose_network(tmp_path / "net.safetensors", network, {"val/pose_deg": 2.5}, {"command": "python"})
    found, header = load_pose_network(place, network.config.kind)
    assert found.config == network.config and not found.training
    assert json.loads(header["metrics"]) == {"val/pose_deg": 2.5} and header["command"] == "python"
    assert torch.equal(found(make_crops()).rotation, network(make_crops()).rotation)
    assert is_pose_network(place)
    half = save_pose_network(tmp_path / "half.safetensors", network, {}, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * place.stat().st_size
    near = load_pose_network(half)[0](make_crops())
    torch.testing.assert_close(near.rotation, network(make_crops()).rotation, atol=2e-2, rtol=0.0)


def test_networks_of_another_kind_or_damaged_ones_are_refused(make_network, tmp_path):
    place = save_pose_network(tmp_path / "net.safetensors", make_network("sixd"), {})
    with pytest.raises(CheckpointError, match="pose network of the kind sixd, fsanet is asked for: name the kind sixd"):
        load_pose_network(place, "fsanet")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_pose_network(tmp_path / "none.safetensors")
    tensors = load_file(place)
    header = {"format": "facerecon-pose-1", "config": json.dumps({"kind": "sixd", "size": 7})}
    save_file(tensors, tmp_path / "bad.safetensors", metadata=header)
    with pytest.raises(CheckpointError, match=r"the header of .*bad\.safetensors makes no sense: size must be"):
        load_pose_network(tmp_path / "bad.safetensors")
    save_file(tensors, tmp_path / "bad.safetensors", metadata={"format": "facerecon-pose-1"})
    with pytest.raises(CheckpointError, match="lacks 'config'"):
        load_pose_network(tmp_path / "bad.safetensors")
    header["config"] = json.dumps({"kind": "fsanet"})
    save_file(tensors, tmp_path / "bad.safetensors", metadata=header)
    with pytest.raises(CheckpointError, match="do not fit its own config: .* has shape"):
        load_pose_network(tmp_path / "bad.safetensors")
    save_file(tensors, tmp_path / "bad.safetensors", metadata={"format": "facerecon-landmarks-1"})
    with pytest.raises(CheckpointError, match="is no pose network: format 'facerecon-landmarks-1'"):
        load_pose_network(tmp_path / "bad.safetensors")
    assert not is_pose_network(tmp_path / "bad.safetensors") and not is_pose_network(tmp_path / "none.safetensors")


def test_onnxruntime_gives_the_same(network, make_crops, tmp_path):
    exported = OnnxPoseNetwork(export_pose_onnx(network, tmp_path / "net.onnx"), threads=1)
    assert exported.config == network.config and isinstance(exported, PoseFunction)
    for count in (1, 3):
        with torch.no_grad():
            wanted = network(make_crops(count))
        found = exported(make_crops(count))
        torch.testing.assert_close(found.rotation, wanted.rotation, atol=1e-5, rtol=0.0)
        assert (found.precision_root is None) == (wanted.precision_root is None)
        if found.precision_root is not None:
            torch.testing.assert_close(found.precision_root, wanted.precision_root, atol=1e-3, rtol=1e-4)
    difference, seconds = compare_pose_with_torch(network, tmp_path / "net.onnx", repeats=2)
    assert difference < 1e-4 and seconds > 0.0
    with pytest.raises(ValueError, match=re.escape("takes pictures (B, 3, 64, 64), got (1, 3, 96, 96)")):
        exported(make_crops(1, 96))


def test_descriptions_that_make_no_sense_are_refused(make_network, tmp_path):
    place = export_pose_onnx(make_network("sixd"), tmp_path / "net.onnx")
    model = onnx.load(place)
    for facts, message in (
        ({"format": "facerecon-pose-onnx-1"}, "makes no sense"),
        ({"format": "facerecon-pose-onnx-1", "config": '{"kind": "x"}'}, "makes no sense.*the kind of a pose network"),
        ({"format": "facerecon-landmarks-onnx-1"}, "is no pose network of ours"),
    ):
        onnx.helper.set_model_props(model, facts)
        (tmp_path / "forged.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(OnnxError, match=rf"forged\.onnx.*{message}"):
            OnnxPoseNetwork(tmp_path / "forged.onnx")


def test_the_command_exports_pose_networks(make_network, tmp_path, capsys):
    place = save_pose_network(tmp_path / "net.safetensors", make_network("sixd"), {})
    assert main(["export-onnx", str(tmp_path / "net.onnx"), "--checkpoint", str(place)]) == 0
    assert "ms a crop on one thread" in capsys.readouterr().out
    assert OnnxPoseNetwork(tmp_path / "net.onnx").config.kind == "sixd"
