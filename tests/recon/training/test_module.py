"""The training module: exact resume, averaged weights, divergence, what is saved."""

import dataclasses

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file
from training_parts import CLEAN, DIRECT, SIZE, sampled, tiny_module

from losses.total import LossWeights
from recon.networks.arcface import WeightsMissing
from recon.networks.checkpoint import load_regressor
from recon.training import module as module_file
from recon.training.augment import Augmentation
from recon.training.averaged import TrainingDiverged
from recon.training.embedding import EmbeddingConfig
from recon.training.held_out import HeldOutConfig
from recon.training.module import RegressorModule
from recon.training.progress import BestWeights, face_panel
from recon.training.run_config import RunConfig
from recon.training.schedule import OptimiserConfig, make_optimiser
from recon.training.stream import StreamPlan
from recon.training.synthetic_data import SyntheticData
from recon.training.validation import validate_batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory.*exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*IterableDataset.*"),
    pytest.mark.filterwarnings("ignore:.*`weights_only`.*"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]


def data(**changes):
    plan = StreamPlan(**{"batch_size": 2, **changes})
    return SyntheticData(
        CLEAN, size=SIZE, plan=plan, held_out=HeldOutConfig(count=2), maps=False, augmentation=Augmentation()
    )


def trainer(folder, steps, **changes):
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "max_steps": steps,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "check_val_every_n_epoch": None,
        "gradient_clip_val": 1.0,
        "default_root_dir": folder,
        "callbacks": [ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=1)],
    }
    return lightning.Trainer(**{**settings, **changes})


