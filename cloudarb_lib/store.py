"""The price store: immutable DuckDB snapshots, a pointer to the newest, reads as of a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pandas as pd

from cloudarb_lib.errors import ParameterError, StoreError
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.schema import PURCHASE_OPTIONS, QUALITIES, STORED, nearest
from cloudarb_lib.types import OFFER_PARTS
from cloudarb_lib.units import parse_as_of

BUNDLED = PROJECT / "data"
_SPECS = ("vcpus", "memory_gib", "gpu_model", "gpu_count", "gpu_memory_gib")
_ID = "concat_ws('/', " + ", ".join(OFFER_PARTS) + ")"
# Prices are kept as numbers: the words of an offer once in series, of a source once in origins.
# The view has the columns of schema.STORED['price_events'].
LAYOUT = f"""
CREATE TYPE quality AS ENUM {QUALITIES};
CREATE TABLE series (offer_no INTEGER, offer_id VARCHAR, {", ".join(f"{p} VARCHAR" for p in OFFER_PARTS)});
CREATE TABLE origins (origin_no INTEGER, source VARCHAR, price_kind VARCHAR);
CREATE TABLE price_rows (offer_no INTEGER, origin_no INTEGER, price_usd_per_hour DOUBLE,
  effective_at TIMESTAMPTZ, observed_at TIMESTAMPTZ, offer_count INTEGER, quality quality,
  flagged_at TIMESTAMPTZ);
CREATE VIEW price_events AS SELECT {", ".join(OFFER_PARTS)}, 'USD' AS currency, price_usd_per_hour,
  effective_at, observed_at, source, price_kind, offer_count, quality::VARCHAR AS quality, flagged_at
  FROM price_rows JOIN series USING (offer_no) JOIN origins USING (origin_no);
""" + ";".join(t.ddl() for t in STORED.values() if t.name != "price_events")
_WAY_OUT = "Remove that folder and ingest again; data/store is built anew from data/ by itself."


def connect(path: str | Path = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection whose session is UTC; StoreError if the file cannot be opened."""
    try:
        con = duckdb.connect(str(path), read_only=read_only, config={"threads": 2})
        con.execute("SET TimeZone = 'UTC'")
    except duckdb.Error as cause:
        what = str(cause).splitlines()[0]
        raise StoreError(f"snapshot {path} cannot be opened: {what}", _WAY_OUT) from cause
    return con


def store_folder(store_dir: str | Path) -> Path:
    """Return the folder of a store; '' means data/store."""
    return Path(store_dir) if str(store_dir) else BUNDLED / "store"


def current(folder: Path) -> Path | None:
    """Return the newest snapshot of a store, None where there is none yet; StoreError if damaged."""
    try:
        name = (folder / "current").read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise StoreError(f"store {folder} cannot be read: {cause.strerror}.", _WAY_OUT) from cause
    path = folder / "snapshots" / f"{name}.duckdb"
    if not re.fullmatch("[0-9a-f]{16}", name) or not path.is_file():
        others = sorted(p.stem for p in (folder / "snapshots").glob("*.duckdb"))
        way_out = f"Write one of {', '.join(others)} into that file." if others else _WAY_OUT
        raise StoreError(
            f"{folder / 'current'} names {name[:40]!r}, which is no snapshot.", way_out
        )
    return path


