"""Kills runs at random moments and looks whether the same command, run again, ends with the files of an undisturbed run.

python benchmarks/kill.py --runs 50                    every kind of run is killed 50 times
python benchmarks/kill.py --runs 10 --only synthesis   one kind of run
python benchmarks/kill.py --runs 5 --keep work         leave the folders of the last round there

A round is a chain of up to five kills (SIGKILL to all processes of the run, at random moments while it writes, a tenth of
them while it starts) and a run to the end. After the first kill files of a user are laid beside the run's own, and must be as they were at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from _report import print_header, print_table

_ROOT = Path(__file__).resolve().parents[1]
_KILLS_A_ROUND = 5
_LONGEST_S = 600.0
_FAST = ("--quality", "fast", "--texture-size", "64")
_MINE = {"my notes.txt": b"nothing here is recon's", "sub/thesis.bin": bytes(range(256)), ".facerecon.mine": b"mine"}
"""Files of a user."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes:
        name: in the table.
        command: arguments after the interpreter, for a folder that the run writes to.
        at_work: of the names of files in the folder, whether they show that the run does more than start.
        outside: the user's files lie beside the folder and not in it.
        share: of the kills asked for.
    """

    name: str
    command: Callable[[Path], list[str]]
    at_work: Callable[[str], bool] = lambda name: True
    outside: bool = False
    share: float = 1.0


def _synthesis(*more: str) -> Callable[[Path], list[str]]:
    arguments = ["--count", "96", "--block", "4", "--size", "64", "--workers", "2", *more]
    return lambda out: ["-m", "recon.cli", "synthesize", "-o", str(out), *arguments]


def _training(out: Path) -> list[str]:
    data = {"workers": 0, "plan.batch_size": 4, "plan.replay": 1, "held_out.count": 2}
    trainer = {
        **{"max_steps": 12, "val_check_interval": 3, "logger": "false", "enable_progress_bar": "false"},
        "default_root_dir": out,
        "callbacks": "recon.training.progress.BestWeights",
    }
    last = {"every_n_train_steps": 1, "dirpath": out}
    return [
        *(str(_ROOT / "train.py"), "fit", "--config", str(_ROOT / "configs" / "smoke.yaml")),
        *(f"--data.init_args.{name}={value}" for name, value in data.items()),
        *(f"--trainer.{name}={value}" for name, value in trainer.items()),
        "--trainer.callbacks+=recon.training.saving.LastCheckpoint",
        *(f"--trainer.callbacks.{name}={value}" for name, value in last.items()),
        "--ckpt_path=last",
    ]


def _reconstruction(out: Path) -> list[str]:
    return ["-m", "recon.cli", "reconstruct", str(_photos(out.parent)), "-o", str(out), *_FAST]


def _track(out: Path) -> list[str]:
    return ["-m", "recon.cli", "track", str(_clip(out.parent)), "-o", str(out), *_FAST]


def _clip(folder: Path) -> Path:
    """A video of a drawn person, of 150 frames."""
    import bfm
    from recon.io.write_video import VideoWriter
    from recon.synthesis.moving import MovingConfig, MovingHeads

    path = folder / "clip.mp4"
    if not path.exists():
        with VideoWriter(path, 25.0) as writer:
            for batch in MovingHeads(bfm.load("open"), MovingConfig(), 5)(0):
                writer.write((255.0 * batch.image[0].permute(1, 2, 0)).round().byte().numpy())
    return path


def _photos(folder: Path) -> Path:
    """Pictures of the astronaut that comes with scikit-image: as she is, mirrored, and turned."""
    from PIL import Image
    from skimage.data import astronaut

    photos = folder / "photos"
    if not photos.exists():
        photos.mkdir()
        shown = Image.fromarray(astronaut()[:320, 60:380])
        for name, picture in (
            ("as she is", shown),
            ("mirrored", shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
            ("turned", shown.rotate(8)),
        ):
            picture.save(photos / f"{name}.png")
    return photos


KINDS = (
    Kind("reconstruction of a folder", _reconstruction, lambda name: ".part" in name),
    Kind("synthesis, folder, 2 workers", _synthesis(), lambda name: "block" in name),
    Kind(
        "synthesis, tar shards, 2 workers",
        _synthesis("--layout", "webdataset"),
        lambda name: "block" in name,
        share=0.2,
    ),
    Kind("training, smoke config", _training),
    Kind("tracking of a video", _track, lambda name: name.endswith(".bin") or ".part" in name, share=0.2),
)
"""Add a line to have another kind of run killed."""


@dataclasses.dataclass
class Count:
    """What happened to one kind of run."""

    kills: int = 0
    unfinished: int = 0
    rounds: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)


class Rounds:
    """Rounds of one kind of run, all in one folder, because some files hold its path.

    Args:
        kind: of run.
        work: folder to work in; it is made.
        generator: of the moments.
    """

    def __init__(self, kind: Kind, work: Path, generator: random.Random) -> None:
        self.kind, self.work, self.generator = kind, work, generator
        self.out, self.log = work / "out", work / "log.txt"
        work.mkdir(parents=True)
        self.seconds = 0.0
        self.expected: dict[str, bytes] = {}
        for _ in range(2):  # the first also compiles and builds what is kept for later runs
            shutil.rmtree(self.out, ignore_errors=True)
            with self._started() as process:
                self._until_files(process)
                begun = time.monotonic()
                self._end(process)
            self.seconds = time.monotonic() - begun
            if self.expected and self.expected != contents(self.out):
                raise SystemExit(f"{kind.name}: two undisturbed runs differ: {difference(self.expected, self.out)}")
            self.expected = contents(self.out)

    def round(self, count: Count, most: int) -> None:
        """Kill at most ``most`` times, run to the end, compare."""
        shutil.rmtree(self.out, ignore_errors=True)
        users = self.work / "beside" if self.kind.outside else self.out
        mine: dict[str, bytes] = {}
        code: int | None = None
        for _ in range(min(_KILLS_A_ROUND, most)):
            with self._started() as process:
                self._until_files(process)
                # Later runs of a chain have less to do.
                time.sleep(self.generator.uniform(0.0, self.seconds))
                code = process.poll()
            if code is not None:
                break
            count.kills += 1
            count.unfinished += self.expected.items() - contents(self.out).items() != set()
            # A user lays nothing into a folder that the run has not begun: it would be his, and be refused.
            if not mine and (self.kind.outside or self.expected.keys() & contents(self.out).keys()):
                mine = _lay(users)
        if code is None:
            with self._started() as process:
                code = self._end(process, check=False)
        count.rounds += 1
        inside = {} if self.kind.outside else mine
        fault = difference({**self.expected, **inside}, self.out)
        if self.kind.outside and mine:
            fault += difference(mine, users)
        if code != 0:
            fault = f"exit code {code}: {self.log.read_text(errors='replace')[-300:]}"
        if fault:
            count.faults.append(fault)

    @contextlib.contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        """A run, which is killed with all its processes at the end of the block if it is still there."""
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        with open(self.log, "wb") as log:
            process = subprocess.Popen(
                [sys.executable, *self.kind.command(self.out)],
                cwd=self.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _until_files(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the run writes: before that a kill only costs time. Every tenth is killed at a moment before."""
        before = _names(self.out)
        limit = time.monotonic() + (self.generator.uniform(0.0, 5.0) if self._is_early() else _LONGEST_S)
        while process.poll() is None and time.monotonic() < limit:
            if any(name not in before and self.kind.at_work(name) for name in _names(self.out)):
                break
            time.sleep(0.005)

    def _is_early(self) -> bool:
        return bool(self.expected) and self.generator.random() < 0.1

    def _end(self, process: subprocess.Popen[bytes], check: bool = True) -> int:
        try:
            code = process.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            code = -1
        if check and code != 0:
            raise SystemExit(f"{self.kind.name}: an undisturbed run failed: {self.log.read_text(errors='replace')}")
        return code


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder; those that a run removes meanwhile may be missing."""
    found = {}
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):
            found[str(path.relative_to(folder))] = b"a link" if path.is_symlink() else path.read_bytes()
    return found


def _files(folder: Path) -> list[Path]:
    # pathlib's own walk stumbles over folders that vanish
    return [Path(place) / name for place, _, names in os.walk(folder) for name in names]


def difference(expected: Mapping[str, bytes], folder: Path) -> str:
    """How a folder differs from what it should hold; empty if it does not."""
    found = contents(folder)
    words = []
    for title, names in (
        ("missing", expected.keys() - found.keys()),
        ("left over", found.keys() - expected.keys()),
        ("different", {name for name in expected.keys() & found.keys() if expected[name] != found[name]}),
    ):
        if names:
            words.append(f"{title}: {', '.join(sorted(names)[:4])}{', ...' if len(names) > 4 else ''}")
    return "; ".join(words)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in _files(folder)}


def _lay(folder: Path) -> dict[str, bytes]:
    """Write the user's files."""
    for name, data in _MINE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return dict(_MINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="kills of each kind of run; fewer of variants [50]")
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds with this text in their name")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder and leave it there")
    arguments = parser.parse_args()
    print_header(1)
    rows, faulty = [], 0
    with contextlib.ExitStack() as stack:
        top = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number, kind in enumerate(KINDS):
            if arguments.only not in kind.name:
                continue
            started = time.monotonic()
            rounds = Rounds(kind, top.resolve() / str(number), random.Random(f"{arguments.seed} {kind.name}"))
            count = Count()
            wanted = max(1, round(kind.share * arguments.runs))
            while count.kills < wanted:
                rounds.round(count, wanted - count.kills)
                print(f"{kind.name}: {count.kills} of {wanted} kills, {len(count.faults)} faults", file=sys.stderr)
            for fault in count.faults:
                print(f"{kind.name}: {fault}", flush=True)
            faulty += len(count.faults)
            rows.append(
                (
                    kind.name,
                    count.kills,
                    count.unfinished,
                    count.rounds,
                    count.rounds - len(count.faults),
                    f"{time.monotonic() - started:.0f}",
                )
            )
    print_table(
        "Runs killed at random moments, then run again to the end",
        ("", "kills", "with work left", "runs to the end", "all files as undisturbed", "seconds"),
        rows,
    )
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
