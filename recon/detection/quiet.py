"""Keeping the start-up chatter of native libraries off the terminal without losing anything else."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()


@contextlib.contextmanager
def without_lines(*fragments: str) -> Iterator[None]:
    """Hold back what is written to file descriptor 2 meanwhile; afterwards pass on all lines without these fragments.

    Native code writes there directly, so Python's ``sys.stderr`` cannot filter it. Short start-up phases only: the
    descriptor belongs to the whole process. One thread at a time; nested use waits for ever.
    """
    with _LOCK, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held.read().splitlines(keepends=True):
                if line.strip() and not any(fragment.encode() in line for fragment in fragments):
                    os.write(2, line)
