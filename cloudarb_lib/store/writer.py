"""The one writer of a store: files enter a work copy, the pointer to the newest moves last."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pandas as pd

from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.base.files import locked, replaced
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import LINE, UnreadRow
from cloudarb_lib.sources.names.gpus import canonical
from cloudarb_lib.store import quality
from cloudarb_lib.store.merge import MergeCounts, merge_staged
from cloudarb_lib.store.rows import rows_query
from cloudarb_lib.store.snapshot import WAY_OUT, connect, current
from cloudarb_lib.tables.stored_schema import STORED

SNAPSHOTS_KEPT = 3
"""The newest, and two older ones: for a reader that has just read the pointer, and to go back."""
ROW_TEXT_CHARACTERS = 1000
"""How much of a row that is held back goes to quarantine."""
_HOW_TO_READ_QUARANTINE = (
    "what was quarantined: read them with "
    "cloudarb_lib.store.open_snapshot(FOLDER).table('quarantine')\n"
)


@dataclass
class IngestReport:
    """Counts of one call: ``read`` = ``new`` + ``unchanged`` + ``superseded`` + ``quarantined``.

    Parameters
    ----------
    quarantined : Counter
        Rows by reason.
    flagged : Counter
        By source, the prices that the call brought and that are held for errors of a list.
    digest : str
        Name of the snapshot in force afterwards.
    published : bool
        Whether that is a new one.
    """

    read: int = 0
    new: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    published: bool = False

    def add(self, read: int, counts: MergeCounts, held_back: Counter[str]) -> None:
        """Count a file that was taken in."""
        self.read += read
        self.new += counts.new
        self.unchanged += counts.unchanged
        self.superseded += counts.superseded
        self.quarantined += held_back

    def __str__(self) -> str:
        reasons = _listed(self.quarantined)
        flags = _listed(self.flagged)
        text = (
            f"read {self.read:,}: new {self.new:,}, unchanged {self.unchanged:,}, "
            f"superseded {self.superseded:,}, quarantined {self.quarantined.total():,}"
        )
        if reasons:
            text += f" ({reasons})"
        if flags:
            text += f", flagged as errors of a list: {flags}"
        text += "\n"
        if reasons:
            text += _HOW_TO_READ_QUARANTINE
        text += f"snapshot {self.digest}"
        return text if self.published else f"{text} (nothing changed)"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def writer_lock(folder: Path, *, wait: bool = False) -> AbstractContextManager[int]:
    """Hold the one writer's lock of a store; StoreError where another holds it, unless we wait."""
    return locked(folder / "lock", StoreError, f"store {folder}", wait=wait)


def add_files(files: Sequence[Path], folder: Path, now: pd.Timestamp) -> IngestReport:
    """Take files into a store and publish one new snapshot; the caller holds ``writer_lock``.

    Parameters
    ----------
    files : sequence of Path
        Each of one source of ``sources.registry``.
    folder : Path
        The store.
    now : Timestamp
        Time of ingestion, in UTC.

    Raises
    ------
    DataError
        Names the files that cannot be read: each is refused whole, the others have landed.
    StoreError
        Where the disk is full or the store damaged; the last snapshot then stays.
    """
    base = current(folder)
    report = IngestReport()
    with _work_copy(base, folder) as work:
        with connect(work) as con:
            _prepare(con, folder, is_new=base is None)
            first_row = _number_of_prices(con)
            refused = _take_in_all(con, files, now, report)
            if report.read > report.unchanged:
                quality.mark_errors(con)
            report.flagged.update(_flagged_since(con, first_row))
            report.digest = content_digest(con)
            con.execute("CHECKPOINT")
        report.published = base is None or base.stem != report.digest
        if report.published:
            _publish(work, folder, report.digest)
    if refused:
        what = " ".join(error.what for error in refused)
        if len(refused) < len(files):
            what += f" The other files were taken in: {report}."
        raise DataError(what, refused[0].way_out)
    return report


@contextmanager
def _work_copy(base: Path | None, folder: Path) -> Iterator[Path]:
    """Yield a copy of the newest snapshot to work on (none: no file yet), gone afterwards."""
    for leftover in folder.glob("work*"):  # by a writer that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix="work", dir=folder) as made:
            work = Path(made) / "store.duckdb"
            if base is not None:
                shutil.copyfile(base, work)
            yield work
    except (OSError, duckdb.OperationalError, duckdb.FatalException) as cause:
        what = f"store {folder} could not be written: {str(cause).splitlines()[0]}"
        way_out = "Free disk space or check the folder; the last snapshot is untouched."
        raise StoreError(what, way_out) from cause


def _prepare(con: duckdb.DuckDBPyConnection, folder: Path, *, is_new: bool) -> None:
    """Make the tables of a new store; StoreError where an older version wrote what is there."""
    con.create_function(  # type: ignore[call-overload]
        "canonical", canonical, null_handling="special"
    )
    if is_new:
        con.execute(";".join(table.ddl() for table in STORED.values()))
    elif con.execute("FROM duckdb_views() WHERE view_name = 'price_events'").fetchall():
        raise StoreError(f"store {folder} was written by an older version.", WAY_OUT)


def _number_of_prices(con: duckdb.DuckDBPyConnection) -> int:
    """Return how many prices there are: as they are only ever added, the rowid of the next one."""
    ((count,),) = con.execute("SELECT count(*) FROM price_events").fetchall()
    return count


