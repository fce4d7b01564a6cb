"""Figures of edited clips by a sync network that knows where it looks."""

import numpy as np
import pytest
import torch

from recon.dubbing.clips import FaceClip
from recon.dubbing.voices import features_of
from recon.evaluation.dubbing import clip_figures, copied, feature_distance, mean_figures
from recon.evaluation.metrics.lip_sync import lip_sync
from recon.networks.sync_network import SyncConfig, SyncNetwork

HIDDEN = (4, 14, 28, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SyncNetwork(SyncConfig(width=8)).eval()


@pytest.fixture(scope="module")
def clip():
    random = np.random.default_rng(5)
    frames = random.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    sound = (8000 * np.sin(np.arange(24 * 640) / 5.0) * np.abs(np.sin(np.arange(24 * 640) / 900.0))).astype(np.int16)
    return FaceClip(frames, np.tile(HIDDEN, (24, 1)), sound, 5.0 * random.random((24, 2)).astype(np.float32))


def test_the_truth_is_like_the_truth(network, clip):
    found = clip_figures(clip, clip.frames, network)
    assert found.ssim == pytest.approx(1.0) and found.psnr == 60.0
    assert feature_distance([clip.frames], [clip.frames], network) == pytest.approx(0.0, abs=1e-6)


def test_a_copied_face_keeps_everything_but_the_rectangle(network, clip):
    drawn = copied(clip)
    left, top, right, bottom = HIDDEN
    assert (drawn[:, top:bottom, left:right] == clip.frames[0, top:bottom, left:right]).all()
    outside = np.ones((32, 32), dtype=bool)
    outside[top:bottom, left:right] = False
    assert (drawn[:, outside] == clip.frames[:, outside]).all()
    found = clip_figures(clip, drawn, network)
    assert found.ssim < 0.3 and found.psnr < 12.0
    assert feature_distance([drawn], [clip.frames], network) > 0.0


def test_lips_are_measured_against_the_truth(clip):
    class Knows(SyncNetwork):
        """Sees the brightness of the first channel's corner of the mouth as the opening."""

        def lips_mm(self, looked):
            return torch.as_tensor(clip.lips_mm)[None] + 0.5

    found = clip_figures(clip, clip.frames, Knows(SyncConfig(width=8)).eval())
    assert found.opening_mm == pytest.approx(0.5, abs=1e-6) and found.opening_correlation == pytest.approx(1.0)
    unknown = FaceClip(clip.frames, clip.hidden, clip.sound)
    assert np.isnan(clip_figures(unknown, clip.frames, Knows(SyncConfig(width=8)).eval()).opening_mm)


def test_means_leave_out_what_is_not_known(network, clip):
    first = clip_figures(clip, clip.frames, network)
    second = clip_figures(FaceClip(clip.frames, clip.hidden, clip.sound), copied(clip), network)
    both = mean_figures([first, second])
    assert both.opening_mm == first.opening_mm and both.psnr == pytest.approx((first.psnr + second.psnr) / 2)


def test_a_late_voice_is_told_by_how_much(clip):
    """A network whose points are what is seen and heard: the offset is found, and the distance there is none."""
    codes = torch.nn.functional.normalize(torch.randn(24, 6, generator=torch.Generator().manual_seed(1)), dim=-1)
    late = 3

    class Twin(SyncNetwork):
        def video_points(self, looked):
            return codes[None, :20]

        def sound_points(self, features):
            return torch.cat((codes[-late:], codes))[None, :20]

    found = lip_sync(Twin(SyncConfig(width=8)).eval(), clip.frames, features_of(clip))
    assert found.offset == late and found.distance == pytest.approx(0.0, abs=1e-3) and found.confidence > 0.8


def test_impossible_clips_are_named(network, clip):
    with pytest.raises(ValueError, match="edited clip has 5 frames"):
        clip_figures(clip, clip.frames[:5], network)
    with pytest.raises(ValueError, match="at least 6 frames"):
        lip_sync(network, clip.frames[:5], features_of(clip)[:10])
