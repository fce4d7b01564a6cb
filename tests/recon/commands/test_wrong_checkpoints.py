"""Every command that takes a network says what to do with a training's checkpoint."""

import pytest
import torch
from PIL import Image

from recon.cli import main


@pytest.mark.parametrize("command", ["reconstruct", "evaluate", "export-onnx"])
def test_a_checkpoint_of_a_training_is_refused_with_the_way_out(tmp_path, capsys, command):
    place = tmp_path / "version_0" / "checkpoints" / "last.ckpt"
    place.parent.mkdir(parents=True)
    torch.save({"state_dict": {}}, place)
    best = tmp_path / "version_0" / "best.safetensors"
    best.write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    arguments = {
        "reconstruct": ["reconstruct", str(tmp_path / "photo.png"), "--method", "regress", "-o", str(tmp_path / "out")],
        "evaluate": ["evaluate", "synthetic", "--method", "regress", "-o", str(tmp_path / "out")],
        "export-onnx": ["export-onnx", str(tmp_path / "net.onnx")],
    }[command]
    assert main([*arguments, "--checkpoint", str(place)]) == 2
    said = capsys.readouterr().err
    assert "with which a training goes on" in said and f"pass {best}" in said and "Traceback" not in said
    assert not (tmp_path / "net.onnx").exists()
