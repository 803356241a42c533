"""Where prices lie: rows of numbers, and the small tables that say what the numbers stand for.

A snapshot is a small database: the other stored tables, ``price_offers`` and ``price_records``
(what the numbers stand for), ``price_rows`` (few, the newest) and ``segments``: the files that hold
all other rows. A segment is a database that never changes; snapshots share them, so a store grows
by what is new. Every reader sees them as one table, ``price_events``.

A writer's connection has the rows of its call in ``fresh.price_rows`` until it publishes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path

import duckdb

from cloudarb_lib.base.files import replaced
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.tables.stored_schema import STORED

ROWS_IN_SNAPSHOT = 500_000
"""Most rows that a snapshot holds itself: what a writer copies."""
MERGED_WITHIN = 2
"""A segment with fewer rows than so many times the new ones is merged with them: of n rows there
are then about log(n) segments, and each row is written about log(n) times."""

_OFFER = ", ".join(OFFER_PARTS)
_RECORD = "source, price_kind, currency"
_VALUES = "effective_at, observed_at, price_usd_per_hour, offer_count"
_PRICE = ", ".join(STORED["price_events"].names)
ROW_COLUMNS = """
    offer INTEGER NOT NULL,
    record INTEGER NOT NULL,
    effective_at TIMESTAMPTZ NOT NULL,
    observed_at TIMESTAMPTZ NOT NULL,
    price_usd_per_hour DOUBLE,
    offer_count INTEGER
"""
_TABLES = f"""
    CREATE TABLE price_offers (
        offer INTEGER NOT NULL, {", ".join(f"{part} VARCHAR NOT NULL" for part in OFFER_PARTS)}
    );
    CREATE TABLE price_records (
        record INTEGER NOT NULL,
        source VARCHAR NOT NULL,
        price_kind VARCHAR NOT NULL,
        currency VARCHAR NOT NULL
    );
    CREATE TABLE price_rows ({ROW_COLUMNS});
    CREATE TABLE segments (name VARCHAR, rows BIGINT, hash_0 HUGEINT, hash_1 HUGEINT)
"""
_COLUMNS = {
    "price_offers": ["offer", *OFFER_PARTS],
    "price_records": ["record", *_RECORD.split(", ")],
    "price_rows": ["offer", "record", *_VALUES.split(", ")],
    "segments": ["name", "rows", "hash_0", "hash_1"],
}


def make_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the stored tables of a new store."""
    others = [table.ddl() for name, table in STORED.items() if name != "price_events"]
    con.execute(";".join([*others, _TABLES]))


