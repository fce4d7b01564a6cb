"""Folders of photos to folders of heads: nothing of the user's is lost, and nothing is kept that was made otherwise."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from recon.commands.head_batch import HeadBatch
from recon.commands.photo_batch import BatchStopped, PhotoJob
from recon.io.output_folder import OutputFolder


@dataclasses.dataclass
class _Head:
    """What the batch asks of a reconstruction."""

    text: str

    pose = SimpleNamespace(yaw=1.0, pitch=2.0, roll=3.0)
    fit_report = SimpleNamespace(landmark_error_percent=float("nan"), warnings=("a \x1b note",))


class _Reconstructor:
    """Finds as many faces as a photo is rows high, and makes heads that say from which photo they are."""

    def __init__(self, fail=None) -> None:
        self.made: list[str] = []
        self.fail = fail or {}

    def detect(self, photo):
        return list(range(photo.pixels.shape[0]))

    def fit_face(self, photo, face):
        text = f"{photo.pixels[0, 0, 0]}/{face}"
        if text in self.fail:
            raise self.fail[text]
        self.made.append(text)
        return _Head(text)

    def fit_person(self, photos, faces):
        return [self.fit_face(photo, face) for photo, face in zip(photos, faces, strict=True)]


def _save(head, folder: Path) -> None:
    (folder / "face.json").write_text(head.text)


def _photo(path: Path, value: int, faces: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        Image.fromarray(np.full((faces, 2, 3), value, np.uint8)).save(file, "PNG")
    return path


def _run(out: Path, *photos: Path, person=False, reconstructor=None, faces="all", save=_save, overwrite=False, **facts):
    maker = reconstructor or _Reconstructor()
    output = OutputFolder(out)
    batch = HeadBatch(maker, output, save, {"quality": "fast", **facts}, faces, overwrite)
    jobs = [PhotoJob(path.stem, path) for path in photos]
    try:
        (batch.run_person if person else batch.run)(jobs)
    finally:
        output.close()
    json.dumps(batch.rows)
    return {row["name"]: row for row in batch.rows}, maker.made


def _status(rows) -> dict[str, str]:
    return {name: row["status"] for name, row in rows.items()}


def _texts(out: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in out.glob("*/face.json")}


def test_a_folder_beside_the_photo_is_not_deleted(tmp_path):
    photo = _photo(tmp_path / "holiday.jpg", 1)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "thesis.txt").write_text("years")
    rows, made = _run(tmp_path, photo)
    assert _status(rows) == {"holiday": "failed"} and "move it away" in rows["holiday"]["reason"]
    assert made == [], "said before the work"
    rows, _ = _run(tmp_path, photo, overwrite=True)
    assert _status(rows) == {"holiday": "failed"}
    assert (tmp_path / "holiday" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("name", ["...jpg", "..jpg", ".jpg"])
def test_a_photo_whose_stem_is_a_path_harms_nothing(tmp_path, name):
    out = tmp_path / "B" / "out"
    keep = tmp_path / "B" / "other" / "keep.txt"
    keep.parent.mkdir(parents=True)
    keep.write_text("mine")
    _run(out, _photo(tmp_path / "first.jpg", 9))
    rows, _ = _run(out, _photo(tmp_path / "photos" / name, 1))
    assert set(_status(rows).values()) == {"done"}
    assert keep.read_text() == "mine" and len(_texts(out)) == 2
    assert sorted(os.listdir(tmp_path / "B")) == ["other", "out"]


def test_what_is_finished_is_kept_and_what_differs_is_said(tmp_path):
    photo = _photo(tmp_path / "a.jpg", 1, faces=2)
    out = tmp_path / "out"
    assert _status(_run(out, photo)[0]) == {"a": "done", "a.face2": "done"}
    rows, made = _run(out, photo)
    assert _status(rows) == {"a": "kept", "a.face2": "kept"} and made == []
    rows, made = _run(out, photo, quality="best")
    assert _status(rows) == {"a": "refused"} and made == []
    assert 'quality was "fast", is "best"' in rows["a"]["reason"]
    rows, made = _run(out, photo, quality="best", overwrite=True)
    assert _status(rows) == {"a": "done", "a.face2": "done"} and len(made) == 2
    _photo(photo, 2, faces=2)
    rows, _ = _run(out, photo, quality="best")
    assert _status(rows) == {"a": "refused"} and "another photo" in rows["a"]["reason"]


def test_another_photo_of_the_same_name_is_made_too(tmp_path):
    first, second = _photo(tmp_path / "D1" / "IMG_1.jpg", 1), _photo(tmp_path / "D2" / "IMG_1.jpg", 2)
    out = tmp_path / "out"
    _run(out, first)
    assert _status(_run(out, second)[0]) == {"IMG_1-2": "done"}
    assert _texts(out) == {"IMG_1": "1/0", "IMG_1-2": "2/0"}
    for photos in ((first,), (second,), (first, second), (second, first)):
        assert set(_status(_run(out, *photos)[0]).values()) == {"kept"}


def test_a_photo_finds_its_results_whatever_other_photos_are_given(tmp_path):
    first, second = _photo(tmp_path / "D1" / "a.jpg", 1), _photo(tmp_path / "D2" / "a.jpg", 2)
    out = tmp_path / "out"
    _run(out, second)
    first.write_bytes(b"no picture")
    assert _run(out, first, second)[1] == [] and set(_texts(out)) == {"a"}


def test_a_result_that_lost_a_file_is_made_again(tmp_path):
    photo, out = _photo(tmp_path / "a.jpg", 1), tmp_path / "out"

    def save(head, folder):
        _save(head, folder)
        (folder / "head.glb").write_text(head.text)

    _run(out, photo, save=save)
    (out / "a" / "head.glb").unlink()
    assert _status(_run(out, photo, save=save)[0]) == {"a": "done"}
    assert (out / "a" / "head.glb").is_file()


def test_no_two_photos_of_a_run_share_a_folder(tmp_path):
    names = ["a.jpg", "a.png", "a-2.jpg", "A.jpg", "x.jpg", "x.face2.jpg"]
    photos = [_photo(tmp_path / name, k, faces=2 if name == "x.jpg" else 1) for k, name in enumerate(names)]
    out = tmp_path / "out"
    rows, made = _run(out, *photos)
    assert set(_status(rows).values()) == {"done"} and len(made) == len(rows) == 7
    assert sorted(_texts(out).values()) == ["0/0", "1/0", "2/0", "3/0", "4/0", "4/1", "5/0"]
    rows, made = _run(out, *photos)
    assert set(_status(rows).values()) == {"kept"} and made == []


def test_any_error_of_one_photo_or_face_is_a_row(tmp_path):
    photos = [_photo(tmp_path / f"{k}.jpg", k, faces=3) for k in range(3)]
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no picture")
    os.mkfifo(tmp_path / "pipe.jpg")
    fail = {"1/1": np.linalg.LinAlgError("singular"), "2/0": MemoryError(), "2/2": ValueError("face.json\nnan")}
    jobs = [*photos, tmp_path / "bad.jpg", tmp_path / "pipe.jpg", tmp_path / "gone.jpg", tmp_path]
    rows, _ = _run(tmp_path / "out", *jobs, reconstructor=_Reconstructor(fail))
    failed = {name: row["reason"] for name, row in rows.items() if row["status"] == "failed"}
    assert set(failed) == {"1.face2", "2", "2.face3", "bad", "pipe", "gone", tmp_path.name}
    assert failed["1.face2"] == "LinAlgError: singular" and failed["2"] == "MemoryError"
    assert failed["2.face3"] == "ValueError: face.json nan" and "is a pipe" in failed["pipe"]
    assert sum(row["status"] == "done" for row in rows.values()) == 6


def test_faces_are_kept_one_by_one_and_the_missing_ones_made(tmp_path):
    photo = _photo(tmp_path / "group.jpg", 1, faces=4)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        _run(out, photo, reconstructor=_Reconstructor({"1/2": KeyboardInterrupt()}))
    assert set(_texts(out)) == {"group", "group.face2"}
    rows, made = _run(out, photo)
    assert list(_status(rows).values()) == ["kept", "kept", "done", "done"] and made == ["1/2", "1/3"]


def test_a_full_disk_ends_the_run_and_says_so(tmp_path):
    photos = [_photo(tmp_path / f"{k}.jpg", k) for k in range(3)]

    def full(head, folder):
        if head.text == "1/0":
            raise OSError(errno.ENOSPC, "No space left on device")
        _save(head, folder)

    with pytest.raises(BatchStopped, match="No space left .* the photos after it were not tried"):
        _run(tmp_path / "out", *photos, save=full)
    assert set(os.listdir(tmp_path / "out")) == {"0"}
    rows, made = _run(tmp_path / "out", *photos)
    assert list(_status(rows).values()) == ["kept", "done", "done"]


def test_a_name_that_is_no_text_is_done_and_shown(tmp_path):
    photo = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    rows, _ = _run(tmp_path / "out", _photo(photo, 1))
    assert _status(rows) == {"caf_": "done"}
    assert rows["caf_"]["warnings"] == ["a \\x1b note"]
    assert _status(_run(tmp_path / "out", photo)[0]) == {"caf_": "kept"}


def test_one_person_leaves_out_what_cannot_be_used(tmp_path):
    photos = [_photo(tmp_path / f"{k}.jpg", k) for k in range(3)]
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    rows, made = _run(out, *photos, tmp_path / "bad.jpg", person=True)
    assert _status(rows) == {"bad": "failed", "0": "done", "1": "done", "2": "done"} and len(made) == 3
    rows, made = _run(out, *photos, tmp_path / "bad.jpg", person=True)
    assert _status(rows) == {"bad": "failed", "0": "kept", "1": "kept", "2": "kept"} and made == []
    (out / "1" / "edited.blend").write_text("mine")
    rows, made = _run(out, *photos, person=True, overwrite=True)
    assert len(made) == 3, "its photo is one of the person's all the same"
    assert (
        _status(rows) == {"1": "failed", "0": "done", "2": "done"}
        and "edited.blend was not written by recon" in rows["1"]["reason"]
    )
    assert (out / "1" / "edited.blend").read_text() == "mine"
    rows, made = _run(out, photos[1], person=True, overwrite=True)
    assert _status(rows) == {"1": "failed"} and made == [], "nothing to be made"
    rows, made = _run(out, *photos[:2], person=True)
    assert set(_status(rows).values()) == {"refused"} and made == [], "the person has other photos now"
    assert "person" in rows["0"]["reason"]


def test_a_person_without_any_usable_photo_is_rows_not_a_traceback(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    rows, _ = _run(tmp_path / "out", tmp_path / "bad.jpg", tmp_path / "gone.jpg", person=True)
    assert _status(rows) == {"bad": "failed", "gone": "failed"}
    fail = {"1/0": RuntimeError("no way")}
    rows, _ = _run(tmp_path / "out", _photo(tmp_path / "a.jpg", 1), person=True, reconstructor=_Reconstructor(fail))
    assert rows["a"]["reason"] == "RuntimeError: no way"


_SLOW_RUN = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_head_batch as t
class Slow(t._Reconstructor):
    def fit_face(self, photo, face):
        time.sleep(0.05)
        return super().fit_face(photo, face)
rows, made = t._run(Path(sys.argv[2]), *map(Path, sys.argv[3:]), reconstructor=Slow())
assert all(row["status"] in ("done", "kept") for row in rows.values()) and len(rows) == 24, rows
print(len(made))
"""


def test_two_runs_at_once_make_each_face_once(tmp_path):
    photos = [_photo(tmp_path / "photos" / f"{k}.jpg", k, faces=2) for k in range(12)]
    out = tmp_path / "out"
    command = [sys.executable, "-c", _SLOW_RUN, str(Path(__file__).parent), str(out), *map(str, photos)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    made = [int(run.communicate(timeout=60)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(made) == 24, "each once"
    assert len(_texts(out)) == 24 and len(os.listdir(out)) == 24
