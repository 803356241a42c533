"""Progress over an iterable: a bar at a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

LINE_EVERY_S = 15.0
"""Least time between two lines; what is over sooner writes none."""


def progress(items: Iterable[T], label: str, *, unit: str = "item", done: int = 0) -> Iterator[T]:
    """Yield ``items``, and tell on standard error how far they are.

    A terminal gets a bar. Elsewhere (a file, a pipe, the kernel of a notebook) a line is written
    now and then, without control characters.

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
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, unit=unit, initial=done, total=total)
    else:
        yield from _with_lines(items, f"{label}, {unit}", done, total)


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
