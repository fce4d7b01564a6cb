"""Invariants of FSA-Net's parts: scoring, mapping, capsules, stage-wise regression; and of the domain classifier."""

from __future__ import annotations

import math

import pytest
import torch

from recon.networks.pose.capsule import CapsuleLayer, squash
from recon.networks.pose.domain import DomainClassifier, reverse_gradient
from recon.networks.pose.scoring import PlaceScores, StructureMapping
from recon.networks.pose.stagewise import StagewiseRegression, stagewise_angles


def _maps(seed=0, stages=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 6, 4, 5, generator=generator, dtype=torch.float64) for _ in range(stages)]


def _mapping(scoring):
    torch.manual_seed(1)
    return StructureMapping(scoring, channels=6, size=(4, 5), n_stages=3, combinations=7, inner=5).double()


@pytest.mark.parametrize("scoring", ["variance", "convolution", "uniform"])
def test_features_are_means_of_places(scoring):
    mapping, maps = _mapping(scoring), _maps()
    matrices = mapping.matrices(maps)
    for matrix in matrices:
        assert matrix.shape == (2, 7, 60) and bool((matrix > 0.0).all())
        torch.testing.assert_close(matrix.sum(dim=-1), torch.ones(2, 7, dtype=torch.float64))
    found = mapping(maps)
    assert found.shape == (2, 21, 6)
    # Slowly: the mean over the places of all stages, one feature after the other.
    for stage in range(3):
        for k in range(7):
            weights = matrices[stage][1, k].reshape(3, 4, 5)
            slow = sum((weights[n] * maps[n][1]).sum(dim=(1, 2)) for n in range(3))
            torch.testing.assert_close(found[1, 7 * stage + k], slow)
    same = [torch.full_like(features, 3.5) for features in maps]
    torch.testing.assert_close(mapping(same), torch.full((2, 21, 6), 3.5, dtype=torch.float64))


@pytest.mark.parametrize("scoring", ["variance", "convolution", "uniform"])
def test_features_begin_in_different_places(scoring):
    """Otherwise they are one mean of the picture, and where things are is not known to the capsules."""
    torch.manual_seed(0)
    mapping = StructureMapping(scoring, channels=6, size=(8, 8), n_stages=3, combinations=7, inner=5)
    maps = [0.1 * torch.randn(2, 6, 8, 8) for _ in range(3)]
    matrices = torch.cat(mapping.matrices(maps), dim=1)[0].detach()
    overlap = torch.nn.functional.normalize(matrices, dim=1) @ torch.nn.functional.normalize(matrices, dim=1).T
    apart = overlap[~torch.eye(21, dtype=torch.bool)]
    assert float(apart.median()) < 0.8
    # And each of them looks at a part of the maps: weights of scattered places would differ by twice their variance.
    weights = matrices.reshape(21, 3, 8, 8)
    steps = weights.diff(dim=-1).square().mean(dim=(1, 2, 3))
    assert bool((steps < weights.var(dim=(1, 2, 3))).all())


def test_variance_is_that_over_the_channels_of_a_place():
    features = _maps()[0]
    scores = PlaceScores("variance", 6)(features)
    slow = ((features - features.mean(dim=1, keepdim=True)) ** 2).mean(dim=1).reshape(2, 20)
    torch.testing.assert_close(scores, slow)
    # What all channels of a place share says nothing about the place.
    torch.testing.assert_close(PlaceScores("variance", 6)(features + torch.rand(2, 1, 4, 5)), scores)
    assert not list(PlaceScores("variance", 6).parameters())


def test_uniform_scores_make_one_mapping_for_all_pictures():
    mapping = _mapping("uniform")
    here, there = mapping.matrices(_maps(0)), mapping.matrices(_maps(1))
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a[0], a[1], rtol=1e-12, atol=0.0)
    maps = _maps()
    twice = mapping([2.0 * features for features in maps])
    torch.testing.assert_close(twice, 2.0 * mapping(maps))  # linear, as it does not look at the picture
    other = _mapping("variance").matrices(_maps(1))
    assert not torch.allclose(_mapping("variance").matrices(_maps(0))[0], other[0])


def test_convolution_scores_lie_between_0_and_1_and_are_learnt():
    scores = PlaceScores("convolution", 6).double()
    found = scores(_maps()[0])
    assert bool(((found > 0.0) & (found < 1.0)).all())
    assert sum(weight.numel() for weight in scores.parameters()) == 7


def test_squash_keeps_directions_and_shortens():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.03, -0.04]], dtype=torch.float64, requires_grad=True)
    found = squash(vectors)
    lengths = found.norm(dim=-1)
    torch.testing.assert_close(lengths[0], torch.tensor(25.0 / 26.0, dtype=torch.float64))
    torch.testing.assert_close(found[0] / lengths[0], torch.tensor([0.6, 0.8], dtype=torch.float64))
    torch.testing.assert_close(lengths[2], torch.tensor(0.0025 / 1.0025, dtype=torch.float64))
    found.sum().backward()
    assert bool(torch.isfinite(vectors.grad).all()) and float(vectors.grad[1].abs().max()) < 1e-5


