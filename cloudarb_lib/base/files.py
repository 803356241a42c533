"""Small rules for files that several processes share: one holder of a lock, a file replaced whole."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cloudarb_lib.base.errors import CloudArbError

_ENDING_S = 15.0


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield where to write what becomes ``path`` at the end: a reader sees the old file or the new one,
    never a part, also after a crash, and the old one stays where writing fails. Its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


@contextmanager
def locked(
    path: Path, fault: type[CloudArbError], what: str, *, wait: bool = False
) -> Iterator[int]:
    """Hold the lock in file ``path``; yield its file descriptor, which a child process may inherit.

    The system drops it when its last holder ends, however that ends: no lock is ever stale. Raises ``fault``
    about ``what`` where the file cannot be made, or a living process holds it and we are not to ``wait``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    except OSError as cause:
        raise fault(
            f"{what} cannot be written: {cause.strerror}.", "Name another folder."
        ) from cause
    with handle:
        patience = (
            time.monotonic() + _ENDING_S
        )  # one that was killed: what it had started is ending
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            handle.seek(0)
            owner = handle.read()
            if not wait and (Path(f"/proc/{owner}").exists() or time.monotonic() > patience):
                way_out = "Wait for it to end, or stop that process."
                raise fault(f"{what} is in use already, by process {owner}.", way_out)
            time.sleep(0.1)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield handle.fileno()
