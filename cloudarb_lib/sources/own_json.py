"""Tables of our own as JSON: a list of flat objects, one object a line, or pages that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib.sources.base import (
    OWN_COLUMNS,
    UNKNOWN_COLUMN,
    Match,
    Parsed,
    UnreadRow,
    in_pieces,
    open_text,
    text_table,
)
from cloudarb_lib.sources.json_files import looks_like_json
from cloudarb_lib.sources.json_stream import Entry, entries_in
from cloudarb_lib.sources.table_source import TableSource
from cloudarb_lib.sources.text import OURS, Vocabulary


@dataclass(frozen=True)
class TableEntries:
    """Entries of a file, and the names of its members: as they are written, and ours."""

    written: tuple[str, ...]
    names: tuple[str, ...]
    entries: list[Entry]


class OwnJson(TableSource[TableEntries]):
    """A table of data/README.md as JSON: each row an object whose members are the columns.

    A member that is null or left out is empty; one that no row of the first piece has is unknown.
    """

    name = "own-json"

    def recognises(self, head: bytes) -> Match:
        return Match.FORMAT if looks_like_json(head) else Match.NO

    def fetch(self, path: Path, vocabulary: Vocabulary = OURS) -> Iterator[TableEntries]:
        written: tuple[str, ...] = ()
        with open_text(path) as file:
            found = (
                entry for entry in entries_in(file, lambda name: True) if isinstance(entry, Entry)
            )
            for piece in in_pieces(found):
                written = written or tuple(
                    dict.fromkeys(key for entry in piece for key in entry.values)
                )
                names = tuple(vocabulary.name_of(_readable(key)) for key in written)
                yield TableEntries(written, names, piece)

    def parse(self, piece: TableEntries) -> Parsed:
        rows = []
        unread = []
        known = set(piece.written)
        for entry in piece.entries:
            unknown = [key for key in entry.values if key not in known]
            if unknown:
                subject = f"column {unknown[0]!r}"
                unread.append(
                    UnreadRow(entry.line, UNKNOWN_COLUMN, subject, json.dumps(entry.values))
                )
            else:
                texts = [_text(entry.values.get(key)) for key in piece.written]
                rows.append((*texts, entry.line))
        return Parsed({OWN_COLUMNS: text_table(piece.names, rows)}, unread)


def _text(value: object) -> str | None:
    """Return a value as the text that a table would hold."""
    if value is None:
        return None
    return _readable(value if isinstance(value, str) else json.dumps(value))


def _readable(text: str) -> str:
    """Return a text with each half of a surrogate pair replaced: it can be written nowhere."""
    return text.encode(errors="replace").decode()
