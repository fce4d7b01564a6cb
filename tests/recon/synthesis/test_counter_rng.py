"""Random numbers by name."""

import numpy as np
import pytest
import torch
from scipy import stats

from recon.synthesis.counter_rng import CounterRng


def test_numbers_do_not_depend_on_the_batch():
    together, alone = CounterRng.of(5, [7, 2, 9]), CounterRng.of(5, [2])
    assert torch.equal(together.normal("a", 3)[1:2], alone.normal("a", 3))
    assert torch.equal(together.integer("b", 10)[1:2], alone.integer("b", 10))


def test_names_seeds_and_indices_give_different_numbers():
    base = CounterRng.of(1, range(200)).uniform("a")
    for other in (CounterRng.of(1, range(200)).uniform("b"), CounterRng.of(2, range(200)).uniform("a")):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.25
    assert len(torch.unique(base)) == 200


def test_uniform_and_normal_have_their_distributions():
    rng = CounterRng.of(11, range(4000))
    assert stats.kstest(rng.uniform("u", 3).flatten().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(rng.normal("n", 3).flatten().numpy(), "norm").pvalue > 1e-3
    counts = torch.bincount(rng.choice("c", (1.0, 3.0)), minlength=2) / 4000
    assert counts[1] == pytest.approx(0.75, abs=0.03)


def test_neighbouring_indices_are_independent():
    numbers = CounterRng.of(0, range(5000)).normal("x").numpy()
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.05


def test_negative_indices_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        CounterRng.of(0, [3, -1])
