"""Pages of a listing in JSON: one document, a list of pages, one page a line, or bare items.

Whoever saves the pages of a service does so in one of these ways. Each item keeps the line at which
it begins, so that a person finds it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)
"""Numbers stay as they are written: prices keep their digits."""


@dataclass(frozen=True)
class Page:
    """A page of a listing.

    Parameters
    ----------
    items : list of (int, object)
        Line and value of each; numbers are texts.
    members : dict or None
        What else the page says; None for items that stand in no page.
    """

    items: list[tuple[int, Any]]
    members: dict[str, Any] | None = None


def pages_in(text: str, key: str) -> Iterator[Page]:
    """Yield the pages of a text.

    Parameters
    ----------
    text : str
        One or several JSON documents, one behind the other.
    key : str
        The member of a page that holds its items.

    Raises
    ------
    ValueError
        Where the text is broken, or holds what is neither a page nor an item.
    """
    reader = _Reader(text, key)
    try:
        while reader.position < len(text):
            yield from reader.document()
    except RecursionError as cause:
        raise ValueError("it is nested too deeply") from cause


@dataclass
class _Reader:
    """Walks through a text from its beginning, counting lines."""

    text: str
    key: str
    position: int = 0
    line: int = 1
    counted_to: int = 0

    def __post_init__(self) -> None:
        self.skip_space()

    def document(self) -> Iterator[Page]:
        """Read one document: a page, a list of pages or items, or one item."""
        if not self.text.startswith("[", self.position):
            yield self.page()
            return
        bare = []
        for _ in self.elements():
            page = self.page()
            if page.members is None:
                bare += page.items
            else:
                yield page
        if bare:
            yield Page(bare)

    def page(self) -> Page:
        """Read an object: a page where it has the key, else a bare item."""
        line = self.current_line()
        if not self.text.startswith("{", self.position):
            raise ValueError(f"line {line} holds no object")
        begins_at = self.position
        items: list[tuple[int, Any]] | None = None
        members: dict[str, Any] = {}
        for _ in self.elements():
            name = self.value()
            self.expect(":")
            if name == self.key and self.text.startswith("[", self.position):
                items = []
                for _ in self.elements():
                    item_line = self.current_line()
                    items.append((item_line, self.value()))
            else:
                members[name] = self.value()
        if items is not None:
            return Page(items, members)
        ends_at = self.position
        self.position = begins_at
        item = self.value()
        self.position = ends_at
        return Page([(line, item)])

    def elements(self) -> Iterator[None]:
        """Stop at each element of the list or object that begins here, and pass over its end."""
        end = {"[": "]", "{": "}"}[self.text[self.position]]
        self.position += 1
        self.skip_space()
        is_first = True
        while not self.text.startswith(end, self.position):
            if not is_first:
                self.expect(",")
            is_first = False
            yield
            self.skip_space()
        self.position += 1
        self.skip_space()

    def value(self) -> Any:
        """Read any value, and the space behind it."""
        found, self.position = _DECODER.raw_decode(self.text, self.position)
        self.skip_space()
        return found

    def expect(self, mark: str) -> None:
        """Pass over a mark; ValueError where another stands there."""
        if not self.text.startswith(mark, self.position):
            raise ValueError(f"{mark!r} is missing in line {self.current_line()}")
        self.position += 1
        self.skip_space()

    def skip_space(self) -> None:
        """Pass over white space."""
        space = _SPACE.match(self.text, self.position)
        assert space is not None
        self.position = space.end()

    def current_line(self) -> int:
        """Return the number of the line at the position."""
        self.line += self.text.count("\n", self.counted_to, self.position)
        self.counted_to = self.position
        return self.line