def test_four_steps_are_two_and_two(tmp_path):
    # A Swin with stochastic depth draws random numbers in every step.
    options = {
        "embed_dim": 8,
        "depths": (1, 1, 2, 1),
        "num_heads": (1, 1, 2, 2),
        "window_size": 2,
        "drop_path_rate": 0.3,
    }
    whole = tiny_module(backbone_options=options)
    torch.manual_seed(7)
    trainer(tmp_path / "a", 4).fit(whole, data(replay=2, window=4))
    torch.manual_seed(7)
    first = tiny_module(backbone_options=options)
    torch.manual_seed(7)
    trainer(tmp_path / "b", 2).fit(first, data(replay=2, window=4))
    second = tiny_module(backbone_options=options, seed=99)  # everything must come from the file
    trainer(tmp_path / "c", 4).fit(
        second, data(replay=2, window=4), ckpt_path=tmp_path / "b" / "last.ckpt", weights_only=False
    )
    assert whole.batches_seen == second.batches_seen == 4
    for (name, wanted), found in zip(whole.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(wanted, found), name
    assert not torch.equal(first.regressor.head.linear.weight, whole.regressor.head.linear.weight)


def test_the_average_trails_and_is_what_validation_sees(tmp_path):
    module = tiny_module()
    before = module.averaged.head.linear.weight.detach().clone()
    trainer(tmp_path, 3).fit(module, data())
    now, kept = module.regressor.head.linear.weight.detach(), module.averaged.head.linear.weight
    assert 0.0 < float((kept - before).norm()) < float((now - before).norm())
    assert not any(p.requires_grad for p in module.averaged.parameters())
    module.average = 0.0
    module.update_average()
    torch.testing.assert_close(module.averaged.head.linear.weight.data, now)


def test_validation_reports_and_the_best_weights_are_kept(tmp_path):
    module = tiny_module()
    run = trainer(tmp_path, 2, limit_val_batches=1.0, val_check_interval=1, callbacks=[BestWeights()])
    run.fit(module, data())
    names = {name for name in run.callback_metrics if name.startswith("val/")}
    assert {"val/nme", "val/pose_deg", "val/depth_mm", "val/relief_mm", "val/mean_head_relief_mm"} <= names
    best = tmp_path / "best.safetensors"
    regressor, header = load_regressor(best, module.regressor.blocks)
    assert "val/nme" in header["metrics"] and header["step"] in ("1", "2") and header["commit"]
    assert regressor.config == module.regressor.config


def test_a_loss_that_is_nan_stops_the_run_and_saves_the_batch(tmp_path, open_model):
    module = tiny_module()
    with torch.no_grad():
        module.regressor.head.linear.bias.fill_(float("nan"))

    with pytest.raises(
        TrainingDiverged, match=r"the loss is nan in step 0 \(the network's answer is not finite\); the batch was saved"
    ):
        trainer(tmp_path, 2, callbacks=[]).fit(module, data())
    saved = load_file(next(tmp_path.rglob("diverged_step0_rank0.safetensors")))
    assert saved["image"].shape == (2, 3, SIZE, SIZE) and "rotation" in saved


def test_checkpoints_of_another_face_model_are_refused():
    module = tiny_module()
    state: dict = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(state)
    state["face_blocks"] = {**state["face_blocks"], "n_identity": 3}
    with pytest.raises(ValueError, match="was trained for the face model .*n_identity=3"):
        module.on_load_checkpoint(state)
    sketch = dict(module.regressor.blocks.to_dict()["sketch"])
    sketch["identity"] = sketch["identity"][::-1]
    state["face_blocks"] = {**module.regressor.blocks.to_dict(), "sketch": sketch}
    with pytest.raises(ValueError, match=r"another version of the face model .*identity \(by"):
        module.on_load_checkpoint(state)


def test_checkpoints_of_another_camera_are_refused_and_old_ones_are_perspective():
    module = tiny_module()
    state: dict = {}
    state["state_dict"] = module.state_dict()
    module.on_save_checkpoint(state)
    with pytest.raises(ValueError, match="was trained for the camera 'perspective', the config asks for 'weak_persp"):
        tiny_module(camera="weak_perspective").on_load_checkpoint(state)
    del state["camera"]
    module.on_load_checkpoint(state)
    with pytest.raises(ValueError, match="was trained for the camera 'perspective'"):
        tiny_module(camera="weak_perspective").on_load_checkpoint(state)


def test_the_face_model_is_not_in_the_checkpoint():
    keys = tiny_module().state_dict()
    assert all(key.startswith(("regressor.", "averaged.")) for key in keys)


def test_compiling_is_off_unless_asked_for_and_spares_the_average(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(module_file, "compile_network", lambda network, device: seen.append((network, device)))
    trainer(tmp_path, 1).fit(tiny_module(), data())
    assert not seen
    module = tiny_module(run=RunConfig(compile=True))
    trainer(tmp_path, 1).fit(module, data())
    assert [(network is module.regressor, device) for network, device in seen] == [(True, "cpu")]


def test_pictures_can_be_left_to_every_third_step():
    weights = dataclasses.replace(DIRECT, photometric=0.5)
    module = tiny_module(weights=weights, run=RunConfig(picture_every=3))
    seen = []
    for step in range(6):
        module.batches_seen = step
        seen.append(module._weights_now().photometric)
    assert seen == [1.5, 0.0, 0.0, 1.5, 0.0, 0.0]


def test_the_perceptual_loss_works_out_of_the_box(open_model):
    """By the identity network of the package: it has a gradient, and its own weights are not learnt."""
    module = tiny_module(weights=dataclasses.replace(DIRECT, perceptual=0.3))
    logged: dict[str, float] = {}
    module.log, module.log_dict = lambda *a, **k: None, lambda terms, **k: logged.update(terms)
    module.training_step(sampled(open_model), 0).backward()
    assert 0.0 < float(logged["loss/perceptual"]) < 2.0
    embedding = module.loss_networks().embedding
    assert embedding is not None and all(p.grad is None for p in embedding.parameters())
    without = tiny_module()
    without.log = without.log_dict = lambda *a, **k: None
    without.training_step(sampled(open_model), 0).backward()
    with_it, plain = (dict(m.regressor.named_parameters()) for m in (module, without))
    assert any(not torch.allclose(with_it[name].grad, plain[name].grad, rtol=1e-3) for name in plain)


def test_every_trainable_parameter_gets_a_gradient(open_model):
    module = tiny_module(weights=dataclasses.replace(DIRECT, photometric=1.0, depth=0.1, normals=0.1, shape=0.01))
    batch = sampled(open_model)
    module.log = module.log_dict = lambda *a, **k: None
    module.training_step(batch, 0).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in module.regressor.parameters())


def test_panels_show_what_they_say(open_model):
    panel = face_panel(tiny_module().eval(), sampled(open_model, 3))
    assert panel.shape == (3, 5 * SIZE, 3 * SIZE)
    assert float(panel.min()) >= 0.0 and float(panel.max()) <= 1.0


def test_bad_settings_are_named_before_work():
    with pytest.raises(ValueError, match=r"decay of averaged weights must lie in \[0, 1\), got 1.0"):
        tiny_module(run=RunConfig(average=1.0))
    with pytest.raises(ValueError, match="picture_every must be at least 1, got 0"):
        RunConfig(picture_every=0)
    with pytest.raises(WeightsMissing, match="set embedding.weights to backbone.pth"):
        tiny_module(weights=LossWeights(), embedding=EmbeddingConfig("iresnet100"))
    with pytest.raises(ValueError, match="learning rates must be positive, got rate 0"):
        OptimiserConfig(rate=0.0)
    with pytest.raises(ValueError, match="held_out.count must be at least 1, got 0"):
        HeldOutConfig(count=0)
    assert issubclass(TrainingDiverged, RuntimeError) and RegressorModule


def test_schedules():
    paper = OptimiserConfig(warm_up=0, step_every=50)
    assert [paper.factor(s) for s in (0, 49, 50, 149)] == pytest.approx([1.0, 1.0, 0.1, 0.01])
    cosine = OptimiserConfig(warm_up=10, schedule="cosine", total=100)
    assert cosine.factor(0) == pytest.approx(0.1, rel=1e-2)
    assert cosine.factor(100) == pytest.approx(0.01) and cosine.factor(50) == pytest.approx(0.505)


def test_a_young_average_follows_quickly():
    module = tiny_module(run=RunConfig(average=0.999))
    with torch.no_grad():
        module.regressor.head.linear.bias.fill_(1.0)
        module.averaged.head.linear.bias.fill_(0.0)
    module.batches_seen = 0
    module.update_average()
    torch.testing.assert_close(
        module.averaged.head.linear.bias.data, torch.full_like(module.averaged.head.linear.bias, 0.9)
    )


def test_a_nan_in_one_term_is_named(tmp_path, open_model):
    batch = sampled(open_model)
    spoiled = dataclasses.replace(batch, identity=torch.full_like(batch.identity, float("nan")))
    module = tiny_module()
    module.run_folder = lambda: tmp_path
    with pytest.raises(TrainingDiverged, match=r"the loss is nan in step 0 \(.*identity nan.*the batch was saved to"):
        module.training_step(spoiled, 0)
    assert bool(load_file(next(tmp_path.glob("diverged*")))["identity"].isnan().all())


def test_head_and_backbone_have_rates_of_their_own_and_biases_no_decay():
    module = tiny_module()
    config = OptimiserConfig(kind="adamw", rate=1e-3, weight_decay=0.1, head_factor=5.0)
    names = {id(p): name for name, p in module.regressor.named_parameters()}
    seen = set()
    for group in make_optimiser(module.regressor, config).param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.add(name)
            assert group["lr"] == pytest.approx(1e-3 if name.startswith("backbone.") else 5e-3), name
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0), name
    assert seen == set(names.values())


