"""``recon prepare-photos``: what it says, and how it ends."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from recon.cli import main
from recon.commands import prepare_photos as command
from recon.training import preparing
from recon.training.photos import PhotoSetError
from recon.training.preparing import Prepared


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture
def prepares(monkeypatch):
    """Stands in for the work: sees the photos and the rest of the call, and answers or raises as told."""
    seen = types.SimpleNamespace(photos=[], out=None, size=None, answer=Prepared(("x.png", "y.png"), {}))

    def prepare(photos, out, reconstructor, size):
        seen.photos, seen.out, seen.size = list(photos), out, size
        seen.detector, seen.quality = reconstructor.detector_name, reconstructor.settings
        if isinstance(seen.answer, BaseException):
            raise seen.answer
        return seen.answer

    monkeypatch.setattr(preparing, "prepare_photos", prepare)
    return seen


def test_all_photos_of_a_folder_are_prepared(photos, tmp_path, prepares, capsys):
    out = tmp_path / "out"
    assert main(["prepare-photos", str(photos), "-o", str(out), "--size", "128"]) == 0
    assert [path.name for path in prepares.photos] == ["a.png", "b.png"]
    assert prepares.out == out and prepares.size == 128 and prepares.detector == "DenseLandmarkDetector"
    assert capsys.readouterr().out == f"2 of 2 photos are prepared in {out}\n"


def test_photos_that_are_left_out_are_named_and_make_it_1(photos, tmp_path, prepares, capsys):
    prepares.answer = Prepared(("x.png",), {str(photos / "b\n.png"): "no face"})
    arguments = ["prepare-photos", str(photos), "-o", str(tmp_path / "out")]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "b\\x0a.png: no face\n" in said and "1 of 2 photos are prepared" in said
    assert main([*arguments, "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["kept"] == ["x.png"] and list(summary["left_out"].values()) == ["no face"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.jpg", "-o", "out"], "no such photo or folder: none.jpg"),
        (["photos", "-o", "out", "--size", "8"], "--size must lie in 32..2048, got 8"),
        (["photos", "-o", "photos"], "photos holds the photos: prepare them into another folder"),
        (["photos", "-o", "out", "--device", "abacus"], "device must be auto, cpu or cuda, got 'abacus'"),
        (["empty", "-o", "out"], "no pictures in empty"),
    ],
)
def test_wrong_usage_is_2_and_nothing_is_begun(photos, options, message, prepares, capsys, monkeypatch):
    monkeypatch.chdir(photos.parent)
    (photos.parent / "empty").mkdir()
    assert main(["prepare-photos", *options]) == 2
    assert message in capsys.readouterr().err
    assert not prepares.photos and not (photos.parent / "out").exists()


def test_what_ends_the_run_is_one_line(photos, tmp_path, prepares, capsys):
    arguments = ["prepare-photos", str(photos), "-o", str(tmp_path / "out")]
    prepares.answer = PhotoSetError("holds photos that were prepared otherwise: choose another folder")
    assert main(arguments) == 1
    assert capsys.readouterr().err.endswith("recon: holds photos that were prepared otherwise: choose another folder\n")
    prepares.answer = KeyboardInterrupt()
    assert main(arguments) == 130
    assert f"what is done is kept in {tmp_path / 'out'}; the same command goes on" in capsys.readouterr().err


def test_photos_without_a_face_go_through_the_real_work(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["prepare-photos", str(photos / "a.png"), "-o", str(out)]) == 1
    assert "a.png: no face was found" in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["photos.record.jsonl"]


def test_help_names_the_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0 and "prepare-photos" in capsys.readouterr().out
    assert command.EXAMPLES.startswith("examples:")
