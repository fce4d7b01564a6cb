"""Advisory locks between processes: files that one process at a time holds, and that a killed process lets go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class Lock:
    """A lock that is held until :meth:`release`; made by :func:`take_lock`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def release(self) -> None:
        """Let go and remove the file. Removing comes first: whoever waits on it notices and makes a new one."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def take_lock(path: Path, *, wait: bool) -> Lock | None:
    """Hold ``path`` as a lock, making the file and its folder.

    The kernel drops the lock when the process ends, however it ends; the empty file of a killed process does no harm.

    Args:
        path: of the lock file. On network file systems the lock holds as far as the system's ``flock`` does.
        wait: until another process lets go; ``None`` is returned at once otherwise.

    Raises:
        OSError: the file cannot be made, or the file system knows no locks.
    """
    import fcntl  # not on Windows, where the rest of the package can still be imported

    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except FileNotFoundError:  # another process removed the empty folder just now
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return Lock(path, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed the file before letting go: take the new one


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold ``path`` as a lock during the block, waiting for it."""
    lock = take_lock(path, wait=True)
    assert lock is not None, "waited for"
    try:
        yield
    finally:
        lock.release()


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
