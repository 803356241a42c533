"""Tables of our own in a workbook (.xlsx): the first sheet whose header is known."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import (
    OWN_COLUMNS,
    UNKNOWN_COLUMN,
    Match,
    Parsed,
    UnreadRow,
    in_pieces,
    text_table,
)
from cloudarb_lib.sources.table_source import TableSource
from cloudarb_lib.sources.text import OURS, Layout, Vocabulary, layout_of_rows

_SAMPLE_ROWS = 20
_BROKEN = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    ParseError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class SheetRows:
    """Rows of a sheet with their numbers, as texts, and what to say of the workbook."""

    layout: Layout
    rows: list[tuple[int, list[str | None]]]
    notices: tuple[str, ...] = ()


class OwnXlsx(TableSource[SheetRows]):
    """A table of data/README.md in a workbook; the line of a row is its number in the sheet.

    Numbers and times come as the workbook holds them. Its times have no zone: a map may tell it.
    """

    name = "own-xlsx"

    def recognises(self, head: bytes) -> Match:
        return Match.OWN if head.startswith(b"PK\x03\x04") else Match.NO

    def fetch(self, path: Path, vocabulary: Vocabulary = OURS) -> Iterator[SheetRows]:
        try:
            yield from _pieces(path, vocabulary)
        except _BROKEN as cause:
            if isinstance(cause, OSError) and cause.errno:
                raise
            what = f"not readable as a workbook: {type(cause).__name__} {str(cause)[:200]}."
            raise DataError(what, "Save it again as .xlsx, or as CSV.") from cause

    def parse(self, piece: SheetRows) -> Parsed:
        width = len(piece.layout.names)
        rows = []
        unread = []
        for number, cells in piece.rows:
            if any(cells[width:]):
                subject = f"field {width + 1}"
                text = ",".join(cell or "" for cell in cells)
                unread.append(UnreadRow(number, UNKNOWN_COLUMN, subject, text))
            elif any(cells):
                rows.append((*cells[:width], *[None] * (width - len(cells)), number))
        table = text_table(piece.layout.names, rows)
        return Parsed({OWN_COLUMNS: table}, unread, notices=piece.notices)


def _pieces(path: Path, vocabulary: Vocabulary) -> Iterator[SheetRows]:
    """Yield the rows of the sheet whose header has most known names."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validations, which nobody reads here
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)  # whatever its name is
        try:
            samples = [list(islice(_texts(sheet), _SAMPLE_ROWS)) for sheet in book.worksheets]
            layouts = [(layout_of_rows(sample, vocabulary), i) for i, sample in enumerate(samples)]
            readable = [(layout, i) for layout, i in layouts if layout]
            if not readable:
                return
            layout, best = max(readable, key=lambda found: _names_known(found[0], vocabulary))
            sheet = book.worksheets[best]
            others = [book.worksheets[i].title for _, i in readable if i != best]
            notices = layout.notices()
            if others:
                notices += (f"sheet {sheet.title!r} is read, and not {', '.join(others)[:100]}",)
            numbered = enumerate(_texts(sheet), 1)
            for piece in in_pieces(row for row in numbered if row[0] > layout.header_line):
                yield SheetRows(layout, piece, notices)
                notices = ()
        finally:
            book.close()


def _names_known(layout: Layout, vocabulary: Vocabulary) -> int:
    return sum(map(vocabulary.knows, layout.written))


def _texts(sheet: Any) -> Iterator[list[str | None]]:
    """Yield the rows of a sheet as texts, None for empty cells."""
    sheet.reset_dimensions()  # some programs write wrong ones
    for row in sheet.iter_rows(values_only=True):
        yield [_text(cell) for cell in row]


def _text(cell: object) -> str | None:
    """Return the value of a cell as a text, a time as in ISO 8601."""
    if cell is None or cell == "":
        return None
    return cell.isoformat() if isinstance(cell, date) else str(cell)
