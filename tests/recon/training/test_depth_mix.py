"""Data sets with depth framed as crops, and their shares in batches with drawn faces."""

import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from losses.depth.objective import DepthObjective
from recon.networks.depth.crop_depth import CropDepthConfig
from recon.networks.depth.map_depth import ARCHITECTURES, Architecture, DepthCoding, MapDepthConfig
from recon.synthesis import SynthesisConfig
from recon.training.crop_depth_module import CropDepthModule
from recon.training.degrade import Degradation
from recon.training.depth_mix_data import DepthMixData, DepthSetConfig
from recon.training.depth_module import DepthModule
from recon.training.depth_pictures import DepthPictureError, find_pictures, frame_depth
from recon.training.framing import CropJitter
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.stream import BatchPlan, StreamPlace

_FOCAL_PX, _RAY_MM, _SIZE = 600.0, 700.0, 64
_STILL = CropJitter(0.0, *[0.0] * 6)
_DRAWN = SynthesisConfig.clean(yaw_deg=30.0, upright=True, crop_margin=0.3)


@pytest.fixture(scope="module")
def pairs(astronaut, tmp_path_factory):
    """A face at one place beside the middle of two photos, both on a sphere about the camera, and a wall."""
    folder = tmp_path_factory.mktemp("pairs")
    whole = Image.fromarray(astronaut).crop((100, 0, 512, 300))
    height, width = whole.size[1], whole.size[0]
    y, x = np.mgrid[0:height, 0:width] + 0.5
    depth_mm = _RAY_MM / np.sqrt(1.0 + ((x - 0.5 * width) ** 2 + (y - 0.5 * height) ** 2) / _FOCAL_PX**2)
    for name in ("a", "b", "wall"):
        shown = whole if name != "wall" else Image.fromarray(np.full((height, width, 3), 128, np.uint8))
        shown.save(folder / f"{name}.png")
        holes = depth_mm.copy()
        if name == "b":
            holes[:, :126] = np.nan
        np.save(folder / f"{name}_depth.npy", holes)
    return folder


@pytest.fixture(scope="module")
def framed(pairs, own_detector, tmp_path_factory):
    place = tmp_path_factory.mktemp("framed")
    return place, frame_depth(find_pictures(pairs, "pairs", None), place, own_detector, _SIZE, _FOCAL_PX)


@pytest.mark.parametrize("jitter", [_STILL, CropJitter(1.0)], ids=["still", "moved"])
def test_depth_turns_with_the_crop(framed, jitter):
    """A sphere about the camera is one about every camera that is turned at its place."""
    _, pictures = framed
    batch = pictures.batch([0, 1, 0, 1], _SIZE, jitter, None, 3)
    share = (torch.arange(_SIZE) + 0.5) / _SIZE - 0.5
    y, x = torch.meshgrid(share, share, indexing="ij")
    rays = torch.sqrt(1.0 + (x**2 + y**2) / batch.focal_sides[:, None, None] ** 2)
    lengths_mm = (batch.depth_mm[:, 0] * rays)[batch.known[:, 0]]
    assert batch.known[0].float().mean() > 0.5
    torch.testing.assert_close(lengths_mm, torch.full_like(lengths_mm, _RAY_MM), atol=0.5, rtol=0.0)
    assert batch.known[1].sum() < batch.known[0].sum() or jitter is not _STILL
    assert (batch.face == batch.known).all() and batch.origin_mm.isnan().all()


def test_what_shows_no_face_is_left_out_and_framing_is_kept(framed, pairs, own_detector, monkeypatch):
    place, pictures = framed
    assert pictures.names == ("a", "b") and len(pictures.left_out) == 1 and "no face was found" in pictures.left_out[0]
    items = find_pictures(pairs, "pairs", None)
    with monkeypatch.context() as blind:
        blind.setattr("recon.training.depth_pictures.faces_with_landmarks", None)
        again = frame_depth(items, place, own_detector, _SIZE, _FOCAL_PX)
    assert np.array_equal(again.crops, pictures.crops) and np.array_equal(again.depth_mm, pictures.depth_mm)
    assert again.left_out == pictures.left_out and np.array_equal(again.focal_sides, pictures.focal_sides)
    (place / "depths.npy").write_bytes(b"damaged")
    mended = frame_depth(items, place, own_detector, _SIZE, _FOCAL_PX)
    assert np.array_equal(mended.depth_mm, pictures.depth_mm)
    nearer = frame_depth(items, place, own_detector, _SIZE, 0.5 * _FOCAL_PX)
    assert np.all(nearer.focal_sides < 0.7 * pictures.focal_sides)


