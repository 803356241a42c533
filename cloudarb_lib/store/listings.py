"""Lists of what is sold that files show whole: what a list lacks was not listed any more.

Evidence of sale is kept list by list, so what a list held can be read off table ``evidence`` at its
time; table ``listings`` says which lists are whole. What the last word before calls sold and a
whole list lacks is followed by a row with ``sold`` false, as of the list.

A list denies places as it names them: one by ids of zones does not deny zones by their names, one
of machines does not deny GPUs to attach (``n1-*+T4``). A machine that it has nowhere in a region is
denied in each of its places there, also where another source had told of it, unless the list itself
is of second hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store.batch import scope_text
from cloudarb_lib.store.whole import FEWEST_OFFERS, MOST_WITHDRAWN, PAGES_WITHIN, WholeLooks

NOT_LISTED = "not in the list any more"
"""What the note of such a row says."""
_PLACE = "provider, region, zone, instance_type, purchase_option"
_FORM = r"""
    {
        'zone': CASE
            WHEN zone = '' THEN '' WHEN regexp_full_match(zone, '.*-az\d+') THEN 'id' ELSE 'name'
        END,
        'is_attached': contains(instance_type, '*')
    }
"""
"""How a row names place and machine."""
_IN_SCOPE = """
    provider = $provider AND $region IN ('', region) AND $option IN ('', purchase_option)
"""
_SHOWN = f"""
    SELECT source, min(seen_at), max(seen_at)
    FROM staged_evidence
    WHERE {_IN_SCOPE}
    GROUP BY source
    ORDER BY source
"""
_EARLIEST = "SELECT provider, min(seen_at) FROM staged_evidence GROUP BY provider"
_TOLD_BEFORE = f"""
    SELECT
        {_PLACE},
        arg_max(sold, (seen_at, sold)) AS sold,
        bool_or(source = $source) AS is_own,
        any_value({_FORM}) AS form
    FROM evidence
    WHERE {_IN_SCOPE}
        AND seen_at < $listed_from
        AND (source = $source OR ($overrules AND NOT contains(instance_type, '*')))
    GROUP BY {_PLACE}
"""
_MISSING = f"""
    WITH listed AS (
        SELECT *, {_FORM} AS form
        FROM evidence
        WHERE {_IN_SCOPE} AND source = $source AND seen_at BETWEEN $listed_from AND $listed_at
    )
    SELECT {_PLACE}, is_own
    FROM ({_TOLD_BEFORE}) AS told ANTI JOIN listed USING ({_PLACE})
    WHERE sold
        AND form.is_attached IN (SELECT form.is_attached FROM listed)
        AND (
            (is_own AND form IN (SELECT form FROM listed))
            OR (region, instance_type) NOT IN (SELECT (region, instance_type) FROM listed)
        )
"""
_COUNT = f"""
    SELECT
        (SELECT count(*) FROM ({_MISSING}) WHERE is_own),
        (SELECT count(*) FROM ({_TOLD_BEFORE}) WHERE sold AND is_own)
"""
_DENY = f"""
    INSERT INTO evidence BY NAME
    SELECT
        {_PLACE},
        (
            SELECT any_value(kind)
            FROM evidence
            WHERE provider = $provider AND source = $source AND seen_at = $listed_at
        ) AS kind,
        $source AS source,
        $listed_at AS seen_at,
        false AS sold,
        '{NOT_LISTED}' AS note
    FROM ({_MISSING})
"""
_WRITE_DOWN = """
    INSERT INTO listings BY NAME
    SELECT
        $provider AS provider,
        $source AS source,
        $region AS region,
        $option AS purchase_option,
        $listed_from AS listed_from,
        $listed_at AS listed_at
    WHERE NOT EXISTS (
        FROM listings
        WHERE provider = $provider
            AND source = $source
            AND region = $region
            AND purchase_option = $option
            AND listed_at = $listed_at
    )
"""
_LISTED_SINCE = """
    SELECT region, purchase_option, source, listed_from, listed_at
    FROM listings
    WHERE provider = $provider AND listed_at >= $earliest
    ORDER BY listed_at, source, region, purchase_option
