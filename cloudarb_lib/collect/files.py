"""Pieces of a file, streamed: our own CSV and Parquet, EC2 spot price history JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloudarb_lib.collect.rows import Parsed, bad_rows, parse
from cloudarb_lib.errors import DataError

PIECE = 131_072
"""Rows handled at a time: what bounds the memory."""
EC2_SOURCE = "ec2-spot-price-history"
_FLAT = re.compile(r"\{[^{}]*\}")
_EC2 = ("AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp")
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")


def pieces(path: Path, *, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    """Yield the file piece by piece with the share read so far (0 to 1); the format is told by the
    content. DataError where the file cannot be read at all, or its columns are no table of ours:
    the caller then drops what it was given of it."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if head[:4] == b"PAR1":
            yield from _parquet(path, now)
            return
        if head[:2] in (b"\xff\xfe", b"\xfe\xff") or not head.strip():
            raise DataError("it is empty, or UTF-16 text.", "Save it with rows, as UTF-8.")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            is_json = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
            yield from (_ec2 if is_json else _csv)(text, path, now)
    except OSError as cause:
        raise DataError(f"it cannot be read: {cause.strerror}.", "Check the path.") from cause


def _parquet(path: Path, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    try:
        schema, done = pq.read_schema(path), 0
        # Words come as numbers into a dictionary: most stand many times.
        words = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        file = pq.ParquetFile(path, read_dictionary=words)
        for batch in file.iter_batches(batch_size=PIECE):
            columns = []
            for column in batch.columns:
                nan = pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()
                if nan or pa.types.is_decimal(column.type):
                    column = column.cast(pa.string())  # NaN is not null: let it be seen
                elif pa.types.is_integer(column.type):
                    column = column.cast(pa.float64())
                elif pa.types.is_nested(column.type):
                    column = pa.array([str(value) for value in column.to_pylist()])
                columns.append(column.to_pandas())
            raw = pd.concat(columns, axis=1).set_axis(schema.names, axis=1)
            raw["line"] = range(done + 1, done + len(batch) + 1)
            done += len(batch)
            yield parse(raw, source=path.stem, now=now), done / file.metadata.num_rows
    except (pa.ArrowException, OSError) as cause:
        what = f"not readable as Parquet: {str(cause).splitlines()[0]}"
        raise DataError(what, "Write it again.") from cause


def _fields(line: str) -> list[str] | None:
    """Return the fields of a CSV line, None where its quotes do not close. A line break inside quotes
    is not followed: none of our columns holds one, and a stray quote would swallow the file."""
    if '"' not in line:
        return line.split(",")
    try:
        return None if line.count('"') % 2 else next(csv.reader([line], strict=True))
    except csv.Error:
        return None


def _csv(text: TextIO, path: Path, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(text, 1))
    names = [name.strip() for name in _fields(next(lines)[1]) or ()]
    size, done = max(path.stat().st_size, 1), 0
    while chunk := list(islice(lines, PIECE)):
        rows, numbers, bad = [], [], []
        for number, line in chunk:
            done += len(line) + 1
            fields = _fields(line)
            if fields is None:
                bad.append((number, "row_unreadable", f"line {number}", line))
            elif len(fields) == len(names):
                rows.append(fields)
                numbers.append(number)
            elif line.strip():
                reason = "missing_column" if len(fields) < len(names) else "unknown_column"
                bad.append((number, reason, f"field {min(len(fields), len(names)) + 1}", line))
        raw = pd.DataFrame(rows, columns=pd.Index(names), dtype=object).assign(line=numbers)
        piece = parse(raw, source=path.stem, now=now)
        yield Parsed(piece.table, piece.good, pd.concat([piece.bad, bad_rows(bad)])), min(done / size, 1.0)


def _ec2(text: TextIO, path: Path, now: pd.Timestamp) -> Iterator[tuple[Parsed, float]]:
    """Take out the entries block by block; what is left must be pages that held just them."""
    rest, tail, line, done, size = [], "", 1, 0, max(path.stat().st_size, 1)
    try:
        while block := text.read(1 << 20):
            entries, block, at = [], tail + block, 0
            for found in _FLAT.finditer(block):
                gap = block[at : found.start()]
                line += gap.count("\n")
                if '"SpotPriceHistory"' in found[0]:  # a page without entries
                    rest.append(gap + found[0])
                else:
                    rest.append(gap.strip() + "0")
                    entries.append((line, json.loads(found[0])))
                line += found[0].count("\n")
                at = found.end()
            tail, done = block[at:], done + len(block) - len(tail)
            if len(tail) > 1 << 24:
                raise ValueError("16 million characters without an entry")
            yield parse_ec2(entries, now=now), min(done / size, 1.0)
        left = ("".join(rest) + tail).strip()
        while left:
            page, end = json.JSONDecoder().raw_decode(left)
            if set(page["SpotPriceHistory"]) - {0}:
                raise TypeError("an entry is no object")
            left = left[end:].lstrip()
    except (ValueError, TypeError, KeyError, RecursionError) as cause:
        what = f"it is not EC2 spot price history (broken near line {line}: {cause})."
        way_out = "Give what `aws ec2 describe-spot-price-history` printed, complete."
        raise DataError(what, way_out) from cause


def parse_ec2(entries: list[tuple[int, dict[str, Any]]], *, now: pd.Timestamp) -> Parsed:
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
            bad.append((line, "product_not_linux", f"ProductDescription {product!r}", json.dumps(entry)))
        else:
            # us-east-1a, us-west-2-lax-1a and us-east-1-wl1-bos-wlz-1 all begin with their region
            region = _REGION.match(zone)
            rows.append(
                (line, "aws", region[0] if region else zone, zone, machine, "spot", time, price or "''")
            )
    names = ["line", "provider", "region", "zone", "instance_type", "purchase_option", "effective_at"]
    parsed = parse(pd.DataFrame(rows, columns=[*names, "price_usd_per_hour"]), source=EC2_SOURCE, now=now)
    return Parsed(parsed.table, parsed.good, pd.concat([parsed.bad, bad_rows(bad)]))