def has_our_tables(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether a snapshot has the tables as this version makes them."""
    expected = {name: table.names for name, table in STORED.items() if name != "price_events"}
    try:  # table by table: DuckDB's own list of columns first makes all views of its catalogue
        found = {name: con.table(name).columns for name in expected | _COLUMNS}
    except duckdb.CatalogException:
        return False
    return found == expected | _COLUMNS


def segment_paths(con: duckdb.DuckDBPyConnection, folder: Path) -> list[Path]:
    """Return the segments of a snapshot of the store in ``folder``, the largest first."""
    names = con.execute("SELECT name FROM segments ORDER BY rows DESC, name").fetchall()
    return [folder / "segments" / f"{name}.duckdb" for (name,) in names]


def show_prices(con: duckdb.DuckDBPyConnection, folder: Path, *, fresh: bool = False) -> None:
    """Make ``price_events`` of a snapshot's connection, and ``price_numbers`` under it.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        A connection to the snapshot.
    folder : Path
        The store.
    fresh : bool
        Whether the rows of ``fresh.price_rows`` are among them.
    """
    tables = ["price_rows", *(["fresh.price_rows"] if fresh else [])]
    for path in segment_paths(con, folder):
        con.execute(f"ATTACH IF NOT EXISTS '{path}' AS segment_{path.stem} (READ_ONLY)")
        tables.append(f"segment_{path.stem}.price_rows")
    con.execute(f"""
        CREATE OR REPLACE TEMP VIEW price_numbers AS
        {" UNION ALL ".join(f"SELECT * FROM {table}" for table in tables)};
        CREATE OR REPLACE TEMP VIEW price_events AS
        SELECT {_PRICE}
        FROM price_numbers JOIN price_offers USING (offer) JOIN price_records USING (record)
    """)


def start_call(con: duckdb.DuckDBPyConnection, folder: Path, work: Path) -> None:
    """Make place for the rows of a call, in a database of its own beside the snapshot's copy."""
    con.execute(f"ATTACH '{work}' AS fresh; CREATE TABLE fresh.price_rows ({ROW_COLUMNS})")
    show_prices(con, folder, fresh=True)


def add_prices(con: duckdb.DuckDBPyConnection, query: str) -> None:
    """Add the rows of a query, which has the columns of ``price_events`` by name."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE adding AS {query}")
    number_offers(con, "adding")
    con.execute(f"""
        INSERT INTO fresh.price_rows
        SELECT offer, record, {_VALUES}
        FROM adding JOIN price_offers USING ({_OFFER}) JOIN price_records USING ({_RECORD});
        DROP TABLE adding
    """)


def add_combined(con: duckdb.DuckDBPyConnection, rows: str, combinations: str) -> int:
    """Add prices that have their texts by number; return how many they are.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        The writer's connection.
    rows : str
        Table with ``combination``, times and price.
    combinations : str
        Table with ``combination`` and the other columns of ``price_events``.
    """
    number_offers(con, f"(FROM {combinations} SEMI JOIN {rows} USING (combination))")
    con.execute(f"""
        INSERT INTO fresh.price_rows
        SELECT offer, record, {_VALUES}
        FROM {rows}
        JOIN (
            SELECT combination, offer, record, offer_count
            FROM {combinations}
            JOIN price_offers USING ({_OFFER})
            JOIN price_records USING ({_RECORD})
        ) USING (combination)
    """)
    return _count(con, rows)


def number_offers(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Give numbers to the offers and records of a table that have none yet."""
    for target, number, columns in (
        ("price_offers", "offer", _OFFER),
        ("price_records", "record", _RECORD),
    ):
        con.execute(f"""
            INSERT INTO {target}
            SELECT
                (SELECT coalesce(max({number}) + 1, 0) FROM {target})
                    + row_number() OVER (ORDER BY {columns}) - 1,
                {columns}
            FROM (SELECT DISTINCT {columns} FROM {table})
            ANTI JOIN {target} USING ({columns})
        """)


ADDED_SINCE = f"""
    SELECT {_OFFER}, since
    FROM (SELECT offer, min(observed_at) AS since FROM fresh.price_rows GROUP BY offer)
    JOIN price_offers USING (offer)
"""
"""Query of the offers with new prices in a call, and the first observation among these."""


Sums = tuple[int, int, int]
"""How many prices there are, and two sums of hashes of them, in whatever order they lie."""


def loose_sums(con: duckdb.DuckDBPyConnection) -> Sums:
    """Return the sums of the prices that lie in no segment yet."""
    return _added(_sums_of(con, "price_rows"), _sums_of(con, "fresh.price_rows"))


def content_sums(con: duckdb.DuckDBPyConnection, loose: Sums) -> Sums:
    """Return the sums of all prices; ``loose`` are those of ``loose_sums``."""
    in_segments = "SELECT rows, hash_0, hash_1 FROM segments"
    return _added(loose, *con.execute(in_segments).fetchall())


def _added(*sums: Sums) -> Sums:
    rows, hash_0, hash_1 = (sum(map(int, parts)) for parts in zip(*sums, strict=True))
    return rows, hash_0, hash_1


def _sums_of(con: duckdb.DuckDBPyConnection, table: str) -> Sums:
    words = f"offer_hash, record_hash, {_VALUES}"
    sums: Sums = con.execute(f"""
        SELECT
            count(*),
            coalesce(sum(hash({words})), 0),
            coalesce(sum(hash(1, {words})), 0)
        FROM {table}
        JOIN (SELECT offer, hash({_OFFER}) AS offer_hash FROM price_offers) USING (offer)
        JOIN (SELECT record, hash({_RECORD}) AS record_hash FROM price_records) USING (record)
    """).fetchall()[0]
    return sums


def settle_rows(con: duckdb.DuckDBPyConnection, loose: Sums) -> str | None:
    """Put the rows of the call where they stay; return the segment to publish, if there is one.

    Few rows go into the snapshot. Many make a segment, with those of the snapshot, and with the
    segments that are not much larger.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        The writer's connection.
    loose : Sums
        Those of ``loose_sums``.

    Returns
    -------
    str or None
        Name of the segment, which the database that ``start_call`` made holds now.
    """
    sums = loose
    if sums[0] <= ROWS_IN_SNAPSHOT:
        con.execute("INSERT INTO price_rows FROM fresh.price_rows")
        _let_go(con)
        return None
    con.execute("INSERT INTO fresh.price_rows FROM price_rows; DELETE FROM price_rows")
    by_size = "SELECT name, rows, hash_0, hash_1 FROM segments ORDER BY rows"
    for name, size, hash_0, hash_1 in con.execute(by_size).fetchall():
        if size >= MERGED_WITHIN * sums[0]:
            break
        con.execute(f"INSERT INTO fresh.price_rows FROM segment_{name}.price_rows")
        con.execute("DELETE FROM segments WHERE name = ?", [name])
        sums = _added(sums, (size, hash_0, hash_1))
    of_numbers = f"SELECT sum(hash(offer, record, {_VALUES})) FROM fresh.price_rows"
    numbered = con.execute(of_numbers).fetchall()  # the same prices may have other numbers
    name = hashlib.sha256(f"{sums}{numbered}".encode()).hexdigest()[:16]
    con.execute("INSERT INTO segments VALUES (?, ?, ?, ?)", [name, *sums])
    con.execute("CHECKPOINT fresh")
    _let_go(con)
    return f"{name}.duckdb"


def _let_go(con: duckdb.DuckDBPyConnection) -> None:
    """Close the database of the call."""
    con.execute("DROP VIEW price_events; DROP VIEW price_numbers; DETACH fresh")


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    ((count,),) = con.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(count)


def publish_segment(work: Path, segment: Path) -> None:
    """Move a finished segment to its place, whole and durable."""
    if not segment.exists():  # else the same rows are there already
        with replaced(segment) as new_file:
            os.replace(work, new_file)


def drop_unused_segments(folder: Path, used: Collection[Path]) -> None:
    """Delete the segments that no snapshot of the store needs any longer."""
    for path in (folder / "segments").glob("*"):
        if path not in used:
            path.unlink()
