"""TensorFlow in a process of its own, kept warm: together with OR-Tools it crashes.

A fresh interpreter, not a fork and not a ``multiprocessing.Process``: that would run the analyst's
script again. It is spoken to over a pipe that only the two hold, and ends with its parent.
"""

from __future__ import annotations

import atexit
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any, TypeVar

from cloudarb_lib.base.errors import WorkerError

T = TypeVar("T")
START_LIMIT_S = 120.0  # importing TensorFlow, on top of the time a call may take


class Worker:
    """One process that answers calls; started at the first of them, and again after it was lost."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0

    def call(self, function: Callable[..., T], *arguments: Any, limit_s: float) -> T:
        """Return what ``function(*arguments)`` returns there.

        Parameters
        ----------
        function : of a module of the package, which is named to the process and imported there.
        limit_s : how long it may take.

        Raises
        ------
        WorkerError
            Where it raises (its words), dies (its last words) or takes longer than ``limit_s``.
        """
        with self.lock:
            fresh = not self._is_alive()
            if fresh:
                self._start()
            try:
                self.pipe.send((function, arguments))
                if not self.pipe.poll(limit_s + fresh * START_LIMIT_S):
                    raise WorkerError(f"the TensorFlow worker did not answer within {limit_s:g} s.")
                out, fault = self.pipe.recv()
            except (OSError, EOFError) as cause:
                raise WorkerError(f"the TensorFlow worker {self._last_words()}.") from cause
            except BaseException:
                # an interrupt too: its answer would be taken for that of the next call
                self.close()
                raise
        if fault:
            raise WorkerError(f"in the TensorFlow worker: {fault}")
        return out

    def _is_alive(self) -> bool:
        """Whether there is a process of ours that can be asked."""
        if self.process is None or self.owner != os.getpid():
            return False
        return self.process.poll() is None

    def close(self) -> None:
        """End the process, if there is one of ours."""
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        self.process = None

    def _start(self) -> None:
        self.owner = os.getpid()
        # open as long as the process
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.pipe, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from cloudarb_lib.forecast import worker; worker.serve({theirs.fileno()})"
        )
        # its own session: Ctrl-C in the parent is the parent's to handle
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        theirs.close()

    def _last_words(self) -> str:
        assert self.process is not None
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f"ended with code {code}" + (f": {lines[-1].strip()}" if lines else "")


WORKER = Worker()
atexit.register(WORKER.close)


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


def serve(handle: int) -> None:
    """Answer calls at the end ``handle`` of a pipe until the parent is gone: the worker's work.

    A thread of its own waits for the parent, so that a killed parent ends a fit half way.
    """
    pipe = Connection(handle)
    calls = queue.SimpleQueue[Any]()

    def listen() -> None:
        try:
            while True:
                calls.put(pipe.recv())
        finally:
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        function, arguments = calls.get()
        try:
            pipe.send((function(*arguments), ""))
        except Exception as cause:
            pipe.send((None, f"{type(cause).__name__}: {cause}"))
