"""Trainings that end early say so in one line."""

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from recon.io.files import OutputError
from recon.training.averaged import TrainingDiverged
from recon.training.ending import run_training


def _raises(error):
    def train():
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the last checkpoint is whole: go on with --ckpt_path"),
        (SIGTERMException(), 143, "ended by SIGTERM; the last checkpoint is whole"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), 1, "most likely because memory ran out"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), 1, "fewer data.init_args.workers"),
        (OutputError("cannot write last.ckpt: No space left on device"), 1, "cannot write last.ckpt: No space left"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (TrainingDiverged("the loss is nan"), 1, "train.py: the loss is nan"),
        (ZeroDivisionError("odd"), 1, "ZeroDivisionError: odd; the details are in "),
    ],
)
def test_each_end_has_its_line(error, code, text, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_training(_raises(error), ["python", "train.py"]) == code
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1 and "Traceback" not in said
    logs = list(tmp_path.glob("*.log"))
    assert len(logs) == (1 if isinstance(error, ZeroDivisionError) else 0)


def test_exits_of_the_command_line_pass_through():
    with pytest.raises(SystemExit) as usage:
        run_training(_raises(SystemExit(2)), [])
    assert usage.value.code == 2
    assert run_training(lambda: None, []) == 0


def test_the_exit_that_lightning_makes_of_ctrl_c(capsys):
    def train():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904  (as Lightning does)

    assert run_training(train, []) == 130
    assert "interrupted" in capsys.readouterr().err
