"""The one writer of a store: files enter a work copy, the pointer to the newest moves last."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from pathlib import Path

import duckdb
import pandas as pd

from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.base.files import locked, replaced
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.checks.flags import (
    flag_changes,
    flag_wrong_prices,
    remember_state,
    unjudged,
)
from cloudarb_lib.store.intake import take_in
from cloudarb_lib.store.listings import Shown, WholeLists
from cloudarb_lib.store.machines import MachinesBrought
from cloudarb_lib.store.price_rows import (
    ADDED_SINCE,
    Sums,
    content_sums,
    drop_unused_segments,
    has_our_tables,
    loose_sums,
    make_tables,
    publish_segment,
    segment_paths,
    settle_rows,
    start_call,
)
from cloudarb_lib.store.readings import know_names
from cloudarb_lib.store.report import IngestReport, RefusedFiles
from cloudarb_lib.store.snapshot import WAY_OUT, connect, current
from cloudarb_lib.store.whole import WholeLooks
from cloudarb_lib.tables.stored_schema import STORED

FRESH = "fresh.duckdb"
"""Name of the database of the rows of a call, beside the work copy."""
MEMORY_OF_DATABASE = "512MiB"
"""What DuckDB may hold while a writer works, blocks of segments that it has read among it: what is
more waits on disk, beside the work copy."""
SNAPSHOTS_KEPT = 3
"""The newest, and two older ones: for a reader that has just read the pointer, and to go back."""


def writer_lock(folder: Path, *, wait: bool = False) -> AbstractContextManager[int]:
    """Hold the one writer's lock of a store; StoreError where another holds it, unless we wait."""
    return locked(folder / "lock", StoreError, f"store {folder}", wait=wait)


def add_files(batches: Sequence[Batch], folder: Path, now: pd.Timestamp) -> IngestReport:
    """Take files into a store and publish one new snapshot; the caller holds ``writer_lock``.

    Parameters
    ----------
    batches : sequence of Batch
        Files, each of one source of ``sources.registry``.
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
            start_call(con, folder, work.with_name(FRESH))
            doubts = _number_of("doubts", con)
            remember_state(con)
            refused = _take_in_all(con, batches, now, report)
            if report.new or report.superseded or report.withdrawn:
                flag_wrong_prices(con, ADDED_SINCE)
                report.unjudged = unjudged(con)
            report.tell_flags(flag_changes(con))
            all_held_back = report.quarantined.total() == report.read and not report.withdrawn
            loose = loose_sums(con)
            if base is not None and all_held_back and _number_of("doubts", con) == doubts:
                report.digest = base.stem  # quarantine alone makes no snapshot
            else:
                report.digest = content_digest(con, loose)
            report.published = base is None or base.stem != report.digest
            segment = settle_rows(con, loose) if report.published else None
            con.execute("CHECKPOINT")
        if report.published:
            _publish(work, folder, report.digest, segment)
    if refused:
        raise RefusedFiles(refused, report)
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
    con.execute(f"SET memory_limit = '{MEMORY_OF_DATABASE}'")
    know_names(con)
    if is_new:
        make_tables(con)
    elif not has_our_tables(con):
        raise StoreError(f"store {folder} was written by an older version.", WAY_OUT)


def _number_of(table: str, con: duckdb.DuckDBPyConnection) -> int:
    """Return how many rows there are; of a table that only grows, the rowid of the next one."""
    ((count,),) = con.execute(f"SELECT count(*) FROM {table}").fetchall()
    return count


def _publish(work: Path, folder: Path, digest: str, segment: str | None) -> None:
    """Make ``work`` the newest snapshot: its segment, it, the pointer, each whole and durable."""
    snapshots = folder / "snapshots"
    if segment is not None:
        publish_segment(work.with_name(FRESH), folder / "segments" / segment)
    with replaced(snapshots / f"{digest}.duckdb") as new_file:
        os.replace(work, new_file)
    with replaced(folder / "current") as new_file:
        new_file.write_text(digest + "\n")
    by_age = sorted(
        snapshots.glob("*.duckdb"), key=lambda path: (path.stem == digest, path.stat().st_mtime)
    )
    for path in by_age[:-SNAPSHOTS_KEPT]:
        path.unlink()
    used: set[Path] = set()
    for path in by_age[-SNAPSHOTS_KEPT:]:
        with connect(path, read_only=True) as con:
            used |= set(segment_paths(con, folder)) if has_our_tables(con) else set()
    drop_unused_segments(folder, used)


def _take_in_all(
    con: duckdb.DuckDBPyConnection,
    batches: Sequence[Batch],
    now: pd.Timestamp,
    report: IngestReport,
) -> dict[Path, DataError]:
    """Take in file after file, counting in ``report``; return why others were refused."""
    refused: dict[Path, DataError] = {}
    machines = MachinesBrought(con)
    for _, of_look in groupby(batches, key=lambda batch: batch.look):
        shown = Shown(WholeLooks(con), WholeLists(con))
        for batch in of_look:
            try:
                take_in(con, batch, now, shown=shown, machines=machines, report=report)
            except DataError as error:
                refused[batch.path] = error
                shown.void(batch.whole, f"{batch.path.name} was refused, so nothing was withdrawn")
        for notice in shown.settle():
            report.say(notice)
        report.withdrawn += shown.looks.withdrawn
        report.not_listed += shown.lists.denied
    report.unknown_names = machines.notices()
    return refused


def content_digest(con: duckdb.DuckDBPyConnection, loose: Sums) -> str:
    """Return 16 hex digits of the content, whatever the order, place and time of ingestion.

    ``loose`` are the sums of the prices that lie in no segment yet.

    Sums of hashes do not depend on the order of rows; the hash is that of the pinned DuckDB.
    """
    total = hashlib.sha256()
    for table in STORED.values():
        if table.name == "ingest_log":  # it says when and in which order
            continue
        if table.name == "price_events":
            total.update(f"{table.name} {content_sums(con, loose)}".encode())
            continue
        of_key = table.name in ("quarantine", "doubts")  # which of several files told it first
        columns = ", ".join(table.key if of_key else table.names)
        query = f"""
            SELECT count(*), sum(hash({columns})), sum(hash(1, {columns}))
            FROM {table.name}
        """
        sums = con.execute(query).fetchall()
        total.update(f"{table.name} {sums}".encode())
    return total.hexdigest()[:16]


def add_verdicts(verdicts: pd.DataFrame, folder: Path) -> str:
    """Write verdicts into a store and publish a new snapshot; the caller holds ``writer_lock``.

    Parameters
    ----------
    verdicts : DataFrame
        Rows of table ``verdicts``.
    folder : Path
        The store, which has a snapshot.

    Returns
    -------
    str
        Digest of the new snapshot.
    """
    with _work_copy(current(folder), folder) as work:
        with connect(work) as con:
            _prepare(con, folder, is_new=False)
            start_call(con, folder, work.with_name(FRESH))
            con.register("decided", verdicts)
            con.execute("INSERT INTO verdicts BY NAME FROM decided")
            con.unregister("decided")
            loose = loose_sums(con)
            digest = content_digest(con, loose)
            segment = settle_rows(con, loose)
            con.execute("CHECKPOINT")
        _publish(work, folder, digest, segment)
    return digest
