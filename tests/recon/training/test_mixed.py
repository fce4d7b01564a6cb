"""Mixed training: the critic and the regressor in turn."""

import dataclasses

import lightning
import pytest
import torch
from test_module import data, pytestmark, trainer  # noqa: F401
from training_parts import DIRECT, SIZE, sampled, tiny_module

from recon.training.batch import TrainingBatch
from recon.training.mixed import CriticConfig, MixedBatch, MixedModule
from recon.training.mixed_data import MixedData
from recon.training.photo_data import PhotoData
from recon.training.photos import PhotoSetError

WEIGHTS = dataclasses.replace(DIRECT, adversarial=0.01, shape=0.01)
SMALL = CriticConfig(points=40, width=8)


def photos_only(batch):
    return TrainingBatch(batch.image, batch.intrinsics, batch.landmarks68_px)


def one_step(module, *batches):
    """A step of both optimisers on each batch, without a loader."""

    class One(lightning.LightningDataModule):
        def train_dataloader(self):
            return torch.utils.data.DataLoader(list(batches), batch_size=None)

        def transfer_batch_to_device(self, batch, device, dataloader_idx):
            return batch.to(device)

    run = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    run.fit(module, One())
    return run


def test_a_step_moves_both_and_logs_every_term(open_model):
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=SMALL)
    before = {name: p.clone() for name, p in module.named_parameters()}
    run = one_step(module, MixedBatch(sampled(open_model), photos_only(sampled(open_model, first=7))))
    moved = {name.split(".")[0] for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"regressor", "averaged", "critic"}
    names = set(run.callback_metrics)
    assert {"labelled/landmark", "labelled/shape", "labelled/adversarial", "photos/landmark", "loss/critic"} <= names
    assert "photos/shape" not in names and "photos/adversarial" not in names
    assert all(p.requires_grad for p in module.critic.parameters())


def test_the_critic_learns_to_tell_real_from_fake(open_model):
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=dataclasses.replace(SMALL, strength=0.01))
    batch = sampled(open_model, 4)
    optimiser = torch.optim.Adam(module.critic.parameters(), lr=1e-2)
    values = []
    for _ in range(20):
        loss = module.critic_step_loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0] - 0.01
    assert all(p.grad is None for p in module.regressor.parameters())


def test_unlabelled_faces_cannot_teach_the_critic(open_model):
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=SMALL)
    with pytest.raises(ValueError, match="critic needs labelled faces"):
        module.critic_step_loss(photos_only(sampled(open_model)))


def test_mixed_data_without_photos_and_with_wrong_sizes(tmp_path):
    mixed = MixedData(data(), size=SIZE)
    batch = next(iter(mixed.train_dataloader()))
    assert isinstance(batch, MixedBatch) and batch.photos is None and len(batch) == 2
    with pytest.raises(ValueError, match=r"must have one size, got \[64, 224\]"):
        MixedData(data(), size=224)
    with pytest.raises(PhotoSetError, match="no prepared photos in"):
        PhotoData(str(tmp_path))


def test_old_gradients_are_dropped_clipped_and_the_schedule_moves(open_model):
    batch = MixedBatch(sampled(open_model))
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=dataclasses.replace(SMALL, every=9), clip=1e-3)
    module.batches_seen = 1  # no step of the critic
    backward, before = module.manual_backward, []

    def watched(loss):
        before.append(all(p.grad is None for p in module.regressor.parameters()))
        backward(loss)

    module.manual_backward = watched
    run = one_step(module, batch, batch)
    assert before == [True, True], "the second step starts without the gradients of the first"
    norm = torch.stack([p.grad.norm() for p in module.regressor.parameters() if p.grad is not None]).norm()
    assert 0.9e-3 <= float(norm) <= 1.001e-3
    assert all(p.grad is None for p in module.critic.parameters()), "the regressor's loss is not the critic's"
    assert run.lr_scheduler_configs[0].scheduler.last_epoch == 2


def test_shapes_of_the_prior_are_not_the_regressors(open_model):
    torch.manual_seed(4)
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=dataclasses.replace(SMALL, real="prior", strength=0.0))
    loss = module.critic_step_loss(photos_only(sampled(open_model)))
    assert abs(float(loss.detach())) > 1e-4
