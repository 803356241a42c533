"""Carbon intensity of grids as the field publishes it: Google's regions, and CCF's factors.

References
----------
https://github.com/GoogleCloudPlatform/region-carbon-info (data/yearly) and
https://github.com/cloud-carbon-footprint/ccf-coefficients (grid-emissions-factors-*.csv)
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import (
    MISSING_COLUMN,
    Match,
    Parsed,
    Source,
    UnreadRow,
    open_text,
    start_of_text,
    text_table,
)

_COLUMNS = (
    "provider",
    "region",
    "location",
    "grid_gco2e_per_kwh",
    "carbon_free_energy_share",
    "year",
)
_GOOGLE_REGION = "Google Cloud Region"
_GOOGLE_SHARE = "Google CFE"
_GOOGLE_INTENSITY = "Grid carbon intensity (gCO2eq / kWh)"
_CCF_INTENSITY = "CO2e (metric ton/kWh)"
_GRAMS_PER_TON = 1_000_000
_AWS_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_GCP_REGION = re.compile(r"[a-z]+-[a-z]+\d+")


@dataclass(frozen=True)
class CsvRecords:
    """Rows of a CSV file with their lines, and the names of its columns."""

    names: list[str]
    rows: list[tuple[int, list[str]]]


class _CsvOfRegions(Source[CsvRecords]):
    """A small CSV file with a row a region."""

    header: tuple[bytes, ...]
    """What its first line holds."""

    def recognises(self, head: bytes) -> Match:
        first_line = start_of_text(head).partition(b"\n")[0]
        return Match.OWN if all(name in first_line for name in self.header) else Match.NO

    def fetch(self, path: Path) -> Iterator[CsvRecords]:
        with open_text(path) as file:
            reader = csv.reader(file, strict=True)
            try:
                names = [name.strip() for name in next(reader)]
                rows = [(reader.line_num, fields) for fields in reader if any(fields)]
            except csv.Error as cause:
                what = f"it is no whole CSV (line {reader.line_num}: {cause})."
                raise DataError(what, "Download it again.") from cause
        yield CsvRecords(names, rows)


class GoogleRegionCarbon(_CsvOfRegions):
    """Yearly carbon intensity and carbon-free share of Google's regions.

    Files are called by their year and do not name it inside, so the year stays open.
    """

    name = "gcp-region-carbon"
    header = (_GOOGLE_REGION.encode(), _GOOGLE_INTENSITY.encode())

    def parse(self, piece: CsvRecords) -> Parsed:
        rows = []
        unread = []
        for line, fields in piece.rows:
            record = dict(zip(piece.names, fields, strict=False))
            if record.get(_GOOGLE_INTENSITY, "").strip():
                share = record.get(_GOOGLE_SHARE)
                place = record.get("Location")
                region = record.get(_GOOGLE_REGION)
                intensity = record[_GOOGLE_INTENSITY]
                rows.append(("gcp", region, place, intensity, share, None, line))
            else:
                text = ",".join(fields)
                unread.append(UnreadRow(line, MISSING_COLUMN, _GOOGLE_INTENSITY, text))
        return Parsed({"grid_carbon": text_table(_COLUMNS, rows)}, unread)


class CcfGridFactors(_CsvOfRegions):
    """Emission factors of AWS, Azure or Google regions by Cloud Carbon Footprint, in t/kWh."""

    name = "ccf-grid-factors"
    header = (b"Region,", _CCF_INTENSITY.encode())

    def parse(self, piece: CsvRecords) -> Parsed:
        rows = []
        unread = []
        for line, fields in piece.rows:
            record = dict(zip(piece.names, fields, strict=False))
            factor = record.get(_CCF_INTENSITY, "").strip()
            if not factor:
                text = ",".join(fields)
                unread.append(UnreadRow(line, MISSING_COLUMN, _CCF_INTENSITY, text))
                continue
            place = record.get("Location") or record.get("Country")
            provider, region = _provider_and_region(record.get("Region", "").strip())
            rows.append((provider, region, place, _in_grams(factor), None, None, line))
        return Parsed({"grid_carbon": text_table(_COLUMNS, rows)}, unread)


def _provider_and_region(written: str) -> tuple[str, str]:
    """Return whose region it is, by how it is written, and the region as that provider has it."""
    if _AWS_REGION.fullmatch(written):
        return "aws", written
    if _GCP_REGION.fullmatch(written):
        return "gcp", written
    return "azure", written.replace(" ", "").lower()


def _in_grams(tons: str) -> str:
    """Return tons per kWh in grams; what is no number stays, for the store to judge."""
    try:
        return str(Decimal(tons) * _GRAMS_PER_TON)
    except InvalidOperation:
        return tons
