"""Files into the store: one writer, a work copy, and the pointer moved last."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.base.files import locked, replaced
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.sources.files import EC2_SOURCE, LINE, pieces
from cloudarb_lib.sources.gpus import canonical
from cloudarb_lib.store import glitches
from cloudarb_lib.store.rows import REASONS, check
from cloudarb_lib.store.snapshot import WAY_OUT, Snapshot, connect, current, store_folder
from cloudarb_lib.tables.schema import QUALITIES
from cloudarb_lib.tables.stored_schema import STORED

BUNDLE = (
    "instances.csv",
    "looks.parquet",
    "grid_carbon.csv",
    "interruption_bands.parquet",
    "price_events.parquet",
    "gpu_marketplace.parquet",
    "aws_spot_2015.parquet",
)
BUNDLED_AT = pd.Timestamp("2026-05-01", tz="UTC")
"""Time of ingestion of the bundled history: after its last look, the same on every machine."""
_KEEP = 3
_HELD = "what was quarantined: read them with cloudarb_lib.store.open_snapshot(FOLDER).table('quarantine')\n"
_PARTS = ", ".join(OFFER_PARTS)


@dataclass
class IngestReport:
    """Counts of one call, ``read = new + unchanged + superseded + quarantined`` (by reason); ``flagged``
    counts by source the prices it brought that are held for errors of a list;
    ``digest`` names the snapshot in force afterwards, ``published`` tells whether it is new."""

    read: int = 0
    new: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    published: bool = False

    def __str__(self) -> str:
        reasons, flags = (
            ", ".join(f"{k} {v:,}" for k, v in sorted(c.items()))
            for c in (self.quarantined, self.flagged)
        )
        return (
            f"read {self.read:,}: new {self.new:,}, unchanged {self.unchanged:,}, superseded "
            f"{self.superseded:,}, quarantined {self.quarantined.total():,}{reasons and f' ({reasons})'}"
            f"{flags and f', flagged as errors of a list: {flags}'}\n{reasons and _HELD}"
            f"snapshot {self.digest}{'' if self.published else ' (nothing changed)'}"
        )


def ingest_files(
    paths: Sequence[str | Path], *, store_dir: str | Path, now: pd.Timestamp
) -> IngestReport:
    """Take files into the store and publish one new snapshot; no path means the bundled history.

    ``store_dir`` '' is data/store, which is built from the bundled history before the first file is added;
    ``now`` is the time of ingestion. A file that cannot be read at all is
    refused whole: the others land, then DataError names it. StoreError if another writer is at work, the
    disk is full or the store damaged; the last snapshot then stays.
    """
    folder = store_folder(store_dir)
    files = [Path(p) for p in paths] or [locations.data() / name for name in BUNDLE]
    if paths and not str(store_dir):
        build_bundled(folder)
    with locked(folder / "lock", StoreError, f"store {folder}"):
        return _ingest(files, folder, ensure_utc(now, "now"))


def build_bundled(folder: Path) -> None:
    """Build the store from the bundled history; wait for another process that is doing so."""
    with locked(folder / "lock", StoreError, f"store {folder}", wait=True):
        if not (folder / "current").exists():
            _ingest([locations.data() / name for name in BUNDLE], folder, BUNDLED_AT)


def _ingest(paths: list[Path], folder: Path, now: pd.Timestamp) -> IngestReport:
    base, report = current(folder), IngestReport()
    refused: list[DataError] = []
    for left in folder.glob("work*"):  # by a writer that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix="work", dir=folder) as made:
            work = Path(made) / "store.duckdb"
            if base is not None:
                shutil.copyfile(base, work)
            with connect(work) as con:
                con.create_function("canonical", canonical, null_handling="special")  # type: ignore[call-overload]
                if base is None:
                    con.execute(";".join(table.ddl() for table in STORED.values()))
                elif con.execute("FROM duckdb_views() WHERE view_name = 'price_events'").fetchall():
                    raise StoreError(f"store {folder} was written by an older version.", WAY_OUT)
                # prices are only ever added: so many there are, so high is the number of the next row
                ((first,),) = con.execute("SELECT count(*) FROM price_events").fetchall()
                for path in paths:
                    try:
                        _take_in(con, path, now, report)
                    except DataError as error:
                        refused.append(
                            DataError(f"{path} was refused: {error.what}", error.way_out)
                        )
                if report.read > report.unchanged:
                    _flag(con)
                brought = f"FROM price_events WHERE flagged_at IS NOT NULL AND rowid >= {first}"
                held = con.execute(f"SELECT source, count(*) {brought} GROUP BY 1").fetchall()
                report.flagged.update(dict(held))
                report.digest = _digest(con)
                con.execute("CHECKPOINT")
            report.published = base is None or base.stem != report.digest
            if report.published:
                _publish(work, folder, report.digest)
    except (OSError, duckdb.OperationalError, duckdb.FatalException) as cause:
        what = f"store {folder} could not be written: {str(cause).splitlines()[0]}"
        way_out = "Free disk space or check the folder; the last snapshot is untouched."
        raise StoreError(what, way_out) from cause
    if refused:
        rest = f" The other files were taken in: {report}." if len(paths) > len(refused) else ""
        raise DataError(" ".join(e.what for e in refused) + rest, refused[0].way_out)
    return report


def _publish(work: Path, folder: Path, digest: str) -> None:
    """Make ``work`` the newest snapshot: first it, then the pointer, each whole and durable."""
    snapshots = folder / "snapshots"
    with replaced(snapshots / f"{digest}.duckdb") as part:
        os.replace(work, part)
    with replaced(folder / "current") as part:
        part.write_text(digest + "\n")
    # Two older ones stay: for a reader that has just read the pointer, and to go back to.
    old = sorted(snapshots.glob("*.duckdb"), key=lambda p: (p.stem == digest, p.stat().st_mtime))
    for path in old[:-_KEEP]:
        path.unlink()


def _take_in(
    con: duckdb.DuckDBPyConnection, path: Path, now: pd.Timestamp, report: IngestReport
) -> None:
    """Merge one file; DataError, and nothing changed, where it is refused."""
    table, read = "", 0
    for rows, unread in pieces(path):
        if not table:
            table, query = check(rows.schema, source=path.stem, now=now)
            numbered = [f"c{i}" for i in range(rows.num_columns - 1)]  # whatever their names hold
            text = ", ".join(f"coalesce({name}::VARCHAR, '')" for name in numbered)
            con.execute(f"""
                CREATE OR REPLACE TEMP TABLE staged AS SELECT 0::BIGINT AS line, *,
                  {{'reason': '', 'detail': ''}} AS wrong FROM {table} LIMIT 0;
                CREATE OR REPLACE TEMP TABLE bad AS SELECT line, reason, detail, row_text FROM quarantine LIMIT 0""")
        con.register("raw", rows.rename_columns([*numbered, LINE]))
        con.execute(f"""
            INSERT INTO staged BY NAME {query};
            INSERT INTO bad SELECT line, wrong.reason, wrong.detail, left(concat_ws(',', {text}), 1000)
              FROM (SELECT line, wrong FROM staged WHERE wrong IS NOT NULL) JOIN raw ON line = {LINE}""")
        if unread:
            told = [
                (line, why, f"{what} {REASONS[why]}.", text[:1000])
                for line, why, what, text in unread
            ]
            con.register("refused", pd.DataFrame(told))
            con.execute("INSERT INTO bad FROM refused")
        read += len(rows) + len(unread)
    if not read:
        raise DataError("it has no row.", "Give a file with rows.")
    counts = con.execute(_merge(table)).fetchall()[0]
    if table == "price_events":
        con.execute(_LOOKED)
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
    held = Counter(dict(con.execute("SELECT reason, count(*) FROM bad GROUP BY 1").fetchall()))
    con.execute(
        "INSERT INTO quarantine SELECT ?, ?, line, reason, detail, row_text, ? FROM bad WHERE NOT EXISTS "
        "(SELECT 1 FROM quarantine q WHERE q.file_sha256 = ? AND q.line = bad.line AND q.reason = bad.reason)",
        [path.name, sha, now, sha],
    )
    con.execute(
        "INSERT INTO ingest_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [path.name, sha, table, now, read, *counts, held.total()],
    )
    report.read += read
    report.new += counts[0]
    report.unchanged += counts[1]
    report.superseded += counts[2]
    report.quarantined += held


def _merge(table: str) -> str:
    """Return the SQL that moves ``staged`` into a table and counts new, unchanged and superseding rows.

    A price stays: of several rows for one effective_at each later look corrects the one before, and one
    that says the same is not kept. In other tables a later file replaces what is there. Rows of one key
    that disagree are held back, prices also where they disagree with what is there.
    """
    prices, keys = table == "price_events", STORED[table].key
    names, key = ", ".join(STORED[table].names), ", ".join(keys)
    rest = ", ".join(c for c in STORED[table].names if c not in keys)
    told = "price_usd_per_hour, offer_count" if prices else rest
    group, order = (key.removesuffix(", observed_at"), "observed_at, ") if prices else (key, "")
    there = (
        f"UNION ALL SELECT {key}, {told} FROM {table} SEMI JOIN staged USING ({key})"
        if prices
        else ""
    )
    fresh = "FROM staged JOIN judged USING (line) WHERE NOT same"
    replace = f"DELETE FROM {table} WHERE ({key}) IN (SELECT ({key}) {fresh} AND corrects);"
    return f"""
