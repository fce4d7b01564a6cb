"""Clips of people made in the test, batches of them, and the modules that learn from them."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.dubbing.clips import FaceClip, FaceClipError
from recon.dubbing.voices import at_frames, features_of, heard_voice
from recon.networks.diffusion.checkpoint import load_editor
from recon.networks.diffusion.editor_network import EditorConfig
from recon.networks.diffusion.noise_schedule import NoiseSchedule
from recon.networks.network_file import CheckpointError
from recon.networks.sync_network import SyncConfig
from recon.speech.espeak import EspeakVoice, SpokenText
from recon.speech.phonemes import PhonemeTrack
from recon.synthesis.config import SynthesisConfig
from recon.training.dub_batch import ClipFrames, DubAugmentation
from recon.training.dub_data import DubStream, TalkingData
from recon.training.dub_module import DubModule, beside
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan, StreamPlace
from recon.training.sync_data import SyncStream
from recon.training.sync_module import SyncModule, belonging
from recon.training.talking_clips import TalkingClipsConfig, clip_file, draw_talking_clips

CONFIG = TalkingClipsConfig(count=3, people=2, size=32, look=SynthesisConfig.clean(pose="uniform"), seed=3)
EDITOR = EditorConfig(
    size=32,
    patch=2,
    channels=8,
    multiples=(1, 2),
    blocks=1,
    head_channels=4,
    dropout=0.0,
    voice="articulators",
    schedule=NoiseSchedule("cosine", 40),
    target="velocity",
)
STILL = DubAugmentation(0.0, 0.0, 0.0, 0.0, 0.0)


def spoken(text: str, voice: EspeakVoice) -> SpokenText:
    """Says "ama" with tones."""
    edges_s = np.array([0.0, 0.2, 0.3, 0.5])
    sound = 0.3 * np.sin(np.arange(8000) / 4.0) * np.repeat([1.0, 0.1, 1.0, 0.0], 2000)
    return SpokenText(sound, 16_000, PhonemeTrack(("a", "m", "a"), edges_s[:-1], edges_s[1:]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clips") / "train"
    draw_talking_clips(place, CONFIG, 0, spoken)
    return place


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    return [clip_file(folder, k) for k in range(CONFIG.count)]


def test_clips_show_faces_that_speak(files: list[Path]) -> None:
    clips = [FaceClip.load(file) for file in files]
    for clip in clips:
        assert clip.frames.shape == (len(clip), 32, 32, 3) and abs(len(clip) - 25 * len(clip.sound) / 16_000) <= 1
        left, top, right, bottom = clip.hidden.T
        assert (bottom == 32).all() and (left < 8).all() and (right > 24).all() and ((top > 10) & (top < 18)).all()
        # The mouth moves where it is hidden, more than the rest of the face.
        change = np.abs(np.diff(clip.frames.astype(float), axis=0)).mean(axis=(0, 3))
        assert change[17:26, 10:22].mean() > 1.3 * change[2:10, 10:22].mean()
        opening = clip.lips_mm[:, 0]
        assert opening.max() > 5.0 and opening.min() < 2.0
    # Two people take turns.
    apart = [np.abs(clips[0].frames[0].astype(float) - clips[k].frames[0]).mean() for k in (1, 2)]
    assert apart[1] < 0.6 * apart[0]


def test_drawing_goes_on_and_refuses_other_clips(files: list[Path], folder: Path, tmp_path: Path) -> None:
    first = files[1].read_bytes()
    files[1].unlink()
    draw_talking_clips(folder, CONFIG, 0, spoken)
    assert files[1].read_bytes() == first
    with pytest.raises(FaceClipError, match="other clips than those asked for"):
        draw_talking_clips(folder, dataclasses.replace(CONFIG, seed=4), 0, spoken)
    (tmp_path / "clips.json").write_text("{")
    with pytest.raises(FaceClipError, match="is damaged"):
        draw_talking_clips(tmp_path, CONFIG, 0, spoken)


def test_frames_come_with_the_frame_before_the_person_and_the_voice(files: list[Path]) -> None:
    frames = ClipFrames(files, "articulators", 5)
    number = len(FaceClip.load(files[0])) + 7  # frame 7 of the second clip
    batch = frames.batch([number], STILL, np.random.default_rng(0))
    clip = FaceClip.load(files[1])

    def code_values(picture: torch.Tensor) -> np.ndarray:
        return ((picture[0].permute(1, 2, 0) + 1.0) * 127.5).round().numpy()

    np.testing.assert_array_equal(code_values(batch.clean), clip.frames[7])
    np.testing.assert_array_equal(code_values(batch.previous), clip.frames[6])
    assert any((code_values(batch.person) == frame).all() for frame in clip.frames)
    left, top, right, bottom = clip.hidden[7]
    assert batch.hidden[0, 0, top:bottom, left:right].all() and int(batch.hidden.sum()) == (bottom - top) * (
        right - left
    )
    heard = at_frames(heard_voice(clip.sound, "articulators"), np.array([7 / 25.0]), 5)
    np.testing.assert_allclose(batch.voice.numpy(), heard, atol=2e-3)
    assert batch.guide.shape == (1, 0, 32, 32)


def test_guides_come_with_the_frame_whose_look_they_have(files: list[Path], tmp_path: Path) -> None:
    frames = ClipFrames(files, "articulators", 5, 4)
    clip = FaceClip.load(files[0])
    assert len(set(clip.shown.tolist())) > 3 and (clip.lips_mm[clip.shown, 0] <= clip.lips_mm[:, 0].min() + 3.0).all()
    batch = frames.batch([6], STILL, np.random.default_rng(0))
    at = ((batch.guide[0].permute(1, 2, 0) + 1.0) * 127.5).round().numpy()
    np.testing.assert_array_equal(at, clip.guides[6])
    person = ((batch.person[0].permute(1, 2, 0) + 1.0) * 127.5).round().numpy()
    np.testing.assert_array_equal(person, clip.frames[clip.shown[6]])
    # Guides come nearer to the frames than any one frame of the person does.
    inside = np.zeros(clip.frames.shape[:3], dtype=bool)
    for k, (left, top, right, bottom) in enumerate(clip.hidden):
        inside[k, top:bottom, left:right] = True
    copied = np.abs(clip.frames[clip.shown].astype(float) - clip.frames)[inside].mean()
    guided = np.abs(clip.guides[..., :3].astype(float) - clip.frames)[inside].mean()
    assert guided < 0.9 * copied, (guided, copied)
    # Brightness changes in all pictures alike; what is shown is no colour.
    bright = frames.batch([6], dataclasses.replace(STILL, colour=0.5), np.random.default_rng(2))
    torch.testing.assert_close(bright.guide[:, 3], batch.guide[:, 3])
    assert (bright.guide[:, :3] - batch.guide[:, :3]).abs().max() > 0.02
    bare = dataclasses.replace(clip, guides=None, shown=None).save(tmp_path / "bare.safetensors")
    with pytest.raises(FaceClipError, match="has no guides"):
        ClipFrames([bare], "articulators", 5, 4)


def test_an_editor_that_has_learnt_nothing_draws_the_guide(files: list[Path]) -> None:
    config = dataclasses.replace(EDITOR, guide=4, difference=4.0, follows=False)
    torch.manual_seed(0)
    module = DubModule(config, OptimiserConfig("adamw", 3e-3, warm_up=1, schedule="constant"), 0.9)
    module.log = module.log_dict = lambda *_, **__: None
    batch = ClipFrames(files, "articulators", 5, 4).batch([3, 20], STILL, np.random.default_rng(0))
    loss = module.training_step(batch, 0)
    loss.backward()
    assert float(loss.detach()) > 0.0 and module.network.last[2].weight.grad.abs().max() > 0.0
    assert float((beside(batch).drawn_from - batch.guide[:, :3]).abs().max()) == 0.0
    coded = beside(batch).coded(batch.clean, config)
    torch.testing.assert_close(beside(batch).decoded(coded, config), batch.clean, atol=1e-6, rtol=0.0)


def test_augmentation_mirrors_all_pictures_and_wears_only_the_frame_before(files: list[Path]) -> None:
    frames = ClipFrames(files, "articulators", 5)
    still = frames.batch([8], STILL, np.random.default_rng(1))
    turned = frames.batch([8], dataclasses.replace(STILL, mirrored=1.0), np.random.default_rng(1))
    for name in ("clean", "previous", "hidden"):
        torch.testing.assert_close(turned.tensors()[name], still.tensors()[name].flip(-1))
    torch.testing.assert_close(turned.voice, still.voice)
    worn = frames.batch([8], DubAugmentation(0.0, 0.5, 0.1, 0.0, 0.0), np.random.default_rng(1))
    torch.testing.assert_close(worn.clean, still.clean)
    inside = still.hidden.expand_as(still.clean)
    assert (worn.previous != still.previous)[inside].float().mean() > 0.5
    torch.testing.assert_close(worn.previous[~inside], still.previous[~inside])
    brighter = frames.batch([8], DubAugmentation(0.0, 0.0, 0.0, 0.0, 0.5), np.random.default_rng(2))
    gain = (brighter.clean + 1.0)[..., 3, 3] / (still.clean + 1.0)[..., 3, 3]
    torch.testing.assert_close(
        (still.previous + 1.0) * gain[..., None, None] - 1.0, brighter.previous, atol=0.02, rtol=0.0
    )


def test_batches_follow_from_the_step(files: list[Path]) -> None:
    frames, plan = ClipFrames(files, "mel", 3), BatchPlan(2, 5)
    from_start = list(itertools.islice(DubStream(frames, DubAugmentation(), plan, StreamPlace()), 4))
    later = next(iter(DubStream(frames, DubAugmentation(), plan, StreamPlace(3))))
    for name, tensor in from_start[3].tensors().items():
        torch.testing.assert_close(later.tensors()[name], tensor)
    assert later.voice.shape == (2, 3, 256)


def _module(**settings) -> DubModule:
    torch.manual_seed(0)
    module = DubModule(EDITOR, OptimiserConfig("adamw", 3e-3, warm_up=1, schedule="constant"), 0.9, **settings)
    module.log = module.log_dict = lambda *_, **__: None
    return module


def test_the_loss_is_of_what_is_hidden_alone_and_mouths_count_more(files: list[Path]) -> None:
    frames = ClipFrames(files, "articulators", 5)
    batch = frames.batch([3, 20], STILL, np.random.default_rng(0))
    losses = {}
    for mouth in (0.0, 4.0):
        module = _module(mouth=mouth)
        torch.manual_seed(1)
        losses[mouth] = float(module.training_step(batch, 0).detach())
        torch.manual_seed(1)
        scribbled = dataclasses.replace(batch, clean=torch.where(batch.hidden, batch.clean, 0.3))
        assert float(module.training_step(scribbled, 0).detach()) == pytest.approx(
            losses[mouth]
        )  # a new network answers 0
    assert 1.3 * losses[0.0] < losses[4.0] < 4.0 * losses[0.0]
    with pytest.raises(ValueError, match="the mouth counts"):
        _module(mouth=-1.0)


def test_pure_noise_tells_nothing_of_the_frame(files: list[Path]) -> None:
    batch = ClipFrames(files, "articulators", 5).batch([3, 20], STILL, np.random.default_rng(0))
    other = dataclasses.replace(batch, clean=torch.where(batch.hidden, -batch.clean, batch.clean))
    apart = {}
    for share in (0.0, 1.0):
        module, seen = _module(pure_noise=share), []
        module.network.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0][:, :3].clone()))
        for one in (batch, other):
            torch.manual_seed(1)
            module.training_step(one, 0)
        inside = batch.hidden.expand_as(batch.clean)
        apart[share] = float((seen[0] - seen[1])[inside].abs().mean())
        assert (seen[0] == seen[1])[~inside].all()
    assert apart[1.0] < 0.02 < apart[0.0]
    with pytest.raises(ValueError, match="pure_noise is a share"):
        _module(pure_noise=1.5)


def test_an_editor_learns_and_is_kept_with_its_voice(files: list[Path], tmp_path: Path) -> None:
    module = _module()
    frames = ClipFrames(files, "articulators", 5)
    stream = iter(DubStream(frames, STILL, BatchPlan(4, 1), StreamPlace()))
    optimiser = module.configure_optimizers()["optimizer"]
    losses = []
    for step in range(150):
        loss = module.training_step(next(stream), step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        module.update_average()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-50:]) < 0.8 * np.mean(losses[:20])
    module.on_validation_epoch_start()
    module.validation_step(next(stream), 0)
    assert set(module._sums) == {"error", "error_other_voice"} and 0.0 < float(module._sums["error"]) / 4 < 1.0
    path = module.save_weights(tmp_path / "best.safetensors", {"val/error": 0.1})
    network, header = load_editor(path)
    assert network.config == EDITOR and "articulators" in header["meaning"]
    again = _module(initial_weights=str(path))
    for name, tensor in again.network.state_dict().items():
        torch.testing.assert_close(tensor, module.averaged.state_dict()[name])
    with pytest.raises(CheckpointError, match="another config or voice"):
        DubModule(dataclasses.replace(EDITOR, channels=16), initial_weights=str(path))
    checkpoint: dict = {}
    module.on_save_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match="another kind of voice"):
        module.on_load_checkpoint({**checkpoint, "meaning": "whales"})


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ValueError, match="held_out_frames at least 1"):
        TalkingData("nowhere", held_out_frames=0)
    with pytest.raises(ValueError, match="other_previous must lie"):
        DubAugmentation(other_previous=1.5)
    with pytest.raises(ValueError, match="there must be a clip"):
        TalkingClipsConfig(count=0)


def test_pieces_of_clips_belong_together(files: list[Path]) -> None:
    stream = SyncStream(files, 12, BatchPlan(2, 3), StreamPlace())
    batch = next(iter(stream))
    assert batch.crops.shape == (2, 12, 3, 32, 32) and batch.features.shape == (2, 24, 256)
    clip = FaceClip.load(files[0])
    heard = heard_voice(clip.sound, "mel")
    features = features_of(clip)
    np.testing.assert_array_equal(features[::2], at_frames(heard, np.arange(len(clip)) / 25.0, 1)[:, 0])
    with pytest.raises(FaceClipError, match="none of the 3 clips has 500 frames"):
        SyncStream(files, 500, BatchPlan(2, 3), StreamPlace())
    module = SyncModule(SyncConfig(width=8))
    module.log = module.log_dict = lambda *_, **__: None
    loss = module.training_step(batch, 0)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.network.parameters())


def test_points_that_agree_belong_together() -> None:
    points = torch.nn.functional.normalize(torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0)), dim=-1)
    loss, told = belonging(points, points)
    assert (told == 1.0).all() and float(loss) < 0.2
    loss_of_others, told = belonging(points, points.flip(1))
    assert (told < 0.3).all() and float(loss_of_others) > float(loss) + 1.0
