"""Drawn faces with depth, and the modules that learn from them."""

import dataclasses
import shutil

import lightning
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from losses.depth.objective import DepthObjective
from recon.camera import PerspectiveCamera
from recon.depth.geometry import depth_points, point_normals
from recon.networks.depth.checkpoint import load_depth_network
from recon.networks.depth.crop_depth import CLASSES, CropDepthConfig, CropDepthPrediction
from recon.networks.depth.map_depth import ARCHITECTURES, Architecture, DepthCoding, MapDepthConfig
from recon.networks.network_file import CheckpointError
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.crop_depth_module import (
    CropDepthModule,
    CropDepthWeights,
    ReliefTargets,
    crop_depth_metrics,
    crop_depth_terms,
    pixel_weights,
)
from recon.training.degrade import Degradation
from recon.training.depth_batch import UNKNOWN, DepthBatch
from recon.training.depth_data import CachedDepthFaces, DepthCropData
from recon.training.depth_metrics import depth_metrics, normals_error_deg
from recon.training.depth_module import DepthModule
from recon.training.depth_pair_module import DepthPairModule, DiscriminatorConfig
from recon.training.depth_stream import DepthStreamData
from recon.training.face_cache import FaceCache, FaceCacheConfig, FaceCacheError, synthesize_faces
from recon.training.framing import CropJitter, sample_framing
from recon.training.held_out import HeldOutConfig
from recon.training.label_maps import packed_maps, unpacked_depth_mm, unpacked_normals, unpacked_segments
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.photo_backgrounds import BackgroundConfig, PhotoBackgrounds
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan, StreamPlan

_MARGIN = 0.3
_DRAWN = SynthesisConfig.clean(yaw_deg=40.0, pitch_deg=20.0, roll_deg=20.0, upright=True, crop_margin=_MARGIN, hair=1.0)
_CACHE = FaceCacheConfig(_DRAWN, seed=5, size=96, count=3, block=2, maps=True)
_STILL = CropJitter(0.0, *[0.0] * 6)
_WIDE = CropJitter(1.0)
_TINY = CropDepthConfig("mobilenetv4_small_050", 64, 16)
_FAST = OptimiserConfig(rate=2e-3, warm_up=0, schedule="constant")
_MAP = MapDepthConfig("unet_simple", (32, 32), DepthCoding("linear", 3000.0, focal_sides=3.0))
_PINI = MapDepthConfig("pini", (32, 32), DepthCoding("signed", 1800.0, 200.0, 3.0))


