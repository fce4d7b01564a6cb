"""Every config is complete and typed; wrong keys are refused before work starts."""

import re
from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace

from recon.evaluation.ablation import read_plan, train_command
from recon.evaluation.reports import published
from recon.networks.backbones import BACKBONES
from train import crop_size, main

_NOT_TRAINED = ("ablation", "ablation_cpu")
"""Plans of trainings, which have a format and tests of their own."""
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
    settings = printed["model"]["init_args"]
    network = settings["network" if "network" in settings else "regressor"]
    assert network.get("backbone") or network["width"]
    assert printed["trainer"]["max_steps"] > 0


@pytest.mark.parametrize("name", ["network", "regressor"])
def test_data_take_the_size_of_the_network_crops(name):
    module = Namespace(init_args=Namespace(**{name: Namespace(size=96)}, size=5))
    assert crop_size(module) == 96


@pytest.mark.slow
def test_every_row_of_the_ablation_is_a_full_config(capsys, tmp_path):
    """As the ablation would train it; and every row of the paper's tables is there."""
    plan = read_plan(_CONFIGS[0].parent / "ablation.yaml")
    printed = [published.SWIN_ABLATION, published.BACKBONES, published.LOSS_WEIGHTS]
    for number, rows in zip((4, 5, 6), printed, strict=True):
        assert [row.name for row in plan.rows if row.table == number] == [row[0] for row in rows], number
    weights = ("landmark", "photometric", "perceptual", "shape", "adversarial")
    for row in plan.rows:
        command = train_command(plan, row, 3, tmp_path)[len(plan.train) :]
        with pytest.raises(SystemExit) as stop:
            main(["fit", *command, "--print_config"])
        assert stop.value.code == 0, row.name
        config = yaml.safe_load(capsys.readouterr().out)
        settings = config["model"]["init_args"]
        assert config["seed_everything"] == 3 and config["trainer"]["default_root_dir"] == str(tmp_path)
        assert settings["regressor"]["backbone"] in BACKBONES
        if row.table == 4:
            assert settings["regressor"]["fam"] == ("no FAM" not in row.name)
            letter = row.name[5]
            assert settings["regressor"]["backbone"].split("_")[1][0] == letter.lower()
        elif row.table == 5:
            assert settings["regressor"]["size"] == (224 if "Swin" in row.name else 256)
        else:
            wanted = [float(value) for value in row.name.split(",")]
            assert [settings["weights"][name] for name in weights] == pytest.approx(wanted)
            assert config["data"]["init_args"]["photos"]["init_args"]["folder"] == "data/photos"
            assert settings["embedding"]["network"] == "open"


def _printed(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["fit", *arguments, "--print_config"])
    said = capsys.readouterr()
    return stop.value.code, said.err if stop.value.code else yaml.safe_load(said.out)


def test_a_recipe_has_its_own_keys_and_those_of_its_base(capsys):
    large = next(path for path in _CONFIGS if path.stem == "swin_large_fam")
    code, config = _printed(capsys, "--config", str(large), "--model.init_args.optimiser.warm_up", "7")
    settings = config["model"]["init_args"]
    assert code == 0 and settings["regressor"]["backbone"] == "swin_large" and settings["regressor"]["checkpointing"]
    assert settings["regressor"]["fam"] and settings["weights"]["photometric"] == 1.7
    assert settings["optimiser"]["rate"] == 0.0001 and settings["optimiser"]["head_factor"] == 5.0
    assert settings["optimiser"]["total"] == config["trainer"]["max_steps"] == 60000
    assert settings["optimiser"]["warm_up"] == 7, "the command line comes last"
    assert config["trainer"]["logger"]["init_args"]["save_dir"] == "runs/swin_large_fam"
    assert len(config["trainer"]["callbacks"]) == 6 and config["data"]["init_args"]["plan"]["batch_size"] == 32


@pytest.mark.parametrize("key", ["run.initial_weights", "embedding.weights"])
def test_null_on_the_command_line_is_no_text(key, capsys):
    path = next(path for path in _CONFIGS if path.stem == "paper_step2")
    code, config = _printed(capsys, "--config", str(path), f"--model.init_args.{key}=null")
    group, name = key.split(".")
    assert code == 0 and config["model"]["init_args"][group][name] is None


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("trainer: {max_stepps: 3}", r"'max_stepps'(.|\n)*The key is in \S*base/b.yaml$"),
        ("modell: {a: 3}", r"'modell.a'(.|\n)*The key is in \S*base/b.yaml$"),
        ("base: ../a.yaml", r"cannot be its own base \(\S*a.yaml -> \S*b.yaml -> \S*a.yaml\)"),
        ("base: none.yaml", r"b.yaml: its base \S*none.yaml does not exist"),
        ("base: ../../b.yaml", r"b.yaml: its base ../../b.yaml lies outside"),
        ("[1, 2]", r"a.yaml: its base \S*b.yaml must hold keys"),
    ],
)
def test_errors_in_a_base_name_the_file(base, message, tmp_path, capsys):
    place = tmp_path / "in"
    (place / "base").mkdir(parents=True)
    smoke = next(path for path in _CONFIGS if path.stem == "smoke")
    (tmp_path / "b.yaml").write_text("trainer: {max_steps: 3}")
    (place / "a.yaml").write_text(f"base: base/b.yaml\n{smoke.read_text()}")
    (place / "base" / "b.yaml").write_text(base)
    code, said = _printed(capsys, "--config", str(place / "a.yaml"))
    assert code == 2 and re.search(message, said.strip()), said


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
