"""Names that people read, and names that file systems take."""

import os

import pytest

from recon.io.names import LONGEST_NAME_BYTES, folder_name, printable, same_name

NASTY = [
    "..", ".", "...", "", " ", "a/b", "a\\b", "..\\..", "CON", "con.x", "x" * 400, "é" * 200, "caf\udce9", " . a. ", "a\u202eb",
    "a\x00b", "a\nb", "\x1b[31m", "...jpg", "-o", "~", "a:b", "\ud800", "e\u0301", "ﬃ" * 90,
]  # fmt: skip


@pytest.mark.parametrize("stem", NASTY)
def test_a_folder_of_any_stem_can_be_made_and_lies_in_its_parent(stem, tmp_path):
    name = folder_name(stem)
    place = tmp_path / name
    place.mkdir()
    assert place.resolve().parent == tmp_path.resolve()
    assert os.listdir(tmp_path) == [name], "one component, not hidden behind another"
    assert not name.startswith(".") and len(name.encode()) <= LONGEST_NAME_BYTES + 1
    assert folder_name(name) == name


def test_usual_stems_stay_as_they_are():
    for stem in ("IMG_0001", "a blank", "näme mit raum", "x.face2", "你好", "a-2", "v1.2"):
        assert folder_name(stem) == stem


def test_names_that_some_file_system_takes_for_one_have_one_key():
    assert same_name("IMG_1") == same_name("img_1")
    assert same_name("e\u0301") == same_name("\u00e9")
    assert same_name("a") != same_name("b")


@pytest.mark.parametrize("name", NASTY)
def test_whatever_is_shown_can_be_written_and_moves_no_cursor(name):
    shown = printable(name)
    assert shown.encode().decode() == shown
    assert all(ord(c) >= 32 and c != "\x7f" for c in shown)


def test_bytes_that_are_no_text_are_shown_by_their_value():
    assert printable("caf\udce9 \x1b[31m é") == "caf\\xe9 \\x1b[31m é"
