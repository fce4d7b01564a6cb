from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import bfm
from recon.camera import PerspectiveCamera
from recon.detection.face import Face
from recon.io.image import Photo
from recon.lighting import ambient, lamps_to_sh
from recon.reconstruction import FitReport, Reconstruction
from recon.rotation import euler_to_matrix


@pytest.fixture(scope="session")
def head(open_model: bfm.MorphableModel) -> Reconstruction:
    """A head that nobody fitted: turned, smiling with an open jaw, in a photo of 150 x 120 px."""
    rng = torch.Generator().manual_seed(5)
    expression = torch.zeros(1, open_model.n_expression)
    expression[0, open_model.expression_names.index("jawOpen")] = 0.4
    expression[0, open_model.expression_names.index("mouthSmileLeft")] = 0.7
    pixels = np.random.default_rng(1).integers(0, 255, (150, 120, 3), dtype=np.uint8)
    lamp = lamps_to_sh(torch.tensor([[[0.5, 0.3, 1.0]]]), torch.tensor([[[1.5, 1.2, 1.0]]]))
    return Reconstruction(
        model=open_model,
        photo=Photo(pixels, source="somebody.png"),
        face=Face(np.array([30.0, 40.0, 90.0, 120.0]), np.full((5, 2), 60.0), 0.9, "test"),
        identity=torch.randn(1, open_model.n_identity, generator=rng),
        expression=expression,
        albedo_coefficients=torch.randn(1, open_model.n_albedo, generator=rng),
        lighting=ambient(torch.full((1, 3), 0.4)) + lamp,
        camera=PerspectiveCamera(
            euler_to_matrix(torch.tensor([[0.1, -0.4, 0.05]])),
            torch.tensor([[10.0, -20.0, -900.0]]),
            torch.full((1, 2), 400.0),
            torch.tensor([[58.0, 77.0]]),
        ),
        fit_report=FitReport(1.5, 0.1, ("the face is small",)),
    )


class FakeMaker:
    """Finds two faces in every photo and gives each the same head, counting how often."""

    def __init__(self, head: Reconstruction) -> None:
        self.model, self._head = head.model, head
        self.made: list[tuple[Face, str]] = []

    def detect(self, photo: Photo) -> list[Face]:
        return [self._head.face, self._head.face]

    def head(self, photo: Photo, face: Face, method: str) -> Reconstruction:
        time.sleep(0.05)  # long enough for others to ask for the same
        self.made.append((face, method))
        return self._head


@pytest.fixture
def maker(head: Reconstruction) -> FakeMaker:
    return FakeMaker(head)
