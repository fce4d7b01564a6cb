"""Parsers of foreign files in a process of their own, which may crash, hang or run out of memory in our place.

C libraries that read MATLAB and HDF5 files can be made to crash by one changed byte, and no ``except`` catches that. So
one helper process is kept for each process that reads such files: it is started at the first file, parses one file after
the other (0.2 ms more a file than without it), and is started again after a crash. What it sends back is a table of
numbers and texts, see :mod:`bfm.wire`; nothing of it is unpickled.

It is no jail: a parser that can be made to run an attacker's code runs it with the rights of the user. It keeps crashes,
endless loops and exhausted memory away from training and evaluation.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from bfm.files import ModelFileError
from bfm.reading import LARGEST_FILE_BYTES, file_size
from bfm.wire import WireError, decode

TIMEOUT_S = 60.0
_BYTES_A_SECOND = 4e6
"""Slower than any parser here, also on a busy machine."""
_MEMORY_BYTES = 1 << 30
_MEMORY_A_BYTE = 16
"""What a file may unpack to: the largest face models, compressed, need six bytes for one."""
_LARGEST_TABLE = 512 << 20
_START_S = 120.0
LENGTH = struct.Struct("<Q")

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bfm.reader_process import main; main()"


class ReaderProcessError(RuntimeError):
    """The process that reads foreign files cannot be started; no file is at fault."""


def call_isolated(
    function: str, path: Path, arguments: dict[str, Any] | None = None, *, timeout_s: float | None = None
) -> Any:
    """What ``function(path, **arguments)`` returns, called in the helper process.

    Args:
        function: ``module:name`` of a parser of ours that raises :class:`ModelFileError` for what it finds wrong itself;
            its result must be of the types of :func:`bfm.wire.encode`. Other exceptions count as damage of the file. Its
            module may have a function ``import_libraries``, which is called first and without a limit of memory.
        path: the file to parse.
        arguments: as JSON keeps them.
        timeout_s: by default a minute, and more for large files.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: no regular file, or the parser raised, crashed, took too long or needed too much memory.
        ReaderProcessError: the helper process cannot be started.
    """
    size = file_size(path)
    request = {
        "function": function,
        "path": os.path.abspath(path),
        "arguments": arguments or {},
        "memory": min(_MEMORY_BYTES + _MEMORY_A_BYTE * size, 2 * LARGEST_FILE_BYTES),
        "seconds": TIMEOUT_S + size / _BYTES_A_SECOND if timeout_s is None else timeout_s,
    }
    return _of_this_process.ask(path, request)


class _Reader:
    """One helper process, for all threads of this process in turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path, request: dict[str, Any]) -> Any:
        with self._lock:
            try:
                return self._ask(path, request)
            except ModelFileError:
                raise
            except BaseException:  # also Ctrl-C: an answer that was not read would be taken for the next one
                self._end()
                raise

    def _ask(self, path: Path, request: dict[str, Any]) -> Any:
        process = self._process
        if process is None or process.poll() is not None:
            self._end()
            process = self._process = _start()
        assert process.stdin is not None and process.stdout is not None
        try:
            with _Watch(process, request["seconds"]) as watch:
                _send(process.stdin, json.dumps(request).encode("ascii"))
                verdict, value = _answer(process.stdout, request["memory"], watch)
        except TimeoutError:
            self._end()
            raise ModelFileError(path, f"could not be read within {request['seconds']:.0f} s; {_HARM}") from None
        except (OSError, EOFError):
            self._end()
            raise ModelFileError(path, f"crashed its reader ({_exit(process.returncode)}); {_HARM}") from None
        except WireError as error:
            self._end()
            raise ModelFileError(path, f"made its reader answer {error}; {_HARM}") from None
        if verdict == "ok":
            return value
        if verdict == "UnsafePickleError":
            from bfm.safe_pickle import UnsafePickleError

            raise UnsafePickleError(path, value)
        raise ModelFileError(path, value)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
            process.wait()

    def close(self) -> None:
        """End the helper process; the next file starts one again."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """In a forked process: the helper is its parent's."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
            process.returncode = 0  # it is no child of this process, which therefore need not wait for it


