"""The work of one window: queued behind that of the others, with a bar and a line that tell how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from nicegui import ui

from recon.app.session import Session
from recon.app.work_queue import WorkQueue

Result = TypeVar("Result")
VIDEO_WORK = "track"
"""The kind of work that waits for others of its kind only."""
_FIRST_DURATIONS_S = {
    "read": 1.5,
    "regress": 1.0,
    "hybrid": 8.0,
    "fit": 15.0,
    "texture": 2.0,
    "file": 4.0,
    VIDEO_WORK: 60.0,
}
"""What kinds of work take, until this window has seen one."""


class WindowClosed(Exception):
    """Nobody waits for this work any more."""


class WindowWork:
    """Does work and shows it.

    Args:
        queue: of all windows.
        videos: another one, of their videos.
        session: of this one; work of a closed one is given up.
    """

    def __init__(self, queue: WorkQueue, videos: WorkQueue, session: Session) -> None:
        self._queue, self._videos, self._session = queue, videos, session
        self._durations_s = dict(_FIRST_DURATIONS_S)

    def build(self) -> None:
        """Lay the bar and the line out where the client is at."""
        self._bar = ui.linear_progress(0.0, show_value=False).classes("grow").props("rounded size=8px")
        self._said = ui.label("Ready").classes("hint").mark("said").style("width: 300px")
        self._bar.set_visibility(False)

    async def do(self, text: str, work: Callable[[], Result], kind: str, done: list[float] | None = None) -> Result:
        """Queue work, show how far it is, and give its result.

        Args:
            text: what is being done.
            work: it.
            kind: by which durations are remembered, for the bar.
            done: holds the share done, where the work tells.

        Raises:
            WindowClosed: the visitor went while it waited.
        """
        queue = self._videos if kind == VIDEO_WORK else self._queue
        future = queue.submit(work)
        begun: float | None = None
        self._bar.set_visibility(True)
        try:
            while not future.done():
                if self._session.closed:
                    future.cancel()
                    raise WindowClosed
                before = queue.before(future)
                if before:
                    self._said.text = f"waiting: {before} before this"
                else:
                    begun = begun or time.monotonic()
                    expected_s = self._durations_s[kind]
                    share = (time.monotonic() - begun) / expected_s
                    self._bar.value = done[0] if done else share / (1.0 + share)
                    self._said.text = f"{text}, about {expected_s:.0f} s" if expected_s >= 1.5 else text
                await asyncio.sleep(0.05)
            if begun is not None:
                self._durations_s[kind] = 0.5 * self._durations_s[kind] + 0.5 * (time.monotonic() - begun)
            return future.result()
        finally:
            if not self._session.closed:
                self._bar.set_visibility(False)
                self._said.text = "Ready"
