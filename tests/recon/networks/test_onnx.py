"""The ONNX path gives what torch gives."""

import pytest
import torch
from network_parts import BLOCKS, intrinsics, pictures, tiny_regressor

from recon.networks.onnx_export import OnnxError, OnnxRegressor, compare_with_torch, export_onnx


@pytest.mark.parametrize(
    ("name", "changes"),
    [("swin_tiny", {}), ("mobilenetv4_small_050", {"fam": False, "pool": "grid", "pool_channels": 8}), ("vit_b16", {})],
)
def test_outputs_equal_torch_for_any_batch(tmp_path, name, changes):
    network = tiny_regressor(name, **changes).eval()
    path = export_onnx(network, tmp_path / "net.onnx")
    again = OnnxRegressor(path, threads=1)
    assert again.blocks == BLOCKS and again.size == network.config.size
    for count in (1, 3):
        with torch.no_grad():
            wanted = network(pictures(count), intrinsics(count)).tensors()
        found = again(pictures(count), intrinsics(count)).tensors()
        for key, tensor in wanted.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-4, atol=1e-4, msg=key)
    gap, seconds = compare_with_torch(network, path, repeats=2)
    assert gap < 1e-4 and seconds > 0.0


def test_bad_files_are_named(tmp_path):
    with pytest.raises(OnnxError, match="no ONNX file at"):
        OnnxRegressor(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(OnnxError, match="damaged or no ONNX file"):
        OnnxRegressor(tmp_path / "broken.onnx")
