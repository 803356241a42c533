"""TensorFlow in a process of its own, kept warm: together with OR-Tools it crashes.

A fresh interpreter, not a fork and not ``multiprocessing``: that would run the analyst's script again. It is
spoken to over its standard streams in numpy's own format, pickle refused both ways, and ends with its parent.
"""

from __future__ import annotations

import atexit
import io
import os
import queue
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any, TypeVar

import numpy as np

from cloudarb_lib.errors import WorkerError

T = TypeVar("T")
START_LIMIT_S = 120.0  # importing TensorFlow, on top of the time a call may take


class Worker:
    """One process that answers calls; started at the first of them, and again after it was lost."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0
        self.log: IO[bytes] = io.BytesIO()

    def call(self, arrays: dict[str, Any], *, limit_s: float) -> np.ndarray:
        """Return what ``neural.fit_predict(**arrays)`` returns there.

        WorkerError when it raises (its words), dies (its last words) or takes longer than ``limit_s``.
        """
        with self.lock:
            fresh = self._start()
            process = self.process
            assert process is not None
            assert process.stdin is not None
            assert process.stdout is not None
            late = threading.Event()

            def give_up() -> None:
                late.set()
                process.kill()  # which ends every read and write below

            timer = threading.Timer(limit_s + fresh * START_LIMIT_S, give_up)
            timer.daemon = True
            timer.start()
            try:
                _send(process.stdin, arrays)
                answer = _receive(process.stdout)
            except (OSError, EOFError) as cause:
                process.wait()
                why = f"did not answer within {limit_s:g} s" if late.is_set() else self._last_words(process)
                self.close()
                raise WorkerError(f"the TensorFlow worker {why}.") from cause
            except BaseException:  # an interrupt: its answer would be taken for that of the next call
                self.close()
                raise
            finally:
                timer.cancel()
        if "error" in answer:
            raise WorkerError(f"in the TensorFlow worker: {answer['error']}")
        return answer["out"]

    def close(self) -> None:
        """End the process, if there is one of ours."""
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.communicate()
        self.process = None

    def _start(self) -> bool:
        """Return whether a process had to be started (none yet, dead, or a forked parent's)."""
        if self.process is not None and self.owner == os.getpid() and self.process.poll() is None:
            return False
        self.owner = os.getpid()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        code = f"import sys; sys.path[:] = {sys.path!r}; from cloudarb_lib.forecast import worker; worker.serve()"
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=self.log, start_new_session=True
        )  # own session: Ctrl-C in the parent is the parent's to handle
        return True

    def _last_words(self, process: subprocess.Popen[bytes]) -> str:
        self.log.seek(0)
        said = self.log.read().decode(errors="replace").strip().splitlines()
        return f"ended with code {process.returncode}" + (f": {said[-1].strip()}" if said else "")


def within(limit_s: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns; WorkerError where it takes longer than ``limit_s``.

    It runs in a thread, which is left behind then, and ends with the process at the latest.
    """
    box: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((call(), None))
        except Exception as cause:
            box.put((None, cause))

    threading.Thread(target=run, daemon=True).start()
    try:
        out, cause = box.get(timeout=limit_s)
    except queue.Empty:
        raise WorkerError(f"it did not answer within {limit_s:g} s.") from None
    if cause is not None:
        raise cause
    return out


WORKER = Worker()
atexit.register(WORKER.close)


def _send(stream: IO[bytes], arrays: dict[str, Any]) -> None:
    box = io.BytesIO()
    np.savez(box, allow_pickle=False, **arrays)
    stream.write(struct.pack("<Q", box.tell()) + box.getvalue())
    stream.flush()


def _receive(stream: IO[bytes]) -> dict[str, np.ndarray]:
    head = stream.read(8)
    body = stream.read(struct.unpack("<Q", head)[0]) if len(head) == 8 else b""
    if len(head) < 8 or len(body) < struct.unpack("<Q", head)[0]:
        raise EOFError("the stream ended")
    with np.load(io.BytesIO(body), allow_pickle=False) as box:
        return dict(box)


def serve() -> None:
    """Answer calls until the parent is gone: what the worker process runs.

    A thread of its own waits for the parent, so that a killed parent ends a fit half way.
    """
    inward, outward = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not enter the answers
    calls: queue.Queue[dict[str, np.ndarray]] = queue.Queue()

    def listen() -> None:
        try:
            while True:
                calls.put(_receive(inward))
        finally:
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    from cloudarb_lib.forecast import neural

    while True:
        call = calls.get()
        try:
            answer: dict[str, Any] = {"out": neural.fit_predict(**call)}  # type: ignore[arg-type]
        except Exception as cause:
            answer = {"error": f"{type(cause).__name__}: {cause}"}
        _send(outward, answer)
