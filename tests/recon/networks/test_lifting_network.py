"""The lifting network: what it starts from, what its numbers mean, and its files."""

import dataclasses

import pytest
import torch

from recon.networks.head import FaceBlocks, FramedPlace
from recon.networks.landmark_network import LandmarkPrediction
from recon.networks.lifting_checkpoint import is_lifting_network, load_lifting_network, save_lifting_network
from recon.networks.lifting_network import NOMINAL_SIZE, LiftingNetwork, LiftingNetworkConfig
from recon.networks.network_file import CheckpointError
from recon.rotation import turn_to_ray

_CONFIG = LiftingNetworkConfig(point_sets=("68", "478"), width=16, blocks=2)


def _landmarks(count: int, batch: int = 2, sigma: float = 0.02) -> LandmarkPrediction:
    generator = torch.Generator().manual_seed(1)
    log_sigma = torch.full((batch, count), sigma).log()
    points = 0.3 * torch.randn(batch, count, 3, generator=generator)
    return LandmarkPrediction(points, log_sigma, log_sigma, torch.randn(batch, count, generator=generator))


def _intrinsics() -> torch.Tensor:
    first = torch.tensor([[900.0, 0.0, 140.0], [0.0, 900.0, 60.0], [0.0, 0.0, 1.0]])
    second = torch.tensor([[400.0, 0.0, -300.0], [0.0, 400.0, 112.0], [0.0, 0.0, 1.0]])
    return torch.stack((first, second))


@pytest.fixture
def network(open_model) -> LiftingNetwork:
    torch.manual_seed(0)
    return LiftingNetwork(_CONFIG, FaceBlocks.of(open_model)).eval().requires_grad_(False)


def test_untrained_it_says_the_mean_head_looking_along_its_ray(network):
    lifted = network(_landmarks(546), _intrinsics())
    assert float(lifted.identity.abs().max()) < 0.1 and float((lifted.expression - 0.047).abs().max()) < 0.03
    pivot_cam = (lifted.rotation * network.pivot_mm).sum(dim=-1) + lifted.translation_mm
    along = turn_to_ray(pivot_cam).transpose(1, 2) @ lifted.rotation
    torch.testing.assert_close(along, torch.eye(3).expand(2, 3, 3), atol=0.05, rtol=0)
    depth_mm = -pivot_cam[:, 2]
    torch.testing.assert_close(_intrinsics()[:, 0, 0] / depth_mm, torch.full((2,), 1.02), atol=0.02, rtol=0)


def test_place_and_pose_are_inverse():
    generator = torch.Generator().manual_seed(2)
    place = 0.3 * torch.randn(2, 3, generator=generator)
    sixd = torch.tensor([[1.0, 0.2, 0.0, 0.1, 1.0, 0.3], [0.9, -0.4, 0.2, 0.3, 1.0, 0.0]])
    pivot_mm = torch.tensor([1.0, -33.0, -7.0])
    rotation, translation_mm = FramedPlace(place, _intrinsics(), 224).pose(sixd, pivot_mm, "perspective")
    back = FramedPlace.of(rotation, translation_mm, _intrinsics(), pivot_mm, 224)
    torch.testing.assert_close(back.place, place, atol=1e-4, rtol=0)


def test_points_that_are_doubted_tell_little(network):
    # Large weights, so that what points say shows at all.
    torch.nn.init.normal_(network.heads.weight, std=0.5, generator=torch.Generator().manual_seed(3))

    def moved_by(sigma: float) -> float:
        found = _landmarks(546, sigma=sigma)
        other = dataclasses.replace(found, points=found.points + 0.1)
        first, second = (network(landmarks, _intrinsics()).identity for landmarks in (found, other))
        return float((first - second).abs().mean())

    assert moved_by(0.4) < 0.2 * moved_by(0.01)


def test_root_of_a_rotations_precision_is_a_triangle_with_positive_diagonal(network):
    torch.nn.init.normal_(network.sigmas.weight, generator=torch.Generator().manual_seed(4))
    root = network(_landmarks(546), _intrinsics()).rotation_root
    assert torch.equal(root, root.tril()) and float(root.diagonal(dim1=-2, dim2=-1).min()) > 0.0
    assert float(root[:, 1, 0].abs().min()) > 0.0


def test_the_focal_length_is_heard(network):
    torch.nn.init.normal_(network.heads.weight, std=0.5, generator=torch.Generator().manual_seed(3))
    found, intrinsics = _landmarks(546), _intrinsics()
    longer = intrinsics.clone()
    longer[:, 0, 0] = longer[:, 1, 1] = 2.0 * NOMINAL_SIZE * 10.0
    assert not torch.allclose(network(found, intrinsics).identity, network(found, longer).identity, atol=1e-3)


def test_files(network, open_model, tmp_path):
    path = tmp_path / "lifting.safetensors"
    save_lifting_network(path, network, "abc", {"nme": 1.0})
    again, header = load_lifting_network(path, FaceBlocks.of(open_model), "abc")
    assert header["landmarks"] == "abc" and again.config == _CONFIG and is_lifting_network(path)
    wanted, found = (net(_landmarks(546), _intrinsics()) for net in (network, again))
    for field in dataclasses.fields(wanted):
        assert torch.equal(getattr(wanted, field.name), getattr(found, field.name)), field.name
    with pytest.raises(CheckpointError, match="trained for other landmarks .fingerprint 'abc'.*'other'"):
        load_lifting_network(path, None, "other")
    smaller = FaceBlocks.of(open_model.subset(n_identity=10))
    with pytest.raises(CheckpointError, match="was trained for the face model 'open'"):
        load_lifting_network(path, smaller)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_lifting_network(damaged)
    assert not is_lifting_network(damaged)


def test_weights_that_do_not_fit_their_config_are_refused(network, tmp_path):
    path = tmp_path / "lifting.safetensors"
    network.config = dataclasses.replace(_CONFIG, width=17)
    save_lifting_network(path, network, "abc", {})
    with pytest.raises(CheckpointError, match="do not fit its own config"):
        load_lifting_network(path)


def test_impossible_networks_are_refused():
    with pytest.raises(ValueError, match="point_sets must be some of 520, 478, 68, got"):
        LiftingNetworkConfig(point_sets=("70",))
    with pytest.raises(ValueError, match="width must be a whole number from 1 to 8192, got '0'"):
        LiftingNetworkConfig(width=0)


def test_a_set_of_points_of_another_size_is_refused(network):
    with pytest.raises(ValueError, match=r"points must have shape \(546, 3\), got \(5, 3\)"):
        network.start_from(torch.zeros(5, 3), torch.ones(5, 3))