DELETE FROM staged WHERE wrong IS NOT NULL;
CREATE OR REPLACE TEMP TABLE clash AS SELECT {key} FROM (SELECT {key}, {told} FROM staged {there})
  GROUP BY ALL HAVING min(hash({told})) <> max(hash({told}));
INSERT INTO bad SELECT line, 'duplicate_disagrees', 'the row {REASONS["duplicate_disagrees"]}.',
  concat_ws(',', {key}, {told}) FROM staged SEMI JOIN clash USING ({key});
CREATE OR REPLACE TEMP TABLE judged AS SELECT line, lag(true, 1, false) OVER w AS corrects,
  corrects AND hash({told}) = lag(hash({told})) OVER w AS same
  FROM (SELECT line, {names} FROM staged ANTI JOIN clash USING ({key})
    UNION ALL SELECT NULL, {names} FROM {table} SEMI JOIN staged USING ({group}))
  WINDOW w AS (PARTITION BY {group} ORDER BY {order}line NULLS FIRST);
DELETE FROM judged WHERE line IS NULL;
{"" if prices else replace}
INSERT INTO {table} SELECT {names} {fresh};
SELECT count(*) FILTER (NOT corrects), count(*) FILTER (same), count(*) FILTER (corrects AND NOT same) FROM judged
"""


# A history of every change vouches for the whole time from its first to its last.
_LOOKED = f"""
CREATE OR REPLACE TEMP TABLE seen AS SELECT provider, source, max(effective_at) AS looked_at,
  min(effective_at) AS covers_from FROM staged WHERE source = '{EC2_SOURCE}' GROUP BY ALL;
