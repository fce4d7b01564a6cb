"""Are two faces one person's: pairs, accuracies and thresholds, by the protocol of Pini et al. 2018 (Sections 4.1.1 and 4.3).

A network gives each pair a similarity in [0, 1]; more than 0.5 means one person. Its accuracy on depth that was made from photos,
beside that on measured depth, says how much of the person the made depth has kept. The papers' lists of pairs are not public;
:func:`draw_pairs` draws such lists by a seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

THRESHOLD = 0.5
FRONTAL_DEG = 10.0
POSES = ("A1", "A2", "all")
SEQUENCES = ("S123", "S45", "all")


@dataclasses.dataclass(frozen=True, eq=False)
class FacePairs:
    """Pairs of pictures of a list.

    Attributes:
        first, second: ``(P,)`` indices of the pictures.
        same: ``(P,)`` whether they show one person.
    """

    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    same: Bool[np.ndarray, " p"]


def pose_subset(angles_deg: Sequence[float]) -> str:
    """A1 for faces whose yaw, pitch and roll are all within 10 degrees, A2 for the rest (Eq. 7).

    Raises:
        ValueError: angles that are not three finite numbers.
    """
    angles = np.asarray(angles_deg, dtype=np.float64)
    if angles.shape != (3,) or not np.isfinite(angles).all():
        raise ValueError(f"expected yaw, pitch and roll in degrees, got {angles_deg}")
    return "A1" if bool((np.abs(angles) <= FRONTAL_DEG).all()) else "A2"


def sequence_subset(number: int) -> str:
    """S123 for the sequences of Pandora with constrained movements, S45 for those with complex ones and occlusions.

    Raises:
        ValueError: a sequence that is none of 1 to 5.
    """
    if number not in (1, 2, 3, 4, 5):
        raise ValueError(f"the sequences of a subject are 1 to 5, got {number}")
    return "S123" if number <= 3 else "S45"


def draw_pairs(persons: Sequence[int], n_pairs: int, seed: int = 0) -> FacePairs:
    """Random pairs of different pictures, each at most once: as many of one person as of two (one more of two if odd).

    Args:
        persons: whom each picture shows.
        n_pairs: P.
        seed: of the draw. Another list than that for choosing a threshold has another seed and other persons.

    Raises:
        ValueError: there are not as many different pairs.
    """
    names, who = np.unique(np.asarray(persons, dtype=np.int64), return_inverse=True)
    order = np.argsort(who, kind="stable")
    ends = np.cumsum(np.bincount(who, minlength=len(names)))[who[order]]
    places = np.arange(len(order))
    rng = np.random.default_rng(seed)
    drawn = []
    # In order of persons, the partners of a picture that come after it are one run of its person, then one of all others.
    kinds = (
        (True, ends - places - 1, places + 1, n_pairs // 2),
        (False, len(order) - ends, ends, n_pairs - n_pairs // 2),
    )
    for same, counts, starts, wanted in kinds:
        total = int(counts.sum())
        if total < wanted:
            of = "one person" if same else "two persons"
            raise ValueError(
                f"{wanted} pairs of {of} are wanted, {len(order)} pictures of {len(names)} persons give {total}"
            )
        numbers = rng.choice(total, wanted, replace=False)
        sums = np.cumsum(counts)
        left = np.searchsorted(sums, numbers, side="right")
        right = starts[left] + numbers - (sums[left] - counts[left])
        drawn.append((order[left], order[right], np.full(wanted, same)))
    first, second, alike = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    shuffled = rng.permutation(n_pairs)
    return FacePairs(first[shuffled], second[shuffled], alike[shuffled])


def verification_accuracy(
    similarity: Float[np.ndarray, " p"], same: Bool[np.ndarray, " _p"], threshold: float = THRESHOLD
) -> float:
    """Share of pairs told right: one person where the similarity is more than the threshold. nan without pairs.

    Raises:
        ValueError: not one similarity a pair, or one that is nan.
    """
    _check(similarity, same)
    return float(((similarity > threshold) == same).mean()) if len(same) else float("nan")


def best_threshold(similarity: Float[np.ndarray, " p"], same: Bool[np.ndarray, " _p"]) -> float:
    """The threshold with the highest accuracy on these pairs, the nearest to 0.5 of several; it lies midway between two
    similarities. It is chosen on validation pairs: an accuracy at the best threshold of its own pairs says too much.

    Raises:
        ValueError: no pairs, not one similarity a pair, or one that is nan.
    """
    _check(similarity, same)
    if len(same) == 0:
        raise ValueError("a threshold needs at least one pair")
    values = np.unique(similarity)
    between = 0.5 * (values[1:] + values[:-1])
    candidates = np.concatenate([[values[0] - 0.5], between, [values[-1] + 0.5], [THRESHOLD]])
    ordered, others = np.sort(similarity[same]), np.sort(similarity[~same])
    # A similarity equal to the threshold counts as two persons.
    accepted = len(ordered) - np.searchsorted(ordered, candidates, side="right")
    refused = np.searchsorted(others, candidates, side="right")
    right = accepted + refused
    best = candidates[right == right.max()]
    return float(best[np.argmin(np.abs(best - THRESHOLD))])


def accuracy_by_subset(
    similarity: Float[np.ndarray, " p"],
    pairs: FacePairs,
    poses: Sequence[str],
    sequences: Sequence[str],
    threshold: float = THRESHOLD,
) -> Mapping[tuple[str, str], float]:
    """The papers' Table 2: accuracies of the pairs whose pictures lie both in a subset of poses and sequences.

    Args:
        similarity: of the pairs.
        pairs: of pictures.
        poses: of each picture, as :func:`pose_subset` says.
        sequences: of each picture, as :func:`sequence_subset` says.
        threshold: as for :func:`verification_accuracy`.

    Returns:
        By pose (``A1``, ``A2``, ``all``) and sequences (``S123``, ``S45``, ``all``); nan where there is no pair.

    Raises:
        ValueError: unknown subsets, or as :func:`verification_accuracy`.
    """
    columns = {"pose": (np.asarray(poses), POSES), "sequence": (np.asarray(sequences), SEQUENCES)}
    for what, (given, known) in columns.items():
        unknown = sorted(set(given.tolist()) - set(known[:2]))
        if unknown:
            raise ValueError(f"unknown {what} subset {unknown[0]!r}; known: {', '.join(known[:2])}")
    found = {}
    for pose in POSES:
        for sequence in SEQUENCES:
            inside = np.ones(len(poses), dtype=bool)
            inside &= True if pose == "all" else columns["pose"][0] == pose
            inside &= True if sequence == "all" else columns["sequence"][0] == sequence
            both = inside[pairs.first] & inside[pairs.second]
            found[(pose, sequence)] = verification_accuracy(similarity[both], pairs.same[both], threshold)
    return found


def _check(similarity: np.ndarray, same: np.ndarray) -> None:
    if similarity.shape != same.shape:
        raise ValueError(f"expected one similarity a pair, got {similarity.shape} for {same.shape}")
    if np.isnan(similarity).any():
        raise ValueError(f"{int(np.isnan(similarity).sum())} of {len(similarity)} similarities are nan")
