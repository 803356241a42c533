"""What stands between a fetch and the store: is the answer readable, and can it be true?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.live.entries import Response
from cloudarb_lib.sources.base import OWN_COLUMNS, Parsed, Scope, Source
from cloudarb_lib.sources.names.options import canonical_option
from cloudarb_lib.sources.names.providers import canonical_provider
from cloudarb_lib.sources.registry import source_of
from cloudarb_lib.sources.unpack import plain_files
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
    """

    response: Response
    rows: int = 0
    offers: pd.DataFrame = field(default_factory=pd.DataFrame)
    sources: frozenset[str] = frozenset()
    whole: tuple[Scope, ...] = ()
    finding: Finding | None = None


def examine(
    response: Response, path: Path, source_name: str, snapshot: Snapshot | None
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
    """
    try:
        pieces = list(_read(path, source_name))
    except DataError as error:
        return Examined(response, finding=Finding(UNREADABLE, error.what, error.way_out))
    rows = sum(len(piece.unread) + sum(map(len, piece.tables.values())) for piece in pieces)
    if response.complete:
        said = (*response.part.whole, *[scope for piece in pieces for scope in piece.whole])
        whole = tuple(replace(s, provider=canonical_provider(s.provider)) for s in said)
    else:
        whole = ()
    offers, sources = _offers_of(pieces)
    finding = None
    if snapshot is not None and len(offers):
        providers = sorted(offers["provider"].unique())
        stored = _last_prices(snapshot, response.seen_at, providers)
        finding = jump(offers, stored)
    return Examined(response, rows, offers, sources, tuple(dict.fromkeys(whole)), finding)


def _read(path: Path, source_name: str) -> Iterable[Parsed]:
    """Yield what a file holds; DataError where it is not of the source that it should be."""
    try:
        with plain_files(path) as files:
            for file in files:
                source: Source[Any] = source_of(file.path)
                if source_name and source.name != source_name:
                    what = f"the answer looks like {source.name}, not like {source_name}."
                    raise DataError(what, "Look at what the service answers.")
                for piece in source.fetch(file.path):
                    yield source.parse(piece)
    except OSError as cause:
        raise DataError(f"it cannot be read: {cause.strerror}.", "Check the disk.") from cause


def _offers_of(pieces: Sequence[Parsed]) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return the offers of price rows with their newest price, and the records they name."""
    tables = [
        table
        for piece in pieces
        for name, table in piece.tables.items()
        if name in ("price_events", OWN_COLUMNS) and "price_usd_per_hour" in table.column_names
    ]
    columns = [*OFFER_PARTS, "effective_at", "price_usd_per_hour", "source"]
    frames = [_texts(table, columns) for table in tables if len(table)]
    if not frames:
        return pd.DataFrame(columns=[*OFFER_PARTS, "price_usd_per_hour"]), frozenset()
    rows = pd.concat(frames, ignore_index=True)
    rows["price_usd_per_hour"] = pd.to_numeric(rows["price_usd_per_hour"], errors="coerce")
    newest = rows.sort_values("effective_at", kind="stable").drop_duplicates(
        list(OFFER_PARTS), keep="last"
    )
    offers = newest[[*OFFER_PARTS, "price_usd_per_hour"]].reset_index(drop=True)
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


def _last_prices(snapshot: Snapshot, as_of: pd.Timestamp, providers: Sequence[str]) -> pd.DataFrame:
    return _as_stored(snapshot.last_prices(as_of=as_of, providers=providers))


def _texts(table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of a table as texts, '' where there is none."""
    present = [name for name in columns if name in table.column_names]
    frame = table.select(present).to_pandas()
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
        stored = _last_prices(snapshot, seen_at, [scope.provider])
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
