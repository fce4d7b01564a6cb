"""Layouts of GRID and CREMA-D, clips cut from films, and trainings by the published recipes at tiny sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

av = pytest.importorskip("av")

from recon.datasets.filmed_speech import CREMA_D_HELD_OUT, crema_d_speech, grid_speech  # noqa: E402
from recon.dubbing.clips import FaceClip, FaceClipError  # noqa: E402
from recon.dubbing.editor import FaceEditor  # noqa: E402
from recon.dubbing.voices import at_frames, heard_voice  # noqa: E402
from recon.io.write_video import Sound, VideoWriter  # noqa: E402
from recon.networks.diffusion.sampling import SamplingConfig  # noqa: E402
from recon.training.filmed_clips import cut_filmed_clips, filmed_clip  # noqa: E402
from train import main  # noqa: E402

_FOLDER = Path(__file__).parents[3] / "configs" / "dub"
RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def no_other_arguments(monkeypatch):
    """LightningCLI warns when it is called with arguments from a command line that has others."""
    monkeypatch.setattr("sys.argv", ["train.py"])


def tone(seconds: float) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.4 * np.sin(2.0 * np.pi * 300.0 * time_s) * np.abs(np.sin(8.0 * time_s))).astype(np.float32)


def film(path: Path, astronaut: np.ndarray, frames: int = 12, sound: bool = True, shift: int = 0) -> Path:
    """A face that drifts, 25 frames a second; the first three frames are grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    track = Sound(tone(frames / 25.0)[:, None], RATE_HZ) if sound else None
    with VideoWriter(path, 25.0, sound=track) as writer:
        for k in range(frames):
            shown = np.ascontiguousarray(astronaut[30:230, 120 + shift + k : 360 + shift + k])
            writer.write(np.full_like(shown, 90) if k < 3 else shown)
    return path


