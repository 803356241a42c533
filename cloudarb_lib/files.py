"""Small rules for files that several processes share: one holder of a lock, a file replaced whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudarb_lib.errors import CloudArbError


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
def locked(path: Path, fault: type[CloudArbError], what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock in file ``path``.

    The system drops it when its last holder ends, however that ends: no lock is ever stale. Raises ``fault``
    about ``what`` where the file cannot be made, or a living process holds it and we are not to ``wait``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    except OSError as cause:
        raise fault(f"{what} cannot be written: {cause.strerror}.", "Name another folder.") from cause
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            handle.seek(0)
            way_out = "Wait for it to end, or stop that process."
            raise fault(f"{what} is in use already, by process {handle.read()}.", way_out) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
