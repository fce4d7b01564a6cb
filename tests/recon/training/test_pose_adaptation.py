"""Domain adaptation and fusion: framed photos, pairs of equal pose, the reversed gradient, and what is kept for testing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from recon.datasets.pose_conventions import angles_to_matrix, matrix_to_angles
from recon.evaluation.pose_labels import PoseLabel
from recon.networks.pose.checkpoint import load_pose_network, save_pose_network
from recon.networks.pose.fsanet import FsaNet, FsaNetConfig
from recon.networks.pose.prediction import rotation_to_angles
from recon.networks.pose.sixd import SixdConfig
from recon.rotation import euler_to_matrix, rotation_angle
from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCache, FaceCacheConfig, synthesize_faces
from recon.training.framing import CropJitter
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.landmark_data import CachedFaces
from recon.training.pose_adaptation import PairingConfig, ReversalConfig, adaptation_rows, nearest_source
from recon.training.pose_adaptation_data import PoseAdaptationData, TargetConfig
from recon.training.pose_adaptation_module import PoseAdaptationModule
from recon.training.pose_batch import PoseBatch
from recon.training.pose_fusion_data import LabelledConfig, PoseFusionData, convention_in_doubt
from recon.training.pose_module import PoseModule
from recon.training.pose_pictures import (
    PictureSource,
    PosePictureError,
    PosePictures,
    frame_pictures,
    photos_below,
)
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan, StreamPlace

_CLEAN = SynthesisConfig.clean(yaw_deg=40.0, pitch_deg=20.0, roll_deg=20.0, upright=True, crop_margin=0.2)
_NO_CROPS = CropConfig(workers=0)


@pytest.fixture(scope="module")
def photos(astronaut, tmp_path_factory):
    """Two people in three photos, one of which is turned; a wall and a file that is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    whole = Image.fromarray(astronaut).crop((80, 0, 380, 280))
    whole.save(folder / "a" / "straight.png")
    Image.fromarray(astronaut).rotate(25.0, Image.Resampling.BICUBIC, center=(226, 124)).save(
        folder / "a" / "turned.png"
    )
    whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b" / "mirrored.png")
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(folder / "b" / "wall.png")
    (folder / "b" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


class _Blind:
    """A detector that must not be asked."""

    name = "blind"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def detect(self, image, min_face_px):
        raise AssertionError("the photos were framed before")


def test_photos_without_a_face_are_left_out_and_named(photos, own_detector, tmp_path, caplog):
    sources = photos_below(photos)
    assert [source.name for source in sources] == [
        *("a/straight.png", "a/turned.png", "b/broken.jpg", "b/mirrored.png", "b/wall.png")
    ]
    found = frame_pictures(sources, tmp_path, own_detector, side_px=64)
    assert found.names == ("a/straight.png", "a/turned.png", "b/mirrored.png")
    assert found.crops.shape == (3, 90, 90, 3) and found.rotation is None
    assert [text.partition(":")[0] for text in found.left_out] == ["b/broken.jpg", "b/wall.png"]
    assert "2 of 5 photos" in caplog.text
    again = frame_pictures(sources, tmp_path, _Blind(), side_px=64)
    assert again.names == found.names and again.left_out == found.left_out
    assert np.array_equal(again.crops, found.crops)
    # Both photos of one face show it upright.
    first, second = found.crops[0].astype(float), found.crops[1].astype(float)
    assert np.corrcoef(first[20:70, 20:70].ravel(), second[20:70, 20:70].ravel())[0, 1] > 0.9
    (tmp_path / "crops.npy").write_bytes(b"damaged")
    with pytest.raises(PosePictureError, match="are damaged .*remove the folder"):
        frame_pictures(sources, tmp_path, _Blind(), side_px=64)


def test_labelled_and_unlabelled_photos_are_not_mixed(photos, own_detector, tmp_path):
    first, second, *_ = photos_below(photos)
    mixed = [first, PictureSource(second.name, second.photo, np.eye(3))]
    with pytest.raises(ValueError, match="with labels or without, not both together"):
        frame_pictures(mixed, tmp_path, own_detector)


def test_labels_of_earlier_pictures_are_not_taken_for_those_of_later_ones(photos, own_detector, tmp_path):
    first, second, *_ = photos_below(photos)
    labelled = [PictureSource(one.name, one.photo, np.eye(3)) for one in (first, second)]
    assert frame_pictures(labelled, tmp_path, own_detector, side_px=64).rotation is not None
    frame_pictures([first], tmp_path, own_detector, side_px=64)
    again = frame_pictures([first], tmp_path, _Blind(), side_px=64)
    assert again.rotation is None and again.names == (first.name,)


def test_folders_without_faces_are_refused(photos, own_detector, tmp_path):
    walls = [source for source in photos_below(photos) if "wall" in source.name or "broken" in source.name]
    with pytest.raises(
        PosePictureError, match=r"none of 2 photos shows a face that can be framed; the first: b/broken"
    ):
        frame_pictures(walls, tmp_path / "framed", own_detector)
    assert not (tmp_path / "framed").exists()
    with pytest.raises(PosePictureError, match="holds no pictures; known: .jpg"):
        photos_below(tmp_path)
    with pytest.raises(PosePictureError, match="no such folder of photos"):
        photos_below(tmp_path / "none")


def test_labels_turn_with_the_crop(photos, own_detector, tmp_path):
    """Pillow turns counter-clockwise, which is a positive roll: upright crops of both have the same rotation."""
    straight = euler_to_matrix(torch.tensor([0.1, 0.3, 0.0], dtype=torch.float64))
    roll = euler_to_matrix(torch.tensor([0.0, 0.0, np.radians(25.0)], dtype=torch.float64))
    sources = [
        PictureSource("a", photos / "a" / "straight.png", straight.numpy()),
        PictureSource(
            "b", photos / "a" / "turned.png", (roll @ straight).numpy(), np.array([170.0, 70.0, 280.0, 180.0])
        ),
    ]
    found = frame_pictures(sources, tmp_path, own_detector, side_px=64)
    angle = rotation_angle(*(torch.from_numpy(found.rotation[k]) for k in range(2)))
    assert float(torch.rad2deg(angle)) < 3.0
    framing = CropJitter(wide_share=1.0, wide_turn_deg=20.0)
    crops, rotation = found.batch([1, 0], 32, framing, torch.Generator().manual_seed(3))
    assert crops.shape == (2, 3, 32, 32) and float(crops.max()) <= 1.0
    moved = rotation_angle(rotation.double(), torch.from_numpy(found.rotation[[1, 0]]))
    assert float(torch.rad2deg(moved).max()) > 3.0
    again = frame_pictures(sources, tmp_path, _Blind(), side_px=64)
    assert np.array_equal(again.rotation, found.rotation)


def test_the_nearest_source_is_the_nearest():
    generator = torch.Generator().manual_seed(0)
    predicted, source = (60.0 * torch.randn(n, 3, generator=generator) for n in (7, 50))
    found = nearest_source(predicted, source)
    for k in range(7):
        errors = [float(((predicted[k] - source[n]) ** 2).mean()) for n in range(50)]
        assert int(found[k]) == int(np.argmin(errors))
    dense = torch.stack((torch.linspace(-90, 90, 1801), *[torch.zeros(1801)] * 2), dim=1)
    target = torch.tensor([[10.0, 0.0, 0.0]]).expand(400, 3)
    jittered = dense[nearest_source(target, dense, 2.0, torch.Generator().manual_seed(1)), 0]
    assert float((jittered - 10.0).abs().max()) <= 2.1 and float(jittered.std()) > 0.9
    same = dense[nearest_source(target, dense, 2.0, torch.Generator().manual_seed(1)), 0]
    assert torch.equal(jittered, same)
    with pytest.raises(ValueError, match=r"jitter_deg must lie in \[0, 90\], got -1"):
        PairingConfig(-1.0)


def test_the_strength_of_the_reversal():
    ramp, steady = ReversalConfig(strength=0.8), ReversalConfig("constant", 0.3)
    values = [ramp.mu(p) for p in (0.0, 0.1, 0.3, 1.0, 2.0)]
    assert values[0] == 0.0 and values == sorted(values) and abs(values[3] - 0.8) < 1e-4 and values[3] == values[4]
    assert abs(ramp.mu(0.1) - 0.8 * (2.0 / (1.0 + np.exp(-1.0)) - 1.0)) < 1e-9
    assert steady.mu(0.0) == steady.mu(1.0) == 0.3
    with pytest.raises(ValueError, match="reversal.strength must be 0 or more"):
        ReversalConfig(strength=-1.0)


def test_people_of_an_inductive_run_are_kept_apart():
    names = [f"{person:02d}/{k}.png" for person in range(40) for k in range(3)]
    assert adaptation_rows(names, "transductive", 0.3) == (list(range(120)), [])
    adapted, tested = adaptation_rows(names, "inductive", 0.3)
    assert sorted(adapted + tested) == list(range(120)) and 15 < len(tested) < 60
    assert not {names[k][:2] for k in adapted} & {names[k][:2] for k in tested}
    assert adaptation_rows(names, "inductive", 0.3) == (adapted, tested)
    with pytest.raises(ValueError, match="keeps a share of 0.3 of 1 groups .*give more pictures"):
        adaptation_rows(["a/1.png", "a/2.png"], "inductive", 0.3)


@pytest.fixture(scope="module")
def first_phase(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("first") / "best.safetensors"
    return save_pose_network(place, FsaNet(FsaNetConfig()).eval(), {})


@pytest.fixture(scope="module")
def data(photos, first_phase, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    found = PoseAdaptationData(
        str(folder),
        DrawingConfig(_CLEAN, count=8, side_px=64, block=4, workers=1),
        TargetConfig(str(photos), str(folder / "framed")),
        initial_weights=str(first_phase),
        source_first=4,
        plan=BatchPlan(2, 7),
        crops=_NO_CROPS,
        held_out=HeldOutConfig(count=2),
    )
    found.prepare_data()
    found.setup("fit")
    return found


@pytest.mark.slow
def test_pairs_have_the_pose_that_was_predicted_and_faces_of_the_second_phase(data, first_phase):
    stream = data.pairs(StreamPlace())
    assert stream.predicted_deg.shape == (3, 3) and len(stream.source_deg) == 4
    network, _ = load_pose_network(first_phase)
    crops, _ = data.adapted.batch([1], 64, None, torch.Generator())
    torch.testing.assert_close(stream.predicted_deg[1:2], rotation_to_angles(network(crops).rotation))
    still = CropJitter(0.0, *[0.0] * 6)
    stream.jitter, stream.degradation = still, None
    batch = stream.batch([2, 0], 5)
    assert len(batch) == 2 and batch.target.shape == batch.image.shape == (2, 3, 64, 64)
    for k, row in enumerate((2, 0)):
        away = (stream.source_deg - stream.predicted_deg[row]).square().mean(dim=1)
        nearest = 4 + int(away.argmin())
        torch.testing.assert_close(batch.rotation[k], stream.source.rotation[nearest], atol=1e-5, rtol=0.0)
    stream.jitter, stream.degradation = CropJitter(), Degradation()
    assert torch.equal(stream.batch([2, 0], 5).target, stream.batch([2, 0], 5).target)
    assert not torch.equal(stream.batch([2, 0], 5).target, stream.batch([2, 0], 6).target)


@pytest.mark.slow
def test_a_resumed_adaptation_sees_the_pairs_it_would_have_seen(data):
    whole = iter(data.pairs(StreamPlace()))
    steps = [next(whole) for _ in range(4)]
    resumed = iter(data.pairs(StreamPlace(step=2)))
    for step in (2, 3):
        found = next(resumed)
        assert torch.equal(found.image, steps[step].image) and torch.equal(found.target, steps[step].target)
    assert data.facts() == {
        "variant": "transductive", "adapted_to": 3, "held_out": [], "left_out": 2, "jitter_deg": 0.0,
    }  # fmt: skip


@pytest.mark.slow
def test_settings_of_a_second_phase_that_make_no_sense(data, first_phase, photos):
    drawing = DrawingConfig(_CLEAN, count=8)
    with pytest.raises(ValueError, match=r"source_first must lie in \[0, 8\), the drawn faces, got 8"):
        PoseAdaptationData("x", drawing, TargetConfig("y"), initial_weights="z", source_first=8)
    with pytest.raises(ValueError, match="begins with the weights of the first phase"):
        PoseAdaptationData("x", drawing, TargetConfig("y"))
    with pytest.raises(ValueError, match="target.held_out must lie between 0 and 1"):
        TargetConfig("y", held_out=1.0)


def _module(first_phase, **reversal):
    torch.manual_seed(1)
    return PoseAdaptationModule(
        FsaNetConfig(),
        str(first_phase),
        ReversalConfig("constant", **reversal),
        optimiser=OptimiserConfig(rate=1e-3, warm_up=1, schedule="constant", total=10),
    )


@pytest.mark.slow
def test_the_network_descends_the_pose_and_climbs_the_domain(data, first_phase):
    batch = next(iter(data.pairs(StreamPlace())))
    gradients = {}
    for strength in (0.0, 0.5, 1.0):
        module = _module(first_phase, strength=strength)
        terms = module.loss_terms(batch)
        assert set(terms) == {"angles", "domain"}
        torch.stack(list(terms.values())).sum().backward()
        early, classify = module.network.rectified.blocks[0][0].weight.grad, module.classifier.layers[0].weight.grad
        gradients[strength] = (early.clone(), classify.clone())
    module = _module(first_phase, strength=0.0)
    module.loss_terms(batch)["angles"].backward()
    # Without reversal the domain does not reach the network; with it, it does in proportion to its strength.
    torch.testing.assert_close(gradients[0.0][0], module.network.rectified.blocks[0][0].weight.grad)
    assert not torch.allclose(gradients[1.0][0], gradients[0.0][0], rtol=1e-3)
    half = 0.5 * (gradients[0.0][0] + gradients[1.0][0])
    # By the whole gradient: the smallest of its entries are sums that cancel, and keep few digits.
    assert (gradients[0.5][0] - half).norm() < 1e-3 * half.norm()
    for strength in (0.5, 1.0):
        torch.testing.assert_close(gradients[strength][1], gradients[0.0][1])


@pytest.mark.slow
def test_both_parts_learn_and_the_header_says_to_what(data, first_phase, tmp_path):
    module = _module(first_phase, strength=0.5)
    moved = module.configure_optimizers()["optimizer"]
    held = {id(p) for group in moved.param_groups for p in group["params"]}
    assert held == {id(p) for part in (module.network, module.classifier) for p in part.parameters()}
    module.log = module.log_dict = lambda *_, **__: None
    batch = next(iter(data.pairs(StreamPlace())))
    before = [p.detach().clone() for p in (next(module.network.parameters()), next(module.classifier.parameters()))]
    module.training_step(batch, 0).backward()
    moved.step()
    after = (next(module.network.parameters()), next(module.classifier.parameters()))
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True)) and module.batches_seen == 1
    assert module.mu == 0.5
    module._facts = data.facts()
    _, header = load_pose_network(module.save_weights(tmp_path / "final.safetensors", {}))
    assert json.loads(header["adaptation"])["variant"] == "transductive"
    with pytest.raises(ValueError, match="adaptation needs pictures of the target"):
        module.loss_terms(PoseBatch(batch.image, batch.rotation))


def test_only_fsanet_has_fine_grained_features(tmp_path):
    config = SixdConfig(backbone="mobilenetv4_small_050", size=64, width=16)
    place = PoseModule(config).save_weights(tmp_path / "w.safetensors", {})
    with pytest.raises(ValueError, match="fine-grained features of an FSA-Net, and a sixd has none"):
        PoseAdaptationModule(config, str(place))


@pytest.fixture(scope="module")
def labelled(photos, tmp_path_factory):
    """Two frames in BIWI's layout, of people 01 and 02."""
    folder = tmp_path_factory.mktemp("biwi")
    for person, photo in (("01", "a/straight.png"), ("02", "b/mirrored.png")):
        (folder / person).mkdir()
        (folder / person / "frame_00003_rgb.png").write_bytes((photos / photo).read_bytes())
        rows = "1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 900 \n"
        (folder / person / "frame_00003_pose.txt").write_text(rows)
    return folder


@pytest.mark.slow
def test_fusion_mixes_labelled_pictures_with_drawn_faces(labelled, data, tmp_path):
    def fusion(share, groups=None):
        return PoseFusionData(
            str(data.folder),
            DrawingConfig(_CLEAN, count=8, side_px=64, block=4, workers=1),
            LabelledConfig(
                str(labelled), "biwi", groups=groups, count=2, framed=str(tmp_path / f"f{share}"), share=share
            ),
            plan=BatchPlan(2, 7),
            crops=_NO_CROPS,
            held_out=HeldOutConfig(count=2),
        )

    alone = fusion(1.0)
    alone.prepare_data()
    pictures = alone.framed()
    assert pictures.names == ("01/frame_00003_rgb.png", "02/frame_00003_rgb.png")
    # The label faces the camera; what is left is the turn that makes the crop upright.
    assert np.allclose(pictures.rotation[:, 2, 2], 1.0) and np.allclose(pictures.rotation[:, 2, :2], 0.0, atol=1e-9)
    batch = next(iter(alone.stream(StreamPlace())))
    assert len(batch) == 2 and batch.target is None
    mixed = next(iter(fusion(0.5).stream(StreamPlace())))
    assert len(mixed) == 2
    steps = iter(fusion(0.5).stream(StreamPlace()))
    third = [next(steps) for _ in range(3)][2]
    assert torch.equal(next(iter(fusion(0.5).stream(StreamPlace(step=2)))).image, third.image)
    assert fusion(1.0, ("02",)).framed().names == ("02/frame_00003_rgb.png",)
    with pytest.raises(ValueError, match=r"no labelled picture is of the groups .*the data have 01, 02"):
        fusion(1.0, ("07",)).framed()
    with pytest.raises(ValueError, match="labelled.count must be at least 1"):
        LabelledConfig("x", count=0)


@pytest.fixture(scope="module")
def turned_faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turned")
    clean = SynthesisConfig.clean(
        pose="uniform", yaw_deg=50.0, pitch_deg=25.0, roll_deg=20.0, upright=True, crop_margin=0.2
    )
    synthesize_faces(folder, FaceCacheConfig(clean, seed=11, size=160, count=8, block=8))
    return FaceCache(folder)


@pytest.mark.parametrize(
    ("written", "read", "doubted"), [("zyx", "zyx", False), ("zyx", "pointing04", True), ("300wlp", "zyx", True)]
)
@pytest.mark.slow
def test_labels_of_another_convention_are_doubted_before_they_teach(turned_faces, tmp_path, written, read, doubted):
    """Drawn faces are the pictures, turned a little out of their upright crops; their angles are written by one convention and read by
    another."""
    cache = turned_faces
    shown = CachedFaces(cache, ("520",), 0.2).rotation.double().numpy()
    turns = [angles_to_matrix(np.array([0.0, 0.0, roll])) for roll in np.linspace(-12.0, 12.0, len(cache))]
    labels = []
    for number, (rotation, turn) in enumerate(zip(shown, turns, strict=True)):
        angles, name = matrix_to_angles(turn.T @ rotation, written), f"{number}.png"
        told = angles_to_matrix(angles, read)
        labels.append(PoseLabel(name, name, tmp_path / name, tmp_path / name, told, angles, read))
    framed = np.stack([turn @ label.rotation_ray for turn, label in zip(turns, labels, strict=True)])
    crops = np.stack([cache.picture(number) for number in range(len(cache))])
    pictures = PosePictures(tuple(label.name for label in labels), crops, framed, ())
    doubt = convention_in_doubt([*labels[::-1]], pictures)
    assert bool(doubt) == doubted
    if doubted:
        assert f"another angle convention than {read}" in doubt and "set labelled.convention" in doubt
        assert "read as 'zyx'" in doubt or "read as '300wlp'" in doubt
