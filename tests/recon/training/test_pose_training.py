"""Supervised training of pose networks: losses, metrics, and a module that learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import roma
import torch
import yaml

from recon.inference.head_pose import DEFAULT_POSE_NETWORKS
from recon.networks.network_file import CheckpointError
from recon.networks.pose.checkpoint import load_pose_network
from recon.networks.pose.fsanet import FsaNet, FsaNetConfig
from recon.networks.pose.hopenet import BinnedAnswer, HopeNetConfig
from recon.networks.pose.prediction import AngleAnswer, PosePrediction, angles_to_rotation, rotation_to_angles
from recon.networks.pose.sixd import SixdConfig, precision_root
from recon.rotation import euler_to_matrix
from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCache, FaceCacheConfig, synthesize_faces
from recon.training.framing import CropJitter, CropSimilarity
from recon.training.landmark_data import CachedFaces
from recon.training.pose_batch import PoseBatch
from recon.training.pose_losses import CHI2_68, PoseLossWeights, pose_loss_terms, pose_metrics
from recon.training.pose_module import PoseModule, mirror_some
from recon.training.schedule import OptimiserConfig
from train import main

_STILL = CropJitter(0.0, *[0.0] * 6)
_TINY = {
    "sixd": SixdConfig(backbone="mobilenetv4_small_050", size=64, width=32),
    "fsanet": FsaNetConfig(),
    "hopenet": HopeNetConfig(backbone="mobilenetv4_small_050", size=64),
}
_ROTATIONS = angles_to_rotation(torch.tensor([[-40.0, 10.0, 5.0], [20.0, -15.0, -30.0]]))


def _sum(terms):
    return torch.stack(list(terms.values())).sum()


def test_each_loss_is_least_at_the_truth():
    weights = PoseLossWeights()
    truth = torch.tensor([[-40.0, 10.0, 5.0], [20.0, -15.0, -30.0]])
    root = precision_root(torch.tensor([[2.0, 2.0, 2.0, 0.0, 0.0, 0.0]] * 2))

    def answers(off_deg):
        bins = torch.full((2, 3, 66), -30.0)
        place = ((truth + off_deg + 99.0) / 3.0).long()
        bins.scatter_(2, place[..., None], 30.0)
        rotation = angles_to_rotation(truth + off_deg)
        return PosePrediction(rotation, root), AngleAnswer(truth + off_deg), BinnedAnswer(bins)

    for right, near, far in zip(answers(0.0), answers(7.0), answers(25.0), strict=True):
        losses = [float(_sum(pose_loss_terms(a, _ROTATIONS, weights))) for a in (right, near, far)]
        assert losses[0] < losses[1] < losses[2]
    assert float(pose_loss_terms(AngleAnswer(truth + 7.0), _ROTATIONS, weights)["angles"]) == pytest.approx(
        7.0, abs=1e-3
    )
    with pytest.raises(ValueError, match="the weight bins must be 0 or more, got -1"):
        PoseLossWeights(bins=-1.0)


def test_heads_past_their_profile_do_not_teach_angles():
    """Their yaw goes back and pitch and roll jump by a half turn."""
    past = torch.cat((_ROTATIONS[:1], euler_to_matrix(torch.tensor([[0.1, 1.9, 0.1]]))))
    guess = torch.zeros(2, 3, requires_grad=True)
    loss = pose_loss_terms(AngleAnswer(guess), past, PoseLossWeights())["angles"]
    assert float(loss.detach()) == pytest.approx(55.0 / 3.0, abs=1e-3)
    loss.backward()
    assert not guess.grad[1].any() and guess.grad[0].all()
    assert (
        float(pose_loss_terms(AngleAnswer(guess), past[1:].expand(2, 3, 3), PoseLossWeights())["angles"].detach())
        == 0.0
    )


def test_a_network_is_not_let_off_by_being_unsure():
    rotation = _ROTATIONS.clone().requires_grad_()
    root = precision_root(torch.zeros(2, 6)).requires_grad_()
    terms = pose_loss_terms(PosePrediction(rotation, root), _ROTATIONS.roll(1, 0), PoseLossWeights())
    terms["likelihood"].backward(retain_graph=True)
    assert rotation.grad is None and float(root.grad.abs().sum()) > 0.0
    terms["geodesic"].backward()
    assert float(rotation.grad.abs().sum()) > 0.0


def test_true_covariances_have_a_chi2_of_1():
    generator = torch.Generator().manual_seed(0)
    root = precision_root(torch.tensor([[3.0, 2.5, 3.5, 0.4, -0.3, 0.2]])).expand(20000, 3, 3)
    w = torch.linalg.solve_triangular(root[0].mT, torch.randn(3, 20000, generator=generator), upper=True).mT
    base = _ROTATIONS[:1].expand(20000, 3, 3)
    found = pose_metrics(PosePrediction(base, root), roma.rotvec_to_rotmat(w) @ base)
    assert abs(float(found["chi2"].mean()) - 1.0) < 0.03 and abs(float(found["within"].mean()) - 0.68) < 0.01
    sure = pose_metrics(PosePrediction(base, 2.0 * root), roma.rotvec_to_rotmat(w) @ base)
    assert float(sure["chi2"].mean()) > 3.8 and float(sure["within"].mean()) < 0.25
    off = angles_to_rotation(torch.tensor([[-40.0, 13.0, 3.0], [25.0, -15.0, -30.0]]))
    apart = pose_metrics(PosePrediction(off), _ROTATIONS)
    told = torch.stack([apart[f"{name}_deg"] for name in ("yaw", "pitch", "roll")], dim=1)
    torch.testing.assert_close(told, torch.tensor([[0.0, 3.0, 2.0], [5.0, 0.0, 0.0]]), rtol=0.0, atol=1e-3)
    torch.testing.assert_close(apart["pose_deg"], told.mean(dim=1), rtol=0.0, atol=1e-3)
    assert torch.distributions.Chi2(3.0).sample((200000,)).lt(CHI2_68).float().mean().sub(0.68).abs() < 0.01


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "train"
    config = SynthesisConfig.clean(yaw_deg=40.0, pitch_deg=20.0, roll_deg=20.0, upright=True, crop_margin=0.2)
    synthesize_faces(folder, FaceCacheConfig(config, seed=5, size=64, count=4, block=4))
    return CachedFaces(FaceCache(folder), ("520",), 0.2)


@pytest.mark.parametrize("kind", _TINY)
def test_every_network_learns_a_batch_and_saves_its_average(tmp_path, drawn, kind):
    torch.manual_seed(0)
    optimiser = OptimiserConfig(kind="adam", rate=3e-3, warm_up=1, schedule="constant")
    module = PoseModule(_TINY[kind], optimiser=optimiser, average=0.5)
    shown = drawn.batch([0, 1, 2, 3], 64, _STILL, None, 1)
    batch = PoseBatch(shown.image, shown.rotation)
    moved = module.configure_optimizers()["optimizer"]
    logged = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})
    module.log_dict = lambda values, **_: logged.update(values)
    losses = []
    for step in range(40):
        moved.zero_grad()
        loss = module.training_step(shown if step % 2 else batch, 0)  # both kinds of batches
        loss.backward()
        moved.step()
        module.update_average()
        losses.append(float(loss.detach()))
    assert min(losses[-5:]) < losses[0] - 0.3 * abs(losses[0]) and module.batches_seen == 40
    module.on_validation_epoch_start()
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert {"val/pose_deg", "val/geodesic_deg"} <= set(logged)
    saved, header = load_pose_network(module.save_weights(tmp_path / "w.safetensors", {"val/pose_deg": 1.0}))
    for kept, now in zip(saved.parameters(), module.averaged.parameters(), strict=True):
        assert torch.equal(kept, now)
    again = PoseModule(_TINY[kind], initial_weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(next(again.network.parameters()), next(module.averaged.parameters()))
    other = "fsanet" if kind != "fsanet" else "sixd"
    with pytest.raises(CheckpointError, match=f"of the kind {kind}, {other} is asked for"):
        PoseModule(_TINY[other], initial_weights=str(tmp_path / "w.safetensors"))


def test_a_run_starts_from_weights_or_from_the_features_of_landmarks(landmark_checkpoint, tmp_path):
    from recon.networks.landmark_checkpoint import load_landmark_network

    config = dataclasses.replace(_TINY["sixd"], width=16)
    module = PoseModule(config, initial_backbone=str(landmark_checkpoint))
    landmarks, _ = load_landmark_network(landmark_checkpoint)
    for mine, theirs in zip(module.network.backbone.parameters(), landmarks.backbone.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(ValueError, match="not both"):
        PoseModule(config, initial_backbone="a", initial_weights="b")
    with pytest.raises(ValueError, match="FSA-Net has no backbone"):
        PoseModule(FsaNetConfig(), initial_backbone=str(landmark_checkpoint))
    with pytest.raises(CheckpointError, match="backbone of .* is mobilenetv4_small_050, the network's resnet18"):
        PoseModule(HopeNetConfig(), initial_backbone=str(landmark_checkpoint))
    place = module.save_weights(tmp_path / "w.safetensors", {})
    with pytest.raises(CheckpointError, match="is of another network than that of the config"):
        PoseModule(dataclasses.replace(config, width=8), initial_weights=str(place))
    larger = PoseModule(dataclasses.replace(config, size=96), initial_weights=str(place))
    assert larger.network.size == 96


def test_crops_show_the_rotation_that_they_are_labelled_with(drawn):
    """The points of the mean head, turned by the label, lie where the crop's points lie."""
    batch = drawn.batch([0, 1, 2, 3], 64, CropJitter(wide_share=1.0, wide_turn_deg=30.0), Degradation(), 3)
    eyes = batch.points[:, [36, 45], :]  # the outer corners, the viewer's left and right
    across = torch.stack((eyes[:, 1, 0] - eyes[:, 0, 0], eyes[:, 0, 1] - eyes[:, 1, 1]), dim=1)
    told = batch.rotation[:, :2, 0]  # where the head's x axis points in the picture, y up
    cosine = torch.nn.functional.cosine_similarity(across, told, dim=1)
    assert float(cosine.min()) > 0.97


