"""What is kept is read again: by a mended parser, or into another store."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from cloudarb_lib.live.collect import collection_folder
from cloudarb_lib.live.journal import HELD, STORED, Journal
from cloudarb_lib.live.publishing import Publication, Publisher
from cloudarb_lib.live.raw import RawFiles
from cloudarb_lib.live.registry import registered


def replay(
    journal: Journal,
    store_dir: str | Path,
    *,
    into: str | Path | None = None,
    feeds: Collection[str] = (),
    since: pd.Timestamp | None = None,
    now: pd.Timestamp,
) -> Publication:
    """Take kept answers in again, in the order of their times.

    What a store has already changes nothing there; a row that the parser now reads otherwise is
    held back as in disagreement with the stored one, so a corrected record is built ``into`` an
    empty store.

    Parameters
    ----------
    journal : Journal
        That of the store.
    store_dir : str or Path
        The store whose answers are read.
    into : str or Path, optional
        Where they go; None: the store itself, and the journal notes what became of them.
    feeds : collection of str
        Names of feeds; empty: each.
    since : Timestamp, optional
        Only answers whose times are from then on.
    now : Timestamp
        Time of ingestion, in UTC.
    """
    sources = {feed.name: feed.source for feed in registered()}
    raw = RawFiles(collection_folder(store_dir) / "raw")
    responses = [
        response
        for response in journal.responses(STORED, HELD)
        if (not feeds or response.feed in feeds) and (since is None or response.seen_at >= since)
    ]
    target = store_dir if into is None else into
    return Publisher(journal, raw, target, sources).publish(responses, now, settle=into is None)
