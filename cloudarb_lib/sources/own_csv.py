"""Tables of our own as CSV, and whatever other text comes: its header tells what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib.sources.base import (
    MISSING_COLUMN,
    OWN_COLUMNS,
    ROW_UNREADABLE,
    UNKNOWN_COLUMN,
    Match,
    Parsed,
    Source,
    UnreadRow,
    in_pieces,
    open_text,
    start_of_text,
    text_table,
)

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class CsvLines:
    """Lines of a file with their numbers, and the names that its header gives the fields."""

    names: list[str]
    lines: list[tuple[int, str]]


class OwnCsv(Source[CsvLines]):
    """A table of data/README.md as CSV: a header with its columns in any order, commas."""

    name = "own-csv"

    def recognises(self, head: bytes) -> Match:
        is_utf16 = head[:2] in UTF16_MARKS
        is_json = start_of_text(head)[:1] in (b"{", b"[")
        if not head.strip() or is_utf16 or is_json:
            return Match.NO
        return Match.FORMAT

    def fetch(self, path: Path) -> Iterator[CsvLines]:
        with open_text(path) as file:
            lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1))
            _, header = next(lines)
            names = [name.strip() for name in fields_of(header) or ()]
            for piece in in_pieces(lines):
                yield CsvLines(names, piece)

    def parse(self, piece: CsvLines) -> Parsed:
        width = len(piece.names)
        rows = []
        unread = []
        for number, line in piece.lines:
            fields = fields_of(line)
            if fields is None:
                unread.append(UnreadRow(number, ROW_UNREADABLE, f"line {number}", line))
            elif len(fields) == width:
                rows.append((*fields, number))
            elif line.strip():
                reason = MISSING_COLUMN if len(fields) < width else UNKNOWN_COLUMN
                subject = f"field {min(len(fields), width) + 1}"
                unread.append(UnreadRow(number, reason, subject, line))
        return Parsed({OWN_COLUMNS: text_table(piece.names, rows)}, unread)


def fields_of(line: str) -> list[str] | None:
    """Return the fields of a CSV line, None where its quotes do not close.

    A line break inside quotes is not followed: none of our columns holds one, and a stray quote
    would swallow the file.
    """
    if '"' not in line:
        return line.split(",")
    if line.count('"') % 2:
        return None
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return None
