"""Every published depth network learns from drawn faces at a tiny size, and its file comes back."""

import lightning
import pytest
import torch

from losses.depth.objective import FOUR_TERM, DepthObjective
from recon.networks.depth.checkpoint import load_depth_network
from recon.networks.depth.map_depth import DepthCoding, MapDepthConfig
from recon.networks.depth.siamese import SiameseVerifier
from recon.networks.depth.verifier_checkpoint import load_verifier
from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.depth_data import DepthCropData, DepthCropStream
from recon.training.depth_module import DepthModule
from recon.training.depth_pair_module import DepthPairModule, DiscriminatorConfig
from recon.training.framing import CropJitter
from recon.training.held_out import HeldOutConfig
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan, StreamPlace
from recon.training.verifier_data import VerifierData
from recon.training.verifier_module import VerifierModule

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec"),
]

_DRAWN = SynthesisConfig.clean(yaw_deg=30.0, pitch_deg=15.0, roll_deg=10.0, upright=True, crop_margin=0.3, identities=4)
_DRAWING = DrawingConfig(_DRAWN, count=8, seed=5, side_px=96, block=8, workers=1)
_NONE = Degradation(*[0.0] * 10)
_INVERSE, _SIGNED = DepthCoding("inverse", 5000.0, focal_sides=3.0), DepthCoding("signed", 1400.0, 400.0, 3.0)
_OPTIONS = {"ssim": {"data_range": 1.5}, "surface_normal": {"pixel_size": 0.03}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("depth")


def _data(folder, size) -> DepthCropData:
    data = DepthCropData(
        str(folder), _DRAWING, None, size, BatchPlan(4, seed=1), CropConfig(CropJitter(0.0, *[0.0] * 6), _NONE, workers=0),
        HeldOutConfig(count=2),
    )  # fmt: skip
    data.prepare_data()
    return data


def _fit(module, data, steps, tmp_path):
    lightning.Trainer(
        max_steps=steps, default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
    ).fit(module, data)  # fmt: skip


def _loss(module, batch) -> float:
    """The teacher's part of the loss in a batch of the faces learnt from, norms by the batch as in training."""
    module.network.train()
    with torch.no_grad():
        code = module.network(batch.image)
        target = module.network.config.coding.encode(batch.depth_mm, batch.focal_sides)
        return sum(float(term) for term in module.objective.terms(code, target, batch.known).values())


def _descent(steps) -> OptimiserConfig:
    """Down to almost nothing, so that the last step is as good as those before it."""
    return OptimiserConfig(rate=1e-3, warm_up=0, schedule="cosine", total=steps)


def _supervised(name, size, steps):
    config = MapDepthConfig(name, (size, size), _INVERSE)
    return DepthModule(config, DepthObjective(FOUR_TERM, _OPTIONS), optimiser=_descent(steps))


def _auto_encoder(name, size, steps):
    config = MapDepthConfig(name, (size, size), _SIGNED)
    return DepthModule(config, DepthObjective({"l2": 1.0}), optimiser=_descent(steps))


def _pair(name, size, steps):
    kind = "patches" if name.startswith("pix2pix") else "map"
    objective = DepthObjective({"l1": 100.0} if kind == "patches" else {"l2": 100.0})
    optimiser = _descent(steps)
    config = MapDepthConfig(name, (size, size), _SIGNED)
    return DepthPairModule(config, objective, DiscriminatorConfig(kind, 2e-4), optimiser=optimiser)


@pytest.mark.parametrize(
    ("made", "name", "size", "steps", "falls_to"),
    [
        (_supervised, "unet_simple", 32, 160, 0.2),
        (_supervised, "face_depth", 64, 120, 0.4),
        (_supervised, "dense_depth_densenet121", 64, 60, 0.5),
        (_supervised, "dense_depth_efficientnet_b0", 64, 150, 0.3),
        (_auto_encoder, "pini", 32, 40, 0.5),
        (_pair, "pini", 32, 40, 0.5),
        (_pair, "pix2pix_128", 128, 20, 0.5),
    ],
    ids=["UNet-simple", "FaceDepth", "DenseNet-121", "EfficientNet-B0", "auto-encoder", "cGAN", "pix2pix"],
)
def test_it_learns_and_comes_back(made, name, size, steps, falls_to, folder, tmp_path):
    torch.manual_seed(0)
    module, data = made(name, size, steps), _data(folder, size)
    batch = next(iter(DepthCropStream(data._settings("train"), data.plan, StreamPlace())))
    before = _loss(module, batch)
    per_step = 2 if made is _pair else 1  # Lightning counts the steps of both optimisers
    _fit(module, data, per_step * steps, tmp_path)
    after = _loss(module, batch)
    assert after < falls_to * before, (before, after)
    path = module.save_weights(tmp_path / "n.safetensors", {})
    again, _ = load_depth_network(path)
    assert again.config == module.network.config
    for key, value in module.averaged.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[key])


def test_the_verifier_learns_who_is_who_and_comes_back(folder, tmp_path):
    torch.manual_seed(0)
    module = VerifierModule(optimiser=OptimiserConfig(rate=1e-3, warm_up=0, schedule="constant"))
    data = VerifierData(
        str(folder / "people"), _DRAWING, plan=BatchPlan(8, seed=2), held_out=HeldOutConfig(count=4),
        jitter=CropJitter(0.0, *[0.0] * 6), workers=0,
    )  # fmt: skip
    costs = []
    module.log = lambda name, value, **options: costs.append(float(value)) if name == "loss/total" else None
    _fit(module, data, 120, tmp_path)
    assert sum(costs[-10:]) < 0.5 * sum(costs[:10]), costs
    again, _ = load_verifier(module.save_weights(tmp_path / "v.safetensors", {}))
    assert isinstance(again, SiameseVerifier)
    for key, value in module.averaged.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[key])
