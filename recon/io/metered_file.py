"""A file that stops whoever reads more of it, or more often, than a sound file would need."""

from __future__ import annotations

import io


class OverreadError(ValueError):
    """A decoder read far more than a sound file would make it read."""


class MeteredFile:
    """A binary file for decoders, with budgets of bytes and of calls.

    Headers may name the same megabytes as the value of thousands of fields, or consist of millions of blocks of a byte; a
    decoder that follows them fills the memory or does not end. Every read after a budget is spent raises.

    Args:
        file: an open binary file; it is not closed.
        size: its length in bytes.
    """

    def __init__(self, file: io.BufferedIOBase, size: int) -> None:
        self.size = size
        self._file = file
        self._bytes_left = self._calls_left = 0

    def allow(self, n_bytes: int, n_calls: int) -> None:
        """Set both budgets anew."""
        self._bytes_left, self._calls_left = n_bytes, n_calls

    def read(self, n: int | None = -1, /) -> bytes:
        """As of any file; raises :class:`OverreadError` once a budget is spent."""
        data = self._file.read(self.size if n is None or n < 0 else min(n, self.size))
        self._spend(len(data))
        return data

    def readline(self, limit: int = -1, /) -> bytes:
        """As of any file, and metered as :meth:`read`."""
        data = self._file.readline(limit)
        self._spend(len(data))
        return data

    def _spend(self, n_bytes: int) -> None:
        self._bytes_left -= n_bytes
        self._calls_left -= 1
        if self._bytes_left < 0 or self._calls_left < 0:
            raise OverreadError("its header or its blocks make a decoder read far more than a sound file does")

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def fileno(self) -> int:
        """As of any file; decoders written in C read files on disk by it."""
        return self._file.fileno()

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Whoever opened the file closes it."""
