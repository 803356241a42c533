"""Runs the checks over a store and keeps its table ``flags``: only what new prices can change.

Temporary tables of the writer's connection:

- ``machines_before`` and ``flags_before``: the machines with a GPU, and the prices found wrong, as
  they were at the beginning of the call; ``newly_wrong``: prices found wrong since;
- ``touched``: offers with ``since``, the first new observation of each;
- ``scope``: the offers whose flags may change from ``since`` on, with what is known of each: all of
  a GPU model that was touched, and all of a machine and region;
- ``new_flags``: the flags of these from then on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import duckdb
import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.own_history import JUMP, REVERTED
from cloudarb_lib.store.checks.prices import NEVER

_OFFER = ", ".join(OFFER_PARTS)
_PLACE = "provider, region, instance_type"
_KEY = f"{_OFFER}, effective_at, observed_at"

_MACHINES = """
    SELECT provider, instance_type, gpu_model, gpu_count, vcpus
    FROM instances
    WHERE gpu_count > 0 AND gpu_model IS NOT NULL
"""
EVERYTHING = f"SELECT {_OFFER}, TIMESTAMPTZ 'epoch' AS since FROM price_events GROUP BY {_OFFER}"
"""Query by which all prices are judged anew."""

_SCOPE = f"""
    CREATE OR REPLACE TEMP TABLE scope AS
    WITH place AS (
        SELECT {_PLACE}, min(since) AS place_since FROM touched GROUP BY {_PLACE}
    ), machine AS (
        {_MACHINES}
    ), model AS (
        SELECT gpu_model, min(place_since) AS model_since
        FROM (
            SELECT gpu_model, place_since FROM place JOIN machine USING (provider, instance_type)
            UNION ALL
            SELECT gpu_model, TIMESTAMPTZ 'epoch'
            FROM (
                (FROM machine EXCEPT FROM machines_before)
                UNION ALL (FROM machines_before EXCEPT FROM machine)
            )
        )
        GROUP BY gpu_model
    ), near AS (
        FROM price_offers
        WHERE ({_PLACE}) IN (SELECT ({_PLACE}) FROM place)
            OR (provider, instance_type) IN (
                SELECT (provider, instance_type) FROM machine SEMI JOIN model USING (gpu_model)
                UNION ALL
                SELECT (provider, instance_type) FROM (FROM machines_before EXCEPT FROM machine)
            )
    ), offer AS (
        SELECT * RENAME (offer AS number)
        FROM near
        JOIN (
            SELECT
                offer,
                min(price_usd_per_hour) AS lowest,
                max(price_usd_per_hour) AS highest,
                bool_or(price_kind = 'administered') AS is_list
            FROM (FROM price_numbers SEMI JOIN near USING (offer))
            JOIN price_records USING (record)
            GROUP BY offer
        ) USING (offer)
    ), beside AS (
        SELECT
            *,
            coalesce(is_list AND lowest * {1 + JUMP} < highest, false) AS jumps,
            min(lowest) FILTER (purchase_option = 'on_demand') OVER here AS on_demand
        FROM offer LEFT JOIN place USING ({_PLACE})
        WINDOW here AS (PARTITION BY {_PLACE})
    )
    SELECT row_number() OVER () - 1 AS offer, * EXCLUDE (known_since)
    FROM (
        SELECT
            number,
            {_OFFER},
            gpu_model,
            gpu_count,
            vcpus,
            coalesce(model_since, place_since) AS known_since,
            coalesce(known_since, 'epoch') AS since,
            coalesce(
                jumps
                OR (purchase_option = 'on_demand' AND bool_or(jumps) OVER here)
                OR (
                    purchase_option IN ('on_demand', 'reserved')
                    AND max(highest) FILTER (purchase_option = 'reserved') OVER here > on_demand
                ),
                false
            ) AS whole
        FROM beside
        LEFT JOIN machine USING (provider, instance_type)
        LEFT JOIN model USING (gpu_model)
        WINDOW here AS (PARTITION BY {_PLACE})
    )
    WHERE whole OR gpu_model IS NOT NULL OR known_since IS NULL
    ORDER BY {_OFFER}
