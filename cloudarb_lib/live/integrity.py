"""What stands between a fetch and the store: is the answer readable, and can it be true?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.live.entries import Response
from cloudarb_lib.live.set_aside import SetAside
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import OWN_COLUMNS, Parsed, Scope
from cloudarb_lib.sources.names.options import canonical_option
from cloudarb_lib.sources.names.providers import canonical_provider
from cloudarb_lib.store.snapshot import Snapshot

FEWEST_OFFERS = 10
"""Fewer say nothing of the whole."""
MOST_MOVED = 0.5
"""Share of the known offers of a file that may move by more than ``LARGE_MOVE``."""
LARGE_MOVE = 2.0
"""Factor, either way."""
MOST_MISSING = 0.5
"""Share of the offers of a scope that may be gone since the last look."""

UNREADABLE = "unreadable"
PRICE_JUMP = "price_jump"
DISAPPEARED = "disappeared"


@dataclass(frozen=True)
class Finding:
    """Why an answer is not taken in as it came: the check, and the sentence for people."""

    reason: str
    what: str
    way_out: str


@dataclass(frozen=True)
class Examined:
    """A response that was read once before the store reads it.

    Parameters
    ----------
    response : Response
        The response.
    rows : int
        How many rows it holds, those included that cannot be read.
    offers : pandas.DataFrame
        A row for each of its offers: their parts, and the newest ``price_usd_per_hour``.
    sources : frozenset of str
        The records that its prices name.
    whole : tuple of Scope
        What it shows whole, by its part or by what it says itself.
    finding : Finding, optional
        Why it is held; None where nothing is wrong with it by itself.
    pieces : iterable of Parsed
        What was read of it.
    """

    response: Response
    rows: int = 0
    offers: pd.DataFrame = field(default_factory=pd.DataFrame)
    sources: frozenset[str] = frozenset()
    whole: tuple[Scope, ...] = ()
    finding: Finding | None = None
    pieces: Iterable[Parsed] = ()


def examine(
    response: Response, path: Path, source_name: str, snapshot: Snapshot | None, *, aside: SetAside
) -> Examined:
    """Read a response and hold it against what is stored.

    Parameters
    ----------
    response : Response
        What came.
    path : Path
        Its file.
    source_name : str
        Which source should recognise it; '': whichever does.
    snapshot : Snapshot, optional
        The store; None where it is empty.
    aside : SetAside
        Where the pieces are kept for the store.

    Raises
    ------
    StoreError
        Where the disk does not take them.
    """
    said = list(response.part.whole)
    rows = 0
    priced: list[pd.DataFrame] = []
    try:
        for piece in aside.adding(registry.read(path, expected=source_name)):
            said += piece.whole
            rows += len(piece.unread) + sum(map(len, piece.tables.values()))
            priced += _newest_prices(piece)
    except DataError as error:
        return Examined(response, finding=Finding(UNREADABLE, error.what, error.way_out))
    whole = tuple(replace(scope, provider=canonical_provider(scope.provider)) for scope in said)
    offers, sources = _offers_of(priced)
    finding = None
    if snapshot is not None and len(offers):
        providers = sorted(offers["provider"].unique())
        regions = sorted(offers["region"].unique())
        stored = _last_prices(snapshot, response.seen_at, providers, regions)
        finding = jump(offers, stored)
    return Examined(
        response,
        rows,
        offers,
        sources,
        tuple(dict.fromkeys(whole)) if response.complete else (),
        finding,
        aside,
    )


def _newest_prices(piece: Parsed) -> Iterator[pd.DataFrame]:
    """Yield the newest price row of each offer and record, as texts."""
    columns = [*OFFER_PARTS, "effective_at", "price_usd_per_hour", "source"]
    for name, table in piece.tables.items():
        is_of_prices = name in ("price_events", OWN_COLUMNS)
        if is_of_prices and len(table) and "price_usd_per_hour" in table.column_names:
            yield _newest(_texts(table, columns), [*OFFER_PARTS, "source"])


def _newest(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    by_time = rows.sort_values("effective_at", kind="stable")
    return by_time.drop_duplicates(columns, keep="last")


def _offers_of(priced: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return the offers of price rows with their newest price, and the records they name."""
    if not priced:
        return pd.DataFrame(columns=[*OFFER_PARTS, "price_usd_per_hour"]), frozenset()
    rows = pd.concat(priced, ignore_index=True)
    newest = _newest(rows, list(OFFER_PARTS))
    offers = newest[[*OFFER_PARTS, "price_usd_per_hour"]].reset_index(drop=True)
    offers["price_usd_per_hour"] = pd.to_numeric(offers["price_usd_per_hour"], errors="coerce")
    return _as_stored(offers), frozenset(rows["source"].unique())


