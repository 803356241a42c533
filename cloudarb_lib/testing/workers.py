"""What a worker process is asked to do in tests: it imports these by name."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable

from cloudarb_lib.base.worker import report


def started() -> str:
    """The setup of a worker."""
    return "set up"


def tell(state: str, items: Iterable[object]) -> str:
    """Report each item, return what the setup made."""
    for item in items:
        report(item)
    return state


def count_until_stopped(state: str) -> int:
    """Count, and return how far when stopped."""
    number = 0
    try:
        while True:
            number += 1
            report(number)
            time.sleep(0.01)
    except KeyboardInterrupt:
        return number


def sleep_for(state: str, seconds: float) -> None:
    """Say that it begins, and sleep."""
    report("asleep")
    time.sleep(seconds)


def ignore_the_end(state: str) -> None:
    """Have the process heed no SIGTERM from now on."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def go_on_whatever_comes(state: str) -> None:
    """Heed no interrupt."""
    report("deaf")
    while True:
        try:
            time.sleep(60.0)
        except KeyboardInterrupt:
            continue


def refuse(state: str) -> None:
    """Raise."""
    raise ValueError("it is refused")