def _capsules_slowly(layer, features):
    """Routing by agreement with loops (Sabour et al. 2017, Procedure 1)."""
    n_capsules, n_features = layer.weight.shape[:2]
    votes = [[layer.weight[k, m] @ features[m] for m in range(n_features)] for k in range(n_capsules)]
    leaning = torch.zeros(n_capsules, n_features, dtype=features.dtype)
    for _ in range(layer.routings):
        share = torch.softmax(leaning, dim=0)
        capsules = [squash(sum(share[k, m] * votes[k][m] for m in range(n_features))) for k in range(n_capsules)]
        for k in range(n_capsules):
            for m in range(n_features):
                leaning[k, m] = leaning[k, m] + votes[k][m] @ capsules[k]
    return torch.stack(capsules)


@pytest.mark.parametrize("routings", [1, 2, 4])
def test_capsules_are_those_of_the_slow_procedure(routings):
    torch.manual_seed(2)
    layer = CapsuleLayer(5, 4, 3, 6, routings).double()
    features = torch.randn(2, 5, 4, dtype=torch.float64)
    found = layer(features)
    assert found.shape == (2, 3, 6) and bool((found.norm(dim=-1) < 1.0).all())
    for k in range(2):
        torch.testing.assert_close(found[k], _capsules_slowly(layer, features[k]))
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = CapsuleLayer(5, 4, 3, 6, routings).double()
    with torch.no_grad():
        shuffled.weight.copy_(layer.weight[:, order])
    torch.testing.assert_close(shuffled(features[:, order]), found)  # which feature is which is in the weights alone


def test_features_that_agree_count_most():
    layer = CapsuleLayer(5, 2, 2, 2, 6).double()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2, dtype=torch.float64).expand(2, 5, 2, 2))
        layer.weight[1] *= 0.1
    agreeing = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        settled, mean = layer(agreeing[None])[0, 0], agreeing.mean(dim=0)
    assert float(settled[0] / settled[1]) > 1.1 * float(mean[0] / mean[1])
    with pytest.raises(ValueError, match="routed at least once, got routings 0"):
        CapsuleLayer(5, 2, 2, 2, 0)


def _angles_slowly(widths, shifts, weights, row):
    """The formula of the specification, an angle and a bin at a time."""
    found = []
    for angle in range(3):
        total, unit = 0.0, 1.0
        for width, shift, weight in zip(widths, shifts, weights, strict=True):
            unit /= 3.0 * (1.0 + float(width[row, angle]))
            for i in range(3):
                total += unit * (i - 1 + float(shift[row, angle])) * float(weight[row, angle, i])
        found.append(99.0 * total)
    return found


def test_stagewise_angles_are_those_of_the_formula():
    generator = torch.Generator().manual_seed(3)
    widths, shifts = (
        [0.5 * torch.randn(2, 3, generator=generator, dtype=torch.float64).tanh() for _ in range(3)] for _ in range(2)
    )
    weights = [torch.rand(2, 3, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
    found = stagewise_angles(widths, shifts, weights)
    for row in range(2):
        assert found[row].tolist() == pytest.approx(_angles_slowly(widths, shifts, weights, row))


def test_each_stage_refines_by_bins_a_third_as_wide():
    none, still = torch.zeros(1, 3), torch.zeros(1, 3, 3)
    last = still.clone()
    last[..., 2] = 1.0  # all weight on the bin to the right
    for stage, step in enumerate((33.0, 11.0, 11.0 / 3.0)):
        weights = [last if n == stage else still for n in range(3)]
        torch.testing.assert_close(stagewise_angles([none] * 3, [none] * 3, weights), torch.full((1, 3), step))


def test_the_head_reads_its_numbers_where_they_stand():
    head = StagewiseRegression(3)
    stage = head.stages[0]
    capsule = torch.zeros(1, 16, requires_grad=True)
    width, shift, bins = stage(capsule)
    assert width.shape == (1, 3) and shift.shape == (1, 3) and bins.shape == (1, 3, 3)
    for part, first, last in ((width, 0, 4), (shift, 4, 8)):
        (gradient,) = torch.autograd.grad(part.sum(), capsule, retain_graph=True)
        assert gradient[0, first:last].abs().min() > 0.0
        assert gradient[0].count_nonzero() == 4
    assert bool((bins >= 0.0).all())
    assert head(torch.randn(2, 3, 16)).shape == (2, 3)


def test_the_gradient_comes_back_reversed():
    features = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    plain = torch.autograd.grad((features @ weight).sin().sum(), (features, weight))
    passed = reverse_gradient(features, 0.7)
    assert torch.equal(passed, features)
    turned = torch.autograd.grad((passed @ weight).sin().sum(), (features, weight))
    torch.testing.assert_close(turned[0], -0.7 * plain[0])
    torch.testing.assert_close(turned[1], plain[1])


def test_the_domain_classifier_learns_and_the_features_unlearn():
    torch.manual_seed(0)
    classifier = DomainClassifier(8)
    move = torch.nn.Parameter(torch.zeros(4, 2))
    source, target = torch.randn(64, 4, 2) + 0.6, torch.randn(64, 4, 2) - 0.6
    labels = torch.cat((torch.ones(64), torch.zeros(64)))
    fast = torch.optim.Adam(classifier.parameters(), 1e-2)
    for _ in range(12):
        fast.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(torch.cat((source, target))), labels)
        loss.backward()
        fast.step()
    assert float(loss.detach()) < 0.3 < math.log(2.0)
    slow = torch.optim.SGD([move], 2.0)
    before = float(loss.detach())
    for _ in range(20):
        slow.zero_grad()
        features = reverse_gradient(torch.cat((source + move, target - move)), 1.0)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(features), labels)
        loss.backward()
        slow.step()
    assert float(loss.detach()) > 2.0 * before and float(move.detach().mean()) < 0.0
