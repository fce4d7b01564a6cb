"""Checkpoints: written whole, read back equal, refused when they do not fit."""

import dataclasses
import errno
import json
import os
import resource

import pytest
import torch
from network_parts import BLOCKS, TINY, intrinsics, pictures, tiny_regressor
from safetensors import safe_open
from safetensors.torch import save_file

from bfm.model import MorphableModel
from bfm.sketch import ModelSketch
from recon.inference.regress import default_checkpoint
from recon.io.files import OutputError
from recon.networks.checkpoint import FILE, load_regressor, save_checkpoint
from recon.networks.head import FaceBlocks
from recon.networks.lifting_checkpoint import load_lifting_network
from recon.networks.network_file import CheckpointError
from recon.networks.regressor import Regressor, RegressorConfig


@pytest.fixture
def written(tmp_path):
    network = tiny_regressor().eval()
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, network, {"val/nme": 4.5}, {"command": "python train.py fit"})
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


def test_options_of_the_backbone_are_beside_the_config_in_the_header(written, tmp_path):
    """As in files of earlier versions; a network that was loaded is saved with its own."""
    network, path = written
    again, header = load_regressor(path)
    assert "backbone_options" not in json.loads(header["config"])
    assert json.loads(header["backbone_options"]) == json.loads(json.dumps(TINY["swin_tiny"]))
    assert again.config == network.config
    save_checkpoint(tmp_path / "again.safetensors", again, {"val/nme": 4.5}, {"command": "python train.py fit"})
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_equal_weights_give_equal_files(tmp_path):
    regressor, metrics = tiny_regressor(), {"val/nme": 1.0, "val/pose_deg": 2.0}
    extra = {name: name for name in ("command", "commit", "step", "ünicode")}
    files = [save_checkpoint(tmp_path / f"{k}.safetensors", regressor, metrics, extra).read_bytes() for k in range(5)]
    assert len(set(files)) == 1
    assert FILE.read(tmp_path / "0.safetensors")[1]["ünicode"] == "ünicode"


def test_half_precision_on_disk_is_half_the_size_and_nearly_the_same(written):
    network, path = written
    size = path.stat().st_size
    save_checkpoint(path, network, {}, dtype=torch.float16)
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
        FILE.read(tmp_path / "none.safetensors")[1]
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(written[1].read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        FILE.read(broken)[1]
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors", {"format": "another-9"})
    with pytest.raises(CheckpointError, match="format 'another-9', expected 'facerecon-regressor-1'"):
        FILE.read(tmp_path / "other.safetensors")[1]


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path):
    path = save_checkpoint(tmp_path / "net.safetensors", tiny_regressor(), {})
    other = json.dumps({**TINY["swin_tiny"], "embed_dim": 16})
    with pytest.raises(CheckpointError, match="do not fit its own config"):
        load_regressor(forged(path, tmp_path, backbone_options=other))


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


def forged(path, tmp_path, **changes):
    """The same weights under another header; None leaves an entry out."""
    with safe_open(path, framework="pt") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    header = {name: value for name, value in (header | changes).items() if value is not None}
    save_file(tensors, tmp_path / "forged.safetensors", header)
    return tmp_path / "forged.safetensors"


def blocks_with(**changes):
    return {"blocks": json.dumps(BLOCKS.to_dict() | changes)}


def config_with(**changes):
    return {"config": json.dumps({"backbone": "swin_tiny", "size": 64} | changes)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": None}, "lacks 'blocks'"),
        ({"config": "{"}, "makes no sense"),
        ({"config": "[" * 100_000}, "makes no sense"),
        ({"config": "[]"}, "the config of a regressor has the keys"),
        (config_with(checkpoint_path="/etc/passwd"), "the config of a regressor has the keys"),
        (config_with(backbone="resnet9000"), "unknown backbone 'resnet9000'"),
        (config_with(backbone=["swin_tiny"]), "unknown backbone"),
        (config_with(size="64"), "size must be a whole number from 1 to 2048"),
        (config_with(size=1 << 40), "size must be a whole number from 1 to 2048"),
        (config_with(size=65), "multiple of 32"),
        (config_with(fam=1), "fam, fam_norm, white_light and checkpointing true or false"),
        (config_with(pool="sum"), "pool must be 'mean' or 'grid'"),
        (config_with(pool="grid", pool_channels=8000), "do not fit its own config"),
        (blocks_with(n_identity=999_999), "do not fit its own config: head.linear"),
        (blocks_with(n_identity=-1), "n_identity must be a whole number"),
        (blocks_with(n_identity=True), "n_identity must be a whole number"),
        (blocks_with(pivot_mm=[1, 2]), "pivot_mm must be three numbers"),
        (blocks_with(pivot_mm=[1, 2, float("nan")]), "pivot_mm lies beyond every head"),
        (blocks_with(expression_prior="wide"), "expression_prior"),
        (blocks_with(more=1), "the face model is described by"),
        (blocks_with(sketch=[1]), "a sketch of a face model must have the parts"),
        ({"backbone_options": "[]"}, "backbone_options must be a mapping"),
        ({"backbone_options": '{"checkpoint_path": "/etc/passwd"}'}, "take no option 'checkpoint_path'"),
        ({"backbone_options": '{"pretrained_cfg": {"file": "x"}}'}, "take no option 'pretrained_cfg'"),
        ({"backbone_options": '{"embed_dim": 1000000000}'}, "'embed_dim' cannot be 1000000000"),
        ({"backbone_options": '{"depths": [64, 64, 64, 64, 64, 64, 64, 64, 64]}'}, "'depths' cannot be"),
        ({"backbone_options": '{"drop_rate": "1"}'}, "'drop_rate' cannot be 1"),
        ({"backbone_options": '{"embed_dim": 7}'}, "do not fit its own config"),
    ],
)
def test_headers_that_make_no_sense_are_refused(written, tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_regressor(forged(written[1], tmp_path, **changes))
    assert "forged.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_headers_of_earlier_versions_are_read(tmp_path):
    """They had neither options of the backbone, nor a sketch of the face model, nor what was added to the config since."""
    torch.manual_seed(0)
    config = RegressorConfig(backbone="mobilenetv4_small_050", size=64, fam=False)
    path = save_checkpoint(tmp_path / "net.safetensors", Regressor(config, BLOCKS), {})
    blocks = {name: value for name, value in BLOCKS.to_dict().items() if name != "sketch"}
    few = {"backbone": config.backbone, "size": 64, "fam": False}
    old = forged(path, tmp_path, backbone_options=None, config=json.dumps(few), blocks=json.dumps(blocks))
    again, _ = load_regressor(old, BLOCKS)
    wanted, _ = load_regressor(path, BLOCKS)
    assert again.config == wanted.config
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in wanted.state_dict().items())


