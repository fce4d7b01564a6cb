"""Identity of the open model: a population of MakeHuman heads, and its principal components.

MakeHuman makes a person as a weighted sum of morph targets. Sampling the weights of a population and taking the
principal components of the heads therefore never needs the heads themselves: with ``B`` the targets and ``C`` the
second moments of their weights, the covariance of the heads is ``B' C B``, and its eigenvectors follow from the
small matrix ``C^1/2 (B B') C^1/2``. That makes 20 000 people as cheap as 1 000 and the result deterministic.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bfm.data import FloatArray
from bfm.open.makehuman import TARGET_FOLDER, control_pairs, read_target

N_PEOPLE = 20_000
SEED = 20_260_101

CONTROL_SIGMA = {
    "cheek": 0.35,
    "chin": 0.22,
    "ears": 0.25,
    "eyebrows": 0.25,
    "eyes": 0.40,
    "forehead": 0.14,
    "head": 0.14,
    "mouth": 0.30,
    "neck": 0.15,
    "nose": 0.40,
}
"""Standard deviation of the sliders of each category; MakeHuman's range is [-1, 1].

Set so that the population's face measurements spread as real ones do (see ``benchmarks/model_anthropometry.py``).
"""
ASYMMETRY_SIGMA = 0.12
"""What a left slider may differ from its right one: faces are mostly, not wholly, symmetric."""

CONTROL_MEAN = {
    "chin-height-incr": 0.12,
    "eyebrows-trans-up": 0.10,
    "head-back-scale-depth-incr": -0.45,
    "head-scale-horiz-incr": -0.15,
    "mouth-trans-forward": -0.15,
    "nose-compression-uncompress": 0.28,
    "nose-curve-convex": 0.38,
    "nose-greek-incr": 0.12,
    "nose-hump-incr": -0.17,
    "nose-point-up": 0.20,
    "nose-scale-depth-incr": 0.29,
    "nose-scale-vert-incr": -0.13,
    "nose-trans-forward": 0.22,
    "nose-trans-up": 0.59,
}
"""Sliders whose mean is not 0.

