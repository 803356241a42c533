"""The event table, its dead letters, and how far each consumer is, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import CloudArbError, ParameterError, StoreError
from cloudarb_lib.base.transactions import at_once

KINDS = ("prices", "alarm", "plan", "alert")
_TABLES = """
    CREATE TABLE IF NOT EXISTS events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL, subject TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS dead_letters (
        consumer TEXT NOT NULL, event_id TEXT NOT NULL, why TEXT NOT NULL, first_at TEXT NOT NULL,
        last_at TEXT NOT NULL, tries INTEGER NOT NULL, is_due INTEGER NOT NULL,
        PRIMARY KEY (consumer, event_id)
    );
    CREATE TABLE IF NOT EXISTS consumers (
        consumer TEXT PRIMARY KEY, number INTEGER NOT NULL, memory TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS alerts (
        watch TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (watch, position)
    );
"""


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Parameters
    ----------
    event_id : str
        32 hex digits. The same happening has the same one, however often it is told.
    kind : str
        One of ``KINDS``.
    subject : str
        What it happened to: a file of prices, a run, a series, a rule.
    at : str
        When, in UTC.
    body : mapping
        What else is known of it, as JSON holds it.
    """

    event_id: str
    kind: str
    subject: str
    at: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class DeadLetter:
    """An event that a consumer could not handle.

    Parameters
    ----------
    consumer, event : str, Event
        Who could not handle what.
    why : str
        What was wrong the last time, and the way out.
    tries : int
        How often it was tried.
    is_due : bool
        Whether it is tried again the next time the consumer works.
    """

    consumer: str
    event: Event
    why: str
    tries: int
    is_due: bool


def event(kind: str, subject: str, at: str, body: Mapping[str, Any]) -> Event:
    """Return an event whose id follows from all that is said of it."""
    said = json.dumps([kind, subject, at, body], sort_keys=True, allow_nan=False)
    return Event(hashlib.sha256(said.encode()).hexdigest()[:32], kind, subject, at, body)


def ledger_file(reports: Path) -> Path:
    """Return the file of the events of a folder of runs."""
    return reports / ".state" / "events.sqlite"


class Ledger(AbstractContextManager["Ledger"]):
    """The event table; several processes may read and write it.

    Parameters
    ----------
    path : Path
        The file, made if need be.

    Raises
    ------
    StoreError
        Where it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._con = sqlite3.connect(path, isolation_level=None, timeout=30.0)
            self._con.execute("PRAGMA journal_mode = WAL")
            self._con.execute("PRAGMA synchronous = FULL")
            self._con.executescript(_TABLES)
        except (OSError, sqlite3.Error) as cause:
            what = f"the event table {path} cannot be opened: {cause}."
            way_out = "Move it away: events of prices and runs are told anew from these."
            raise StoreError(what, way_out) from cause

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def at_once(self) -> AbstractContextManager[None]:
        """Let several changes count together, or none of them."""
        return at_once(self._con)

    def add(self, events: Iterable[Event]) -> int:
        """Add events; return how many were not there yet."""
        before = self._con.total_changes
        self._con.executemany(
            "INSERT OR IGNORE INTO events (event_id, kind, subject, at, body)"
            " VALUES (?, ?, ?, ?, ?)",
            [(e.event_id, e.kind, e.subject, e.at, json.dumps(e.body)) for e in events],
        )
        return self._con.total_changes - before

    def newest(self, count: int, kind: str = "") -> list[tuple[int, Event]]:
        """Return the newest events with their numbers, oldest first; of one kind, or of all."""
        rows = self._con.execute(
            f"SELECT {_EVENT} FROM events WHERE kind = ? OR ? = '' ORDER BY number DESC LIMIT ?",
            (kind, kind, count),
        )
        return [_numbered(row) for row in rows][::-1]

    def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """Return events behind a number, with theirs, oldest first."""
        rows = self._con.execute(
            f"SELECT {_EVENT} FROM events WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
        )
        return [_numbered(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many events there are of each kind."""
        return dict(self._con.execute("SELECT kind, count(*) FROM events GROUP BY kind"))

    def subjects(self, kind: str) -> set[str]:
        """Return the subjects of all events of a kind."""
        rows = self._con.execute("SELECT DISTINCT subject FROM events WHERE kind = ?", (kind,))
        return {subject for (subject,) in rows}

    def position(self, consumer: str) -> tuple[int, dict[str, Any]]:
        """Return the number up to which a consumer is done, and what it remembers."""
        row = self._con.execute(
            "SELECT number, memory FROM consumers WHERE consumer = ?", (consumer,)
        ).fetchone()
        return (0, {}) if row is None else (row[0], json.loads(row[1]))

    def move(self, consumer: str, number: int, memory: Mapping[str, Any]) -> None:
        """Note how far a consumer is, and what it remembers."""
        self._con.execute(
            "INSERT OR REPLACE INTO consumers VALUES (?, ?, ?)",
            (consumer, number, json.dumps(memory)),
        )

    def bury(self, consumer: str, event_id: str, why: str, at: str) -> None:
        """Put an event aside that a consumer cannot handle."""
        self._con.execute(
            "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, 1, 0) ON CONFLICT DO UPDATE"
            " SET why = excluded.why, last_at = excluded.last_at, tries = tries + 1, is_due = 0",
            (consumer, event_id, why, at, at),
        )

    def mended(self, consumer: str, event_id: str) -> None:
        """Take a dead letter away, which was handled after all."""
        self._con.execute(
            "DELETE FROM dead_letters WHERE consumer = ? AND event_id = ?", (consumer, event_id)
        )

    def dead_letters(self, consumer: str = "") -> list[DeadLetter]:
        """Return what could not be handled, by one consumer or by all."""
        rows = self._con.execute(
            f"SELECT consumer, why, tries, is_due, {_EVENT} FROM dead_letters JOIN events"
            " USING (event_id) WHERE consumer = ? OR ? = '' ORDER BY number",
            (consumer, consumer),
        )
        return [DeadLetter(r[0], _numbered(r[4:])[1], r[1], r[2], bool(r[3])) for r in rows]

    def replay(self, consumer: str, after: int | None) -> int:
        """Have a consumer handle its dead letters again, or everything behind a number.

        Parameters
        ----------
        consumer : str
            One that has worked before.
        after : int, optional
            Without it only what could not be handled.

        Returns
        -------
        int
            How many events it is given the next time, beside those that it has not seen.

        Raises
        ------
        ParameterError
            For a consumer that has never worked.
        """
        known = [name for (name,) in self._con.execute("SELECT consumer FROM consumers")]
        if consumer not in known:
            what = f"no consumer {consumer!r}."
            raise ParameterError(what, f"Known: {', '.join(sorted(known)) or 'none yet'}.")
        number, memory = self.position(consumer)
        with self.at_once():
            if after is None:
                words = (consumer,)
                update = "UPDATE dead_letters SET is_due = 1 WHERE consumer = ?"
                return self._con.execute(update, words).rowcount
            self._con.execute("DELETE FROM dead_letters WHERE consumer = ?", (consumer,))
            self.move(consumer, min(after, number), memory)
        again = "SELECT count(*) FROM events WHERE number > ? AND number <= ?"
        return int(self._con.execute(again, (after, number)).fetchone()[0])

    def alerts(self, watch: str) -> list[dict[str, Any]]:
        """Return the alerts of a configuration that fire."""
        rows = self._con.execute(
            "SELECT body FROM alerts WHERE watch = ? ORDER BY position", (watch,)
        )
        return [json.loads(body) for (body,) in rows]

    def firing(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the alerts of all configurations that fire, each with its configuration."""
        rows = self._con.execute("SELECT watch, body FROM alerts ORDER BY watch, position")
        for watch, body in rows.fetchall():
            yield watch, json.loads(body)

    def set_alerts(self, watch: str, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Note which alerts of a configuration fire."""
        self._con.execute("DELETE FROM alerts WHERE watch = ?", (watch,))
        self._con.executemany(
            "INSERT INTO alerts VALUES (?, ?, ?)",
            [(watch, position, json.dumps(alert)) for position, alert in enumerate(alerts)],
        )


_EVENT = "number, event_id, kind, subject, at, body"


def _numbered(row: tuple[Any, ...]) -> tuple[int, Event]:
    number, event_id, kind, subject, at, body = row
    return number, Event(event_id, kind, subject, at, json.loads(body))


def as_json(told: Event) -> dict[str, Any]:
    """Return an event as programs read it."""
    return asdict(told)


def reason(fault: CloudArbError) -> str:
    """Return what is wrong and the way out, on one line."""
    return " ".join(str(fault).split())