class Snapshot:
    """One immutable state of the price store, read only.

    ``digest`` names its content, ``path`` its file. Close it, or use it in a with statement.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = path.stem
        self._con = connect(path, read_only=True)
        there = {row[0] for row in self._con.execute("SHOW TABLES").fetchall()}
        if not {*STORED, "series", "origins", "price_rows"} <= there:
            self._con.close()
            raise StoreError(f"snapshot {path} was written by another version.", _WAY_OUT)

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._con.close()

    def table(self, name: str) -> pd.DataFrame:
        """Return a whole stored table of ``schema.STORED``, times in UTC."""
        if name not in STORED:
            raise ParameterError(f"no stored table {name!r}{nearest(name, list(STORED))}.")
        return self._con.execute(f"SELECT {', '.join(STORED[name].names)} FROM {name}").df()

    def looks(self, *, as_of: object) -> pd.DataFrame:
        """Return table ``looks`` up to ``as_of``."""
        return self._con.execute(
            "SELECT * FROM looks WHERE looked_at <= ? ORDER BY provider, source, looked_at",
            [parse_as_of(as_of)],
        ).df()

    def events(
        self,
        *,
        as_of: object,
        providers: Sequence[str] | None = None,
        purchase_options: Sequence[str] | None = None,
        gpu_only: bool = False,
        include_flagged: bool = False,
    ) -> pd.DataFrame:
        """Return the price events known at ``as_of``, sorted by offer_id and effective_at.

        Columns of table ``price_events``, offer_id (a category) and the specification of the
        machine (null where unknown). Of several observations of one (offer, effective_at) the
        latest known stands. Flagged glitches are left out from flagged_at on, unless
        ``include_flagged``.
        """
        moment = parse_as_of(as_of)
        where, values = ["true"], []
        for column, wanted in (("provider", providers), ("purchase_option", purchase_options)):
            if wanted is not None:
                where.append(f"{column} IN (SELECT unnest(?::VARCHAR[]))")
                values.append(list(wanted))
        unknown = set(purchase_options or ()) - set(PURCHASE_OPTIONS)
        if unknown:
            raise ParameterError(
                f"purchase option {min(unknown)!r} is unknown.",
                f"Use {', '.join(PURCHASE_OPTIONS)}.",
            )
        if gpu_only:
            where.append("gpu_count > 0")
        chosen = f"FROM series LEFT JOIN instances USING (provider, instance_type) WHERE {' AND '.join(where)}"
        series = self._con.execute(
            f"SELECT offer_no, offer_id, {', '.join((*OFFER_PARTS, *_SPECS))} {chosen} ORDER BY offer_id",
            values,
        ).df()
        rows = self._con.execute(
            "SELECT offer_no, origin_no, price_usd_per_hour AS price, epoch_us(effective_at) AS effective, "
            "epoch_us(observed_at) AS observed, offer_count, enum_code(quality) AS quality, "
            "epoch_us(flagged_at) AS flagged "
            f"FROM price_rows WHERE observed_at <= ? AND offer_no IN (SELECT offer_no {chosen})",
            [moment, *values],
        ).fetchnumpy()
        origins = self._con.execute("SELECT * FROM origins ORDER BY origin_no").df()
        rank = np.zeros(int(series["offer_no"].max() + 1) if len(series) else 1, np.int64)
        rank[series["offer_no"]] = np.arange(len(series))
        code = rank[rows["offer_no"]]
        flagged = np.ma.filled(rows["flagged"], np.iinfo(np.int64).max)
        flagged = np.where(flagged <= moment.value // 1000, flagged, np.iinfo(np.int64).min)
        order = np.lexsort((rows["observed"], rows["effective"], code))
        code, effective = code[order], rows["effective"][order]
        keep = np.append((code[1:] != code[:-1]) | (effective[1:] != effective[:-1]), True)
        if not len(code):
            keep = keep[:0]
        flagged = flagged[order]
        bad = flagged != np.iinfo(np.int64).min
        if not include_flagged:
            keep &= ~bad
        order, code, flagged, bad = order[keep], code[keep], flagged[keep], bad[keep]
        out = {p: series[p].to_numpy()[code] for p in OFFER_PARTS}
        out["currency"] = np.full(len(code), "USD", object)
        out["price_usd_per_hour"] = np.ma.filled(rows["price"], np.nan)[order]
        for name in ("effective", "observed"):
            out[f"{name}_at"] = pd.DatetimeIndex(rows[name][order].view("M8[us]"), tz="UTC")
        for name in ("source", "price_kind"):
            out[name] = origins[name].to_numpy(object)[rows["origin_no"][order]]
        counts = np.ma.asarray(rows["offer_count"])[order]
        out["offer_count"] = pd.arrays.IntegerArray(
            np.asarray(counts.data, np.int32), np.ma.getmaskarray(counts)
        )
        out["quality"] = np.array(QUALITIES, object)[np.where(bad, rows["quality"][order], 0)]
        out["flagged_at"] = pd.DatetimeIndex(flagged.view("M8[us]"), tz="UTC")
        out["offer_id"] = pd.Categorical.from_codes(
            code, categories=pd.Index(series["offer_id"], dtype=object)
        )
        for name in _SPECS:
            out[name] = series[name].to_numpy()[code]
        return pd.DataFrame(out, copy=False)


def open_snapshot(store_dir: str | Path = "") -> Snapshot:
    """Return the newest snapshot of the store; '' means data/store.

    The default store is built from the bundled history in data/ when it holds no snapshot.
    """
    folder = store_folder(store_dir)
    path = current(folder)
    if path is None and not str(store_dir):
        from cloudarb_lib.ingest import build_bundled  # it imports this module

        build_bundled(folder)
        path = current(folder)
    if path is None:
        raise StoreError(f"no store at {folder}.", "Fill it with cloudarb ingest first.")
    return Snapshot(path)
