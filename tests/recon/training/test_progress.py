"""What a run shows: pictures a second, waiting, panels in TensorBoard; and half precision."""

import itertools

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_module import data, pytestmark, trainer  # noqa: F401
from training_parts import SIZE, tiny_module

from recon.networks.checkpoint import load_regressor
from recon.training import progress
from recon.training.progress import BestWeights, Panels, Throughput
from recon.training.saving import LastCheckpoint


def test_throughput_counts_pictures_of_all_processes_and_waiting(tmp_path, monkeypatch):
    clock = itertools.count(0.0, 1.0)  # every look at the clock is a second later
    run, module, callback = trainer(tmp_path, 1, callbacks=[]), tiny_module(), Throughput(every=2)
    monkeypatch.setattr(type(run), "world_size", 2)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    logged = []
    module.log = lambda name, value, **options: logged.append((name, value))
    callback.on_train_start(run, module)
    for index in range(4):  # a second of waiting and one of work each
        callback.on_train_batch_start(run, module, None, index)
        callback.on_train_batch_end(run, module, None, range(6), index)
    assert [name for name, _ in logged] == ["images_per_second", "waiting"] * 2
    values = dict(logged)
    assert values["images_per_second"] == pytest.approx(2 * 2 * 6 / 4.0)
    assert values["waiting"] == pytest.approx(0.5)


def test_scalars_and_pictures_reach_tensorboard(tmp_path):
    logger = TensorBoardLogger(tmp_path, name=None)
    run = trainer(
        tmp_path, 2, logger=logger, limit_val_batches=1.0, val_check_interval=2, log_every_n_steps=1,
        callbacks=[Throughput(1), Panels(2), BestWeights()],
    )  # fmt: skip
    run.fit(tiny_module(), data())
    events = EventAccumulator(logger.log_dir).Reload()
    tags = events.Tags()
    assert {"loss/landmark", "loss/total", "val/nme", "images_per_second", "waiting"} <= set(tags["scalars"])
    assert tags["images"] == ["faces"]
    picture = events.Images("faces")[0]
    assert (picture.width, picture.height) == (2 * SIZE, 5 * SIZE)


def test_a_step_in_half_precision_is_finite_and_keeps_geometry_whole(tmp_path):
    module = tiny_module()
    seen = []
    module.regressor.pool.register_forward_hook(lambda part, given, found: seen.append(given[0].dtype))
    module.regressor.head.register_forward_hook(lambda part, given, found: seen.append(found.translation_mm.dtype))
    before = module.regressor.head.linear.weight.detach().clone()
    run = trainer(tmp_path, 2, precision="bf16-mixed", callbacks=[ModelCheckpoint(tmp_path, save_last=True)])
    run.fit(module, data())
    after = module.regressor.head.linear.weight.detach()
    assert after.dtype == torch.float32 and bool(torch.isfinite(after).all()) and not torch.equal(after, before)
    assert set(seen[0::2]) == {torch.bfloat16} and set(seen[1::2]) == {torch.float32}


def test_better_weights_are_kept_where_there_is_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"half a file of a killed run")
    run = trainer(tmp_path, 1, limit_val_batches=1.0, val_check_interval=1, callbacks=[BestWeights()])
    run.fit(tiny_module(), data())
    _, header = load_regressor(tmp_path / "best.safetensors")
    assert header["commit"] == "unknown"
    assert not list(tmp_path.glob(".*.part"))


def test_a_checkpoint_knows_the_validation_of_its_step(tmp_path):
    """A run that is killed after it would otherwise take the next validation for the best so far."""
    best, last = BestWeights(), LastCheckpoint(1, str(tmp_path))
    steps = {"limit_val_batches": 1.0, "val_check_interval": 2, "callbacks": [best, last]}
    trainer(tmp_path, 1, **steps).fit(tiny_module(), data())
    assert _best_in(tmp_path / "last.ckpt") == float("inf")
    (tmp_path / "last.ckpt").unlink()
    trainer(tmp_path, 2, **steps).fit(tiny_module(), data())
    assert _best_in(tmp_path / "last.ckpt") == best.best < float("inf")


def _best_in(checkpoint):
    return torch.load(checkpoint, weights_only=True)["callbacks"]["BestWeights"]["best"]