def test_a_mirrored_crop_shows_the_mirrored_head(drawn):
    """Turned the other way to the side and in the plane, up and down as before; others are left as they are."""
    shown = drawn.batch([0, 1, 2, 3], 64, _STILL, None, 3)
    chosen = torch.tensor([True, False, True, False])
    image, rotation = mirror_some(shown.image, shown.rotation, chosen)
    before, after = rotation_to_angles(shown.rotation), rotation_to_angles(rotation)
    torch.testing.assert_close(after[::2], before[::2] * torch.tensor([-1.0, 1.0, -1.0]), rtol=0.0, atol=1e-3)
    assert torch.equal(image[0, :, :, 5], shown.image[0, :, :, 58]) and torch.equal(image[1], shown.image[1])
    assert torch.equal(rotation[1], shown.rotation[1]) and torch.allclose(torch.linalg.det(rotation), torch.ones(4))
    network, _ = load_pose_network(DEFAULT_POSE_NETWORKS["sixd"])
    with torch.no_grad():
        found = rotation_to_angles(network(torch.nn.functional.interpolate(image, 128, mode="bilinear")).rotation)
    assert float((found - after).abs().median()) < 6.0 < float((found - before)[::2, 0].abs().mean())
    with pytest.raises(ValueError, match=r"mirrored must lie in \[0, 1\], got 1.5"):
        PoseModule(FsaNetConfig(), mirrored=1.5)


