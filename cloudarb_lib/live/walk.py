"""Walks over the pages of a listing: each once, to its end, and never in a circle."""

from __future__ import annotations

import hashlib
import json

import pandas as pd

from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Pull

MOST_PAGES = 2_000
"""No listing that we ask for is as long."""


class Walk:
    """Looks at each page of a listing.

    Parameters
    ----------
    listing : str
        What is listed, for the error: "the prices of eastus".
    most_pages : int
        How many pages it may have.
    """

    def __init__(self, listing: str, most_pages: int = MOST_PAGES) -> None:
        self._listing = listing
        self._most_pages = most_pages
        self._places: set[str] = set()
        self._digests: set[bytes] = set()

    def go_to(self, place: str) -> None:
        """Note where the next page is (its token or address).

        Raises
        ------
        FetchError
            Where the walk has been there, or has gone on for too long.
        """
        if place in self._places:
            raise self._broken("leads back to a page that was read")
        if len(self._places) >= self._most_pages:
            raise self._broken(f"has more than {self._most_pages} pages")
        self._places.add(place)

    def saw(self, rows: object) -> None:
        """Note what a page lists, as JSON has it; its link to the next page is no part of that.

        Raises
        ------
        FetchError
            Where a page that holds something came before: the one that should stand here is lost.
        """
        digest = hashlib.sha256(json.dumps(rows).encode()).digest()
        if rows and digest in self._digests:
            raise self._broken("gave the same page twice")
        self._digests.add(digest)

    def _broken(self, what: str) -> FetchError:
        return FetchError(
            f"the list of {self._listing} {what}: it is not whole.", "Collect again later."
        )


def is_due(pull: Pull, part: str, hours: float) -> bool:
    """Tell whether a part that changes seldom is to be fetched: its last fetch is old enough.

    Parameters
    ----------
    pull : Pull
        What a cycle asks for.
    part : str
        Name of the part.
    hours : float
        How long an answer is good enough.
    """
    last = pull.last_done.get(part)
    if last is None or last > pull.now:  # fetched by a clock that was ahead
        return True
    return pull.now - last >= pd.Timedelta(hours=hours)