MakeHuman's ethnic targets overdraw: with all sliders at 0 the bridge of the mean nose lies 8 mm lower over the eye
corners than in MediaPipe's canonical face model (Apache 2.0; 300W-LP's labels and ICT-FaceKit's mean agree with that to
2 mm), its tip hangs 4 mm lower than that of ICT-FaceKit's mean, and the head is 14 mm longer and 8 mm wider at the
cheekbones than in the survey ANSUR II. The nose's values are a least-squares fit of its profile to that of
ICT-FaceKit's mean, whose eyes lie 2.8 mm deeper behind brow, nose and lips (within 2 mm, see
``benchmarks/ict_anatomy.py``); the others bring the head's length to 2 mm and the cheekbones to 6 mm.
"""
_OLD = 2.0
"""Ages follow Beta(1, this): most adults in photos are young, and wrinkles in the mean would age everyone."""

_GENDERS, _AGES = ("male", "female"), ("young", "old")
_RACES = ("african", "asian", "caucasian")
_MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
_WEIGHTS = ("minweight", "averageweight", "maxweight")
_HEIGHTS = ("minheight", "maxheight")
_PROPORTIONS = ("idealproportions", "uncommonproportions")
# Sliders that only move the head about or that belong to a pose are no identity.
_EXCLUDED = ("head-trans", "neck-trans", "mouth-angles", "head-age")


@dataclasses.dataclass(frozen=True)
class Population:
    """Weights of morph targets for a number of people.

    Attributes:
        targets: file of each morph target.
        weights: ``(people, targets)``.
        attributes: per-person values by name: age (0 is 25 years, 1 is 90), gender (0 female, 1 male), african,
            asian, caucasian (sum to 1), weight, muscle, height (each in [0, 1]).
    """

    targets: tuple[Path, ...]
    weights: FloatArray
    attributes: Mapping[str, FloatArray]


def sample_population(folder: Path, n_people: int = N_PEOPLE, seed: int = SEED) -> Population:
    """Adults of all ages, the younger ones more often; both sexes and all ethnic groups of MakeHuman in equal parts."""
    rng = np.random.default_rng(seed)
    attributes = {
        "age": rng.beta(1.0, _OLD, n_people),
        "gender": rng.beta(0.5, 0.5, n_people),
        "muscle": rng.beta(3.0, 3.0, n_people),
        "weight": rng.beta(2.5, 2.5, n_people),
        "height": rng.beta(14.0, 14.0, n_people),
        "proportions": rng.beta(3.0, 3.0, n_people),
    }
    race = rng.dirichlet(np.full(len(_RACES), 0.7), n_people)
    attributes |= {name: race[:, k] for k, name in enumerate(_RACES)}
    phenotype = _phenotype_targets(folder, attributes)
    control = _control_targets(folder, n_people, rng)
    targets, weights = zip(*phenotype, *control, strict=True)
    return Population(tuple(targets), np.stack(weights, axis=1), attributes)


def _phenotype_targets(folder: Path, attributes: Mapping[str, FloatArray]) -> list[tuple[Path, FloatArray]]:
    """MakeHuman's rule: a target named by several attributes gets the product of their weights."""
    root = folder / TARGET_FOLDER / "macrodetails"
    weight_of = {
        "female": 1.0 - attributes["gender"],
        "male": attributes["gender"],
        "young": 1.0 - attributes["age"],
        "old": attributes["age"],
        "minheight": 1.0 - attributes["height"],
        "maxheight": attributes["height"],
        "uncommonproportions": 1.0 - attributes["proportions"],
        "idealproportions": attributes["proportions"],
        **{name: attributes[name] for name in _RACES},
        **_three_steps(attributes["muscle"], _MUSCLES),
        **_three_steps(attributes["weight"], _WEIGHTS),
    }

    def product(*names: str) -> FloatArray:
        return np.prod([weight_of[name] for name in names], axis=0)

    builds = list(itertools.product(_GENDERS, _AGES, _MUSCLES, _WEIGHTS))
    found: list[tuple[Path, FloatArray]] = []
    for race, gender, age in itertools.product(_RACES, _GENDERS, _AGES):
        found.append((root / f"{race}-{gender}-{age}.target.gz", product(race, gender, age)))
    for build in builds:
        stem = "-".join(build)
        found.append((root / f"universal-{stem}.target.gz", product(*build)))
        found += [(root / "height" / f"{stem}-{height}.target.gz", product(*build, height)) for height in _HEIGHTS]
        found += [(root / "proportions" / f"{stem}-{name}.target.gz", product(*build, name)) for name in _PROPORTIONS]
    return found


def _three_steps(value: FloatArray, names: tuple[str, ...]) -> dict[str, FloatArray]:
    low, _, high = np.maximum(1.0 - 2.0 * value, 0.0), None, np.maximum(2.0 * value - 1.0, 0.0)
    return {names[0]: low, names[1]: 1.0 - low - high, names[2]: high}


def _control_targets(folder: Path, n_people: int, rng: np.random.Generator) -> list[tuple[Path, FloatArray]]:
    found: list[tuple[Path, FloatArray]] = []
    shared: dict[str, FloatArray] = {}
    for category, negative, positive in control_pairs(folder, tuple(CONTROL_SIGMA)):
        if positive.startswith(_EXCLUDED):
            continue
        sigma = CONTROL_SIGMA[category]
        sided = positive[:2] in ("l-", "r-")
        key = positive[2:] if sided else positive
        if key not in shared:
            shared[key] = rng.normal(CONTROL_MEAN.get(key, 0.0), sigma, n_people)
        value = shared[key] + (rng.normal(0.0, ASYMMETRY_SIGMA, n_people) if sided else 0.0)
        value = np.clip(value, -1.2, 1.2)
        root = folder / TARGET_FOLDER / category
        found.append((root / f"{positive}.target.gz", np.maximum(value, 0.0)))
        found.append((root / f"{negative}.target.gz", np.maximum(-value, 0.0)))
    asymmetry = sorted((folder / TARGET_FOLDER / "asym").glob("asym-*-l.target.gz"))
    for left in asymmetry:
        value = np.clip(rng.normal(0.0, ASYMMETRY_SIGMA, n_people), -1.0, 1.0)
        right = left.with_name(left.name.replace("-l.target.gz", "-r.target.gz"))
        found += [(left, np.maximum(value, 0.0)), (right, np.maximum(-value, 0.0))]
    return found


