"""How well embeddings tell people apart, beside plain counting."""

import itertools

import numpy as np
import pytest

from recon.evaluation.metrics.embedding_pairs import PairSimilarities


@pytest.fixture
def pairs():
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(7), 4)
    embeddings = rng.normal(size=(7, 6))[person] + 1.1 * rng.normal(size=(28, 6))
    return embeddings, person, PairSimilarities.of(embeddings, person)


def _counted(embeddings, person):
    same, other = [], []
    for a, b in itertools.combinations(range(len(person)), 2):
        cosine = embeddings[a] @ embeddings[b] / np.linalg.norm(embeddings[a]) / np.linalg.norm(embeddings[b])
        (same if person[a] == person[b] else other).append(cosine)
    return np.array(same), np.array(other)


def test_measures_are_those_of_counting(pairs):
    embeddings, person, found = pairs
    same, other = _counted(embeddings, person)
    np.testing.assert_allclose(found.same, np.sort(same), atol=1e-12)
    np.testing.assert_allclose(found.other, np.sort(other), atol=1e-12)
    assert found.auc() == pytest.approx((same[:, None] > other).mean())
    assert 0.6 < found.auc() < 0.99
    wrong = [((same < t).mean(), (other >= t).mean()) for t in np.sort(np.concatenate((same, other)))]
    refused, taken = next(pair for pair in wrong if pair[0] >= pair[1])
    assert taken - 0.03 <= found.equal_error_rate() <= refused + 1e-12
    assert refused - taken < 0.05
    share, threshold = found.accepted(0.1)
    assert (other > threshold).mean() == pytest.approx(0.1, abs=0.005)
    assert share == pytest.approx((same > threshold).mean())


def test_perfect_and_useless_embeddings():
    person = np.array([0, 0, 1, 1])
    apart = PairSimilarities.of(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), person)
    assert (apart.auc(), apart.equal_error_rate(), apart.accepted(0.2)[0]) == (1.0, 0.0, 1.0)
    alike = PairSimilarities.of(np.ones((4, 2)), person)
    assert alike.auc() == 0.5
    assert alike.equal_error_rate() == 0.5


def test_pairs_of_one_kind_are_refused():
    with pytest.raises(ValueError, match="4 pictures of 1 people"):
        PairSimilarities.of(np.ones((4, 2)), np.zeros(4, int))
    with pytest.raises(ValueError, match="3 pictures of 3 people"):
        PairSimilarities.of(np.ones((3, 2)), np.arange(3))
    with pytest.raises(ValueError, match="1 of 4 pictures are not finite"):
        PairSimilarities.of(np.array([[1.0, 2.0], [np.nan, 1.0], [1.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1, 1]))
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="share of false pairs"):
            PairSimilarities.of(np.eye(4), np.array([0, 0, 1, 1])).accepted(share)