def test_validation_looks_at_the_visible_face_only(open_model):
    batch = sampled(open_model)
    module = tiny_module()
    depth_mm = torch.where(batch.face_mask, batch.depth_mm, batch.depth_mm + 500.0)
    spoiled = dataclasses.replace(batch, depth_mm=depth_mm)
    errors = validate_batch(module.decoder, batch.truth(), spoiled)
    assert float(errors["depth_mm"].max()) < 0.1 and float(errors["nme"].max()) < 0.01
    assert float(errors["mean_head_relief_mm"].min()) > 0.5


def test_only_better_weights_replace_the_best(tmp_path, monkeypatch):
    module, kept = tiny_module(), BestWeights()
    module.run_folder = lambda: tmp_path
    run = trainer(tmp_path, 1, callbacks=[])
    for step, value in ((1, 9.0), (2, 7.0), (3, 8.0)):
        module.batches_seen = step
        found = {"val/nme": torch.tensor(value), "loss/total": torch.tensor(1.0)}
        monkeypatch.setattr(lightning.Trainer, "callback_metrics", found)
        kept.on_validation_end(run, module)
    assert kept.best == 7.0
    _, header = load_regressor(tmp_path / "best.safetensors")
    assert header["step"] == "2" and header["metrics"] == '{"val/nme": 7.0}'
