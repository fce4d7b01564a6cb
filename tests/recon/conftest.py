from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import skimage.data

from recon.detection import Detector, open_detector


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """512 x 512 RGB, one face at about (226, 124), 90 px wide and 110 px high; inside scikit-image's wheel."""
    image = skimage.data.astronaut()
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def mediapipe() -> Iterator[Detector]:
    with open_detector("mediapipe") as detector:
        yield detector
