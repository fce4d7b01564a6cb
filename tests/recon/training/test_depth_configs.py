"""The recipes of depth networks are complete, typed and those of the papers."""

from pathlib import Path

import pytest
import yaml

from recon.networks.depth.encoders import ENCODERS
from train import main

_FOLDER = Path(__file__).parents[3] / "configs" / "depth"
_CONFIGS = sorted(path for path in _FOLDER.glob("*.yaml") if path.stem != "loss_ablation")
"""All but the plan of trainings."""


@pytest.fixture(autouse=True)
def no_other_arguments(monkeypatch):
    """LightningCLI warns when it is called with arguments from a command line that has others."""
    monkeypatch.setattr("sys.argv", ["train.py"])


def _printed(path, capsys, *more):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), *more, "--print_config"])
    said = capsys.readouterr()
    assert stop.value.code == 0, said.err
    return yaml.safe_load(said.out)


@pytest.mark.parametrize("path", _CONFIGS, ids=lambda path: path.stem)
def test_configs_are_complete(path, capsys):
    printed = _printed(path, capsys)
    settings, data = printed["model"]["init_args"], printed["data"]["init_args"]
    network = settings["network"]
    assert (
        network["backbone"]
        if path.stem.startswith("facerecon")
        else network["architecture"] in path.stem
        or (path.stem.startswith("pini") and network["architecture"] == "pini")
    )
    assert printed["trainer"]["max_steps"] > 0 and data["plan"]["batch_size"] > 0
    assert data["held_out"]["count"] == 512 and printed["seed_everything"] == 0
    callbacks = [entry["class_path"].rpartition(".")[2] for entry in printed["trainer"]["callbacks"]]
    assert {"BestWeights", "LastCheckpoint"} <= set(callbacks)
    assert (
        settings.get("initial_backbone") is None or Path(_CONFIGS[0].parents[2], settings["initial_backbone"]).is_file()
    )


def test_every_published_network_has_a_recipe():
    names = {path.stem for path in _CONFIGS}
    wanted = {"unet_simple", "face_depth", "pini_cgan", "pini_autoencoder", "pix2pix", "facerecon_depth"}
    assert wanted | {f"dense_depth_{name}" for name in ENCODERS} <= names


def test_all_networks_of_crops_train_with_the_same_faces(capsys):
    drawings = [
        _printed(_CONFIGS[0].parent / f"{name}.yaml", capsys)["data"]["init_args"]["drawing"]
        for name in ("facerecon_depth", "pini_cgan")
    ]
    assert drawings[0] == drawings[1]
