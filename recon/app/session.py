"""What one window knows: its sources, and the bytes that its browser may fetch. No window sees another's."""

from __future__ import annotations

import secrets
from collections import OrderedDict

from recon.app.limits import Limits
from recon.app.sources import Source


class Session:
    """The sources of one window, the newest last, and what it serves under names that nobody can guess.

    Args:
        blobs: of the server, from which browsers fetch.
        limits: of the window.
    """

    def __init__(self, blobs: BlobStore, limits: Limits) -> None:
        self._blobs, self._limits = blobs, limits
        self._sources: OrderedDict[str, Source] = OrderedDict()
        self._served: list[str] = []
        self.closed = False

    @property
    def sources(self) -> dict[str, Source]:
        """By key, the oldest first."""
        return dict(self._sources)

    def add(self, source: Source) -> str:
        """Keep a source and return its key; beyond ``limits.kept`` the oldest goes. A closed window keeps nothing."""
        key = secrets.token_urlsafe(8)
        if not self.closed:
            self._sources[key] = source
            while len(self._sources) > self._limits.kept:
                self._sources.popitem(last=False)
        return key

    def serve(self, data: bytes, media_type: str) -> str:
        """Keep bytes for this window's browser and return their address; older ones are forgotten."""
        if self.closed:
            return ""
        key = self._blobs.put(data, media_type)
        self._served.append(key)
        while len(self._served) > _SERVED_AT_ONCE:
            self._blobs.remove(self._served.pop(0))
        return f"{BLOB_PATH}/{key}"

    def close(self) -> None:
        """Forget everything; may be called twice."""
        self.closed = True
        self._sources.clear()
        for key in self._served:
            self._blobs.remove(key)
        self._served.clear()


BLOB_PATH = "/blobs"
_SERVED_AT_ONCE = 12


class BlobStore:
    """Bytes under random names, in memory."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[bytes, str]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def put(self, data: bytes, media_type: str) -> str:
        """Keep bytes; their name has 256 random bits."""
        key = secrets.token_urlsafe(32)
        self._items[key] = (data, media_type)
        return key

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and media type, or None."""
        return self._items.get(key)

    def remove(self, key: str) -> None:
        """Forget bytes, if they are there."""
        self._items.pop(key, None)
