"""Synthetic faces on disk, framed and degraded anew, and the module that learns from them."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.spatial
import torch

from recon.networks.landmark_checkpoint import landmark_fingerprint
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig, LandmarkPrediction
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.degrade import Degradation, degrade
from recon.training.face_cache import FaceCache, FaceCacheConfig, FaceCacheError, synthesize_faces
from recon.training.framing import CropJitter, CropSimilarity, inside, sample_framing
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_batch import LandmarkBatch
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.landmark_data import CachedFaces, LandmarkData
from recon.training.landmark_module import LandmarkLossWeights, LandmarkModule, landmark_loss_terms, landmark_metrics
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan

_CLEAN = SynthesisConfig.clean(yaw_deg=40.0, pitch_deg=20.0, roll_deg=20.0, upright=True, crop_margin=0.2)
_CONFIG = FaceCacheConfig(_CLEAN, seed=5, size=64, count=3, block=2)
_NONE = Degradation(**{field.name: 0.0 for field in dataclasses.fields(Degradation)})
_STILL = CropJitter(0.0, *[0.0] * 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("faces") / "drawn"
    synthesize_faces(place, _CONFIG)
    return place


def test_a_cache_holds_what_the_sampler_draws(folder, open_model):
    cache = FaceCache(folder, 3)
    assert len(cache) == 3 and len(FaceCache(folder)) == 4
    faces = FaceSampler(open_model, _CLEAN, 5, (64, 64)).batch(range(3))
    wanted = (255.0 * faces.image).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    # The batch that a face is rendered in shows in the rounding.
    assert np.abs(cache.picture(2).astype(int) - wanted[2]).max() <= 1
    assert np.allclose(cache.labels["landmarks520_px"], faces.landmarks520_px.numpy(), atol=1e-3)


def test_only_missing_blocks_are_rendered_and_other_faces_are_refused(folder):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    synthesize_faces(folder, dataclasses.replace(_CONFIG, count=1))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(
        FaceCacheError, match="holds other faces than those asked for .they differ in: seed.*another folder"
    ):
        synthesize_faces(folder, dataclasses.replace(_CONFIG, seed=6))
    with pytest.raises(FaceCacheError, match="holds 4 faces from the first on, 5 asked for"):
        FaceCache(folder, 5)


def test_faces_behind_a_missing_block_are_not_taken_for_it(folder, tmp_path):
    for name in ("faces.json", "labels-00001.npz", "pictures-00001.npy"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(FaceCacheError, match="holds no synthetic faces"):
        FaceCache(tmp_path)


def test_folders_that_hold_no_faces_are_refused(tmp_path):
    with pytest.raises(FaceCacheError, match="holds no synthetic faces"):
        FaceCache(tmp_path)
    (tmp_path / "faces.json").write_text(json.dumps([1]))
    with pytest.raises(FaceCacheError, match="does not describe synthetic faces"):
        synthesize_faces(tmp_path, _CONFIG)


def test_points_move_with_the_picture():
    places = torch.tensor([[[0.1, -0.15, 0.05]], [[-0.2, 0.05, -0.1]]])
    pictures = torch.zeros(2, 3, 80, 80)
    for k, (x, y, _) in enumerate(places[:, 0].tolist()):
        column, row = 80 * (x + 0.5), 80 * (y + 0.5)
        yy, xx = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(80) + 0.5, indexing="ij")
        pictures[k] = torch.exp(-0.5 * ((xx - column) ** 2 + (yy - row) ** 2) / 2.0**2)
    framing = CropSimilarity(
        torch.tensor([1.3, 0.8]), torch.tensor([0.3, -0.7]), torch.tensor([[0.05, -0.1], [0.1, 0.02]])
    )
    crops, moved = framing.crops(pictures, 64), framing.points(places)
    for k in range(2):
        weight = crops[k, 0] / crops[k, 0].sum()
        rows, columns = (torch.arange(64) + 0.5) / 64 - 0.5, (torch.arange(64) + 0.5) / 64 - 0.5
        seen = torch.stack(((weight.sum(0) * columns).sum(), (weight.sum(1) * rows).sum()))
        assert torch.allclose(seen, moved[k, 0, :2], atol=2e-3)
    assert torch.allclose(moved[..., 2], framing.scale[:, None] * places[..., 2])


def test_a_clockwise_turn_of_the_picture_turns_the_head_clockwise(folder):
    faces = CachedFaces(FaceCache(folder), ("520",), 0.2)
    turned = CropSimilarity(torch.ones(1), torch.tensor([0.5]), torch.zeros(1, 2))
    rotation = faces.rotation[:1]
    after = turned.rotations(rotation)
    # The picture of a direction of the head (x right, y down) must turn as points do.
    direction = torch.tensor([[[1.0], [0.2], [0.1]]])
    flat = lambda r: (r @ direction)[:, :2, 0] * torch.tensor([1.0, -1.0])  # noqa: E731
    assert torch.allclose(flat(after), flat(rotation) @ turned.linear[0].T, atol=1e-6)


def test_framing_without_jitter_is_the_standard_crop():
    framing = sample_framing(4, _STILL, 1.4, torch.Generator().manual_seed(0))
    assert torch.equal(framing.scale, torch.full((4,), 1.4))
    assert not framing.turn_rad.any() and not framing.shift.any()
    wide = sample_framing(2000, CropJitter(wide_share=1.0), 1.0, torch.Generator().manual_seed(0))
    assert abs(float(torch.rad2deg(wide.turn_rad).std()) - 15.0) < 1.0
    assert inside(torch.tensor([[[0.49, -0.49, 3.0], [0.51, 0.0, 0.0]]])).tolist() == [[True, False]]


def test_degrading_nothing_changes_nothing_and_equal_seeds_degrade_alike():
    pictures = torch.rand(3, 3, 24, 40, generator=torch.Generator().manual_seed(1)).clamp(0.01, 1.0)
    same, hidden = degrade(pictures, _NONE, torch.Generator().manual_seed(2))
    assert torch.allclose(same, pictures, atol=1e-6) and not hidden.any()
    strong = Degradation(low_resolution=1.0, blur=1.0, jpeg=1.0, patches=1.0)
    first, second, other = (degrade(pictures, strong, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])
    assert float(first[0].min()) >= 0.0 and float(first[0].max()) <= 1.0 and bool(first[1].any())


@pytest.mark.parametrize("name", ["gray", "patches", "low_resolution", "blur", "jpeg", "noise", "exposure", "gamma"])
def test_every_degradation_does_something(name):
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    changed, _ = degrade(pictures, dataclasses.replace(_NONE, **{name: 1.0}), torch.Generator().manual_seed(2))
    assert float((changed - pictures).abs().mean()) > 0.002
    if name == "gray":
        assert torch.allclose(changed[:, 0], changed[:, 2])
    if name in ("blur", "low_resolution"):
        assert float(changed.std()) < float(pictures.std())


def test_crops_show_their_points(folder):
    faces = CachedFaces(FaceCache(folder), ("520", "478"), 0.2)
    batch = faces.batch([0, 2], 32, _STILL, None, 7)
    labels = faces.cache.labels
    wanted = 1.4 * (labels["landmarks478_px"][[0, 2]] / 64 - 0.5)
    assert np.allclose(batch.points[:, 520:, :2].numpy(), wanted, atol=1e-5)
    assert batch.image.shape == (2, 3, 32, 32) and batch.visible.shape == (2, 998)
    assert not bool(batch.visible[(batch.points[..., :2].abs() > 0.5).any(dim=-1)].any())
    again = faces.batch([0, 2], 32, CropJitter(), Degradation(), 7)
    assert torch.equal(again.image, faces.batch([0, 2], 32, CropJitter(), Degradation(), 7).image)


def test_depth_and_rotation_are_told_along_the_ray_to_the_head(folder):
    """The points in space, turned with the head from its ray to the axis, have the scale of the picture in all directions."""
    faces = CachedFaces(FaceCache(folder), ("520",), 0.2)
    labels = faces.cache.labels
    for k in range(4):
        translation_mm = labels["translation_mm"][k].astype(np.float64)
        to_axis = scipy.spatial.transform.Rotation.align_vectors(
            [[0.0, 0.0, -1.0]], [translation_mm / np.linalg.norm(translation_mm)]
        )[0].as_matrix()
        v_ray = (labels["landmarks520_cam"][k] - translation_mm) @ to_axis.T
        points = faces.points[k].numpy()
        per_mm = np.ptp(points[:, 1]) / np.ptp(v_ray[:, 1])
        assert np.allclose(points[:, 2], -per_mm * v_ray[:, 2], rtol=0.15, atol=2e-3)
        # The same head seen straight on: rotations that differ by the same turn.
        assert np.allclose(faces.rotation[k].numpy(), to_axis @ labels["rotation"][k], atol=1e-5)
    assert np.abs(labels["translation_mm"][:, :2]).max() > 50.0, "some heads lie beside the axis"


def test_faces_of_a_model_whose_landmarks_lie_elsewhere_are_refused(tmp_path, open_model):
    synthesize_faces(tmp_path, dataclasses.replace(_CONFIG, count=1, block=1))
    description = json.loads((tmp_path / "faces.json").read_text())
    assert description["landmarks"] == landmark_fingerprint(open_model, ("520", "478"))
    (tmp_path / "faces.json").write_text(json.dumps({**description, "landmarks": "0" * 16}))
    with pytest.raises(FaceCacheError, match="differ in: landmarks"):
        synthesize_faces(tmp_path, dataclasses.replace(_CONFIG, count=1, block=1))


def test_points_under_patches_are_not_visible(folder):
    faces = CachedFaces(FaceCache(folder), ("520",), 0.2)
    bare = faces.batch([1], 32, _STILL, _NONE, 3).visible.sum()
    hidden = [
        faces.batch([1], 32, _STILL, dataclasses.replace(_NONE, patches=1.0), seed).visible.sum() for seed in range(8)
    ]
    assert min(hidden) < bare and max(hidden) <= bare


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_crops_made_on_the_gpu_are_those_made_on_the_cpu(folder):
    cache = FaceCache(folder, 3)
    here, there = (CachedFaces(cache, ("520", "478"), 0.2, device) for device in ("cpu", "cuda"))
    strong = Degradation(noise=0.0, gray=0.5, patches=1.0, low_resolution=0.5, blur=1.0, jpeg=0.0)
    wanted, found = (faces.batch([2, 0], 48, CropJitter(), strong, 7) for faces in (here, there))
    assert all(tensor.is_cuda for tensor in found.tensors().values())
    found = found.to("cpu")
    assert torch.allclose(found.points, wanted.points, atol=1e-5)
    assert torch.allclose(found.rotation, wanted.rotation, atol=1e-5)
    assert torch.equal(found.visible, wanted.visible)
    assert float((found.image - wanted.image).abs().max()) < 2e-3
    rough = dataclasses.replace(_NONE, noise=1.0)
    noisy, again = (there.batch([2, 0], 48, CropJitter(), rough, 7) for _ in range(2))
    smooth = there.batch([2, 0], 48, CropJitter(), _NONE, 7)
    assert torch.equal(noisy.image, again.image) and float((noisy.image - smooth.image).std()) > 0.01


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_points_keep_their_precision_in_half_precision():
    network = (
        LandmarkNetwork(LandmarkNetworkConfig("mobilenetv4_small_050", 64, ("520",), width=16, bottleneck=16))
        .cuda()
        .eval()
    )
    crops = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).cuda()
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        found = network(crops)
    assert found.points.dtype == torch.float32
    with torch.no_grad():
        assert float((network(crops).points - found.points).abs().mean()) < 2e-3


@pytest.mark.parametrize("workers", [0, 1])
def test_crops_on_a_gpu_need_one_and_no_workers(folder, workers):
    if workers == 0 and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(ValueError, match="set crops.workers to 0" if workers else "made on a GPU, and none is found"):
        _data(folder, device="cuda", workers=workers)


def _data(folder, **crops):
    drawing = DrawingConfig(_CLEAN, count=4, side_px=64, block=2, workers=1)
    crops = CropConfig(**{"workers": 0, **crops})
    held_out = HeldOutConfig(count=2)
    return LandmarkData(
        str(folder), drawing, size=32, point_sets=("520",), plan=BatchPlan(2), crops=crops, held_out=held_out
    )


@pytest.mark.slow
def test_a_resumed_run_sees_the_batches_it_would_have_seen(tmp_path):
    data = _data(tmp_path / "faces")
    data.prepare_data()
    loader = iter(data.train_dataloader())
    whole = [next(loader) for _ in range(5)]

    class _Resumed:
        lightning_module = type("Module", (), {"batches_seen": 3})
        global_rank, world_size = 0, 1

    data.trainer = _Resumed()
    resumed = iter(data.train_dataloader())
    for step in (3, 4):
        assert torch.equal(next(resumed).image, whole[step].image)
    held_out = [batch for batch in data.val_dataloader()]
    assert sum(len(batch) for batch in held_out) == 2
    assert data.mean_points().shape == (520, 3)
    with pytest.raises(ValueError, match="drawing.workers must be at least 1, got 0"):
        DrawingConfig(_CLEAN, workers=0)
    with pytest.raises(ValueError, match="crops.workers must be at least 0, got -1"):
        CropConfig(workers=-1)


def _prediction(points, sigma=0.01):
    shape = points.shape[:2]
    log_sigma = torch.full(shape, sigma).log()
    return LandmarkPrediction(points, log_sigma, log_sigma, torch.full(shape, 9.0))


def _batch(points):
    count = points.shape[1]
    return LandmarkBatch(
        torch.rand(2, 3, 32, 32), points, torch.ones(2, count, dtype=torch.bool), torch.eye(3).expand(2, 3, 3)
    )


def test_metrics_are_shares_of_the_box_and_of_sigmas():
    truth = torch.rand(2, 80, 3) - 0.5
    truth[:, 0, :2], truth[:, 1, :2] = torch.tensor([-0.5, -0.4]), torch.tensor([0.5, 0.4])
    truth[:, :68, :2] = truth[:, :68, :2].clamp(-0.4, 0.4)
    truth[:, 0, :2], truth[:, 1, :2] = torch.tensor([-0.5, -0.4]), torch.tensor([0.5, 0.4])
    offset = torch.tensor([0.03, 0.04, 0.02])
    found = landmark_metrics(_prediction(truth + offset, 0.035), _batch(truth))
    size = (1.0 * 0.8) ** 0.5
    for name in ("nme", "nme51", "nme_all", "nme_seen"):
        assert torch.allclose(found[name], torch.full((2,), 5.0 / size), atol=1e-3)
    assert torch.allclose(found["depth"], torch.full((2,), 2.0 / size), atol=1e-3)
    assert torch.allclose(found["within_sigma"], torch.full((2,), 0.5))
    assert torch.allclose(found["visible"], torch.ones(2))


def test_the_loss_falls_towards_the_truth_and_towards_true_sigmas():
    truth = torch.rand(2, 68, 3) - 0.5
    batch, weights = _batch(truth), LandmarkLossWeights()

    def loss(error, sigma):
        stage = _prediction(truth + error, sigma)
        return float(torch.stack(list(landmark_loss_terms([stage, stage], batch, weights).values())).sum())

    assert loss(0.01, 0.01) < loss(0.02, 0.01) < loss(0.04, 0.01)
    assert loss(0.01, 0.01) < min(loss(0.01, 0.003), loss(0.01, 0.03))
    wing = LandmarkLossWeights(kind="wing")
    terms = [landmark_loss_terms([_prediction(truth + e)], batch, wing)["wing"] for e in (0.0, 0.01, 0.1)]
    assert float(terms[0]) == 0.0 < float(terms[1]) < float(terms[2])


def test_a_module_learns_a_batch_and_saves_its_average(tmp_path, folder):
    torch.manual_seed(0)
    config = LandmarkNetworkConfig("mobilenetv4_small_050", 32, ("520",), width=16, bottleneck=16)
    optimiser = OptimiserConfig(kind="adamw", rate=3e-3, warm_up=1, schedule="constant")
    module = LandmarkModule(config, optimiser=optimiser, average=0.5)
    faces = CachedFaces(FaceCache(folder), ("520",), 0.2)
    module.network.start_from(faces.mean_points())
    batch = faces.batch([0, 1, 2], 32, _STILL, None, 1)
    moved = module.configure_optimizers()["optimizer"]
    module.log = module.log_dict = lambda *_, **__: None
    losses = []
    for _ in range(25):
        moved.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        moved.step()
        module.update_average()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1.0 and module.batches_seen == 25
    from recon.networks.landmark_checkpoint import load_landmark_network

    saved, header = load_landmark_network(
        module.save_weights(tmp_path / "w.safetensors", {"val/nme": 1.0}), module.fingerprint
    )
    for kept, now in zip(saved.parameters(), module.averaged.parameters(), strict=True):
        assert torch.equal(kept, now)
    again = LandmarkModule(config, initial_weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(next(again.network.parameters()), next(module.averaged.parameters()))
    with pytest.raises(ValueError, match="was trained for other landmarks"):
        module.on_load_checkpoint({"landmarks": "other", "batches_seen": 3})
    assert isinstance(module.trained, LandmarkNetwork) and header["landmarks"] == module.fingerprint
