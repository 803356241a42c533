"""Items of an iterator, the next one being made while the last one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Generator[Item, None, None]) -> Iterator[Item]:
    """Yield what a generator yields; a thread makes the next item in the meantime.

    What the generator raises is raised here, in its turn. Where the caller stops early, the
    generator is closed.

    Parameters
    ----------
    items : generator
        At most two of its items are held at a time. It runs in one thread, which is not the
        caller's.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
