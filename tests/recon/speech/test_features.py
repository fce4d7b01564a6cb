"""Log-mel features against torch's own transform, and of sound in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from speech_sounds import voice

from recon.speech.features import MelConfig, MelStream, log_mel, mel_filters
from recon.speech.phonemes import SpeechError

SMALL = MelConfig(rate_hz=8000, n_fft=512, window=160, hop=80, bands=17)


@pytest.mark.parametrize("config", [MelConfig(), SMALL], ids=["thesis", "small"])
@pytest.mark.parametrize("n", [1, 639, 641, 5003])
def test_the_same_as_a_short_time_fourier_transform(config: MelConfig, n: int) -> None:
    samples = torch.from_numpy(voice(0.5))[:n].float()
    found = log_mel(samples, config)
    assert found.shape == (-(-n // config.hop), config.bands)
    # Its frames are as long as the transform, with the window in their middle: the first begins half a frame before the sound.
    half = config.n_fft // 2
    padded = torch.nn.functional.pad(samples.double(), (half, half + config.hop))
    window = torch.hann_window(config.window, dtype=torch.float64)
    frames = torch.stft(padded, config.n_fft, config.hop, config.window, window, center=False, return_complex=True).T[
        : len(found)
    ]
    wanted = torch.log(frames.abs().square() @ mel_filters(config).double() + config.floor)
    torch.testing.assert_close(found.double(), wanted, atol=2e-3, rtol=0)


def test_pieces_of_any_size_give_the_same_features() -> None:
    samples = torch.from_numpy(voice(0.7)).float()[:5003]
    whole = log_mel(samples, MelConfig())
    random = np.random.default_rng(1)
    stream = MelStream(MelConfig())
    for sizes in ([5003], [1] * 7 + [4990], random.integers(0, 400, 30).tolist()):
        parts, at = [], 0
        for size in sizes:
            parts.append(stream.push(samples[at : at + size]))
            at += size
        parts += [stream.push(samples[at:]), stream.finish()]
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    config = MelConfig()
    for hertz in (300.0, 1000.0, 4000.0):
        tone = torch.sin(2.0 * np.pi * hertz * torch.arange(8000) / config.rate_hz)
        band = int(log_mel(tone, config)[10].argmax())
        middle_mel = (
            2595.0 * np.log10(1.0 + hertz / 700.0) / (2595.0 * np.log10(1.0 + 8000.0 / 700.0)) * (config.bands + 1) - 1
        )
        assert abs(band - middle_mel) <= 2


def test_every_band_hears_something() -> None:
    for config in (MelConfig(), SMALL):
        filters = mel_filters(config)
        assert filters.shape == (config.n_fft // 2 + 1, config.bands)
        assert float(filters.sum(dim=0).min()) > 0.4 and float(filters.min()) >= 0.0 and float(filters.max()) <= 1.0


def test_what_cannot_be_heard() -> None:
    with pytest.raises(SpeechError, match="no numbers"):
        MelStream(SMALL).push(torch.tensor([0.0, float("nan")]))
    for changes in ({"hop": 0}, {"window": 4096}, {"hop": 700}, {"floor": 0.0}):
        with pytest.raises(ValueError):
            MelConfig(**changes)
