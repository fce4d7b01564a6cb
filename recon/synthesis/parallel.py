"""Batches cut in pieces that are rendered side by side, one thread a piece.

Most steps of a sample are too small for torch to share among threads; whole pieces share well, because compiled kernels
and torch both release the interpreter lock.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """``function`` of each item, in order. Inside of it torch and the kernels use one thread.

    As many items run at once as torch has threads; a single item, or a single thread, runs in the caller's thread.
    """
    n_threads = min(torch.get_num_threads(), len(items))
    if n_threads <= 1:
        return [function(item) for item in items]
    results = list(_pool(n_threads).map(function, items))
    # A thread's setting also becomes the default of threads born later.
    torch.set_num_threads(torch.get_num_threads())
    return results


@functools.lru_cache(maxsize=4)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        n_threads, thread_name_prefix="recon-synthesis", initializer=torch.set_num_threads, initargs=(1,)
    )


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    # a forked child has no threads of its parent's pools
    os.register_at_fork(after_in_child=_pool.cache_clear)
