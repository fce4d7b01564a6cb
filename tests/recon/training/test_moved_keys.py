"""Keys that have moved are read at their old place, with a warning that names both; see ``recon/training/moved_keys.py``."""

import contextlib
import importlib
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from recon.training.moved_keys import (
    MOVED_KEYS,
    MovedKeyError,
    arguments_with_new_keys,
    classes_in,
    with_new_keys,
)
from train import main

_ROOT = Path(__file__).parents[3]
_CONFIGS = _ROOT / "configs"
_SYNTHETIC = "recon.training.synthetic_data.SyntheticData"
_LANDMARKS = "recon.training.landmark_data.LandmarkData"


@pytest.fixture(autouse=True)
def no_other_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])


def _printed(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["fit", *map(str, arguments), "--print_config"])
    said = capsys.readouterr()
    assert stop.value.code == 0, said.err
    return yaml.safe_load(said.out)


@contextlib.contextmanager
def _warnings():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def _warned(caught):
    return [str(warning.message) for warning in caught if warning.category is DeprecationWarning]


def _told(old, *new):
    return f"the key {old} is now {' and '.join(new)}; the next version reads it there only"


@pytest.mark.parametrize(("class_path", "moves"), MOVED_KEYS.items(), ids=lambda value: str(value)[-20:])
def test_old_keys_are_gone_and_new_ones_are_there(class_path, moves):
    module, _, name = class_path.rpartition(".")
    settings = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert not set(moves) & set(settings)
    for new in moves.values():
        assert {key.partition(".")[0] for key in new} <= set(settings)


def test_at_most_eight_parameters():
    for class_path in MOVED_KEYS:
        module, _, name = class_path.rpartition(".")
        assert len(inspect.signature(getattr(importlib.import_module(module), name)).parameters) <= 8, name


_OLD_DATA = f"""
class_path: {_SYNTHETIC}
init_args:
  synthesis: {{pose: uniform}}
  validation: {{pose: uniform, yaw_deg: 10}}
  batch_size: 12
  replay: 4
  window: 96
  n_validation: 7
  seed: 3
"""
_NEW_DATA = f"""
class_path: {_SYNTHETIC}
init_args:
  synthesis: {{pose: uniform}}
  plan: {{batch_size: 12, replay: 4, window: 96, seed: 3}}
  held_out: {{synthesis: {{pose: uniform, yaw_deg: 10}}, count: 7}}
"""
_OLD_MODEL = """
class_path: recon.training.mixed.MixedModule
init_args:
  regressor: {backbone: resnet18, size: 64}
  critic: {points: 64}
  clip: 0.5
  average: 0.9
  picture_every: 2
  compile: true
  initial_weights: null
  backbone_options: {layers: [1, 1, 1, 1]}
"""
_NEW_MODEL = """
class_path: recon.training.mixed.MixedModule
init_args:
  regressor: {backbone: resnet18, size: 64, backbone_options: {layers: [1, 1, 1, 1]}}
  critic: {points: 64, regressor_clip: 0.5}
  run: {average: 0.9, picture_every: 2, compile: true, initial_weights: null}
"""


def _write(path, data, model):
    path.write_text(yaml.safe_dump({"data": yaml.safe_load(data), "model": yaml.safe_load(model)}))
    return path


def test_an_old_config_is_what_its_new_form_is(tmp_path, capsys):
    old, new = (
        _write(tmp_path / "old.yaml", _OLD_DATA, _OLD_MODEL),
        _write(tmp_path / "new.yaml", _NEW_DATA, _NEW_MODEL),
    )
    wanted = _printed(capsys, "--config", new)
    with _warnings() as caught:
        assert _printed(capsys, "--config", old) == wanted
    told = _warned(caught)
    assert len(told) == 12 and all(str(warning.filename) == str(old) for warning in caught)
    assert _told("data.init_args.batch_size", "data.init_args.plan.batch_size") in told
    assert _told("data.init_args.validation", "data.init_args.held_out.synthesis") in told
    assert _told("model.init_args.clip", "model.init_args.critic.regressor_clip") in told


@pytest.mark.parametrize("old_is", ["base", "child"])
def test_files_that_build_on_each_other_are_moved_one_by_one(old_is, tmp_path, capsys):
    """The child's value counts, whichever of the two has the old key; the class is named in the base alone."""
    smoke = yaml.safe_load((_CONFIGS / "smoke.yaml").read_text())
    settings = smoke["data"]["init_args"]
    if old_is == "base":
        settings.update(settings.pop("plan"))
        child = {"plan": {"batch_size": 24}}
    else:
        child = {"batch_size": 24}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(smoke))
    (tmp_path / "child.yaml").write_text(yaml.safe_dump({"base": "base.yaml", "data": {"init_args": child}}))
    with _warnings() as caught:
        config = _printed(capsys, "--config", tmp_path / "child.yaml")
    assert _told("data.init_args.batch_size", "data.init_args.plan.batch_size") in _warned(caught)
    assert config["data"]["init_args"]["plan"] == {"batch_size": 24, "replay": 8, "window": 1024, "seed": 0}


