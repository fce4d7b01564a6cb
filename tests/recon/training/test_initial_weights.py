"""Step 2 goes on from step 1."""

import dataclasses

import pytest
import torch
from test_mixed import SMALL, one_step
from test_module import pytestmark  # noqa: F401
from training_parts import DIRECT, SIZE, sampled, tiny_module

from recon.networks.network_file import CheckpointError
from recon.training.mixed import MixedBatch, MixedModule
from recon.training.module import RegressorModule
from recon.training.run_config import RunConfig


@pytest.fixture(scope="module")
def step1(open_model, tmp_path_factory):
    """A network of a few steps, as weights and as a whole training."""
    folder = tmp_path_factory.mktemp("step1")
    module = tiny_module(seed=1)
    run = one_step(module, *(sampled(open_model, first=k) for k in (0, 2, 4)))
    run.save_checkpoint(folder / "last.ckpt")
    module.save_weights(folder / "best.safetensors", {"nme": 1.0})
    return folder, module


def pictures():
    torch.manual_seed(3)
    return torch.rand(2, 3, SIZE, SIZE), torch.tensor([[[90.0, 0, 32], [0, 90.0, 32], [0, 0, 1]]]).expand(2, -1, -1)


@pytest.mark.parametrize("name", ["best.safetensors", "last.ckpt"])
def test_step_2_starts_with_the_network_of_step_1(step1, open_model, name):
    folder, first = step1
    second = tiny_module(MixedModule, seed=2, critic=SMALL, run=RunConfig(initial_weights=str(folder / name)))
    for network in (second.regressor, second.averaged):
        wanted, found = first.averaged.state_dict(), network.state_dict()
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    answers = [m(*pictures()).tensors() for m in (first.eval(), second.eval())]
    assert all(torch.equal(answers[0][key], answers[1][key]) for key in answers[0])
    second.train()
    before = {key: tensor.clone() for key, tensor in second.regressor.state_dict().items()}
    one_step(second, MixedBatch(sampled(open_model)))
    assert any(not torch.equal(before[key], tensor) for key, tensor in second.regressor.state_dict().items())
    assert second.batches_seen == 1, "its steps are counted anew"


def test_other_networks_and_files_are_refused_before_training(step1, tmp_path):
    folder, _ = step1
    weights = str(folder / "best.safetensors")
    with pytest.raises(CheckpointError, match=r"no initial weights at .*none\.ckpt"):
        tiny_module(run=RunConfig(initial_weights=str(tmp_path / "none.ckpt")))
    (tmp_path / "weights.pth").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"\.safetensors or \.ckpt file, got"):
        tiny_module(run=RunConfig(initial_weights=str(tmp_path / "weights.pth")))
    with pytest.raises(CheckpointError, match=r"is built otherwise than the config's"):
        tiny_module(backbone="resnet18", run=RunConfig(initial_weights=weights))
    for damaged in ("damaged.ckpt", "damaged.safetensors"):
        (tmp_path / damaged).write_bytes(b"x" * 100)
        with pytest.raises(CheckpointError, match=rf"{damaged} (cannot be read: it )?is damaged"):
            tiny_module(run=RunConfig(initial_weights=str(tmp_path / damaged)))
    for name in ("best.safetensors", "last.ckpt"):
        with pytest.raises(CheckpointError, match=r"for the camera 'perspective', the config asks for 'weak_persp"):
            tiny_module(camera="weak_perspective", run=RunConfig(initial_weights=str(folder / name)))


@pytest.mark.parametrize(("name", "content"), [("a.ckpt", "best.safetensors"), ("a.pth", "last.ckpt")])
def test_what_a_file_holds_counts_and_not_its_name(step1, tmp_path, name, content):
    folder, first = step1
    (tmp_path / name).write_bytes((folder / content).read_bytes())
    second = tiny_module(seed=2, run=RunConfig(initial_weights=str(tmp_path / name)))
    wanted, found = first.averaged.state_dict(), second.regressor.state_dict()
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)


def test_weights_of_another_face_model_are_refused(step1, tmp_path):
    _, module = step1
    other = tmp_path / "other.safetensors"
    blocks = dataclasses.replace(module.regressor.blocks, model="mine")
    module_of_mine = tiny_module()
    module_of_mine.averaged.blocks = blocks
    module_of_mine.save_weights(other, {})
    with pytest.raises(CheckpointError, match="trained for the face model 'mine'"):
        RegressorModule(module.regressor.config, weights=DIRECT, run=RunConfig(initial_weights=str(other)))
