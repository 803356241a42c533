"""Cost exports in the FOCUS format (1.x) as Parquet, as AWS, Azure and Google's BigQuery write it.

Rows are those of ``focus``; only columns that it reads are read. Numbers are doubles or decimals,
times have a type or are texts, details are a map (AWS), JSON as text (Azure) or pairs of key and
value (Google). Engines that read exports write names in lower case, so case does not count.

References
----------
https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-focus-1-2-aws.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import Match, Parsed, Source
from cloudarb_lib.sources.focus import Export, FocusExport
from cloudarb_lib.sources.parquet_files import MAGIC, batches_in, columns_in

COLUMNS = (
    *sorted(FocusExport.marks | FocusExport.numbers),
    "AvailabilityZone",
    "BillingAccountId",
    "BillingCurrency",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "PricingCategory",
    "PricingUnit",
    "ProviderName",
    "RegionId",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "x_InstanceType",
    "x_Operation",
    "x_SkuDetails",
    "x_SkuInstanceType",
    "x_SkuMeterName",
    "x_SkuMeterSubcategory",
    "x_SkuTerm",
    "x_UsageType",
)
"""What ``focus`` reads."""
_BY_LOWER_CASE = {name.lower(): name for name in COLUMNS}


@dataclass(frozen=True)
class FocusBatch:
    """Rows of an export, its columns named as FOCUS has them.

    Parameters
    ----------
    path : Path
        The file.
    part : int
        Number of the piece, the first of the file being 1.
    rows : pyarrow.RecordBatch
        The rows.
    rows_before : int
        How many rows of the file stand before.
    """

    path: Path
    part: int
    rows: pa.RecordBatch
    rows_before: int


class FocusParquet(Source[FocusBatch]):
    """Charges of a billing account, and prices of the machines that it used."""

    name = "focus-parquet"

    def recognises(self, head: bytes) -> Match:
        named = head.lower()
        is_own = all(mark.lower().encode() in named for mark in FocusExport.marks)
        return Match.OWN if head[:4] == MAGIC and is_own else Match.NO

    def fetch(self, path: Path) -> Iterator[FocusBatch]:
        names = {name: _BY_LOWER_CASE.get(name.lower(), "") for name in columns_in(path)}
        wanted = [name for name, known in names.items() if known]
        known = [names[name] for name in wanted]
        missing = FocusExport.marks - set(known)
        if missing or len(set(known)) < len(known):
            what = f"it has no column {min(missing)!r}" if missing else "a column is there twice"
            raise DataError(f"{what}, so it is no FOCUS export.", "Export it again.")
        rows_before = 0
        for part, batch in enumerate(batches_in(path, wanted), 1):
            yield FocusBatch(path, part, batch.select(wanted).rename_columns(known), rows_before)
            rows_before += len(batch)

    def parse(self, piece: FocusBatch) -> Parsed:
        columns = {name: _texts(piece.rows[name]) for name in piece.rows.schema.names}
        rows = (
            (line, dict(zip(columns, values, strict=True)))
            for line, values in enumerate(
                zip(*columns.values(), strict=True), piece.rows_before + 1
            )
        )
        return Export(piece.path.name, piece.part, self.name).parsed(rows, [])


def _texts(column: pa.Array) -> list[str]:
    """Return the values of a column as the CSV of an export has them."""
    if pa.types.is_timestamp(column.type):  # as Python knows times
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return [_text(value) for value in column.to_pylist()]


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(_members(value), default=str)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value).strip()


def _members(value: Any) -> Any:
    """Return pairs of key and value, as maps and BigQuery have them, as a mapping."""
    if not isinstance(value, list):
        return value
    pairs = [tuple(item.values()) if isinstance(item, dict) else item for item in value]
    is_map = all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
    return {str(key): item for key, item in pairs} if is_map else value
