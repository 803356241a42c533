"""What listings of services in JSON share: pages of items, and whether one is cut short."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import Match, Parsed, Source, in_pieces, open_text, start_of_text
from cloudarb_lib.sources.json_pages import pages_in


@dataclass(frozen=True)
class ListedItems:
    """Items of a listing.

    Parameters
    ----------
    items : list of (int, object)
        Line and value of each; numbers are texts.
    notices : tuple of str
        What to say of the file.
    """

    items: list[tuple[int, Any]]
    notices: tuple[str, ...] = ()


class JsonListing(Source[ListedItems]):
    """Pages of a service in JSON, known by the names of their members."""

    key: ClassVar[str]
    """Member of a page that holds its items."""
    next_key: ClassVar[str]
    """Member of a page that leads to the next one; empty, null or missing in the last."""
    marks: ClassVar[tuple[str, ...]]
    """Names of members, of which each file has one near its beginning."""
    described: ClassVar[str]
    """What the file is, for people: "a page of ..."."""

    def recognises(self, head: bytes) -> Match:
        """Tell by the names of members whether a file is of this service."""
        is_json = start_of_text(head)[:1] in (b"{", b"[")
        return (
            Match.OWN
            if is_json and any(f'"{mark}"'.encode() in head for mark in self.marks)
            else Match.NO
        )

    def fetch(self, path: Path) -> Iterator[ListedItems]:
        """Yield the items of all pages; the text is in memory, as its documents are whole."""
        with open_text(path) as file:
            text = file.read()
        items = []
        leads_on = ""
        try:
            for page in pages_in(text, self.key):
                items += page.items
                leads_on = (page.members or {}).get(self.next_key) or ""
        except ValueError as cause:
            raise DataError(
                f"it is not {self.described} (broken: {cause}).", "Download it again, complete."
            ) from cause
        notices: tuple[str, ...] = ()
        if leads_on:
            notices = (
                f"the listing is cut short ({self.next_key} is left): "
                "it vouches for its own rows alone",
            )
        for piece in in_pieces(items):
            yield ListedItems(piece, notices)
            notices = ()

    @abstractmethod
    def parse(self, piece: ListedItems) -> Parsed:
        """Make rows of a piece; the same piece always gives the same rows."""
