"""What the rows of a price file say of their machines, beside what is on record and each other.

Temporary tables of the writer's connection, for one file:

- ``stated_machines``: line and the columns of ``instances``, of each row that can be read;
- ``stated_faults``: line, reason and detail of rows that say of their machine what cannot be;
- ``staged_instances``: machines of which the file says something that is not on record.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.sources.base import LINE
from cloudarb_lib.store.columns import MACHINE_KEY, SPECIFYING
from cloudarb_lib.store.rules import MACHINE_DISAGREES

_ROUNDED = ("memory_gib", "gpu_memory_gib")
"""Columns that lists round each in its own way."""
_MOST_ROUNDED = 0.05
"""Relative difference up to which two memories are one, rounded: a GB is 7 % short of a GiB."""

_KEY = ", ".join(MACHINE_KEY)
_COLUMNS = ", ".join((*MACHINE_KEY, *SPECIFYING))
_OFFER = ", ".join(OFFER_PARTS)
START = f"""
    CREATE OR REPLACE TEMP TABLE stated_machines AS
    SELECT 0::BIGINT AS line, {_COLUMNS} FROM instances LIMIT 0;
    CREATE OR REPLACE TEMP TABLE stated_faults AS
    SELECT 0::BIGINT AS line, reason, detail FROM quarantine LIMIT 0
"""


def specifying_columns(rows: pa.Table, places: dict[str, int]) -> pa.Table:
    """Return the columns of rows that say what their machines are, named as in ``instances``.

    Parameters
    ----------
    rows : pyarrow.Table
        Of a file, the last column ``LINE``.
    places : dict
        Where each column stands, as of ``FileColumns.specifying``.
    """
    columns = [rows.column(place) for place in places.values()]
    return pa.Table.from_arrays([*columns, rows.column(LINE)], [*places, LINE])


def note_judged(con: duckdb.DuckDBPyConnection) -> None:
    """Note the rows of table ``judged_rows``, which are of table ``instances``."""
    con.execute(f"""
        INSERT INTO stated_machines SELECT line, {_COLUMNS} FROM judged_rows WHERE wrong IS NULL;
        INSERT INTO stated_faults
        SELECT line, wrong.reason, wrong.detail FROM judged_rows WHERE wrong IS NOT NULL
    """)


def settle_machines(con: duckdb.DuckDBPyConnection) -> None:
    """Hold back prices whose row contradicts the record or another row; stage what is new.

    What a row leaves open contradicts nothing. What it adds to the record fills a gap there.
    """
    con.execute(_FIND_CONTRADICTIONS)
    con.execute(_HOLD_BACK)
    con.execute(_STAGE_NEW)


def _differ(column: str, one: str, other: str) -> str:
    """Return SQL that is true where two values of a column cannot be of one machine."""
    if column in _ROUNDED:
        return f"abs({one} - {other}) > {_MOST_ROUNDED} * greatest({one}, {other})"
    return f"{one} <> {other}"


def _sentence(column: str, one: str, other: str, where: str) -> str:
    """Return SQL of the detail of a contradiction."""
    return f"""
        concat(
            'machine ''', left(instance_type, 60), ''' has {column} ', {one}, ' here and ',
            {other}, ' {where}, {MACHINE_DISAGREES.predicate}.'
        )
    """


_CASES = " ".join(
    f"""
    WHEN {_differ(name, f"stated.{name}", f"known.{name}")}
        THEN {_sentence(name, f"stated.{name}", f"known.{name}", "on record")}
    WHEN known.{name} IS NULL AND stated.{name} IS NOT NULL
        AND {_differ(name, f"in_file.least_{name}", f"in_file.most_{name}")}
        THEN {
        _sentence(
            name,
            f"stated.{name}",
            f"if(stated.{name} = in_file.most_{name}, in_file.least_{name}, in_file.most_{name})",
            "in another row",
        )
    }
    """
    for name in SPECIFYING
)
"""Of each column in turn: what the record says decides, and where it is silent the other rows."""
_LEAST_AND_MOST = ", ".join(
    f"min({name}) AS least_{name}, max({name}) AS most_{name}" for name in SPECIFYING
)
_FIND_CONTRADICTIONS = f"""
    INSERT INTO stated_faults
    SELECT line, '{MACHINE_DISAGREES.name}', detail
    FROM (
        SELECT line, CASE {_CASES} END AS detail
        FROM stated_machines AS stated
        LEFT JOIN instances AS known USING ({_KEY})
        JOIN (SELECT {_KEY}, {_LEAST_AND_MOST} FROM stated_machines GROUP BY ALL) AS in_file
            USING ({_KEY})
    )
    WHERE detail IS NOT NULL
"""
_HOLD_BACK = f"""
    CREATE OR REPLACE TEMP TABLE contradicting AS
    SELECT line, any_value(reason) AS reason, any_value(detail) AS detail
    FROM stated_faults ANTI JOIN held_back USING (line)
    GROUP BY line;
    INSERT INTO doubting
    SELECT {_OFFER}, effective_at, observed_at, source, reason, detail, line
    FROM staged_price_events JOIN contradicting USING (line);
    INSERT INTO held_back
    SELECT
        line, reason, detail,
        concat_ws(',', {_OFFER}, effective_at, observed_at, price_usd_per_hour) AS row_text
    FROM staged_price_events JOIN contradicting USING (line);
    DELETE FROM staged_prices WHERE line IN (SELECT line FROM contradicting)
"""
_SAID = ", ".join(f"max({name}) AS {name}" for name in SPECIFYING)
_FILLED_IN = ", ".join(f"coalesce(known.{name}, said.{name}) AS {name}" for name in SPECIFYING)
_ADDS = " OR ".join(f"(known.{name} IS NULL AND said.{name} IS NOT NULL)" for name in SPECIFYING)
_STAGE_NEW = f"""
    CREATE OR REPLACE TEMP TABLE staged_instances AS
    SELECT line, {_KEY}, {_FILLED_IN}
    FROM (
        SELECT min(line) AS line, {_KEY}, {_SAID}
        FROM stated_machines SEMI JOIN staged_prices USING (line)
        GROUP BY {_KEY}
    ) AS said
    LEFT JOIN instances AS known USING ({_KEY})
    WHERE {_ADDS}
"""
