"""Temporary files of killed writers go, those of living ones stay; names are given once."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recon.io import parts
from recon.io.parts import open_part, place, remove_leftovers, write_new

_ROOT = Path(__file__).parents[3]
_KILLED = """
import os, sys
from pathlib import Path
from recon.io.parts import open_part
path, file = open_part(Path(sys.argv[1]))
file.write(b"half")
file.flush()
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], cwd=_ROOT, timeout=60, check=False)
    assert len(list(tmp_path.glob(".*.part"))) == 1
    alive, file = open_part(tmp_path)
    (tmp_path / "notes.part").write_text("mine")
    (tmp_path / ".short.part").write_text("mine")
    (tmp_path / ".0123456789abcdef.part").symlink_to(tmp_path / "notes.part")
    with file:
        remove_leftovers(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {alive.name, "notes.part", ".short.part", ".0123456789abcdef.part"}
    remove_leftovers(tmp_path / "no such folder")


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_a_part_taken_for_a_leftover_before_it_was_locked_is_made_anew(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    real = parts.fcntl.flock

    def overtaken(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        remove_leftovers(tmp_path)
        real(descriptor, how)

    monkeypatch.setattr(parts.fcntl, "flock", overtaken)
    path, file = open_part(tmp_path)
    with file:
        assert list(tmp_path.iterdir()) == [path]


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "card"
    wrote: list[bool] = []
    threads = [
        threading.Thread(target=lambda k=k: wrote.append(write_new(path, bytes([k]) * 100_000))) for k in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wrote) == [False] * 5 + [True]
    data = path.read_bytes()
    assert len(data) == 100_000 and len(set(data)) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_taken_name_is_left_alone(tmp_path: Path, monkeypatch, links: bool) -> None:  # type: ignore[no-untyped-def]
    if not links:

        def no_links(*_: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", no_links)
    part, taken, free = tmp_path / "part", tmp_path / "taken", tmp_path / "free"
    part.write_bytes(b"new")
    taken.write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert not place(part, taken) and taken.read_bytes() == b"mine"
    assert not place(part, tmp_path / "dangling") and part.exists()
    assert place(part, free) and free.read_bytes() == b"new" and not part.exists()
