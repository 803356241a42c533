r"""What makes a value of our tables wrong: the rules for rows.

They are SQL over what was written and what that is read as, so that DuckDB judges a whole file at
once. In them stand for:

- ``$written``: the text of the file, or its value where the file holds the type itself;
- ``$value``: what that is read as (``readings``), null where it is none of the type;
- ``$now``: the time of ingestion; ``$currency``: what the name of the price column says;
- ``$usd_per_unit``: the rate by which a price is brought to USD, null where none is named;
- ``$per_gpu``: whether the prices are of one GPU, ``$gpus`` how many the machine has,
  ``$gpus_stated`` by the row itself and ``$gpus_on_record`` by table instances;
- ``NAME_read``: what was written in column NAME; ``NAME``: what that is read as.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudarb_lib.sources.base import Reason
from cloudarb_lib.store.readings import DAY, TIME_OF_DAY

KEY = "key"
"""Kind of column: it names the row."""
NEEDED = "needed"
"""Kind of column: the table needs a value of it."""


@dataclass(frozen=True)
class Rule(Reason):
    """When a value sends its row to quarantine, why, and what to do about it.

    Parameters
    ----------
    about : str
        A column of one table or of every table, a DuckDB type, ``KEY`` or ``NEEDED``.
    condition : str
        SQL that is true where the value is wrong.
    subject : str
        SQL of what the sentence is about, '' for the column and what was written there.
    """

    about: str = ""
    condition: str = ""
    subject: str = ""


def _named(word: str, value: str) -> str:
    """Return SQL of a word and a value in quotes."""
    return f"concat('{word} ''', left({value}::VARCHAR, 60), '''')"


HIGHEST_PRICE_USD_PER_HOUR = 100_000.0
"""No machine costs as much: the dearest of the bundled history asks 623."""
HOURS_OF_LONGEST_TERM = 3 * 8760
"""The price of a commitment may be that of its whole term: it is judged against on demand."""

DUPLICATE_DISAGREES = Reason(
    "duplicate_disagrees",
    "differs from another row of the same key",
    "keep one; a price that corrects a stored one needs a later observed_at",
)
"""Found when a file is merged, see ``merge``."""

MACHINE_DISAGREES = Reason(
    "machine_disagrees",
    "so it is another machine",
    "mend the row, or name the machine otherwise; a table of machines alone corrects the record",
)
"""Found when all rows of a price file are read, see ``stated_machines``."""

EARLIEST_TIME = "2000-01-01"
"""Nobody rented out machines by the hour before: a time of then is an empty or a broken one."""

RULES = (
    Rule(
        "gpu_count_unknown",
        "has no count of GPUs on record, but its price is per GPU",
        "bring its row of table instances, in the same call or before",
        about="price_usd_per_hour",
        condition="$per_gpu AND $written IS NOT NULL AND coalesce($gpus, 0) <= 0",
        subject=_named("machine", "instance_type"),
    ),
    Rule(
        "gpu_count_disagrees",
        "has another count of GPUs on record than in this row",
        "mend one of the two",
        about="price_usd_per_hour",
        condition="$per_gpu AND $gpus_stated <> $gpus_on_record",
        subject=_named("machine", "instance_type"),
    ),
    Rule(
        "price_not_a_number",
        "is not a number",
        "write 1.25, or leave it empty for a withdrawn offer",
        about="price_usd_per_hour",
        condition="$value IS NULL AND $written IS NOT NULL",
    ),
    Rule(
        "price_infinite",
        "is infinite or too large",
        "give the price in USD per hour",
        about="price_usd_per_hour",
        condition="isinf($value)",
    ),
    Rule(
        "price_negative",
        "is negative",
        "a price is above zero",
        about="price_usd_per_hour",
        condition="$value < 0",
    ),
    Rule(
        "price_zero",
        "is zero",
        "leave it empty for a withdrawn offer",
        about="price_usd_per_hour",
        condition="$value = 0",
    ),
    Rule(
        "price_beyond_reason",
        f"is above {HIGHEST_PRICE_USD_PER_HOUR:,.0f} USD per hour",
        "check the unit and the currency",
        about="price_usd_per_hour",
        condition=f"""
        $value > {HIGHEST_PRICE_USD_PER_HOUR}
            * CASE WHEN purchase_option = 'reserved' THEN {HOURS_OF_LONGEST_TERM} ELSE 1 END
        """,
    ),
    Rule(
        "time_naive",
        "has no time zone",
        "add one, such as a trailing Z for UTC",
        about="TIMESTAMPTZ",
        condition=f"""
        CASE WHEN $value IS NULL THEN
            regexp_full_match($written::VARCHAR, '(?i){DAY}([T ]{TIME_OF_DAY})?')
            AND TRY_CAST($written AS TIMESTAMP) IS NOT NULL
        END
        """,
    ),
    Rule(
        "time_unreadable",
        "is not a time",
        "write 2026-04-29T18:00:00Z",
        about="TIMESTAMPTZ",
        condition="$value IS NULL",
    ),
    Rule(
        "time_future",
        "lies after the time of ingestion",
        "check the clock and the zone",
        about="TIMESTAMPTZ",
        condition="$value > $now",
    ),
    Rule(
        "time_too_early",
        f"lies before {EARLIEST_TIME[:4]}",
        "check the year, and the unit of an epoch",
        about="TIMESTAMPTZ",
        condition=f"$value < TIMESTAMPTZ '{EARLIEST_TIME} 00:00:00Z'",
    ),
    Rule(
        "currency_disagrees",
        "is not that of the price column",
        "leave one of the two out",
        about="currency",
        condition="$currency NOT IN ('', 'USD') AND $value <> $currency",
    ),
    Rule(
        "currency_unstated",
        "is not stated",
        "name it in the price column (price_usd_per_hour) or in column currency",
        about="currency",
        condition="$value = ''",
        subject="'the currency'",
    ),
    Rule(
        "currency_not_usd",
        "is not USD, and no rate of it is named for that time",
        "name one (--fx FILE with currency, usd_per_unit, as_of, source), or convert the price",
        about="currency",
        condition="$value <> 'USD' AND $usd_per_unit IS NULL",
        subject=_named("currency", "$value"),
    ),
    Rule(
        "unknown_purchase_option",
        "is none of on_demand, spot, reserved, and no spelling of them that we know",
        about="price_events.purchase_option",
        condition="$value = ''",
    ),
    Rule(
        "unknown_purchase_option",
        "is none of on_demand, spot, reserved, and no spelling of them that we know",
        "leave it empty for every one",
        about="purchase_option",
        condition="$value = '' AND $written IS NOT NULL",
    ),
    Rule(
        "unknown_term",
        "does not fit",
        "a reserved price has term 1y, 3y, 1y-plan or 3y-plan, others none",
        about="term",
        condition="$value IS NULL",
    ),
    Rule(
        "unknown_price_kind",
        "is none of administered, market",
        about="price_kind",
        condition="$value NOT IN ('administered', 'market')",
    ),
    Rule(
        "unknown_evidence_kind",
        "is none of zone_list, offering, catalogue, quota",
        about="evidence.kind",
        condition="$value NOT IN ('zone_list', 'offering', 'catalogue', 'quota')",
    ),
    Rule(
        "not_true_or_false",
        "is neither true nor false",
        about="BOOLEAN",
        condition="$value IS NULL AND $written IS NOT NULL",
    ),
    Rule(
        "key_not_plain",
        "holds a slash or an unreadable character, which a name may not",
        about="VARCHAR",
        condition=r"""
        NOT regexp_full_match($written, '[^/\x{FFFD}\p{C}\p{Zl}\p{Zp}"""
        r"""\x{A0}\x{1680}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}]*')
        """,
    ),
    Rule(
        "value_not_a_number",
        "is not a number that the column can hold",
        about="DOUBLE",
        condition="($value IS NULL AND $written IS NOT NULL) OR isinf($value)",
    ),
    Rule(
        "value_not_a_number",
        "is not a number that the column can hold",
        about="INTEGER",
        condition="""
        ($value IS NULL AND $written IS NOT NULL)
        OR $value < 0 OR $value >= 2**31 OR $value <> floor($value)
        """,
    ),
    Rule(
        "empty_key", "is empty, but names the row", "fill it in", about=KEY, condition="$value = ''"
    ),
    Rule(
        "empty_value",
        "is empty",
        "the table needs a value",
        about=NEEDED,
        condition="$value IS NULL OR $value::VARCHAR = ''",
    ),
)
"""In the order of judgement: a row goes to quarantine for the first that it breaks, column by
column. A column goes by its own rules, else by those of its type, ``KEY`` and ``NEEDED``."""


def rules_for(table: str, column: str, kinds: set[str]) -> list[Rule]:
    """Return the rules of a column, in their order.

    Parameters
    ----------
    table, column : str
        Their names.
    kinds : set of str
        Its type, with ``KEY`` or ``NEEDED`` where it is one of these.
    """
    for subject in (f"{table}.{column}", column):
        if own := [rule for rule in RULES if rule.about == subject]:
            return own
    return [rule for rule in RULES if rule.about in kinds]
