"""Snapshots of SpotLake: spot and on-demand prices of AWS, Azure or Google Cloud at a time, as CSV.

Zones of AWS are zone ids. Times have no zone, and are UTC. An empty cell, nan or -1 says that there
is no value. The column IF is the band of interruptions that AWS's Advisor and Azure publish, as a
grade; scores of placement (SPS, T2, T3) are not stored.

References
----------
https://github.com/ddps-lab/spotlake-open-data
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cloudarb_lib.sources.base import LINE, Match, Parsed, UnreadRow, text_table
from cloudarb_lib.sources.csv_catalogue import CatalogueLines, CsvCatalogue
from cloudarb_lib.sources.machine_patterns import (
    PROVIDER_UNSTATED,
    provider_by_machines,
    provider_by_name,
)
from cloudarb_lib.sources.numbers import number_of
from cloudarb_lib.sources.rows import CatalogueTables, Price

BANDS = {3.0: "<5%", 2.5: "5-10%", 2.0: "10-15%", 1.5: "15-20%", 1.0: ">20%"}
"""Band of interruptions of each grade."""
NO_ZONES = ("", "single", "n/a", "nan", "-1")
_BAND_COLUMNS = (
    "provider",
    "region",
    "instance_type",
    "interruption_band_monthly",
    "spot_savings_pct",
)
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?")
_MARKS_OF_SNAPSHOTS = frozenset({"OndemandPrice", "Savings", "SPS", "IF"})
Row = dict[str, str]


class SpotLakeSnapshots(CsvCatalogue):
    """What machines cost as spot and on demand when SpotLake looked."""

    name = "spotlake"
    second_hand = True
    marks = frozenset({"InstanceType", "Region", "SpotPrice"})
    numbers = frozenset({"SpotPrice", "OndemandPrice", "Savings", "IF"})
    texts = frozenset({"Time", "Date", "AZ", "SPS", "InstanceTier"})

    def recognises(self, head: bytes) -> Match:
        """Tell by the header whether a file is of SpotLake: others have these marks too."""
        names = self.names_in(head)
        is_own = self.marks <= names and len(_MARKS_OF_SNAPSHOTS & names) > 1
        return Match.OWN if is_own else Match.NO

    def parse(self, piece: CatalogueLines) -> Parsed:
        unread: list[UnreadRow] = []
        rows = list(piece.rows(unread))
        machines = {_machine(row) for _, row in rows}
        is_azure = "InstanceTier" in piece.layout.names
        provider = "azure" if is_azure else provider_by_machines(machines)
        provider = provider or provider_by_name(piece.path)
        if not provider:
            unread += [
                UnreadRow(line, PROVIDER_UNSTATED, f"machine {_machine(row)!r}", str(row))
                for line, row in rows
            ]
            return Parsed(CatalogueTables().tables(), unread)
        has_times = bool({"Time", "Date"} & set(piece.layout.names))
        snapshot = _Snapshot(provider, self.name, has_times)
        for line, row in rows:
            snapshot.add(line, row)
        tables = snapshot.rows.tables(with_times=has_times)
        if snapshot.bands:
            names = (*_BAND_COLUMNS, "as_of") if has_times else _BAND_COLUMNS
            tables["interruption_bands"] = text_table(names, snapshot.band_rows(has_times))
            assert tables["interruption_bands"].schema.names[-1] == LINE
        return Parsed(tables, unread)


@dataclass
class _Snapshot:
    """Rows of a snapshot, gathered; of a band the least savings of its zones, and its line."""

    provider: str
    source: str
    has_times: bool
    rows: CatalogueTables = field(default_factory=CatalogueTables)
    bands: dict[tuple[str, str, str, str], tuple[float, int]] = field(default_factory=dict)

    def add(self, line: int, row: Row) -> None:
        """Add the prices of a machine in a zone, and how often it is interrupted."""
        time = _time(row)
        times = (time, time) if self.has_times else ()  # an empty one is a fault of its row
        zone = row.get("AZ", "")
        for column, option in (("SpotPrice", "spot"), ("OndemandPrice", "on_demand")):
            price = row.get(column, "")
            if _is_missing(price):
                continue
            has_zones = option == "spot" and self.provider == "aws"
            self.rows.add_price(
                line,
                Price(
                    provider=self.provider,
                    region=row["Region"],
                    zone=zone if has_zones and zone.lower() not in NO_ZONES else "",
                    instance_type=_machine(row),
                    purchase_option=option,
                    price_usd_per_hour=price,
                    source=self.source,
                ),
                *times,
            )
        band = BANDS.get(number_of(row.get("IF", "")) or 0.0)
        savings = number_of(row.get("Savings", ""))
        if band and savings is not None and not _is_missing(row["Savings"]):
            key = (row["Region"], _machine(row), band, time)
            least, first_line = self.bands.get(key, (savings, line))
            self.bands[key] = (min(least, savings), first_line)

    def band_rows(self, has_times: bool) -> list[tuple[object, ...]]:
        """Return rows of ``interruption_bands``, each with its line."""
        return [
            (self.provider, region, machine, band, str(savings), *([time] * has_times), line)
            for (region, machine, band, time), (savings, line) in self.bands.items()
        ]


def _machine(row: Row) -> str:
    tier = row.get("InstanceTier", "")
    return f"{tier}_{row['InstanceType']}" if tier else row["InstanceType"]


def _time(row: Row) -> str:
    """Return the time of a row; one without a zone is UTC."""
    time = row.get("Time") or row.get("Date") or ""
    return f"{time}Z" if _NAIVE.fullmatch(time) else time


def _is_missing(written: str) -> bool:
    """Tell whether a cell says that there is no value."""
    return written.lower() in ("", "nan", "n/a") or number_of(written) == -1
