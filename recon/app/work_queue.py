"""Work of all windows, one piece after another on one thread: two heads at once would take each other's cores.

Videos, which take minutes, have a queue of their own, so that nobody's photo waits for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class WorkQueue:
    """First come, first served. What waits can be cancelled; what has begun is finished."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="heads")
        self._waiting: list[Future[object]] = []
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Do work when its turn comes."""
        future = self._executor.submit(work)
        with self._lock:
            self._waiting = [other for other in self._waiting if not other.done()]
            self._waiting.append(future)  # type: ignore[arg-type]
        return future

    def before(self, future: Future[Result]) -> int:
        """How many pieces of work come before this one."""
        with self._lock:
            index = self._waiting.index(future) if future in self._waiting else 0  # type: ignore[arg-type]
            return sum(not other.done() for other in self._waiting[:index])

    def close(self) -> None:
        """Cancel what waits and let what has begun end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