class _Small(nn.Module):
    """Stands for a published generator, of which :mod:`recon.networks.depth` has tests of its own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))

    def forward(self, pictures):
        return torch.tanh(self.layers(pictures))


class _SmallJudge(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.LeakyReLU(0.2), nn.Flatten(), nn.LazyLinear(1))
        self.layers(torch.zeros(1, 1, *size))

    def forward(self, code):
        return self.layers(code)[:, 0]


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    for name in ("unet_simple", "pini"):
        monkeypatch.setitem(ARCHITECTURES, name, Architecture(lambda pretrained: _Small(), 16))
    monkeypatch.setattr("recon.training.depth_pair_module.PiniDiscriminator", _SmallJudge)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("depth") / "train"
    synthesize_faces(place, _CACHE)
    return place


@pytest.fixture(scope="module")
def faces(folder):
    return CachedDepthFaces(FaceCache(folder, maps=True), _MARGIN)


@pytest.fixture(scope="module")
def batch(faces):
    return faces.batch([0, 2], 64, _WIDE, None, 3)


def _true_prediction(batch: DepthBatch) -> CropDepthPrediction:
    target = ReliefTargets.of(batch)
    relief = torch.where(batch.known, target.relief, 0.0)
    sure = torch.full_like(relief, -6.0)
    classes = 30.0 * torch.nn.functional.one_hot(batch.classes.clamp_min(0), len(CLASSES)).permute(0, 3, 1, 2).float()
    return CropDepthPrediction(relief, sure, target.log_scale, sure[:, 0, 0, 0], batch.normals, classes)


def test_maps_are_kept_to_a_hundredth_of_a_millimetre_and_half_a_degree(folder, open_model):
    drawn = FaceSampler(open_model, _DRAWN, 5, (96, 96)).batch(range(3))
    packed = packed_maps(drawn)
    cache = FaceCache(folder, maps=True)
    for name, values in packed.items():
        # The batch that a face is drawn in shows in the rounding.
        assert (cache.map(name, 2) == values[2]).mean() > 0.99, name
    depth_mm = unpacked_depth_mm(packed["depth"], -drawn.translation_mm[:, 2])
    assert torch.equal(depth_mm > 0.0, drawn.scene_depth_mm > 0.0)
    torch.testing.assert_close(depth_mm, drawn.scene_depth_mm, atol=0.011, rtol=0.0)
    normals = unpacked_normals(packed["normals"])
    error_deg = normals_error_deg(normals, drawn.normals, drawn.mask)
    assert float(error_deg.max()) < 0.5 and not normals.permute(0, 2, 3, 1)[~drawn.mask[:, 0]].any()
    assert torch.equal(unpacked_segments(packed["segments"]), drawn.segmentation)


def test_what_is_out_of_reach_is_not_known(open_model):
    drawn = FaceSampler(open_model, _DRAWN, 5, (48, 48)).batch([0])
    far = dataclasses.replace(drawn, scene_depth_mm=drawn.scene_depth_mm + 900.0 * (drawn.scene_depth_mm > 0.0))
    assert not packed_maps(far)["depth"].any()


def test_faces_without_maps_are_refused(tmp_path):
    synthesize_faces(tmp_path / "plain", dataclasses.replace(_CACHE, count=1, block=1, maps=False))
    with pytest.raises(FaceCacheError, match="holds faces without maps .depth-00000.npy is missing.; draw them anew"):
        FaceCache(tmp_path / "plain", maps=True)
    with pytest.raises(FaceCacheError, match="differ in: maps"):
        synthesize_faces(tmp_path / "plain", dataclasses.replace(_CACHE, count=1, block=1))


def test_equal_arguments_give_equal_crops(faces):
    first, second, other = (faces.batch([0, 2], 64, CropJitter(), Degradation(), seed) for seed in (7, 7, 8))
    assert all(torch.equal(value, second.tensors()[name]) for name, value in first.tensors().items())
    assert not torch.equal(first.image, other.image)


def test_crops_show_the_heads_points_at_their_depth(faces, batch):
    """Landmarks in space, turned into the crop's camera, lie on the depth map where they are seen."""
    view = faces._view([0, 2], sample_framing(2, _WIDE, faces.zoom, torch.Generator().manual_seed(3)))
    labels = faces.cache.labels
    points = torch.from_numpy(labels["landmarks478_cam"][[0, 2]]) @ view.turn.transpose(1, 2)
    seen = torch.from_numpy(labels["landmarks478_visible"][[0, 2]])
    focal = view.focal_sides[:, None, None]
    places = focal * points[..., :2] * torch.tensor([1.0, -1.0]) / -points[..., 2:]
    inside = seen & (places.abs() < 0.45).all(dim=-1)
    grid = 2.0 * places[:, None]
    depth = torch.nn.functional.grid_sample(batch.depth_mm, grid, mode="nearest", align_corners=False)[:, 0, 0]
    error = (depth + points[..., 2])[inside & (depth > 0.0)].abs()
    assert int(inside.sum()) > 300 and float(error.median()) < 2.0
    torch.testing.assert_close(view.focal_sides, batch.focal_sides)


def test_normals_are_those_of_the_depth(batch):
    camera = PerspectiveCamera.at(size=(64, 64), focal_px=(64 * batch.focal_sides)[:, None].expand(-1, 2))
    found, known = point_normals(depth_points(batch.depth_mm, camera), batch.known)
    both = known & batch.face & (batch.normals != 0.0).any(dim=1, keepdim=True)
    angle = torch.rad2deg(torch.arccos((found * batch.normals).sum(dim=1, keepdim=True).clamp(-1.0, 1.0)))
    assert float(angle[both].median()) < 8.0


