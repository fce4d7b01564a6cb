"""Data sets made by several processes: faults, deaths and interrupts end the run with one message, and nothing stays behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[4]
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
    pytest.mark.slow,
]


def _start(out, *more):
    command = [
        sys.executable,
        "-m",
        "recon.cli",
        "synthesize",
        "-o",
        str(out),
        "--workers",
        "2",
        "--size",
        "40x48",
        *more,
    ]
    return subprocess.Popen(
        command,
        cwd=_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A run of the tests in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture
def start():
    started = []

    def begin(*arguments):
        started.append(_start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _workers(parent):
    """Process numbers of the workers of a run."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            after_name = (place / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent and b"spawn_main" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


def _once_at_work(process, out):
    """Workers, as soon as a first block is done."""
    limit = time.monotonic() + 120.0
    while not list(out.glob(".blocks/*.done")):
        assert time.monotonic() < limit and process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return _workers(process.pid)


def _is_alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _all_end(numbers, seconds):
    limit = time.monotonic() + seconds
    while any(_is_alive(number) for number in numbers):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def test_a_fault_of_the_run_is_said_once_before_work_starts(tmp_path, start):
    (tmp_path / "maps").mkdir()
    more = ["--count", "4", "--block", "1", "--set", f"environment_folder={tmp_path / 'maps'}"]
    process = start(tmp_path / "out", *more)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "holds no environment maps" in text and text.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_dead_worker_ends_the_run_with_one_message(tmp_path, start):
    out = tmp_path / "out"
    process = start(out, "--count", "4000", "--block", "4")
    workers = _once_at_work(process, out)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "most likely because memory ran out" in text and "the same command goes on" in text
    assert "blocks of 1000 are finished" in text and text.count("\n") == 1 and "Traceback" not in text
    assert _all_end(workers, 10.0)
    assert not (out / ".facerecon").exists()


def test_ctrl_c_says_what_is_kept(tmp_path, start):
    out = tmp_path / "out"
    process = start(out, "--count", "4000", "--block", "4")
    workers = _once_at_work(process, out)
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in text
    assert _all_end(workers, 10.0)
    assert not (out / ".facerecon").exists()


def test_workers_end_with_a_run_that_was_killed(tmp_path, start):
    out = tmp_path / "out"
    process = start(out, "--count", "4000", "--block", "4")
    workers = _once_at_work(process, out)
    process.kill()
    process.wait(timeout=10)
    assert len(workers) == 2 and _all_end(workers, 20.0)
