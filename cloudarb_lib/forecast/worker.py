"""TensorFlow in a process of its own, kept warm: together with OR-Tools it crashes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from cloudarb_lib.base.errors import WorkerError
from cloudarb_lib.base.worker import Worker

T = TypeVar("T")

WORKER = Worker("TensorFlow worker")


def begin(call: Callable[[], T]) -> Future[T]:
    """Return what will hold the result of ``call``, which a thread of its own works at.

    Where nobody waits for it any longer it goes on, and ends with the process at the latest.
    """
    out: Future[T] = Future()

    def run() -> None:
        try:
            out.set_result(call())
        except Exception as cause:
            out.set_exception(cause)

    threading.Thread(target=run, daemon=True).start()
    return out


def within(limit_s: float, begun: Future[T]) -> T:
    """Return the result, or raise the error, of what ``begin`` began.

    Raises
    ------
    WorkerError
        Where that takes longer than ``limit_s`` from now.
    """
    if not wait([begun], limit_s).done:
        raise WorkerError(f"it did not answer within {limit_s:g} s.")
    return begun.result()
