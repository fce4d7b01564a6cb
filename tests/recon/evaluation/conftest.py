"""Surfaces of known shape, and heads of the open model."""

import numpy as np
import pytest
import trimesh

from recon.evaluation.heads import HeadParts
from recon.evaluation.scan import Scan
from recon.evaluation.triangles import TriangleSurface


@pytest.fixture
def sphere():
    """A fine sphere of radius 100 mm."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=100.0)
    return TriangleSurface(np.asarray(ball.vertices), np.asarray(ball.faces))


@pytest.fixture(scope="session")
def parts(open_model):
    return HeadParts.of(open_model)


@pytest.fixture(scope="session")
def neutral_head(parts, open_model):
    """Person 1 of the open model, neutral."""
    identity = np.random.default_rng(1).normal(size=open_model.n_identity)
    return parts.head(parts.vertices(identity))


@pytest.fixture(scope="session")
def scan_of_head(neutral_head):
    """A scan that is the outside of the same person, in the same frame."""
    return Scan("same", neutral_head.surface, neutral_head.landmarks)
