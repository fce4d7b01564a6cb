"""Seeded mutation of every kind of file that is read: no traceback, no crash, no hang, no flood of memory.

    python benchmarks/fuzz.py                       # 10 000 inputs over all kinds
    python benchmarks/fuzz.py --inputs 200 --kinds mat,exr
    python benchmarks/fuzz.py --kinds exr --only 17 --keep bad.exr   # write one input again to look at it

Each kind is read by a process of its own, which is what must survive: readers may use children of theirs that do not. An input
counts as well treated if it is read, or refused by an error of this project that names the file. Exit code 0 if all are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import _fuzz_data
import _fuzz_models
from _fuzz_files import Kind
from _mutations import damaged

KINDS = (*_fuzz_data.KINDS, *_fuzz_models.KINDS)
LIMIT_S = 10.0
LIMIT_BYTES = 2 << 30
_OURS = ("recon", "bfm", "losses")
_GRACE_S = 20.0
_START_S = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="over all kinds [10000]")
    parser.add_argument("--kinds", default=",".join(kind.name for kind in KINDS), metavar="LIST")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="input N of each kind alone")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="with --only: copy the input there")
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "FIRST", "LAST"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    by_name = {kind.name: kind for kind in KINDS}
    if arguments.worker:
        name, first, last = arguments.worker
        return _worker(by_name[name], int(first), int(last), arguments.seed)
    names = [name for name in arguments.kinds.split(",") if name]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        parser.error(f"unknown kind {unknown[0]!r}; known: {', '.join(by_name)}")
    if arguments.only is not None and arguments.keep is not None:
        with tempfile.TemporaryDirectory() as folder:
            arguments.keep.write_bytes(_input(by_name[names[0]], arguments.only, arguments.seed, Path(folder)))
    return _run([by_name[name] for name in names], arguments.inputs, arguments.seed, arguments.only)


def _run(kinds: list[Kind], n_inputs: int, seed: int, only: int | None) -> int:
    from _report import print_header, print_table

    print_header()
    share, rest = divmod(n_inputs, len(kinds))
    rows: list[list[object]] = []
    faults: list[str] = []
    total: Counter[str] = Counter()
    for k, kind in enumerate(kinds):
        first, last = (0, share + (k < rest)) if only is None else (only, only + 1)
        started = time.perf_counter()
        counts, peak_bytes, found = _kind(kind, first, last, seed)
        faults += found
        total += counts
        rows.append(
            [
                kind.name,
                *(counts[word] for word in ("read", "refused", "traceback", "crash", "hang")),
                f"{peak_bytes / 2**20:.0f}",
                f"{time.perf_counter() - started:.0f}",
            ]
        )
        if peak_bytes > LIMIT_BYTES:
            faults.append(f"{kind.name}: {peak_bytes / 2**30:.1f} GB of memory")
    columns = ("kind", "read", "refused", "traceback", "crash", "hang", "peak MB", "s")
    rows.append(["all", *(total[word] for word in columns[1:6]), "", ""])
    print_table(f"{sum(total.values())} damaged files, seed {seed}", columns, rows)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _kind(kind: Kind, first: int, last: int, seed: int) -> tuple[Counter[str], int, list[str]]:
    """Counts, peak memory in bytes and faults of the inputs ``first`` to ``last - 1``."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    peak = 0
    at = first
    while at < last:
        command = [sys.executable, __file__, "--seed", str(seed), "--worker", kind.name, str(at), str(last)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert worker.stdout is not None
        watch = _Watch(worker)
        for line in worker.stdout:
            watch.seen()
            result = json.loads(line)
            peak = max(peak, result["peak"])
            if "n" not in result:
                continue
            counts[result["word"]] += 1
            at = result["n"] + 1
            if result["word"] in ("traceback", "hang"):
                faults.append(f"{kind.name} {result['n']}: {result['word']}: {result['said']}")
        watch.end()
        worker.wait()
        if at < last:  # the worker ended in the middle
            if worker.returncode == 1:
                raise SystemExit(f"the benchmark cannot read its own whole files of the kind {kind.name}, see above")
            word = "hang" if worker.returncode == -signal.SIGKILL else "crash"
            counts[word] += 1
            faults.append(f"{kind.name} {at}: {word}, exit code {worker.returncode}")
            at += 1
    return counts, peak, faults


class _Watch:
    """Kills a process that has said nothing for too long: no signal of its own ends a loop in compiled code."""

    def __init__(self, worker: subprocess.Popen[str]) -> None:
        self._worker = worker
        self._timer = threading.Timer(_START_S, self._kill)
        self._timer.start()

    def seen(self) -> None:
        self._timer.cancel()
        self._timer = threading.Timer(LIMIT_S + _GRACE_S, self._kill)
        self._timer.start()

    def end(self) -> None:
        self._timer.cancel()

    def _kill(self) -> None:
        os.killpg(self._worker.pid, signal.SIGKILL)


def _worker(kind: Kind, first: int, last: int, seed: int) -> int:
    """Read inputs one after another; a line of JSON each on the standard output."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print

    def say(**values: object) -> None:
        usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        out.write(json.dumps({**values, "peak": 1024 * usage}) + "\n")
        out.flush()

    def late(signum: int, frame: object) -> None:
        raise _Late

    signal.signal(signal.SIGALRM, late)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        whole = folder / "whole"
        whole.mkdir()
        samples = kind.make(whole)
        for sample in samples:
            kind.read(sample)  # a whole file must be read, or nothing is tested
        for n in range(first, last):
            place = folder / f"{n}"
            path = _placed(kind, samples, n, seed, place)
            said, word = "", "read"
            started = time.perf_counter()
            try:
                signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
                kind.read(path)
            except _Late:
                word, said = "hang", f"over {LIMIT_S:.0f} s"
            except Exception as error:
                ours = type(error).__module__.partition(".")[0] in _OURS
                word = "refused" if ours else "traceback"
                where = traceback.extract_tb(error.__traceback__)[-1]
                said = f"{type(error).__name__}: {str(error)[:120]} ({Path(where.filename).name}:{where.lineno})"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            if time.perf_counter() - started > LIMIT_S and word != "hang":
                word, said = "hang", f"{time.perf_counter() - started:.0f} s in one call"
            say(n=n, word=word, said=said)
            shutil.rmtree(place)
    finally:
        shutil.rmtree(folder)
    say()
    return 0


class _Late(BaseException):
    """The time of one input is over."""


def _placed(kind: Kind, samples: list[Path], n: int, seed: int, place: Path) -> Path:
    """Input ``n`` as a file, with whole copies of the files that belong to it."""
    rng = random.Random(f"{seed} {kind.name} {n}")
    sample, other = rng.choice(samples), rng.choice(samples)
    shutil.copytree(sample.parent, place)
    path = place / sample.name
    path.write_bytes(damaged(sample.read_bytes(), other.read_bytes(), kind.text, rng))
    return path


def _input(kind: Kind, n: int, seed: int, folder: Path) -> bytes:
    whole = folder / "whole"
    whole.mkdir()
    return _placed(kind, kind.make(whole), n, seed, folder / "input").read_bytes()


if __name__ == "__main__":
    sys.exit(main())
