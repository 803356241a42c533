"""Parts of a market that files show whole: what they lack is withdrawn, what they hold was seen.

Temporary tables of the writer's connection, for one call:

- ``shown``: ``look`` (a number) and offer of each row of the files, those held back included;
- ``in_force_before``: ``look``, and what was in force when the first file of the look came;
- ``repeated``: ``look``, and rows that say what is in force already: the look says it for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import duckdb
import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store.batch import scope_text
from cloudarb_lib.store.price_rows import add_prices
from cloudarb_lib.tables.stored_schema import STORED

PAGES_WITHIN = pd.Timedelta("6h")
"""Files of one call that show one part of a market, seen within this time, are pages of a look."""
FEWEST_OFFERS = 10
MOST_WITHDRAWN = 0.5
"""A look that withdraws more than this share, of so many offers or more, must be confirmed."""

_OFFER = ", ".join(OFFER_PARTS)
_PRICE = ", ".join(STORED["price_events"].names)
_IN_SCOPE = """
    provider = $provider AND $region IN ('', region) AND $option IN ('', purchase_option)
"""
_ROWS_OF_FILE = f"""
    SELECT {_OFFER}, observed_at FROM staged_price_events
    UNION ALL SELECT {_OFFER}, observed_at FROM doubting
"""
_STATE = """
    {
        'price': price_usd_per_hour,
        'offer_count': offer_count,
        'source': source,
        'price_kind': price_kind,
        'since': effective_at
    }
"""
_NUMBERED_STATE = """
    {
        'price': price_usd_per_hour,
        'offer_count': offer_count,
        'record': record,
        'since': effective_at
    }
"""
_IN_FORCE = f"""
    SELECT {_OFFER}, price, offer_count, source, price_kind, since
    FROM (
        SELECT offer, unnest(arg_max({_NUMBERED_STATE}, (effective_at, observed_at)))
        FROM price_numbers
        SEMI JOIN (FROM price_offers WHERE {_IN_SCOPE}) USING (offer)
        ANTI JOIN (
            SELECT offer, effective_at, observed_at
            FROM verdicts JOIN price_offers USING ({_OFFER})
            WHERE verdict = 'drop'
        ) USING (offer, effective_at, observed_at)
        WHERE effective_at <= $seen_at AND observed_at <= $seen_at
        GROUP BY offer
    )
    JOIN price_offers USING (offer)
    JOIN price_records USING (record)
"""
"""What was said last of each offer of a part of a market by a time."""
_OF_SOURCE = "$source IN ('', source)"


def _equal(left: str, right: str) -> str:
    """Return SQL that is true where two tables name the same offer."""
    return " AND ".join(f"{left}.{part} = {right}.{part}" for part in OFFER_PARTS)


_TEMPORARY = f"""
    CREATE OR REPLACE TEMP TABLE shown AS
    SELECT 0 AS look, {_OFFER} FROM price_events LIMIT 0;
    CREATE OR REPLACE TEMP TABLE in_force_before AS
    SELECT 0 AS look, {_OFFER}, unnest({_STATE}) FROM price_events LIMIT 0;
    CREATE OR REPLACE TEMP TABLE repeated AS
    SELECT 0 AS look, {_PRICE} FROM price_events LIMIT 0
"""
_SET_ASIDE = f"""
    CREATE OR REPLACE TEMP TABLE same AS
    SELECT staged.id
    FROM staged_price_events staged JOIN in_force_before before
        ON {_equal("staged", "before")} AND before.look = $look
    WHERE staged.price_usd_per_hour IS NOT DISTINCT FROM before.price
        AND staged.offer_count IS NOT DISTINCT FROM before.offer_count
        AND ($source = '' OR staged.source = before.source)
        AND staged.price_kind = before.price_kind
        AND NOT EXISTS (
            FROM doubts
            WHERE {_equal("doubts", "staged")}
                AND doubts.effective_at >= before.since
                AND doubts.observed_at <= staged.observed_at
        );
    INSERT INTO repeated
    SELECT $look, {_PRICE} FROM staged_price_events WHERE id IN (FROM same);
    DELETE FROM staged_prices WHERE rowid IN (FROM same)
"""
"""Rows that say what is in force go to ``repeated``, unless the offer is in doubt."""
_FIND_MISSING = f"""
    CREATE OR REPLACE TEMP TABLE missing AS
    FROM ({_IN_FORCE})
    ANTI JOIN (FROM shown WHERE look = $look) USING ({_OFFER})
    WHERE price IS NOT NULL AND {_OF_SOURCE}