def test_hidden_pixels_have_no_class(faces):
    plain = faces.batch([0, 2], 64, _STILL, None, 4)
    none = {field.name: 0.0 for field in dataclasses.fields(Degradation)}
    patched = faces.batch([0, 2], 64, _STILL, Degradation(**{**none, "patches": 1.0}), 4)
    changed = (plain.image - patched.image).abs().amax(dim=1) > 0.05
    assert bool(changed.any()) and bool((patched.classes[changed] == UNKNOWN).all())
    assert torch.equal(plain.depth_mm, patched.depth_mm)


def test_photos_lie_behind_heads_and_nowhere_else(faces, tmp_path):
    Image.new("RGB", (90, 70), (200, 30, 60)).save(tmp_path / "red.png")
    red = torch.tensor([200.0, 30.0, 60.0]).view(3, 1, 1) / 255.0
    plain = faces.batch([0, 2], 64, CropJitter(), None, 4)
    for share in (0.0, 1.0):
        photos = PhotoBackgrounds(BackgroundConfig(str(tmp_path), share))
        found = CachedDepthFaces(faces.cache, _MARGIN, photos).batch([0, 2], 64, CropJitter(), None, 4)
        behind = found.classes == CLASSES.index("background")
        near = torch.nn.functional.max_pool2d(
            torch.nn.functional.pad(behind.float()[:, None], 4 * [2], value=1.0), 5, 1
        )
        inside = near[:, 0] == 0.0
        changed = (found.image - plain.image).abs().amax(dim=1) > 1e-4
        is_red = (found.image - red).abs().amax(dim=1) < 1e-3
        assert bool(behind.any()) and bool(inside.any()) and not bool(changed[inside].any())
        assert float(is_red[behind].float().mean()) > 0.8 if share else not bool(changed.any())
        assert torch.equal(found.classes, plain.classes) and torch.equal(found.depth_mm, plain.depth_mm)


def test_beyond_the_picture_nothing_is_known(faces):
    far = CropJitter(0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.0)
    found = faces.batch([0, 2], 64, far, None, 1)
    beyond = found.classes == UNKNOWN
    assert bool(beyond.any()) and not bool(found.known[:, 0][beyond].any())


def test_the_truth_has_no_error(batch):
    found = _true_prediction(batch)
    torch.testing.assert_close(
        torch.where(batch.known, found.depth_mm(batch.focal_sides), 0.0), batch.depth_mm, rtol=1e-4, atol=1e-2
    )
    values = crop_depth_metrics(found, batch)
    for name in ("rmse_mm", "abs_rel", "scaled_rmse_mm", "normals_deg"):
        assert float(values[name].max()) < 0.05, name
    assert float(values["classes"].min()) == 1.0 and float(values["within_sigma"].min()) == 1.0


@pytest.mark.parametrize("name", ["relief", "log_scale", "normals", "classes"])
def test_every_part_of_the_answer_is_judged(name, batch):
    truth = _true_prediction(batch)
    value = getattr(truth, name)
    wrong = -value if name == "normals" else value.roll(1, dims=1) if name == "classes" else value + 0.1
    weights = CropDepthWeights()
    good = sum(crop_depth_terms(truth, batch, weights).values())
    bad = sum(crop_depth_terms(dataclasses.replace(truth, **{name: wrong}), batch, weights).values())
    assert float(bad) > float(good) + 0.1


def test_the_background_does_not_count_and_hair_less_than_skin(batch):
    weights = CropDepthWeights()
    shares = pixel_weights(batch, weights)
    for name, share in (("background", 0.0), ("skin", 1.0), ("hair", weights.hair)):
        here = (batch.classes == CLASSES.index(name))[:, None]
        assert bool(here.any()) and shares[here].unique().tolist() == pytest.approx([share])
    with pytest.raises(ValueError, match="weights.hair must be 0 or more, got -1"):
        CropDepthWeights(hair=-1.0)


