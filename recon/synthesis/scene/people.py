"""Who is in the picture: sex, age, ethnic group, and with them the shape of the head and the colour of the skin."""

from __future__ import annotations

import dataclasses
import functools
import io
from importlib import resources

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.synthesis.counter_rng import CounterRng

POPULATION_TABLE = "population.npz"
ATTRIBUTE_NAMES = ("male", "age_years", "african", "asian", "caucasian", "weight")
"""Columns of ``People.attributes``: 0 or 1; years; shares that sum to 1; build in [0, 1]."""

YOUNGEST_YEARS, OLDEST_YEARS = 25.0, 90.0
"""MakeHuman's ends of the age slider; the identity components hold no children."""

_DIMORPHISM = 1.4
"""Difference between women and men as a multiple of the one between the ends of MakeHuman's slider."""
_MELANIN_OF = {"african": 1.25, "asian": -0.1, "caucasian": -0.85}
_MELANIN_SIGMA = 0.55
_TINT_SIGMA = 0.65


@dataclasses.dataclass(frozen=True, eq=False)
class People:
    """B persons.

    Attributes:
        attributes: ``(B, 6)`` columns :data:`ATTRIBUTE_NAMES`.
        identity: ``(B, n_identity)``.
        albedo: ``(B, n_albedo)``.
    """

    attributes: Float[Tensor, "b 6"]
    identity: Float[Tensor, "b ki"]
    albedo: Float[Tensor, "b ka"]

    def column(self, name: str) -> Float[Tensor, " b"]:
        """One attribute."""
        return self.attributes[:, ATTRIBUTE_NAMES.index(name)]


def sample_people(model: MorphableModel, rng: CounterRng, identity_strength: float, albedo_strength: float) -> People:
    """Persons of all kinds in equal parts. Strengths scale the coefficients; 0 gives the mean person.

    For the open model shape follows sex, age, ethnic group and build by a regression over the population that its
    components were made from; other models are sampled from their prior.
    """
    batch = len(rng.keys)
    male = rng.chance("sex", 0.5).float()
    age = rng.uniform("age") ** 2.0
    # Mostly one group, sometimes a mixture; the three groups are equally frequent.
    spread = rng.uniform("groups", 3).clamp_min(1e-6).log().neg() ** 2.2
    groups = spread / spread.sum(dim=1, keepdim=True)
    weight = 0.5 + 0.25 * rng.normal("weight").clamp(-2.0, 2.0)
    sex = 0.5 + _DIMORPHISM * (male - 0.5)
    known = torch.stack((sex, age, groups[:, 0], groups[:, 1], weight), dim=1)
    width = model.n_identity
    noise = rng.normal("identity", width) if width else male.new_zeros(batch, 0)
    if model.identity_prior == "unit":
        identity = rng.uniform("identity", width) if width else noise
    elif model.name == "open":
        slopes, rest_sigma = _population(width)
        expected = torch.as_tensor(features(known.cpu().numpy()) @ slopes, dtype=torch.float32).to(noise.device)
        identity = expected + torch.as_tensor(rest_sigma).to(noise.device) * noise.clamp(-2.5, 2.5)
    else:
        identity = noise.clamp(-2.5, 2.5)
    years = YOUNGEST_YEARS + (OLDEST_YEARS - YOUNGEST_YEARS) * age
    attributes = torch.stack((male, years, *groups.unbind(1), weight), dim=1)
    albedo = _albedo(model, rng, groups, age)
    return People(attributes, identity_strength * identity, albedo_strength * albedo)


def _albedo(model: MorphableModel, rng: CounterRng, groups: Tensor, age: Tensor) -> Tensor:
    width = model.n_albedo
    if width == 0:
        return groups.new_zeros(groups.shape[0], 0)
    albedo = rng.normal("albedo", width).clamp(-2.5, 2.5)
    if model.name != "open":
        return albedo
    # The first component is melanin, the second blood, the rest are tints of regions and patches.
    melanin = groups @ groups.new_tensor(list(_MELANIN_OF.values()))
    albedo = _TINT_SIGMA * albedo.clamp(-2.0, 2.0)
    albedo[:, 0] = (melanin + _MELANIN_SIGMA / _TINT_SIGMA * albedo[:, 0]).clamp(-1.9, 1.9)
    return albedo


def features(known: np.ndarray) -> np.ndarray:
    """Design matrix ``(N, 21)`` of the regression, from ``(N, 5)`` male, age, african, asian, weight in [0, 1]."""
    centred = np.asarray(known, dtype=np.float64) - np.array([0.5, 0.5, 1 / 3, 1 / 3, 0.5])
    squares = [centred[:, i] * centred[:, j] for i in range(5) for j in range(i, 5)]
    return np.concatenate([np.ones((len(centred), 1)), centred, np.stack(squares, axis=1)], axis=1)


@functools.lru_cache(maxsize=4)
def _population(n_identity: int) -> tuple[np.ndarray, np.ndarray]:
    data = (resources.files("recon.synthesis.scene") / POPULATION_TABLE).read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as table:
        return table["slopes"][:, :n_identity].astype(np.float64), table["rest_sigma"][:n_identity]