@pytest.fixture(scope="module")
def grid(astronaut, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("grid")
    for k in range(3):
        film(root / "s1" / "video" / f"bbaf{k}n.mp4", astronaut, shift=10 * k)
    film(root / "s2" / "video" / "lbij4n.mp4", astronaut)
    return root


def test_grid_is_one_speaker_with_every_twentieth_sentence_held_out(tmp_path: Path) -> None:
    for name in [f"s1/video/{k:03d}.mpg" for k in range(41)] + ["s1/audio/003.wav", "s2/000.mpg", "s1/align/003.align"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    speech = grid_speech(tmp_path)
    assert len(speech) == 41 and {one.speaker for one in speech} == {"s1"}
    assert [k for k, one in enumerate(speech) if one.held_out] == [0, 20, 40]
    assert speech[3].sound.name == "003.wav" and speech[4].sound == speech[4].video
    with pytest.raises(FileNotFoundError, match="no video below a folder s9"):
        grid_speech(tmp_path, "s9")


def test_crema_d_holds_the_printed_speakers_out(tmp_path: Path) -> None:
    for number in (1001, 1015, 1005, 1089):
        for folder, ending in (("VideoFlash", "flv"), ("AudioWAV", "wav")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{number}_DFA_ANG_XX.{ending}").touch()
    (tmp_path / "VideoFlash" / "notes.flv").touch()
    speech = crema_d_speech(tmp_path)
    assert [(one.speaker, one.held_out) for one in speech] == [
        ("1001", False),
        ("1005", False),
        ("1015", True),
        ("1089", True),
    ]
    assert all(one.sound.parent.name == "AudioWAV" for one in speech) and len(CREMA_D_HELD_OUT) == 10
    with pytest.raises(FileNotFoundError, match="no video of CREMA-D"):
        crema_d_speech(tmp_path / "AudioWAV")


def test_a_clip_is_what_is_seen_and_heard_together(grid: Path) -> None:
    clip = filmed_clip(grid_speech(grid)[0], 32)
    assert clip.frames.shape == (9, 32, 32, 3) and clip.facts == {"speaker": "s1", "film": "bbaf0n.mp4"}
    # It begins with the fourth frame, and so does its sound.
    expected = tone(12 / 25.0)[round(3 / 25.0 * RATE_HZ) :]
    heard = clip.sound.astype(float) / 32767.0
    count = min(len(heard), len(expected))
    lags = [
        np.corrcoef(heard[1600 + lag : count - 1600 + lag], expected[1600 : count - 1600])[0, 1]
        for lag in range(-1600, 1601, 20)
    ]
    assert abs(np.argmax(np.abs(lags)) * 20 - 1600) <= 640 and np.abs(lags).max() > 0.7
    assert 0.1 < clip.frames.std() / 255.0 and clip.lips_mm is None


def test_films_without_a_face_are_left_out_and_named(grid: Path, astronaut, tmp_path: Path, caplog) -> None:
    with VideoWriter(
        tmp_path / "s1" / "grey.mp4" if (tmp_path / "s1").mkdir() else tmp_path / "s1" / "grey.mp4", 25.0
    ) as writer:
        for _ in range(3):
            writer.write(np.full((64, 80, 3), 90, np.uint8))
    film(tmp_path / "s1" / "mute.mp4", astronaut, sound=False)
    (tmp_path / "s1" / "broken.mp4").write_bytes(b"no film")
    speech = grid_speech(tmp_path)
    with pytest.raises(FaceClipError, match="none of 3 films"):
        cut_filmed_clips(tmp_path / "clips", speech, 32)
    skipped = json.loads((tmp_path / "clips" / "skipped.json").read_text())
    assert set(skipped) == {"grey.mp4", "mute.mp4", "broken.mp4"} and "left out" in caplog.text
    files = cut_filmed_clips(tmp_path / "clips", [*speech, *grid_speech(grid)[:1]], 32)
    assert [file.name for file in files] == ["s1-bbaf0n.safetensors"]
    with pytest.raises(FaceClipError, match="clips of 32 px, asked for are 64"):
        cut_filmed_clips(tmp_path / "clips", grid_speech(grid)[:1], 64)


@pytest.mark.parametrize("path", sorted(_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_are_complete(path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), "--print_config"])
    said = capsys.readouterr()
    assert stop.value.code == 0, said.err
    printed = yaml.safe_load(said.out)
    callbacks = [entry["class_path"].rpartition(".")[2] for entry in printed["trainer"]["callbacks"]]
    assert {"BestWeights", "LastCheckpoint"} <= set(callbacks)
    assert printed["trainer"]["max_steps"] > 0 and printed["data"]["init_args"]["plan"]["batch_size"] > 0


def test_the_published_recipes_are_the_printed_ones(capsys) -> None:
    for name, multiples, attention, schedule, batch in (
        ("grid_single", [1, 2, 4, 8], [], ("linear", 2000), 10),
        ("crema_d_multi", [1, 2, 3], [32], ("cosine", 1000), 40),
    ):
        settings = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text())
        network = settings["model"]["init_args"]["network"]
        assert network["size"] == 128 and network["channels"] == 64 and network["dropout"] == 0.2
        assert network["multiples"] == multiples and network["attention_px"] == attention
        assert network["blocks"] == 2 and network["head_channels"] == 32 and network["voice"] == "mel"
        assert (network["schedule"]["kind"], network["schedule"]["steps"]) == schedule
        assert settings["model"]["init_args"]["optimiser"]["rate"] == 5e-5
        assert settings["data"]["init_args"]["plan"]["batch_size"] == batch


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grid_single", "crema_d_multi"])
def test_published_recipes_train_resume_and_draw_at_a_tiny_size(name: str, grid: Path, tmp_path: Path) -> None:
    """Everything of the recipe but sizes: a run that stops and goes on ends as one that does not."""

    def train(folder: str, steps: int, *more: str) -> Path:
        place = tmp_path / folder
        place.mkdir()
        recipe = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text())
        recipe["trainer"] |= {
            **{"accelerator": "cpu", "devices": 1, "max_steps": steps, "val_check_interval": 2, "logger": False},
            **{"default_root_dir": str(place), "log_every_n_steps": 1, "enable_progress_bar": False},
        }
        recipe["trainer"]["callbacks"][-1]["init_args"] = {"every_n_train_steps": 2, "dirpath": str(place)}
        network, data = (recipe[part]["init_args"] for part in ("model", "data"))
        network["network"] |= {"size": 32, "channels": 8, "head_channels": 4}
        network["network"]["schedule"]["steps"] = 20
        if network["network"]["attention_px"]:
            network["network"]["attention_px"] = [8]
        data |= {
            "films": {"corpus": "grid", "root": str(grid)},
            "folder": str(tmp_path / "clips"),
            "held_out_frames": 4,
        }
        data["plan"]["batch_size"] = 2
        (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        command = [sys.executable, str(_FOLDER.parents[1] / "train.py"), "fit", "--config", str(place / "recipe.yaml")]
        run = subprocess.run([*command, *more], capture_output=True, text=True, timeout=600)
        assert run.returncode == 0, run.stderr[-3000:]
        return place

    whole = train("whole", 4)
    train("first", 2)
    resumed = train("second", 4, "--ckpt_path", str(tmp_path / "first" / "last.ckpt"))
    weights = [torch.load(place / "last.ckpt", weights_only=True)["state_dict"] for place in (whole, resumed)]
    assert weights[0]
    for key, tensor in weights[0].items():
        assert torch.equal(weights[1][key], tensor), key
    (best,) = whole.rglob("best.safetensors")
    editor = FaceEditor(best, SamplingConfig("ddpm", 0))
    clip = FaceClip.load(next((tmp_path / "clips" / "held_out").glob("*.safetensors")))
    voice = at_frames(heard_voice(clip.sound, "mel"), np.arange(3) / 25.0, 5)
    drawn = editor.clip(clip.frames[:3], clip.hidden[:3], voice)
    left, top, right, bottom = clip.hidden[1]
    assert (drawn[1][top:bottom, left:right] != clip.frames[1][top:bottom, left:right]).mean() > 0.5
