"""Identity networks: what a batch shows, that training learns people and goes on, and the perceptual loss's network by config."""

import dataclasses

import lightning
import numpy as np
import pytest
import torch

from recon.networks.arcface import TEMPLATE_PX, ArcFace, WeightsMissing, aligned_crops
from recon.networks.identity_checkpoint import load_identity_network, save_identity_network
from recon.networks.identity_network import IdentityConfig, IdentityNetwork, build_identity_network
from recon.networks.network_file import CheckpointError
from recon.synthesis import SynthesisConfig
from recon.training.embedding import EmbeddingConfig, open_embedding
from recon.training.face_cache import FaceCache
from recon.training.held_out import HeldOutConfig
from recon.training.identity_data import AlignmentJitter, CachedPeople, IdentityData
from recon.training.identity_module import IdentityModule
from recon.training.landmark_config import DrawingConfig
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan

_DRAWN = SynthesisConfig.clean(
    yaw_deg=20.0, pitch_deg=10.0, roll_deg=10.0, upright=True, crop_margin=0.05, identities=3, looks=0
)
_DRAWING = DrawingConfig(_DRAWN, count=12, seed=5, side_px=96, block=4, workers=1)
_NETWORK = IdentityConfig("mobilenetv4_small_050", embedding=16, width=8, drop=0.2)
_EXACT = AlignmentJitter(0.0, 0.0)


def _data(folder) -> IdentityData:
    return IdentityData(str(folder), _DRAWING, plan=BatchPlan(6, seed=2), held_out=HeldOutConfig(count=16), workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("identity")
    _data(place).prepare_data()
    return place


@pytest.fixture(scope="module")
def people(folder):
    return CachedPeople(FaceCache(folder / "train"), 3)


def test_a_batch_shows_whom_it_says(people):
    batch = people.batch([0, 4, 7], _EXACT, None, 1)
    assert batch.person.tolist() == [0, 1, 1]
    assert batch.image.shape == (3, 3, 112, 112)
    identity = people.cache.labels["identity"]
    assert np.array_equal(identity[4], identity[7]) and not np.array_equal(identity[0], identity[4])
    assert torch.equal(people.batch([4], _EXACT, None, 9).image[0], batch.image[1])
    moved = people.batch([4], AlignmentJitter(0.1, 0.0), None, 9)
    assert (moved.image - batch.image[1:2]).abs().mean() > 1e-3
    assert torch.equal(people.batch([4], AlignmentJitter(0.0, 1.0), None, 9).image[0], batch.image[1].flip(-1))


def test_eyes_lie_where_the_template_has_them(people):
    """A dot painted on an eye of the picture is seen near the place of the template."""
    frontal = int(np.abs(people.cache.labels["rotation"] - np.eye(3)).max(axis=(1, 2)).argmin())
    picture = torch.from_numpy(people.cache.picture(frontal).copy()).permute(2, 0, 1)[None].float() / 255.0
    five_px = people.five_px[frontal : frontal + 1]
    for number, place_px in enumerate(TEMPLATE_PX):
        dotted = picture.clone()
        x, y = (int(value) for value in five_px[0, number])
        dotted[..., y, x] += 100.0
        changed = aligned_crops(dotted, five_px, torch.tensor(TEMPLATE_PX)) - aligned_crops(
            picture, five_px, torch.tensor(TEMPLATE_PX)
        )
        weight = changed[0, 0] / changed[0, 0].sum()
        side = torch.arange(112) + 0.5
        found = torch.stack(((weight.sum(dim=0) * side).sum(), (weight.sum(dim=1) * side).sum()))
        # Umeyama's fit leaves a few pixels between a head and the template.
        assert (found - torch.tensor(place_px)).norm() < 6.0, (number, found)


def test_people_must_come_again():
    for identities, count in ((0, 12), (1, 12), (7, 12)):
        drawing = dataclasses.replace(
            _DRAWING, synthesis=dataclasses.replace(_DRAWN, identities=identities), count=count
        )
        with pytest.raises(ValueError, match=f"people that come again.*got {identities} of 12"):
            IdentityData("x", drawing)


def _fit(module, folder, tmp_path, steps, checkpoint=None):
    torch.manual_seed(7)  # of what training leaves out
    trainer = lightning.Trainer(
        max_steps=steps, default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=1,
    )  # fmt: skip
    trainer.fit(module, _data(folder), ckpt_path=checkpoint, weights_only=False)
    return trainer


def _made(**settings):
    torch.manual_seed(0)
    optimiser = OptimiserConfig(rate=1e-3, warm_up=0, schedule="constant")
    return IdentityModule(_NETWORK, 3, margin_warm_up=2, optimiser=optimiser, **settings)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec")
@pytest.mark.slow
def test_it_trains_resumes_and_is_saved(folder, tmp_path):
    straight, half, resumed = _made(), _made(), _made()
    _fit(straight, folder, tmp_path, 3)
    _fit(half, folder, tmp_path, 2).save_checkpoint(tmp_path / "half.ckpt")
    _fit(resumed, folder, tmp_path, 3, tmp_path / "half.ckpt")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert not torch.equal(straight.trait_directions.weight, _made().trait_directions.weight)
    assert straight.person_directions.abs().max() > 0.0
    metrics = straight.trainer.callback_metrics
    assert 0.0 <= float(metrics["val/equal_error_percent"]) <= 100.0 and "val/false_rejects_percent" in metrics
    path = straight.save_weights(tmp_path / "n.safetensors", {"val/equal_error_percent": 0.5})
    again, _ = load_identity_network(path)
    for name, value in straight.averaged.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name])
    taken = _made(initial_weights=str(path))
    for name, value in straight.averaged.state_dict().items():
        torch.testing.assert_close(value, taken.network.state_dict()[name])
    with pytest.raises(ValueError, match="people is 4 and the data hold 3"):
        _fit(IdentityModule(_NETWORK, 4), folder, tmp_path, 1)
    with pytest.raises(CheckpointError, match="is of another network"):
        IdentityModule(dataclasses.replace(_NETWORK, embedding=17), 3, initial_weights=str(path))


