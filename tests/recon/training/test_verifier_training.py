"""The verifier of depth maps: what it sees, who is paired with whom, and that it learns and goes on."""

import dataclasses

import lightning
import numpy as np
import pytest
import torch

from recon.networks.depth.checkpoint import save_depth_network
from recon.networks.depth.crop_depth import CropDepthConfig, CropDepthNetwork
from recon.networks.depth.relief_code import SPAN_MM, relief_code
from recon.networks.depth.verifier_checkpoint import load_verifier
from recon.networks.network_file import CheckpointError
from recon.synthesis import SynthesisConfig
from recon.training.depth_data import CachedDepthFaces
from recon.training.face_cache import FaceCache
from recon.training.framing import CropJitter
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import DrawingConfig
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan
from recon.training.verifier_data import CachedPairs, VerifierData
from recon.training.verifier_module import VerifierModule

_DRAWN = SynthesisConfig.clean(yaw_deg=20.0, pitch_deg=10.0, roll_deg=10.0, upright=True, crop_margin=0.3, identities=3)
_DRAWING = DrawingConfig(_DRAWN, count=8, seed=5, side_px=96, block=4, workers=1)


def _data(folder) -> VerifierData:
    return VerifierData(str(folder), _DRAWING, plan=BatchPlan(4, seed=2), held_out=HeldOutConfig(count=4), workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("people")
    _data(place).prepare_data()
    return place


def test_the_code_is_the_relief_about_the_middle_and_not_the_distance():
    depth_mm = torch.full((2, 1, 12, 9), 500.0)
    depth_mm[:, :, 4, 4] -= 18.0  # the mean of the middle third is 1 mm nearer for it: 18 mm over 12 pixels less 0.5
    known = torch.ones(2, 1, 12, 9, dtype=torch.bool)
    known[0, 0, 0, 0] = False
    code = relief_code(depth_mm, known)
    centre_mm = 500.0 - 18.0 / 12.0
    assert float(code[1, 0, 4, 4]) == pytest.approx(2.0 * (482.0 - centre_mm) / SPAN_MM)
    assert float(code[0, 0, 0, 0]) == 1.0
    torch.testing.assert_close(relief_code(depth_mm + 300.0, known), code)
    assert bool((relief_code(depth_mm, torch.zeros_like(known)) == 1.0).all())
    without_middle = known.clone()
    without_middle[..., 4:8, 3:6] = False
    assert bool((relief_code(depth_mm - 450.0, without_middle) == 1.0).all())
    far = relief_code(
        torch.cat((depth_mm[:1], depth_mm[:1] + 900.0), dim=3), torch.ones(1, 1, 12, 18, dtype=torch.bool)
    )
    assert -1.0 <= float(far.min()) and float(far.max()) <= 1.0


@pytest.mark.slow
def test_half_of_the_pairs_are_of_one_person(folder):
    cache = FaceCache(folder / "train", maps=True)
    faces = CachedDepthFaces(cache, 0.3)
    identity = cache.labels["identity"]
    np.testing.assert_array_equal(identity[0], identity[3])
    pairs = CachedPairs(faces, 3)
    asked = []
    original = faces.batch
    faces.batch = lambda indices, *rest: (asked.append(indices), original(indices, *rest))[1]
    batch = pairs.batch(6, CropJitter(0.0, *[0.0] * 6), 9)
    first, second = asked
    assert batch.same.sum() == 3 and len(batch) == 6 and batch.first.shape == (6, 1, 96, 96)
    for a, b, same in zip(first, second, batch.same, strict=True):
        assert a != b and bool((identity[a] == identity[b]).all()) == bool(same)
    again = CachedPairs(CachedDepthFaces(cache, 0.3), 3).batch(6, CropJitter(0.0, *[0.0] * 6), 9)
    assert torch.equal(again.second, batch.second)
    with pytest.raises(ValueError, match="set drawing.synthesis.identities"):
        CachedPairs(faces, 7)
    with pytest.raises(ValueError, match="people that come again"):
        VerifierData("x", dataclasses.replace(_DRAWING, synthesis=dataclasses.replace(_DRAWN, identities=0)))


def _fit(module, folder, tmp_path, steps, checkpoint=None):
    trainer = lightning.Trainer(
        max_steps=steps, default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=1,
    )  # fmt: skip
    trainer.fit(module, _data(folder), ckpt_path=checkpoint, weights_only=False)
    return trainer


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec")
@pytest.mark.slow
def test_it_trains_resumes_and_is_saved(folder, tmp_path):
    def made():
        torch.manual_seed(0)
        return VerifierModule(optimiser=OptimiserConfig(rate=1e-3, warm_up=0, schedule="constant"))

    straight, half, resumed = made(), made(), made()
    _fit(straight, folder, tmp_path, 3)
    _fit(half, folder, tmp_path, 2).save_checkpoint(tmp_path / "half.ckpt")
    _fit(resumed, folder, tmp_path, 3, tmp_path / "half.ckpt")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert 0.0 <= float(straight.trainer.callback_metrics["val/accuracy"]) <= 1.0
    path = straight.save_weights(tmp_path / "v.safetensors", {"val/accuracy": 0.5})
    again, header = load_verifier(path)
    for name, value in straight.network.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name])
    assert "0.5" in header["metrics"]
    other = save_depth_network(tmp_path / "n.safetensors", CropDepthNetwork(CropDepthConfig(size=64)), {})
    with pytest.raises(CheckpointError, match="is no verifier of depth maps"):
        VerifierModule(initial_weights=str(other))


@pytest.mark.slow
def test_pairs_that_differ_are_learned(folder):
    torch.manual_seed(0)
    module = VerifierModule()
    batch = CachedPairs(CachedDepthFaces(FaceCache(folder / "train", maps=True), 0.3), 3).batch(8, CropJitter(0.0), 1)
    optimiser = torch.optim.Adam(module.network.parameters(), 1e-3)
    costs = []
    for _ in range(60):
        optimiser.zero_grad()
        logits = module.network(batch.first, batch.second)
        cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.same.float())
        cost.backward()
        optimiser.step()
        costs.append(cost.item())
    assert costs[-1] < 0.2 * costs[0]
