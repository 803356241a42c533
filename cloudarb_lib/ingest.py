"""Files into the store: one writer, a work copy, and the pointer moved last."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cloudarb_lib import glitches
from cloudarb_lib.collect.files import EC2_SOURCE, pieces
from cloudarb_lib.errors import DataError, StoreError
from cloudarb_lib.schema import QUALITIES, STORED
from cloudarb_lib.store import BUNDLED, LAYOUT, connect, current, store_folder
from cloudarb_lib.types import OFFER_PARTS
from cloudarb_lib.units import ensure_utc

BUNDLE = (
    "instances.csv", "looks.parquet", "grid_carbon.csv", "interruption_bands.parquet",
    "price_events.parquet", "gpu_marketplace.parquet", "aws_spot_2015.parquet",
)  # fmt: skip
BUNDLED_AT = pd.Timestamp("2026-05-01", tz="UTC")
"""Time of ingestion of the bundled history: after its last look, the same on every machine."""
_KEEP = 3
_PARTS = ", ".join(OFFER_PARTS)


@dataclass
class IngestReport:
    """Counts of one call: ``read = new + unchanged + superseded + quarantined``.

    ``quarantined`` counts by reason; ``digest`` names the snapshot in force after the call and
    ``published`` tells whether it is a new one; ``flagged`` counts its glitches by quality.
    """

    files: int = 0
    read: int = 0
    new: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    published: bool = False

    def __str__(self) -> str:
        held = sum(self.quarantined.values())
        reasons = ", ".join(f"{k} {v:,}" for k, v in sorted(self.quarantined.items()))
        lines = [
            f"read {self.read:,}: new {self.new:,}, unchanged {self.unchanged:,}, "
            f"superseded {self.superseded:,}, quarantined {held:,}"
            + (f" ({reasons})" if reasons else ""),
            *(f"flagged in store: {k} {v:,}" for k, v in self.flagged.items()),
            f"snapshot {self.digest}" + ("" if self.published else " (nothing changed)"),
        ]
        return "\n".join(lines)


def ingest_files(
    paths: Sequence[str | Path], *, store_dir: str | Path, now: pd.Timestamp, progress: bool = True
) -> IngestReport:
    """Take files into the store and publish one new snapshot; no path means the bundled history.

    ``store_dir`` '' is data/store; ``now`` is the time of ingestion. A file that cannot be read
    at all is refused whole: the others land, then DataError names it. StoreError if another
    writer is at work, the disk is full or the store damaged; the last snapshot then stays.
    """
    folder = store_folder(store_dir)
    with writer_lock(folder):
        return _ingest([Path(p) for p in paths], folder, ensure_utc(now, "now"), progress)


def build_bundled(folder: Path) -> None:
    """Build the store from the bundled history; wait for another process that is doing so."""
    with writer_lock(folder, wait=True):
        if not (folder / "current").exists():
            _ingest([], folder, BUNDLED_AT, progress=False)


@contextmanager
def writer_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the store's only writer lock; StoreError naming the holder unless ``wait``.

    The kernel lets go of it when the process ends, however it ends.
    """
    try:
        (folder / "snapshots").mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("a+")
    except OSError as cause:
        raise StoreError(f"store {folder} cannot be written: {cause.strerror}.") from cause
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as cause:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise StoreError(
                f"store {folder} is being written by process {holder}.", "Wait for it to end."
            ) from cause
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _ingest(paths: list[Path], folder: Path, now: pd.Timestamp, progress: bool) -> IngestReport:
    for left in folder.glob("work-*"):  # of a writer that was killed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    work = folder / f"work-{os.getpid()}.duckdb"
    report, refused = IngestReport(), []
    base = current(folder)
    try:
        if base is not None:
            shutil.copyfile(base, work)
        con = connect(work)
        try:
            con.execute(f"SET temp_directory = '{folder / f'work-{os.getpid()}.tmp'}'")
            con.execute("SET preserve_insertion_order = false")
            if base is None:
                con.execute(LAYOUT)
            if not paths:
                paths, now = [BUNDLED / name for name in BUNDLE], now
            total = sum(p.stat().st_size for p in paths if p.is_file())
            with tqdm(
                total=total, unit="B", unit_scale=True, disable=None if progress else True
            ) as bar:
                for path in paths:
                    bar.set_postfix_str(path.name)
                    try:
                        _take_in(con, path, now, report, bar)
                    except DataError as error:
                        refused.append(error)
            if report.new or report.superseded or report.quarantined:
                _flag(con)
            report.digest = _digest(con)
            counts = con.execute(
                "SELECT quality::VARCHAR, count(*) FROM price_rows WHERE quality <> 'ok' GROUP BY 1 ORDER BY 1"
            ).fetchall()
            report.flagged = dict(counts)
            con.execute("CHECKPOINT")
        finally:
            con.close()
        target = folder / "snapshots" / f"{report.digest}.duckdb"
        if base is None or base.stem != report.digest:
            _publish(work, target, folder)
            report.published = True
    except (OSError, duckdb.OperationalError, duckdb.FatalException) as cause:
        first = str(cause).splitlines()[0]
        raise StoreError(
            f"store {folder} could not be written: {first}",
            "Free disk space or check the folder; the last snapshot is untouched.",
        ) from cause
    finally:
        for left in folder.glob(f"work-{os.getpid()}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    if refused:
        rest = f" The other files were taken in: {report}" if len(paths) > len(refused) else ""
        raise DataError(" ".join(e.what for e in refused) + rest, refused[0].way_out)
    return report


def _publish(work: Path, target: Path, folder: Path) -> None:
    """Make ``work`` the newest snapshot: durable first, then the pointer, in one step."""
    with work.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(work, target)
    pointer = folder / "work-pointer"
    with pointer.open("w") as file:
        file.write(target.stem + "\n")
        file.flush()
        os.fsync(file.fileno())
    _sync(target.parent)
    os.replace(pointer, folder / "current")
    _sync(folder)
    # Two older ones stay: for a reader that has just read the pointer, and to go back to.
    target.touch()
    old = sorted((folder / "snapshots").glob("*.duckdb"), key=lambda p: p.stat().st_mtime)
    for path in old[:-_KEEP]:
        path.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_STAGE = f"""CREATE OR REPLACE TEMP TABLE staged (line BIGINT, offer_id VARCHAR,
 {", ".join(f"{p} VARCHAR" for p in OFFER_PARTS)},
 price_usd_per_hour DOUBLE, effective_at TIMESTAMPTZ, observed_at TIMESTAMPTZ, source VARCHAR,
 price_kind VARCHAR, offer_count INTEGER)"""


def _take_in(
    con: duckdb.DuckDBPyConnection, path: Path, now: pd.Timestamp, report: IngestReport, bar: tqdm
) -> None:
    """Merge one file; DataError, and nothing changed, where it is refused."""
    if not path.is_file():
        raise DataError(f"{path} is not a file.", "Check the path.")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE bad (line BIGINT, reason VARCHAR, detail VARCHAR, row_text VARCHAR)"
    )
    table, read, share, size = "", 0, 0.0, path.stat().st_size
    for piece, so_far in pieces(path, now=now):
        if not table:
            table = piece.table
            con.execute(
                _STAGE
                if table == "price_events"
                else "CREATE OR REPLACE TEMP TABLE staged AS "
                f"SELECT 0::BIGINT AS line, * FROM {table} LIMIT 0"
            )
        read += len(piece.good) + len(piece.bad)
        if len(piece.bad):
            _append(con, "bad", piece.bad)
        if len(piece.good):
            _append(con, "staged", piece.good, prices=table == "price_events")
        bar.update(int(size * so_far) - int(size * share))
        share = so_far
    new, unchanged, superseded = (
        _merge_prices(con) if table == "price_events" else _merge_table(con, table)
    )
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
    held = dict(con.execute("SELECT reason, count(*) FROM bad GROUP BY 1").fetchall())
    con.execute(
        "INSERT INTO quarantine SELECT ?, ?, line, reason, detail, row_text, ? FROM bad "
        "WHERE NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.file_sha256 = ? AND q.line = bad.line "
        "AND q.reason = bad.reason)",
        [path.name, sha, now, sha],
    )
    con.execute(
        "INSERT INTO ingest_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [path.name, sha, table, now, read, new, unchanged, superseded, sum(held.values())],
    )
    report.files += 1
    report.read += read
    report.new += new
    report.unchanged += unchanged
    report.superseded += superseded
    for reason, count in held.items():
        report.quarantined[reason] = report.quarantined.get(reason, 0) + count