"""
_REPEATED_OF = f"""
    SELECT {_PRICE} FROM repeated
    ANTI JOIN price_events USING ({_OFFER}, effective_at, observed_at)
    WHERE look = $look
"""
_WITHDRAWALS = f"""
    SELECT
        {_OFFER},
        'USD' AS currency,
        NULL AS price_usd_per_hour,
        $seen_at AS effective_at,
        $seen_at AS observed_at,
        source,
        price_kind,
        NULL AS offer_count
    FROM missing
"""
_WRITE_LOOK = f"""
    INSERT INTO looks BY NAME
    SELECT
        $provider AS provider,
        source,
        $region AS region,
        $option AS purchase_option,
        $seen_at AS looked_at,
        $seen_at AS covers_from
    FROM (
        SELECT DISTINCT source FROM ({_IN_FORCE}) WHERE $source = ''
        UNION SELECT $source WHERE $source <> ''
    )
    WHERE (source, $seen_at) NOT IN (
        SELECT (source, looked_at)
        FROM looks
        WHERE provider = $provider AND region = $region AND purchase_option = $option
    )
"""
_LATER = """
    FROM looks
    WHERE provider = $provider AND region IN ('', $region)
        AND purchase_option IN ('', $option)
        AND $source IN ('', source)
        AND looked_at > $seen_at
"""
_LATER_LOOKS = f"SELECT count(*) {_LATER}"
_KEPT_FOR_LATER_LOOK = f"""
    WITH later AS (
        SELECT min(looked_at) AS seen_at {_LATER}
    ), known AS (
        SELECT price_events.*
        FROM price_events, later
        WHERE {_IN_SCOPE} AND effective_at <= later.seen_at AND observed_at <= later.seen_at
    ), changed AS (
        SELECT {_OFFER}
        FROM known
        GROUP BY {_OFFER}
        HAVING max(effective_at) = $seen_at
    )
    SELECT
        {_OFFER},
        'USD' AS currency,
        before.price AS price_usd_per_hour,
        later.seen_at AS effective_at,
        later.seen_at AS observed_at,
        now.source,
        now.price_kind,
        before.offer_count
    FROM later, changed
    JOIN (SELECT {_OFFER}, unnest(arg_max({_STATE}, (effective_at, observed_at)))
          FROM known GROUP BY {_OFFER}) now USING ({_OFFER})
    LEFT JOIN (SELECT {_OFFER}, unnest(arg_max({_STATE}, (effective_at, observed_at)))
          FROM known WHERE effective_at < $seen_at GROUP BY {_OFFER}) before USING ({_OFFER})
    WHERE now.price IS DISTINCT FROM before.price
