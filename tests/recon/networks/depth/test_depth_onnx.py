"""Our depth network as an ONNX file: the same answers, and files that are none."""

import dataclasses
import json

import onnx
import pytest
import torch

from recon.cli import main
from recon.networks.depth.checkpoint import save_depth_network
from recon.networks.depth.crop_depth import CropDepthConfig, CropDepthNetwork
from recon.networks.depth.map_depth import MapDepthConfig, MapDepthNetwork
from recon.networks.depth.onnx import OUTPUTS, OnnxDepthNetwork, export_depth_onnx
from recon.networks.onnx_file import OnnxError

_CONFIG = CropDepthConfig("mobilenetv4_small_050", 64, 16)


def _network() -> CropDepthNetwork:
    """With weights by which every output tells of the crop, and sigmas that reach their bounds."""
    torch.manual_seed(0)
    network = CropDepthNetwork(_CONFIG).eval()
    with torch.no_grad():
        network.maps.weight.normal_(std=2.0)
        network.scale[-1].weight.normal_(std=0.5)
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = _network()
    return network, export_depth_onnx(network, tmp_path_factory.mktemp("onnx") / "depth.onnx")


@pytest.mark.parametrize("count", [1, 3])
def test_onnx_gives_what_torch_gives_for_any_number_of_crops(exported, count):
    network, path = exported
    crops = torch.rand(count, 3, 64, 64)
    found = OnnxDepthNetwork(path, threads=1)(crops)
    with torch.no_grad():
        wanted = network(crops)
    assert float(wanted.relief.std()) > 0.01 and float(wanted.log_sigma.std()) > 0.01
    for name in OUTPUTS:
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-4, atol=1e-4)


def test_crops_of_another_size_and_other_files_are_refused(exported, tmp_path):
    _, path = exported
    network = OnnxDepthNetwork(path)
    assert network.config == _CONFIG
    with pytest.raises(ValueError, match=r"takes pictures \(B, 3, 64, 64\), got \(1, 3, 64, 96\)"):
        network(torch.rand(1, 3, 64, 96))
    model = onnx.load(path)
    for changes, message in (
        ({"format": "facerecon-pose-onnx-1"}, "is no depth network of ours"),
        ({"config": "["}, "makes no sense"),
        ({"config": json.dumps({**dataclasses.asdict(_CONFIG), "size": 70})}, "size must be a multiple of 32 px"),
    ):
        onnx.helper.set_model_props(model, {"format": "facerecon-depth-onnx-1", "config": "{}", **changes})
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(OnnxError, match=message):
            OnnxDepthNetwork(tmp_path / "other.onnx")


def test_the_command_exports_ours_and_refuses_published_ones(tmp_path, capsys):
    ours = save_depth_network(tmp_path / "ours.safetensors", _network(), {})
    assert main(["export-onnx", str(tmp_path / "depth.onnx"), "--checkpoint", str(ours)]) == 0
    said = capsys.readouterr().out
    assert float(said.partition("difference from torch ")[2].split(";")[0]) < 1e-4
    published = save_depth_network(tmp_path / "m.safetensors", MapDepthNetwork(MapDepthConfig("pini", (32, 32))), {})
    assert main(["export-onnx", str(tmp_path / "m.onnx"), "--checkpoint", str(published)]) == 2
    assert "the published network pini; only our own" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()
