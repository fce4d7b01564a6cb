"""How a training that ends early says so: one line that names what is kept and how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from lightning.pytorch.utilities.exceptions import SIGTERMException

from recon.io.faults import complain, reason, write_log

GO_ON = (
    "the last checkpoint is whole: go on with --ckpt_path and the newest last.ckpt in the run's folder, if there is one"
)


def run_training(train: Callable[[], object], command: Sequence[str]) -> int:
    """Run a training and say on the standard error how it ended.

    Returns 0, 1 for one that failed, 130 when interrupted, 143 when terminated.

    Args:
        train: the training; its own exits, as for wrong usage, pass through.
        command: for the log file of errors that are nobody's fault but this project's.
    """
    try:
        train()
    except KeyboardInterrupt:
        return complain("train.py", f"interrupted; {GO_ON}", 130)
    except SIGTERMException:  # an exit with code 0, as if all was done
        return complain("train.py", f"ended by SIGTERM; {GO_ON}", 143)
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):  # how Lightning ends after Ctrl-C
            return complain("train.py", f"interrupted; {GO_ON}", 130)
        raise
    except Exception as error:  # the last boundary: people get a line, developers a log
        if _is_dead_worker(error):
            return complain(
                "train.py",
                "a process that makes batches was ended from outside, most likely because memory ran out: take fewer "
                f"data.init_args.workers (of landmarks: data.init_args.crops.workers); {GO_ON}",
                1,
            )
        ours = type(error).__module__.partition(".")[0] in ("recon", "bfm", "losses", "train")
        if ours or isinstance(error, OSError):
            return complain("train.py", reason(error), 1)
        log = write_log(error, shlex.join(command))
        where = f"the details are in {log}" if log is not None else "no log file could be written"
        return complain("train.py", f"{reason(error)}; {where}", 1)
    return 0


def _is_dead_worker(error: Exception) -> bool:
    """Whether a worker of torch's loader died; torch says so in the message only."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")
