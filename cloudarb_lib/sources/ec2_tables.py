"""EC2 spot price history as text that is no JSON: tables, and blocks of ``name : value`` lines.

``aws ... --output text`` prints a table without a header, and so are the monthly archives of the
history: what a field is, is told by what it looks like. pandas and PowerShell write a header, and
so does ``--output table``, with lines ruled between.
PowerShell's own view, and ``--output yaml``, are blocks of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from cloudarb_lib.sources.json_stream import Entry, PageEnd
from cloudarb_lib.sources.text import Vocabulary, fields_of, layout_of

KEYS = (
    "AvailabilityZone",
    "AvailabilityZoneId",
    "InstanceType",
    "ProductDescription",
    "SpotPrice",
    "Timestamp",
)
TOKEN = "NextToken"
ZONE_NAME = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+[a-z0-9-]*")
ZONE_ID = re.compile(r"([a-z]{2,}\d+)(?:-[a-z0-9]+)*-(?:az|wlz)\d+")
_LOOKS = {
    "AvailabilityZone": ZONE_NAME,
    "AvailabilityZoneId": ZONE_ID,
    "InstanceType": re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+"),
    "ProductDescription": re.compile(r"(?:Linux/UNIX|Windows|SUSE|Red Hat).*"),
    "SpotPrice": re.compile(r"\d*\.?\d+"),
    "Timestamp": re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*"),
}
"""What a field of each key looks like; no text looks like two of them."""
_ZONE_KEYS = {"AvailabilityZone", "AvailabilityZoneId"}
_FEWEST_FIELDS = 3
"""Of a row that is broken, but a row."""
_HEADLESS_DELIMITERS = ("\t", ",", ";")
_NAMES = ("availability_zone", "availability_zone_id", "instance_type", "product_description")
_HEADER = Vocabulary(
    names=frozenset(key.lower() for key in (*KEYS, "Price")) | frozenset((*_NAMES, "spot_price")),
    numbers=frozenset(("spotprice", "spot_price")),
)
_BLOCK_LINE = re.compile(r"(- +)?\s*([A-Za-z]+) *: *(.*)")
_RULED_LINE = re.compile("[^A-Za-z0-9]*")
_TOLD_BY_LINES = 100
_SAMPLE_LINES = 10_000


def plain_key(written: str) -> str:
    """Return a key as all spellings have it: letters in lower case, ``price`` for SpotPrice."""
    key = re.sub(r"[^a-z]", "", written.lower())
    return "spotprice" if key == "price" else key


_PLAIN_KEYS = {plain_key(key) for key in KEYS}

_OTHER_HEADER = re.compile(r"\b(provider|purchase_?option|instance_?type)\b", re.IGNORECASE)
"""Names of columns: the table has a header, if not that of a history."""


def is_history(lines: Sequence[str]) -> bool:
    """Tell by its first lines whether a text that is no JSON is such a history."""
    return _has_header(lines) or bool(_headless(lines)) or _has_blocks(lines)


def entries_of_lines(lines: Iterable[str]) -> Iterator[Entry | PageEnd]:
    """Yield the entries of such a history, each with its line, and what token is left of it.

    Parameters
    ----------
    lines : iterable of str
        Line ends cut off. A line of a table that does not fit gives an entry that lacks a key.
    """
    remaining = iter(lines)
    sample = list(islice(remaining, _SAMPLE_LINES))
    numbered = enumerate(chain(sample, remaining), 1)
    if _has_header(sample):
        yield from _table(numbered, sample)
    elif _headless(sample):
        yield from _headless_table(numbered, sample)
    else:
        yield from _blocks(numbered)


def _has_header(lines: Sequence[str]) -> bool:
    layout = layout_of(lines[:_TOLD_BY_LINES], _HEADER)
    keys = set(map(plain_key, layout.written)) if layout else set()
    return {"instancetype", "spotprice", "timestamp"} <= keys and bool(
        {"availabilityzone", "availabilityzoneid"} & keys
    )


def _table(numbered: Iterator[tuple[int, str]], sample: Sequence[str]) -> Iterator[Entry]:
    """Yield the rows below a header."""
    layout = layout_of(sample, _HEADER)
    if layout is None:
        return
    for number, line in numbered:
        if number > layout.header_line and not _RULED_LINE.fullmatch(line):
            fields = fields_of(line, layout.delimiter)
            fields = [line] if fields is None else layout.fitted(fields)
            yield Entry(number, dict(zip(layout.written, fields, strict=False)))


def _headless(lines: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return delimiter and the key of each field ('' for none) of a table without a header."""
    if any(_OTHER_HEADER.search(line) for line in lines[:_TOLD_BY_LINES]):
        return None
    for line in lines[:_TOLD_BY_LINES]:
        for delimiter in _HEADLESS_DELIMITERS:
            fields = fields_of(line, delimiter) or []
            keys = tuple(_key_by_looks(field.strip()) for field in fields)
            told = [key for key in keys if key]
            is_whole = set(told) | _ZONE_KEYS == set(KEYS) and bool(set(told) & _ZONE_KEYS)
            if is_whole and len(told) == len(set(told)):
                return delimiter, keys
    return None


def _key_by_looks(field: str) -> str:
    return next((key for key, looks in _LOOKS.items() if looks.fullmatch(field)), "")


def _headless_table(
    numbered: Iterator[tuple[int, str]], sample: Sequence[str]
) -> Iterator[Entry | PageEnd]:
    """Yield the rows of a table without a header."""
    layout = _headless(sample)
    if layout is None:
        return
    delimiter, keys = layout
    token = ""
    for number, line in numbered:
        fields = fields_of(line, delimiter) or [line]
        if len(fields) < _FEWEST_FIELDS:  # the token, by itself or behind its name
            token = fields[-1].strip() or token
            continue
        values = dict(zip(keys, map(str.strip, fields), strict=False))
        values.pop("", None)
        yield Entry(number, values)
    yield PageEnd({TOKEN: token})


def _has_blocks(lines: Sequence[str]) -> bool:
    matches = map(_BLOCK_LINE.fullmatch, lines[:_TOLD_BY_LINES])
    keys = {plain_key(match[2]) for match in matches if match}
    return len(keys & _PLAIN_KEYS) >= 4


def _blocks(numbered: Iterator[tuple[int, str]]) -> Iterator[Entry | PageEnd]:
    """Yield blocks of ``name : value`` lines: a new one begins with a dash, or a key again."""
    values: dict[str, str] = {}
    began = 0
    token = ""
    for number, line in numbered:
        match = _BLOCK_LINE.fullmatch(line.rstrip())
        key = match[2] if match else ""
        is_new = match is None or bool(match[1]) or key in values or key == TOKEN
        if is_new and values:
            yield Entry(began, values)
            values = {}
        if match is None:
            continue
        value = match[3].strip("'\"")
        if key == TOKEN:
            token = value
        elif plain_key(key) in _PLAIN_KEYS:
            began = began if values else number
            values[key] = value
    if values:
        yield Entry(began, values)
    yield PageEnd({TOKEN: token})
