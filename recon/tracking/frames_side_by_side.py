"""Work on frames that do not depend on each other, on all cores and in the order of the frames."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextlib.contextmanager
def one_torch_thread() -> Iterator[int]:
    """One thread of torch inside; gives how many there were.

    Sums over several threads differ in their rounding, and fits make millimetres of it. Threads also wait for each other longer than
    small networks take wherever a core has something else to do.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def side_by_side(
    function: Callable[[_Item], _Result], items: Iterable[_Item], n_threads: int
) -> Generator[_Result, None, None]:
    """``function`` of each item, in order. Close it when not all of it is wanted.

    Args:
        function: torch has one thread inside, so that the number of threads changes no result. What it raises for an item is raised
            in its place.
        items: are taken as they are needed; at most twice as many as threads are held.
        n_threads: how many items are worked at.
    """
    around = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, "recon-frames", initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # A thread's setting also becomes the default of threads born later.
        torch.set_num_threads(around)