"""
"""``number``: that of the offer in the store. ``whole``: all prices of the offer are looked at; of
others those since ``since`` and the one in force then. An offer without a GPU that does not jump
and has no dear commitment is right."""

_OFFERS = f"""
    SELECT offer, {_OFFER}, gpu_model, gpu_count, vcpus, epoch_us(since) AS since
    FROM scope
    ORDER BY offer
"""
_ROWS = f"""
    WITH before AS (
        SELECT number, max({{'at': effective_at, 'seen': -epoch_us(observed_at)}}) AS newest
        FROM price_numbers JOIN scope ON price_numbers.offer = number
        WHERE NOT whole AND observed_at < since
        GROUP BY number
    ), released AS (
        SELECT number, effective_at, observed_at, min(decided_at) AS released_at
        FROM verdicts JOIN scope USING ({_OFFER})
        WHERE verdict = 'release'
        GROUP BY ALL
    ), wrong AS (
        SELECT number, effective_at, observed_at, min(flagged_at) AS wrong_at
        FROM flags JOIN scope USING ({_OFFER})
        GROUP BY ALL
    )
    SELECT
        scope.offer,
        effective_at,
        observed_at,
        epoch_us(effective_at) AS effective,
        epoch_us(observed_at) AS observed,
        price_usd_per_hour AS price,
        price_kind = 'administered' AS administered,
        coalesce(epoch_us(released_at), {NEVER}) AS released,
        coalesce(CASE WHEN wrong_at < since THEN epoch_us(wrong_at) END, {NEVER}) AS wrong
    FROM (SELECT * RENAME (offer AS number) FROM price_numbers)
    JOIN scope USING (number)
    JOIN price_records USING (record)
    LEFT JOIN before USING (number)
    LEFT JOIN released USING (number, effective_at, observed_at)
    LEFT JOIN wrong USING (number, effective_at, observed_at)
    WHERE whole
        OR observed_at >= since
        OR (effective_at = newest.at AND -epoch_us(observed_at) = newest.seen)
"""
_REPLACE = f"""
    CREATE OR REPLACE TEMP TABLE new_flags AS
    SELECT
        {_KEY},
        quality,
        detail,
        make_timestamptz(flagged) AS flagged_at,
        corrected AS corrected_usd_per_hour
    FROM found_wrong JOIN scope USING (offer);
    DELETE FROM flags USING scope
    WHERE {" AND ".join(f"flags.{part} = scope.{part}" for part in OFFER_PARTS)}
        AND flags.flagged_at >= scope.since;
    INSERT INTO flags BY NAME
    FROM new_flags
    WHERE NOT EXISTS (
        FROM flags
        WHERE {" AND ".join(f"flags.{part} = new_flags.{part}" for part in OFFER_PARTS)}
            AND flags.effective_at = new_flags.effective_at
            AND flags.observed_at = new_flags.observed_at
            AND (flags.quality = '{REVERTED}') = (new_flags.quality = '{REVERTED}')
    )
"""

_REMEMBER_FLAGS = f"CREATE OR REPLACE TEMP TABLE flags_before AS SELECT DISTINCT {_KEY} FROM flags"
_NEWLY_WRONG = f"""
    CREATE OR REPLACE TEMP TABLE newly_wrong AS
    SELECT DISTINCT {_KEY} FROM flags ANTI JOIN flags_before USING ({_KEY})
"""
_OF_CALL = f"""
    SELECT source, count(*)
    FROM newly_wrong
    JOIN price_offers USING ({_OFFER})
    JOIN fresh.price_rows USING (offer, effective_at, observed_at)
    JOIN price_records USING (record)
    GROUP BY source
