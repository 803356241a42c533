"""Tables of our own as text, and whatever other text comes: its header tells what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib.sources.base import (
    MISSING_COLUMN,
    OWN_COLUMNS,
    ROW_UNREADABLE,
    UNKNOWN_COLUMN,
    CsvDialect,
    Match,
    Parsed,
    UnreadRow,
    in_pieces,
    open_text,
    start_of_text,
    text_table,
)
from cloudarb_lib.sources.table_source import TableSource
from cloudarb_lib.sources.text import OURS, Layout, Vocabulary, fields_of, layout_of

_TOLD_BY_BYTES = 64
"""Of the beginning: a zero byte there shows that a file is no text."""
_SAMPLE_CHARACTERS = 1_000_000
"""Of the beginning of a file, by which its layout is told."""


@dataclass(frozen=True)
class TableLines:
    """Lines of a file with their numbers, how to read them, and what to say of the file."""

    layout: Layout
    lines: list[tuple[int, str]]
    notices: tuple[str, ...] = ()


class OwnCsv(TableSource[TableLines]):
    """A table of data/README.md as text: a header with its columns in any order and case.

    Fields are parted by commas, semicolons, tabs or bars; lines above the header are passed over.
    """

    name = "own-csv"

    def recognises(self, head: bytes) -> Match:
        is_json = start_of_text(head)[:1] in (b"{", b"[")
        is_text = b"\0" not in head[:_TOLD_BY_BYTES] and head.strip()
        return Match.FORMAT if is_text and not is_json else Match.NO

    def dialect(self, path: Path) -> CsvDialect | None:
        layout = _layout_of_file(path, OURS)
        if layout is None or layout.decimal_comma:
            return None
        with open_text(path) as file:
            header = [line for _, line in zip(range(layout.header_line), file, strict=False)][-1]
        fields = fields_of(header.rstrip("\r\n"), layout.delimiter) or []
        if len(fields) != len(layout.names):  # a separator too many
            return None
        return CsvDialect(layout.delimiter, layout.header_line, layout.names)

    def fetch(self, path: Path, vocabulary: Vocabulary = OURS) -> Iterator[TableLines]:
        layout = _layout_of_file(path, vocabulary)
        if layout is None:
            return
        notices = layout.notices()
        with open_text(path) as file:
            lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1))
            rows = (line for line in lines if line[0] > layout.header_line)
            for piece in in_pieces(rows):
                yield TableLines(layout, piece, notices)
                notices = ()

    def parse(self, piece: TableLines) -> Parsed:
        layout = piece.layout
        width = len(layout.names)
        rows = []
        unread = []
        for number, line in piece.lines:
            fields = fields_of(line, layout.delimiter)
            if fields is None:
                unread.append(UnreadRow(number, ROW_UNREADABLE, f"line {number}", line))
                continue
            if not any(map(str.strip, fields)):  # an empty line, or the empty end of a sheet
                continue
            fields = layout.fitted(fields)
            if len(fields) == width:
                rows.append((*fields, number))
            else:
                reason = MISSING_COLUMN if len(fields) < width else UNKNOWN_COLUMN
                subject = f"field {min(len(fields), width) + 1}"
                unread.append(UnreadRow(number, reason, subject, line))
        tables = {OWN_COLUMNS: text_table(layout.names, rows)}
        return Parsed(tables, unread, notices=piece.notices)


def _layout_of_file(path: Path, vocabulary: Vocabulary) -> Layout | None:
    with open_text(path) as file:
        return layout_of(
            [line.rstrip("\r\n") for line in file.readlines(_SAMPLE_CHARACTERS)], vocabulary
        )
