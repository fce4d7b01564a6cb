"""Whose folders are whose, and how one is replaced."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from recon.io.fingerprint import Fingerprint
from recon.io.output_folder import (
    RECORD,
    WORK_FOLDER,
    NotOursError,
    OutputError,
    OutputFolder,
    candidate_names,
    distinct_names,
    read_record,
)

MINE = {"source": "/photos/a.jpg", "sha256": "aa"}
FACTS = Fingerprint({"quality": "fast"})


def _fill(text: str):
    def fill(folder: Path) -> None:
        (folder / "head.glb").write_text(text)
        (folder / "face.json").write_text(text)

    return fill


def _make(root: Path, text: str = "one", name: str = "a", owner=MINE) -> Path:
    output = OutputFolder(root)
    claim = output.claim([name], owner, wait=False)
    assert claim is not None
    with claim:
        place = claim.write(0, FACTS, _fill(text), {"faces": 1})
    output.close()
    return place


def _tree(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file() and p.name != RECORD}


def test_a_result_is_written_as_a_whole_and_leaves_nothing_else(tmp_path):
    place = _make(tmp_path)
    assert os.listdir(tmp_path) == ["a"]
    record = read_record(place)
    assert record is not None and record.facts == FACTS.facts and set(record.files) == {"head.glb", "face.json"}
    _make(tmp_path, "two")
    assert _tree(tmp_path) == {"a/head.glb": "two", "a/face.json": "two"}
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("content", ["thesis.txt", "face.json"])
def test_a_folder_of_the_users_is_never_touched(tmp_path, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / content).write_text("years of work")
    with pytest.raises(NotOursError, match="not a result that recon may replace; move it away"):
        _make(tmp_path)
    assert _tree(tmp_path) == {f"a/{content}": "years of work"}
    assert not (tmp_path / WORK_FOLDER).exists() or not os.listdir(tmp_path / WORK_FOLDER)


def test_a_link_is_never_followed(tmp_path):
    precious = tmp_path / "elsewhere"
    _make(precious)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").symlink_to(precious / "a")
    with pytest.raises(NotOursError):
        _make(out, "two")
    assert (precious / "a" / "head.glb").read_text() == "one"


@pytest.mark.parametrize("change", ["added", "edited", "replaced by a link", "replaced by a folder"])
def test_what_the_user_put_into_a_result_is_kept(tmp_path, change):
    place = _make(tmp_path)
    if change == "added":
        (place / "edited.blend").write_text("mine")
    elif change == "edited":
        (place / "head.glb").write_text("mine")
    else:
        (place / "head.glb").unlink()
        if change == "replaced by a link":
            (tmp_path / "mine.glb").write_text("one")
            (place / "head.glb").symlink_to(tmp_path / "mine.glb")
        else:
            (place / "head.glb").mkdir()
    before = _tree(tmp_path)
    with pytest.raises(NotOursError, match=r"(edited\.blend was not written by recon|head\.glb was changed since)"):
        _make(tmp_path, "two")
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("name", ["../../precious", "/precious", "images/../../../precious", ".."])
def test_a_record_cannot_name_files_elsewhere(tmp_path, name):
    place = _make(tmp_path)
    content = json.loads((place / RECORD).read_text())
    content["files"][name] = "00"
    (place / RECORD).write_text(json.dumps(content))
    with pytest.raises(NotOursError):
        _make(tmp_path, "two")


def _make_with_folder(root: Path, text: str) -> Path:
    def fill(folder: Path) -> None:
        _fill(text)(folder)
        (folder / "images").mkdir()
        (folder / "images" / "0.png").write_text(text)

    output = OutputFolder(root)
    claim = output.claim(["a"], MINE, wait=False)
    assert claim is not None
    with claim:
        place = claim.write(0, FACTS, fill)
        finished = claim.finished(0)
        assert finished is not None and set(finished.files) == {"head.glb", "face.json", "images/0.png"}
        (place / "images" / "0.png").rename(place / "moved.png")
        assert claim.finished(0) is None
        (place / "moved.png").rename(place / "images" / "0.png")
    output.close()
    return place


def test_a_result_may_have_folders(tmp_path):
    for text in ("one", "two"):
        _make_with_folder(tmp_path, text)
        assert _tree(tmp_path) == {f"a/{name}": text for name in ("head.glb", "face.json", "images/0.png")}
    assert os.listdir(tmp_path) == ["a"]
    _make(tmp_path, "three")
    assert _tree(tmp_path) == {"a/head.glb": "three", "a/face.json": "three"}
    assert sorted(os.listdir(tmp_path / "a")) == [RECORD, "face.json", "head.glb"]


@pytest.mark.parametrize("change", ["added", "an empty folder", "edited", "replaced by a link"])
def test_what_the_user_put_into_a_folder_of_a_result_is_kept(tmp_path, change):
    place = _make_with_folder(tmp_path, "one")
    images = place / "images"
    if change == "added":
        (images / "mine.png").write_text("mine")
    elif change == "an empty folder":
        (images / "more").mkdir()
    elif change == "edited":
        (images / "0.png").write_text("mine")
    else:
        images.rename(tmp_path / "elsewhere")
        images.symlink_to(tmp_path / "elsewhere")
    before = _tree(tmp_path)
    with pytest.raises(NotOursError, match=r"images(/\S+)? was (not written|changed)"):
        _make_with_folder(tmp_path, "two")
    assert _tree(tmp_path) == before


def test_files_of_the_user_in_folders_of_a_result_that_was_set_aside_come_back(tmp_path):
    place = _make_with_folder(tmp_path, "one")
    aside = tmp_path / WORK_FOLDER / "a.0123456789abcdef.old"
    (place / "images" / "mine.png").write_text("mine")
    place.rename(tmp_path / "b")
    _make_with_folder(tmp_path, "two")
    aside.parent.mkdir(exist_ok=True)
    (tmp_path / "b").rename(aside)
    OutputFolder(tmp_path).close()
    assert (place / "images" / "mine.png").read_text() == "mine" and (place / "images" / "0.png").read_text() == "two"
    assert not (tmp_path / WORK_FOLDER).exists()


def test_another_picture_of_the_same_name_gets_another_folder(tmp_path):
    _make(tmp_path)
    output = OutputFolder(tmp_path)
    other = {"source": "/other/a.jpg", "sha256": "bb"}
    claim = output.claim(candidate_names("a", 5), other, wait=False)
    assert claim is not None and claim.name == "a-2"
    claim.release()
    for moved in ({"source": "/photos/a.jpg", "sha256": "cc"}, {"source": "/new/a.jpg", "sha256": "aa"}):
        claim = output.claim(candidate_names("a", 5), moved, wait=False)
        assert claim is not None and claim.name == "a", "the same file with new content, and the same content moved"
        claim.release()


def test_a_name_that_differs_in_case_alone_is_taken(tmp_path):
    _make(tmp_path, name="IMG")
    claim = OutputFolder(tmp_path).claim(candidate_names("img", 5), {"source": "x", "sha256": "bb"}, wait=False)
    assert claim is not None and claim.name == "img-2"
    claim.release()


def test_a_name_in_work_is_busy(tmp_path):
    output = OutputFolder(tmp_path)
    claim = output.claim(["a"], MINE, wait=False)
    assert claim is not None
    assert OutputFolder(tmp_path).claim(["a"], MINE, wait=False) is None
    with claim:
        claim.write(0, FACTS, _fill("one"))
    output.close()
    assert os.listdir(tmp_path) == ["a"]


def test_a_failure_while_making_keeps_the_old_result(tmp_path):
    _make(tmp_path)
    output = OutputFolder(tmp_path)
    claim = output.claim(["a"], MINE, wait=False)
    assert claim is not None

    def full(folder: Path) -> None:
        (folder / "head.glb").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with claim, pytest.raises(OutputError, match="No space left"):
        claim.write(0, FACTS, full)
    output.close()
    assert _tree(tmp_path) == {"a/head.glb": "one", "a/face.json": "one"}
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_appears_while_a_result_is_made_is_kept(tmp_path):
    place = _make(tmp_path)
    output = OutputFolder(tmp_path)
    claim = output.claim(["a"], MINE, wait=False)
    assert claim is not None

    def meanwhile(folder: Path) -> None:
        _fill("two")(folder)
        (place / "notes.txt").write_text("mine")

    with claim, pytest.raises(NotOursError, match=r"notes\.txt was not written by recon"):
        claim.write(0, FACTS, meanwhile)
    assert _tree(place)["notes.txt"] == "mine"


class _Killed(BaseException):
    """Stands for a process that ends: nothing after it is cleaned up by the test's hooks."""


