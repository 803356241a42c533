"""Tables in text files: which line is the header, what parts the fields, how decimals are written.

People save tables with commas, semicolons or tabs, a title above the header, names in any case,
a separator too many at the end, and decimals with a comma where the separator leaves it free.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from cloudarb_lib.tables.stored_schema import STORED

DELIMITERS = (",", ";", "\t", "|")
_HEADER_WITHIN_LINES = 20
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_DECIMAL_POINT = re.compile(r"[+-]?[\d,]*\.\d+")
_MAY_BE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


@lru_cache(maxsize=4096)
def plain_name(written: str) -> str:
    """Return the name of a column in lower case, words joined by underscores."""
    return re.sub(r"[\s_-]+", "_", written.strip().lower())


@dataclass(frozen=True)
class Vocabulary:
    """The names by which a header is known, as ``plain_name`` gives them.

    Parameters
    ----------
    names : frozenset of str
        All of them; what begins with ``price_`` belongs to them too.
    numbers : frozenset of str
        Those of columns that hold numbers; the prices belong to them too.
    """

    names: frozenset[str]
    numbers: frozenset[str]

    def knows(self, written: str) -> bool:
        """Tell whether a name is one of them."""
        name = plain_name(written)
        return name in self.names or name.startswith("price_")

    def is_number(self, written: str) -> bool:
        """Tell whether a column holds numbers."""
        name = plain_name(written)
        return name in self.numbers or name.startswith("price_")

    def name_of(self, written: str) -> str:
        """Return the plain name of a known column, and an unknown one as it is written."""
        return plain_name(written) if self.knows(written) else written.strip()


_STORED_COLUMNS = [column for table in STORED.values() for column in table.columns]
OURS = Vocabulary(
    names=frozenset(column.name for column in _STORED_COLUMNS),
    numbers=frozenset(
        column.name for column in _STORED_COLUMNS if column.dtype in ("DOUBLE", "INTEGER")
    ),
)
"""Names of the columns of our own tables."""


@dataclass(frozen=True)
class Layout:
    """How the lines of a table are to be read.

    Parameters
    ----------
    header_line : int
        Line of the header, the first of the file being 1.
    delimiter : str
        What parts the fields.
    written : tuple of str
        The names of the fields as the header has them, nameless ones at its end left out.
    names : tuple of str
        The same as the vocabulary has them.
    decimal_comma : bool
        Whether numbers are written 1,25.
    number_places : tuple of int
        Where the columns of numbers stand.
    """

    header_line: int
    delimiter: str
    written: tuple[str, ...]
    names: tuple[str, ...]
    decimal_comma: bool = False
    number_places: tuple[int, ...] = ()

    def fitted(self, fields: list[str]) -> list[str]:
        """Return the fields of a row, empty ones beyond the header left out, numbers with a point.

        The result is shorter or longer than the names where the row does not fit the header.
        """
        width = len(self.names)
        if len(fields) > width and not any(field.strip() for field in fields[width:]):
            fields = fields[:width]
        if self.decimal_comma:
            for place in self.number_places:
                if place < len(fields) and _DECIMAL_COMMA.fullmatch(fields[place].strip()):
                    fields[place] = fields[place].replace(",", ".")
        return fields

    def notices(self) -> tuple[str, ...]:
        """Say what was passed over above the header."""
        if self.header_line == 1:
            return ()
        lines = "line 1" if self.header_line == 2 else f"lines 1 to {self.header_line - 1}"
        return (f"the header is line {self.header_line}: {lines} above it passed over",)


def fields_of(line: str, delimiter: str = ",") -> list[str] | None:
    """Return the fields of a line of a table, None where its quotes do not close.

    A line break inside quotes is not followed: none of our columns holds one, and a stray quote
    would swallow the file.
    """
    if '"' not in line:
        return line.split(delimiter)
    if line.count('"') % 2:
        return None
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def layout_of(lines: Sequence[str], vocabulary: Vocabulary = OURS) -> Layout | None:
    """Find the header of a table, and how its fields and numbers are written.

    Parameters
    ----------
    lines : sequence of str
        The beginning of the file, line ends cut off.
    vocabulary : Vocabulary
        The names by which the header is known.

    Returns
    -------
    Layout or None
        That of the line in which most names are known. Where there is none, the first line with
        text stands for the header, so that its names can be shown; None where no line has text.
    """
    best = _first_line(lines)
    most_known = 1
    for number, line in enumerate(lines[:_HEADER_WITHIN_LINES], 1):
        for delimiter in DELIMITERS:
            known = sum(map(vocabulary.knows, _without_nameless_end(fields_of(line, delimiter))))
            if known > most_known:
                best = (number, delimiter)
                most_known = known
    if best is None:
        return None
    number, delimiter = best
    written = _without_nameless_end(fields_of(lines[number - 1], delimiter))
    layout = _layout(number, written, vocabulary, delimiter)
    rows = [fields_of(line, delimiter) or [] for line in lines[number:]]
    cells = [row[i].strip() for row in rows for i in layout.number_places if i < len(row)]
    return replace(layout, decimal_comma=_has_decimal_comma(cells, delimiter))


def layout_of_rows(
    rows: Sequence[Sequence[str | None]], vocabulary: Vocabulary = OURS
) -> Layout | None:
    """Find the header of a table whose fields are parted already, as ``layout_of`` does."""
    best = None
    most_known = -1
    for number, row in enumerate(rows, 1):
        written = _without_nameless_end(row)
        known = sum(map(vocabulary.knows, written))
        is_header = bool(written) and (best is None or known > max(most_known, 1))
        if is_header:
            best = _layout(number, written, vocabulary)
            most_known = known
    return best


def _layout(
    number: int, written: Sequence[str], vocabulary: Vocabulary, delimiter: str = ""
) -> Layout:
    return Layout(
        header_line=number,
        delimiter=delimiter,
        written=tuple(written),
        names=tuple(map(vocabulary.name_of, written)),
        number_places=tuple(i for i, name in enumerate(written) if vocabulary.is_number(name)),
    )


def _first_line(lines: Sequence[str]) -> tuple[int, str] | None:
    """Return number and delimiter of the first line with text."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            return number, max(DELIMITERS, key=line.count)
    return None


def _without_nameless_end(written: Sequence[str | None] | None) -> list[str]:
    """Return names of a header without the empty ones at its end: a separator too many."""
    names = [(name or "").strip() for name in written or ()]
    while names and not names[-1]:
        names.pop()
    return names


def _has_decimal_comma(cells: Iterable[str], delimiter: str) -> bool:
    """Tell whether numbers are written with a decimal comma, by those at the top of the file.

    A point among them says no: 1,234 may then be a thousand and more. So it may in a table with
    tabs, as long as every comma stands before three digits; semicolons stand between fields
    because the comma is taken.
    """
    if delimiter == ",":
        return False
    with_comma = []
    for cell in cells:
        if _DECIMAL_POINT.fullmatch(cell):
            return False
        if _DECIMAL_COMMA.fullmatch(cell):
            with_comma.append(cell)
    if delimiter == ";":
        return bool(with_comma)
    return any(not _MAY_BE_THOUSANDS.fullmatch(cell) for cell in with_comma)
