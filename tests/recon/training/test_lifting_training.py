"""Detections on rendered faces, simulated ones, and the module that learns heads from them."""

import dataclasses
import json

import pytest
import torch

from bfm.landmarks import five_points_of_68
from recon.detection.align import align
from recon.networks.landmark_checkpoint import landmark_fingerprint, save_landmark_network
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig, LandmarkPrediction
from recon.networks.lifting_network import NOMINAL_SIZE, LiftingNetworkConfig
from recon.networks.network_file import CheckpointError
from recon.rotation import rotation_angle
from recon.synthesis import SynthesisConfig
from recon.training.face_cache import FaceCache, FaceCacheConfig, FaceCacheError, synthesize_faces
from recon.training.framed_heads import FramedHeads, LandmarkBasis
from recon.training.framing import CropSimilarity, upright_framing
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import DrawingConfig
from recon.training.landmark_data import CachedFaces
from recon.training.landmark_detections import DetectionConfig, LandmarkDetections, detect_cached_faces
from recon.training.lifting_data import LiftingData, LiftingMix, lifting_batch
from recon.training.lifting_module import LiftingLossWeights, LiftingModule, lifting_loss_terms, lifting_metrics
from recon.training.schedule import OptimiserConfig
from recon.training.simulated_landmarks import DetectionNoise, DetectorErrors, SimulatedLandmarks, upright
from recon.training.stream import BatchPlan, step_seed

_SETS = ("520", "478")
_CLEAN = SynthesisConfig.clean(yaw_deg=40.0, pitch_deg=20.0, roll_deg=20.0, upright=True, crop_margin=0.2)
_FRAMED = dataclasses.replace(_CLEAN, crop_margin=0.0, scale_jitter=0.0, shift_jitter=0.0)


@pytest.fixture(scope="module")
def basis(open_model):
    return LandmarkBasis(open_model, _SETS)


@pytest.fixture(scope="module")
def network_file(open_model, tmp_path_factory):
    """A landmark network that knows nothing."""
    torch.manual_seed(0)
    config = LandmarkNetworkConfig("mobilenetv4_small_050", 64, _SETS, width=8, bottleneck=8)
    path = tmp_path_factory.mktemp("weights") / "landmarks.safetensors"
    return save_landmark_network(path, LandmarkNetwork(config), landmark_fingerprint(open_model, _SETS), {})


@pytest.fixture(scope="module")
def folder(network_file, tmp_path_factory):
    place = tmp_path_factory.mktemp("faces") / "train"
    synthesize_faces(place, FaceCacheConfig(_CLEAN, seed=5, size=64, count=4, block=2))
    detect_cached_faces(place, 0.2, DetectionConfig(str(network_file), passes=2, seed=3))
    return place


def _detections(heads: FramedHeads, basis: LandmarkBasis, noise: float) -> LandmarkPrediction:
    truth = heads.landmarks(basis)
    generator = torch.Generator().manual_seed(4)
    log_sigma = torch.full(truth.shape[:2], 0.01).log()
    points = truth + noise * torch.randn(truth.shape, generator=generator)
    return LandmarkPrediction(points, log_sigma, log_sigma, torch.ones_like(log_sigma))


def _heads(open_model, basis, count: int) -> FramedHeads:
    errors = _no_errors(basis, open_model)
    simulated = SimulatedLandmarks(open_model, basis, _FRAMED, errors, DetectionNoise(1.0, 1.0, 0.0), 7)
    return simulated._heads(list(range(count)))


def _no_errors(basis, open_model) -> DetectorErrors:
    zero, count = torch.zeros(30, open_model.n_identity), 30
    turned = torch.eye(3).expand(count, 3, 3)
    intrinsics = torch.tensor([[600.0, 0, 112], [0, 600, 112], [0, 0, 1]]).expand(count, 3, 3)
    place = torch.tensor([[0.0, 30.0, -600.0]]).expand(count, 3)
    heads = FramedHeads(zero, torch.zeros(count, open_model.n_expression), turned, place, intrinsics)
    return DetectorErrors(_detections(heads, basis, 0.0), heads, basis)


