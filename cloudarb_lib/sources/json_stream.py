"""Entries of JSON text, read block by block: a listing larger than the memory goes through.

A text may hold one object, a list, pages one after another, or one object a line. An entry is an
object of a listing; a page is an object that holds a list of entries beside other members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO

from cloudarb_lib.base.errors import DataError

BLOCK_CHARACTERS = 2**20
LONGEST_VALUE_CHARACTERS = 2**24
"""An entry, or what a page holds beside its entries, is never so long."""
_BLANKS = " \t\r\n\ufeff"
_SPACE = re.compile(f"[{_BLANKS}]*")
_FLAT_OBJECT = re.compile(r"\{[^{}\[\]]*\}")
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


class Entry(NamedTuple):
    """An object of a listing, and the line at which it begins.

    Parameters
    ----------
    line : int
        The first line of the text is 1. Of entries that begin on one line each but the first has
        the next number that is free: in a text of one line, that of the row.
    values : dict
        Its members; numbers stay the texts that they are written as.
    """

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class PageEnd:
    """A page ends: what it holds beside its entries, such as the way to the next page."""

    values: dict[str, Any]


def entries_in(file: TextIO, holds_entries: Callable[[str], bool]) -> Iterator[Entry | PageEnd]:
    """Yield the entries of a JSON text, each page followed by its end.

    Parameters
    ----------
    file : TextIO
        The text.
    holds_entries : callable
        Tells by the name of a member of a page whether its list holds the entries.

    Raises
    ------
    DataError
        Where the text is not JSON to its end, or a list of entries holds something else.
    """
    reader = _Reader(file)
    last_line = 0
    try:
        for found in _found(reader, holds_entries):
            if isinstance(found, Entry):
                last_line = max(found.line, last_line + 1)
                yield Entry(last_line, found.values)
            else:
                yield found
    except (ValueError, RecursionError) as cause:
        raise DataError(
            f"it is no complete JSON of entries: broken near line {reader.line} ({cause}).",
            "Bring the file again, to its end.",
        ) from cause


def _found(reader: _Reader, holds_entries: Callable[[str], bool]) -> Iterator[Entry | PageEnd]:
    """Yield entries with the lines at which they begin, and the ends of pages."""
    while first := reader.next_character():
        if first == "[":
            for _ in reader.elements():
                yield from _page_or_entry(reader, holds_entries)
        else:
            yield from _page_or_entry(reader, holds_entries)


def _page_or_entry(
    reader: _Reader, holds_entries: Callable[[str], bool]
) -> Iterator[Entry | PageEnd]:
    """Yield the object that comes next: an entry, or a page entry by entry."""
    line = reader.line
    if reader.is_flat_object():  # it holds no list, so it is no page
        yield Entry(line, reader.object())
        return
    values = {}
    is_page = False
    for name in reader.members():
        if holds_entries(name) and reader.next_character() == "[":
            is_page = True
            entries = reader.objects_of_a_line()
            if entries is not None:
                for entry in entries:
                    yield Entry(reader.line, entry)
                continue
            for _ in reader.elements():
                yield Entry(reader.line, reader.object())
        else:
            values[name] = reader.value()
    yield PageEnd(values) if is_page else Entry(line, values)


class _Reader:
    """Goes through JSON text value by value, holding a block of it.

    ``line`` is that of the character that comes next, as far as white space was passed over.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._place = 0
        self.line = 1

    def next_character(self) -> str:
        """Pass over white space, and return the character that follows; '' at the end."""
        if self._place < len(self._text) and self._text[self._place] not in _BLANKS:
            return self._text[self._place]  # as in text without white space
        while True:
            space = _SPACE.match(self._text, self._place)
            if space:
                self._pass_to(space.end())
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._read_on():
                return ""

    def is_flat_object(self) -> bool:
        """Tell whether an object comes next, and lies in the block, that holds no other or list."""
        self.next_character()
        return _FLAT_OBJECT.match(self._text, self._place) is not None

    def objects_of_a_line(self) -> list[dict[str, Any]] | None:
        """Return the list of objects that comes next, where one line of the block holds it.

        None, and nothing passed over, where it goes on over lines or holds something else. It comes
        to the same as ``elements``, and is quicker.
        """
        end = self._text.find("\n", self._place)
        if end < 0 and len(self._text) - self._place < BLOCK_CHARACTERS:
            self._read_on()
            end = self._text.find("\n", self._place)
        line = self._text[self._place : None if end < 0 else end]
        try:
            values, length = _DECODER.raw_decode(line)
        except ValueError:
            return None
        if not all(isinstance(value, dict) for value in values):
            return None
        self._place += length
        return values

    def elements(self) -> Iterator[None]:
        """Stop before each element of the list that comes next; the caller reads it."""
        self._expect("[")
        if self.next_character() != "]":
            yield
            while self.next_character() == ",":
                self._expect(",")
                self.next_character()
                yield
        self._expect("]")

    def members(self) -> Iterator[str]:
        """Yield the name of each member of the object that comes next; the caller reads it."""
        self._expect("{")
        if self.next_character() != "}":
            yield self._name()
            while self.next_character() == ",":
                self._expect(",")
                yield self._name()
        self._expect("}")

    def object(self) -> dict[str, Any]:
        """Return the object that comes next."""
        value = self.value()
        if not isinstance(value, dict):
            raise ValueError("an entry is no object")
        return value

    def value(self) -> Any:
        """Return the value that comes next."""
        self.next_character()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except ValueError:
                if len(self._text) - self._place > LONGEST_VALUE_CHARACTERS:
                    raise
                if not self._read_on():
                    raise
                continue
            # a number that ends with the block may go on after it
            if end < len(self._text) or not self._read_on():
                self._pass_to(end)
                return value

    def _name(self) -> str:
        if self.next_character() != '"':
            raise ValueError("a member has no name")
        name = str(self.value())
        self._expect(":")
        return name

    def _expect(self, character: str) -> None:
        found = self.next_character()
        if found != character:
            raise ValueError(f"{character!r} should stand there, not {found!r}")
        self._place += 1

    def _pass_to(self, place: int) -> None:
        self.line += self._text.count("\n", self._place, place)
        self._place = place

    def _read_on(self) -> bool:
        """Add a block to what is left of the last one; False, and nothing changed, at the end."""
        block = self._file.read(BLOCK_CHARACTERS)
        if block:
            self._text = self._text[self._place :] + block
            self._place = 0
        return bool(block)
