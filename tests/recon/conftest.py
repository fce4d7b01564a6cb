from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import bfm
from bfm.dense_landmarks import dense_landmarks
from recon.detection import Detector, open_detector
from recon.detection.align import PX_PER_MM_AT_224, STANDARD_POINTS_MM


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """512 x 512 RGB, one face at about (226, 124), 90 px wide and 110 px high; inside scikit-image's wheel."""
    image = skimage.data.astronaut()
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def own_detector() -> Iterator[Detector]:
    with open_detector("open") as detector:
        yield detector


@pytest.fixture(scope="session")
def mediapipe() -> Iterator[Detector]:
    pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")
    with open_detector("mediapipe") as detector:
        yield detector


@pytest.fixture(scope="session")
def landmark_checkpoint(open_model: bfm.MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landmark network that has learnt nothing but the mean head: its 520 and 478 points lie where the five points of a
    face say, sigma is exp(-4.5) of the crop's side, and every point below the eyes is seen, every other hidden."""
    from recon.networks.landmark_checkpoint import landmark_fingerprint, save_landmark_network
    from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig

    torch.manual_seed(0)
    config = LandmarkNetworkConfig("mobilenetv4_small_050", 64, width=16, bottleneck=16, corrections=1)
    network = LandmarkNetwork(config)
    model = open_model.with_landmarks("520", dense_landmarks(open_model))
    places_mm = torch.cat([model.landmarks(model.mean_shape[None], name)[0] for name in config.point_sets])
    # The crop's middle is that of the standard points: 29 mm below the eyes, between which the model has its origin.
    y_mm = places_mm[:, 1] + float(STANDARD_POINTS_MM[0, 1])
    shares = torch.stack([places_mm[:, 0], -y_mm, -places_mm[:, 2]], dim=1) * PX_PER_MM_AT_224 / 224.0
    network.start_from(shares)
    with torch.no_grad():
        network.placement.points.weight.zero_()
        network.correction.weight.zero_()
        network.correction.bias[:, 3:5] = -4.5
        network.correction.bias[:, 5] = torch.where(places_mm[:, 1] < 0.0, 3.0, -3.0)
    path = tmp_path_factory.mktemp("landmarks") / "mean_head.safetensors"
    return save_landmark_network(path, network, landmark_fingerprint(open_model, config.point_sets), {})
