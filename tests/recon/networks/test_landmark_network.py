"""The dense landmark network and its files."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import bfm
from recon.networks.landmark_checkpoint import (
    landmark_fingerprint,
    load_landmark_network,
    save_landmark_network,
)
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig, read_at
from recon.networks.network_file import CheckpointError

_SMALL = LandmarkNetworkConfig(backbone="mobilenetv4_small_050", size=64, point_sets=("68",), width=16, bottleneck=8)


def _network(config: LandmarkNetworkConfig = _SMALL) -> LandmarkNetwork:
    torch.manual_seed(0)
    return LandmarkNetwork(config).eval()


def test_every_stage_answers_for_every_point_at_any_size_of_crop():
    network = _network()
    for side in (64, 96):
        stages = network.stages(torch.rand(2, 3, side, side))
        assert len(stages) == 1 + _SMALL.corrections
        for stage in stages:
            assert stage.points.shape == (2, 68, 3)
            assert stage.log_sigma.shape == stage.log_sigma_depth.shape == stage.visible.shape == (2, 68)
            assert bool(torch.isfinite(stage.points).all())


def test_the_paper_network_is_pooled_features_and_one_linear_layer():
    config = LandmarkNetworkConfig(backbone="resnet18", size=64, point_sets=("520",), head="direct")
    network = _network(config)
    (stage,) = network.stages(torch.rand(2, 3, 64, 64))
    assert stage.points.shape == (2, 520, 3)
    rest = sum(p.numel() for n, p in network.named_parameters() if not n.startswith("backbone."))
    assert rest == 512 * 1560 + 1560


def test_features_are_read_where_points_stand():
    maps = torch.zeros(1, 2, 4, 6)
    maps[0, 0] = torch.arange(6.0)
    maps[0, 1] = torch.arange(4.0)[:, None]
    places = torch.tensor([[[-0.5 + 2.5 / 6, -0.5 + 1.5 / 4], [0.0, 0.0], [0.9, -0.9]]])
    read = read_at(maps, places)
    assert torch.allclose(read[0], torch.tensor([[2.0, 1.0], [2.5, 1.5], [5.0, 0.0]]), atol=1e-6)


def test_a_correction_depends_on_what_is_seen_at_the_point():
    network = _network()
    maps = torch.randn(1, _SMALL.width, 8, 8)
    places = torch.zeros(1, 68, 2)
    before = network.correction(read_at(maps, places))
    far, near = maps.clone(), maps.clone()
    far[..., 0, 0] += 5.0
    near[..., 4, 4] += 5.0
    assert torch.equal(network.correction(read_at(far, places)), before)
    assert not torch.allclose(network.correction(read_at(near, places)), before)


def test_training_reaches_all_weights():
    network = _network().train()
    stages = network.stages(torch.rand(2, 3, 64, 64))
    sum(
        s.points.square().mean() + s.log_sigma.mean() + s.log_sigma_depth.mean() + s.visible.mean() for s in stages
    ).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not without


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "vgg"}, "unknown backbone 'vgg'"),
        ({"point_sets": ("21",)}, "point_sets must be some of"),
        ({"point_sets": ()}, "point_sets must be some of"),
        ({"corrections": 0}, "corrections must be a whole number from 1 to 8, got '0'"),
    ],
)
def test_impossible_configs_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(_SMALL, **changes)


def test_mean_points_must_fit():
    network = _network()
    network.start_from(torch.ones(68, 3))
    assert float(network.mean_points.sum()) == 204.0
    with pytest.raises(ValueError, match=r"must have shape \(68, 3\), got \(5, 3\)"):
        network.start_from(torch.ones(5, 3))


def test_a_file_gives_the_same_network(tmp_path):
    network = _network()
    network.start_from(torch.randn(68, 3))
    path = save_landmark_network(tmp_path / "n.safetensors", network, "abc", {"val/nme": 3.0})
    found, header = load_landmark_network(path, "abc")
    crops = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found(crops).points, network(crops).points)
    assert json.loads(header["metrics"]) == {"val/nme": 3.0}
    assert found.config == _SMALL
    assert save_landmark_network(path, found, "abc", {"val/nme": 3.0}).read_bytes() == path.read_bytes()


def _forged(path, **changes):
    with safe_open(path, framework="pt") as file:
        header, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}
    header.update({k: v for k, v in changes.items() if isinstance(v, str)})
    tensors.update({k: v for k, v in changes.items() if not isinstance(v, str)})
    save_file(tensors, path, metadata=header)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "facerecon-regressor-1"}, "is no landmark network: format 'facerecon-regressor-1'"),
        ({"config": json.dumps({"size": 64, "layers": 3})}, "has the keys backbone, "),
        ({"config": json.dumps({"point_sets": "68"})}, "point_sets must be a list of names"),
        ({"config": "[[["}, "makes no sense"),
        ({"mean_points": torch.zeros(67, 3)}, r"mean_points has shape \[67, 3\], the network \[68, 3\]"),
        ({"landmarks": "xyz"}, "was trained for other landmarks .*'xyz'.*'abc'"),
    ],
)
def test_files_that_make_no_network_are_refused(tmp_path, changes, words):
    path = save_landmark_network(tmp_path / "n.safetensors", _network(), "abc", {})
    _forged(path, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_landmark_network(path, "abc")


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_landmark_network(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
        load_landmark_network(tmp_path / "bad.safetensors")


def test_the_fingerprint_tells_sets_and_heads_apart():
    model = bfm.load("open", n_identity=2, n_albedo=2)
    both, one = landmark_fingerprint(model, ("478", "68")), landmark_fingerprint(model, ("478",))
    assert both != one
    data = model.data()
    moved = bfm.MorphableModel(dataclasses.replace(data, mean_shape=data.mean_shape * 1.01))
    assert landmark_fingerprint(moved, ("478",)) != one
