"""The weighted sum."""

import dataclasses

import pytest
import torch

from losses.total import PAPER_WEIGHTS, LossWeights, weighted_sum


def test_defaults_are_the_papers():
    weights = dataclasses.astuple(PAPER_WEIGHTS)
    assert weights[:5] == (0.001, 1.70, 0.30, 1.20, 0.10)
    assert not any(weights[5:])


def test_sum_is_weighted_by_name():
    weights = LossWeights(landmark=2.0, photometric=0.5, depth=3.0)
    terms = {"landmark": torch.tensor(1.0), "depth": torch.tensor(10.0), "normals": torch.tensor(7.0)}
    assert float(weighted_sum(terms, weights)) == 32.0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="loss weight depth must be a finite number of at least 0, got -1"):
        LossWeights(depth=-1.0)
    with pytest.raises(ValueError, match="loss weight shape .* got nan"):
        LossWeights(shape=float("nan"))
    with pytest.raises(ValueError, match="loss term 'colour' has no weight; known: landmark"):
        weighted_sum({"colour": torch.tensor(1.0)}, PAPER_WEIGHTS)
    with pytest.raises(ValueError, match="no loss term was computed"):
        weighted_sum({}, PAPER_WEIGHTS)
    with pytest.raises(KeyError):
        PAPER_WEIGHTS.wants("colour")
    assert PAPER_WEIGHTS.wants("depth", "shape") and not PAPER_WEIGHTS.wants("depth")
