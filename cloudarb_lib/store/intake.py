"""One file on its way in: read piece by piece, judged, merged, and written into the log."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.ahead import one_ahead
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.sources.base import LINE, OWN_COLUMNS, Parsed, Scope, UnreadRow
from cloudarb_lib.sources.names.providers import canonical_provider
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.column_sql import ROW
from cloudarb_lib.store.conversions import keep_conversions, note_conversions, start_file
from cloudarb_lib.store.listings import Shown
from cloudarb_lib.store.machines import MachinesBrought
from cloudarb_lib.store.merge import MergeCounts, merge_staged
from cloudarb_lib.store.report import IngestReport
from cloudarb_lib.store.rows import CONVERTED, SETTLE_MACHINES, RowsQuery, rows_query
from cloudarb_lib.store.staged import StagedPrices
from cloudarb_lib.store.stated_machines import (
    START,
    note_judged,
    settle_machines,
    specifying_columns,
)
from cloudarb_lib.tables.stored_schema import STORED

ROW_TEXT_CHARACTERS = 1000
"""How much of a row that is held back goes to quarantine."""

_OFFER = ", ".join(OFFER_PARTS)


@dataclass
class StagedFile:
    """What the temporary tables hold of a file.

    Parameters
    ----------
    sha256 : str
        Digest of its bytes.
    source : str
        Record that its prices are of, '' where the file itself says it, row by row, or nobody.
    tables : list of str
        Stored tables whose good rows wait in ``staged_TABLE``.
    read : int
        Rows of the file.
    timeless : bool
        Whether its prices have no times of their own.
    seen_at : pandas.Timestamp or None
        When it was seen, where that is said.
    whole : list of Scope
        What it shows whole.
    notices : list of str
        What whoever brought it should know.
    specifies : bool
        Whether its rows of prices say what their machines are: table instances is then no rows of
        the file, so they do not count as such.
    """

    sha256: str
    source: str = ""
    tables: list[str] = field(default_factory=list)
    read: int = 0
    timeless: bool = False
    seen_at: pd.Timestamp | None = None
    whole: list[Scope] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    specifies: bool = False

    def say(self, notices: Iterable[str]) -> None:
        """Add notices, each once."""
        self.notices += [notice for notice in notices if notice not in self.notices]


def take_in(
    con: duckdb.DuckDBPyConnection,
    batch: Batch,
    now: pd.Timestamp,
    *,
    shown: Shown,
    machines: MachinesBrought,
    report: IngestReport,
) -> None:
    """Merge one file; DataError, and nothing changed, where it is refused."""
    staged = _Stage(con, batch, now).fill()
    for table in staged.tables:
        machines.note(table)
    looks = shown.looks
    repeated = looks.repeated()
    whole = [replace(scope, provider=canonical_provider(scope.provider)) for scope in staged.whole]
    if "evidence" in staged.tables:
        shown.lists.note(whole, confirmed=batch.confirmed)
    if "price_events" in staged.tables:
        for scope in whole:
            looks.note(
                scope,
                source=staged.source,
                seen_at=staged.seen_at,
                timeless=staged.timeless,
                confirmed=batch.confirmed,
            )
    counts = MergeCounts(0, looks.repeated() - repeated, 0)
    for table in staged.tables:
        merged = merge_staged(con, table)
        if table == "instances" and staged.specifies:
            staged.say(_specified(merged))
        else:
            counts += merged
    staged.say(keep_conversions(con))
    held_back = _record(con, batch.path.name, staged, now, counts)
    report.add(batch, staged.read, counts, held_back)
    for notice in staged.notices:
        report.say(f"{batch.path.name}: {notice}")
    for reason, example in con.execute(_EXAMPLES).fetchall():
        report.examples.setdefault(reason, f"{batch.path.name}, {example}")
    if held_back.total() == staged.read:
        report.nothing_landed.append(batch.path.name)


class _Stage:
    """Fills ``staged_TABLE``, ``held_back`` and ``doubting`` from a file."""

    def __init__(self, con: duckdb.DuckDBPyConnection, batch: Batch, now: pd.Timestamp) -> None:
        self._con = con
        self._batch = batch
        self._now = now
        self._queries: dict[tuple[str, pa.Schema], RowsQuery] = {}
        self._prices: StagedPrices | None = None
        self._staged = StagedFile(sha256="", whole=list(batch.whole), seen_at=batch.seen_at)

    def fill(self) -> StagedFile:
        """Return what the temporary tables hold; DataError where the file is refused."""
        staged = self._staged
        self._con.execute(_FRESH)
        start_file(self._con)
        with ThreadPoolExecutor(1) as pool:
            digest = pool.submit(_sha256, self._batch.path)
            self._take_pieces()
            if staged.specifies:
                settle_machines(self._con)
                staged.tables.append("instances")
            if not staged.read:
                raise DataError("it has no row.", "Give a file with rows.")
            staged.sha256 = digest.result()
        return staged

    def _take_pieces(self) -> None:
        staged = self._staged
        for piece in one_ahead(self._batch.read()):
            if piece.seen_at and staged.seen_at is None:
                staged.seen_at = ensure_utc(piece.seen_at, "seen_at")
            staged.say(piece.notices)
            staged.whole += [scope for scope in piece.whole if scope not in staged.whole]
            for name, rows in piece.tables.items():
                self._take(name, rows, piece.source)
            self._hold_back(piece.unread)
            staged.read += _rows_of(piece)

    def _take(self, name: str, rows: pa.Table, source: str) -> None:
        """Judge rows of a table, and put them where they belong."""
        query = self._query(name, rows.schema, source)
        if query.specifying:
            self._take_specified(specifying_columns(rows, dict(query.specifying)))
        numbered = [f"c{i}" for i in range(rows.num_columns - 1)]  # whatever their names hold
        raw = rows.rename_columns([*numbered, LINE])
        raw = raw.append_column(ROW, pa.array(np.arange(len(rows))))
        if self._prices and query.table == "price_events":
            raw = self._prices.take_plain(raw, query)
        self._con.register("raw", raw)
        if not len(raw):
            return
        text = ", ".join(f"coalesce({column}::VARCHAR, '')" for column in numbered)
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE judged_rows AS {query.sql}")
        self._con.execute(f"""
            INSERT INTO held_back
            SELECT
                line,
                wrong.reason,
                wrong.detail,
                left(concat_ws(',', {text}), {ROW_TEXT_CHARACTERS})
            FROM (SELECT {ROW}, line, wrong FROM judged_rows WHERE wrong IS NOT NULL)
            JOIN raw USING ({ROW})
        """)
        columns = [row[0] for row in self._con.execute("DESCRIBE judged_rows").fetchall()]
        if "provider" not in columns:  # the columns of the file do not fit
            return
        if query.table in ("price_events", "evidence"):
            self._con.execute(SETTLE_MACHINES)
        if query.table != "price_events":
            self._con.execute(f"""
                INSERT INTO staged_{query.table} BY NAME
                SELECT * EXCLUDE ({ROW}, wrong, named) FROM judged_rows WHERE wrong IS NULL
            """)
        elif self._prices:
            self._prices.take_judged()
            if CONVERTED in columns:
                note_conversions(self._con)
            self._con.execute(f"""
                INSERT INTO doubting
                SELECT
                    {_OFFER}, effective_at, observed_at, coalesce(source, ''),
                    wrong.reason, wrong.detail, line
                FROM judged_rows
                WHERE named
            """)

    def _take_specified(self, machines: pa.Table) -> None:
        """Judge what rows of prices say of their machines; it waits until all of it is read."""
        if not self._staged.specifies:
            self._staged.specifies = True
            self._con.execute(START)
        query = rows_query(machines.schema, "instances", source="", now=self._now)
        raw = machines.rename_columns([*(f"c{i}" for i in range(machines.num_columns - 1)), LINE])
        raw = raw.append_column(ROW, pa.array(np.arange(len(raw))))
        self._con.register("raw", raw)
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE judged_rows AS {query.sql}")
        self._con.execute(SETTLE_MACHINES)
        note_judged(self._con)

    def _query(self, name: str, schema: pa.Schema, source: str) -> RowsQuery:
        """Return how rows of these columns become rows of a table; make its ``staged_TABLE``."""
        staged = self._staged
        path = self._batch.path
        if (name, schema) in self._queries:
            return self._queries[name, schema]
        is_own = name == OWN_COLUMNS
        source = path.stem if is_own else source
        seen_at = staged.seen_at
        if seen_at is None and not is_own:
            changed_at = pd.Timestamp(path.stat().st_mtime, unit="s", tz="UTC").floor("s")
            seen_at = min(changed_at, self._now)  # nobody saw it later than now
        query = rows_query(
            schema, name, source=source, now=self._now, seen_at=seen_at, rates=self._batch.rates
        )
        self._queries[name, schema] = query
        staged.say(query.notices)
        if query.timeless and staged.seen_at is None and not is_own:
            staged.say(
                [
                    f"it says no time: its rows count as seen at {seen_at:%Y-%m-%d %H:%M}, when"
                    " the file was last changed; --seen-at says another time"
                ]
            )
        if query.table == "price_events":
            staged.timeless |= query.timeless
            staged.source = "" if is_own else source
            if query.timeless:
                staged.seen_at = seen_at
        if query.table not in staged.tables:
            staged.tables.append(query.table)
            if query.table == "price_events":
                self._prices = StagedPrices(self._con)
                return query
            self._con.execute(f"""
                CREATE OR REPLACE TEMP TABLE staged_{query.table} AS
                SELECT 0::BIGINT AS line, * FROM {query.table} LIMIT 0
            """)
        return query

    def _hold_back(self, unread: list[UnreadRow]) -> None:
        """Add the rows that a source could not read to ``held_back``."""
        if not unread:
            return
        rows = [
            (row.line, row.reason.name, row.detail, row.text[:ROW_TEXT_CHARACTERS])
            for row in unread
        ]
        self._con.register("unread", pd.DataFrame(rows))
        self._con.execute("INSERT INTO held_back FROM unread")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows_of(piece: Parsed) -> int:
    return sum(len(rows) for rows in piece.tables.values()) + len(piece.unread)


def _specified(merged: MergeCounts) -> list[str]:
    """Return what to say of machines that rows of prices specify."""
    count = merged.new + merged.superseded
    if not count:
        return []
    machines = "1 machine" if count == 1 else f"{count:,} machines"
    return [f"its columns of machines specify {machines} that the record did not, or not wholly"]


_FRESH = f"""
    CREATE OR REPLACE TEMP TABLE held_back AS
    SELECT line, reason, detail, row_text FROM quarantine LIMIT 0;
    CREATE OR REPLACE TEMP TABLE doubting AS
    SELECT {_OFFER}, effective_at, observed_at, source, reason, detail, line FROM doubts LIMIT 0