def test_traits_are_those_of_the_people(people):
    traits = _data("x").traits()
    assert traits.shape == (3, module_traits := _made().trait_directions.in_features) and module_traits > 80
    torch.testing.assert_close(traits.mean(dim=0), torch.zeros(module_traits), atol=1e-5, rtol=0)
    identity = torch.from_numpy(people.cache.labels["identity"][:3])
    scaled = (identity - identity.mean(dim=0)) / identity.std(dim=0)
    torch.testing.assert_close(traits[:, : identity.shape[1]], scaled, atol=1e-3, rtol=1e-3)


def test_people_are_learned(people):
    module = _made()
    module.set_traits(_data("x").traits())
    module.log = module.log_dict = lambda *_, **__: None
    batch = people.batch(list(range(12)), _EXACT, None, 1)
    optimiser = module.configure_optimizers()["optimizer"]
    module.train()
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[2]  # from the full margin on


def test_a_wrong_start_is_refused():
    with pytest.raises(
        CheckpointError, match="the backbone of .* is mobilenetv4_small, the network's mobilenetv4_small_050"
    ):
        _made(initial_backbone="recon/networks/weights/landmarks_open.safetensors")
    with pytest.raises(ValueError, match="iresnet18 shares no backbone"):
        IdentityModule(IdentityConfig("iresnet18", 8, 4), 3, initial_backbone="x")
    with pytest.raises(ValueError, match="not both"):
        _made(initial_backbone="x", initial_weights="y")
    with pytest.raises(ValueError, match="margins lie in"):
        IdentityModule(_NETWORK, 3, margin_rad=4.0)
    with pytest.raises(ValueError, match="margin_warm_up must be at least 0 steps, got -1"):
        IdentityModule(_NETWORK, 3, margin_warm_up=-1)
    with pytest.raises(ValueError, match="held_out.count must be at least 16.*got 15"):
        IdentityData("x", _DRAWING, held_out=HeldOutConfig(count=15))
    with pytest.raises(ValueError, match="workers must be at least 0, got -1"):
        IdentityData("x", _DRAWING, workers=-1)
    with pytest.raises(ValueError, match="at least two are needed, got 1"):
        IdentityModule(_NETWORK, 1)


def test_the_network_of_the_perceptual_loss_by_config(tmp_path):
    assert open_embedding(None, wanted=False) is None
    path = save_identity_network(tmp_path / "n.safetensors", build_identity_network(_NETWORK), {})
    chosen = open_embedding(EmbeddingConfig(weights=str(path)), wanted=True)
    assert isinstance(chosen, ArcFace) and isinstance(chosen.network, IdentityNetwork)
    assert not any(parameter.requires_grad for parameter in chosen.parameters())
    with pytest.raises(WeightsMissing, match="iresnet100 needs weights: set embedding.weights to backbone.pth"):
        open_embedding(EmbeddingConfig("iresnet100"), wanted=True)
    with pytest.raises(ValueError, match="embedding.network must be one of open, iresnet18.*got 'facenet'"):
        open_embedding(EmbeddingConfig("facenet"), wanted=True)
