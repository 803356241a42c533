"""What listings of services in JSON share: pages of items, and whether one is cut short."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cloudarb_lib.sources.base import PIECE_ROWS, Match, Parsed, Source, open_text
from cloudarb_lib.sources.json_files import looks_like_json
from cloudarb_lib.sources.json_stream import Entry, PageEnd, entries_in


@dataclass(frozen=True)
class ListedItems:
    """Items of a listing, and what to say of the file."""

    items: list[Entry]
    notices: tuple[str, ...] = ()


class JsonListing(Source[ListedItems]):
    """Pages of a service in JSON, known by the names of their members."""

    key: ClassVar[str]
    """Member of a page that holds its items."""
    next_key: ClassVar[str]
    """Member of a page that leads to the next one; empty, null or missing in the last."""
    marks: ClassVar[tuple[str, ...]]
    """Names of members, of which each file has one near its beginning."""

    def recognises(self, head: bytes) -> Match:
        """Tell by the names of members whether a file is of this service."""
        has_mark = any(f'"{mark}"'.encode() in head for mark in self.marks)
        return Match.OWN if looks_like_json(head) and has_mark else Match.NO

    def fetch(self, path: Path) -> Iterator[ListedItems]:
        """Yield the items of all pages, and where the last page leads on, say so."""
        items: list[Entry] = []
        leads_on = False
        with open_text(path) as file:
            for found in entries_in(file, self.key.__eq__):
                if isinstance(found, PageEnd):
                    leads_on = bool(found.values.get(self.next_key))
                    continue
                items.append(found)
                if len(items) == PIECE_ROWS:
                    yield ListedItems(items)
                    items = []
        notice = f"the listing is cut short ({self.next_key} is left): " + _OWN_ROWS_ALONE
        yield ListedItems(items, (notice,) if leads_on else ())

    @abstractmethod
    def parse(self, piece: ListedItems) -> Parsed:
        """Make rows of a piece; the same piece always gives the same rows."""


_OWN_ROWS_ALONE = "it vouches for its own rows alone"
