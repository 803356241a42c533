"""What the CSV catalogues of the field share: a header that tells them, rows as mappings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import (
    MISSING_COLUMN,
    ROW_UNREADABLE,
    UNKNOWN_COLUMN,
    Match,
    Parsed,
    Source,
    UnreadRow,
    in_pieces,
    open_text,
    start_of_text,
)
from cloudarb_lib.sources.text import Layout, Vocabulary, fields_of, layout_of, plain_name

_SAMPLE_CHARACTERS = 1_000_000
"""Of the beginning of a file, by which its layout is told."""


@dataclass(frozen=True)
class CatalogueLines:
    """Lines of a catalogue, the header left out.

    Parameters
    ----------
    path : Path
        The file: some catalogues say by its name whose prices they are.
    part : int
        Number of the piece, the first of the file being 1.
    layout : Layout
        How they are to be read.
    lines : list of (int, str)
        With their numbers.
    """

    path: Path
    part: int
    layout: Layout
    lines: list[tuple[int, str]]

    def rows(self, unread: list[UnreadRow]) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield line and fields of each row, by name; add those that do not fit to ``unread``."""
        names = self.layout.names
        width = len(names)
        for number, line in self.lines:
            fields = fields_of(line, self.layout.delimiter)
            if fields is None:
                unread.append(UnreadRow(number, ROW_UNREADABLE, f"line {number}", line))
                continue
            fields = self.layout.fitted(fields)
            if len(fields) == width:
                yield number, dict(zip(names, map(str.strip, fields), strict=True))
            elif line.strip():
                reason = MISSING_COLUMN if len(fields) < width else UNKNOWN_COLUMN
                subject = f"field {min(len(fields), width) + 1}"
                unread.append(UnreadRow(number, reason, subject, line))


@dataclass(frozen=True)
class CatalogueVocabulary(Vocabulary):
    """Names of a catalogue's columns, which come back as the catalogue writes them.

    Parameters
    ----------
    written_as : dict of str to str
        The name as the catalogue writes it, by the plain name.
    """

    written_as: dict[str, str]

    def knows(self, written: str) -> bool:
        """Tell whether a name is one of them."""
        return plain_name(written) in self.names

    def is_number(self, written: str) -> bool:
        """Tell whether a column holds numbers."""
        return plain_name(written) in self.numbers

    def name_of(self, written: str) -> str:
        """Return the catalogue's own name of a column, and an unknown one as it is written."""
        return self.written_as.get(plain_name(written), written.strip())


class CsvCatalogue(Source[CatalogueLines]):
    """A catalogue in CSV, known by columns of its header, whatever parts its fields."""

    marks: ClassVar[frozenset[str]]
    """Columns that every file of it has, and no file of another source."""
    numbers: ClassVar[frozenset[str]]
    """Columns of numbers: in them a comma may stand for the point where the separator allows."""
    texts: ClassVar[frozenset[str]] = frozenset()
    """Other columns that are read, where a file has them."""

    def recognises(self, head: bytes) -> Match:
        """Tell by the header whether a file is of this catalogue."""
        return Match.OWN if self.marks <= self.names_in(head) else Match.NO

    def names_in(self, head: bytes) -> set[str]:
        """Return the names of the columns in the header of a file."""
        text = start_of_text(head).decode(errors="replace")
        layout = layout_of(text.splitlines(), self._vocabulary()) if text else None
        return set(layout.names) if layout else set()

    def fetch(self, path: Path) -> Iterator[CatalogueLines]:
        """Yield the lines of a file; a row is a line, as in all catalogues."""
        with open_text(path) as file:
            start = [line.rstrip("\r\n") for line in file.readlines(_SAMPLE_CHARACTERS)]
        layout = layout_of(start, self._vocabulary())
        missing = self.marks - set(layout.names if layout else ())
        if layout is None or missing:
            what = f"it has no column {min(missing)!r}, as a file of {self.name} has."
            raise DataError(what, "Bring it again, with its header.")
        with open_text(path) as file:
            lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1))
            rows = (line for line in lines if line[0] > layout.header_line)
            for part, piece in enumerate(in_pieces(rows), 1):
                yield CatalogueLines(path, part, layout, piece)

    @abstractmethod
    def parse(self, piece: CatalogueLines) -> Parsed:
        """Make rows of a piece; the same piece always gives the same rows."""

    def _vocabulary(self) -> Vocabulary:
        names = {plain_name(name): name for name in self.marks | self.numbers | self.texts}
        numbers = frozenset(map(plain_name, self.numbers))
        return CatalogueVocabulary(frozenset(names), numbers, names)
