r"""How a column of our tables is read, and what makes a value of it wrong: the rules for rows.

Both are SQL over what was written and what that is read as, so that DuckDB judges a whole file at
once. In them stand for:

- ``$written``: the text of the file, or its value where the file holds the type itself;
- ``$value``: what that is read as, null where it is none of the type;
- ``$source``: the name of the file; ``$now``: the time of ingestion;
- ``NAME_read``: what was written in column NAME; ``NAME``: what that is read as.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudarb_lib.sources.base import Reason

KEY = "key"
"""Kind of column: it names the row."""
NEEDED = "needed"
"""Kind of column: the table needs a value of it."""


@dataclass(frozen=True)
class Reading:
    """How a column, or a type where the column has no reading of its own, is read.

    Parameters
    ----------
    about : str
        A column of one table (``price_events.region``), of every table, or a DuckDB type.
    of_text : str
        SQL that reads a text, null where it is none of the type.
    of_type : str
        SQL that reads a value where the file holds the type itself; '' for texts.
    """

    about: str
    of_text: str
    of_type: str = ""


@dataclass(frozen=True)
class Rule(Reason):
    """When a value sends its row to quarantine, why, and what to do about it.

    Parameters
    ----------
    about : str
        A column of one table or of every table, a DuckDB type, ``KEY`` or ``NEEDED``.
    condition : str
        SQL that is true where the value is wrong.
    """

    about: str = ""
    condition: str = ""


OPTIONS_AND_TERMS = {
    ("on_demand", ""): ("on_demand", ""),
    ("spot", ""): ("spot", ""),
    ("reserved", "1y"): ("reserved", "1y"),
    ("reserved_1y", ""): ("reserved", "1y"),
    ("reserved_1y", "1y"): ("reserved", "1y"),
    ("reserved", "3y"): ("reserved", "3y"),
    ("reserved_3y", ""): ("reserved", "3y"),
    ("reserved_3y", "3y"): ("reserved", "3y"),
}
"""Purchase option and term as they may be written, and how they are stored."""


def _looked_up(position: int, key: str) -> str:
    """Return SQL that looks up option (0) or term (1) as it is stored, '' where they do not fit."""
    pairs = [
        f"'{'/'.join(pair)}': '{stored[position]}'" for pair, stored in OPTIONS_AND_TERMS.items()
    ]
    return f"coalesce(MAP {{{', '.join(pairs)}}}[{key}], '')"


_NUMBER = r"(?i)[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?"
_DAY = r"\d{4}-\d\d-\d\d"
_TIME_OF_DAY = r"([01]\d|2[0-3]):\d\d(:\d\d([.,]\d+)?)?"
_ZONE = r" ?(Z|UTC|[+-]\d\d:?(\d\d)?)"
_READ_NUMBER = f"""
    CASE WHEN regexp_full_match($written, '{_NUMBER}') THEN TRY_CAST($written AS DOUBLE) END
"""
_TYPED_NUMBER = "nullif($written::DOUBLE, 'nan')"

READINGS = (
    Reading("price_events.region", "coalesce($written, 'unstated')"),
    Reading("price_events.source", "coalesce($written, $source)"),
    Reading("provider", "lower(coalesce($written, ''))"),
    Reading("currency", "'USD'"),
    Reading("looks.purchase_option", "coalesce($written, '')"),
    Reading("evidence.purchase_option", "coalesce($written, '')"),
    Reading("purchase_option", _looked_up(0, "concat($written, '/', term_read)")),
    Reading("term", _looked_up(1, "concat(purchase_option_read, '/', $written)")),
    Reading(
        "price_kind",
        """
        coalesce($written, CASE
            WHEN lower(provider_read) = 'aws' AND purchase_option_read = 'spot' THEN 'market'
            ELSE 'administered'
        END)
        """,
    ),
    Reading("gpu_model", "canonical($written, TRY_CAST(gpu_memory_gib_read AS DOUBLE))"),
    Reading("VARCHAR", "coalesce($written, '')"),
    Reading(
        "TIMESTAMPTZ",
        f"""
        CASE WHEN regexp_full_match($written, '(?i){_DAY}[T ]{_TIME_OF_DAY}{_ZONE}')
            THEN TRY_CAST(replace(upper($written), ',', '.') AS TIMESTAMPTZ)
        END
        """,
        of_type="$written::TIMESTAMPTZ",
    ),
    Reading("BOOLEAN", "TRY_CAST($written AS BOOLEAN)", of_type="$written"),
    Reading("DOUBLE", _READ_NUMBER, of_type=_TYPED_NUMBER),
    Reading("INTEGER", _READ_NUMBER, of_type=_TYPED_NUMBER),
)
"""The own reading of a column goes before that of its type."""

HIGHEST_PRICE_USD_PER_HOUR = 100_000.0
"""No machine costs as much: the dearest of the bundled history asks 623."""

DUPLICATE_DISAGREES = Reason(
    "duplicate_disagrees", "differs from another row of the same key", "keep one"
)
"""Found when a file is merged, see ``merge``."""

RULES = (
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
        condition=f"$value > {HIGHEST_PRICE_USD_PER_HOUR}",
    ),
    Rule(
        "time_naive",
        "has no time zone",
        "add one, such as a trailing Z for UTC",
        about="TIMESTAMPTZ",
        condition=f"""
        CASE WHEN $value IS NULL THEN
            regexp_full_match($written::VARCHAR, '(?i){_DAY}([T ]{_TIME_OF_DAY})?')
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
        "currency_not_usd",
        "is not USD",
        "convert the price, or leave the row out",
        about="currency",
        condition="upper($written) <> 'USD'",
    ),
    Rule(
        "unknown_purchase_option",
        "is none of on_demand, spot, reserved",
        about="price_events.purchase_option",
        condition="""
        ($written IN ('on_demand', 'spot', 'reserved', 'reserved_1y', 'reserved_3y')) IS NOT TRUE
        """,
    ),
    Rule(
        "unknown_purchase_option",
        "is none of on_demand, spot, reserved",
        "leave it empty for every one",
        about="purchase_option",
        condition="$value NOT IN ('', 'on_demand', 'spot', 'reserved')",
    ),
    Rule(
        "unknown_term",
        "does not fit",
        "a reserved price has term 1y or 3y, others none",
        about="term",
        condition="purchase_option = ''",
    ),
    Rule(
        "unknown_price_kind",
        "is none of administered, market",
        about="price_kind",
        condition="$value NOT IN ('administered', 'market')",
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


def reading_of(table: str, column: str, dtype: str) -> Reading:
    """Return how a column of a table is read."""
    by_subject = {reading.about: reading for reading in READINGS}
    for subject in (f"{table}.{column}", column):
        if subject in by_subject:
            return by_subject[subject]
    return by_subject[dtype]


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
