"""Files with fewer bits answer alike."""

import numpy as np
import onnx
import pytest
import torch
from network_parts import tiny_landmark_network
from torch import nn

from recon.cli import main
from recon.networks.landmark_checkpoint import save_landmark_network
from recon.networks.landmark_onnx import OnnxLandmarkNetwork
from recon.networks.onnx_file import write_onnx
from recon.networks.onnx_precision import PRECISIONS, compare_files, in_precision


class _Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU())
        self.last = nn.Linear(24, 300)

    def forward(self, crops):
        return self.last(self.layers(crops).mean(dim=(2, 3)))


def _inputs(seed: int) -> dict[str, np.ndarray]:
    return {"crops": torch.rand(3, 3, 16, 20, generator=torch.Generator().manual_seed(seed)).numpy()}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("precision") / "full.onnx"
    crops = torch.rand(2, 3, 16, 20)
    return write_onnx(path, _Both(), {"crops": crops}, ["found"], {"format": "test", "size": "16"}).read_bytes()


@pytest.mark.parametrize(
    ("precision", "batches", "size", "most"), [("fp16", 0, 0.65, 2e-3), ("int8", 4, 0.9, 5e-2), ("int8", 0, 0.7, 5e-2)]
)
def test_answers_are_alike_and_files_smaller(content, precision, batches, size, most):
    reduced = in_precision(content, precision, [_inputs(k) for k in range(batches)])
    difference, seconds = compare_files(content, reduced, _inputs(9), repeats=2)
    assert 1e-7 < difference < most and seconds > 0.0
    assert len(reduced) < size * len(content)
    before, after = (onnx.load_from_string(file) for file in (content, reduced))
    assert {e.key: e.value for e in after.metadata_props} == {"format": "test", "size": "16"}
    onnx.checker.check_model(after)
    for end in ("input", "output"):
        names, kinds = zip(*[(v.name, v.type.tensor_type.elem_type) for v in getattr(after.graph, end)], strict=True)
        assert names == tuple(v.name for v in getattr(before.graph, end)) and set(kinds) == {onnx.TensorProto.FLOAT}


def test_weights_that_are_half_already_lose_nothing(tmp_path):
    torch.manual_seed(0)
    network = nn.Linear(40, 30).half().float()
    path = write_onnx(tmp_path / "net.onnx", network, {"x": torch.rand(2, 40)}, ["y"], {"format": "test"})
    full = path.read_bytes()
    reduced = in_precision(full, "fp16")
    assert len(reduced) < 0.8 * len(full)
    assert compare_files(full, reduced, {"x": np.ones((2, 40), np.float32)}, 1)[0] == 0.0


def test_full_precision_is_the_file_itself(content):
    assert in_precision(content, "fp32") == content


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_command_writes_files_that_open(tmp_path, capsys, precision, monkeypatch):
    monkeypatch.setattr("recon.commands.export_onnx._N_CALIBRATION", 8)
    torch.manual_seed(0)
    weights = save_landmark_network(
        tmp_path / "net.safetensors", tiny_landmark_network(point_sets=("520",)), "f00d", {}
    )
    out = tmp_path / "net.onnx"
    assert main(["export-onnx", str(out), "--checkpoint", str(weights), "--precision", precision]) == 0
    assert ("on drawn faces" in capsys.readouterr().out) == (precision != "fp32")
    assert OnnxLandmarkNetwork(out).fingerprint == "f00d"
    assert not list(tmp_path.glob("*.part*"))
