from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bfm.open.identity import (
    ASYMMETRY_SIGMA,
    Population,
    principal_components,
    sample_population,
    without_rigid_motion,
)
from bfm.open.makehuman import data_folder

PEOPLE, TARGETS, V = 40, 6, 7


@pytest.fixture
def population_parts() -> tuple[Population, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    weights = rng.normal(0.3, 1.0, (PEOPLE, TARGETS)) * np.geomspace(3.0, 0.1, TARGETS)
    population = Population(tuple(Path(f"{k}.target") for k in range(TARGETS)), weights, {})
    return population, rng.normal(size=(TARGETS, V, 3)), rng.uniform(0.1, 1.0, V)


def test_components_of_heads_sampled_one_by_one(population_parts: tuple) -> None:
    """The same as a weighted singular value decomposition of the heads themselves."""
    population, offsets, weights = population_parts
    heads = np.stack([sum(w * o for w, o in zip(row, offsets, strict=True)) for row in population.weights])
    mean = heads.mean(axis=0)
    scale = np.sqrt(np.repeat(weights, 3))
    flat = (heads - mean).reshape(PEOPLE, -1) * scale / np.sqrt(PEOPLE - 1)
    _, singular, rows = np.linalg.svd(flat, full_matrices=False)
    found = principal_components(population, offsets, weights, TARGETS)
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.explained, singular[:TARGETS] ** 2 / (singular**2).sum(), atol=1e-12)
    for k in range(TARGETS):
        want = (singular[k] * rows[k] / scale).reshape(V, 3)
        got = found.basis[..., k]
        np.testing.assert_allclose(got, want * np.sign((got * want).sum()), atol=1e-9)


def test_heads_come_back_from_their_scores(population_parts: tuple) -> None:
    population, offsets, weights = population_parts
    found = principal_components(population, offsets, weights, TARGETS)
    heads = np.einsum("pt,tvc->pvc", population.weights, offsets)
    np.testing.assert_allclose(found.mean + np.einsum("vck,pk->pvc", found.basis, found.scores), heads, atol=1e-9)
    np.testing.assert_allclose(found.scores.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.cov(found.scores.T), np.eye(TARGETS), atol=1e-9)


def test_fewer_components_are_the_first(population_parts: tuple) -> None:
    few, all_ = (principal_components(*population_parts, k) for k in (2, TARGETS))
    np.testing.assert_allclose(few.basis, all_.basis[..., :2], atol=1e-12)
    with pytest.raises(ValueError, match="has 6 independent components, 7 asked for"):
        principal_components(*population_parts, TARGETS + 1)


def test_signs_are_fixed(population_parts: tuple) -> None:
    flat = principal_components(*population_parts, TARGETS).basis.reshape(-1, TARGETS)
    assert (flat[np.abs(flat).argmax(axis=0), np.arange(TARGETS)] > 0).all()


def test_a_rigid_motion_vanishes() -> None:
    rng = np.random.default_rng(3)
    rest, weights = rng.normal(0.0, 50.0, (30, 3)), rng.uniform(0.1, 1.0, 30)
    shift = np.broadcast_to([3.0, -2.0, 5.0], rest.shape)
    angle = 1e-5
    turns = [Rotation.from_rotvec(angle * axis).apply(rest - 7.0) + 7.0 - rest for axis in np.eye(3)]
    left = without_rigid_motion(np.stack([shift, *turns]), rest, weights)
    np.testing.assert_allclose(left, 0.0, atol=1e-7)
    assert np.abs(turns).max() > 1e-4


def test_a_change_of_shape_stays() -> None:
    """What is left is orthogonal to every motion, and the motion taken out is rigid."""
    rng = np.random.default_rng(4)
    rest, weights = rng.normal(0.0, 50.0, (30, 3)), rng.uniform(0.1, 1.0, 30)
    offsets = rng.normal(size=(5, 30, 3))
    left = without_rigid_motion(offsets, rest, weights)
    np.testing.assert_allclose(np.einsum("v,kvc->kc", weights, left), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.einsum("v,kvc->kc", weights, np.cross(rest, left)), 0.0, atol=1e-7)
    taken = offsets - left
    edges, moved = rest[:, None] - rest[None], taken[:, :, None] - taken[:, None]
    np.testing.assert_allclose((edges * moved).sum(axis=-1), 0.0, atol=1e-8, err_msg="no edge is stretched")
    np.testing.assert_allclose(without_rigid_motion(left, rest, weights), left, atol=1e-9)


@pytest.fixture(scope="module")
def population() -> Population:
    return sample_population(data_folder(), 3000, seed=5)


def test_population_is_balanced(population: Population) -> None:
    a = population.attributes
    assert a["age"].min() < 0.01 and a["age"].max() > 0.95 and a["age"].mean() == pytest.approx(1 / 3, abs=0.03)
    assert (a["gender"] < 0.2).mean() == pytest.approx((a["gender"] > 0.8).mean(), abs=0.04)
    races = np.stack([a[name] for name in ("african", "asian", "caucasian")])
    np.testing.assert_allclose(races.sum(axis=0), 1.0, atol=1e-9)
    np.testing.assert_allclose(races.mean(axis=1), 1 / 3, atol=0.03)
    assert all(path.is_file() for path in population.targets)
    assert (population.weights >= 0.0).all() and len(set(population.targets)) == len(population.targets)


def test_population_is_the_same_every_time(population: Population) -> None:
    again = sample_population(data_folder(), 3000, seed=5)
    assert np.array_equal(again.weights, population.weights) and again.targets == population.targets
    assert not np.array_equal(sample_population(data_folder(), 3000, seed=6).weights, population.weights)


def test_left_and_right_are_nearly_alike(population: Population) -> None:
    index = {f"{path.parent.name}/{path.name}": k for k, path in enumerate(population.targets)}
    pairs = [(k, index[name.replace("/l-", "/r-")]) for name, k in index.items() if "/l-" in name]
    assert len(pairs) > 40
    left, right = (population.weights[:, list(side)] for side in zip(*pairs, strict=True))
    difference = left - right
    assert 0.0 < difference.std() < 1.5 * ASYMMETRY_SIGMA
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(left.T, right.T, strict=True) if a.std() > 0]
    assert np.median(alike) > 0.7


def test_sliders_have_the_means_that_are_asked_for(population: Population) -> None:
    """The mean weight of a slider's two targets differs by its mean, up to the few samples that are cut off."""
    names = [path.name.removesuffix(".target.gz") for path in population.targets]
    weight = dict(zip(names, population.weights.mean(axis=0), strict=True))
    assert weight["nose-trans-up"] - weight["nose-trans-down"] == pytest.approx(0.59, abs=0.04)
    assert weight["head-back-scale-depth-incr"] - weight["head-back-scale-depth-decr"] == pytest.approx(-0.45, abs=0.02)
    assert weight["nose-hump-incr"] - weight["nose-hump-decr"] == pytest.approx(-0.17, abs=0.03)
    assert weight["nose-flaring-incr"] - weight["nose-flaring-decr"] == pytest.approx(0.0, abs=0.03)
