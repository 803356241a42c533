"""The price store: immutable DuckDB snapshots, a pointer to the newest, reads as of a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

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
        raise StoreError(f"{folder / 'current'} names {name[:40]!r}, which is no snapshot.", way_out)
    return path


class Snapshot(AbstractContextManager["Snapshot"]):
    """One immutable state of the price store, read only: ``digest`` names its content, ``path``
    its file. Close it, or use it in a with statement."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = path.stem
        self._con = connect(path, read_only=True)
        there = {row[0] for row in self._con.execute("SHOW TABLES").fetchall()}
        if not {*STORED, "series", "origins", "price_rows"} <= there:
            raise StoreError(f"snapshot {path} was written by another version.", _WAY_OUT)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._con.close()

    def table(self, name: str) -> pd.DataFrame:
        """Return a whole stored table of ``schema.STORED``, times in UTC."""
        if name not in STORED:
            raise ParameterError(f"no stored table {name!r}{nearest(name, list(STORED))}.")
        return self._con.execute(f"SELECT {', '.join(STORED[name].names)} FROM {name}").df()

    def record(self) -> pd.DataFrame:
        """Return ``first`` and ``last`` time at which each source was looked at or gave a price, in UTC."""
        return self._con.execute(
            "SELECT provider, source, min(seen) AS first, max(seen) AS last FROM (SELECT provider, source, "
            "unnest([covers_from, looked_at]) AS seen FROM looks UNION ALL SELECT provider, source, observed_at "
            "FROM price_events) GROUP BY ALL ORDER BY ALL"
        ).df()

    def looks(self, *, as_of: object) -> pd.DataFrame:
        """Return table ``looks`` up to ``as_of``."""
        query = "SELECT * FROM looks WHERE looked_at <= ? ORDER BY provider, source, looked_at"
        return self._con.execute(query, [parse_as_of(as_of)]).df()

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

        Columns of table ``price_events``, offer_id (a category) and the machine's specification
        (null where unknown). Of several observations of one (offer, effective_at) the latest known
        stands. Flagged glitches are left out from flagged_at on, unless ``include_flagged``.
        """
        unknown = set(purchase_options or ()) - set(PURCHASE_OPTIONS)
        if unknown:
            raise ParameterError(f"purchase option {min(unknown)!r} is unknown.", f"Use {PURCHASE_OPTIONS}.")
        values: dict[str, object] = {"as_of": parse_as_of(as_of)}
        chosen = "FROM series LEFT JOIN instances USING (provider, instance_type) WHERE true"
        for column, wanted in (("provider", providers), ("purchase_option", purchase_options)):
            if wanted is not None:
                chosen += f" AND {column} IN (SELECT unnest(${column}::VARCHAR[]))"
                values[column] = list(wanted)
        chosen += " AND gpu_count > 0" if gpu_only else ""
        flagged = "CASE WHEN flagged_at <= $as_of THEN"
        # Words are fetched once per offer, numbers once per row.
        rows = self._con.execute(
            f"""WITH chosen AS (SELECT offer_no, row_number() OVER (ORDER BY offer_id) - 1 AS code {chosen})
            SELECT code, origin_no, price_usd_per_hour, effective_at, observed_at, offer_count,
              {flagged} enum_code(quality) ELSE 0 END AS quality, {flagged} flagged_at END AS flagged_at
            FROM price_rows JOIN chosen USING (offer_no) WHERE observed_at <= $as_of
            {"" if include_flagged else "AND (flagged_at IS NULL OR flagged_at > $as_of)"}
            ORDER BY code, effective_at, observed_at""",
            values,
        ).df()
        del values["as_of"]
        columns = ", ".join(("offer_id", *OFFER_PARTS, *_SPECS))
        series = self._con.execute(f"SELECT {columns} {chosen} ORDER BY offer_id", values).df()
        origins = self._con.execute("SELECT source, price_kind FROM origins ORDER BY origin_no").df()
        rows = rows[~rows.duplicated(["code", "effective_at"], keep="last")].reset_index(drop=True)
        code = rows.pop("code").to_numpy()
        origin = origins.iloc[rows.pop("origin_no")].reset_index(drop=True)
        rows["offer_count"] = rows["offer_count"].astype("Int32")
        rows["quality"] = np.array(QUALITIES, object)[rows["quality"]]
        words = {name: series[name].to_numpy()[code] for name in (*OFFER_PARTS, *_SPECS)}
        ids = pd.Categorical.from_codes(code, categories=pd.Index(series["offer_id"], dtype=object))
        out = rows.assign(**words, **origin, currency="USD", offer_id=ids)
        return out[[*STORED["price_events"].names, "offer_id", *_SPECS]]


def open_snapshot(store_dir: str | Path = "") -> Snapshot:
    """Return the newest snapshot of the store. '' means data/store, which is built from the
    bundled history in data/ when it holds none; StoreError where another store is empty."""
    folder = store_folder(store_dir)
    path = current(folder)
    if path is None and not str(store_dir):
        from cloudarb_lib.ingest import build_bundled  # it imports this module

        build_bundled(folder)
        path = current(folder)
    if path is None:
        raise StoreError(f"no store at {folder}.", "Fill it with cloudarb ingest first.")
    return Snapshot(path)