def test_upright_framing_is_that_of_align(open_model, basis):
    points = _heads(open_model, basis, 3).landmarks(basis)[:, :68, :2]
    turned = CropSimilarity(torch.tensor([0.7, 1.3, 1.0]), torch.tensor([0.4, -0.2, 2.0]), 0.1 * torch.randn(3, 2))
    moved = turned.points(torch.cat((points, torch.zeros_like(points[..., :1])), dim=-1))[..., :2]
    framing = upright_framing(moved)
    for k in range(3):
        wanted = align(five_points_of_68((100.0 * moved[k]).double().numpy()), 50, remove_roll=True)
        found = framing.points(torch.cat((moved, torch.zeros_like(moved[..., :1])), dim=-1))[k, :, :2]
        in_crop = torch.from_numpy(wanted.crop_points((100.0 * moved[k]).double().numpy())) / 50.0 - 0.5
        torch.testing.assert_close(found.double(), in_crop, atol=1e-4, rtol=0)


def test_heads_follow_their_crops(open_model, basis):
    """Truth in a crop of a crop projects to where the points of the first crop go."""
    heads = _heads(open_model, basis, 2)
    framing = CropSimilarity(
        torch.tensor([0.8, 1.4]), torch.tensor([0.5, -0.7]), torch.tensor([[0.1, -0.2], [0.05, 0.3]])
    )
    torch.testing.assert_close(
        heads.reframed(framing).landmarks(basis), framing.points(heads.landmarks(basis)), atol=2e-5, rtol=0
    )
    identity = CropSimilarity(torch.ones(2), torch.zeros(2), torch.zeros(2, 2))
    torch.testing.assert_close(heads.reframed(identity).intrinsics, heads.intrinsics)


def test_the_truth_of_detections_lies_in_the_crops_that_were_looked_at(folder, basis):
    found = LandmarkDetections(folder, 2)
    config = DetectionConfig(passes=2, seed=3)
    assert len(found) == 8
    faces = CachedFaces(FaceCache(folder), _SETS, 0.2)
    for number in (0, 1):
        batch = faces.batch(list(range(4)), 64, config.framing, None, step_seed(3, 0, number))
        mine = found.heads.select(torch.arange(4) + 4 * number)
        torch.testing.assert_close(mine.landmarks(basis), batch.points, atol=2e-4, rtol=0)
        angle = rotation_angle(mine.ray_rotation, batch.rotation)
        assert float(angle.max()) < 2e-3


def test_what_was_found_is_kept_and_that_of_another_network_is_refused(folder, network_file, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "detections").iterdir()}
    detect_cached_faces(folder, 0.2, DetectionConfig(str(network_file), passes=1, seed=3))
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "detections").iterdir()} == before
    with pytest.raises(
        FaceCacheError, match="holds what another network or other settings found .they differ in: seed"
    ):
        detect_cached_faces(folder, 0.2, DetectionConfig(str(network_file), passes=1, seed=4))
    with pytest.raises(FaceCacheError, match="pass-002.npz is missing"):
        LandmarkDetections(folder, 3)