@pytest.mark.parametrize("name", ["last.ckpt", "renamed.safetensors"])
def test_a_checkpoint_of_a_training_is_refused_and_the_weights_to_take_are_named(tmp_path, name):
    place = tmp_path / "version_0" / "checkpoints" / name
    place.parent.mkdir(parents=True)
    torch.save({"state_dict": {}}, place)
    with pytest.raises(CheckpointError, match=r"last.ckpt with which a training goes on.*pass the best.safetensors of"):
        load_regressor(place)
    best = tmp_path / "version_0" / "best.safetensors"
    best.write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"pass {best}"):
        load_regressor(place)


def test_memory_is_taken_only_for_weights_that_are_there(written, tmp_path):
    """The largest network that a header can describe would have some hundred gigabytes."""
    options = {"embed_dim": 8000, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 2], "window_size": 2}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="do not fit its own config"):
        load_regressor(forged(written[1], tmp_path, backbone_options=json.dumps(options)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("place", [0, 7, 8, 9, 200, 1000])
def test_changed_bytes_are_refused_or_harmless(written, tmp_path, place):
    raw = bytearray(written[1].read_bytes())
    raw[place] ^= 0xFF
    path = tmp_path / "changed.safetensors"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"changed\.safetensors"):
        load_regressor(path)


def test_a_network_of_another_version_of_the_model_is_used_with_a_warning(tmp_path, make_tiny, caplog):
    sketches = [ModelSketch.of(make_tiny(seed)) for seed in (0, 1)]
    trained, other = (dataclasses.replace(BLOCKS, sketch=sketch) for sketch in sketches)
    torch.manual_seed(0)
    config = RegressorConfig(backbone="swin_tiny", size=64, backbone_options=TINY["swin_tiny"])
    path = save_checkpoint(tmp_path / "net.safetensors", Regressor(config, trained), {})
    load_regressor(path, trained)
    load_regressor(path, BLOCKS)  # a model whose bases are not known
    assert not caplog.records
    again, _ = load_regressor(path, other)
    assert again.blocks.sketch == trained.sketch
    (record,) = caplog.records
    assert "net.safetensors was trained for another version of the face model 'tiny'" in record.getMessage()
    assert "identity (by" in record.getMessage()


def test_the_network_that_comes_with_the_package_fits_the_model_in_use(open_model, caplog):
    blocks = FaceBlocks.of(open_model)
    network, _ = load_lifting_network(default_checkpoint("open"), blocks)
    assert network.face_blocks.sketch is not None and not caplog.records
    changed = dataclasses.replace(open_model.data(), identity_basis=open_model.data().identity_basis[..., ::-1].copy())
    load_lifting_network(default_checkpoint("open"), FaceBlocks.of(MorphableModel(changed)))
    assert "differs in identity (by" in caplog.text


@pytest.mark.parametrize("changes", [{"camera": "weak_perspective"}, {"white_light": True}])
def test_camera_and_light_travel_in_the_header(tmp_path, changes):
    network = tiny_regressor(**changes).eval()
    path = save_checkpoint(tmp_path / "net.safetensors", network, {})
    again, _ = load_regressor(path, BLOCKS)
    assert again.config == network.config
    with torch.no_grad():
        first, second = (net(pictures(), intrinsics()) for net in (network, again))
    assert second.camera_model == changes.get("camera", "perspective")
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


def test_headers_from_before_camera_and_light_were_options_are_read(written, tmp_path):
    network, path = written
    config = json.loads(FILE.read(path)[1]["config"])
    del config["camera"], config["white_light"]
    forged(path, tmp_path, config=json.dumps(config))
    again, _ = load_regressor(tmp_path / "forged.safetensors")
    assert (again.config.camera, again.config.white_light) == ("perspective", False)
    with torch.no_grad():
        first, second = (net(pictures(), intrinsics()) for net in (network, again))
    assert torch.equal(first.known_lighting, second.known_lighting)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "fisheye"}, "perspective or weak_perspective, got 'fisheye'"),
        ({"white_light": 1}, "white_light and checkpointing true or false"),
        ({"white_light": True}, "do not fit its own config"),
    ],
)
def test_headers_with_another_camera_or_light_are_refused(written, tmp_path, changes, message):
    _, path = written
    config = json.loads(FILE.read(path)[1]["config"]) | changes
    forged(path, tmp_path, config=json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_regressor(tmp_path / "forged.safetensors")
