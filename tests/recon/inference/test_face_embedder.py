"""Embeddings of faces in photos: the crop is that of training, and does not know how the photo was turned or resized."""

import numpy as np
import pytest
import torch
from PIL import Image

from recon.detection.align import AlignmentError
from recon.inference.identity import FaceEmbedder, aligned_crop
from recon.networks.arcface import TEMPLATE_PX, aligned_crops
from recon.networks.identity_checkpoint import save_identity_network
from recon.networks.identity_network import IdentityConfig, build_identity_network

_POINTS = 1.1 * np.array(TEMPLATE_PX) + [20.0, 9.0]


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(2)
    coarse = Image.fromarray(rng.integers(0, 255, (16, 20, 3), np.uint8))
    return np.asarray(coarse.resize((200, 160), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    torch.manual_seed(0)
    network = build_identity_network(IdentityConfig("mobilenetv4_small_050", embedding=12, width=8)).eval()
    return FaceEmbedder(save_identity_network(tmp_path_factory.mktemp("identity") / "n.safetensors", network, {}))


def test_crops_of_photos_are_those_of_training(photo):
    crop = aligned_crop(photo, _POINTS)
    picture = torch.tensor(photo).permute(2, 0, 1)[None].float() / 255.0
    points = torch.tensor(_POINTS, dtype=torch.float32)[None]
    trained = aligned_crops(picture, points, torch.tensor(TEMPLATE_PX))[0].permute(1, 2, 0).numpy()
    assert np.abs(crop / 255.0 - trained).mean() < 0.01


def test_embeddings_are_unit_vectors_and_do_not_depend_on_the_photos_size_and_turn(photo, embed):
    found = embed(photo, _POINTS)
    assert found.shape == (embed.size,) == (12,)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
    large = np.asarray(Image.fromarray(photo).resize((600, 480), Image.Resampling.BICUBIC))
    assert embed(large, 3.0 * _POINTS) @ found > 0.995
    turned = np.rot90(photo).copy()  # counter-clockwise: x' = y, y' = width - x
    assert embed(turned, np.stack((_POINTS[:, 1], 200.0 - _POINTS[:, 0]), axis=1)) @ found > 0.995
    mirrored = photo[:, ::-1].copy()
    points = np.stack((200.0 - _POINTS[:, 0], _POINTS[:, 1]), axis=1)[[1, 0, 2, 4, 3]]
    assert embed(mirrored, points) @ found > 0.999
    assert embed(photo, _POINTS + [15.0, 10.0]) @ found < 0.99


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_points_that_no_face_has_are_refused(photo, points):
    with pytest.raises(AlignmentError, match="aligned by five different points"):
        aligned_crop(photo, points)
