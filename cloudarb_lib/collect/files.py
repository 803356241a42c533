"""Pieces of a file, streamed: our own CSV and Parquet, EC2 spot price history JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloudarb_lib.collect.rows import (
    REASONS,
    Parsed,
    bad_rows,
    check_header,
    parse_prices,
    parse_table,
    which_table,
)
from cloudarb_lib.errors import DataError

PIECE = 131_072
"""Rows handled at a time: what bounds the memory."""
EC2_SOURCE = "ec2-spot-price-history"
_QUOTED_LINES = 50
_BLOCK = 1 << 20


def pieces(path: Path, *, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    """Yield the file piece by piece with the share read so far (0 to 1).

    The format is told by the content. Raises DataError where the file cannot be read at all, or
    its columns are no table of ours; the caller then drops what it was given of it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if head[:4] == b"PAR1":
            yield from _parquet(path, now)
            return
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path.name} is UTF-16 text.", "Save it as UTF-8.")
        if not head.strip():
            raise DataError(f"{path.name} is empty.", "Give a file with rows.")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
                yield from _ec2(text, path, now)
            else:
                yield from _csv(text, path, now)
    except OSError as cause:
        raise DataError(f"{path} cannot be read: {cause.strerror}.", "Check the path.") from cause


def _table(columns: list[str], path: Path) -> str:
    table = which_table(columns)
    if table is None:
        raise DataError(
            f"{path.name} is no table of ours: its columns begin {', '.join(columns)[:80]!r}.",
            "See data/README.md for the tables; CSV needs a header line and commas.",
        )
    return table


def _piece(raw: pd.DataFrame, table: str, path: Path, now: pd.Timestamp) -> Parsed:
    names = [c for c in raw.columns if c != "line"]
    wrong = check_header(names, table)
    if wrong:
        shown = raw[names].astype(str).agg(",".join, axis=1)
        rows = [(int(i), *wrong, t[:1000]) for i, t in zip(raw["line"], shown, strict=True)]
        return Parsed(table, pd.DataFrame({"line": []}), bad_rows(rows))
    if table == "price_events":
        return parse_prices(raw, source=path.stem, now=now)
    return parse_table(raw, table, now=now)


