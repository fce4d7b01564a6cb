"""An unknown key anywhere in a training config is an error that names the key, before anything is built."""

from pathlib import Path

import pytest
import yaml

from recon.io.base_configs import read_config
from train import main

_CONFIGS = Path(__file__).parents[3] / "configs"
_MODEL = ("", "regressor", "face_model", "weights", "optimiser", "embedding", "run", "segmenter.init_args")
_SYNTHETIC = ("", "synthesis", "plan", "held_out", "held_out.synthesis", "augmentation", "face_model")
_LABELLED = ("", "plan", "held_out", "augmentation", "face_model")
_PHOTOS = ("", "plan", "held_out", "held_out.synthesis", "samples", "augmentation", "face_model")
_LANDMARKS = ("", "drawing", "drawing.synthesis", "plan", "crops", "crops.jitter", "crops.degradation", "held_out")


def _places():
    """Configs, and where in them a key is added."""
    places = [
        ("smoke", place) for place in ("", "trainer", "trainer.logger.init_args", "trainer.callbacks.1.init_args")
    ]
    places += [("smoke", f"model.init_args.{place}") for place in _MODEL]
    places += [("paper_step2", f"model.init_args.{place}") for place in (*_MODEL, "critic")]
    places += [("smoke", f"data.init_args.{place}") for place in _SYNTHETIC]
    places += [("paper_step1", f"data.init_args.{place}") for place in _PHOTOS]
    places += [("paper_step2", "data.init_args.")]
    places += [("paper_step2", f"data.init_args.labelled.init_args.{place}") for place in _SYNTHETIC]
    places += [("paper_step2", f"data.init_args.photos.init_args.{place}") for place in _PHOTOS]
    places += [("paper_step2_300wlp", f"data.init_args.labelled.init_args.{place}") for place in _LABELLED]
    places += [("landmarks", f"data.init_args.{place}") for place in _LANDMARKS]
    return places


def _add(config, place, key, value):
    for name in filter(None, place.split(".")):
        if isinstance(config, list):
            config = config[int(name)]
        else:
            if config.get(name) is None:
                config[name] = {}
            config = config[name]
            if name == "segmenter":
                config["class_path"] = "recon.segmentation.residual.ResidualSegmenter"
    config[key] = value


@pytest.fixture(autouse=True)
def no_other_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])


@pytest.mark.parametrize(("name", "place"), _places(), ids=lambda value: value.replace("init_args", "").strip("."))
def test_unknown_keys_are_named(name, place, tmp_path, capsys):
    config = read_config(_CONFIGS / f"{name}.yaml")
    _add(config, place, "unheard_of", 1)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), "--print_config"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "unheard_of" in said.partition("Given value")[0], said
    assert f"The key is in {path}" in said
