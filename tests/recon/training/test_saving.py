"""Training checkpoints are read as tensors and plain values, whatever they ask for."""

import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from recon.networks.network_file import CheckpointError
from recon.training.averaged import AveragedModule
from recon.training.saving import WholeCheckpoints

GOOD = {"state_dict": {"a": torch.ones(2)}, "global_step": 3, "pytorch-lightning_version": "2.5"}


class _Code:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_what_was_saved_comes_back(tmp_path):
    WholeCheckpoints().save_checkpoint(GOOD, tmp_path / "last.ckpt")
    found = WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(found["state_dict"]["a"], torch.ones(2)) and found["global_step"] == 3


def test_equal_checkpoints_are_equal_files(tmp_path):
    """A run that went on from a file holds texts of that file, equal to its own and yet other objects."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    own = {**GOOD, "state_dict": network.state_dict(), "states": [{"step": 1.0}, {"step": 2.0}]}
    read = {**own, "states": [{"step": 1.0}, {"".join(("st", "ep")): 2.0}]}
    for name, content in (("own.ckpt", own), ("read.ckpt", read)):
        WholeCheckpoints().save_checkpoint(content, tmp_path / name)
    assert (tmp_path / "own.ckpt").read_bytes() == (tmp_path / "read.ckpt").read_bytes()
    found = WholeCheckpoints().load_checkpoint(tmp_path / "read.ckpt")
    assert found["state_dict"]._metadata == network.state_dict()._metadata
    assert found["states"] == own["states"] and list(found) == list(own)


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_code_is_not_run(tmp_path, weights_only):
    torch.save({**GOOD, "code": _Code(tmp_path / "ran")}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read.*it could run code") as caught:
        WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt", weights_only=weights_only)
    assert not (tmp_path / "ran").exists()
    assert "weights_only" not in str(caught.value), "torch advises to run the code; we do not"


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02]."])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt")


def test_other_files_are_no_checkpoints(tmp_path):
    torch.save([1], tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="it lacks global_step, pytorch-lightning_version, state_dict"):
        WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        WholeCheckpoints().load_checkpoint(tmp_path / "none.ckpt")


def test_a_runs_folder_is_known_without_the_other_processes(tmp_path):
    """One of several processes asks alone, to write weights: whatever waits for the others then hangs for ever."""

    class OneOfTwo:
        logger = CSVLogger(tmp_path, name=None, version=3)
        default_root_dir = str(tmp_path / "elsewhere")

        @property
        def log_dir(self):
            raise AssertionError("Lightning asks all processes for it")

    module = AveragedModule(0.0)
    assert module.run_folder() == Path(".")
    module._trainer = OneOfTwo()
    assert module.run_folder() == tmp_path / "version_3"
    module._trainer.logger = None
    assert module.run_folder() == tmp_path / "elsewhere"
