"""From an offer of the store back to the bytes that services answered."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib.live.collect import collection_folder
from cloudarb_lib.live.entries import Response
from cloudarb_lib.live.journal import HELD, STORED, Journal
from cloudarb_lib.live.raw import RawFiles
from cloudarb_lib.live.registry import registered
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import LINE, OWN_COLUMNS, Parsed

_PRICE_TABLES = (OWN_COLUMNS, "price_events")


@dataclass(frozen=True)
class Origin:
    """A row of an answer that tells of a machine in a region.

    Parameters
    ----------
    feed, part : str
        What was asked for.
    seen_at : Timestamp
        Time of what the answer says.
    path : Path
        The kept file.
    line : int
        Line, or number, of the row in it.
    row : str
        The row as its source reads it.
    """

    feed: str
    part: str
    seen_at: pd.Timestamp
    path: Path
    line: int
    row: str


def origins(
    journal: Journal,
    store_dir: str | Path,
    *,
    instance_type: str,
    region: str,
    sources: Collection[str],
) -> Iterator[Origin]:
    """Yield the rows of kept answers that tell of a machine, the newest answer first.

    Parameters
    ----------
    journal : Journal
        That of the store.
    store_dir : str or Path
        The store.
    instance_type, region : str
        As in ``price_events``; answers may write them in another case.
    sources : collection of str
        Names in column ``source`` of its prices: answers of other feeds are not read.

    Raises
    ------
    DataError
        Where a kept file cannot be read.
    """
    source_of_feed = {feed.name: feed.source for feed in registered()}
    raw = RawFiles(collection_folder(store_dir) / "raw")
    answers = [
        response
        for response in journal.responses(STORED, HELD)
        if source_of_feed.get(response.feed, "") in sources
    ]
    for response in sorted(answers, key=lambda answer: answer.seen_at, reverse=True):
        path = raw.path(response.file.sha256, response.file.suffix)
        if path.exists():  # kept for a time only
            for piece in registry.read(path):
                yield from _rows_about(piece, instance_type, region, response, path)


def _rows_about(
    piece: Parsed, instance_type: str, region: str, response: Response, path: Path
) -> Iterator[Origin]:
    for table in _PRICE_TABLES:
        if table not in piece.tables:
            continue
        rows = piece.tables[table].to_pandas()
        of_machine = rows["instance_type"].astype(str).str.lower() == instance_type.lower()
        of_region = rows["region"].astype(str).str.lower() == region.lower()
        for row in rows[of_machine & of_region].to_dict("records"):
            told = {name: value for name, value in row.items() if name != LINE and value}
            yield Origin(
                feed=response.feed,
                part=response.part.name,
                seen_at=response.seen_at,
                path=path,
                line=int(row[LINE]),
                row=", ".join(f"{name} {value}" for name, value in told.items()),
            )
