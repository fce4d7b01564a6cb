"""Videos of drawn people whose truth is known, and videos that are not in order."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_clips import SIZE, pixels_of, write_clip
from PIL import Image

import bfm
from recon.detection.face import NoFaceError
from recon.io.video import open_video
from recon.rotation import rotation_angle
from recon.synthesis.sample import FaceBatch
from recon.tracking.head_track import HeadTrack
from recon.tracking.tracker import Tracker

Drawn = dict[int, list[FaceBatch]]
BLACK = np.zeros((*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def tracked(tracker: Tracker, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[HeadTrack, Path]:
    """The track of the first person, and the folder that it was worked in."""
    work = tmp_path_factory.mktemp("work")
    (track,) = tracker(open_video(clip), work)
    return track, work


def assert_equal_tracks(a: HeadTrack, b: HeadTrack) -> None:
    for name in ("index", "time_s", "rotation", "translation_mm", "expression", "lighting", "sigma_rad", "sigma_mm"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.reason == b.reason and a.cuts == b.cuts and a.notes == b.notes


def test_a_head_is_followed(tracked: tuple[HeadTrack, Path], drawn_frames: Drawn) -> None:
    track, truth = tracked[0], drawn_frames[0]
    assert len(track) == len(truth) and track.found.all() and not track.cuts and not track.notes
    true = torch.cat([frame.rotation for frame in truth]).double()
    error_deg = torch.rad2deg(rotation_angle(torch.from_numpy(track.rotation), true))
    assert float(error_deg.mean()) < 4.0  # faces of 80 px
    # What all frames err by alike does not count.
    found = torch.from_numpy(track.rotation)
    turned, wanted = found @ found[:1].transpose(1, 2), true @ true[:1].transpose(1, 2)
    assert float(torch.rad2deg(rotation_angle(turned, wanted)).mean()) < 2.0
    assert float(torch.rad2deg(rotation_angle(wanted, wanted[:1].expand_as(wanted))).max()) > 8.0, (
        "or this shows nothing"
    )
    marks = [
        track.camera(k).to_pixels(
            track.camera(k).to_camera(
                track.model.landmarks68(
                    track.model.shape(track.person.identity, torch.from_numpy(track.expression[k : k + 1]).float())
                )
            )
        )[0]
        for k in range(len(track))
    ]
    error_px = (torch.stack(marks) - torch.cat([frame.landmarks68_px for frame in truth])).norm(dim=2).mean()
    assert float(error_px) < 2.0
    assert ((track.expression >= 0.0) & (track.expression <= 1.0)).all()
    assert (track.lighting[:, 0] > 0.0).all() and np.isfinite(track.lighting).all()
    assert (track.sigma_rad > 0.0).all() and (track.sigma_mm > 0.0).all()


@pytest.mark.parametrize(
    "stage, after",
    [pytest.param("faces", 5, marks=pytest.mark.slow), ("fit", 4), pytest.param("light", 6, marks=pytest.mark.slow)],
)
def test_a_run_that_was_killed_goes_on_with_the_same_numbers(
    tracker: Tracker, clip: Path, tracked: tuple[HeadTrack, Path], tmp_path: Path, stage: str, after: int
) -> None:
    def killed(now: str, done: int, total: int | None) -> None:
        if now == stage and done >= after:
            raise KeyboardInterrupt

    work = tmp_path / "work"
    (work / "person1").mkdir(parents=True)
    shutil.copy(
        tracked[1] / "person1" / "person.npz", work / "person1"
    )  # takes seconds to find, and draws no random number
    with pytest.raises(KeyboardInterrupt):
        tracker(open_video(clip), work, killed)
    for path in work.rglob("*.bin"):  # the write that was under way
        with open(path, "ab") as file:
            file.write(b"cut")
    if stage == "faces":
        assert (
            0
            < len((work / "seen" / "frames.bin").read_bytes())
            < len((tracked[1] / "seen" / "frames.bin").read_bytes())
        )
    (again,) = tracker(open_video(clip), work)
    assert_equal_tracks(again, tracked[0])


@pytest.mark.slow
def test_the_number_of_threads_changes_no_number(
    tracker: Tracker, clip: Path, tracked: tuple[HeadTrack, Path], tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2 if before == 1 else 1)
    try:
        (again,) = tracker(open_video(clip), known(tracked, tmp_path / "work"))
    finally:
        torch.set_num_threads(before)
    assert_equal_tracks(again, tracked[0])


def test_causal_tracks_know_nothing_of_later_frames(
    open_model: bfm.MorphableModel, clip: Path, tracked: tuple[HeadTrack, Path], tmp_path: Path
) -> None:
    """The last frame of both knows all; before, two passes know more."""
    shutil.copytree(tracked[1], tmp_path / "work")
    (causal,) = Tracker(open_model, "fast", causal=True)(open_video(clip), tmp_path / "work")
    two_pass = tracked[0]
    np.testing.assert_allclose(causal.rotation[-1], two_pass.rotation[-1], atol=1e-9)
    np.testing.assert_allclose(causal.expression[-1], two_pass.expression[-1], atol=1e-9)
    assert (causal.sigma_rad[:-1] > two_pass.sigma_rad[:-1]).all()


def known(tracked: tuple[HeadTrack, Path], folder: Path, people: int = 1) -> Path:
    """A working folder in which everybody is taken for the first person: finding out takes seconds and is tested above."""
    for number in range(people):
        (folder / f"person{number + 1}").mkdir(parents=True)
        shutil.copy(tracked[1] / "person1" / "person.npz", folder / f"person{number + 1}")
    return folder


@pytest.mark.slow
def test_cuts_black_frames_and_a_face_that_comes_back(
    tracker: Tracker, tracked: tuple[HeadTrack, Path], drawn_frames: Drawn, tmp_path: Path
) -> None:
    first, second = ([pixels_of(frame) for frame in drawn_frames[person]] for person in (0, 1))
    pictures = [*first[:8], BLACK, BLACK, *second[:6], *first[8:], *first[10:8:-1]]
    video = open_video(write_clip(tmp_path / "cut.mp4", pictures))
    tracks = tracker(video, known(tracked, tmp_path / "work", 2))
    assert len(tracks) == 2
    main, other = tracks
    back = len(pictures) - 16
    assert main.found.tolist() == [True] * 8 + [False] * 8 + [True] * back
    assert other.found.tolist() == [False] * 10 + [True] * 6 + [False] * back
    assert main.reason[8:10] == ("no face was found",) * 2 and main.reason[12] == "this person was not found"
    assert np.isnan(main.rotation[~main.found]).all() and np.isnan(main.expression[~main.found]).all()
    assert np.isfinite(main.rotation[main.found]).all()
    assert set(main.cuts) >= {10, 16}


@pytest.mark.slow
def test_two_people_cross(
    tracker: Tracker, tracked: tuple[HeadTrack, Path], drawn_frames: Drawn, tmp_path: Path
) -> None:
    """The second passes in front of the first; each keeps its number."""
    height, width = SIZE
    pictures, n = [], 16
    for k in range(n):
        canvas = np.full((height, 2 * width, 3), 90, np.uint8)
        for person, share in ((0, k / (n - 1)), (1, 1.0 - k / (n - 1))):
            frame = drawn_frames[person][k % 12 if k % 24 < 12 else 23 - k % 24]
            left = round(share * width)
            seen = (frame.segmentation[0] > 0).numpy()
            part = canvas[:, left : left + width]
            part[seen] = pixels_of(frame)[seen]
        pictures.append(canvas)
    video = open_video(write_clip(tmp_path / "cross.mp4", pictures))
    tracks = tracker(video, known(tracked, tmp_path / "work", 2))
    assert len(tracks) == 2
    for track in tracks:
        assert track.found[:4].all() and track.found[-4:].all()
        sideways = track.translation_mm[track.found, 0]
        steps = np.diff(sideways)
        assert (steps > 0).mean() > 0.9 or (steps < 0).mean() > 0.9, "it turned back where they met"
    ways = [float(track.translation_mm[-1, 0] - track.translation_mm[0, 0]) for track in tracks]
    assert ways[0] * ways[1] < 0.0
    assert not all(track.found.all() for track in tracks), "one was hidden for a while"


def test_a_video_that_breaks_off_is_tracked_so_far(
    tracker: Tracker, tracked: tuple[HeadTrack, Path], drawn_frames: Drawn, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, frame in enumerate(drawn_frames[0][:5]):
        Image.fromarray(pixels_of(frame)).save(folder / f"{2 * k}.png")  # with gaps
    (folder / "10.png").write_bytes(b"no picture")
    (track,) = tracker(open_video(folder, fps=25.0), known(tracked, tmp_path / "work"))
    assert track.index.tolist() == [0, 2, 4, 6, 8] and track.found.all()
    np.testing.assert_allclose(np.diff(track.time_s), 0.08)
    (note,) = track.notes
    assert "10.png" in note


def test_one_frame_and_odd_sizes(
    tracker: Tracker, tracked: tuple[HeadTrack, Path], drawn_frames: Drawn, tmp_path: Path
) -> None:
    picture = pixels_of(drawn_frames[0][0])[:-1, :-1]
    (track,) = tracker(open_video(write_clip(tmp_path / "one.mp4", [picture])), known(tracked, tmp_path / "work"))
    assert len(track) == 1 and track.found.all() and np.isfinite(track.lighting).all()


def test_nobody(tracker: Tracker, tmp_path: Path) -> None:
    video = open_video(write_clip(tmp_path / "black.mp4", [BLACK] * 3))
    with pytest.raises(NoFaceError, match=r"black\.mp4 \(3 frames\)"):
        tracker(video)


def test_what_cannot_be_asked_for(open_model: bfm.MorphableModel) -> None:
    with pytest.raises(ValueError, match="fast, default"):
        Tracker(open_model, "best")
    with pytest.raises(ValueError, match="focal length"):
        Tracker(open_model, focal_px=-1.0)
