"""Pieces of a file, streamed: our own CSV and Parquet, EC2 spot price history JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloudarb_lib.base.errors import DataError

LINE = "line_read"
"""Column of rows as read that holds their line."""
PIECE = 131_072
"""Rows handled at a time: what bounds the memory (beside the text of an EC2 history)."""
EC2_SOURCE = "ec2-spot-price-history"
_FLAT = re.compile(r"\{[^{}]*\}")
_EC2 = ("AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp")
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")


Piece = tuple[pa.Table, list[tuple[int, str, str, str]]]
"""Rows as read, with ``LINE``; and (line, reason, what, text) of those that cannot even be read."""


def pieces(path: Path) -> Iterator[Piece]:
    """Yield the file piece by piece; the format is told by the content. DataError where it cannot
    be read at all: the caller then drops what it was given of it."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if head[:4] == b"PAR1":
            yield from _parquet(path)
            return
        if head[:2] in (b"\xff\xfe", b"\xfe\xff") or not head.strip():
            raise DataError("it is empty, or UTF-16 text.", "Save it with rows, as UTF-8.")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            is_json = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
            yield from (_ec2 if is_json else _csv)(text)
    except OSError as cause:
        raise DataError(f"it cannot be read: {cause.strerror}.", "Check the path.") from cause


def _parquet(path: Path) -> Iterator[Piece]:
    try:
        done = 0
        for batch in pq.ParquetFile(path).iter_batches(batch_size=PIECE):
            batch.validate(full=True)  # a text that is no UTF-8 would stop DuckDB
            columns = [
                pa.array(map(str, column.to_pylist()))
                if pa.types.is_nested(column.type)
                else column
                for column in batch.columns
            ]
            columns.append(pa.array(np.arange(done, done + len(batch)) + 1))
            yield pa.Table.from_arrays(columns, [*batch.schema.names, LINE]), []
            done += len(batch)
    except (pa.ArrowException, OSError, ValueError) as cause:  # ValueError: a name is no UTF-8
        what = f"not readable as Parquet: {str(cause).splitlines()[0]}"
        raise DataError(what, "Write it again.") from cause


def _text(names: Sequence[str], rows: Sequence[Sequence[object]]) -> pa.Table:
    """Return rows of words, each ending in its line."""
    columns = list(zip(*rows, strict=True)) or [()] * (len(names) + 1)
    kinds = [*[pa.string()] * len(names), pa.int64()]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, [*names, LINE])


def _fields(line: str) -> list[str] | None:
    """Return the fields of a CSV line, None where its quotes do not close. A line break inside quotes
    is not followed: none of our columns holds one, and a stray quote would swallow the file."""
    if '"' not in line:
        return line.split(",")
    try:
        return None if line.count('"') % 2 else next(csv.reader([line], strict=True))
    except csv.Error:
        return None


def _csv(text: TextIO) -> Iterator[Piece]:
    lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(text, 1))
    names = [name.strip() for name in _fields(next(lines)[1]) or ()]
    while chunk := list(islice(lines, PIECE)):
        rows, bad = [], []
        for number, line in chunk:
            fields = _fields(line)
            if fields is None:
                bad.append((number, "row_unreadable", f"line {number}", line))
            elif len(fields) == len(names):
                rows.append((*fields, number))
            elif line.strip():
                reason = "missing_column" if len(fields) < len(names) else "unknown_column"
                bad.append((number, reason, f"field {min(len(fields), len(names)) + 1}", line))
        yield _text(names, rows), bad


def _ec2(text: TextIO) -> Iterator[Piece]:
    """Take out the entries; what is left must be pages that held just them."""
    whole, at, line = text.read(), 0, 1

    def is_page(found: re.Match[str]) -> bool:
        return '"SpotPriceHistory"' in found[0]  # one without entries

    found = (one for one in _FLAT.finditer(whole) if not is_page(one))
    try:
        while chunk := list(islice(found, PIECE)):
            entries = []
            for one in chunk:
                line, at = line + whole.count("\n", at, one.start()), one.start()
                entries.append((line, json.loads(one[0])))
            yield parse_ec2(entries)
        left = _FLAT.sub(lambda one: one[0] if is_page(one) else "0", whole).strip()
        while left:
            page, end = json.JSONDecoder().raw_decode(left)
            if set(page["SpotPriceHistory"]) - {0}:
                raise TypeError("an entry is no object")
            left = left[end:].lstrip()
    except (ValueError, TypeError, KeyError, RecursionError) as cause:
        what = f"it is not EC2 spot price history (broken near line {line}: {cause})."
        way_out = "Give what `aws ec2 describe-spot-price-history` printed, complete."
        raise DataError(what, way_out) from cause


def parse_ec2(entries: list[tuple[int, dict[str, Any]]]) -> Piece:
    """Return (line, entry) pairs of DescribeSpotPriceHistory as prices of AWS spot, Linux/UNIX only.
    The history lists every change, so a price was there to see when it took effect: observed_at =
    effective_at. Keys that AWS may add are passed over."""
    rows, bad = [], []
    for line, entry in entries:
        zone, machine, product, price, time = (entry.get(key, "") for key in _EC2)
        missing = [key for key in _EC2 if not isinstance(entry.get(key), str)]
        if missing:
            bad.append((line, "missing_column", missing[0], json.dumps(entry)))
        elif not product.startswith("Linux/UNIX"):
            bad.append(
                (line, "product_not_linux", f"ProductDescription {product!r}", json.dumps(entry))
            )
        else:
            # us-east-1a, us-west-2-lax-1a and us-east-1-wl1-bos-wlz-1 all begin with their region
            region = _REGION.match(zone)
            where = ("aws", region[0] if region else zone, zone, machine, "spot")
            rows.append(
                (*where, time, price or "''", EC2_SOURCE, line)
            )  # no price is no withdrawal
    names = ["provider", "region", "zone", "instance_type", "purchase_option", "effective_at"]
    return _text([*names, "price_usd_per_hour", "source"], rows), bad
