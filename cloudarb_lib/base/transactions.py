"""Changes of an SQLite file that count together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_once(con: sqlite3.Connection) -> Iterator[None]:
    """Let several changes count together, or none of them.

    Parameters
    ----------
    con : sqlite3.Connection
        Without an isolation level: nothing else begins a transaction there.
    """
    con.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
