"""Windows keep few photos, see only their own, and leave nothing behind."""

from __future__ import annotations

import gc
import weakref

from recon.app.limits import Limits
from recon.app.session import BLOB_PATH, BlobStore, Session
from recon.app.sources import Clip, ClipSource


def source(name: str) -> ClipSource:
    return ClipSource(name, Clip([], [], 25.0))


def test_the_oldest_source_goes() -> None:
    session = Session(BlobStore(), Limits(kept=2))
    first = source("a")
    gone = weakref.ref(first)
    keys = [session.add(first), session.add(source("b")), session.add(source("c"))]
    del first
    gc.collect()
    assert list(session.sources) == keys[1:] and gone() is None


def test_what_is_served_is_its_own_and_bounded() -> None:
    blobs = BlobStore()
    one, other = Session(blobs, Limits()), Session(blobs, Limits())
    addresses = [one.serve(bytes([k]), "image/png") for k in range(20)]
    theirs = other.serve(b"other", "image/jpeg")
    assert len(set(addresses)) == 20 and len(blobs) < 20
    assert blobs.get(addresses[-1].removeprefix(f"{BLOB_PATH}/")) == (bytes([19]), "image/png")
    assert blobs.get(addresses[0].removeprefix(f"{BLOB_PATH}/")) is None
    one.close()
    assert len(blobs) == 1 and blobs.get(theirs.removeprefix(f"{BLOB_PATH}/")) == (b"other", "image/jpeg")


def test_a_closed_window_takes_nothing() -> None:
    blobs = BlobStore()
    session = Session(blobs, Limits())
    session.add(source("a"))
    session.close()
    session.close()
    session.add(source("late"))
    assert session.serve(b"late", "image/png") == "" and not session.sources and len(blobs) == 0
