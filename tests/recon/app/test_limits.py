"""What is taken, and names of files that do no harm."""

from __future__ import annotations

import pytest

from recon.app.limits import Limits, RefusedUpload, check_upload, is_video, shown_name

SMALL = Limits(photo_bytes=1000, video_bytes=5000)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\face.jpg", "face.jpg"),
        ("/", "photo"),
        ("a\nb\x1b[31m.png", "a\\x0ab\\x1b[31m.png"),
        ("", "photo"),
    ],
)
def test_names_lose_their_folders_and_control_characters(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_long_names_are_cut() -> None:
    assert len(shown_name("x" * 5000 + ".jpg")) == 60


@pytest.mark.parametrize(("n_bytes", "said"), [(0, "is empty"), (1001, "at most 0 MB")])
def test_sizes_out_of_bounds_are_refused(n_bytes: int, said: str) -> None:
    with pytest.raises(RefusedUpload, match=said):
        check_upload("a.jpg", n_bytes, SMALL, videos=False)
    check_upload("a.jpg", 1000, SMALL, videos=False)


def test_videos_need_a_tracker_and_have_a_bound_of_their_own() -> None:
    assert is_video("Clip.MP4") and not is_video("mp4.jpg")
    with pytest.raises(RefusedUpload, match="need PyAV.*video"):
        check_upload("clip.mp4", 10, SMALL, videos=False)
    check_upload("clip.mp4", 4000, SMALL, videos=True)
    with pytest.raises(RefusedUpload, match="at most"):
        check_upload("clip.mp4", 5001, SMALL, videos=True)


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="kept must be at least 1, got 0"):
        Limits(kept=0)
