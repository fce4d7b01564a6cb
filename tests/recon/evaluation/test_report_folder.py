"""The folder of a report is checked and held before work."""

import dataclasses
import hashlib
import subprocess
import sys

import pytest

from recon.evaluation.journal import PARTIAL_NAME
from recon.evaluation.report_folder import REPORT_NAMES, held_folder, report_folder
from recon.evaluation.reports.provenance import Provenance
from recon.evaluation.reports.report import write_report
from recon.evaluation.reports.result import Evaluation, Figure
from recon.io.faults import UsageError
from recon.io.files import OutputError

ORIGIN = Provenance("x", "abc", "2026-01-01", "cpu", "py", "fit", "open 1", "data", "f00", 4, 1.5)


def test_a_folder_for_nothing_is_removed_and_one_that_was_there_is_not(tmp_path):
    with report_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with report_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_what_was_written_stays(tmp_path):
    with report_folder(tmp_path / "a"):
        (tmp_path / "a" / "report.json").write_text("{}")
    assert (tmp_path / "a" / "report.json").is_file()


def test_places_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write to .*file"), report_folder(tmp_path / "file" / "x"):
        pytest.fail("work began")
    with pytest.raises(OutputError, match="cannot write"), report_folder(tmp_path / "file"):
        pytest.fail("work began")
    (tmp_path / "x" / PARTIAL_NAME).mkdir(parents=True)
    with pytest.raises(OutputError, match="it is a folder"), report_folder(tmp_path / "x"):
        pytest.fail("work began")


@pytest.mark.parametrize("name", ["report.json", "heat_maps.png", "curve.csv"])
def test_a_file_that_is_in_the_way_is_never_replaced_unless_it_is_of_a_report(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    assert name in REPORT_NAMES
    with pytest.raises(UsageError, match=f"{name} exists; .*--overwrite"), report_folder(tmp_path):
        pytest.fail("work began")
    with pytest.raises(OutputError, match=f"{name} was not written by"), report_folder(tmp_path, overwrite=True):
        pytest.fail("work began")
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"mine"


def test_the_files_of_a_report_are_replaced_and_others_are_not(tmp_path):
    figures = (Figure("curve", "Curve", b"png"),)
    write_report(Evaluation("pose", "Pose", ORIGIN, (), (), figures=figures), tmp_path)
    with report_folder(tmp_path, overwrite=True):
        pass
    for name in ("landmarks.png", "curve.png"):
        before = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
        (tmp_path / name).write_bytes(b"mine")
        with pytest.raises(OutputError, match=f"{name} was added or changed"), report_folder(tmp_path, overwrite=True):
            pytest.fail("work began")
        (tmp_path / name).unlink() if before is None else (tmp_path / name).write_bytes(before)


def test_a_run_that_was_killed_while_it_wrote_its_report_goes_on(tmp_path):
    figures = (Figure("curve", "Curve", b"png"), Figure("landmarks", "Landmarks", b"png"))
    one = Evaluation("pose", "Pose", ORIGIN, (), (), figures=figures)
    write_report(one, tmp_path)
    two = dataclasses.replace(one, figures=(Figure("curve", "Curve", b"other"),))
    with report_folder(tmp_path, overwrite=True) as journal:
        journal.begin({}, 1)
        journal.announce({"curve.png": hashlib.sha256(b"other").hexdigest()})
        (tmp_path / "curve.png").write_bytes(b"other")
    with report_folder(tmp_path, overwrite=True) as journal:
        journal.begin({}, 1)
        write_report(two, tmp_path, overwrite=True, announce=journal.announce)
        journal.remove()
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md", "curve.png"}


def test_a_second_run_into_the_folder_is_told_and_a_killed_one_holds_nothing(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from recon.evaluation.report_folder import held_folder\n"
        "with held_folder(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    place = tmp_path / "out"
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another run is writing to"), held_folder(place):
            pytest.fail("work began")
    finally:
        first.kill()
        first.communicate(timeout=60)
    with held_folder(place):
        assert place.is_dir()
    assert [path.name for path in place.iterdir()] == []
