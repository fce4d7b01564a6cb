"""Frames worked at side by side come in order, few at a time, and with their own faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from recon.tracking.frames_side_by_side import one_torch_thread, side_by_side


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_are_in_order_and_frames_are_read_as_they_are_needed(three_threads: None) -> None:
    read: list[int] = []
    inside: set[int] = set()

    def items() -> Iterator[int]:
        for k in range(20):
            read.append(k)
            yield k

    def work(k: int) -> tuple[int, int]:
        inside.add(threading.get_ident())
        time.sleep(0.02 if k % 3 == 0 else 0.001)
        return k, torch.get_num_threads()

    found = side_by_side(work, items(), 3)
    assert next(found) == (0, 1) and len(read) == 6
    assert list(found) == [(k, 1) for k in range(1, 20)]
    assert 1 < len(inside) <= 3 and threading.get_ident() not in inside
    assert torch.get_num_threads() == 3


def test_a_fault_comes_in_the_place_of_its_frame(three_threads: None) -> None:
    done = []
    with pytest.raises(ZeroDivisionError):
        for value in side_by_side(lambda k: 12 // (4 - k), range(100), 3):
            done.append(value)
    assert done == [3, 4, 6, 12] and torch.get_num_threads() == 3


def test_what_is_left_is_not_begun(three_threads: None) -> None:
    begun = []

    def work(k: int) -> int:
        begun.append(k)
        return k

    found = side_by_side(work, range(100), 3)
    assert next(found) == 0
    found.close()
    assert len(begun) <= 6


def test_one_thread_inside_and_as_many_as_before_after(three_threads: None) -> None:
    with pytest.raises(KeyError), one_torch_thread() as before:
        assert before == 3 and torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 3
