"""The recipes of depth networks are complete, typed and those of the papers."""

from pathlib import Path

import pytest
import torch
import yaml

from losses.depth.objective import DepthObjective
from recon.networks.depth.encoders import ENCODERS
from recon.networks.depth.map_depth import DepthCoding
from train import main

_FOLDER = Path(__file__).parents[3] / "configs" / "depth"
_NO_TRAININGS = ("comparison", "loss_ablation", "loss_ablation_short", "pini_verifier")
"""Plans of several trainings, and the verifier, which has a test of its own."""
_CONFIGS = sorted(path for path in _FOLDER.glob("*.yaml") if path.stem not in _NO_TRAININGS)


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


def test_the_verifiers_recipe_is_complete_and_draws_people_again(capsys):
    printed = _printed(_FOLDER / "pini_verifier.yaml", capsys)
    drawing = printed["data"]["init_args"]["drawing"]
    assert drawing["count"] >= 2 * drawing["synthesis"]["identities"] > 2
    assert printed["model"]["init_args"]["face_model"]["name"] == "open"


def test_every_published_network_has_a_recipe():
    names = {path.stem for path in _CONFIGS}
    wanted = {"unet_simple", "face_depth", "pini_cgan", "pini_autoencoder", "pix2pix", "facerecon_depth"}
    assert wanted | {f"dense_depth_{name}" for name in ENCODERS} <= names


@pytest.mark.parametrize("name", ["unet_simple", "face_depth", "dense_depth_resnet50"])
def test_every_term_of_a_hybrid_loss_sees_the_shape_of_a_face(name, capsys):
    """A head of the right size at 0.3 m without its relief, in the recipe's code: no term is drowned by its constants."""
    settings = _printed(_CONFIGS[0].parent / f"{name}.yaml", capsys)["model"]["init_args"]
    objective = DepthObjective(settings["objective"]["weights"], settings["objective"]["options"])
    coding = DepthCoding(**settings["network"]["coding"])
    y, x = torch.meshgrid(torch.arange(64.0) - 32.0, torch.arange(48.0) - 24.0, indexing="ij")
    depth_mm = (300.0 + 0.06 * (x**2 + y**2))[None, None]
    true, flat = (coding.encode(maps, torch.ones(1)) for maps in (depth_mm, depth_mm.mean().expand_as(depth_mm)))
    terms = objective.terms(flat, true, torch.ones_like(true, dtype=torch.bool))
    shares = {key: float(term) / objective.weights[key] for key, term in terms.items()}
    assert shares["ssim"] > 0.1 and shares["surface_normal"] > 0.1 and shares["gradient_l1"] > 0.01, shares


def test_all_networks_of_crops_train_with_the_same_faces(capsys):
    drawings = [
        _printed(_CONFIGS[0].parent / f"{name}.yaml", capsys)["data"]["init_args"]["drawing"]
        for name in ("facerecon_depth", "pini_cgan")
    ]
    assert drawings[0] == drawings[1]
