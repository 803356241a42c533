"""How the rows of a file enter a table: what clashes, what corrects, what is there already.

Temporary tables of the writer's connection, from the first step to the last:

- ``staged_TABLE``: the good rows of the file as the table has them, with ``line``; of prices see
  ``staged``;
- ``held_back``: line, reason, detail and row_text of the rows that go to quarantine;
- ``doubting``: prices among these whose offer and times can be read;
- ``stored``: rows of the table about what the file is about;
- ``clashing``: keys whose rows disagree;
- ``judged``: id (rowid in ``staged_TABLE``, of prices in ``staged_prices``) of each row of the file
  that stays, whether it ``corrects`` an earlier row, and whether it says the ``same`` as that.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store.price_rows import add_combined, add_prices
from cloudarb_lib.store.rules import DUPLICATE_DISAGREES
from cloudarb_lib.tables.stored_schema import STORED


@dataclass(frozen=True)
class MergeCounts:
    """Rows of a file that were not known before, that say what is stored, and that correct it."""

    new: int
    unchanged: int
    superseded: int

    def __add__(self, other: MergeCounts) -> MergeCounts:
        return MergeCounts(
            self.new + other.new,
            self.unchanged + other.unchanged,
            self.superseded + other.superseded,
        )


@dataclass(frozen=True)
class MergeColumns:
    """Columns of a table by their part in a merge, as SQL lists.

    Parameters
    ----------
    everything : str
        All columns.
    key : str
        Those that name a row.
    content : str
        Those in which two rows of one key must agree.
    subject : str
        What a row is about: a later row about the same corrects an earlier one.
    order : str
        Which of two rows about the same is the later one.
    """

    everything: str
    key: str
    content: str
    subject: str
    order: str


def merge_staged(con: duckdb.DuckDBPyConnection, table: str) -> MergeCounts:
    """Move ``staged_TABLE`` into a table, into ``held_back`` what disagrees; count what came of it.

    A price stays: of several rows for one effective_at each later look corrects the one before,
    and one that says the same is not kept. In other tables a later file replaces what is there,
    but of a machine it does not take away what it says nothing of.
    Rows of one key that disagree are held back, prices also where they disagree with what is
    there.
    """
    columns = _merge_columns(table)
    is_prices = table == "price_events"
    if table == "instances":
        con.execute(_KEEP_WHAT_IS_KNOWN)
    if is_prices:
        _find_stored(con)
    else:
        con.execute(_stored_beside(columns, table))
    if is_prices and _all_new(con):
        return MergeCounts(add_combined(con, "staged_prices", "combinations"), 0, 0)
    con.execute(_find_clashing(columns, table, with_stored=is_prices))
    con.execute(_hold_back_clashing(columns, table))
    if is_prices:
        con.execute(_DOUBT_CLASHING)
    con.execute(_judge(columns, table))
    if not is_prices:
        con.execute(_delete_corrected(columns, table))
        con.execute(f"INSERT INTO {table} {_to_insert(columns, table)}")
    else:
        add_prices(con, _to_insert(columns, table))
    counts = con.execute(_COUNT).fetchall()[0]
    return MergeCounts(*counts)


def _all_new(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether no price of a file is about what another is about, or a stored one.

    That is the usual case, and quickly seen. Where hashes fall together we go the long way, which
    comes to the same.
    """
    if con.execute("SELECT EXISTS (FROM stored)").fetchall() == [(True,)]:
        return False
    hashes = np.asarray(con.execute(_HASHES_OF_SUBJECTS).fetchnumpy()["subject"])
    hashes.sort()
    return not bool((hashes[1:] == hashes[:-1]).any())


def _find_stored(con: duckdb.DuckDBPyConnection) -> None:
    """Make ``stored`` of prices: without a join where the file is all of other times.

    What is stored lies by time, more or less, so that is seen without reading much of it.
    """
    times = con.execute(_TIMES_OF_FILE).fetchall()[0]
    is_near = con.execute(f"SELECT EXISTS ({_NEAR})", times).fetchall() == [(True,)]
    if is_near:
        con.execute(_FIND_STORED, times)
    else:
        con.execute(_NOTHING_STORED)


_FILLED_IN = ", ".join(
    f"{name} = coalesce(staged_instances.{name}, known.{name})"
    for name in STORED["instances"].names
    if name not in STORED["instances"].key
)
_KEEP_WHAT_IS_KNOWN = f"""
    UPDATE staged_instances
    SET {_FILLED_IN}
    FROM instances known
    WHERE known.provider = staged_instances.provider
        AND known.instance_type = staged_instances.instance_type
        AND coalesce(staged_instances.gpu_model, known.gpu_model)
            IS NOT DISTINCT FROM known.gpu_model
        AND NOT (staged_instances.gpu_count = 0 AND coalesce(known.gpu_count, 0) > 0)
"""
"""A machine whose GPU is said to be another one, or none, is described anew."""


def _merge_columns(table: str) -> MergeColumns:
    names = STORED[table].names
    key = STORED[table].key
    if table == "price_events":
        return MergeColumns(
            everything=", ".join(names),
            key=", ".join(key),
            content="price_usd_per_hour, offer_count",
            subject=", ".join(name for name in key if name != "observed_at"),
            order="observed_at, in_doubt DESC, line NULLS FIRST, id NULLS FIRST",
        )
    return MergeColumns(
        everything=", ".join(names),
        key=", ".join(key),
        content=", ".join(name for name in names if name not in key),
        subject=", ".join(key),
        order="id NULLS FIRST",
    )


