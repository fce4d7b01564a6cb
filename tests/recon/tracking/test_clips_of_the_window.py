"""Videos that are dropped into the window."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recon.app import clips
from recon.app.limits import RefusedUpload
from recon.app.sources import ClipSource, NoHeadError
from recon.io.video import VideoError


@pytest.mark.slow
def test_a_clip_has_the_heads_of_its_track(clip, tracker, drawn_frames):
    shares = []
    asked = clips.clip_tracker(lambda: tracker)
    found = asked(clip.read_bytes(), shares.append)
    frames = drawn_frames[0]
    assert len(found.heads) == len(found.reasons) == len(frames) and found.frames_per_s == pytest.approx(25.0)
    assert 0.0 <= min(shares) and max(shares) == 1.0
    known = [k for k, reason in enumerate(found.reasons) if not reason]
    assert len(known) >= len(frames) - 2
    for k in (known[0], known[-1]):
        head = found.heads[k]
        # Of this frame, and not of another one: its picture, and its pose.
        shown = head.photo.pixels.astype(float)
        apart = [
            np.abs(shown - 255.0 * frame.image[0].permute(1, 2, 0).numpy()).mean()
            for frame in (frames[k], frames[known[0] + known[-1] - k])
        ]
        assert apart[0] < 6.0 and apart[0] < apart[1]
        turned = head.camera.rotation[0].double() @ frames[k].rotation[0].double().T
        assert np.degrees(np.arccos(np.clip((float(turned.trace()) - 1.0) / 2.0, -1.0, 1.0))) < 8.0
    assert found.heads[-1] is not None or found.reasons[-1]
    with pytest.raises(IndexError, match="frame 99 of a clip of"):
        found.heads[99]
    lost = dataclasses.replace(found.heads._track, reason=("gone",) * len(frames))
    hidden = clips.TrackedHeads(lost, [])
    assert list(hidden) == [None] * len(frames)
    with pytest.raises(NoHeadError, match="gone"):
        ClipSource("a.mp4", dataclasses.replace(found, heads=hidden, reasons=lost.reason)).head(0, "track")


def test_bad_and_long_videos_are_refused_in_words(clip, tracker, monkeypatch):
    asked = clips.clip_tracker(lambda: tracker)
    with pytest.raises(VideoError, match="^it is no video that can be read"):
        asked(b"no video", lambda share: None)
    monkeypatch.setattr(clips, "MOST_FRAMES", 5)
    with pytest.raises(RefusedUpload, match="more than 5 frames.*take recon track"):
        asked(clip.read_bytes(), lambda share: None)