def _as_stored(offers: pd.DataFrame) -> pd.DataFrame:
    """Return offers by the names that the store gives them, machines and places in lower case."""
    named = offers.copy()
    named["provider"] = named["provider"].map(canonical_provider)
    named["purchase_option"] = [_option(text) for text in named["purchase_option"]]
    for part in ("region", "zone", "instance_type"):
        named[part] = named[part].str.lower()
    return named


@cache
def _option(text: str) -> str:
    option = canonical_option(text)
    return text if option is None else option[0]


def _last_prices(
    snapshot: Snapshot, as_of: pd.Timestamp, providers: Sequence[str], regions: Sequence[str]
) -> pd.DataFrame:
    stored = snapshot.last_prices(as_of=as_of, providers=providers, regions=regions)
    return _as_stored(stored)


def _texts(table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of a table as texts, '' where there is none."""
    present = [name for name in columns if name in table.column_names]
    frame = table.select(present).to_pandas().astype(object)  # repeated texts are categories
    return frame.reindex(columns=list(columns)).fillna("").astype(str)


def jump(offers: pd.DataFrame, stored: pd.DataFrame) -> Finding | None:
    """Tell where most of the known offers moved by so much that a unit is the likelier cause.

    Parameters
    ----------
    offers, stored : pandas.DataFrame
        The parts of offers and ``price_usd_per_hour``: as they came, and as they stand.
    """
    both = offers.merge(stored, on=list(OFFER_PARTS), suffixes=("", "_stored"))
    both = both[(both["price_usd_per_hour"] > 0) & (both["price_usd_per_hour_stored"] > 0)]
    if len(both) < FEWEST_OFFERS:
        return None
    factors = both["price_usd_per_hour"] / both["price_usd_per_hour_stored"]
    moved = int((np.abs(np.log(factors)) > np.log(LARGE_MOVE)).sum())
    if moved <= MOST_MOVED * len(both):
        return None
    what = (
        f"{moved} of {len(both)} known offers moved by more than {LARGE_MOVE:g} times"
        f" (at the median {float(factors.median()):.3g} times): another unit or currency?"
    )
    return Finding(PRICE_JUMP, what, "Look at the answer; confirm it where the prices are right.")


def disappearances(
    examined: Sequence[Examined], snapshot: Snapshot | None
) -> Mapping[Scope, Finding]:
    """Return the scopes of which too much is missing to be withdrawn unasked.

    Parameters
    ----------
    examined : sequence of Examined
        The good answers of a cycle; those that name one scope show it together.
    snapshot : Snapshot, optional
        The store; None where it is empty.
    """
    found: dict[Scope, Finding] = {}
    if snapshot is None:
        return found
    for scope in {scope for one in examined for scope in one.whole}:
        shown = [one for one in examined if scope in one.whole]
        seen_at = max(one.response.seen_at for one in shown)
        regions = [scope.region.lower()] if scope.region else []
        stored = _last_prices(snapshot, seen_at, [scope.provider], regions)
        sources = frozenset().union(*[one.sources for one in shown])
        on_sale = _in_scope(stored[stored["price_usd_per_hour"].notna()], scope)
        on_sale = on_sale[on_sale["source"].isin(sources)]
        keys = list(OFFER_PARTS)
        present = pd.concat([one.offers[keys] for one in shown])
        missing = len(on_sale) - len(on_sale.merge(present.drop_duplicates(), on=keys))
        if len(on_sale) >= FEWEST_OFFERS and missing > MOST_MISSING * len(on_sale):
            place = "/".join(filter(None, (scope.provider, scope.region, scope.purchase_option)))
            what = f"{missing} of {len(on_sale)} offers on sale in {place} are missing."
            way_out = "Nothing was withdrawn; confirm it where they are gone."
            found[scope] = Finding(DISAPPEARED, what, way_out)
    return found


def _in_scope(offers: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    inside = offers["provider"] == scope.provider
    if scope.region:
        inside &= offers["region"] == scope.region.lower()
    if scope.purchase_option:
        inside &= offers["purchase_option"] == scope.purchase_option
    return offers[inside]
