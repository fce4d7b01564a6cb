"""Random numbers by name: any sample's numbers can be sampled alone, in any order and on any machine.

A counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a number is a hash of
(seed, key, name, position), with the finaliser of SplitMix64 (Steele et al. 2014) as hash. There is no state, so a batch
is sampled at once and its numbers do not depend on what else is in it; a new name never shifts the numbers of another.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from bfm.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, eq=False)
class CounterRng:
    """Random numbers of B samples.

    Attributes:
        keys: ``(B,)`` uint64, one a sample; make them with :meth:`of`.
        device: where the numbers are put; they are the same everywhere.
    """

    keys: np.ndarray
    device: torch.device

    @classmethod
    def of(cls, seed: int, indices: Sequence[int] | np.ndarray, device: torch.device | str = "cpu") -> CounterRng:
        """Numbers of the samples with these non-negative indices under one seed.

        Raises:
            ValueError: a negative seed or index.
        """
        numbers = np.asarray(indices, dtype=np.int64)
        if seed < 0 or (numbers < 0).any():
            raise ValueError(f"seed and indices must not be negative, got seed {seed} and {numbers.tolist()[:5]}")
        start = _mix(np.uint64(seed % 2**64) ^ np.uint64(0x5851F42D4C957F2D))
        with np.errstate(over="ignore"):
            return cls(_mix(start + numbers.astype(np.uint64) * _GOLDEN), torch.device(device))

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """``(B, *shape)`` float32, uniform in [low, high)."""
        return self._tensor(low + (high - low) * self._unit(name, shape))

    def normal(self, name: str, *shape: int) -> Tensor:
        """``(B, *shape)`` float32 from N(0, 1), by Box and Muller's transform."""
        pair = self._unit(name, (2, *shape))
        radius = np.sqrt(-2.0 * np.log1p(-pair[:, 0]))
        return self._tensor(radius * np.cos(2.0 * math.pi * pair[:, 1]))

    def chance(self, name: str, share: float | Tensor) -> Tensor:
        """``(B,)`` bool, true with the probability ``share`` (a number, or one a sample)."""
        return self.uniform(name) < share

    def integer(self, name: str, below: int) -> Tensor:
        """``(B,)`` int64 in [0, below)."""
        number = np.minimum((self._unit(name, ()) * below).astype(np.int64), below - 1)
        return torch.as_tensor(number, device=self.device)

    def choice(self, name: str, shares: Sequence[float]) -> Tensor:
        """``(B,)`` int64: entry k with a probability in proportion to ``shares[k]``."""
        edges = np.cumsum(np.asarray(shares, dtype=np.float64))
        found = np.searchsorted(edges / edges[-1], self._unit(name, ()), side="right")
        return torch.as_tensor(np.minimum(found, len(edges) - 1), device=self.device)

    def log_uniform(self, name: str, low: float, high: float) -> Tensor:
        """``(B,)`` with a uniform logarithm."""
        return self._tensor(low * (high / low) ** self._unit(name, ()))

    def device_tensor(self, values: Sequence[float]) -> Tensor:
        """Constants as float32 on the same device."""
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _unit(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """``(B, *shape)`` float64 in [0, 1), 53 bits."""
        units = np.zeros((len(self.keys), math.prod(shape)))
        _fill_units(self.keys, _name_key(name), units)
        return units.reshape(len(self.keys), *shape)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.float32), device=self.device)


@functools.lru_cache(maxsize=1024)
def _name_key(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


def units_reference(keys: np.ndarray, name_key: np.uint64, count: int) -> np.ndarray:
    """Reference implementation of what :class:`CounterRng` computes: ``(B, count)``, equal to the last bit."""
    with np.errstate(over="ignore"):
        stream = _mix(keys ^ name_key)
        bits = _mix(stream[:, None] + (np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)[None])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


@compiled()
@no_type_check
def _fill_units(keys, name_key, units):
    for k in range(units.shape[0]):
        state = _mixed(keys[k] ^ name_key)
        for j in range(units.shape[1]):
            state += _GOLDEN
            units[k, j] = np.float64(_mixed(state) >> np.uint64(11)) * 2.0**-53


@compiled()
@no_type_check
def _mixed(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix(x: np.ndarray | np.uint64) -> np.ndarray:
    with np.errstate(over="ignore"):
        x = np.asarray(x, dtype=np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))