@pytest.mark.parametrize("moment", ["setting aside", "putting in place", "deleting the old"])
def test_a_run_killed_between_any_two_steps_leaves_a_whole_result(tmp_path, monkeypatch, moment):
    """Stop where kill -9 could, without anything being cleaned up, and look at what the next run finds."""
    place = _make(tmp_path)
    claim = OutputFolder(tmp_path).claim(["a"], MINE, wait=False)
    assert claim is not None
    rename, unlink = Path.rename, Path.unlink

    def stopped_rename(self, target):
        if self.suffix == ".part" and moment == "putting in place" or moment == "setting aside":
            raise _Killed
        return rename(self, target)

    def stopped_unlink(self, missing_ok=False):
        if moment == "deleting the old" and self.name == "head.glb":
            raise _Killed
        return unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopped_rename)
        patch.setattr(Path, "unlink", stopped_unlink)
        patch.setattr(shutil, "rmtree", lambda path: None)
        with pytest.raises(_Killed):
            claim.write(0, FACTS, _fill("two"))
    claim.release()
    assert (tmp_path / WORK_FOLDER).is_dir(), "something was left"
    OutputFolder(tmp_path).close()
    new = moment == "deleting the old"
    assert _tree(place) == dict.fromkeys(("head.glb", "face.json"), "two" if new else "one")
    assert os.listdir(tmp_path) == ["a"]


