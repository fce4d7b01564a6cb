"""Supervised training of pose networks: losses, metrics, and a module that learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import roma
import torch
import yaml

from recon.networks.checkpoint import CheckpointError
from recon.networks.pose.checkpoint import load_pose_network
from recon.networks.pose.fsanet import FsaNetConfig
from recon.networks.pose.hopenet import BinnedAnswer, HopeNetConfig
from recon.networks.pose.prediction import AngleAnswer, PosePrediction, angles_to_rotation
from recon.networks.pose.sixd import SixdConfig, precision_root
from recon.rotation import euler_to_matrix
from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCache, FaceCacheConfig, synthesize_faces
from recon.training.framing import CropJitter
from recon.training.landmark_data import CachedFaces
from recon.training.pose_batch import PoseBatch
from recon.training.pose_losses import CHI2_68, PoseLossWeights, pose_loss_terms, pose_metrics
from recon.training.pose_module import PoseModule
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
    assert set(pose_metrics(PosePrediction(base[:2]), base[:2])) == {"pose_deg", "geodesic_deg"}
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
    # All see the same drawn faces, so that one folder serves them: phase one the first of them, phase two those after them.
    drawing = printed["data"]["init_args"]["drawing"]
    assert drawing["synthesis"]["yaw_deg"] == 90.0 and drawing["synthesis"]["crop_margin"] == 0.2
    assert (drawing["seed"], drawing["synthesis"]["pose"], drawing["side_px"]) == (100, "300w-lp", 256)
    assert printed["data"]["init_args"]["folder"] == "runs/faces"
    assert drawing["count"] == {"fsanet": 24576}.get(path.stem, 32768)
    if path.stem == "fsanet_da":
        assert printed["data"]["init_args"]["source_first"] == 24576
    chosen = [callback["class_path"].rpartition(".")[2] for callback in printed["trainer"]["callbacks"]]
    adapted = path.stem in ("fsanet_da", "fsanet_fusion")
    # Nothing may be chosen by the target, and drawn faces do not tell what is best for it.
    assert ("FinalWeights" in chosen) == adapted and ("BestWeights" in chosen) == (not adapted)