DELETE FROM looks USING seen s WHERE (looks.provider, looks.source, looks.looked_at)
  = (s.provider, s.source, s.looked_at) AND looks.covers_from > s.covers_from;
INSERT INTO looks SELECT * FROM seen ANTI JOIN looks USING (provider, source, looked_at);
"""


def _flag(con: duckdb.DuckDBPyConnection) -> None:
    """Judge all administered prices anew; what was known at a time stays as it was."""
    named = f"concat_ws('/', {_PARTS}) AS offer_id"
    rows = con.execute(
        f"SELECT rowid AS row, {named}, epoch_us(effective_at) AS effective, epoch_us(observed_at) AS observed, "
        "coalesce(price_usd_per_hour, 'nan') AS price, quality, coalesce(epoch_us(flagged_at), -1) AS flagged "
        "FROM price_events WHERE price_kind = 'administered'"
    ).df()
    gpus = con.execute(
        f"SELECT DISTINCT {named}, {_PARTS}, gpu_model, gpu_count, vcpus FROM price_events JOIN instances USING "
        "(provider, instance_type) WHERE price_kind = 'administered' AND gpu_count > 0 AND gpu_model IS NOT NULL"
    ).df()
    rows["offer"], ids = pd.factorize(rows["offer_id"])
    codes, flagged = glitches.flag(
        rows, gpus.set_index(ids.get_indexer(pd.Index(gpus["offer_id"])))
    )
    marks = pd.DataFrame(
        {"row": rows["row"], "q": np.array(QUALITIES, object)[codes], "f": flagged}
    )
    marks = marks[(marks["q"] != rows["quality"]) | (flagged != rows["flagged"])]
    con.execute(
        "UPDATE price_events SET quality = q, flagged_at = CASE WHEN f >= 0 THEN make_timestamptz(f) END "
        "FROM marks WHERE price_events.rowid = marks.row"
    )


def _digest(con: duckdb.DuckDBPyConnection) -> str:
    """Return 16 hex digits of the content, whatever the order, place and time of ingestion.

    Sums of hashes do not depend on the order of rows; the hash is that of the pinned DuckDB.
    """
    total = hashlib.sha256()
    for table in STORED.values():
        names = ["file_sha256", "line", "reason"] if table.name == "quarantine" else table.names
        if table.name != "ingest_log":
            sums = f"count(*), sum(hash({', '.join(names)})), sum(hash(1, {', '.join(names)}))"
            row = con.execute(f"SELECT {sums} FROM {table.name}").fetchall()
            total.update(f"{table.name} {row}".encode())
    return total.hexdigest()[:16]


def open_snapshot(store_dir: str | Path = "") -> Snapshot:
    """Return the newest snapshot of the store. '' means data/store, which is built from the
    bundled history in data/ when it holds none; StoreError where another store is empty."""
    folder = store_folder(store_dir)
    path = current(folder)
    if path is None and not str(store_dir):
        build_bundled(folder)
        path = current(folder)
    if path is None:
        raise StoreError(f"no store at {folder}.", "Fill it with cloudarb ingest first.")
    return Snapshot(path)
