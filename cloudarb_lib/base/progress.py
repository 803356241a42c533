"""Progress over an iterable: a bar where a person looks on, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

from cloudarb_lib.base.audience import is_person

T = TypeVar("T")

LINE_EVERY_S = 15.0
"""Least time between two lines; what is over sooner writes none."""
BAR_AFTER_S = 1.0
"""What is over sooner shows no bar in a notebook."""

Listener = Callable[[str, int, int | None], None]
"""Gets what is done, how many items are done, and of how many."""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of all progress within, instead of standard error."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def progress(items: Iterable[T], label: str, *, unit: str = "item", done: int = 0) -> Iterator[T]:
    """Yield ``items``, and tell on standard error how far they are.

    A terminal gets a bar, a person's notebook one that goes when all is done. Elsewhere (a file, a
    pipe, the kernel of a batch run) a line is written now and then, without control characters.

    Parameters
    ----------
    items : iterable
        What is worked on.
    label : str
        What is done to them.
    unit : str
        What one of them is.
    done : int
        How many were done before, by an earlier run.

    Yields
    ------
    object
        Each item in turn.
    """
    total = done + len(items) if isinstance(items, Sized) else None
    listener = _listener.get()
    if listener is not None:
        yield from _with_listener(items, label, done, total, listener)
    elif sys.stderr.isatty():
        yield from tqdm(items, desc=label, unit=unit, initial=done, total=total)
    elif is_person():
        yield from tqdm(
            items,
            desc=label,
            unit=unit,
            initial=done,
            total=total,
            leave=False,
            delay=BAR_AFTER_S,
            file=sys.stdout,
        )
    else:
        yield from _with_lines(items, f"{label}, {unit}", done, total)


def _with_listener(
    items: Iterable[T], label: str, done: int, total: int | None, listener: Listener
) -> Iterator[T]:
    """Yield ``items``; tell the listener before the first and after each."""
    listener(label, done, total)
    for item in items:
        yield item
        done += 1
        listener(label, done, total)


def _with_lines(items: Iterable[T], what: str, done: int, total: int | None) -> Iterator[T]:
    """Yield ``items``; write a line once in a while, and a last one where there was any."""
    began = time.monotonic()
    written = began
    of_all = "" if total is None else f" of {total}"
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        last = done == total and written > began
        if last or now - written >= LINE_EVERY_S:
            print(f"{what} {done}{of_all}, {now - began:.0f} s", file=sys.stderr, flush=True)
            written = now
