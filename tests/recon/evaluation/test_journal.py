"""The partial file: nothing finished is lost, nothing foreign is taken or removed."""

import json
import os

import pytest

from recon.evaluation.journal import PARTIAL_NAME, Journal
from recon.io.faults import UsageError
from recon.io.files import OutputError

FACTS = {"protocol": "pose", "quality": "fast", "weights": "a" * 64}


@pytest.fixture
def path(tmp_path):
    return tmp_path / PARTIAL_NAME


def _record(name, inputs="f0"):
    return {"name": name, "inputs": inputs, "seconds": 1.0, "outcome": {"kept": {}}}


def _filled(path, *names):
    with Journal(path) as journal:
        journal.begin(FACTS, 5)
        for name in names:
            journal.add(_record(name))


def test_what_is_kept_is_found_again_for_the_same_files_only(path):
    _filled(path, "a", "b")
    with Journal(path) as again:
        again.begin(FACTS, 5)
        assert again.find("a", "f0") == _record("a") and again.find("a", "f1") is None and again.find("c", "f0") is None
        assert again.kept() == f"2 of 5 samples are kept in {path}; the same command goes on from there"
    assert path.is_file()
    with Journal(path) as again:
        again.begin(FACTS, 5)
        again.remove()
    assert not path.exists()


def test_a_torn_last_line_costs_its_item_only(path):
    _filled(path, "a", "b")
    whole = path.read_bytes()
    for cut in range(1, len(json.dumps(_record("b"))) + 1):
        path.write_bytes(whole[:-cut])
        with Journal(path) as journal:
            journal.begin(FACTS, 5)
            assert journal.find("a", "f0") and not journal.find("b", "f0")
            journal.add(_record("b"))
        assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_costs_its_item_only(path):
    _filled(path, "a", "b")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\x00\xff\n" + lines[2])
    with Journal(path) as journal:
        journal.begin(FACTS, 5)
        assert journal.find("b", "f0") and not journal.find("a", "f0")


def test_a_run_of_other_settings_is_refused_and_told(path):
    _filled(path, "a")
    before = path.read_bytes()
    other = {**FACTS, "quality": "best", "weights": "b" * 64}
    with pytest.raises(UsageError, match='1 samples .* quality was "fast", is "best"; another weights. .*--overwrite'):
        Journal(path).begin(other, 5)
    assert path.read_bytes() == before
    with Journal(path, overwrite=True) as journal:
        journal.begin(other, 5)
        assert journal.n_kept == 0 and journal.find("a", "f0") is None


def test_overwriting_goes_on_where_nothing_differs(path):
    _filled(path, "a")
    with Journal(path, overwrite=True) as journal:
        journal.begin(FACTS, 5)
        assert journal.find("a", "f0")


@pytest.mark.parametrize("content", [b"", b"mine\n", b"[]\n", b'{"schema": "other"}\n', b'{"name": "a"}\n'])
def test_a_foreign_file_is_neither_taken_nor_removed(path, content):
    path.write_bytes(content)
    journal = Journal(path, overwrite=True)
    with pytest.raises(UsageError, match="no partial file of 'recon evaluate'"):
        journal.begin(FACTS, 5)
    journal.remove()
    journal.close()
    assert path.read_bytes() == content


def test_a_file_that_took_its_place_is_not_removed(path):
    journal = Journal(path)
    journal.begin(FACTS, 5)
    journal.add(_record("a"))
    path.unlink()
    path.write_bytes(b"mine")
    journal.remove()
    assert path.read_bytes() == b"mine"


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    journal = Journal(path)
    journal.begin(FACTS, 5)
    journal.add(_record("a"))
    before = path.read_bytes()
    with monkeypatch.context() as patched:

        def full(_):
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            journal.add(_record("b"))
    assert path.read_bytes() == before
    journal.add(_record("c"))
    journal.close()
    assert [json.loads(line).get("name") for line in path.read_bytes().splitlines()] == [None, "a", "c"]


def test_an_interrupt_before_the_first_sample_tells_of_earlier_ones(path):
    with Journal(path) as journal:
        assert journal.kept() == "no sample was finished"
    _filled(path, "a")
    with Journal(path) as journal:
        assert journal.kept().startswith("the samples of an earlier run are kept in")


def test_a_run_that_finished_nothing_leaves_nothing(path):
    _filled(path)
    assert not path.exists()
