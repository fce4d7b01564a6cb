"""Face verification: pairs, accuracies and thresholds against plain loops and counts by hand."""

import itertools

import numpy as np
import pytest

from recon.evaluation.metrics.verification import (
    FacePairs,
    accuracy_by_subset,
    best_threshold,
    draw_pairs,
    pose_subset,
    sequence_subset,
    verification_accuracy,
)

PERSONS = [7, 3, 3, 7, 9, 3, 7, 7, 9]


def test_pairs_are_half_of_one_person_and_never_twice():
    pairs = draw_pairs(PERSONS, 21, seed=4)
    who = np.asarray(PERSONS)
    assert pairs.same.sum() == 10 and len(pairs.same) == 21
    assert ((who[pairs.first] == who[pairs.second]) == pairs.same).all()
    assert len({frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}) == 21
    assert len(set(pairs.same[:10].tolist())) == 2, "the kinds are mixed"


def test_all_pairs_can_be_drawn_and_no_more():
    every = [frozenset(pair) for pair in itertools.combinations(range(len(PERSONS)), 2)]
    alike = [pair for pair in every if len({PERSONS[i] for i in pair}) == 1]
    assert len(alike) == 10
    pairs = draw_pairs(PERSONS, 20)
    found = [
        frozenset(pair)
        for pair in zip(pairs.first[pairs.same].tolist(), pairs.second[pairs.same].tolist(), strict=True)
    ]
    assert set(found) == set(alike)
    with pytest.raises(ValueError, match="11 pairs of one person are wanted, 9 pictures of 3 persons give 10"):
        draw_pairs(PERSONS, 22)
    with pytest.raises(ValueError, match="1 pairs of two persons are wanted, 2 pictures of 1 persons give 0"):
        draw_pairs([5, 5], 2)


def test_pairs_follow_the_seed_and_are_spread_over_all_persons():
    persons = np.repeat(np.arange(30), 20)
    first, again, other = (
        draw_pairs(persons.tolist(), 400, 1),
        draw_pairs(persons.tolist(), 400, 1),
        draw_pairs(persons.tolist(), 400, 2),
    )
    assert (first.first == again.first).all() and (first.second == again.second).all()
    assert (first.first != other.first).any()
    assert len(set(persons[first.first[first.same]])) == 30
    # 19 partners of one's own, 580 others: their persons are equally likely.
    counts = np.bincount(
        np.concatenate([persons[first.first[~first.same]], persons[first.second[~first.same]]]), minlength=30
    )
    assert counts.min() > 3 and counts.max() < 32


SIMILARITY = np.array([0.9, 0.5, 0.2, 0.6, 0.1])
SAME = np.array([True, True, False, False, False])


def test_accuracy_by_hand():
    assert verification_accuracy(SIMILARITY, SAME) == pytest.approx(3 / 5)  # 0.5 itself is two persons
    assert verification_accuracy(SIMILARITY, SAME, 0.4) == pytest.approx(4 / 5)
    assert np.isnan(verification_accuracy(SIMILARITY[:0], SAME[:0]))
    with pytest.raises(ValueError, match=r"one similarity a pair, got \(4,\) for \(5,\)"):
        verification_accuracy(SIMILARITY[:4], SAME)
    with pytest.raises(ValueError, match="1 of 5 similarities are nan"):
        verification_accuracy(np.where(SIMILARITY == 0.9, np.nan, SIMILARITY), SAME)


@pytest.mark.parametrize("seed", range(12))
def test_no_threshold_is_better_than_the_best(seed):
    rng = np.random.default_rng(seed)
    same = rng.random(40) < rng.random()
    similarity = np.round(0.25 * same + rng.random(40), 1)  # with ties
    best = best_threshold(similarity, same)
    found = verification_accuracy(similarity, same, best)
    grid = np.concatenate([np.linspace(-1.0, 2.0, 301), similarity])
    every = [verification_accuracy(similarity, same, threshold) for threshold in grid]
    assert found == max(every)


def test_thresholds_of_clear_cases():
    assert best_threshold(SIMILARITY, SAME) == pytest.approx(0.35) or best_threshold(SIMILARITY, SAME) == pytest.approx(
        0.75
    )
    apart = np.array([0.61, 0.7, 0.55])
    assert best_threshold(apart, np.array([True, True, False])) == pytest.approx(0.58)
    assert best_threshold(apart, np.ones(3, dtype=bool)) == 0.5
    assert best_threshold(apart, np.zeros(3, dtype=bool)) > 0.7
    with pytest.raises(ValueError, match="at least one pair"):
        best_threshold(apart[:0], SAME[:0])


def test_subsets_of_pandora():
    assert pose_subset((10.0, -10.0, 0.0)) == "A1"
    for axis in range(3):
        assert pose_subset([-10.1 * (k == axis) for k in range(3)]) == "A2"
    assert [sequence_subset(number) for number in range(1, 6)] == ["S123"] * 3 + ["S45"] * 2
    with pytest.raises(ValueError, match="1 to 5, got 6"):
        sequence_subset(6)
    with pytest.raises(ValueError, match="yaw, pitch and roll"):
        pose_subset((1.0, float("nan"), 2.0))


def test_both_pictures_of_a_pair_lie_in_the_subset():
    poses = ["A1", "A1", "A2", "A2"]
    sequences = ["S123", "S45", "S123", "S45"]
    pairs = FacePairs(np.array([0, 0, 0, 1, 2]), np.array([1, 2, 3, 3, 3]), np.array([True, False, True, False, False]))
    similarity = np.array([0.9, 0.9, 0.1, 0.2, 0.8])
    found = accuracy_by_subset(similarity, pairs, poses, sequences)
    assert list(found)[:3] == [("A1", "S123"), ("A1", "S45"), ("A1", "all")] and len(found) == 9
    for (pose, sequence), accuracy in found.items():
        right = []
        for a, b, same, value in zip(pairs.first, pairs.second, pairs.same, similarity, strict=True):
            inside = [pose in ("all", poses[i]) and sequence in ("all", sequences[i]) for i in (a, b)]
            right += [(value > 0.5) == same] if all(inside) else []
        assert accuracy == pytest.approx(np.mean(right) if right else np.nan, nan_ok=True), (pose, sequence)
    assert np.isnan(found[("A1", "S45")]) and found[("all", "all")] == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="unknown pose subset 'A3'; known: A1, A2"):
        accuracy_by_subset(similarity, pairs, ["A3", *poses[1:]], sequences)
