"""Tables of our own as text, and whatever other text comes: its header tells what is wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from cloudarb_lib.sources.base import (
    LINE,
    MISSING_COLUMN,
    OWN_COLUMNS,
    ROW_UNREADABLE,
    UNKNOWN_COLUMN,
    Match,
    Parsed,
    UnreadRow,
    open_text,
    text_table,
)
from cloudarb_lib.sources.json_files import looks_like_json
from cloudarb_lib.sources.table_source import TableSource
from cloudarb_lib.sources.text import OURS, Layout, Vocabulary, fields_of, layout_of
from cloudarb_lib.tables.stored_schema import STORED

BLOCK_BYTES = 2**23
"""Of a file read at a time: what bounds the memory."""
_TOLD_BY_BYTES = 64
"""Of the beginning: a zero byte there shows that a file is no text."""
_SAMPLE_CHARACTERS = 1_000_000
"""Of the beginning of a file, by which its layout is told."""
_STORED_COLUMNS = [column for table in STORED.values() for column in table.columns]
_TEXTS = {column.name for column in _STORED_COLUMNS if column.dtype == "VARCHAR"}
"""Columns that repeat few texts in many rows: they are read as numbers of a dictionary."""
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class TableLines:
    """Whole lines of a file as bytes, the number of the first, and what to say of the file."""

    layout: Layout
    first_line: int
    block: bytes
    notices: tuple[str, ...] = ()


class OwnCsv(TableSource[TableLines]):
    """A table of data/README.md as text: a header with its columns in any order and case.

    Fields are parted by commas, semicolons, tabs or bars; lines above the header are passed over.
    """

    name = "own-csv"

    def recognises(self, head: bytes) -> Match:
        is_json = looks_like_json(head)
        is_text = b"\0" not in head[:_TOLD_BY_BYTES] and head.strip()
        return Match.FORMAT if is_text and not is_json else Match.NO

    def fetch(self, path: Path, vocabulary: Vocabulary = OURS) -> Iterator[TableLines]:
        layout = _layout_of_file(path, vocabulary)
        if layout is None:
            return
        notices = layout.notices()
        with path.open("rb") as file:
            block = b"".join(file.readline() for _ in range(layout.header_line))
            line = 1
            if not _has_lone_returns(
                block
            ):  # else rows may stand in it: parse passes over the rest
                line += layout.header_line
                block = _lines_from(file)
            while block:
                yield TableLines(layout, line, block, notices)
                notices = ()
                line += _number_of_lines(block)
                block = _lines_from(file)

    def parse(self, piece: TableLines) -> Parsed:
        rows = _plain_rows(piece)
        if rows is None:
            return parsed_by_line(piece)
        return Parsed({OWN_COLUMNS: rows}, [], notices=piece.notices)


def parsed_by_line(piece: TableLines) -> Parsed:
    """Return the rows of a piece, and of each line that gives none, why."""
    layout = piece.layout
    width = len(layout.names)
    rows = []
    unread = []
    text = io.StringIO(piece.block.decode(errors="replace"), newline="")
    for number, ended_line in enumerate(text, piece.first_line):
        line = ended_line.rstrip("\r\n")
        fields = fields_of(line, layout.delimiter)
        if fields is None and number > layout.header_line:
            unread.append(UnreadRow(number, ROW_UNREADABLE, f"line {number}", line))
        # an empty line, or the empty end of a sheet, is no row
        if fields is None or not any(map(str.strip, fields)) or number <= layout.header_line:
            continue
        fields = layout.fitted(fields)
        if len(fields) == width:
            rows.append((*fields, number))
        else:
            reason = MISSING_COLUMN if len(fields) < width else UNKNOWN_COLUMN
            subject = f"field {min(len(fields), width) + 1}"
            unread.append(UnreadRow(number, reason, subject, line))
    return Parsed({OWN_COLUMNS: text_table(layout.names, rows)}, unread, notices=piece.notices)


def _plain_rows(piece: TableLines) -> pa.Table | None:
    """Return the rows of a piece all at once; None where its lines have to be looked at singly.

    So they have where a quote, a lone carriage return or a decimal comma is in it, where it is no
    UTF-8, and where a line has more or fewer fields than the header, or an empty first one.
    """
    layout = piece.layout
    block = piece.block
    is_plain = (
        piece.first_line > layout.header_line
        and not layout.decimal_comma
        and len(layout.names) > 1
        and not any(mark in block for mark in (b'"', b"\0"))
        and not _has_lone_returns(block)
    )
    if not is_plain:
        return None
    types = {
        str(place): _DICTIONARY if name in _TEXTS else pa.string()
        for place, name in enumerate(layout.names)
    }
    try:
        rows = arrow_csv.read_csv(
            pa.BufferReader(block),
            arrow_csv.ReadOptions(column_names=list(types)),
            arrow_csv.ParseOptions(
                delimiter=layout.delimiter, quote_char=False, ignore_empty_lines=False
            ),
            arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    if _has_blank(rows[0]):
        return None
    lines = pa.array(np.arange(piece.first_line, piece.first_line + len(rows)))
    return pa.Table.from_arrays([*rows.columns, lines], [*layout.names, LINE])


def _has_blank(column: pa.ChunkedArray) -> bool:
    """Tell whether a text of a column is empty but for spaces."""
    texts = [
        chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk for chunk in column.chunks
    ]
    return any(pc.any(pc.equal(pc.utf8_trim_whitespace(each), "")).as_py() for each in texts)


def _lines_from(file: BinaryIO) -> bytes:
    """Return the next whole lines of a file, b'' at its end."""
    return file.read(BLOCK_BYTES) + file.readline()


def _has_lone_returns(block: bytes) -> bool:
    """Tell whether lines end at carriage returns alone."""
    return b"\r" in block and block.count(b"\r") > block.count(b"\r\n")


def _number_of_lines(block: bytes) -> int:
    """Return how many lines end in a block: at a line feed, a carriage return, or both."""
    lines = block.count(b"\n")
    if b"\r" in block:
        lines += block.count(b"\r") - block.count(b"\r\n")
    return lines


def _layout_of_file(path: Path, vocabulary: Vocabulary) -> Layout | None:
    with open_text(path) as file:
        lines = [line.rstrip("\r\n") for line in file.readlines(_SAMPLE_CHARACTERS)]
    return layout_of(lines, vocabulary)
