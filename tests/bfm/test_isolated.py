"""Parsers in a process of their own: whatever happens to it, the caller gets a value or a named error."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfm import isolated
from bfm.files import ModelFileError
from bfm.isolated import ReaderProcessError, call_isolated

HERE = Path(__file__).parent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.file"
    path.write_bytes(b"12345")
    return path


def call(name: str, path: Path, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
    return call_isolated(f"isolated_parsers:{name}", path, arguments, **options)


def test_one_process_reads_one_file_after_the_other(file: Path) -> None:
    first, second = call("size", file, {"power": 2}), call("size", file)
    assert (first["size"], second["size"]) == (25, 5)
    assert first["process"] == second["process"] != os.getpid()


@pytest.mark.parametrize("name", ["crash", "follow_a_null_pointer"])
def test_a_crash_is_an_error_of_the_file_and_the_next_file_is_read(file: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=r"some\.file: crashed its reader \(signal 11\)"):
        call(name, file)
    assert call("size", file)["size"] == 5


def test_a_parser_that_hangs_is_ended(file: Path) -> None:
    call("size", file)
    started = time.monotonic()
    with pytest.raises(ModelFileError, match="could not be read within 0 s"):
        call("hang", file, timeout_s=0.2)
    assert time.monotonic() - started < 10.0
    assert call("size", file)["size"] == 5


def test_memory_is_limited(file: Path) -> None:
    with pytest.raises(ModelFileError, match="needs more than 1024 MB of memory"):
        call("grow", file)
    assert call("size", file)["size"] == 5


def test_errors_of_parsers_name_the_file_on_one_printable_line(file: Path) -> None:
    with pytest.raises(ModelFileError, match=r"some\.file: cannot be read.*AttributeError: a parser's own mistake"):
        call("stumble", file)
    with pytest.raises(ModelFileError) as caught:
        call("complain", file)
    assert str(caught.value) == rf"{file}: two lines and \x1b[31m colours"


def test_values_come_back_as_they_were(file: Path) -> None:
    found = call("everything", file)
    fortran = found["fortran"]
    np.testing.assert_array_equal(fortran, np.arange(6.0).reshape(2, 3))
    assert fortran.flags.f_contiguous and fortran.flags.writeable, "the order decides how sums are rounded"
    assert found["twice"][0] is found["twice"][1] and found["twice"][0].dtype == ">i2"
    np.testing.assert_array_equal(found["twice"][0], np.arange(6).reshape(2, 3))
    assert found["texts"].tolist() == ["a", "bcd"] and found["flags"].tolist() == [True, False]
    assert found["scalar"] == np.float32(2.5) and type(found["scalar"]) is np.float32
    assert found["nothing"].shape == (0, 3) and found["bytes"] == b"\x00\xff"
    assert found["record"]["b"][0] == "x" and found["record"].dtype.names == ("a", "b")
    assert found["mixed"] == {1: None, "x": (1.5, float("inf"), 2 + 3j), b"k": {1, 2}}


def test_what_cannot_be_sent_and_false_answers_are_errors(file: Path) -> None:
    with pytest.raises(ModelFileError, match="a value of type object"):
        call("unspeakable", file)
    with pytest.raises(ModelFileError, match=r"some\.file"):
        call("untrue", file)
    assert call("size", file)["size"] == 5


def test_no_process_no_silence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolated._of_this_process.close()
    for program, message in (
        ("", "sys.executable is empty"),
        ("/no/python", "cannot be started"),
        (sys.executable, ""),
    ):
        monkeypatch.setattr(sys, "executable", program)
        if not message:
            monkeypatch.setattr(isolated, "_START", "raise SystemExit(7)")
            message = r"it ended at once \(exit code 7\)"
        with pytest.raises(ReaderProcessError, match=message):
            call("size", file)


def test_pipes_and_folders_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ModelFileError, match="is no regular file"):
            call("size", path)
    with pytest.raises(FileNotFoundError):
        call("size", tmp_path / "none")


def test_threads_take_turns(file: Path) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda k=k: found.append(call("size", file, {"power": k})["size"])) for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [5**k for k in range(8)]


def _in_worker(path: Path) -> tuple[int, int]:
    return call("size", path)["process"], call("size", path)["process"]


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_workers_have_readers_of_their_own(file: Path, way: str) -> None:
    ours = call("size", file)["process"]
    with multiprocessing.get_context(way).Pool(1) as pool:
        first, second = pool.apply(_in_worker, (file,))
        pool.close()
        pool.join()
    assert first == second != ours
    assert call("size", file)["process"] == ours, "the worker left its parent's reader alone"
    _await_end(first)


def _await_end(process: int) -> None:
    for _ in range(100):
        if not Path(f"/proc/{process}").exists() or "(zombie)" in Path(f"/proc/{process}/status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"the reader {process} outlives the process that started it")


def test_the_reader_ends_with_its_process_and_without_warnings(file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from bfm.isolated import call_isolated\n"
        f"print(call_isolated('isolated_parsers:size', Path({str(file)!r}))['process'])"
    )
    root = str(HERE.parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((root, str(HERE)))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    _await_end(int(done.stdout))