def test_metrics_are_those_of_numpy():
    generator = torch.Generator().manual_seed(0)
    true = 500.0 + 100.0 * torch.rand(2, 1, 5, 7, generator=generator)
    found = 1.1 * true + 5.0 * torch.randn(2, 1, 5, 7, generator=generator)
    mask = torch.rand(2, 1, 5, 7, generator=generator) > 0.4
    values = depth_metrics(found, true, mask)
    for b in range(2):
        d, g = (x[b][mask[b]].double().numpy() for x in (found, true))
        assert float(values["rmse_mm"][b]) == pytest.approx(np.sqrt(np.mean((d - g) ** 2)), rel=1e-5)
        assert float(values["abs_rel"][b]) == pytest.approx(np.mean(np.abs(d - g) / g), rel=1e-5)
        scale = np.sort(g / d)[(len(g) - 1) // 2]  # torch's lower median
        assert float(values["scaled_rmse_mm"][b]) == pytest.approx(np.sqrt(np.mean((scale * d - g) ** 2)), rel=1e-4)
    empty = depth_metrics(found, true, torch.zeros_like(mask))
    assert all(value.tolist() == [0.0, 0.0] for value in empty.values())


def test_angles_between_normals():
    first = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(2, 3, 2, 3)
    second = torch.nn.functional.normalize(torch.tensor([1.0, 0.0, 1.0]), dim=0).view(1, 3, 1, 1).expand(2, 3, 2, 3)
    mask = torch.ones(2, 1, 2, 3, dtype=torch.bool)
    assert normals_error_deg(first, second, mask).tolist() == pytest.approx([45.0, 45.0], abs=1e-3)


def _data(tmp_path, folder, size):
    shutil.copytree(folder, tmp_path / "faces" / "train")
    drawing = DrawingConfig(_DRAWN, count=4, seed=5, side_px=96, block=2, workers=1)
    return DepthCropData(
        str(tmp_path / "faces"), drawing, size=size, plan=BatchPlan(2, 5), crops=CropConfig(workers=0), held_out=HeldOutConfig(count=2)
    )  # fmt: skip


def _fit(module, data, tmp_path, steps, resume=None):
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1,
        check_val_every_n_epoch=None,
        val_check_interval=1,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True if resume else None)
    return trainer


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec")
@pytest.mark.slow
def test_a_resumed_run_is_the_same_to_the_bit(tmp_path, folder):
    def made():
        torch.manual_seed(0)
        return CropDepthModule(_TINY, optimiser=_FAST, average=0.5)

    data = _data(tmp_path, folder, 64)
    straight = made()
    _fit(straight, data, tmp_path, 4)
    half = made()
    trainer = _fit(half, data, tmp_path, 2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed = made()
    torch.manual_seed(99)
    _fit(resumed, data, tmp_path, 4, tmp_path / "half.ckpt")
    for name, value in straight.averaged.state_dict().items():
        assert torch.equal(value, resumed.averaged.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec")
def test_our_network_learns_a_face_by_heart_and_its_file_comes_back(tmp_path, folder):
    torch.manual_seed(0)
    module = CropDepthModule(_TINY, optimiser=_FAST, average=0.0)
    data = _data(tmp_path, folder, 64)
    data.jitter, data.degradation = _STILL, Degradation(**{f.name: 0.0 for f in dataclasses.fields(Degradation)})
    data.prepare_data()
    train = CachedDepthFaces(FaceCache(tmp_path / "faces" / "train", maps=True), _MARGIN).batch(
        [0, 1], 64, _STILL, None, 0
    )
    module.network.train()
    before = sum(crop_depth_terms(module.network(train.image), train, module.weights).values())
    optimiser = torch.optim.Adam(module.network.parameters(), 3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        total = sum(crop_depth_terms(module.network(train.image), train, module.weights).values())
        total.backward()
        optimiser.step()
    assert total.item() < 0.2 * before.item()
    module.averaged.load_state_dict(module.network.state_dict())
    path = module.save_weights(tmp_path / "n.safetensors", {"val/rmse": 1.0})
    again = CropDepthModule(_TINY, initial_weights=str(path))
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="is of another network than that of the config"):
        CropDepthModule(dataclasses.replace(_TINY, width=24), initial_weights=str(path))
    with pytest.raises(CheckpointError, match="is of another network than the config's unet_simple"):
        DepthModule(_MAP, DepthObjective({"l1": 1.0}), initial_weights=str(path))


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec")
@pytest.mark.parametrize(
    ("kind", "config"), [(DepthModule, _MAP), (DepthPairModule, _PINI)], ids=["supervised", "adversarial"]
)
@pytest.mark.slow
def test_published_networks_train_resume_and_are_saved(kind, config, tmp_path, folder):
    def made():
        torch.manual_seed(0)
        return kind(config, DepthObjective({"l1": 1.0}), optimiser=_FAST)

    per_step = 2 if kind is DepthPairModule else 1  # Lightning counts the steps of both optimisers
    data = _data(tmp_path, folder, (32, 32))
    straight, half, resumed = made(), made(), made()
    _fit(straight, data, tmp_path, 3 * per_step)
    trainer = _fit(half, data, tmp_path, 2 * per_step)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    _fit(resumed, data, tmp_path, 3 * per_step, tmp_path / "half.ckpt")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    path = straight.save_weights(tmp_path / "n.safetensors", {})
    assert load_depth_network(path)[0].config == config
    assert float(straight.trainer.callback_metrics["val/scaled_rmse_mm"]) > 0.0


@pytest.mark.parametrize("kind", ["map", "patches"])
def test_each_side_of_a_pair_wants_the_opposite(kind, batch):
    """The gradient of the discriminator's loss raises what the generator's lowers, and unknown depth tells nothing."""
    torch.manual_seed(1)
    config = dataclasses.replace(_PINI, size=(64, 64))
    module = DepthPairModule(config, DepthObjective({"l2": 1.0}), DiscriminatorConfig(kind)).eval()
    made = torch.rand(2, 1, 64, 64).requires_grad_()
    target = config.coding.encode(batch.depth_mm, batch.focal_sides)
    module.discriminator_loss(batch, target, made).backward()
    against = made.grad
    assert against is not None and bool(against[batch.known].any()) and not bool(against[~batch.known].any())
    own = made.detach().requires_grad_()
    torch.nn.functional.softplus(-module.judged(batch, own)).mean().backward()
    assert float((own.grad * against).sum()) < 0.0


def test_a_pair_needs_maps_between_minus_one_and_one():
    with pytest.raises(ValueError, match="set network.coding.kind to signed, not linear"):
        DepthPairModule(_MAP, DepthObjective({"l1": 1.0}))


def test_objectives_that_need_more_than_depth_maps_are_refused():
    assert DepthObjective({"edge_aware_smoothness": 1.0}).needs
    with pytest.raises(ValueError, match="which depth modules do not give: choose others"):
        DepthModule(_MAP, DepthObjective({"edge_aware_smoothness": 1.0}))


def test_a_stream_goes_on_where_it_stopped_and_shows_whole_pictures(open_model):
    synthesis = SynthesisConfig.clean(framing="free", capture="c3i")
    data = DepthStreamData(synthesis, size=(48, 64), plan=StreamPlan(2, seed=3), held_out=HeldOutConfig(count=3))
    found = [b for _, b in zip(range(2), data.train_dataloader(), strict=False)]
    drawn = FaceSampler(open_model, synthesis, 3, (48, 64)).batch([2, 3])
    torch.testing.assert_close(found[1].depth_mm, drawn.scene_depth_mm, rtol=1e-4, atol=1e-2)
    assert found[0].image.shape == (2, 3, 48, 64) and int(found[1].face.sum()) > 50
    torch.testing.assert_close(found[1].focal_sides, drawn.intrinsics[:, 0, 0] / 64)
    assert [len(b) for b in data.val_dataloader()] == [2, 1]
    with pytest.raises(ValueError, match="set it to 1"):
        DepthStreamData(synthesis, plan=StreamPlan(4, replay=2))
