"""Noise schedules and samplers against closed forms."""

import math

import pytest
import torch

from recon.networks.diffusion.noise_schedule import NoiseSchedule, clean_and_noise, noisy, target_of
from recon.networks.diffusion.sampling import SamplingConfig, sample

SCHEDULES = [NoiseSchedule(), NoiseSchedule("cosine", 1000), NoiseSchedule("linear", 40, 1e-4, 0.3)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_levels_fall_from_the_clean_picture_to_noise(schedule):
    levels = schedule.levels
    assert levels.shape == (schedule.steps + 1,) and levels[0] == 1.0 and (levels.diff() < 0).all() and levels[-1] > 0
    assert levels[-1] < 0.01
    drawn = schedule.random_levels(2000, torch.Generator().manual_seed(0))
    assert drawn.min() >= levels[-1] and drawn.max() <= 1.0
    # Between the steps, too.
    assert not torch.isin(drawn, levels.float()).any()


def test_the_linear_schedule_is_the_printed_one():
    added = 1.0 - NoiseSchedule().levels[1:] / NoiseSchedule().levels[:-1]
    assert math.isclose(float(added[0]), 1e-6, rel_tol=1e-6) and math.isclose(float(added[-1]), 0.01, rel_tol=1e-9)
    assert torch.allclose(added.diff(), added.diff().mean().expand(1999), rtol=1e-4)


def test_the_cosine_schedule_is_the_printed_one():
    levels = NoiseSchedule("cosine", 1000).levels

    def curve(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    for t in (1, 250, 500, 900):
        assert math.isclose(float(levels[t]), curve(t) / curve(0), rel_tol=1e-9)


@pytest.mark.parametrize("target", ["noise", "velocity"])
def test_an_answer_tells_picture_and_noise(target):
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, 5, 7, generator=generator), torch.randn(2, 3, 5, 7, generator=generator)
    level = torch.tensor([0.9, 0.2])
    seen = noisy(clean, noise, level)
    found, left = clean_and_noise(seen, target_of(clean, noise, level, target), level, target)
    torch.testing.assert_close(found, clean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(left, noise, atol=1e-5, rtol=1e-5)


def _perfect(picture, target):
    """The answer of a network that knows the picture."""

    def answer(drawn, level):
        at = level[:, None, None, None]
        noise = (drawn - at.sqrt() * picture) / (1.0 - at).clamp_min(1e-12).sqrt()
        return target_of(picture, noise, level, target)

    return answer


@pytest.mark.parametrize("target", ["noise", "velocity"])
@pytest.mark.parametrize("sampling", [SamplingConfig("ddim", 5), SamplingConfig("ddpm", 20), SamplingConfig("ddpm", 0)])
def test_a_perfect_network_draws_its_picture_and_what_is_known_stays(target, sampling):
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand(2, 3, 6, 9, generator=generator) * 1.6 - 0.8
    known = torch.rand(2, 3, 6, 9, generator=generator) * 2.0 - 1.0
    hidden = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
    hidden[:, :, 2:, 1:7] = True
    found = sample(_perfect(picture, target), known, hidden, SCHEDULES[2], target, sampling, generator)
    torch.testing.assert_close(found, torch.where(hidden, picture, known), atol=2e-3, rtol=0.0)


def test_ddpm_draws_from_the_distribution_that_it_was_told():
    """Pixels are N(0.2, 0.3^2): the best network's answer is known, and all steps must give that spread."""
    mean, spread = 0.2, 0.3

    def answer(drawn, level):
        at = level[:, None, None, None]
        variance = at * spread**2 + 1.0 - at
        return (1.0 - at).sqrt() * (drawn - at.sqrt() * mean) / variance

    schedule = NoiseSchedule("linear", 200, 1e-4, 0.06)
    known, hidden = torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64, dtype=torch.bool)
    for kind in ("ddpm", "ddim"):
        found = sample(
            answer, known, hidden, schedule, "noise", SamplingConfig(kind, 0), torch.Generator().manual_seed(3)
        )
        assert abs(float(found.mean()) - mean) < 0.02 and abs(float(found.std()) - spread) < 0.03


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match="1 to 100000 steps"):
        NoiseSchedule("cosine", 0)
    with pytest.raises(ValueError, match="first and last"):
        NoiseSchedule("linear", 10, 0.2, 0.1)
    with pytest.raises(ValueError, match="in 1 to 40 steps"):
        SCHEDULES[2].spaced(41)
    with pytest.raises(ValueError, match="in 0 .all. or more steps"):
        SamplingConfig("ddim", -1)
