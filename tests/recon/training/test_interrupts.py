"""Runs that end early: by a signal, a full disk, or because nothing improves."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from test_module import data, pytestmark, trainer  # noqa: F401
from training_parts import tiny_module

from recon.io.files import OutputError
from recon.networks.checkpoint import load_regressor
from recon.training.progress import BestWeights
from recon.training.saving import WholeCheckpoints

_ROOT = Path(__file__).parents[3]
_SMALL = (
    "--data.init_args.workers=0 --data.init_args.plan.batch_size=4 --data.init_args.plan.replay=1 "
    "--data.init_args.held_out.count=2 "
    "--trainer.logger=false --trainer.enable_progress_bar=false --trainer.limit_val_batches=0 "
    "--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint --trainer.callbacks.save_last=true "
    "--trainer.callbacks.save_top_k=0 --trainer.callbacks.every_n_train_steps=1"
).split()


def train(folder, steps, *more):
    """``train.py fit`` as a user runs it, on a small smoke config."""
    command = [
        sys.executable,
        str(_ROOT / "train.py"),
        "fit",
        "--config",
        str(_ROOT / "configs" / "smoke.yaml"),
        *_SMALL,
    ]
    options = [f"--trainer.max_steps={steps}", f"--trainer.default_root_dir={folder}", *more]
    options += [f"--trainer.callbacks.dirpath={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with open(folder / "log.txt", "ab") as log:
        # A run of the tests in the background ignores Ctrl-C, and so would its children.
        return subprocess.Popen(
            [*command, *options],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_run_leaves_a_whole_checkpoint_and_goes_on_from_it(tmp_path):
    run = train(tmp_path, 100_000)
    last, started = tmp_path / "last.ckpt", time.monotonic()
    while not last.is_file() and time.monotonic() - started < 240 and run.poll() is None:
        time.sleep(0.05)
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    code = run.wait(timeout=120)
    log = (tmp_path / "log.txt").read_text()
    assert code == 130 and "interrupted; the last checkpoint is whole" in log and "Traceback" not in log, log[-2000:]
    assert not list(tmp_path.glob(".*.part"))
    saved = torch.load(last, weights_only=False)
    step = saved["global_step"]
    assert step == saved["batches_seen"] >= 1
    again = train(tmp_path, step + 2, f"--ckpt_path={last}")
    assert again.wait(timeout=240) == 0, (tmp_path / "log.txt").read_text()[-2000:]
    resumed = torch.load(last, weights_only=False)
    assert resumed["global_step"] == resumed["batches_seen"] == step + 2


class _FullDiskAfter(Callback):
    """From a step on no file may grow beyond 20 kB, which is how a full disk looks to a write."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def file_limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_the_run_and_keeps_the_last_checkpoint(tmp_path, file_limit):
    module = tiny_module()
    run = trainer(tmp_path, 4, plugins=[WholeCheckpoints()])
    run.callbacks.insert(0, _FullDiskAfter(2))
    with pytest.raises(OutputError, match=r"cannot write .*last\.ckpt: File too large"):
        run.fit(module, data())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert torch.load(tmp_path / "last.ckpt", weights_only=False)["batches_seen"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_keeps_the_best_weights(tmp_path, file_limit):
    module = tiny_module()
    best = tmp_path / "best.safetensors"
    module.save_weights(best, {"val/nme": 9.0})
    before = best.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises(OutputError, match="File too large"):
        module.save_weights(best, {"val/nme": 1.0})
    assert best.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == [best.name]


def test_checkpoints_take_no_storage_options(tmp_path):
    with pytest.raises(TypeError, match="take no storage options"):
        WholeCheckpoints().save_checkpoint({}, tmp_path / "a.ckpt", {"key": 1})


def test_a_run_that_no_longer_improves_stops_and_keeps_its_best(tmp_path):
    module = tiny_module()
    module.optimiser = type(module.optimiser)(rate=1e-12, warm_up=0, schedule="constant")  # nothing will improve
    stop = EarlyStopping("val/nme", patience=2, min_delta=0.05)
    run = trainer(tmp_path, 50, limit_val_batches=1.0, val_check_interval=1, callbacks=[stop, BestWeights()])
    run.fit(module, data())
    assert run.global_step == 3 and stop.stopped_epoch is not None
    _, header = load_regressor(tmp_path / "best.safetensors")
    assert int(header["step"]) <= 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_training_command_writes_whole_checkpoints(tmp_path, monkeypatch):
    import train as command

    built = {}
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setattr(command.LightningCLI, "fit", lambda *a, **k: None, raising=False)
    monkeypatch.setattr(command.TrainingCli, "_run_subcommand", lambda self, name: built.update(cli=self))
    command.main(
        ["fit", "--config", str(_ROOT / "configs" / "smoke.yaml"), f"--trainer.default_root_dir={tmp_path}",
         "--trainer.logger=false"]
    )  # fmt: skip
    assert isinstance(built["cli"].trainer.strategy.checkpoint_io, WholeCheckpoints)
    assert any(isinstance(callback, ModelCheckpoint) for callback in built["cli"].trainer.callbacks)