def _append(
    con: duckdb.DuckDBPyConnection, table: str, frame: pd.DataFrame, *, prices: bool = False
) -> None:
    con.register("piece", frame)
    extra = f", concat_ws('/', {_PARTS}) AS offer_id" if prices else ""
    con.execute(f"INSERT INTO {table} BY NAME SELECT *{extra} FROM piece")
    con.unregister("piece")


_KEY = "offer_no, effective_at, observed_at"
_DISAGREE = "'duplicate_disagrees', 'this row differs from another of the same key; keep one.'"
_MERGE = f"""
INSERT INTO series SELECT (SELECT count(*) FROM series) - 1 + row_number() OVER (ORDER BY offer_id), *
  FROM (SELECT DISTINCT offer_id, {_PARTS} FROM staged) ANTI JOIN series USING (offer_id);
INSERT INTO origins SELECT (SELECT count(*) FROM origins) - 1 + row_number() OVER (ORDER BY source, price_kind), *
  FROM (SELECT DISTINCT source, price_kind FROM staged) ANTI JOIN origins USING (source, price_kind);
CREATE OR REPLACE TEMP TABLE judged AS SELECT line, offer_no, origin_no, price_usd_per_hour AS price,
  effective_at, observed_at, offer_count
  FROM staged JOIN series USING (offer_id) JOIN origins USING (source, price_kind);
CREATE OR REPLACE TEMP TABLE clash AS
  SELECT {_KEY} FROM judged GROUP BY ALL HAVING count(*) > 1 AND (
    min(coalesce(price, -1)) <> max(coalesce(price, -1))
    OR min(coalesce(offer_count, -1)) <> max(coalesce(offer_count, -1)))
  UNION SELECT j.offer_no, j.effective_at, j.observed_at
  FROM judged j JOIN price_rows r USING ({_KEY})
  WHERE j.price IS DISTINCT FROM r.price_usd_per_hour OR j.offer_count IS DISTINCT FROM r.offer_count;
INSERT INTO bad SELECT line, {_DISAGREE}, concat_ws(',', offer_id, price_usd_per_hour, effective_at,
  observed_at, source, offer_count)
  FROM staged SEMI JOIN (SELECT line FROM judged SEMI JOIN clash USING ({_KEY})) USING (line);
DELETE FROM judged USING clash c WHERE judged.offer_no = c.offer_no
  AND judged.effective_at = c.effective_at AND judged.observed_at = c.observed_at;
CREATE OR REPLACE TEMP TABLE crowd AS SELECT offer_no, effective_at FROM (
  SELECT offer_no, effective_at FROM judged UNION ALL
  SELECT offer_no, effective_at FROM price_rows SEMI JOIN judged USING (offer_no))
  GROUP BY ALL HAVING count(*) > 1;
-- Where an offer has several rows for one effective_at: in the order in which they were seen.
CREATE OR REPLACE TEMP TABLE verdict AS SELECT line, seen_before, same FROM (
  SELECT line, lag(0) OVER w IS NOT NULL AS seen_before,
    price IS NOT DISTINCT FROM lag(price) OVER w
    AND offer_count IS NOT DISTINCT FROM lag(offer_count) OVER w AS same
  FROM (SELECT line, {_KEY}, price, offer_count FROM judged SEMI JOIN crowd USING (offer_no, effective_at)
    UNION ALL SELECT NULL, {_KEY}, price_usd_per_hour, offer_count
    FROM price_rows SEMI JOIN crowd USING (offer_no, effective_at))
  WINDOW w AS (PARTITION BY offer_no, effective_at ORDER BY observed_at, line NULLS FIRST))
  WHERE line IS NOT NULL;
INSERT INTO price_rows SELECT offer_no, origin_no, price, effective_at, observed_at, offer_count, 'ok', NULL
  FROM judged LEFT JOIN verdict USING (line) WHERE NOT coalesce(seen_before AND same, false)
  ORDER BY {_KEY};
"""