def read_offsets(
    population: Population, n_base: int, to_head: Callable[[FloatArray], FloatArray], progress: Callable[[int], object]
) -> FloatArray:
    """Offsets ``(targets, V, 3)`` in mm of the population's morph targets on the head."""
    offsets = []
    for path in population.targets:
        offsets.append(to_head(read_target(path, n_base)).astype(np.float32))
        progress(1)
    return np.stack(offsets)


@dataclasses.dataclass(frozen=True)
class PrincipalComponents:
    """Mean offset ``(V, 3)`` from the base mesh, basis ``(V, 3, K)`` in mm per sigma, and variance explained ``(K,)``.

    ``scores`` are the people's coefficients ``(people, K)``.
    """

    mean: FloatArray
    basis: FloatArray
    explained: FloatArray
    scores: FloatArray


def principal_components(
    population: Population, offsets: FloatArray, vertex_weights: FloatArray, n_components: int
) -> PrincipalComponents:
    """Principal components of the population's heads, vertices weighted by ``vertex_weights`` ``(V,)``.

    Raises:
        ValueError: more components asked for than the population has.
    """
    n_targets, n_vertices, _ = offsets.shape
    flat = offsets.reshape(n_targets, -1).astype(np.float64)
    mean_weights = population.weights.mean(axis=0)
    centred = population.weights - mean_weights
    moments = centred.T @ centred / (len(centred) - 1)
    spread, directions = np.linalg.eigh(moments)
    root = directions * np.sqrt(np.maximum(spread, 0.0))
    scaled = flat * np.repeat(np.sqrt(vertex_weights), 3)
    variance, rotation = np.linalg.eigh(root.T @ (scaled @ scaled.T) @ root)
    order = np.argsort(variance)[::-1]
    rank = int((variance > variance.max() * 1e-10).sum())
    if n_components > rank:
        raise ValueError(f"the population of heads has {rank} independent components, {n_components} asked for")
    chosen = order[:n_components]
    # Each column of the mixing matrix is one component as a combination of targets, already in units of sigma.
    mixing = root @ rotation[:, chosen]
    basis = (flat.T @ mixing).reshape(n_vertices, 3, n_components)
    # Signs are free in an eigenvector; fix them so that every machine builds the same model.
    largest = np.abs(basis.reshape(-1, n_components)).argmax(axis=0)
    sign = np.sign(basis.reshape(-1, n_components)[largest, np.arange(n_components)])
    dual = scaled.T @ (root @ rotation[:, chosen]) / variance[chosen]
    scores = centred @ (scaled @ dual) * sign
    return PrincipalComponents(
        mean=(mean_weights @ flat).reshape(n_vertices, 3),
        basis=basis * sign,
        explained=variance[chosen] / variance.sum(),
        scores=scores,
    )


def without_rigid_motion(offsets: FloatArray, rest: FloatArray, weights: FloatArray) -> FloatArray:
    """Offsets ``(..., V, 3)`` less their best small rigid motion, fitted with the vertex weights ``(V,)``.

    A rotation by a small angle w moves a point x by w cross x, so the six motions are linear and so is the result.
    """
    x, y, z = (rest - np.average(rest, axis=0, weights=weights)).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    motions = np.stack(
        [
            np.stack([one, zero, zero], 1),
            np.stack([zero, one, zero], 1),
            np.stack([zero, zero, one], 1),
            np.stack([zero, -z, y], 1),
            np.stack([z, zero, -x], 1),
            np.stack([-y, x, zero], 1),
        ]
    ).reshape(6, -1)
    weighted = motions * np.repeat(weights, 3)
    flat = offsets.reshape(*offsets.shape[:-2], -1)
    amounts = np.linalg.solve(weighted @ motions.T, weighted @ flat.reshape(-1, flat.shape[-1]).T)
    return np.asarray(flat - (amounts.T @ motions).reshape(flat.shape)).reshape(offsets.shape)