"""
"""A look that is taken in after a later one: what that one left unsaid, since nothing had changed
by then, is said again behind what this one changed."""


@dataclass
class Look:
    """One observation of a part of a market, by one file or several pages.

    Parameters
    ----------
    number : int
        Its place among the looks of the call.
    scope : Scope
        The part of the market.
    source : str
        Record whose offers it shows; '': whatever the record.
    first_seen_at, seen_at : pandas.Timestamp
        Times of its first page and its last.
    confirmed : bool
        Whether it may withdraw most of the offers.
    why_not : str
        Why it withdraws nothing after all, '' where it does.
    """

    number: int
    scope: Scope
    source: str
    first_seen_at: pd.Timestamp
    seen_at: pd.Timestamp
    confirmed: bool
    why_not: str = ""

    @property
    def words(self) -> dict[str, str]:
        """What stands for the names in our SQL."""
        return _words_of(self.scope) | {
            "look": str(self.number),
            "source": _literal(self.source),
            "seen_at": f"TIMESTAMPTZ '{self.seen_at.isoformat()}'",
        }

    def has_page(self, scope: Scope, source: str, seen_at: pd.Timestamp) -> bool:
        """Tell whether a file of that time is a page of this look."""
        near = self.seen_at - PAGES_WITHIN <= seen_at <= self.first_seen_at + PAGES_WITHIN
        return near and (scope, source) == (self.scope, self.source)


class WholeLooks:
    """The looks of one call: noted file by file, settled at its end.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        The writer's connection, with the tables of the store.

    Attributes
    ----------
    withdrawn : int
        How many offers the looks withdrew.
    notices : list of str
        What whoever brought the files should know.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.withdrawn = 0
        self.notices: list[str] = []
        self._con = con
        self._looks: list[Look] = []
        self._void: dict[Scope, str] = {}
        con.execute(_TEMPORARY)

    def void(self, scopes: Sequence[Scope], why_not: str) -> None:
        """Let parts of a market not count as shown whole, since a file of theirs was refused."""
        self._void |= dict.fromkeys(scopes, why_not)

    def note(
        self,
        scope: Scope,
        *,
        source: str,
        seen_at: pd.Timestamp | None,
        timeless: bool,
        confirmed: bool,
    ) -> None:
        """Note what the file in ``staged_price_events`` and ``doubting`` shows whole.

        Parameters
        ----------
        scope : Scope
            The part of the market.
        source : str
            Record whose offers it shows; '': whatever the record.
        seen_at : pandas.Timestamp or None
            When; None: at the newest observation of its rows.
        timeless : bool
            Whether its rows have no times of their own. Those that say what is in force already
            leave ``staged_price_events``: the look says it for them.
        confirmed : bool
            Whether it may withdraw most of the offers.
        """
        seen_at = seen_at or self._newest(scope)
        if seen_at is None:
            self.notices.append(f"{scope_text(scope)}: no row of it, so nothing was withdrawn")
            return
        look = self._look_of(scope, source, seen_at, confirmed)
        self._run(
            f"INSERT INTO shown SELECT $look, {_OFFER} FROM ({_ROWS_OF_FILE}) WHERE {_IN_SCOPE}",
            look,
        )
        if timeless:
            self._run(_SET_ASIDE, look)

    def settle(self) -> None:
        """Withdraw what the looks lack and write them down, the oldest first."""
        for look in sorted(self._looks, key=lambda look: look.seen_at):
            self._run(_FIND_MISSING, look)
            look.why_not = self._void.get(look.scope) or self._doubt_about(look)
            if look.why_not:
                self.notices.append(f"{scope_text(look.scope)}: {look.why_not}")
                add_prices(self._con, self._sql(_REPEATED_OF, look))
                continue
            ((missing,),) = self._run("SELECT count(*) FROM missing", look)
            self.withdrawn += missing
            add_prices(self._con, self._sql(_WITHDRAWALS, look))
            self._run(_WRITE_LOOK, look)
            if self._run(_LATER_LOOKS, look) != [(0,)]:
                add_prices(self._con, self._sql(_KEPT_FOR_LATER_LOOK, look))

    def repeated(self) -> int:
        """Return how many rows of the file said last what was in force."""
        ((count,),) = self._con.execute("SELECT count(*) FROM repeated").fetchall()
        return count

    def _newest(self, scope: Scope) -> pd.Timestamp | None:
        query = f"SELECT max(observed_at) AS newest FROM ({_ROWS_OF_FILE}) WHERE {_IN_SCOPE}"
        newest = self._con.execute(Template(query).substitute(_words_of(scope))).df()["newest"][0]
        return None if pd.isna(newest) else newest

    def _look_of(self, scope: Scope, source: str, seen_at: pd.Timestamp, confirmed: bool) -> Look:
        """Return the look that a file is a page of, a new one where there is none."""
        for look in self._looks:
            if look.has_page(scope, source, seen_at):
                look.first_seen_at = min(look.first_seen_at, seen_at)
                look.seen_at = max(look.seen_at, seen_at)
                look.confirmed = look.confirmed and confirmed
                return look
        look = Look(len(self._looks), scope, source, seen_at, seen_at, confirmed)
        self._looks.append(look)
        self._run(f"INSERT INTO in_force_before SELECT $look, * FROM ({_IN_FORCE})", look)
        return look

    def _doubt_about(self, look: Look) -> str:
        """Return why a look should not withdraw what it lacks, '' where it may."""
        query = f"""
            SELECT
                (SELECT count(*) FROM missing),
                count(*)
            FROM in_force_before
            WHERE look = $look AND price IS NOT NULL AND {_OF_SOURCE}
        """
        ((missing, before),) = self._run(query, look)
        if look.confirmed or before < FEWEST_OFFERS or missing <= MOST_WITHDRAWN * before:
            return ""
        return (
            f"{missing:,} of {before:,} offers are missing, so nothing was withdrawn;"
            " take it in with --confirm if they are no longer on sale"
        )

    def _run(self, sql: str, look: Look) -> list[tuple[Any, ...]]:
        return self._con.execute(self._sql(sql, look)).fetchall()

    def _sql(self, sql: str, look: Look) -> str:
        return Template(sql).substitute(look.words)


def _words_of(scope: Scope) -> dict[str, str]:
    return {
        "provider": _literal(scope.provider),
        "region": _literal(scope.region),
        "option": _literal(scope.purchase_option),
    }


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