"""
_OF_ALL = f"""
    SELECT source, count(*)
    FROM (
        SELECT offer, effective_at, observed_at
        FROM newly_wrong JOIN price_offers USING ({_OFFER})
    )
    JOIN price_numbers USING (offer, effective_at, observed_at)
    JOIN price_records USING (record)
    GROUP BY source
"""
_RIGHT_AGAIN = f"""
    SELECT count(*) FROM flags_before ANTI JOIN (SELECT DISTINCT {_KEY} FROM flags) USING ({_KEY})
"""
_ALONE = f"""
    WITH machine AS (
        {_MACHINES}
    ), alone AS (
        SELECT gpu_model
        FROM (SELECT DISTINCT provider, instance_type FROM price_offers)
        JOIN machine USING (provider, instance_type)
        GROUP BY gpu_model
        HAVING count(DISTINCT provider) = 1
    )
    SELECT provider, string_agg(DISTINCT gpu_model, ', ' ORDER BY gpu_model), count(*)
    FROM touched
    JOIN machine USING (provider, instance_type)
    SEMI JOIN alone USING (gpu_model)
    GROUP BY provider
    ORDER BY provider
"""


def remember_state(con: duckdb.DuckDBPyConnection) -> None:
    """Note machines and flags as they are: of a model whose machines change all is judged anew."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE machines_before AS {_MACHINES}")
    con.execute(_REMEMBER_FLAGS)


def flag_wrong_prices(con: duckdb.DuckDBPyConnection, touched: str = EVERYTHING) -> None:
    """Judge the prices that new ones can change; what was known at a time stays as it was.

    Parameters
    ----------
    con : DuckDBPyConnection
        Of a writer, with all stored tables, on which ``remember_state`` was called before the
        first change.
    touched : str
        Query for the offers with new prices: the parts of the offer and ``since``, the first
        observation among these.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE touched AS {touched}")
    con.execute(_SCOPE)
    offers = con.execute(_OFFERS).df()
    rows = con.execute(_ROWS).df()
    found = judge(rows, offers)
    of_row = rows[["offer", "effective_at", "observed_at"]].iloc[found["row"].to_numpy(int)]
    judged = pd.concat([of_row.reset_index(drop=True), found.reset_index(drop=True)], axis=1)
    con.register("found_wrong", judged.astype({"quality": object, "detail": object}))
    con.execute(_REPLACE)
    con.unregister("found_wrong")


@dataclass(frozen=True)
class FlagChanges:
    """What a call changed in table ``flags``.

    Parameters
    ----------
    brought : Counter
        By source, prices of the call that were found wrong.
    stored : Counter
        By source, prices stored before that are found wrong now.
    right_again : int
        Prices stored before that had been found wrong, and are not any more.
    """

    brought: Counter[str]
    stored: Counter[str]
    right_again: int


def flag_changes(con: duckdb.DuckDBPyConnection) -> FlagChanges:
    """Return what changed since ``remember_state``."""
    con.execute(_NEWLY_WRONG)
    brought = Counter(dict(con.execute(_OF_CALL).fetchall()))
    ((newly_wrong,),) = con.execute("SELECT count(*) FROM newly_wrong").fetchall()
    stored: Counter[str] = Counter()
    if newly_wrong > brought.total():
        stored = Counter(dict(con.execute(_OF_ALL).fetchall())) - brought
    ((right_again,),) = con.execute(_RIGHT_AGAIN).fetchall()
    return FlagChanges(brought, stored, right_again)


def unjudged(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return sentences on new prices of GPUs that nobody else sells: no peer judges them.

    Call it behind ``flag_wrong_prices``.
    """
    rows = con.execute(_ALONE).fetchall()
    return [
        f"not judged against the market, since nobody else sells {models}: {offers:,}"
        f" {'offer' if offers == 1 else 'offers'} of {provider}"
        for provider, models, offers in rows
    ]
