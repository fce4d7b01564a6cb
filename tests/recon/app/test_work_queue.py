"""One piece of work after another, and what nobody waits for is not begun."""

from __future__ import annotations

import threading

from recon.app.work_queue import WorkQueue


def test_work_is_done_in_order_and_what_waits_can_be_cancelled() -> None:
    queue, gate, done = WorkQueue(), threading.Event(), []
    first = queue.submit(lambda: gate.wait(10.0))
    second = queue.submit(lambda: done.append("second"))
    third = queue.submit(lambda: done.append("third"))
    assert (queue.before(first), queue.before(second), queue.before(third)) == (0, 1, 2)
    assert second.cancel()
    assert queue.before(third) == 1
    gate.set()
    third.result(10.0)
    assert done == ["third"] and first.result() is True
    queue.close()


def test_a_failure_is_its_own_and_the_next_is_done() -> None:
    queue = WorkQueue()
    failing = queue.submit(lambda: 1 // 0)
    assert queue.submit(lambda: 7).result(10.0) == 7
    assert isinstance(failing.exception(), ZeroDivisionError)
    queue.close()
