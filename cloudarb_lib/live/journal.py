"""What was fetched and what became of it, in one SQLite file: nothing acknowledged is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.base.transactions import at_once
from cloudarb_lib.live.breakers import BreakerState
from cloudarb_lib.live.entries import DeadLetter, Fault, Response, part_of, part_text, response_of
from cloudarb_lib.live.feed import Part
from cloudarb_lib.live.raw import RawFile

WAITING = "waiting"
"""Fetched, not yet in the store."""
STORED = "stored"
HELD = "held"
"""Not taken in: a check before publication, or the store, refused it; see the dead letter."""

_OPEN_OF_PART = "feed = ? AND json_extract(part, '$.name') = ? AND done_at IS NULL"
_TABLES = """
    CREATE TABLE IF NOT EXISTS responses (
        id INTEGER PRIMARY KEY, feed TEXT NOT NULL, part TEXT NOT NULL, sha256 TEXT NOT NULL,
        suffix TEXT NOT NULL, bytes INTEGER NOT NULL, begun_at TEXT NOT NULL,
        seen_at TEXT NOT NULL, look TEXT NOT NULL, complete INTEGER NOT NULL,
        confirmed INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL, settled_at TEXT, removed_at TEXT
    );
    CREATE INDEX IF NOT EXISTS responses_by_state ON responses (state);
    CREATE INDEX IF NOT EXISTS responses_by_digest ON responses (sha256);
    CREATE TABLE IF NOT EXISTS dead_letters (
        id INTEGER PRIMARY KEY, feed TEXT NOT NULL, part TEXT NOT NULL, response INTEGER,
        reason TEXT NOT NULL, what TEXT NOT NULL, way_out TEXT NOT NULL, first_at TEXT NOT NULL,
        last_at TEXT NOT NULL, tries INTEGER NOT NULL, done_at TEXT
    );
    CREATE TABLE IF NOT EXISTS breakers (
        provider TEXT PRIMARY KEY, state TEXT NOT NULL, failures INTEGER NOT NULL, opened_at REAL
    );
    CREATE TABLE IF NOT EXISTS probes (
        feed TEXT PRIMARY KEY, found TEXT NOT NULL, found_at TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS totals (
        name TEXT NOT NULL, label TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (name, label)
    );
"""


class Journal(AbstractContextManager["Journal"]):
    """The journal of a collection; one process writes at a time.

    Parameters
    ----------
    path : Path
        The file, made if need be.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._con = sqlite3.connect(path, isolation_level=None)
            self._con.execute("PRAGMA synchronous = FULL")
            self._con.executescript(_TABLES)
        except sqlite3.Error as cause:
            what = f"the journal {path} cannot be opened: {cause}."
            raise StoreError(
                what, "Move it away; what it lists is in the store already."
            ) from cause
        self._con.row_factory = sqlite3.Row

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def at_once(self) -> AbstractContextManager[None]:
        """Let several changes count together, or none of them."""
        return at_once(self._con)

    def note(
        self,
        feed: str,
        part: Part,
        file: RawFile,
        *,
        begun_at: pd.Timestamp,
        cycle_at: pd.Timestamp,
        complete: bool,
    ) -> Response:
        """Note what was fetched; it waits for the store from now on."""
        seen_at = part.seen_at or begun_at
        look = (part.seen_at or cycle_at).isoformat()
        values = [feed, part_text(part), file.sha256, file.suffix, file.size]
        values += [begun_at.isoformat(), seen_at.isoformat(), look, complete, WAITING]
        cursor = self._con.execute(
            "INSERT INTO responses (feed, part, sha256, suffix, bytes, begun_at, seen_at, look,"
            f" complete, state) VALUES ({', '.join('?' * len(values))})",
            values,
        )
        number = int(cursor.lastrowid or 0)
        return Response(number, feed, part, file, begun_at, seen_at, look, complete)

    def responses(self, *states: str) -> list[Response]:
        """Return the responses of some states whose bytes are still kept, the oldest first."""
        rows = self._con.execute(
            "SELECT * FROM responses WHERE removed_at IS NULL"
            f" AND state IN ({', '.join('?' * len(states))}) ORDER BY seen_at, id",
            states,
        )
        return [response_of(row) for row in rows]

    def response(self, number: int | None) -> Response | None:
        """Return a response whose bytes are still kept; None where there is none of that number."""
        row = self._con.execute(
            "SELECT * FROM responses WHERE id = ? AND removed_at IS NULL", [number]
        ).fetchone()
        return None if row is None else response_of(row)

    def take_up(self, number: int, *, confirmed: bool) -> None:
        """Let a response that is held wait for the store again; say whether it is confirmed."""
        self._con.execute(
            "UPDATE responses SET state = ?, confirmed = max(confirmed, ?) WHERE id = ?"
            " AND removed_at IS NULL",
            [WAITING, confirmed, number],
        )

    def settle(self, numbers: Sequence[int], state: str, at: pd.Timestamp) -> None:
        """Say what became of responses."""
        self._con.executemany(
            "UPDATE responses SET state = ?, settled_at = ? WHERE id = ?",
            [(state, at.isoformat(), number) for number in numbers],
        )

    def last_done(self, feed: str) -> dict[str, pd.Timestamp]:
        """Return by part when the fetch began whose answer is the last one stored whole."""
        rows = self._con.execute(
            # the last one that came, not the latest time: a clock may have been ahead for a while
            "SELECT json_extract(part, '$.name') AS name, begun_at, max(id) FROM responses"
            " WHERE feed = ? AND complete AND state = ? GROUP BY name",
            [feed, STORED],
        )
        return {row["name"]: pd.Timestamp(row["begun_at"]) for row in rows}

    def bury(self, feed: str, part: Part, fault: Fault, at: pd.Timestamp) -> None:
        """Write a dead letter, or note that an open one of that part failed again.

        A part can have two: one for that it cannot be fetched, one for an answer that is held.
        """
        text = part_text(part)
        open_one = self._con.execute(
            f"SELECT id FROM dead_letters WHERE {_OPEN_OF_PART} AND (response IS NULL) = ?",
            [feed, part.name, fault.response is None],
        ).fetchone()
        if open_one is None:
            self._con.execute(
                "INSERT INTO dead_letters (feed, part, response, reason, what, way_out, first_at,"
                " last_at, tries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                [feed, text, fault.response, *fault.words, *[at.isoformat()] * 2],
            )
        else:
            self._con.execute(
                "UPDATE dead_letters SET part = ?, response = ?, reason = ?, what = ?, way_out = ?,"
                " last_at = ?, tries = tries + 1 WHERE id = ?",
                [text, fault.response, *fault.words, at.isoformat(), open_one["id"]],
            )

    def dead_letters(self) -> list[DeadLetter]:
        """Return the open dead letters, the oldest first."""
        rows = self._con.execute("SELECT * FROM dead_letters WHERE done_at IS NULL ORDER BY id")
        return [
            DeadLetter(
                number=row["id"],
                feed=row["feed"],
                part=part_of(row["part"]),
                fault=Fault(row["reason"], row["what"], row["way_out"], row["response"]),
                first_at=pd.Timestamp(row["first_at"]),
                last_at=pd.Timestamp(row["last_at"]),
                tries=row["tries"],
            )
            for row in rows
        ]

    def mended(self, feed: str, part: str, at: pd.Timestamp) -> None:
        """Close the dead letters of a part."""
        self._con.execute(
            f"UPDATE dead_letters SET done_at = ? WHERE {_OPEN_OF_PART}",
            [at.isoformat(), feed, part],
        )

    def drop(self, number: int, at: pd.Timestamp) -> None:
        """Close a dead letter that nobody will mend."""
        self._con.execute(
            "UPDATE dead_letters SET done_at = ? WHERE id = ?", [at.isoformat(), number]
        )

    def breakers(self) -> list[BreakerState]:
        """Return where the circuit breakers stand."""
        rows = self._con.execute("SELECT provider, state, failures, opened_at FROM breakers")
        return [BreakerState(*row) for row in rows]

    def save_breaker(self, state: BreakerState) -> None:
        """Note where a circuit breaker stands."""
        self._con.execute(
            "INSERT OR REPLACE INTO breakers VALUES (?, ?, ?, ?)",
            [state.provider, state.state, state.failures, state.opened_at],
        )

    def verify(self, feed: str, found: str, at: pd.Timestamp) -> None:
        """Note that the live service of a feed answered as documented."""
        self._con.execute(
            "INSERT OR REPLACE INTO probes VALUES (?, ?, ?)", [feed, found, at.isoformat()]
        )

    def verified(self) -> dict[str, pd.Timestamp]:
        """Return by feed when its live service last answered as documented."""
        rows = self._con.execute("SELECT feed, found_at FROM probes")
        return {row["feed"]: pd.Timestamp(row["found_at"]) for row in rows}

    def stale_parts(self, feed: str, before: pd.Timestamp) -> int:
        """Return how many parts of a feed have no whole answer from ``before`` on in the store.

        Versions of the past do not count.
        """
        ((count,),) = self._con.execute(
            "SELECT count(*) FROM (SELECT json_extract(part, '$.name') AS name FROM responses"
            " WHERE feed = ? AND json_extract(part, '$.seen_at') IS NULL GROUP BY name"
            " HAVING max(CASE WHEN complete AND state = ? THEN begun_at ELSE '' END) < ?)",
            [feed, STORED, before.isoformat()],
        ).fetchall()
        return int(count)

    def add_total(self, name: str, label: str, value: float) -> None:
        """Add to a count that goes on over all cycles."""
        self._con.execute(
            "INSERT INTO totals VALUES (?, ?, ?)"
            " ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value",
            [name, label, value],
        )

    def totals(self) -> dict[tuple[str, str], float]:
        """Return the counts over all cycles, by name and label."""
        rows = self._con.execute("SELECT name, label, value FROM totals")
        return {(row["name"], row["label"]): row["value"] for row in rows}

    def outdated(self, before: pd.Timestamp) -> list[tuple[str, str]]:
        """Return digest and suffix of files that no response from ``before`` on needs.

        What waits is needed, what an open dead letter names, and the last whole answer to each
        part.
        """
        needed = """
            state = :waiting OR begun_at >= :before
            OR id IN (SELECT response FROM dead_letters WHERE done_at IS NULL)
            OR id IN (
                SELECT max(id) FROM responses WHERE complete AND state = :stored
                GROUP BY feed, json_extract(part, '$.name')
            )
        """
        rows = self._con.execute(
            "SELECT sha256, suffix FROM responses WHERE removed_at IS NULL"
            f" GROUP BY sha256 HAVING max(coalesce({needed}, 0)) = 0",
            {"stored": STORED, "waiting": WAITING, "before": before.isoformat()},
        )
        return [(row["sha256"], row["suffix"]) for row in rows]

    def forget(self, sha256: str, at: pd.Timestamp) -> None:
        """Note that a file was removed."""
        self._con.execute(
            "UPDATE responses SET removed_at = ? WHERE sha256 = ?", [at.isoformat(), sha256]
        )
