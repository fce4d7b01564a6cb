"""Reading on while what was read is worked on."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item], count: int) -> Generator[Item, None, None]:
    """The same items in the same order, up to ``count`` of them made in another thread before they are asked for.

    What making one raises is raised in its place. All are made in one thread, one after the other; a generator is closed when this one is.

    Args:
        items: iterated over once.
        count: at least 1.

    Raises:
        ValueError: a smaller count.
    """
    if count < 1:
        raise ValueError(f"at least one item must be read ahead, got {count}")
    end: Any = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1, "reading") as pool, contextlib.ExitStack() as stack:
        if isinstance(iterator, Generator):
            stack.callback(lambda: pool.submit(iterator.close).result())
        waiting = collections.deque(pool.submit(next, iterator, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item
