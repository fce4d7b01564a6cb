"""kill -9 at random moments: the next run finishes, nothing of the user's is touched, all outputs equal an undisturbed run's.

    python benchmarks/kill.py --jobs reconstruct,synthesize,train --runs 50

Each trial starts a job in a new folder with files of a user's in it, kills its whole process group after a random share of the
time that an undisturbed run takes, runs the same command again to its end, and compares every file. Exit code 0 if all agree.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _report import print_header, print_table

_ROOT = Path(__file__).parents[1]
_LONGEST_S = 900.0
_FAST = ["--quality", "fast", "--texture-size", "64"]


@dataclasses.dataclass(frozen=True)
class Job:
    """Something that runs for a while and writes files.

    Attributes:
        name: for the table.
        prepare: puts inputs and files of the user's into a folder.
        command: arguments of Python, in that folder; it may differ when there is something to go on from.
        result: hashes of all that counts, by name.
    """

    name: str
    prepare: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    result: Callable[[Path], dict[str, str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default=",".join(JOBS), metavar="LIST")
    parser.add_argument("--runs", type=int, default=50, help="kills of each job [50]")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = arguments.jobs.split(",")
    if unknown := [name for name in names if name not in JOBS]:
        parser.error(f"unknown job {unknown[0]!r}; known: {', '.join(JOBS)}")
    print_header()
    rows, faults = [], []
    for name in names:
        row, found = _trials(JOBS[name], arguments.runs, arguments.seed)
        rows.append(row)
        faults += found
        columns = ("job", "kills", "ended before", "equal", "undisturbed s", "files")
    print_table(f"kill -9 at random moments, seed {arguments.seed}", columns, rows)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _trials(job: Job, runs: int, seed: int) -> tuple[list[object], list[str]]:
    rng = random.Random(f"{seed} {job.name}")
    with tempfile.TemporaryDirectory(prefix="kill-") as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        job.prepare(whole)
        started = time.perf_counter()
        _run(job, whole, None)
        seconds = time.perf_counter() - started
        wanted = job.result(whole)
        faults, early, equal = [], 0, 0
        for k in range(runs):
            folder = Path(place) / f"trial{k}"
            folder.mkdir()
            job.prepare(folder)
            moment = seconds * rng.uniform(0.02, 1.0)
            early += _run(job, folder, moment)
            try:
                _run(job, folder, None)
                found = job.result(folder)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
                faults.append(f"{job.name}, kill {k} after {moment:.2f} s: {error}")
                continue
            other = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
            equal += not other
            if other:
                faults.append(
                    f"{job.name}, kill {k} after {moment:.2f} s: {len(other)} files differ, such as {other[:4]}"
                )
            shutil.rmtree(folder)
    return [job.name, runs, early, equal, f"{seconds:.1f}", len(wanted)], faults


def _run(job: Job, folder: Path, kill_after_s: float | None) -> bool:
    """Run to the end, or kill everything that was started; whether it had ended before.

    Raises:
        CalledProcessError: it ended by itself with another exit code than 0.
    """
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with open(folder.parent / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *job.command(folder)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=_LONGEST_S if kill_after_s is None else kill_after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if kill_after_s is None:
                raise
            return False
    if code != 0:
        said = (folder.parent / "log.txt").read_text(errors="replace")[-500:]
        raise subprocess.CalledProcessError(code, job.name, said, said)
    return True


def _hashes(folder: Path) -> dict[str, str]:
    """All files and empty folders below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not any(path.iterdir()):
            found[name + "/"] = ""
    return found


def _users_files(out: Path) -> None:
    """What a user may have in an output folder."""
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "holiday").mkdir()
    (out / "holiday" / "thesis.txt").write_text("years of work")


def _photos(folder: Path) -> None:
    from PIL import Image
    from skimage.data import astronaut

    photos = folder / "photos"
    photos.mkdir()
    picture = Image.fromarray(astronaut()[:320, 60:380])
    for name, shown in (
        ("a", picture),
        ("b", picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        ("c", picture.rotate(8)),
    ):
        shown.save(photos / f"{name}.png")
    _users_files(folder / "out")


def _of_reconstruction(folder: Path) -> dict[str, str]:
    # The records name the photos' absolute places, which differ from folder to folder.
    found = _hashes(folder / "out")
    return {name: value for name, value in found.items() if not name.endswith((".facerecon.json", "face.json"))} | {
        name: "there" for name in found if name.endswith((".facerecon.json", "face.json"))
    }


def _empty(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


_SYNTHESIS = ["synthesize", "-o", "faces", "--count", "24", "--size", "64", "--block", "4", "--workers", "2"]
_TRAINING = (
    "--data.init_args.workers=0 --data.init_args.batch_size=4 --data.init_args.replay=1 --data.init_args.n_validation=4 "
    "--trainer.enable_progress_bar=false --trainer.logger=false --trainer.max_steps=24 --trainer.val_check_interval=6 "
    "--trainer.default_root_dir=run --trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint "
    "--trainer.callbacks.save_last=true --trainer.callbacks.save_top_k=0 --trainer.callbacks.every_n_train_steps=3 "
    "--trainer.callbacks.dirpath=run --trainer.callbacks+=recon.training.progress.BestWeights"
).split()


def _training(folder: Path) -> list[str]:
    last = folder / "run" / "last.ckpt"
    more = [f"--ckpt_path={last}"] if last.exists() else []
    return [str(_ROOT / "train.py"), "fit", "--config", str(_ROOT / "configs" / "smoke.yaml"), *_TRAINING, *more]


def _of_training(folder: Path) -> dict[str, str]:
    """Weights of the last checkpoint and of the best one, tensor by tensor."""
    import torch
    from safetensors.torch import load_file

    state = torch.load(folder / "run" / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    best = {f"best {name}": tensor for name, tensor in load_file(folder / "run" / "best.safetensors").items()}
    found = {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in {**state, **best}.items()}
    return found | {"notes.txt": (folder / "notes.txt").read_text()}


JOBS = {
    job.name: job
    for job in (
        Job(
            "reconstruct",
            _photos,
            lambda folder: ["-m", "recon.cli", "reconstruct", "photos", "-o", "out", *_FAST],
            _of_reconstruction,
        ),
        Job("synthesize", _empty, lambda folder: ["-m", "recon.cli", *_SYNTHESIS], lambda folder: _hashes(folder)),
        Job("train", _empty, _training, _of_training),
    )
}

if __name__ == "__main__":
    sys.exit(main())
