"""Work in another process while the kernel goes on: the newest question alone, stopped at will."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloudarb_lib.base.errors import WorkerError, WorkerStopped
from cloudarb_lib.base.worker import Worker

SILENT_LIMIT_S = 3600.0
"""A worker that says nothing for so long is given up."""
STOPPED = "Stopped."
GRACE_S = 3.0
"""A call that goes on for so long after it was told to stop is ended with its process."""


@dataclass(frozen=True)
class Listener:
    """Who is told what becomes of a question, from another thread.

    Parameters
    ----------
    progress : callable
        Gets what the worker reports.
    result : callable
        Gets what the worker returns.
    ended : callable
        Gets a sentence where it returned nothing.
    """

    progress: Callable[[Any], None]
    result: Callable[[Any], None]
    ended: Callable[[str], None]


_newest: dict[str, Background] = {}
"""By the name of the worker: a cell that is run again leaves no process behind."""


class Background:
    """Asks a worker one question at a time; a newer question takes the place of an older one.

    A newer one with a worker of the same name ends the process of an older one.

    Parameters
    ----------
    worker : Worker
        Who answers.
    listener : Listener
        Is told of the newest question alone.
    """

    def __init__(self, worker: Worker, listener: Listener) -> None:
        self.worker = worker
        self.listener = listener
        self._changed = threading.Condition()
        self._waiting: tuple[Any, ...] | None = None
        self._asked = 0
        self._is_running = False
        older = _newest.get(worker.name)
        if older is not None and older.worker is not worker:
            older.worker.close()
        _newest[worker.name] = self
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have ``function(*arguments)`` answered there; what is under way ends."""
        with self._changed:
            self._waiting = (function, *arguments)
            self._asked += 1  # before the interrupt: what it brings back is the older one's
            if self._is_running:
                self.worker.interrupt()
            self._changed.notify_all()

    def stop(self) -> None:
        """End what is under way: it hands over the best so far, if it has anything."""
        with self._changed:
            was_waiting = self._waiting is not None
            self._waiting = None
            asked = self._asked
            self._changed.notify_all()
        if was_waiting:
            self.listener.ended(STOPPED)
        self.worker.interrupt()
        timer = threading.Timer(GRACE_S, self._kill, [asked])
        timer.daemon = True
        timer.start()

    def wait(self, limit_s: float) -> bool:
        """Return whether all is answered within so many seconds."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, limit_s)

    def _is_idle(self) -> bool:
        return not self._is_running and self._waiting is None

    def _kill(self, asked: int) -> None:
        """End the process, if it is still at the question that was stopped."""
        with self._changed:
            is_late = self._is_running and self._asked == asked
        if is_late:
            self.worker.kill()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                assert self._waiting is not None
                question = self._waiting
                asked = self._asked
                self._waiting = None
                self._is_running = True
            try:
                self._answer(question, asked)
            finally:
                with self._changed:
                    self._is_running = False
                    self._changed.notify_all()

    def _answer(self, question: tuple[Any, ...], asked: int) -> None:
        def tell(said: Any) -> None:
            if self._asked == asked:
                self.listener.progress(said)
            else:  # it began just when a newer question came
                self.worker.interrupt()

        function, *arguments = question
        try:
            out = self.worker.call(function, *arguments, limit_s=SILENT_LIMIT_S, on_progress=tell)
            if self._asked == asked:
                self.listener.result(out)
        except WorkerStopped:
            if self._asked == asked:
                self.listener.ended(STOPPED)
        except WorkerError as fault:
            if self._asked == asked:
                self.listener.ended(fault.what)
        except Exception as fault:  # in drawing: a thread would die of it without a word
            self.listener.ended(f"{type(fault).__name__}: {fault}")
