"""A small mesh that all loader tests write in the layout of their model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest


@dataclasses.dataclass(frozen=True)
class Dome:
    """A bulge that looks along +z, like a face: millimetres, counter-clockwise seen from outside.

    Sizes differ in every direction, so that a swapped axis cannot hide.
    """

    vertices: np.ndarray
    faces: np.ndarray
    keypoints: np.ndarray
    rng: np.random.Generator

    @property
    def n(self) -> int:
        return len(self.vertices)

    def basis(self, components: int) -> np.ndarray:
        """``(3 V, K)`` with rows x1, y1, z1, x2, ..."""
        return self.rng.standard_normal((3 * self.n, components))


@pytest.fixture
def dome() -> Dome:
    x, y = np.meshgrid(np.linspace(-70, 70, 6), np.linspace(-90, 90, 7))
    vertices = np.stack([x, y, 60 - (x**2 + y**2) / 100], axis=-1).reshape(-1, 3)
    corner = np.arange(42).reshape(7, 6)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return Dome(vertices, faces, keypoints=np.arange(68) * 5 % 42, rng=np.random.default_rng(7))


def assert_looks_outward(mean: np.ndarray, faces: np.ndarray) -> None:
    """Every triangle of the dome is counter-clockwise seen from +z."""
    a, b, c = (mean[faces[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.fixture
def looks_outward():
    return assert_looks_outward
