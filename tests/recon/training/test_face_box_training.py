"""Scenes of cut-out people, what the face box network should answer in them, and the module that learns it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from recon.networks.face_box_checkpoint import load_face_box_network
from recon.networks.face_box_network import FaceBoxNetworkConfig, FaceBoxPrediction, peaks_of, places_px
from recon.networks.network_file import CheckpointError
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_box_batch import FaceBoxBatch
from recon.training.face_box_data import ComposingConfig, FaceBoxData, SceneMaker
from recon.training.face_box_module import (
    FaceBoxLossWeights,
    FaceBoxModule,
    average_precision,
    face_box_loss_terms,
    place_targets,
)
from recon.training.face_cache import LABELS, FaceCache, FaceCacheConfig, synthesize_faces
from recon.training.face_scenes import ABSENT, DOUBTFUL, SEEN, Cutouts, SceneConfig, compose_scenes
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import DrawingConfig
from recon.training.photo_backgrounds import BackgroundConfig
from recon.training.schedule import OptimiserConfig

_CLEAN = SynthesisConfig.clean(yaw_deg=40.0, pitch_deg=20.0, roll_deg=20.0, upright=True, crop_margin=0.4)
_CONFIG = FaceCacheConfig(_CLEAN, seed=5, size=64, count=2, block=2, cutouts=True)
_SIZES = (12.0, 60.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("people") / "drawn"
    synthesize_faces(place, _CONFIG)
    return place


NOSE = (50.0, 44.0)


@pytest.fixture(scope="module")
def marked_folder(tmp_path_factory):
    """One opaque grey person of 96 px whose nose tip is a white dot."""
    place = tmp_path_factory.mktemp("marked")
    corners = np.array([[20.0, 16.0], [76.0, 80.0]], dtype=np.float32)
    labels = dict.fromkeys(LABELS, np.zeros((1, 1), np.float32))
    labels["landmarks520_px"] = np.tile(np.array(NOSE, dtype=np.float32), (1, 520, 1))
    labels["landmarks478_px"] = np.concatenate((np.tile(corners[:1], (477, 1)), corners[1:]))[None]
    y, x = np.mgrid[:96, :96] + 0.5
    dot = np.exp(-0.5 * ((x - NOSE[0]) ** 2 + (y - NOSE[1]) ** 2) / 3.0**2)
    picture = np.full((1, 96, 96, 4), 255, dtype=np.uint8)
    picture[..., :3] = (60.0 + 195.0 * dot)[..., None].astype(np.uint8)
    (place / "faces.json").write_text('{"block": 1}')
    np.savez(place / "labels-00000.npz", **labels)
    np.save(place / "pictures-00000.npy", picture)
    return place


@pytest.fixture(scope="module")
def marked(marked_folder):
    return Cutouts(FaceCache(marked_folder))


def _alone(**changes):
    return SceneConfig(**{"face_px": (30.0, 50.0), "most_faces": 1, "empty": 0.0, "parts": 0, **changes})


def test_cutouts_are_opaque_where_a_person_is_rendered(folder, open_model):
    cache = FaceCache(folder)
    faces = FaceSampler(open_model, _CLEAN, 5, (64, 64)).batch(range(2))
    alpha = np.stack([cache.picture(k)[..., 3] for k in range(2)])
    assert np.array_equal(alpha, 255 * (faces.segmentation > 0).numpy())
    assert json.loads((folder / "faces.json").read_text())["cutouts"] is True
    assert "cutouts" not in dataclasses.replace(_CONFIG, cutouts=False).described()


def test_pictures_without_opacity_are_refused(marked_folder, tmp_path):
    for path in marked_folder.iterdir():
        shutil.copy(path, tmp_path)
    picture = np.load(tmp_path / "pictures-00000.npy")
    np.save(tmp_path / "pictures-00000.npy", picture[..., :3])
    with pytest.raises(ValueError, match="make a cache with cutouts"):
        Cutouts(FaceCache(tmp_path))


def test_points_lie_where_the_pasted_person_shows_them(marked):
    backgrounds = torch.zeros(24, 3, 128, 160)
    scenes, faces = compose_scenes(backgrounds, marked, _alone(turn_deg=60.0), torch.Generator().manual_seed(3))
    assert not backgrounds.any(), "backgrounds are left alone"
    checked = 0
    for scene, kind, points in zip(scenes, faces.kind[:, 0], faces.points_px[:, 0], strict=True):
        nose = points[3]
        if kind != SEEN or not bool(((nose > 4.0) & (nose < torch.tensor([156.0, 124.0]))).all()):
            continue
        place = int(scene[0].argmax())
        assert torch.hypot(place % 160 + 0.5 - nose[0], place // 160 + 0.5 - nose[1]) < 1.5
        checked += 1
    assert checked > 8


def test_equal_seeds_make_equal_scenes_and_sides_are_those_asked_for(folder):
    maker = SceneMaker(folder, 2, 96, ComposingConfig(SceneConfig((14.0, 40.0))))
    first, second, other = maker.batch(7, 6), maker.batch(7, 6), maker.batch(8, 6)
    assert torch.equal(first.image, second.image) and torch.equal(first.points_px, second.points_px)
    assert not torch.equal(first.image, other.image)
    there = first.kind != ABSENT
    assert there.any() and first.side_px[there].min() >= 14.0 and first.side_px[there].max() <= 40.0
    assert first.image.min() >= 0.0 and first.image.max() <= 1.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_photos_of_a_folder_are_behind(marked_folder, tmp_path, share):
    Image.new("RGB", (90, 70), (200, 30, 60)).save(tmp_path / "red.png")
    nobody = SceneConfig(empty=1.0, parts=0)
    still = Degradation(**{field.name: 0.0 for field in dataclasses.fields(Degradation)})
    config = ComposingConfig(nobody, BackgroundConfig(str(tmp_path), share), still)
    batch = SceneMaker(marked_folder, 1, 64, config).batch(2, 3)
    red = torch.tensor([200.0, 30.0, 60.0]).view(3, 1, 1) / 255.0
    assert bool(((batch.image - red).abs().amax(dim=(1, 2, 3)) < 1e-3).all()) == (share == 1.0)
    assert not batch.kind.any()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SceneConfig(empty=1.5), "scenes.empty must lie in"),
        (lambda: SceneConfig(face_px=(40.0, 20.0)), "two growing sizes"),
        (lambda: SceneConfig(most_faces=0), "most_faces of 1 or more"),
        (lambda: BackgroundConfig(photos=-0.1), "backgrounds.photos must lie in"),
        (lambda: ComposingConfig(workers=-1), "scenes.workers must be at least 0"),
    ],
)
def test_impossible_scenes_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_faces_cut_off_or_covered_are_doubtful(marked):
    scenes, faces = compose_scenes(
        torch.zeros(200, 3, 64, 64), marked, _alone(turn_deg=0.0), torch.Generator().manual_seed(1)
    )
    middle, kind = faces.points_px[:, 0, 0], faces.kind[:, 0]
    inward = torch.minimum(middle, 64.0 - middle).amin(dim=1)
    assert (kind[inward > 22.0] == SEEN).all() and (kind[inward < 2.0] != SEEN).all()
    together = SceneConfig((40.0, 41.0), most_faces=5, empty=0.0, parts=0)
    _, faces = compose_scenes(torch.zeros(200, 3, 48, 48), marked, together, torch.Generator().manual_seed(1))
    farthest, nearest = ((faces.kind[:, slot] == SEEN)[faces.kind[:, 4] != ABSENT].float().mean() for slot in (0, 4))
    assert farthest < 0.3 * nearest, "the nearest is covered by none"


def _batch():
    side = torch.tensor([[20.0, 40.0], [6.0, 30.0]])
    middle = torch.tensor([[[30.0, 50.0], [70.0, 20.0]], [[20.0, 20.0], [60.0, 44.0]]])
    offsets = torch.tensor([[0.0, 0.0], [-0.2, -0.2], [0.2, -0.2], [0.0, 0.05], [-0.15, 0.25], [0.15, 0.25]])
    points = middle[:, :, None] + side[..., None, None] * offsets
    return FaceBoxBatch(torch.zeros(2, 3, 64, 96), torch.tensor([[SEEN, SEEN], [SEEN, DOUBTFUL]]), side, points)


def _truth(batch, belief=9.0):
    """What a network that knows would say."""
    places = places_px(torch.zeros(1, 1, 8, 12))
    target = place_targets(places, batch, _SIZES)
    rows = torch.arange(2)[:, None, None]
    logit = torch.where(target.peak > 0.999, belief, -belief)
    return FaceBoxPrediction(logit, batch.side_px[rows, target.owner].log(), batch.points_px[rows, target.owner])


def test_places_nearest_to_the_middle_answer_and_doubtful_faces_do_not_count():
    batch = _batch()
    target = place_targets(places_px(torch.zeros(1, 1, 8, 12)), batch, _SIZES)
    # (30, 50) is nearest to the cell of row 6 and column 3, (70, 20) to that of row 2 and column 8.
    assert torch.nonzero(target.peak > 0.999).tolist() == [[0, 2, 8], [0, 6, 3]]
    assert int(target.owner[0, 2, 8]) == 1 and int(target.owner[0, 6, 3]) == 0
    assert target.counted[0].all(), "both are asked for"
    # A face of 6 px is smaller than asked for, and the other one is doubtful.
    assert not target.counted[1, 2, 2] and not target.counted[1, 5, 7] and target.counted[1, 0, 11]
    assert not target.peak[1].any()


def test_the_loss_is_least_at_the_truth_and_its_gradient_finite():
    batch, weights = _batch(), FaceBoxLossWeights()

    def loss(found):
        return float(torch.stack(list(face_box_loss_terms(found, batch, _SIZES, weights).values())).sum())

    truth = _truth(batch)
    assert loss(truth) < 0.01
    for wrong in (
        dataclasses.replace(truth, logit=-truth.logit),
        dataclasses.replace(truth, log_side=truth.log_side + 0.3),
        dataclasses.replace(truth, points_px=truth.points_px + 3.0),
    ):
        assert loss(wrong) > 0.1
    logit = torch.full((2, 8, 12), -60.0, requires_grad=True)
    sum(face_box_loss_terms(dataclasses.replace(truth, logit=logit), batch, _SIZES, weights).values()).backward()
    assert torch.isfinite(logit.grad).all() and logit.grad.any()


def test_average_precision_counts_hits_misses_and_false_finds():
    batch, truth = _batch(), _truth(_batch())
    assert average_precision(truth, batch, _SIZES) == 1.0
    one = truth.logit.clone()
    one[0, 2, 8] = -9.0
    assert average_precision(dataclasses.replace(truth, logit=one), batch, _SIZES) == 0.5
    surer = truth.logit.clone()
    surer[1, 0, 11] = 12.0  # a find that is none, before all others
    found = dataclasses.replace(truth, logit=surer, points_px=truth.points_px.clone())
    found.points_px[1, 0, 11] = torch.tensor([92.0, 4.0])
    assert average_precision(found, batch, _SIZES) == pytest.approx(2.0 / 3.0)
    on_doubtful = truth.logit.clone()
    on_doubtful[1, 5, 7] = 12.0
    points = truth.points_px.clone()
    points[1, 5, 7] = batch.points_px[1, 1]
    found = dataclasses.replace(truth, logit=on_doubtful, points_px=points)
    assert average_precision(found, batch, _SIZES) == 1.0
    assert average_precision(dataclasses.replace(truth, logit=truth.logit - 30.0), batch, _SIZES) == 0.0


def test_peaks_come_surest_first_and_neighbours_are_not_told_twice():
    logit = torch.full((1, 4, 6), -9.0)
    logit[0, 1, 1], logit[0, 1, 2], logit[0, 3, 5] = 2.0, 1.5, 3.0
    found = FaceBoxPrediction(logit, torch.zeros(1, 4, 6), torch.arange(24.0).view(1, 4, 6, 1, 1).expand(1, 4, 6, 6, 2))
    peaks = peaks_of(found, 0.5)
    assert peaks.points_px[:, 0, 0].tolist() == [23.0, 7.0] and peaks.picture.tolist() == [0, 0]
    assert not len(peaks_of(found, 0.99).score)


def test_a_module_learns_scenes_and_saves_its_average(tmp_path, folder):
    torch.manual_seed(0)
    config = FaceBoxNetworkConfig("mobilenetv4_small_050", 64, 16, (12.0, 60.0))
    module = FaceBoxModule(
        config, optimiser=OptimiserConfig(kind="adamw", rate=3e-3, warm_up=1, schedule="constant"), average=0.5
    )
    batch = SceneMaker(folder, 2, 64, ComposingConfig(SceneConfig((20.0, 50.0)))).batch(1, 4)
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
    assert losses[-1] < 0.5 * losses[0] and module.batches_seen == 25
    file = module.save_weights(tmp_path / "w.safetensors", {"val/missed": 1.0})
    saved, header = load_face_box_network(file)
    for kept, now in zip(saved.parameters(), module.averaged.parameters(), strict=True):
        assert torch.equal(kept, now)
    assert saved.config == config and json.loads(header["metrics"]) == {"val/missed": 1.0}
    again = FaceBoxModule(config, initial_weights=str(file))
    assert torch.equal(next(again.network.parameters()), next(module.averaged.parameters()))
    with pytest.raises(CheckpointError, match="of another network"):
        FaceBoxModule(dataclasses.replace(config, width=8), initial_weights=str(file))
    with pytest.raises(CheckpointError, match="is no landmark network"):
        FaceBoxModule(config, initial_backbone=str(file))


def test_data_render_people_once_and_make_the_same_batches_again(folder, tmp_path):
    drawing = DrawingConfig(_CLEAN, count=2, seed=5, side_px=64, block=2, workers=1)
    data = FaceBoxData(
        str(tmp_path / "people"), drawing, size=64, scenes=ComposingConfig(workers=0), held_out=HeldOutConfig(count=2)
    )
    data.trainer = None
    shutil.copytree(folder, tmp_path / "people" / "train")
    data.prepare_data()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "people").rglob("*.np*")}
    data.prepare_data()
    assert before == {p: p.stat().st_mtime_ns for p in before} and len(before) == 4
    first, second = (next(iter(data.train_dataloader())) for _ in range(2))
    assert torch.equal(first.image, second.image)
    (held_out,) = list(data.val_dataloader())
    assert len(held_out) == 2


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"backbone": "swin_tiny"}, "a backbone of convolutions, got 'swin_tiny'"),
        ({"width": 0}, "width must be a whole number from 1 to 1024, got '0'"),
        ({"face_px": (50.0, 20.0)}, "face_px must be two numbers"),
    ],
)
def test_impossible_networks_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        FaceBoxNetworkConfig(**settings)


def test_files_that_are_no_face_box_network_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_face_box_network(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        load_face_box_network(tmp_path / "text.safetensors")
