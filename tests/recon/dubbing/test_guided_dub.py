"""A video edited by an editor with guides. Its network has learnt nothing and so draws the guide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from recon.dubbing.dub import DubError, dub
from recon.dubbing.editor import FaceEditor
from recon.dubbing.face_crops import MouthCrop
from recon.dubbing.followed_face import follow_face
from recon.io.audio import Recording
from recon.io.video import open_video
from recon.io.write_video import VideoWriter

SIZE = (200, 240)


@pytest.fixture(scope="module")
def editor(guided_checkpoint: Path) -> FaceEditor:
    return FaceEditor(guided_checkpoint)


def _detail(picture: np.ndarray, crop: MouthCrop) -> float:
    """Mean change from pixel to pixel about the mouth."""
    left, top, right, bottom = crop.hidden_px(picture.shape[0])
    shown = picture[top + 12 : bottom - 24, left + 24 : right - 24].astype(float).mean(axis=2)
    return float(np.abs(np.diff(shown, axis=0)).mean())


@pytest.mark.slow
def test_a_face_stays_the_face(astronaut, editor, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4", 25.0) as writer:
        for k in range(10):
            writer.write(np.ascontiguousarray(astronaut[30 : 30 + SIZE[0], 120 + 2 * k : 120 + 2 * k + SIZE[1]]))
    silence = Recording(np.zeros(6400), 16_000)
    report = dub(open_video(tmp_path / "film.mp4"), silence, tmp_path / "out.mp4", editor)
    assert (report.frames, report.edited) == (10, 10), report.notes
    before, after = ([f.pixels.astype(float) for f in open_video(tmp_path / n)] for n in ("film.mp4", "out.mp4"))
    crops = follow_face(open_video(tmp_path / "film.mp4")).crops
    kept = []
    for k in range(10):
        first, second = (
            crops[k].picture(picture.astype(np.uint8), 64).astype(float) for picture in (before[k], after[k])
        )
        left, top, right, bottom = crops[k].hidden_px(64)
        inside = np.abs(first - second)[top:bottom, left:right].mean()
        grey = np.abs(first - first.mean())[top:bottom, left:right].mean()
        assert inside < 0.35 * grey, (k, inside, grey)
        # As sharp as the frame, though the editor draws 64 px.
        detail = [
            _detail(crops[k].picture(picture.astype(np.uint8), 160), crops[k]) for picture in (before[k], after[k])
        ]
        kept.append(detail[1] / detail[0])
    assert np.mean(kept) > 0.92, kept
    # Far beside the head the frame stays, within the rectangle too.
    changes = []
    for k in range(10):
        left, _, right, bottom = crops[k].hidden_px(64)
        first, second = (crops[k].picture(p.astype(np.uint8), 64).astype(float) for p in (before[k], after[k]))
        changes.append(np.abs(first - second)[bottom - 9 : bottom, [left + 2, left + 3, right - 4, right - 3]].mean())
    assert max(changes) < 2.0, changes


@pytest.mark.slow
def test_a_head_that_cannot_be_tracked_is_named(editor, astronaut, tmp_path: Path, monkeypatch) -> None:
    from recon.detection.face import NoFaceError

    def nobody(*_: object) -> None:
        raise NoFaceError("the faces of film.mp4 are too unsure to know a person by")

    monkeypatch.setattr("recon.tracking.tracker.Tracker.__call__", nobody)
    with VideoWriter(tmp_path / "film.mp4", 25.0) as writer:
        for _ in range(3):
            writer.write(np.ascontiguousarray(astronaut[30 : 30 + SIZE[0], 120 : 120 + SIZE[1]]))
    with pytest.raises(DubError, match="the head cannot be followed: the faces of"):
        dub(open_video(tmp_path / "film.mp4"), Recording(np.zeros(900), 16_000), tmp_path / "out.mp4", editor)
    assert not (tmp_path / "out.mp4").exists()