def test_a_later_config_without_class_is_moved_by_the_class_of_the_first(tmp_path, capsys):
    later = tmp_path / "later.yaml"
    later.write_text("data: {init_args: {n_validation: 5}}")
    with pytest.warns(
        DeprecationWarning, match=r"data\.init_args\.n_validation is now data\.init_args\.held_out\.count"
    ):
        config = _printed(capsys, "--config", _CONFIGS / "smoke.yaml", "--config", later)
    assert config["data"]["init_args"]["held_out"]["count"] == 5


@pytest.mark.parametrize("joined", [True, False])
def test_old_keys_on_the_command_line(joined, capsys):
    given = {"data.init_args.labelled.init_args.batch_size": "3", "model.init_args.initial_weights": "null",
             "data.init_args.photos.init_args.landmarks": "fit", "data.init_args.labelled.init_args.validation.pose": "300w-lp"}  # fmt: skip
    options = [
        part for key, value in given.items() for part in ([f"--{key}={value}"] if joined else [f"--{key}", value])
    ]
    with _warnings() as caught:
        config = _printed(capsys, "--config", _CONFIGS / "paper_step2.yaml", *options)
    labelled, photos = (config["data"]["init_args"][name]["init_args"] for name in ("labelled", "photos"))
    assert labelled["plan"]["batch_size"] == 3 and labelled["held_out"]["synthesis"]["pose"] == "300w-lp"
    assert labelled["held_out"]["synthesis"]["yaw_deg"] == 60, "the rest of the config's stays"
    assert photos["samples"] == {"mirror": True, "landmarks": "fit"} and photos["plan"]["batch_size"] == 5
    assert config["model"]["init_args"]["run"] == {
        "initial_weights": None, "average": 0.999, "picture_every": 1, "compile": False
    }  # fmt: skip
    assert len(_warned(caught)) == 4 and {warning.filename for warning in caught} == {"command line"}


def test_one_old_seed_is_that_of_faces_and_of_batches(tmp_path, capsys):
    old = {"data": {"class_path": _LANDMARKS, "init_args": {"folder": "f", "synthesis": {}, "seed": 7, "workers": 0}}}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(old))
    settings = ["--config", _CONFIGS / "landmarks.yaml", "--config", tmp_path / "old.yaml", "--data.init_args.count=9"]
    with _warnings() as caught:
        config = _printed(capsys, *settings)["data"]["init_args"]
    told = _told("data.init_args.seed", "data.init_args.drawing.seed", "data.init_args.plan.seed")
    assert told in _warned(caught)
    assert config["drawing"]["seed"] == config["plan"]["seed"] == 7 and config["drawing"]["count"] == 9
    assert config["crops"]["workers"] == 0 and config["plan"]["batch_size"] == 48


def test_classes_of_others_keep_their_keys():
    own = {"data": {"class_path": "theirs.Data", "init_args": {"batch_size": 3}}, "model": {"init_args": {"clip": 1}}}
    assert with_new_keys(own, {}, "a.yaml") == own
    options = ["fit", "--data=theirs.Data", "--data.init_args.batch_size=3", "--data.seed", "4"]
    assert arguments_with_new_keys(options, {("data",): _SYNTHETIC}) == options


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_classes_named_on_the_command_line_and_short_keys():
    options = ["--data", "SyntheticData", "--data.batch_size", "3", f"--model={_LANDMARKS}", "--model.seed=4"]
    assert arguments_with_new_keys(options, {}) == [
        "--data", "SyntheticData", "--data.plan.batch_size=3", f"--model={_LANDMARKS}", "--model.drawing.seed=4",
        "--model.plan.seed=4",
    ]  # fmt: skip
    assert classes_in({"a": {"init_args": {"b": {"class_path": "x.Y"}}}, "data": _SYNTHETIC}) == {
        ("a", "b"): "x.Y",
        ("data",): _SYNTHETIC,
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            {"batch_size": 4},
            r"a.yaml: data.init_args.batch_size is now data.init_args.plan.batch_size, and .* remove the old",
        ),
        ("plan.yaml", r"and plan holds 'plan.yaml' there instead of keys; write the key at its new place"),
    ],
)
def test_a_key_at_both_places_is_an_error(plan, message, tmp_path, capsys):
    config = {"data": {"class_path": _SYNTHETIC, "init_args": {"batch_size": 3, "plan": plan}}}
    with pytest.raises(MovedKeyError, match=message):
        with_new_keys(config, {}, "a.yaml")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(tmp_path / "a.yaml"), "--print_config"])
    assert stop.value.code == 2 and re.search(message, " ".join(capsys.readouterr().err.split()))


@pytest.mark.slow
def test_users_see_the_warning():
    command = [sys.executable, "train.py", "fit", "--config", "configs/smoke.yaml", "--data.init_args.batch_size=8"]
    run = subprocess.run([*command, "--print_config"], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert "command line:0: DeprecationWarning: the key data.init_args.batch_size is now" in run.stderr
    assert run.stderr.count("DeprecationWarning") == 1
