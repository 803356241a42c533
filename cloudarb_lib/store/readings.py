r"""How a column of our tables is read: SQL over what a file has written there.

In a reading stand for:

- ``$written``: the text of the file, or its value where the file holds the type itself;
- ``$source``: the name of the file; ``$currency``: what the name of the price column says;
- ``NAME_read``: what was written in column NAME; the name of a column further left: its value.

What is common costs little: a reading tries first what a good column holds, and asks the tables of
names, or a pattern, only where that fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb

from cloudarb_lib.sources.names import options, providers
from cloudarb_lib.sources.names.gpus import canonical


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


DAY = r"\d{4}-\d\d-\d\d"
TIME_OF_DAY = r"([01]\d|2[0-3]):\d\d(:\d\d([.,]\d+)?)?"
_OFFSET = r"(\+(0\d|1[0-3])(:?[0-5]\d)?|\+14(:?00)?|-(0\d|1[01])(:?[0-5]\d)?|-12(:?00)?)"
"""No clock on earth is further from UTC than +14:00 and -12:00."""
_ZONE = rf" ?(Z|UTC|{_OFFSET})"


_SPELLINGS: dict[str, Mapping[str, str]] = {
    "providers": providers.SPELLINGS,
    "options": {spelling: option for spelling, (option, _) in options.OPTIONS.items()},
    "terms": options.TERMS,
    "terms_of_options": {spelling: term for spelling, (_, term) in options.OPTIONS.items() if term},
}
"""Name of each spelling. A connection holds them as variables: they have hundreds of entries, and
planning a query that spelled them out took longer than reading a small file."""


def know_names(con: duckdb.DuckDBPyConnection) -> None:
    """Give a connection what the readings ask: the names of spellings, and of GPU models."""
    con.create_function(  # type: ignore[call-overload]
        "canonical", canonical, null_handling="special"
    )
    for table, names in _SPELLINGS.items():
        con.execute(
            f"SET VARIABLE {table} = map(?::VARCHAR[], ?::VARCHAR[])", [[*names], [*names.values()]]
        )


def _looked_up(table: str, text: str) -> str:
    """Return SQL of the name of a spelling, null where the table has none."""
    return f"getvariable('{table}')[regexp_replace(lower({text}), '[^a-z0-9]', '', 'g')]"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _of_providers(column: str, value: str) -> str:
    """Return the providers for which ``column`` of their table says ``value``, as an SQL list."""
    return _quoted(p.name for p in providers.PROVIDERS.values() if getattr(p, column) == value)


def _in_case_of(column: str, text: str) -> str:
    """Return SQL of a region or machine as its provider writes such names.

    A machine with a GPU attached (n1-standard-8+T4) is our own name for the two.
    """
    lower = f"lower({text})"
    if column == "machines":
        lower = f"CASE WHEN contains({text}, '+') THEN {text} ELSE {lower} END"
    return f"""
        CASE
            WHEN provider IN ({_of_providers(column, "lower")}) THEN {lower}
            WHEN provider IN ({_of_providers(column, "joined") or "''"})
                THEN replace(lower({text}), ' ', '')
            ELSE {text}
        END
    """


_PROVIDER = f"""
    CASE WHEN $written IN ('aws', 'azure', 'gcp') THEN $written
        ELSE coalesce({_looked_up("providers", "$written")}, lower($written), '')
    END
"""
_OPTION = f"""
    CASE WHEN $written IN ('on_demand', 'spot') THEN $written
        ELSE coalesce({_looked_up("options", "$written")}, '')
    END
"""
_TERM_OF_OPTION = _looked_up("terms_of_options", "purchase_option_read")
_TERM = f"""
    CASE
        WHEN purchase_option IN ('on_demand', 'spot')
            THEN CASE WHEN $written IS NULL THEN '' END
        WHEN $written IS NULL THEN {_TERM_OF_OPTION}
        WHEN coalesce({_TERM_OF_OPTION} = {_looked_up("terms", "$written")}, true)
            THEN {_looked_up("terms", "$written")}
    END
"""
_PRICE_KIND = f"""
    coalesce($written, CASE
        WHEN provider IN ('azure', 'gcp') THEN 'administered'
        WHEN provider IN ({_of_providers("price_kind", "market")}) THEN 'market'
        WHEN purchase_option = 'spot'
            AND provider IN ({_of_providers("spot_price_kind", "market")}) THEN 'market'
        ELSE 'administered'
    END)
"""
_CURRENCY = """
    coalesce(
        upper($written),
        CASE
            WHEN region LIKE 'cn-%' THEN 'CNY'
            WHEN provider = 'azure' AND region LIKE 'china%' THEN 'CNY'
        END,
        $currency
    )
"""
"""In China clouds ask for yuan: only a file that says otherwise row by row is believed."""
_NUMBER = """
    nullif(
        CASE WHEN NOT contains($written, '_') THEN TRY_CAST($written AS DOUBLE) END,
        'nan'::DOUBLE
    )
"""
"""DuckDB takes 1_0 for ten; a file that writes so may mean a range."""
_TYPED_NUMBER = "nullif($written::DOUBLE, 'nan')"
_TIME = f"""
    CASE
        WHEN $written LIKE '____-__-__T__:__:__Z' AND NOT contains($written, 'T24')
            THEN TRY_CAST($written AS TIMESTAMPTZ)
        WHEN regexp_full_match($written, '(?i){DAY}[T ]{TIME_OF_DAY}{_ZONE}')
            THEN TRY_CAST(replace(upper($written), ',', '.') AS TIMESTAMPTZ)
    END
"""

READINGS = (
    Reading("price_events.region", _in_case_of("regions", "coalesce($written, 'unstated')")),
    Reading("price_events.source", "coalesce($written, $source)"),
    Reading("provider", _PROVIDER),
    Reading("region", _in_case_of("regions", "coalesce($written, '')")),
    Reading("zone", _in_case_of("regions", "coalesce($written, '')")),
    Reading("instance_type", _in_case_of("machines", "coalesce($written, '')")),
    Reading("purchase_option", _OPTION),
    Reading("term", _TERM),
    Reading("currency", _CURRENCY),
    Reading("price_kind", _PRICE_KIND),
    Reading("gpu_model", "canonical($written, TRY_CAST(gpu_memory_gib_read AS DOUBLE))"),
    Reading("VARCHAR", "coalesce($written, '')"),
    Reading("TIMESTAMPTZ", _TIME, of_type="$written::TIMESTAMPTZ"),
    Reading("BOOLEAN", "TRY_CAST($written AS BOOLEAN)", of_type="$written"),
    Reading("DOUBLE", _NUMBER, of_type=_TYPED_NUMBER),
    Reading("INTEGER", _NUMBER, of_type=_TYPED_NUMBER),
)
"""The own reading of a column goes before that of its type."""


def reading_of(table: str, column: str, dtype: str) -> Reading:
    """Return how a column of a table is read."""
    by_subject = {reading.about: reading for reading in READINGS}
    for subject in (f"{table}.{column}", column):
        if subject in by_subject:
            return by_subject[subject]
    return by_subject[dtype]
