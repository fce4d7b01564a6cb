"""Our network, the coding of published ones, and the files of both."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from recon.networks.depth.checkpoint import depth_network, load_depth_network, save_depth_network
from recon.networks.depth.crop_depth import SIDES_PER_MM, CropDepthConfig, CropDepthNetwork, CropDepthPrediction
from recon.networks.depth.map_depth import DepthCoding, MapDepthConfig, MapDepthNetwork
from recon.networks.face_box_checkpoint import save_face_box_network
from recon.networks.face_box_network import FaceBoxNetwork, FaceBoxNetworkConfig
from recon.networks.network_file import CheckpointError

TINY = CropDepthConfig("mobilenetv4_small_050", 64, 16)
TINY_MAP = MapDepthConfig("unet_simple", (32, 48), DepthCoding("linear", 2000.0, focal_sides=2.0))


def _tensors(found: CropDepthPrediction) -> dict[str, torch.Tensor]:
    return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}


def test_every_parameter_learns_and_crops_do_not_mix():
    torch.manual_seed(0)
    network = CropDepthNetwork(TINY)
    crops = torch.rand(2, 3, 64, 96)
    found = _tensors(network(crops))
    sum((value * torch.randn_like(value)).sum() for value in found.values()).backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert still == []
    network.eval()
    with torch.no_grad():
        whole = _tensors(network(crops))
        for k in range(2):
            for name, value in _tensors(network(crops[k : k + 1])).items():
                torch.testing.assert_close(value[0], whole[name][k], rtol=1e-3, atol=1e-4)
    assert whole["relief"].shape == (2, 1, 64, 96)
    torch.testing.assert_close(whole["normals"].norm(dim=1), torch.ones(2, 64, 96))


def _prediction(relief: torch.Tensor, log_scale: torch.Tensor) -> CropDepthPrediction:
    n, _, h, w = relief.shape
    none = torch.zeros(n)
    return CropDepthPrediction(relief, relief, log_scale, none, torch.zeros(n, 3, h, w), torch.zeros(n, 4, h, w))


def test_depth_is_that_of_the_points_that_the_crop_shows():
    """From a head's metric depth to relief and scale by their meaning, and back by the network's formula."""
    focal = torch.tensor([4.0, 1.5])
    origin_mm = torch.tensor([1100.0, 350.0])
    depth_mm = origin_mm[:, None, None, None] + torch.randn(2, 1, 5, 7) * 40.0
    sides_per_mm = focal / origin_mm  # what a millimetre at the origin measures in the picture
    relief = (depth_mm - origin_mm[:, None, None, None]) * sides_per_mm[:, None, None, None]
    found = _prediction(relief, (sides_per_mm / SIDES_PER_MM).log())
    torch.testing.assert_close(found.depth_mm(focal), depth_mm)
    torch.testing.assert_close(found.mm_per_side, 1.0 / sides_per_mm)


def test_another_focal_length_moves_the_head_and_keeps_its_shape():
    found = _prediction(0.1 * torch.randn(2, 1, 5, 7), torch.tensor([0.1, -0.2]))
    near, far = found.depth_mm(torch.tensor([2.0, 3.0])), found.depth_mm(torch.tensor([4.0, 9.0]))
    moved = (far - near).flatten(1)
    torch.testing.assert_close(moved, (torch.tensor([2.0, 6.0]) * found.mm_per_side)[:, None].expand_as(moved))


def test_depth_stays_in_front_of_the_camera():
    found = _prediction(torch.full((1, 1, 2, 2), -5.0), torch.zeros(1))
    assert bool((found.depth_mm(torch.tensor([1.0])) > 0.0).all())


@pytest.mark.parametrize("kind", ["inverse", "linear", "signed"])
@pytest.mark.parametrize("focal", [None, 2.5])
def test_codes_lead_back_to_their_depths(kind, focal):
    coding = DepthCoding(kind, 4000.0, 100.0, focal)
    depth_mm = 300.0 + 1000.0 * torch.rand(2, 1, 5, 7)
    focal_sides = torch.tensor([1.3, 4.0])
    code = coding.encode(depth_mm, focal_sides)
    torch.testing.assert_close(coding.decode(code, focal_sides), depth_mm, rtol=1e-4, atol=1e-2)
    if kind == "signed":
        assert -1.0 <= float(code.min()) and float(code.max()) <= 1.0


def test_codes_mean_what_the_papers_say():
    depth_mm, focal = torch.tensor([[[[500.0, 2500.0, 9000.0]]]]), torch.ones(1)
    assert DepthCoding("inverse").encode(depth_mm, focal).flatten().tolist() == pytest.approx([10.0, 2.0, 1.0])
    assert DepthCoding("linear").encode(depth_mm, focal).flatten().tolist() == pytest.approx([0.1, 0.5, 1.0])
    assert DepthCoding("signed").encode(depth_mm, focal).flatten().tolist() == pytest.approx([-0.8, 0.0, 1.0])


def test_one_code_for_what_looks_as_large():
    """Twice the focal length at twice the distance is the same picture of a flat thing, and the same code."""
    coding = DepthCoding("inverse", 5000.0, focal_sides=2.0)
    near = coding.encode(torch.full((1, 1, 2, 2), 600.0), torch.tensor([1.0]))
    far = coding.encode(torch.full((1, 1, 2, 2), 1200.0), torch.tensor([2.0]))
    torch.testing.assert_close(near, far)


def test_answers_of_a_wrong_sign_are_depths_in_range():
    coding = DepthCoding("inverse")
    assert coding.decode(torch.tensor([[[[-3.0, 0.0]]]]), torch.ones(1)).flatten().tolist() == [5000.0, 5000.0]


def test_half_maps_grow_to_the_pictures_size():
    network = MapDepthNetwork(MapDepthConfig("face_depth", (64, 96))).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 96)).shape == (2, 1, 64, 96)
        depth = network.depth_mm(torch.rand(2, 3, 64, 96), torch.tensor([1.0, 2.0]))
    assert depth.shape == (2, 1, 64, 96) and bool((depth > 0.0).all())


@pytest.mark.parametrize("config", [TINY, TINY_MAP], ids=["crop", "map"])
def test_files_bring_back_the_network(config, tmp_path):
    torch.manual_seed(4)
    network = depth_network(config).eval()
    path = save_depth_network(tmp_path / "n.safetensors", network, {"val/rmse": 1.0}, {"step": "3"})
    again, header = load_depth_network(path)
    assert again.config == config and not again.training and header["step"] == "3"
    state = again.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(state[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "tree"}, "unknown family of depth networks 'tree'"),
        ({"config": json.dumps({"backbone": "swin_tiny"})}, "needs a backbone of convolutions, got 'swin_tiny'"),
        ({"config": json.dumps({"path": "/etc"})}, "has the keys backbone"),
        ({"config": json.dumps({**dataclasses.asdict(TINY), "width": 24})}, "do not fit its own config"),
        ({"config": "["}, "makes no sense"),
        ({"family": "map", "config": json.dumps({"architecture": "x", "size": [32, 32]})}, "unknown depth network 'x'"),
        (
            {"family": "map", "config": json.dumps({"architecture": "pix2pix", "size": [100, 256]})},
            r"pictures for pix2pix have sides .H, W. of multiples of 256 up to 4096 px, got .100, 256.",
        ),
        (
            {"family": "map", "config": json.dumps({"architecture": "pini", "size": [96, 96], "coding": {"max_mm": 0.0}})},
            "needs 0 <= min_mm < max_mm",
        ),
    ],
)  # fmt: skip
def test_headers_that_make_no_network_are_named(change, message, tmp_path):
    path = save_depth_network(tmp_path / "n.safetensors", CropDepthNetwork(TINY), {})
    header = {"format": "facerecon-depth-1", "family": "crop", "config": json.dumps(dataclasses.asdict(TINY)), **change}
    save_file(load_file(path), path, metadata=header)
    with pytest.raises(CheckpointError, match=message):
        load_depth_network(path)


def test_files_of_other_networks_are_refused(tmp_path):
    other = FaceBoxNetwork(FaceBoxNetworkConfig("mobilenetv4_small_050", 128))
    path = save_face_box_network(tmp_path / "boxes.safetensors", other, {})
    with pytest.raises(CheckpointError, match="is no depth network: format 'facerecon-face-boxes-1'"):
        load_depth_network(path)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_depth_network(tmp_path / "none.safetensors")
