"""Surfaces of known shape, and heads of the open model."""

import numpy as np
import pytest
import torch
import trimesh

from recon.evaluation.predict import Predictor
from recon.evaluation.scans.heads import HeadParts
from recon.evaluation.scans.scan import Scan
from recon.evaluation.scans.triangles import TriangleSurface
from recon.lighting import ambient


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


@pytest.fixture(scope="session")
def make_head(open_model):
    """Heads as a predictor returns them, with chosen coefficients and pose."""
    from recon.camera import PerspectiveCamera
    from recon.detection.face import Face
    from recon.reconstruction import FitReport, Reconstruction

    def make(photo, rotation=None, identity=None, **changes):
        height, width = photo.pixels.shape[:2]
        camera = PerspectiveCamera.at(
            torch.eye(3)[None] if rotation is None else torch.as_tensor(rotation, dtype=torch.float32)[None],
            torch.tensor([[4.0, -7.0, -900.0]]),
            size=(height, width),
            focal_px=torch.full((1, 2), 3.0 * width),
        )
        known = dict(
            model=open_model,
            photo=photo,
            face=Face(np.array([0.0, 0.0, width, height]), np.arange(10.0).reshape(5, 2), 1.0, "known"),
            identity=torch.zeros(1, open_model.n_identity) if identity is None else identity,
            expression=torch.zeros(1, open_model.n_expression),
            albedo_coefficients=torch.zeros(1, open_model.n_albedo),
            lighting=ambient(torch.ones(1, 3)),
            camera=camera,
            fit_report=FitReport(0.0, 0.0, ()),
        )
        return Reconstruction(**{**known, **changes})

    return make


@pytest.fixture
def predictor_of(open_model):
    """A predictor from a function of a photo."""

    def make(head):
        return Predictor(lambda photo, near: head(photo), open_model, "known heads", "none")

    return make
