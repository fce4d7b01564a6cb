"""The helper process of :mod:`bfm.isolated`: parses one file after the other until its input ends."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import IO, Any

from bfm.files import ModelFileError
from bfm.isolated import LENGTH
from bfm.wire import WireError, encode

_ENDED_BY_PARENT_S = 10
_ready: set[str] = set()
"""Modules whose ``import_libraries``, if they have one, was called in this process."""


def main() -> None:
    """Serve requests from standard input."""
    requests = sys.stdin.buffer
    # A parser that prints must not write into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _answer(answers, ("ready", None))
    while len(start := requests.read(LENGTH.size)) == LENGTH.size:
        request = json.loads(requests.read(LENGTH.unpack(start)[0]))
        # Should the parent be killed meanwhile, nobody else ends a parser that hangs.
        _alarm(int(request["seconds"]) + _ENDED_BY_PARENT_S)
        answer = _done(request)
        _alarm(0)
        _answer(answers, answer)


def _done(request: dict[str, Any]) -> tuple[str, Any]:
    path = Path(request["path"])
    module, _, name = request["function"].partition(":")
    parser = importlib.import_module(module)
    function = getattr(parser, name)
    if module not in _ready:
        # Libraries take more room when they are first imported than a file does; the limit below is for the file.
        getattr(parser, "import_libraries", lambda: None)()
        _ready.add(module)
    _limit_memory(request["memory"])
    try:
        return "ok", function(path, **request["arguments"])
    except ModelFileError as error:
        return type(error).__name__, error.fault
    except MemoryError:
        return "ModelFileError", f"needs more than {request['memory'] >> 20} MB of memory: damaged, or made to do harm"
    # Parsers of foreign code raise whatever they meet in a damaged file.
    except Exception as error:
        return "ModelFileError", f"cannot be read, perhaps truncated ({type(error).__name__}: {str(error)[:300]})"


def _answer(pipe: IO[bytes], answer: tuple[str, Any]) -> None:
    try:
        message = encode(answer)
    except WireError as fault:
        message = encode(("ModelFileError", f"holds {fault}"))
    lengths = json.dumps([len(message.table), *(len(blob) for blob in message.blobs)]).encode("ascii")
    pipe.write(LENGTH.pack(len(lengths)) + lengths + message.table)
    for blob in message.blobs:
        pipe.write(blob)
    pipe.flush()


def _alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _limit_memory(allowed: int) -> None:
    """Let this process grow by so many bytes from here on, where the system can be told so."""
    statm = Path("/proc/self/statm")
    if sys.platform == "win32" or not statm.exists():
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    in_use = int(statm.read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = in_use + allowed
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