def _merge_prices(con: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """Move ``staged`` into the price rows; return how many were new, unchanged, superseding."""
    con.execute(_MERGE)
    row = con.execute(
        "SELECT count(*) FILTER (NOT coalesce(seen_before, false)), "
        "count(*) FILTER (seen_before AND same), count(*) FILTER (seen_before AND NOT same) "
        "FROM judged LEFT JOIN verdict USING (line)"
    ).fetchone()
    # A history of every change vouches for the whole time from its first to its last.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE seen AS SELECT provider, source, max(effective_at) AS looked_at, "
        "min(effective_at) AS covers_from FROM staged WHERE source = ? GROUP BY ALL",
        [EC2_SOURCE],
    )
    con.execute(
        "DELETE FROM looks USING seen s WHERE looks.provider = s.provider AND looks.source = s.source "
        "AND looks.looked_at = s.looked_at AND looks.covers_from > s.covers_from"
    )
    con.execute(
        "INSERT INTO looks SELECT * FROM seen ANTI JOIN looks USING (provider, source, looked_at)"
    )
    return row or (0, 0, 0)


def _merge_table(con: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int, int]:
    """Move ``staged`` into any other stored table, where a later file corrects what is there."""
    key, names = ", ".join(STORED[table].key), ", ".join(STORED[table].names)
    same = " AND ".join(f"r.{c} IS NOT DISTINCT FROM t.{c}" for c in STORED[table].names)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE clash AS SELECT {key} FROM (SELECT DISTINCT {names} FROM staged)
        GROUP BY ALL HAVING count(*) > 1;
        INSERT INTO bad SELECT line, {_DISAGREE}, concat_ws(',', {names}) FROM staged SEMI JOIN clash USING ({key});
        CREATE OR REPLACE TEMP TABLE judged AS SELECT r.*, t.{STORED[table].key[0]} IS NOT NULL AS stored,
          coalesce({same}, false) AS same, row_number() OVER (PARTITION BY {key} ORDER BY line) AS nth
          FROM (SELECT * FROM staged ANTI JOIN clash USING ({key})) r LEFT JOIN {table} t USING ({key});
        DELETE FROM {table} USING judged j WHERE {" AND ".join(f"{table}.{c} = j.{c}" for c in STORED[table].key)}
          AND NOT j.same;
        INSERT INTO {table} SELECT {names} FROM judged WHERE nth = 1 AND NOT same"""
    )
    row = con.execute(
        "SELECT count(*) FILTER (nth = 1 AND NOT stored), count(*) FILTER (nth > 1 OR same), "
        "count(*) FILTER (nth = 1 AND stored AND NOT same) FROM judged"
    ).fetchone()
    return row or (0, 0, 0)


def _flag(con: duckdb.DuckDBPyConnection) -> None:
    """Judge all administered prices anew; what was known at a time stays as it was."""
    rows = con.execute(
        "SELECT r.rowid AS row, offer_no AS offer, epoch_us(effective_at) AS effective, "
        "epoch_us(observed_at) AS observed, price_usd_per_hour AS price, enum_code(quality) AS quality, "
        "coalesce(epoch_us(flagged_at), -1) AS flagged "
        "FROM price_rows r JOIN origins USING (origin_no) WHERE price_kind = 'administered'"
    ).fetchnumpy()
    frame = pd.DataFrame(
        {k: np.ma.filled(v, np.nan) if k == "price" else v for k, v in rows.items()}
    )
    gpus = con.execute(
        f"SELECT offer_no, {_PARTS}, gpu_model, gpu_count, vcpus FROM series "
        "JOIN instances USING (provider, instance_type) WHERE gpu_count > 0"
    ).df()
    count = con.execute("SELECT count(*) FROM series").fetchall()[0][0]
    quality, flagged = glitches.flag(frame, gpus.set_index("offer_no").reindex(range(count)))
    changed = (quality != frame["quality"]) | (flagged != frame["flagged"])
    words = np.array(QUALITIES, object)[quality]
    con.register("marks", pd.DataFrame({"row": frame["row"], "q": words, "f": flagged})[changed])
    con.execute(
        "UPDATE price_rows SET quality = q, flagged_at = CASE WHEN f >= 0 THEN make_timestamptz(f) END "
        "FROM marks WHERE price_rows.rowid = marks.row"
    )
    con.unregister("marks")


def _mix(values: np.ndarray) -> np.ndarray:
    """Finalizer of splitmix64: every bit of the input moves every bit of the output."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def _digest(con: duckdb.DuckDBPyConnection) -> str:
    """Return 16 hex digits of the content, whatever the order and time of ingestion.

    A sum of hashes does not depend on the order of rows. Prices, the bulk, are hashed as
    numbers, their words once per offer and source; other tables as text.
    """
    total = hashlib.sha256()
    offer, origin = (
        con.execute(
            f"SELECT md5_number_lower({text}) AS h FROM {table} ORDER BY {number}"
        ).fetchnumpy()["h"]
        for text, table, number in (
            ("offer_id", "series", "offer_no"),
            ("concat_ws(chr(31), source, price_kind)", "origins", "origin_no"),
        )
    )
    rows = con.execute(
        "SELECT offer_no, origin_no, coalesce(price_usd_per_hour, -1) AS price, epoch_us(effective_at) AS e, "
        "epoch_us(observed_at) AS o, coalesce(offer_count, -1)::BIGINT AS n, "
        "enum_code(quality)::BIGINT AS q, coalesce(epoch_us(flagged_at), -1) AS f FROM price_rows"
    ).fetchnumpy()
    state = offer[rows["offer_no"]] ^ _mix(origin[rows["origin_no"]])
    for name in ("price", "e", "o", "n", "q", "f"):
        state = _mix(state + np.ascontiguousarray(rows[name]).view(np.uint64))
    total.update(f"{len(state)} {state.sum()} {_mix(state).sum()}\n".encode())
    for table in STORED.values():
        if table.name in ("price_events", "ingest_log"):
            continue
        names = ["file_sha256", "line", "reason"] if table.name == "quarantine" else table.names
        kinds = {c.name: c.dtype for c in table.columns}
        texts = ", ".join(
            f"coalesce({f'epoch_us({n})' if kinds[n] == 'TIMESTAMPTZ' else n}::VARCHAR, chr(1))"
            for n in names
        )
        row = con.execute(
            f"SELECT count(*), sum(md5_number_lower(t)), sum(md5_number_upper(t)) "
            f"FROM (SELECT concat_ws(chr(31), {texts}) AS t FROM {table.name})"
        ).fetchone()
        total.update(f"{table.name} {row}\n".encode())
    return total.hexdigest()[:16]
