"""Checkpoints that a run cannot go on from, or that earlier versions wrote: read, or refused with what to do."""

from pathlib import Path

import pytest
import torch
from test_mixed import SMALL, one_step, trainer  # noqa: F401
from test_module import pytestmark  # noqa: F401
from training_parts import SIZE, sampled, tiny_module

from recon.networks.network_file import CheckpointError
from recon.training.mixed import MixedBatch, MixedModule
from recon.training.saving import WholeCheckpoints

_ROOT = Path(__file__).parents[3]
_START = r"--model\.init_args\.run\.initial_weights"


@pytest.fixture(scope="module")
def runs(open_model, tmp_path_factory):
    """A checkpoint and weights of step 1, and a checkpoint of step 2."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = tiny_module(), tiny_module(MixedModule, critic=SMALL)
    one_step(first, sampled(open_model)).save_checkpoint(folder / "step1.ckpt")
    one_step(second, MixedBatch(sampled(open_model))).save_checkpoint(folder / "step2.ckpt")
    first.save_weights(folder / "best.safetensors", {})
    return folder


def changed(path, out, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, out)
    return WholeCheckpoints().load_checkpoint(out)


def test_a_run_goes_on_from_its_own_kind_alone(runs):
    step1, step2 = (WholeCheckpoints().load_checkpoint(runs / f"step{k}.ckpt") for k in (1, 2))
    tiny_module().on_load_checkpoint(step1)
    tiny_module(MixedModule, critic=SMALL).on_load_checkpoint(step2)
    with pytest.raises(CheckpointError, match=rf"MixedModule has averaged, critic, regressor.*{_START}"):
        tiny_module(MixedModule, critic=SMALL).on_load_checkpoint(step1)
    with pytest.raises(CheckpointError, match=rf"holds averaged, critic, regressor, and RegressorModule.*{_START}"):
        tiny_module().on_load_checkpoint(step2)


def test_weights_alone_are_no_run_to_go_on_with(runs, tmp_path):
    for name in ("best.safetensors", "renamed.ckpt"):
        place = tmp_path / name
        place.write_bytes((runs / "best.safetensors").read_bytes())
        with pytest.raises(CheckpointError, match=rf"{name} holds the weights of a network alone.*{_START} \S*{name}"):
            WholeCheckpoints().load_checkpoint(place)


@pytest.mark.parametrize("key", ["face_blocks", "batches_seen"])
def test_a_checkpoint_without_what_a_run_needs_says_so(runs, tmp_path, key):
    content = changed(runs / "step1.ckpt", tmp_path / "a.ckpt", lambda values: values.pop(key))
    with pytest.raises(CheckpointError, match=f"lacks {key}: an early version.*start a new one"):
        tiny_module().on_load_checkpoint(content)


def test_a_discriminator_of_other_vertices_starts_anew(runs, tmp_path, open_model):
    """Earlier versions took vertices evenly by index, and before that millimetres."""
    module = tiny_module(MixedModule, critic=SMALL)
    inside = torch.nonzero(open_model.region("face")).squeeze(1)
    rows = inside[torch.linspace(0, len(inside) - 1, SMALL.points).long()]

    def by_index(values):
        values["state_dict"]["critic.mean_dm"] = open_model.mean_shape[rows] / 100.0

    def in_mm(values):
        values["state_dict"]["critic.mean_mm"] = 100.0 * values["state_dict"].pop("critic.mean_dm")

    for change in (by_index, in_mm):
        content = changed(runs / "step2.ckpt", tmp_path / "old.ckpt", change)
        with pytest.raises(CheckpointError, match=rf"other vertices of the face.*start step 2 anew.*{_START}"):
            module.on_load_checkpoint(content)
    other = tiny_module(MixedModule, critic=type(SMALL)(points=SMALL.points + 1, width=SMALL.width))
    with pytest.raises(CheckpointError, match="critic.points"):
        other.on_load_checkpoint(WholeCheckpoints().load_checkpoint(runs / "step2.ckpt"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["old class paths", "weights"])
def test_the_config_alone_says_what_is_built(runs, tmp_path, monkeypatch, kind):
    """Hyper-parameters in a checkpoint, with whatever class paths, change nothing; weights are refused when they are read."""
    import train as command

    place = tmp_path / "a.ckpt"
    if kind == "weights":
        place.write_bytes((runs / "best.safetensors").read_bytes())
    else:
        former = {"_class_path": "recon.training.photos.PhotoModule", "average": 0.1, "_instantiator": "x"}
        changed(runs / "step1.ckpt", place, lambda values: values.update(hyper_parameters=former))
    built = {}
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setattr(command.TrainingCli, "_run_subcommand", lambda self, name: built.update(cli=self))
    command.main(
        ["fit", "--config", str(_ROOT / "configs" / "smoke.yaml"), f"--trainer.default_root_dir={tmp_path}",
         "--trainer.logger=false", "--ckpt_path", str(place)]
    )  # fmt: skip
    assert built["cli"].model.average == 0.99 and built["cli"].model.regressor.config.size == SIZE
    assert built["cli"].config.fit.ckpt_path == str(place)