def test_sets_that_cannot_be_used_are_refused(pairs, own_detector, tmp_path):
    with pytest.raises(DepthPictureError, match=r"none of 3 .* nobody tells the focal length: set focal_px"):
        frame_depth(find_pictures(pairs, "pairs", None), tmp_path, own_detector, _SIZE)
    for layout, range_mm in (("side-by-side", None), ("pairs", (1.0, 2.0))):
        with pytest.raises(ValueError, match="range_mm is told for the layout side-by-side"):
            find_pictures(pairs, layout, range_mm)


def test_pictures_side_by_side_are_a_set(astronaut, own_detector, tmp_path):
    photo = astronaut[0:300, 100:412]
    both = np.concatenate((photo, np.full_like(photo, 128)), axis=1)
    (tmp_path / "set").mkdir()
    Image.fromarray(both).save(tmp_path / "set" / "7.png")
    items = find_pictures(tmp_path / "set", "side-by-side", (600.0, 854.0))
    pictures = frame_depth(items, tmp_path / "framed", own_detector, _SIZE, 4000.0)
    known = pictures.depth_mm[0][pictures.depth_mm[0] > 0.0]
    assert known.size and np.allclose(known, 727.0, atol=3.0)


class _Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, pictures):
        return self.layer(pictures)


def _data(folder, pairs, *shares, batch_size=4):
    sets = tuple(
        DepthSetConfig(str(pairs), "pairs", share, str(folder / f"framed{number}"), _FOCAL_PX)
        for number, share in enumerate(shares)
    )
    drawing = DrawingConfig(_DRAWN, count=4, seed=5, side_px=64, block=4, workers=1)
    crops = CropConfig(CropJitter(0.5), Degradation(*[0.0] * 10), workers=0)
    return DepthMixData(
        str(folder), drawing, sets, None, _SIZE, BatchPlan(batch_size, seed=1), crops, HeldOutConfig(count=2)
    )


@pytest.fixture(scope="module")
def data(pairs, tmp_path_factory):
    made = _data(tmp_path_factory.mktemp("mix"), pairs, 0.25, 0.5)
    made.prepare_data()
    return made


def test_every_batch_holds_the_shares_and_a_resumed_run_goes_on(data):
    batches = iter(data.mixed(StreamPlace()))
    first = [next(batches) for _ in range(3)]
    for batch in first:
        assert len(batch) == 4 and batch.origin_mm.isnan().tolist() == [True, True, True, False]
        assert batch.known.flatten(1).any(dim=1).all()
    resumed = next(iter(data.mixed(StreamPlace(step=2))))
    for name, values in first[2].tensors().items():
        torch.testing.assert_close(values, resumed.tensors()[name], equal_nan=True, msg=name)
    assert not torch.equal(first[0].image, first[1].image)


def test_networks_of_maps_learn_from_sets_of_unknown_scale(data, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "unet_simple", Architecture(lambda pretrained: _Small(), 16))
    config = MapDepthConfig("unet_simple", (_SIZE, _SIZE), DepthCoding("inverse", 5000.0, focal_sides=3.0))
    module = DepthModule(config, DepthObjective({"scale_and_shift_invariant": 1.0}))
    logged = {}
    module.log = lambda name, value, **options: logged.update({name: value})
    loss = module.training_step(next(iter(data.mixed(StreamPlace()))), 0)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in module.network.parameters())


def test_our_network_and_impossible_shares_are_refused(data, pairs, tmp_path, monkeypatch):
    ours = CropDepthModule(CropDepthConfig("mobilenetv4_small_050", 64, 16))
    monkeypatch.setattr(data, "trainer", types.SimpleNamespace(lightning_module=ours), raising=False)
    with pytest.raises(ValueError, match="learns relief about the head's origin"):
        data.train_dataloader()
    for shares in ((0.75, 0.5), (0.05,), ()):
        with pytest.raises(ValueError, match="each set needs one, all together at most the batch"):
            _data(tmp_path, pairs, *shares)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        DepthSetConfig("x", "pairs", 0.0, "y")