def test_small_crops_of_large_pictures_pass_over_no_pixel():
    """Stripes of one pixel are grey in a crop of a quarter of the side, as in crops of photos; in one of the same side they are stripes."""
    stripes = (torch.arange(128) % 2).float().expand(2, 3, 128, 128)
    still = CropSimilarity(torch.ones(2), torch.zeros(2), torch.zeros(2, 2))
    assert float((still.crops(stripes, 32) - 0.5).abs().max()) < 1e-6
    torch.testing.assert_close(still.crops(stripes, 128), stripes, rtol=0.0, atol=1e-5)
    ramp = torch.linspace(0.0, 1.0, 256).expand(1, 3, 192, 256)  # places do not move
    half = CropSimilarity(torch.tensor([1.4]), torch.tensor([0.3]), torch.tensor([[0.05, -0.1]]))
    # The middle of the crop's pixel (row 40, column 23) in shares of the picture.
    middle = torch.tensor([[23.5, 40.5]]) / 64.0 - 0.5
    seen = torch.linalg.solve(half.linear[0], (middle - half.shift)[0]) + 0.5
    assert float(half.crops(ramp, 64)[0, 0, 40, 23]) == pytest.approx(float((256.0 * seen[0] - 0.5) / 255.0), abs=1e-4)


def test_angles_are_as_fine_with_convolutions_in_bfloat16():
    torch.manual_seed(0)
    network, crops = FsaNet(FsaNetConfig()).eval(), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        exact = network.answer(crops).angles_deg
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answer = network.answer(crops)
    assert answer.angles_deg.dtype == answer.features.dtype == torch.float32
    assert float((answer.angles_deg - exact).abs().max()) < 0.5
    assert not torch.equal(answer.angles_deg.bfloat16().float(), answer.angles_deg)


_CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "pose").glob("*.yaml"))


@pytest.mark.parametrize("path", _CONFIGS, ids=lambda path: path.stem)
def test_pose_configs_are_complete(path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    settings = printed["model"]["init_args"]
    assert settings["network"]["kind"] == path.stem.split("_")[0]
    assert settings["optimiser"]["total"] == printed["trainer"]["max_steps"]
    # Two folders serve all: one what a network begins with, the other what phase two needs, which must not have been seen before.
    drawing = printed["data"]["init_args"]["drawing"]
    assert drawing["synthesis"]["yaw_deg"] == 90.0 and drawing["synthesis"]["crop_margin"] == 0.2
    assert (drawing["synthesis"]["pose"], drawing["side_px"]) == ("300w-lp", 256)
    seen = printed["data"]["init_args"]["folder"], drawing["seed"], drawing["count"]
    first = ("runs/faces_pose", 300, 12288)
    assert seen == (first if path.stem in ("fsanet", "sixd") else ("runs/faces", 100, 32768))
    if path.stem == "fsanet_da":
        assert printed["data"]["init_args"]["source_first"] == 0
    chosen = [callback["class_path"].rpartition(".")[2] for callback in printed["trainer"]["callbacks"]]
    adapted = path.stem in ("fsanet_da", "fsanet_fusion")
    # Nothing may be chosen by the target, and drawn faces do not tell what is best for it.
    assert ("FinalWeights" in chosen) == adapted and ("BestWeights" in chosen) == (not adapted)