def _flagged_since(con: duckdb.DuckDBPyConnection, first_row: int) -> dict[str, int]:
    """Return by source how many of the prices from a row on are held for errors of a list."""
    query = """
        SELECT source, count(*)
        FROM price_events
        WHERE flagged_at IS NOT NULL AND rowid >= ?
        GROUP BY source
    """
    return dict(con.execute(query, [first_row]).fetchall())


def _publish(work: Path, folder: Path, digest: str) -> None:
    """Make ``work`` the newest snapshot: first it, then the pointer, each whole and durable."""
    snapshots = folder / "snapshots"
    with replaced(snapshots / f"{digest}.duckdb") as new_file:
        os.replace(work, new_file)
    with replaced(folder / "current") as new_file:
        new_file.write_text(digest + "\n")
    by_age = sorted(
        snapshots.glob("*.duckdb"), key=lambda path: (path.stem == digest, path.stat().st_mtime)
    )
    for path in by_age[:-SNAPSHOTS_KEPT]:
        path.unlink()


def _take_in_all(
    con: duckdb.DuckDBPyConnection, files: Sequence[Path], now: pd.Timestamp, report: IngestReport
) -> list[DataError]:
    """Take in file after file, counting in ``report``; return why others were refused."""
    refused = []
    for path in files:
        try:
            _take_in(con, path, now, report)
        except DataError as error:
            refused.append(DataError(f"{path} was refused: {error.what}", error.way_out))
    return refused


def _take_in(
    con: duckdb.DuckDBPyConnection, path: Path, now: pd.Timestamp, report: IngestReport
) -> None:
    """Merge one file; DataError, and nothing changed, where it is refused."""
    table, read = _stage(con, path, now)
    counts = merge_staged(con, table)
    held_back = _record(con, path, table, now, read, counts)
    report.add(read, counts, held_back)


def _stage(con: duckdb.DuckDBPyConnection, path: Path, now: pd.Timestamp) -> tuple[str, int]:
    """Fill ``staged`` and ``held_back`` from a file; return its table and how many rows it has."""
    table = ""
    read = 0
    for piece in registry.read(path):
        ((name, rows),) = piece.tables.items()
        if not table:
            table, query = rows_query(rows.schema, name, source=path.stem, now=now)
            con.execute(f"""
                CREATE OR REPLACE TEMP TABLE staged AS
                SELECT 0::BIGINT AS line, *, {{'reason': '', 'detail': ''}} AS wrong
                FROM {table}
                LIMIT 0;
                CREATE OR REPLACE TEMP TABLE held_back AS
                SELECT line, reason, detail, row_text FROM quarantine LIMIT 0
            """)
        numbered = [f"c{i}" for i in range(rows.num_columns - 1)]  # whatever their names hold
        text = ", ".join(f"coalesce({name}::VARCHAR, '')" for name in numbered)
        con.register("raw", rows.rename_columns([*numbered, LINE]))
        con.execute(f"INSERT INTO staged BY NAME {query}")
        con.execute(f"""
            INSERT INTO held_back
            SELECT
                line,
                wrong.reason,
                wrong.detail,
                left(concat_ws(',', {text}), {ROW_TEXT_CHARACTERS})
            FROM (SELECT line, wrong FROM staged WHERE wrong IS NOT NULL)
            JOIN raw ON line = {LINE}
        """)
        if piece.unread:
            _hold_back(con, piece.unread)
        read += len(rows) + len(piece.unread)
    if not read:
        raise DataError("it has no row.", "Give a file with rows.")
    return table, read


def _hold_back(con: duckdb.DuckDBPyConnection, unread: list[UnreadRow]) -> None:
    """Add the rows that a source could not read to ``held_back``."""
    rows = [
        (row.line, row.reason.name, row.detail, row.text[:ROW_TEXT_CHARACTERS]) for row in unread
    ]
    con.register("unread", pd.DataFrame(rows))
    con.execute("INSERT INTO held_back FROM unread")


def _record(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    table: str,
    now: pd.Timestamp,
    read: int,
    counts: MergeCounts,
) -> Counter[str]:
    """Note the file in the log and its bad rows in quarantine; return these by reason."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    by_reason = con.execute("SELECT reason, count(*) FROM held_back GROUP BY reason").fetchall()
    held_back = Counter(dict(by_reason))
    con.execute(
        """
        INSERT INTO quarantine
        SELECT $file, $sha256, line, reason, detail, row_text, $now
        FROM held_back
        WHERE NOT EXISTS (
            SELECT 1
            FROM quarantine known
            WHERE known.file_sha256 = $sha256
                AND known.line = held_back.line
                AND known.reason = held_back.reason
        )
        """,
        {"file": path.name, "sha256": sha256, "now": now},
    )
    con.execute(
        "INSERT INTO ingest_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            path.name,
            sha256,
            table,
            now,
            read,
            counts.new,
            counts.unchanged,
            counts.superseded,
            held_back.total(),
        ],
    )
    return held_back


def content_digest(con: duckdb.DuckDBPyConnection) -> str:
    """Return 16 hex digits of the content, whatever the order, place and time of ingestion.

    Sums of hashes do not depend on the order of rows; the hash is that of the pinned DuckDB.
    """
    total = hashlib.sha256()
    for table in STORED.values():
        if table.name == "ingest_log":  # it says when and in which order
            continue
        is_quarantine = table.name == "quarantine"
        names = ["file_sha256", "line", "reason"] if is_quarantine else table.names
        columns = ", ".join(names)
        query = f"""
            SELECT count(*), sum(hash({columns})), sum(hash(1, {columns}))
            FROM {table.name}
        """
        sums = con.execute(query).fetchall()
        total.update(f"{table.name} {sums}".encode())
    return total.hexdigest()[:16]
