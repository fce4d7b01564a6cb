"""Items that are made ahead come in their order, with what making them raises, and no more are made than asked for."""

from __future__ import annotations

import threading

import pytest

from recon.io.read_ahead import read_ahead


def test_items_come_in_their_order_and_are_made_before_they_are_asked_for():
    made, third = [], threading.Event()

    def items():
        for number in range(6):
            made.append((number, threading.current_thread().name))
            if number == 2:
                third.set()
            yield number

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0 and third.wait(10.0)
    assert list(ahead) == [1, 2, 3, 4, 5]
    assert [number for number, _ in made] == list(range(6))
    assert {name.split("_")[0] for _, name in made} == {"reading"}
    assert list(read_ahead([], 2)) == [] and list(read_ahead([7], 5)) == [7]
    with pytest.raises(ValueError, match="at least one item must be read ahead, got 0"):
        next(read_ahead([1], 0))


def test_a_fault_comes_after_the_items_before_it():
    def items():
        yield from (1, 2)
        raise OSError("the disk is gone")

    ahead = read_ahead(items(), 4)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_who_stops_early_closes_what_is_read():
    closed, made = [], []

    def items():
        try:
            for number in range(100):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 0
    ahead.close()
    assert closed == [True] and len(made) <= 4
