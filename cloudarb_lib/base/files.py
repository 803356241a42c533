"""Files that several processes share: one holder of a lock, a file replaced whole."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from cloudarb_lib.base.errors import CloudArbError, StoreError

_ENDING_S = 15.0
"""How long we wait for what a killed owner had started, and which still holds its lock."""
_LOOK_AGAIN_S = 0.1
MAKE_ROOM = "Make room, or name a folder on another disk."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_KIND_OF_CODE = 0xFF
"""Of a code of SQLite: its other bits tell where it failed."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Replace a file whole.

    A reader sees the old file or the new one, never a part, also after a crash; the old one stays
    where writing fails.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.

    Yields
    ------
    Path
        Where to write what becomes ``path`` at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        _sync(unfinished)
        os.replace(unfinished, path)
        _sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def full_disk_told(what: str) -> Iterator[None]:
    """Tell of a full disk with the way out.

    Parameters
    ----------
    what : str
        What is written inside, for the message.

    Raises
    ------
    StoreError
        In place of what the system, or SQLite, says of a full disk.
    """
    try:
        yield
    except OSError as cause:
        if cause.errno not in _NO_ROOM:
            raise
        raise StoreError(f"{what} cannot be written: {cause.strerror}.", MAKE_ROOM) from cause
    except sqlite3.OperationalError as cause:
        if cause.sqlite_errorcode & _KIND_OF_CODE not in _SQLITE_NO_ROOM:
            raise
        raise StoreError(f"{what} cannot be written: {cause}.", MAKE_ROOM) from cause


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


@contextmanager
def locked(
    path: Path,
    fault: type[CloudArbError],
    what: str,
    *,
    wait: bool = False,
    unwritable: type[CloudArbError] | None = None,
) -> Iterator[int]:
    """Hold a lock, which the system drops when its last holder ends: no lock is ever stale.

    Parameters
    ----------
    path : Path
        File of the lock, made if need be; it names the process that holds it, unless the disk is
        full.
    fault : type
        What to raise.
    what : str
        What the lock is on, for the message.
    wait : bool
        Whether to wait for a living process that holds it.
    unwritable : type, optional
        What to raise where the file cannot be made; ``fault`` without.

    Yields
    ------
    int
        File descriptor of the lock, which a child process may inherit.

    Raises
    ------
    CloudArbError
        Of the types given, where the file cannot be made, or a living process holds it and we are
        not to wait.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as cause:
        what_failed = f"{what} cannot be written: {cause.strerror}."
        raise (unwritable or fault)(what_failed, "Name another folder.") from cause
    with file:
        deadline = time.monotonic() + _ENDING_S
        looks = 0
        while not _take(file):
            looks += 1
            file.seek(0)
            owner = file.read()
            # a single look may meet somebody who only asks (is_locked)
            owner_lives = looks > 1 and Path(f"/proc/{owner}").exists()
            if not wait and (owner_lives or time.monotonic() > deadline):
                way_out = "Wait for it to end, or stop that process."
                raise fault(f"{what} is in use already, by process {owner or 'unknown'}.", way_out)
            time.sleep(_LOOK_AGAIN_S)
        file.truncate(0)
        with suppress(OSError):  # on a full disk the lock holds all the same, without a name
            os.write(file.fileno(), str(os.getpid()).encode())
        yield file.fileno()


def is_locked(path: Path) -> bool:
    """Say whether anybody holds a lock (``locked``), on this machine or on another that shares it.

    Parameters
    ----------
    path : Path
        File of the lock; without one nobody holds it.
    """
    with suppress(FileNotFoundError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _take(file: TextIO) -> bool:
    """Try to take the lock on a file; say whether we hold it now."""
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
