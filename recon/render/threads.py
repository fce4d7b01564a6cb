"""Running compiled kernels on every core, without numba's own thread layers.

Numba's OpenMP layer aborts a forked data-loader worker and its work queue aborts when two Python threads render at the
same time. Kernels here release the interpreter lock instead, and plain threads call them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def thread_count() -> int:
    """Threads that kernels may use: torch's own setting, so that one knob rules both."""
    return max(1, torch.get_num_threads())


def bands_per_picture(n_pictures: int) -> int:
    """Parts that each picture is cut into, so that every thread has work."""
    return -(-thread_count() // n_pictures)


def for_each_task(kernel: Callable[..., None], n_tasks: int, *args: object) -> None:
    """Call ``kernel(task, *args)`` for every task in ``range(n_tasks)``; tasks must not write the same memory."""
    n_threads = min(thread_count(), n_tasks)
    if n_threads <= 1:
        for task in range(n_tasks):
            kernel(task, *args)
        return
    futures = [_pool(n_threads - 1).submit(_stride, kernel, k, n_tasks, n_threads, args) for k in range(1, n_threads)]
    _stride(kernel, 0, n_tasks, n_threads, args)
    for future in futures:
        future.result()


def _stride(kernel: Callable[..., None], first: int, n_tasks: int, step: int, args: tuple[object, ...]) -> None:
    for task in range(first, n_tasks, step):
        kernel(task, *args)


@functools.lru_cache(maxsize=4)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="recon-render")


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    # a forked child has no threads of its parent's pools
    os.register_at_fork(after_in_child=_pool.cache_clear)
