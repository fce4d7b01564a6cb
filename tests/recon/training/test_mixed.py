"""Mixed training: the critic and the regressor in turn."""

import dataclasses

import lightning
import pytest
import torch
from test_module import data, pytestmark, trainer  # noqa: F401
from training_parts import DIRECT, SIZE, sampled, tiny_module

from losses.total import LossWeights
from recon.networks.discriminator import ShapeDiscriminator
from recon.training.batch import TrainingBatch
from recon.training.mixed import CriticConfig, MixedBatch, MixedModule
from recon.training.mixed_data import MixedData
from recon.training.photo_data import PhotoData
from recon.training.photos import PhotoSetError
from recon.training.terms import loss_terms

WEIGHTS = dataclasses.replace(DIRECT, adversarial=0.01, shape=1.0)
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


class _Linear(ShapeDiscriminator):
    """D(s) = a sum of all coordinates of s: its slope is known by hand."""

    def __init__(self, slope):
        super().__init__(torch.zeros(1, 3), width=1)
        self.slope = torch.nn.Parameter(torch.tensor(slope))

    def forward(self, shapes):
        return self.slope * shapes.flatten(1).sum(dim=1)


def test_the_critics_penalty_is_that_of_the_paper_in_decimetres(open_model):
    """k ||grad D||^p with k = 2, p = 6 (Eq. 14), the slope a of each of 3 N coordinates counted per decimetre."""
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=SMALL)
    module.critic = _Linear(0.1)
    batch = sampled(open_model)
    found = module.regressor(batch.image, batch.intrinsics)
    faces = module.decoder.decode(found, batch.intrinsics)
    v_fake, rows = faces.vertices, module.loss_networks().discriminator_vertices
    v_real = open_model.shape(batch.identity, batch.expression)
    gap_dm = float((v_fake - v_real).detach()[:, rows].flatten(1).sum(dim=1).mean()) / 100.0
    n = 3 * len(rows)

    loss = module.discriminator_step_loss(batch, found.detach())
    assert float(loss.detach()) == pytest.approx(0.1 * gap_dm + 2.0 * (0.1 * n**0.5) ** 6, rel=1e-4)
    loss.backward()
    assert float(module.critic.slope.grad) == pytest.approx(gap_dm + 2.0 * 6.0 * 0.1**5 * n**3, rel=1e-4)

    none = dict.fromkeys(dataclasses.asdict(WEIGHTS), 0.0)
    v_fake.retain_grad()
    only = LossWeights(**{**none, "adversarial": 1.0})
    loss_terms(faces, batch, only, module.loss_networks())["adversarial"].backward(retain_graph=True)
    torch.testing.assert_close(v_fake.grad[:, rows], torch.full((2, len(rows), 3), -0.1 / 100.0 / 2.0))
    v_fake.grad = None
    only = LossWeights(**{**none, "shape": 1.2})
    term = loss_terms(faces, batch, only, module.loss_networks())["shape"]
    assert float(term.detach()) == pytest.approx(
        float((v_fake - v_real).abs().sum(-1).mean().detach()) / 100.0, rel=1e-4
    )


def answer(module, batch):
    with torch.no_grad():
        return module.regressor(batch.image, batch.intrinsics)


def test_the_critic_judges_the_answer_of_the_step(open_model):
    module, calls = tiny_module(MixedModule, weights=WEIGHTS, critic=SMALL), []
    module.regressor.register_forward_hook(lambda part, given, found: calls.append(found))
    one_step(module, MixedBatch(sampled(open_model)))
    assert len(calls) == 1, "the regressor runs once a step"


def test_the_critic_learns_to_tell_real_from_fake(open_model):
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=dataclasses.replace(SMALL, strength=0.01))
    batch = sampled(open_model, 4)
    optimiser = torch.optim.Adam(module.critic.parameters(), lr=1e-2)
    values, found = [], answer(module, batch)
    for _ in range(20):
        loss = module.discriminator_step_loss(batch, found)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0] - 0.01
    assert all(p.grad is None for p in module.regressor.parameters())


def test_unlabelled_faces_cannot_teach_the_critic(open_model):
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=SMALL)
    with pytest.raises(ValueError, match="discriminator needs labelled faces"):
        batch = photos_only(sampled(open_model))
        module.discriminator_step_loss(batch, answer(module, batch))


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
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=dataclasses.replace(SMALL, every=9, regressor_clip=1e-3))
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
    batch = photos_only(sampled(open_model))
    loss = module.discriminator_step_loss(batch, answer(module, batch))
    assert abs(float(loss.detach())) > 1e-4