"""


@dataclass
class WholeList:
    """One list of what is sold in a part of a market, in one file or several pages.

    Parameters
    ----------
    scope : Scope
        The part of the market.
    source : str
        Record that it is of.
    listed_from, listed_at : pandas.Timestamp
        Times of its first page and its last.
    confirmed : bool
        Whether it may deny most of what was listed before.
    """

    scope: Scope
    source: str
    listed_from: pd.Timestamp
    listed_at: pd.Timestamp
    confirmed: bool = False

    @property
    def words(self) -> dict[str, object]:
        """What stands for the names in our SQL."""
        return _words_of(self.scope) | {
            "source": self.source,
            "listed_from": self.listed_from,
            "listed_at": self.listed_at,
        }

    def takes(self, other: WholeList) -> bool:
        """Take in a page of this list; tell whether it is one."""
        is_near = (
            self.listed_at - PAGES_WITHIN <= other.listed_from
            and other.listed_at <= self.listed_from + PAGES_WITHIN
        )
        if not is_near or (self.scope, self.source) != (other.scope, other.source):
            return False
        self.listed_from = min(self.listed_from, other.listed_from)
        self.listed_at = max(self.listed_at, other.listed_at)
        self.confirmed = self.confirmed and other.confirmed
        return True


class WholeLists:
    """The lists of one call: noted file by file, settled when all of them are merged.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        The writer's connection, with the tables of the store.

    Attributes
    ----------
    denied : int
        Places in which a machine was not listed any more.
    notices : list of str
        What whoever brought the files should know.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.denied = 0
        self.notices: list[str] = []
        self._con = con
        self._lists: list[WholeList] = []
        self._void: dict[Scope, str] = {}
        self._earliest: dict[str, pd.Timestamp] = {}
        self._second_hand = registry.at_second_hand()

    def void(self, scopes: Sequence[Scope], why_not: str) -> None:
        """Let parts of a market not count as listed whole, since a file of theirs was refused."""
        self._void |= dict.fromkeys(scopes, why_not)

    def note(self, scopes: Sequence[Scope], *, confirmed: bool) -> None:
        """Note what the file in ``staged_evidence`` tells, and what it shows whole."""
        for provider, seen_at in self._rows(_EARLIEST, {}):
            earliest = self._earliest.get(provider, seen_at)
            self._earliest[provider] = min(earliest, seen_at)
        for scope in scopes:
            for source, first, last in self._rows(_SHOWN, _words_of(scope)):
                found = WholeList(scope, source, first, last, confirmed)
                if not any(known.takes(found) for known in self._lists):
                    self._lists.append(found)

    def settle(self) -> None:
        """Write the lists down; deny what they, and lists on record of later, lack."""
        for one in sorted(self._lists, key=lambda found: found.listed_at):
            why_not = self._void.get(one.scope) or self._doubt_about(one)
            if why_not:
                self.notices.append(f"{scope_text(one.scope)}: {why_not}")
            else:
                self._rows(_WRITE_DOWN, one.words)
        for provider, earliest in self._earliest.items():
            for region, option, source, first, last in self._rows(
                _LISTED_SINCE, {"provider": provider, "earliest": earliest}
            ):
                one = WholeList(Scope(provider, region, option), source, first, last)
                ((denied,),) = self._rows(_DENY, self._judging(one))
                self.denied += denied

    def _doubt_about(self, one: WholeList) -> str:
        """Return why a list should not deny what it lacks, '' where it may."""
        ((missing, before),) = self._rows(_COUNT, self._judging(one))
        if one.confirmed or before < FEWEST_OFFERS or missing <= MOST_WITHDRAWN * before:
            return ""
        return (
            f"{missing:,} of {before:,} listed places are missing, so none counts as not listed any"
            " more; take the list in with --whole and --confirm if they are not"
        )

    def _judging(self, one: WholeList) -> dict[str, object]:
        return one.words | {"overrules": one.source not in self._second_hand}

    def _rows(self, sql: str, words: dict[str, object]) -> list[tuple[Any, ...]]:
        return self._con.execute(sql, words).fetchall()


@dataclass
class Shown:
    """What the files of one call show whole: prices, and lists of what is sold."""

    looks: WholeLooks
    lists: WholeLists

    def void(self, scopes: Sequence[Scope], why_not: str) -> None:
        """Let parts of a market not count as shown whole, since a file of theirs was refused."""
        self.looks.void(scopes, why_not)
        self.lists.void(scopes, why_not)

    def settle(self) -> list[str]:
        """Withdraw and deny what the files lack; return what to tell of that."""
        self.looks.settle()
        self.lists.settle()
        return [*self.looks.notices, *self.lists.notices]


def _words_of(scope: Scope) -> dict[str, object]:
    return {"provider": scope.provider, "region": scope.region, "option": scope.purchase_option}