"""
_EXAMPLES = """
    SELECT reason, arg_min(concat('line ', line, ': ', detail), line)
    FROM held_back
    GROUP BY reason
"""


def _record(
    con: duckdb.DuckDBPyConnection,
    name: str,
    staged: StagedFile,
    now: pd.Timestamp,
    counts: MergeCounts,
) -> Counter[str]:
    """Note the file in the log, its bad rows in quarantine and doubts; return these by reason."""
    by_reason = con.execute("SELECT reason, count(*) FROM held_back GROUP BY reason").fetchall()
    held_back = Counter(dict(by_reason))
    words = {"file": name, "sha256": staged.sha256, "now": now}
    con.execute(_QUARANTINE, words)
    con.execute(_DOUBT, {"sha256": staged.sha256})
    logged = {
        "file": name,
        "file_sha256": staged.sha256,
        "target": ", ".join(staged.tables),
        "ingested_at": now,
        "rows_read": staged.read,
        "rows_new": counts.new,
        "rows_unchanged": counts.unchanged,
        "rows_superseded": counts.superseded,
        "rows_quarantined": held_back.total(),
    }
    values = [logged[column] for column in STORED["ingest_log"].names]
    con.execute(f"INSERT INTO ingest_log VALUES ({', '.join('?' * len(values))})", values)
    return held_back


_QUARANTINE = """
    INSERT INTO quarantine
    SELECT
        $file, $sha256, line, reason, any_value(detail), any_value(row_text), $now
    FROM held_back
    WHERE NOT EXISTS (
        SELECT 1
        FROM quarantine known
        WHERE known.file_sha256 = $sha256
            AND known.line = held_back.line
            AND known.reason = held_back.reason
    )
    GROUP BY line, reason
"""
_DOUBT = f"""
    INSERT INTO doubts
    SELECT
        {_OFFER}, effective_at, observed_at, any_value(source), reason, any_value(detail),
        $sha256, min(line)
    FROM doubting ANTI JOIN doubts USING ({_OFFER}, effective_at, observed_at, reason)
    GROUP BY {_OFFER}, effective_at, observed_at, reason
"""
