"""Checkpoints: written whole, read back equal, refused when they do not fit."""

import dataclasses
import errno
import json
import os

import pytest
import torch
from network_parts import BLOCKS, TINY, intrinsics, pictures, tiny_regressor
from safetensors.torch import save_file

from recon.io.files import OutputError
from recon.networks.checkpoint import CheckpointError, load_regressor, read_header, save_checkpoint


@pytest.fixture
def written(tmp_path):
    network = tiny_regressor().eval()
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, network, {"val/nme": 4.5}, {"command": "python train.py fit"}, TINY["swin_tiny"])
    return network, path


def test_weights_come_back_equal(written):
    network, path = written
    again, header = load_regressor(path, BLOCKS)
    assert json.loads(header["metrics"]) == {"val/nme": 4.5}
    assert header["command"] == "python train.py fit"
    with torch.no_grad():
        first, second = (net(pictures(), intrinsics()).tensors() for net in (network, again))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert not again.training


def test_equal_weights_give_equal_files(tmp_path):
    regressor, metrics = tiny_regressor(), {"val/nme": 1.0, "val/pose_deg": 2.0}
    extra = {name: name for name in ("command", "commit", "step", "ünicode")}
    files = [save_checkpoint(tmp_path / f"{k}.safetensors", regressor, metrics, extra).read_bytes() for k in range(5)]
    assert len(set(files)) == 1
    assert read_header(tmp_path / "0.safetensors")["ünicode"] == "ünicode"


def test_half_precision_on_disk_is_half_the_size_and_nearly_the_same(written):
    network, path = written
    size = path.stat().st_size
    save_checkpoint(path, network, {}, None, TINY["swin_tiny"], dtype=torch.float16)
    assert path.stat().st_size < 0.65 * size
    again, _ = load_regressor(path)
    with torch.no_grad():
        first, second = (net(pictures(), intrinsics()).identity for net in (network, again))
    torch.testing.assert_close(first, second, atol=5e-3, rtol=5e-2)


def test_another_face_model_is_refused_with_both_named(written):
    _, path = written
    other = dataclasses.replace(BLOCKS, n_identity=80, model="bfm2009")
    with pytest.raises(CheckpointError, match="trained for the face model 'tiny' with 11 vertices and 3/5/4") as error:
        load_regressor(path, other)
    assert "the model in use is 'bfm2009' with 11 vertices and 80/5/4" in str(error.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path, written):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_header(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(written[1].read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        read_header(broken)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors", {"format": "another-9"})
    with pytest.raises(CheckpointError, match="format 'another-9', expected 'facerecon-regressor-1'"):
        read_header(tmp_path / "other.safetensors")


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path):
    network = tiny_regressor()
    path = save_checkpoint(tmp_path / "net.safetensors", network, {}, None, {**TINY["swin_tiny"], "embed_dim": 16})
    with pytest.raises(CheckpointError, match="do not fit its own config"):
        load_regressor(path)


def test_a_full_disk_leaves_the_old_checkpoint(written, monkeypatch):
    network, path = written
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(path, network, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name], "no temporary file remains"
