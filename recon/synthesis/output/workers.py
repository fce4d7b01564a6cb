"""Blocks of a data set made one after the other, or by several processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_connection
from typing import TYPE_CHECKING

from recon.synthesis.output.plan import DatasetError, DatasetPlan
from recon.synthesis.output.writer import make_sampler, write_block

if TYPE_CHECKING:
    from recon.synthesis.cycles import CyclesSampler
    from recon.synthesis.sampler import FaceSampler

_QUEUED_PER_WORKER = 2


class WorkerDied(DatasetError):
    """A process that made samples was ended from outside."""


def make_blocks(plan: DatasetPlan, blocks: Sequence[int], sampler: FaceSampler | CyclesSampler) -> Iterator[int]:
    """Make blocks in this process; yields the number of samples made after each.

    Blocks that another run is making are left for the end and then waited for.
    """
    busy = []
    for block in blocks:
        made = write_block(plan, sampler, block, wait=False)
        if made is None:
            busy.append(block)
        else:
            yield made
    for block in busy:
        yield write_block(plan, sampler, block) or 0


def make_blocks_in_processes(plan: DatasetPlan, blocks: Sequence[int], workers: int) -> Iterator[int]:
    """As :func:`make_blocks`, by processes of one thread each; they end with this one, however it ends.

    Raises:
        WorkerDied: a process was ended from outside.
        DatasetError: of the first block that failed; the others stop.
    """
    with _pool(plan, workers) as pool:
        busy: list[int] = []
        for block, made in _results(pool, plan, blocks, workers, wait_for_others=False):
            if made is None:
                busy.append(block)
            else:
                yield made
        for _, made in _results(pool, plan, busy, workers, wait_for_others=True):
            yield made or 0


def _results(
    pool: ProcessPoolExecutor, plan: DatasetPlan, blocks: Sequence[int], workers: int, *, wait_for_others: bool
) -> Iterator[tuple[int, int | None]]:
    """Blocks and the samples made of them, as they end. A few are queued at a time: a data set can have many thousands."""
    todo = iter(blocks)
    running: dict[Future[int | None], int] = {}
    try:
        while True:
            while len(running) < _QUEUED_PER_WORKER * workers and (block := next(todo, None)) is not None:
                with _interrupts_held_back():
                    running[pool.submit(_work, block, wait_for_others)] = block
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise WorkerDied(
            "a worker process was ended from outside, most likely because memory ran out: "
            f"{plan.done()} blocks of {len(plan.blocks)} are finished in {plan.folder}; the same command goes on from there, "
            "with fewer --workers if memory is short"
        ) from error


@contextlib.contextmanager
def _pool(plan: DatasetPlan, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that hold one end of a pipe, and end when the other is closed: by this block, or by the death of this process."""
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan, theirs))
    try:
        yield pool
    except BaseException:
        ours.close()  # workers stop where they are; what they had begun is removed by whoever tidies up
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all: it is this process that stops them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: dict[str, DatasetPlan | FaceSampler | CyclesSampler] = {}


def _start_worker(plan: DatasetPlan, stop: Connection) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(stop,), daemon=True).start()
    _worker["plan"] = plan


def _end_with(stop: Connection) -> None:
    wait_for_connection([stop])
    os._exit(1)


def _work(block: int, wait_for_others: bool) -> int | None:
    plan = _worker["plan"]
    assert isinstance(plan, DatasetPlan)
    if "sampler" not in _worker:  # here and not at the start, so that a fault reaches the parent as what it is
        _worker["sampler"] = make_sampler(plan)
    sampler = _worker["sampler"]
    assert not isinstance(sampler, DatasetPlan)
    return write_block(plan, sampler, block, wait=wait_for_others)