def _id_of(table: str) -> str:
    """Return the column of ``staged_TABLE`` that names its rows."""
    return "id" if table == "price_events" else "rowid"


def _stored_beside(columns: MergeColumns, table: str) -> str:
    return f"""
        CREATE OR REPLACE TEMP TABLE stored AS
        SELECT {columns.everything}
        FROM {table} SEMI JOIN staged_{table} USING ({columns.subject})
    """


def _find_clashing(columns: MergeColumns, table: str, *, with_stored: bool) -> str:
    stored = f"""
        UNION ALL
        SELECT {columns.key}, {columns.content}
        FROM stored SEMI JOIN staged_{table} USING ({columns.key})
    """
    return f"""
        CREATE OR REPLACE TEMP TABLE clashing AS
        SELECT {columns.key}
        FROM (
            SELECT {columns.key}, {columns.content} FROM staged_{table}
            {stored if with_stored else ""}
        )
        GROUP BY ALL
        HAVING min(hash({columns.content})) <> max(hash({columns.content}))
    """


def _hold_back_clashing(columns: MergeColumns, table: str) -> str:
    return f"""
        INSERT INTO held_back
        SELECT
            line,
            '{DUPLICATE_DISAGREES.name}' AS reason,
            'the row {DUPLICATE_DISAGREES.predicate}.' AS detail,
            concat_ws(',', {columns.key}, {columns.content}) AS row_text
        FROM staged_{table} SEMI JOIN clashing USING ({columns.key})
    """


def _judge(columns: MergeColumns, table: str) -> str:
    """Return SQL that sets each staged row beside the one before it on the same subject.

    A row that is stored already has no id: it stands first among those of its time. A price says
    something new where a row that was held back stands before it: it ends the doubt.
    """
    held_back = f"""
        UNION ALL BY NAME
        SELECT NULL AS id, true AS in_doubt, {columns.key}
        FROM (
            SELECT {columns.key} FROM doubts
            UNION ALL SELECT {columns.key} FROM doubting
        )
        SEMI JOIN staged_{table} USING ({columns.subject})
    """
    return f"""
        CREATE OR REPLACE TEMP TABLE judged AS
        SELECT
            id,
            NOT lag(in_doubt, 1, true) OVER earlier AS corrects,
            corrects AND hash({columns.content}) = lag(hash({columns.content})) OVER earlier AS same
        FROM (
            SELECT {_id_of(table)} AS id, line, false AS in_doubt, {columns.everything}
            FROM staged_{table} ANTI JOIN clashing USING ({columns.key})
            UNION ALL
            SELECT NULL, NULL, false, {columns.everything}
            FROM stored
            {held_back if table == "price_events" else ""}
        )
        WINDOW earlier AS (PARTITION BY {columns.subject} ORDER BY {columns.order});
        DELETE FROM judged WHERE id IS NULL
    """


def _delete_corrected(columns: MergeColumns, table: str) -> str:
    return f"""
        DELETE FROM {table}
        WHERE ({columns.key}) IN (
            SELECT ({columns.key})
            FROM staged_{table} JOIN judged ON staged_{table}.{_id_of(table)} = judged.id
            WHERE NOT same AND corrects
        )
    """


def _to_insert(columns: MergeColumns, table: str) -> str:
    return f"""
        SELECT {columns.everything}
        FROM staged_{table} JOIN judged ON staged_{table}.{_id_of(table)} = judged.id
        WHERE NOT same
    """


_OFFER = ", ".join(OFFER_PARTS)
_TIMES_OF_FILE = "SELECT min(effective_at), max(effective_at) FROM staged_prices"
_NEAR = "FROM price_numbers WHERE effective_at BETWEEN ? AND ?"
_FIND_STORED = f"""
    CREATE OR REPLACE TEMP TABLE stored AS
    SELECT {", ".join(STORED["price_events"].names)}
    FROM (
        FROM ({_NEAR})
        SEMI JOIN (
            SELECT offer, effective_at
            FROM staged_prices
            JOIN combinations USING (combination)
            JOIN price_offers USING ({_OFFER})
        ) USING (offer, effective_at)
    )
    JOIN price_offers USING (offer)
    JOIN price_records USING (record)
"""
"""By number: most stored prices are of other offers and times."""
_NOTHING_STORED = "CREATE OR REPLACE TEMP TABLE stored AS FROM price_events LIMIT 0"
_HASHES_OF_SUBJECTS = f"""
    SELECT hash(offer_hash, effective_at) AS subject
    FROM staged_prices
    JOIN (SELECT combination, hash({_OFFER}) AS offer_hash FROM combinations) USING (combination)
"""
_DOUBT_CLASHING = f"""
    INSERT INTO doubting
    SELECT
        {_OFFER},
        effective_at,
        observed_at,
        source,
        '{DUPLICATE_DISAGREES.name}' AS reason,
        'the row {DUPLICATE_DISAGREES.predicate}.' AS detail,
        line
    FROM staged_price_events SEMI JOIN clashing USING ({_OFFER}, effective_at, observed_at)
"""
_COUNT = """
    SELECT
        count(*) FILTER (NOT corrects),
        count(*) FILTER (same),
        count(*) FILTER (corrects AND NOT same)
    FROM judged
"""
