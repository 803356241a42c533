"""The queries with which a snapshot is read as of a time."""

from __future__ import annotations

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store.checks.own_history import REVERTED
from cloudarb_lib.store.rules import DUPLICATE_DISAGREES

_MACHINE_COLUMNS = ("vcpus", "memory_gib", "gpu_model", "gpu_count", "gpu_memory_gib")
_OFFER = ", ".join(OFFER_PARTS)
_KEY = f"{_OFFER}, effective_at, observed_at"
_MACHINE_AND_PLACE = ", ".join(part for part in OFFER_PARTS if part != "zone")
_FIRST_HAND = f"""
    SELECT DISTINCT {_MACHINE_AND_PLACE}
    FROM price_events
    SEMI JOIN (FROM price_events WHERE source IN $second_hand) USING ({_MACHINE_AND_PLACE})
    WHERE source NOT IN $second_hand AND observed_at <= $as_of
"""
_VERDICT_AND_FLAG = f"""
    verdict AS (
        SELECT {_KEY}, arg_max(verdict, decided_at) AS verdict, arg_max(why, decided_at) AS why
        FROM verdicts
        WHERE decided_at <= $as_of
        GROUP BY {_KEY}
    ), flag AS (
        SELECT
            {_KEY},
            arg_min(quality, (quality <> '{REVERTED}', flagged_at)) AS quality,
            arg_min(detail, (quality <> '{REVERTED}', flagged_at)) AS detail,
            min(flagged_at) AS flagged_at,
            min(corrected_usd_per_hour) AS corrected_usd_per_hour
        FROM flags
        WHERE flagged_at <= $as_of
        GROUP BY {_KEY}
    )
"""
"""What was decided last of a price, and why it is wrong: that it was taken back before all else."""
EVENTS = f"""
    WITH first_hand AS (
        {_FIRST_HAND}
    ), {_VERDICT_AND_FLAG}, price AS (
        SELECT
            * EXCLUDE (
                quality, detail, flagged_at, corrected_usd_per_hour, verdict, why, standing, wrong
            ) REPLACE (
                coalesce(standing, price_usd_per_hour) AS price_usd_per_hour
            ),
            CASE WHEN wrong THEN quality ELSE 'ok' END AS quality,
            CASE WHEN wrong THEN detail END AS detail,
            CASE WHEN wrong THEN flagged_at END AS flagged_at
        FROM (
            SELECT
                *,
                CASE WHEN verdict IS DISTINCT FROM 'release'
                        AND quality <> '{REVERTED}'
                        AND NOT $include_flagged
                    THEN corrected_usd_per_hour
                END AS standing,
                quality IS NOT NULL AND verdict IS DISTINCT FROM 'release' AND standing IS NULL
                    AS wrong
            FROM price_events LEFT JOIN flag USING ({_KEY}) LEFT JOIN verdict USING ({_KEY})
        )
        WHERE observed_at <= $as_of
            AND (verdict IS DISTINCT FROM 'drop' OR ({_KEY}) IN (SELECT ({_KEY}) FROM doubts))
    ), doubt AS (
        SELECT
            {_KEY},
            'USD' AS currency,
            any_value(source) AS source,
            min(reason) AS quality,
            arg_min(detail, reason) AS detail,
            observed_at AS flagged_at
        FROM doubts ANTI JOIN (FROM verdict WHERE verdict = 'drop') USING ({_KEY})
        WHERE observed_at <= $as_of
        GROUP BY {_KEY}
    ), kind AS (
        SELECT {_OFFER}, max(price_kind) AS price_kind
        FROM price_events SEMI JOIN doubt USING ({_OFFER})
        GROUP BY {_OFFER}
    ), known AS (
        SELECT
            * REPLACE (
                CASE WHEN quality = 'ok' OR $include_flagged THEN price_usd_per_hour
                END AS price_usd_per_hour
            ),
            false AS held_back
        FROM price
        WHERE quality <> '{REVERTED}' OR $include_flagged
        UNION ALL BY NAME
        SELECT doubt.*, coalesce(price_kind, 'administered') AS price_kind, true AS held_back
        FROM doubt LEFT JOIN kind USING ({_OFFER})
    )
    SELECT
        known.* EXCLUDE (held_back),
        concat_ws('/', {_OFFER}) AS offer_id,
        {", ".join(_MACHINE_COLUMNS)}
    FROM known LEFT JOIN instances USING (provider, instance_type)
    WHERE (source NOT IN $second_hand OR ({_MACHINE_AND_PLACE}) NOT IN (FROM first_hand))
        AND ($providers IS NULL OR provider IN $providers)
        AND ($options IS NULL OR purchase_option IN $options)
        AND (NOT $gpu_only OR gpu_count > 0)
    ORDER BY
        offer_id,
        effective_at,
        observed_at,
        CASE WHEN NOT held_back THEN 1 WHEN quality = '{DUPLICATE_DISAGREES.name}' THEN 2 ELSE 0 END
"""
"""Price events as they were known at a time: see ``Snapshot.events``."""
LAST_PRICES = f"""
    SELECT
        {", ".join(OFFER_PARTS)},
        unnest(
            arg_max(
                {{'price_usd_per_hour': price_usd_per_hour, 'source': source}},
                (effective_at, observed_at)
            )
        )
    FROM price_events
    WHERE observed_at <= $as_of AND effective_at <= $as_of AND provider IN $providers
        AND ($every_region OR lower(region) IN $regions)
    GROUP BY {", ".join(OFFER_PARTS)}
"""
"""The newest price of each offer: see ``Snapshot.last_prices``."""
HELD = f"""
    WITH first_hand AS (
        {_FIRST_HAND}
    ), {_VERDICT_AND_FLAG}, wrong AS (
        SELECT * RENAME (quality AS reason, flagged_at AS since) FROM flag
    ), entry AS (
        SELECT
            left(md5(concat_ws('|', {_KEY})), 8) AS id,
            'price' AS kind,
            wrong.*,
            price_usd_per_hour,
            source
        FROM wrong JOIN price_events USING ({_KEY})
        UNION ALL BY NAME
        SELECT
            left(md5(concat_ws('|', file_sha256, line, reason)), 8) AS id,
            'row' AS kind,
            quarantine.reason,
            quarantine.detail,
            {_KEY},
            coalesce(observed_at, ingested_at) AS since,
            source,
            file,
            line,
            row_text
        FROM quarantine LEFT JOIN doubts USING (file_sha256, line, reason)
        WHERE since <= $as_of
    ), good AS (
        SELECT {_OFFER}, max((effective_at, observed_at)) AS last_good
        FROM (
            FROM price_events
            SEMI JOIN entry USING ({_OFFER})
            ANTI JOIN (
                SELECT {_KEY} FROM wrong ANTI JOIN (FROM verdict WHERE verdict = 'release')
                    USING ({_KEY})
            ) USING ({_KEY})
        )
        WHERE observed_at <= $as_of
        GROUP BY {_OFFER}
    )
    SELECT
        entry.*,
        verdict,
        why,
        effective_at IS NOT NULL
            AND verdict IS NULL
            AND NOT unread
            AND reason <> '{REVERTED}'
            AND corrected_usd_per_hour IS NULL
            AND coalesce((effective_at, observed_at) > last_good, true) AS keeps_out
    FROM (
        SELECT
            *,
            coalesce(
                source IN $second_hand AND ({_MACHINE_AND_PLACE}) IN (FROM first_hand), false
            ) AS unread
        FROM entry
    ) AS entry
    LEFT JOIN verdict USING ({_KEY})
    LEFT JOIN good USING ({_OFFER})
"""
"""What was found wrong or held back: see ``Snapshot.held``."""