def test_files_of_the_user_in_a_result_that_was_set_aside_come_back(tmp_path):
    place = _make(tmp_path)
    aside = tmp_path / WORK_FOLDER / "a.0123456789abcdef.old"
    aside.parent.mkdir()
    place.rename(aside)
    (aside / "mine.txt").write_text("mine")
    _make(tmp_path / "x")  # another folder does not matter
    OutputFolder(tmp_path).close()
    assert _tree(place) == {"head.glb": "one", "face.json": "one", "mine.txt": "mine"}
    place.rename(tmp_path / "b")
    _make(tmp_path, "two")
    aside.parent.mkdir(exist_ok=True)
    (tmp_path / "b").rename(aside)
    OutputFolder(tmp_path).close()
    assert _tree(place) == {"head.glb": "two", "face.json": "two", "mine.txt": "mine"}
    assert not (tmp_path / WORK_FOLDER).exists()


def test_names_of_one_run_differ_for_every_file_system():
    assert distinct_names(["a", "b", "a", "a"]) == ["a", "b", "a-2", "a-3"]
    assert distinct_names(["a", "a", "a-2"]) == ["a", "a-2", "a-2-2"]
    assert distinct_names(["img", "IMG"]) == ["img", "IMG-2"]
    assert distinct_names(["IMG", "img", "..", "..."]) == ["IMG", "img-2", "photo", "photo-2"]
    assert distinct_names(["x", "x.face2", "x.FACE3"]) == ["x", "x_face2", "x_FACE3"], "further faces have those"


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write to .*choose another folder with -o"):
        OutputFolder(tmp_path / "file" / "out")


def test_results_of_one_kind_do_not_replace_those_of_another(tmp_path):
    _make(tmp_path, "a head")
    output = OutputFolder(tmp_path)
    claim = output.claim(["a"], {**MINE, "kind": "landmarks"}, wait=False)
    with claim:
        assert claim.finished(0) is None
        with pytest.raises(NotOursError, match=r"another kind of result of this picture \(head\)"):
            claim.write(0, FACTS, _fill("points"))
    assert _tree(tmp_path) == {"a/head.glb": "a head", "a/face.json": "a head"}
    _make(tmp_path / "other", "points", owner={**MINE, "kind": "landmarks"})
    with pytest.raises(NotOursError, match=r"another kind of result of this picture \(landmarks\)"):
        _make(tmp_path / "other", "a head")
    output.close()
