"""Items made one ahead: in order, faults in their turn, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from cloudarb_lib.base.ahead import one_ahead


def test_items_come_in_order_and_a_fault_in_its_turn() -> None:
    def items() -> Generator[int, None, None]:
        yield from range(3)
        raise ValueError("after the third")

    ahead = one_ahead(items())
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="after the third"):
        next(ahead)


def test_the_next_item_is_made_while_one_is_used_and_no_more() -> None:
    made = []
    second_made = threading.Event()

    def items() -> Generator[int, None, None]:
        for i in range(5):
            made.append(i)
            if i == 1:
                second_made.set()
            yield i

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert second_made.wait(timeout=60)
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_who_stops_early_closes_the_generator() -> None:
    closed = []

    def items() -> Generator[int, None, None]:
        try:
            yield from range(5)
        finally:
            closed.append(threading.active_count())

    before = threading.active_count()
    ahead = one_ahead(items())
    next(ahead)
    ahead.close()
    assert closed == [before]  # the thread is gone already
