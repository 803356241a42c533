"""A process of our own that works for this one: kept warm, told to stop, gone with its parent.

A fresh interpreter, not a fork and not a ``multiprocessing.Process``: that would run the analyst's
script again. It is spoken to over a pipe that only the two hold.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any, TypeVar

from cloudarb_lib.base.errors import WorkerError, WorkerStopped

T = TypeVar("T")
START_LIMIT_S = 120.0
"""What starting may take, with heavy imports, on top of the time a call may take."""
_SIGNAL_AT_PARENTS_END = 1
"""PR_SET_PDEATHSIG of prctl(2), which Linux alone has."""
END_LIMIT_S = 5.0
"""What a process that was told to end may take before it is killed."""


def start_child(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that is asked to end when this one has ended, however that ended.

    Parameters
    ----------
    command : list of str
        Its command line.
    **options
        As subprocess.Popen takes them.
    """
    parent = os.getpid()
    control = getattr(ctypes.CDLL(None), "prctl", None)

    def end_with_parent() -> None:
        if control is not None:
            control(_SIGNAL_AT_PARENTS_END, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before it was heeded
            os._exit(1)

    return subprocess.Popen(command, preexec_fn=end_with_parent, **options)


def end_process(process: subprocess.Popen[bytes], limit_s: float) -> None:
    """Tell a process to end, and kill it if it has not within so many seconds."""
    process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Worker:
    """One process that answers calls; started at the first of them, and again after it was lost.

    Parameters
    ----------
    name : str
        What it is called in errors.
    setup : callable, optional
        Makes what every call then gets as its first argument, once in each process.
    """

    def __init__(self, name: str, setup: Callable[[], Any] | None = None) -> None:
        self.name = name
        self.setup = setup
        self.lock = threading.Lock()
        self.speaking = threading.Lock()
        self.calls = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0
        atexit.register(self.close)

    def call(
        self,
        function: Callable[..., T],
        *arguments: Any,
        limit_s: float,
        on_progress: Callable[[Any], None] | None = None,
    ) -> T:
        """Return what ``function(*arguments)`` returns there.

        Parameters
        ----------
        function : callable
            Of a module of the package, which is named to the process and imported there.
        limit_s : float
            Seconds that it may be silent.
        on_progress : callable, optional
            Gets what the function tells by ``report``.

        Raises
        ------
        WorkerStopped
            Where ``interrupt`` ended it and it had nothing to return.
        WorkerError
            Where it raises (its words), dies (its last words) or is silent for ``limit_s``.
        """
        with self.lock:
            fresh = not self._is_alive()
            if fresh:
                self._start()
            try:
                self.calls += 1
                self._say((self.calls, function, arguments))
                said: Any
                kind, said = self._answer(limit_s + fresh * START_LIMIT_S, on_progress)
            except (OSError, EOFError) as cause:
                raise WorkerError(f"the {self.name} {self._last_words()}.") from cause
            except BaseException:
                # an interrupt too: its answer would be taken for that of the next call
                self.close()
                raise
        if kind == _STOPPED:
            raise WorkerStopped(f"the {self.name} was stopped.")
        if kind == _FAULT:
            raise WorkerError(f"in the {self.name}: {said}")
        out: T = said
        return out

    def _answer(self, limit_s: float, on_progress: Callable[[Any], None] | None) -> tuple[str, Any]:
        """Return how the call ended and what came of it; tell of progress until then."""
        while True:
            if not self.pipe.poll(limit_s):
                raise WorkerError(f"the {self.name} did not answer within {limit_s:g} s.")
            kind, said = self.pipe.recv()
            if kind != _PROGRESS:
                return kind, said
            if on_progress:
                on_progress(said)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the call that runs there, or is about to; in no later one."""
        if self._is_alive():
            with contextlib.suppress(OSError):
                self._say((self.calls, None, ()))

    def kill(self) -> None:
        """End the process at once: a call that waits for it raises."""
        if self._is_alive() and self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """End the process, if there is one of ours, and forget it.

        SIGTERM ends it at once, as nothing in it handles that; but what observes it (coverage,
        profilers) may, and writes what it has.
        """
        process = self.process
        if process is not None and self.owner == os.getpid():
            end_process(process, END_LIMIT_S)
        self.process = None

    def _say(self, message: Any) -> None:
        with self.speaking:
            self.pipe.send(message)

    def _is_alive(self) -> bool:
        """Whether there is a process of ours that can be asked."""
        if self.process is None or self.owner != os.getpid():
            return False
        return self.process.poll() is None

    def _start(self) -> None:
        self.owner = os.getpid()
        # open as long as the process
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.pipe, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from cloudarb_lib.base import worker; worker.serve({theirs.fileno()})"
        )
        # its own session: Ctrl-C in the parent is the parent's to handle
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        theirs.close()
        self._say(self.setup)
        self.process = process  # from here on others may speak too

    def _last_words(self) -> str:
        assert self.process is not None
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f"ended with code {code}" + (f": {lines[-1].strip()}" if lines else "")


_PROGRESS, _DONE, _FAULT, _STOPPED = ("progress", "done", "fault", "stopped")
"""Kinds of what a worker says."""


class _Served:
    """The worker's end: a call can be interrupted once, but not while something is being said."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.speaking = threading.Lock()
        self.call = 0
        """Number of the call that runs, or ran last."""
        self.stopped_call = 0
        """Number of the last call that is to stop."""
        self.is_open = False
        """Whether an interrupt is let through."""
        signal.signal(signal.SIGINT, lambda *_: self.let_through())

    def let_through(self) -> None:
        """Raise KeyboardInterrupt where the running call is to stop and does not know yet."""
        if self.is_open and self.call <= self.stopped_call:
            self.is_open = False
            raise KeyboardInterrupt

    def stop(self, call: int) -> None:
        """Interrupt a call, from another thread."""
        self.stopped_call = call
        os.kill(os.getpid(), signal.SIGINT)  # a signal wakes the main thread where it waits

    def run(self, call: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Answer one call."""
        self.call = call
        try:
            try:
                self.is_open = True
                self.let_through()
                out = (_DONE, function(*arguments))
            finally:
                self.is_open = False
        except KeyboardInterrupt:
            out = (_STOPPED, None)
        except Exception as cause:
            out = (_FAULT, f"{type(cause).__name__}: {cause}")
        self._say(out)

    def report(self, said: Any) -> None:
        """Tell of progress, from any thread; an interrupt waits until it is told."""
        if threading.current_thread() is not threading.main_thread():
            self._say((_PROGRESS, said))
            return
        was_open = self.is_open
        self.is_open = False
        self._say((_PROGRESS, said))
        self.is_open = was_open
        self.let_through()

    def _say(self, message: tuple[str, Any]) -> None:
        with self.speaking:
            self.pipe.send(message)


_served: list[_Served] = []
"""In a worker, its end of the pipe; elsewhere nothing."""


def report(said: Any) -> None:
    """Tell the caller of the call that runs here how far it is; outside a worker, nobody."""
    for end in _served:
        end.report(said)


def serve(handle: int) -> None:
    """Answer calls at the end ``handle`` of a pipe until the parent is gone: the worker's work.

    A thread of its own waits for the parent, so that a killed parent ends a fit half way.
    """
    end = _Served(Connection(handle))
    _served.append(end)
    calls = queue.SimpleQueue[Any]()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            setup = end.pipe.recv()
            calls.put(setup)
            while True:
                call, function, arguments = end.pipe.recv()
                if function is None:
                    end.stop(call)
                else:
                    calls.put((call, function, arguments))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    setup = calls.get()
    given = (setup(),) if setup else ()
    while True:
        call, function, arguments = calls.get()
        end.run(call, function, (*given, *arguments))
