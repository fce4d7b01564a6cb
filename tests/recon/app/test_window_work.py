"""Whose work waits for whose."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the extra app is not installed")

from recon.app.limits import Limits
from recon.app.session import BlobStore, Session
from recon.app.window_work import VIDEO_WORK, WindowClosed, WindowWork
from recon.app.work_queue import WorkQueue


class Shown:
    """In place of the bar and the line, which need a page."""

    value, text = 0.0, ""

    def set_visibility(self, visible: bool) -> None:
        self.visible = visible


def work_of(queue: WorkQueue, videos: WorkQueue) -> tuple[WindowWork, Session]:
    session = Session(BlobStore(), Limits())
    work: Any = WindowWork(queue, videos, session)
    work._bar, work._said = Shown(), Shown()
    return work, session


def test_a_photo_does_not_wait_for_another_windows_video_but_a_video_does() -> None:
    queue, videos, gate = WorkQueue(), WorkQueue(), threading.Event()
    (watching, _), (other, other_session) = (work_of(queue, videos) for _ in range(2))

    async def visit() -> None:
        video = asyncio.create_task(watching.do("tracking", lambda: gate.wait(20.0), VIDEO_WORK))
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(other.do("making the head", lambda: "head", "regress"), 10.0) == "head"
        second = asyncio.create_task(other.do("tracking", lambda: "clip", VIDEO_WORK))
        await asyncio.sleep(0.1)
        assert not video.done() and not second.done()
        other_session.close()
        with pytest.raises(WindowClosed):
            await second
        gate.set()
        assert await video is True

    try:
        asyncio.run(visit())
    finally:
        gate.set()
        queue.close()
        videos.close()
