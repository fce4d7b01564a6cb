"""``recon synthesize``."""

import json

import numpy as np
import pytest
from PIL import Image

from recon import cli
from recon.cli import main
from recon.datasets import C3iReader, FolderReader
from recon.synthesis.output import workers, writer

_QUICK = ["--clean", "--size", "32x40"]


def test_a_data_set_and_again(tmp_path, capsys):
    out = tmp_path / "a"
    assert main(["synthesize", "-o", str(out), "--count", "3", "--block", "2", *_QUICK]) == 0
    assert "wrote 3 samples" in capsys.readouterr().out
    assert len(list(FolderReader(out))) == 3
    assert main(["synthesize", "-o", str(out), "--count", "3", "--block", "2", *_QUICK]) == 0
    assert "wrote 0 samples" in capsys.readouterr().out
    assert main(["synthesize", "-o", str(out), "--count", "4", "--block", "2", *_QUICK]) == 1
    assert "holds another data set" in capsys.readouterr().err


def test_an_interrupt_says_what_is_kept(tmp_path, monkeypatch):
    real = writer.write_block

    def interrupted(plan, sampler, block, **options):
        if block == 1:
            raise KeyboardInterrupt
        return real(plan, sampler, block, **options)

    monkeypatch.setattr(workers, "write_block", interrupted)
    arguments = cli.parser().parse_args(
        ["synthesize", "-o", str(tmp_path / "a"), "--count", "3", "--block", "1", *_QUICK]
    )
    with pytest.raises(
        KeyboardInterrupt, match=r"1 blocks of 3 are finished in .*a; the same command goes on from there"
    ):
        arguments.run(arguments)
    assert not (tmp_path / "a" / ".facerecon").exists()


def test_the_published_layout(tmp_path):
    out = tmp_path / "c3i"
    arguments = ["--count", "2", "--layout", "c3i", "--clean", "--size", "48x64", "--set", "identities=2"]
    assert main(["synthesize", "-o", str(out), *arguments]) == 0
    assert len(list(C3iReader(out))) == 2


def test_a_contact_sheet(tmp_path):
    sheet = tmp_path / "sheet.png"
    assert main(["synthesize", "--preview", str(sheet), *_QUICK]) == 0
    picture = np.asarray(Image.open(sheet))
    assert picture.shape == (3 * 32, 8 * 40, 3)
    assert (picture == (0, 255, 90)).all(axis=-1).any()
    sheet.write_bytes(b"mine")
    assert main(["synthesize", "--preview", str(sheet), *_QUICK]) == 2
    assert sheet.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a folder with -o, or a picture with --preview"),
        (["-o", "x"], "-o needs --count"),
        (["-o", "x", "--count", "2", "--shard", "2/2"], "--shard takes I/N"),
        (["--preview", "x.jpg"], "should end in .png"),
        (["--preview", "none/x.png"], "does not exist"),
        (["-o", "x", "--count", "2", "--set", "hare=1"], "unknown synthesis settings: 'hare'"),
        (["-o", "x", "--count", "2", "--set", "hair"], "--set takes NAME=VALUE"),
        (["-o", "x", "--count", "2", "--set", "hair=2"], r"hair must lie in [0, 1]"),
        (["-o", "x", "--count", "2", "--size", "5"], "--size takes"),
        (
            ["-o", "x", "--count", "2", "--set", "background=folder", "--set", "background_folder=/no/such"],
            "background folder /no/such does not exist",
        ),
    ],
)
def test_wrong_usage_is_refused(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".npz", ".part")]


def test_former_names_of_settings_overrule_the_file(tmp_path):
    settings, out = tmp_path / "a.yaml", tmp_path / "out"
    settings.write_text("specular: 0.5\nsoftness: 0.75\n")
    arguments = ["-o", str(out), "--count", "1", "--size", "32", "--config", str(settings), "--set", "shine=0.25"]
    with pytest.warns(FutureWarning, match="is now called"):
        assert main(["synthesize", *arguments]) == 0
    config = json.loads((out / "dataset.json").read_text())["config"]
    assert (config["specular"], config["subsurface"]) == (0.25, 0.75)
    assert "shine" not in config