def _parquet(path: Path, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    try:
        schema = pq.read_schema(path)
        names = schema.names
        table = _table(names, path)
        if len(set(names)) < len(names):
            raise DataError(f"{path.name} has a column twice.", "Keep one.")
        # Words come as numbers into a dictionary: most stand many times.
        words = [
            f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        ]
        file, done = pq.ParquetFile(path, read_dictionary=words), 0
        for batch in file.iter_batches(batch_size=PIECE):
            columns = {}
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                nan = pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()
                if nan or pa.types.is_decimal(column.type):
                    column = column.cast(pa.string())  # NaN is not null: it is to be seen as text
                elif pa.types.is_integer(column.type):
                    column = column.cast(pa.float64())
                columns[name] = column.to_pandas()
            raw = pd.DataFrame({**columns, "line": range(done + 1, done + len(batch) + 1)})
            done += len(batch)
            yield _piece(raw, table, path, now), done / file.metadata.num_rows
    except (pa.ArrowException, OSError) as cause:
        what = str(cause).splitlines()[0]
        raise DataError(
            f"{path.name} is not readable Parquet: {what}", "Write it again."
        ) from cause


def _records(text: TextIO) -> Iterator[tuple[int, list[str] | None, str]]:
    """Yield (line, fields, text) of each CSV record; fields None where the quotes do not close."""
    lines, number, ahead = iter(text), 0, []
    while True:
        line = ahead.pop(0) if ahead else next(lines, "")
        if not line:
            return
        number += 1
        first, record = number, line
        if '"' not in line:
            bare = line.rstrip("\r\n")
            if bare:
                yield first, bare.split(","), bare
            continue
        held = []
        while record.count('"') % 2 and len(held) < _QUOTED_LINES:
            more = ahead.pop(0) if ahead else next(lines, "")
            if not more:
                break
            held.append(more)
            record += more
        if record.count('"') % 2:
            ahead = held + ahead  # not a quoted line break after all: only this line is bad
            yield first, None, line.rstrip("\r\n")
            continue
        number += len(held)
        try:
            yield first, next(csv.reader([record], strict=True)), record.rstrip("\r\n")
        except csv.Error:
            yield first, None, record.rstrip("\r\n")


def _csv(text: TextIO, path: Path, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    records = _records(text)
    _, header, _ = next(records, (0, None, ""))
    if header is None:
        raise DataError(f"{path.name} has no readable header line.", "See data/README.md.")
    names = [name.strip() for name in header]
    table = _table(names, path)
    unique = len(set(names)) == len(names)
    size, done = max(path.stat().st_size, 1), 0
    rows: list[list[str]] = []
    lines: list[int] = []
    bad: list[tuple[int, str, str, str]] = []
    ended = False
    while not ended:
        record = next(records, None)
        ended = record is None
        if record is not None:
            line, fields, shown = record
            done += len(shown) + 1
            if fields is None:
                bad.append(
                    (
                        line,
                        "row_unreadable",
                        f"line {line}: {REASONS['row_unreadable']}.",
                        shown[:1000],
                    )
                )
            elif len(fields) != len(names):
                short = len(fields) < len(names)
                reason = "missing_column" if short else "unknown_column"
                detail = (
                    f"{len(fields)} fields where the header has {len(names)}: {REASONS[reason]}."
                )
                bad.append((line, reason, detail, shown[:1000]))
            else:
                rows.append(fields)
                lines.append(line)
        if ended or len(rows) + len(bad) >= PIECE:
            raw = pd.DataFrame(rows, columns=names if unique else range(len(names)), dtype=object)
            if not unique:
                raise DataError(f"{path.name} has a column twice.", "Keep one.")
            piece = _piece(raw.assign(line=lines), table, path, now)
            whole = pd.concat([piece.bad, bad_rows(bad)], ignore_index=True)
            yield Parsed(table, piece.good, whole), min(done / size, 1.0)
            rows, lines, bad = [], [], []


class _Json:
    """A JSON text read a block at a time, knowing its line."""

    def __init__(self, text: TextIO, path: Path) -> None:
        self._text, self._name, self._buffer, self._at = text, path.name, "", 0
        self._decode = json.JSONDecoder().raw_decode
        self.line, self.read = 1, 0

    def fail(self, what: str) -> DataError:
        return DataError(
            f"{self._name} is not EC2 spot price history: {what} at line {self.line}.",
            "Give what `aws ec2 describe-spot-price-history` printed, complete.",
        )

    def _more(self) -> bool:
        block = self._text.read(_BLOCK)
        self.read += len(block)
        self._buffer, self._at = self._buffer[self._at :] + block, 0
        return bool(block)

    def peek(self) -> str:
        """Return the next character that is not white space, '' at the end."""
        while True:
            while self._at < len(self._buffer):
                char = self._buffer[self._at]
                if not char.isspace():
                    return char
                self.line += char == "\n"
                self._at += 1
            if not self._more():
                return ""

    def expect(self, chars: str) -> str:
        char = self.peek()
        if not char or char not in chars:
            raise self.fail(
                f"found {char!r} instead of {' or '.join(chars)}" if char else "it ends"
            )
        self._at += 1
        return char

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except (ValueError, RecursionError) as cause:
                if not self._more():
                    raise self.fail("broken JSON") from cause
                continue
            # A number or word at the very end of the block may go on in the next one.
            if end < len(self._buffer) or not self._more():
                break
        self.line += self._buffer.count("\n", self._at, end)
        self._at = end
        return value


def _entries(text: _Json) -> Iterator[tuple[int, Any]]:
    """Yield (line, entry) of every page in the text."""
    pages = 0
    while text.peek():
        text.expect("{")
        found = False
        while True:
            key = text.value()
            text.expect(":")
            if key != "SpotPriceHistory":
                text.value()
            else:
                found = True
                text.expect("[")
                while text.peek() != "]":
                    line = text.line
                    yield line, text.value()
                    if text.peek() != "]":
                        text.expect(",")
                text.expect("]")
            if text.expect(",}") == "}":
                break
        if not found:
            raise text.fail("a page without SpotPriceHistory ends")
        pages += 1
    if not pages:
        raise text.fail("no page")


def _ec2(file: TextIO, path: Path, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    text, size = _Json(file, path), max(path.stat().st_size, 1)
    held: list[tuple[int, Any]] = []
    for entry in _entries(text):
        held.append(entry)
        if len(held) >= PIECE:
            yield parse_ec2(held, now=now), min(text.read / size, 1.0)
            held = []
    yield parse_ec2(held, now=now), 1.0


_EC2 = ("AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp")


def parse_ec2(entries: list[tuple[int, Any]], *, now: pd.Timestamp) -> Parsed:
    """Return (line, entry) pairs of DescribeSpotPriceHistory as prices of AWS spot.

    Linux/UNIX only. The history lists every change, so a price was there to see when it took
    effect: observed_at = effective_at. Keys that AWS may add are passed over.
    """
    rows, bad = [], []
    for line, entry in entries:
        shown = json.dumps(entry)[:1000]
        if not isinstance(entry, dict):
            bad.append((line, "row_unreadable", "the entry is not an object.", shown))
            continue
        missing = [k for k in _EC2 if not isinstance(entry.get(k), str)]
        if missing:
            bad.append(
                (line, "missing_column", f"{missing[0]}: {REASONS['missing_column']}.", shown)
            )
        elif not entry["ProductDescription"].startswith("Linux/UNIX"):
            said = f"ProductDescription {entry['ProductDescription']!r} {REASONS['product_not_linux']}."
            bad.append((line, "product_not_linux", said, shown))
        else:
            zone = entry["AvailabilityZone"]
            rows.append((line, "aws", _region(zone), zone, entry["InstanceType"], "spot",
                         entry["SpotPrice"] or "(empty)", entry["Timestamp"]))  # fmt: skip
    names = ["line", "provider", "region", "zone", "instance_type", "purchase_option",
             "price_usd_per_hour", "effective_at"]  # fmt: skip
    parsed = parse_prices(pd.DataFrame(rows, columns=names), source=EC2_SOURCE, now=now)
    return Parsed(
        "price_events", parsed.good, pd.concat([parsed.bad, bad_rows(bad)], ignore_index=True)
    )


def _region(zone: str) -> str:
    """us-east-1a, us-west-2-lax-1a and us-east-1-wl1-bos-wlz-1 all begin with their region."""
    parts = zone.split("-")
    for i, part in enumerate(parts):
        digits = part.rstrip("abcdefghijklmnopqrstuvwxyz")
        if i >= 2 and digits.isdigit():
            return "-".join([*parts[:i], digits])
    return zone