def test_simulated_points_are_true_points_plus_an_error_made_on_a_face_turned_alike(open_model, basis):
    heads = _heads(open_model, basis, 30)
    # Every face has an error that tells which one it is.
    truth = heads.landmarks(basis)
    mark = torch.linspace(0.001, 0.03, 30)[:, None, None] * torch.ones_like(truth)
    log_sigma = torch.full(truth.shape[:2], 0.01).log()
    errors = DetectorErrors(LandmarkPrediction(truth + mark, log_sigma, log_sigma, log_sigma), heads, basis, nearest=1)
    quiet = DetectionNoise(1.0, 1.0, 0.0)
    simulated = SimulatedLandmarks(open_model, basis, _FRAMED, errors, quiet, 7)
    found, framed = simulated.sample([4, 21], torch.Generator().manual_seed(0))
    # The heads are those that the errors were made on, so each finds its own.
    framing = upright_framing((truth + mark)[[4, 21], :68, :2])
    torch.testing.assert_close(found.points, framing.points((truth + mark)[[4, 21]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(framed.landmarks(basis), framing.points(truth[[4, 21]]), atol=1e-3, rtol=0)
    louder = dataclasses.replace(simulated, noise=DetectionNoise(1.0, 1.0, 2.0))
    noisy, _ = louder.sample([4, 21], torch.Generator().manual_seed(0))
    spread = (noisy.points - found.points).std()
    assert 0.003 < float(spread) < 0.03, "up to two sigmas of 0.01"


def test_standard_deviations_grow_with_the_crop(open_model, basis):
    heads = _heads(open_model, basis, 2)
    half = CropSimilarity(torch.full((2,), 0.5), torch.tensor([0.3, 0.0]), torch.zeros(2, 2))
    small = heads.reframed(half)
    found, framed = upright(_detections(small, basis, 0.0), small)
    torch.testing.assert_close(found.log_sigma.exp(), torch.full_like(found.log_sigma, 0.02), rtol=0.1, atol=0)
    torch.testing.assert_close(framed.landmarks(basis), found.points, atol=1e-4, rtol=0)


def _batch(open_model, basis, noise: float = 0.0):
    found, heads = upright(*(lambda h: (_detections(h, basis, noise), h))(_heads(open_model, basis, 3)))
    return lifting_batch(found, heads, basis, torch.tensor([1.0, 1.0, 0.0]))


def _exact(module, batch):
    """What a network would say that knows all."""
    lifted = module.network(batch.found, batch.told_intrinsics)
    heads = batch.heads
    return dataclasses.replace(
        lifted,
        identity=heads.identity,
        expression=heads.expression,
        rotation=heads.rotation,
        translation_mm=heads.translation_mm,
    )


@pytest.fixture(scope="module")
def module(open_model):
    torch.manual_seed(0)
    return LiftingModule(
        LiftingNetworkConfig(width=16, blocks=1), optimiser=OptimiserConfig("adamw", 1e-3), average=0.0
    )


def test_terms_and_errors_vanish_at_the_truth(open_model, basis, module):
    batch = _batch(open_model, basis)
    batch = dataclasses.replace(batch, told_intrinsics=batch.heads.intrinsics)
    terms = lifting_loss_terms(_exact(module, batch), batch, basis, LiftingLossWeights(), module.network.pivot_mm)
    for name, term in terms.items():
        assert name == "likelihood" or float(term) < 0.01, (name, float(term))
    metrics = lifting_metrics(_exact(module, batch), batch, basis)
    for name in ("nme", "nme51", "geodesic_deg", "shape_mm"):
        assert float(metrics[name].max()) < 0.05, name
    assert float(metrics["mean_head_mm"].min()) > 0.5
    off = dataclasses.replace(_exact(module, batch), identity=batch.heads.identity + 1.0)
    worse = lifting_loss_terms(off, batch, basis, LiftingLossWeights(), module.network.pivot_mm)
    for name in ("projection", "shape", "neutral", "identity"):
        assert float(worse[name]) > float(terms[name]) + 0.05, name


def test_an_unknown_focal_length_is_that_of_the_default_distance(open_model, basis):
    batch = _batch(open_model, basis)
    assert torch.equal(batch.told_intrinsics[:2], batch.heads.intrinsics[:2])
    assert float(batch.told_intrinsics[2, 0, 0]) == pytest.approx(1020.0)
    assert torch.equal(batch.told_intrinsics[2, :2, 2], batch.heads.intrinsics[2, :2, 2])


def test_uncertainties_do_not_move_the_answer(open_model, basis, module):
    """Only the likelihood's own layer learns from it."""
    batch = _batch(open_model, basis, 0.01)
    lifted = module.network(batch.found, batch.told_intrinsics)
    only = LiftingLossWeights(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    total = torch.stack(list(lifting_loss_terms(lifted, batch, basis, only, module.network.pivot_mm).values())).sum()
    heads, sigmas = torch.autograd.grad(
        total, (module.network.heads.weight, module.network.sigmas.weight), allow_unused=True
    )
    assert heads is None or float(heads.abs().max()) == 0.0
    assert float(sigmas.abs().max()) > 0.0


def test_it_learns(open_model, basis):
    torch.manual_seed(1)
    network = LiftingModule(LiftingNetworkConfig(width=64, blocks=1), average=0.0).network
    batch = _batch(open_model, basis, 0.005)
    network.start_from(batch.found.points.mean(dim=0), batch.found.points.std(dim=0).clamp_min(0.01))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    totals = []
    for _ in range(40):
        lifted = network(batch.found, batch.told_intrinsics)
        terms = lifting_loss_terms(lifted, batch, basis, LiftingLossWeights(), network.pivot_mm)
        total = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.4 * totals[0], totals[::10]


def _data(place, network_file, **changes) -> LiftingData:
    drawing = DrawingConfig(_CLEAN, count=26, seed=5, side_px=64, block=13, workers=1)
    return LiftingData(
        str(place), drawing, detections=DetectionConfig(str(network_file), passes=1),
        plan=BatchPlan(4, 2), held_out=HeldOutConfig(count=3), **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(network_file, tmp_path_factory):
    made = _data(tmp_path_factory.mktemp("data"), network_file)
    made.prepare_data()
    made.trainer = None
    return made


def test_steps_hold_the_same_faces_whoever_asks(data, network_file):
    first, second = (iter(data.train_dataloader()) for _ in range(2))
    steps = [next(first) for _ in range(3)]
    for mine, again in zip(steps, (next(second) for _ in range(3)), strict=True):
        for name, tensor in mine.tensors().items():
            assert torch.equal(tensor, again.tensors()[name]), name
    assert not torch.equal(steps[0].heads.identity, steps[1].heads.identity)
    assert len(steps[0]) == 4 and sum(len(batch) for batch in data.held_out) >= 3


def test_batches_are_of_both_kinds(data, network_file):
    batch = next(iter(data.train_dataloader()))
    cached = torch.from_numpy(FaceCache(data.folder / "train").labels["identity"]).float()
    known = (batch.heads.identity[:, None] == cached[None]).all(dim=-1).any(dim=1)
    assert known.tolist() == [False, False, True, True]


def test_statistics_are_those_of_held_out_faces(data):
    mean, sigma = data.point_statistics()
    torch.testing.assert_close(mean, torch.cat([batch.found.points for batch in data.held_out]).mean(dim=0))
    assert mean.shape == (998, 3) and float(sigma.min()) > 0.0099


def test_weights_are_saved_with_what_their_points_mean(module, open_model, tmp_path):
    path = module.save_weights(tmp_path / "a.safetensors", {"nme": 2.0})
    again = LiftingModule(LiftingNetworkConfig(width=16, blocks=1), initial_weights=str(path))
    assert torch.equal(again.network.heads.weight, module.averaged.heads.weight)
    with pytest.raises(CheckpointError, match="other landmarks"):
        module.on_load_checkpoint({"landmarks": "others"})


def test_impossible_settings_are_refused(tmp_path, network_file):
    with pytest.raises(ValueError, match="detected must lie in .0, 1., got 2"):
        LiftingMix(detected=2.0)
    with pytest.raises(ValueError, match="noise needs 0 <= least_shared <= most_shared"):
        DetectionNoise(2.0, 1.0)
    with pytest.raises(ValueError, match="looked at at least once, got passes 0"):
        DetectionConfig(passes=0)
    with pytest.raises(ValueError, match="workers must be at least 0, got -1"):
        _data(tmp_path, network_file, workers=-1)


def test_unreadable_descriptions_are_refused(folder, network_file, tmp_path):
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "detections").mkdir()
    (tmp_path / "detections" / "detections.json").write_text(json.dumps({"format": "older"}))
    with pytest.raises(FaceCacheError, match="they differ in: degradation, format, jitter, network, seed"):
        detect_cached_faces(tmp_path, 0.2, DetectionConfig(str(network_file)))


def test_nominal_size_is_the_unit_of_intrinsics(folder):
    heads = LandmarkDetections(folder, 1).heads
    assert float((heads.intrinsics[:, :2, 2] / NOMINAL_SIZE).abs().max()) < 10.0