_HARM = "it is damaged, or made to do harm"


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _start() -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise ReaderProcessError(
            "foreign files are read in a process of their own, but this program does not say which Python runs it "
            "(sys.executable is empty)"
        )
    # Nothing that a working directory or the environment holds can stand in for a module: the helper gets our paths.
    here = str(Path(__file__).resolve().parents[1])
    places = json.dumps([here, *(os.path.abspath(place) for place in sys.path if place)])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **threads},
        )
    except OSError as error:
        raise ReaderProcessError(f"the process that reads foreign files cannot be started: {error}") from error
    fault = "it ended at once"
    try:
        assert process.stdout is not None
        with _Watch(process, _START_S) as watch:
            verdict, value = _answer(process.stdout, 1 << 20, watch)
        if verdict == "ready":
            return process
        fault = str(value)
    except (OSError, EOFError, WireError) as error:
        fault = str(error) or fault
    except BaseException:
        process.kill()
        raise
    process.kill()
    process.communicate()
    raise ReaderProcessError(
        f"the process that reads foreign files cannot be started with {sys.executable}: {fault} "
        f"({_exit(process.returncode)})"
    )


class _Watch:
    """Waits for a process, but not for ever."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process, self._deadline = process, time.monotonic() + seconds
        self._poll: Any = None
        self._timer: threading.Timer | None = None
        if hasattr(select, "poll"):
            assert process.stdout is not None
            self._poll = select.poll()
            self._poll.register(process.stdout.fileno(), select.POLLIN)
        else:  # on Windows pipes cannot be waited for; a thread ends the process, which ends the pipe
            self._timer = threading.Timer(seconds, process.kill)
            self._timer.daemon = True

    def __enter__(self) -> _Watch:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def read(self, pipe: IO[bytes], length: int, most: int) -> bytearray:
        """So many bytes.

        Raises:
            TimeoutError: they did not come in time.
            EOFError: the process has ended.
            WireError: more than ``most`` bytes are announced.
        """
        if length > most:
            raise WireError(f"with a part of {length} bytes")
        data = bytearray(length)
        view = memoryview(data)
        while view:
            left = self._deadline - time.monotonic()
            if self._poll is not None and not (left > 0.0 and self._poll.poll(1000.0 * left)):
                raise TimeoutError
            count = pipe.readinto(view)  # type: ignore[attr-defined]
            if not count:
                if self._poll is None and left <= 0.0:
                    raise TimeoutError
                raise EOFError
            view = view[count:]
        return data


def _send(pipe: IO[bytes], text: bytes) -> None:
    pipe.write(LENGTH.pack(len(text)) + text)


def _answer(pipe: IO[bytes], memory: int, watch: _Watch) -> tuple[str, Any]:
    """Verdict and value: the lengths of table and blobs as JSON, then these."""
    (length,) = LENGTH.unpack(watch.read(pipe, LENGTH.size, LENGTH.size))
    try:
        lengths = json.loads(watch.read(pipe, length, _LARGEST_TABLE))
    except (ValueError, RecursionError) as error:
        raise WireError("lengths that are none") from error
    if not isinstance(lengths, list) or not all(type(n) is int and n >= 0 for n in lengths) or not lengths:
        raise WireError("lengths that are none")
    if lengths[0] > _LARGEST_TABLE or sum(lengths[1:]) > memory:
        raise WireError(f"with {sum(lengths)} bytes, more than the file may unpack to")
    body = memoryview(watch.read(pipe, sum(lengths), sum(lengths)))
    ends = list(itertools.accumulate(lengths))
    blobs = [body[start:end] for start, end in itertools.pairwise(ends)]
    found = decode(bytes(body[: lengths[0]]), blobs)
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], str):
        raise WireError("no verdict")
    return found[0], found[1]


def _after_fork() -> None:
    global _of_this_process
    _of_this_process.forget()
    _of_this_process = _Reader()  # with a lock of its own: the parent's may have been held


_of_this_process = _Reader()
atexit.register(lambda: _of_this_process.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
