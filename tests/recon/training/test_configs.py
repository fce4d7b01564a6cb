"""Every config is complete and typed; wrong keys are refused before work starts."""

from pathlib import Path

import pytest
import yaml

from train import main

_NOT_TRAINED = ("ablation",)
"""A plan of trainings, which has a format and tests of its own."""
_CONFIGS = sorted(
    path for path in (Path(__file__).parents[3] / "configs").glob("*.yaml") if path.stem not in _NOT_TRAINED
)


@pytest.fixture(autouse=True)
def no_other_arguments(monkeypatch):
    """LightningCLI warns when it is called with arguments from a command line that has others."""
    monkeypatch.setattr("sys.argv", ["train.py"])


@pytest.mark.parametrize("path", _CONFIGS, ids=lambda path: path.stem)
def test_configs_are_complete(path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["regressor"]["backbone"]
    assert printed["trainer"]["max_steps"] > 0


def test_all_recipes_are_there():
    names = {path.stem for path in _CONFIGS}
    assert {"smoke", "mobile_synthetic", *(f"swin_{size}_fam" for size in ("tiny", "small", "base", "large"))} <= names


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("--model.init_args.regressor.backbon", "resnet18", "backbon"),
        ("--model.init_args.weights.depth", "deep", "depth"),
        ("--data.init_args.synthesis.yaw", "30", "yaw"),
        ("--trainer.max_stepps", "3", "max_stepps"),
    ],
)
def test_wrong_keys_and_types_are_errors(key, value, message, capsys):
    smoke = next(path for path in _CONFIGS if path.stem == "smoke")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(smoke), f"{key}={value}", "--print_config"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
