"""Changes of an SQLite file that count together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cloudarb_lib.base.files import full_disk_told


@contextmanager
def at_once(con: sqlite3.Connection) -> Iterator[None]:
    """Let several changes count together, or none of them.

    Parameters
    ----------
    con : sqlite3.Connection
        Without an isolation level: nothing else begins a transaction there.

    Raises
    ------
    StoreError
        Where the disk is full; nothing of it counts then.
    """
    with full_disk_told("the file"):
        con.execute("BEGIN IMMEDIATE")
        try:
            yield
            con.execute("COMMIT")
        except BaseException:
            if con.in_transaction:  # a full disk may have ended it already
                con.execute("ROLLBACK")
            raise
