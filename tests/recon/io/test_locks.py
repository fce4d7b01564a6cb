"""Locks between processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from recon.io.locks import locked, take_lock

_HOLD = """
import sys, time
from pathlib import Path
from recon.io.locks import take_lock
lock = take_lock(Path(sys.argv[1]), wait=True)
print("held", flush=True)
time.sleep(60)
"""
_COUNT = """
import sys, time
from pathlib import Path
from recon.io.locks import locked
counter = Path(sys.argv[2])
for _ in range(200):
    with locked(Path(sys.argv[1])):
        value = int(counter.read_text())
        counter.write_text(str(value + 1))
"""


def test_a_held_lock_is_not_given_again_and_leaves_nothing_behind(tmp_path: Path):
    path = tmp_path / "deep" / "a.lock"
    first = take_lock(path, wait=False)
    assert first is not None
    assert take_lock(path, wait=False) is None
    first.release()
    assert not path.exists()
    second = take_lock(path, wait=False)
    assert second is not None
    second.release()


def test_a_killed_process_lets_go(tmp_path: Path):
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert take_lock(path, wait=False) is None
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(timeout=20)
        lock = take_lock(path, wait=True)
    assert lock is not None
    lock.release()


def test_processes_that_wait_come_one_after_another(tmp_path: Path):
    """The file is removed at every release: a waiter must not hold the removed one while another makes a new one."""
    counter = tmp_path / "n"
    counter.write_text("0")
    code = [sys.executable, "-c", _COUNT, str(tmp_path / "a.lock"), str(counter)]
    processes = [subprocess.Popen(code) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert counter.read_text() == "600"


def test_waiting_ends_when_the_other_lets_go(tmp_path: Path):
    path = tmp_path / "a.lock"
    first = take_lock(path, wait=True)
    assert first is not None
    threading.Timer(0.2, first.release).start()
    started = time.monotonic()
    with locked(path):
        assert time.monotonic() - started > 0.1
    assert not path.exists()
