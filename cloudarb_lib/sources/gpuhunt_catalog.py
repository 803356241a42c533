"""The catalogue that the gpuhunt library reads: CSV by provider, first (v1) and later (v2) columns.

It says neither whose prices it holds nor when it was made: the file is named after the provider, as
``aws.csv`` in its catalog.zip is; else its machines tell it. Prices of AWS spot are the least of
the zones of a region. What the library accepts and no price is (negative, nan) the store holds
back.

References
----------
https://github.com/dstackai/gpuhunt
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cloudarb_lib.sources.base import Parsed, Reason, UnreadRow
from cloudarb_lib.sources.csv_catalogue import CatalogueLines, CsvCatalogue
from cloudarb_lib.sources.machine_patterns import (
    PROVIDER_UNSTATED,
    provider_by_machines,
    provider_by_name,
)
from cloudarb_lib.sources.names.gpus import with_form_of_machine
from cloudarb_lib.sources.names.providers import canonical_provider
from cloudarb_lib.sources.rows import CatalogueTables, Machine, Price, Sale

SPOT_UNREADABLE = Reason("spot_unreadable", "is neither True nor False", "download it again")
OTHER_OFFERS = {
    "gcp-dws-calendar-mode": "capacity reserved by the calendar",
    "runpod-cluster": "clusters of several machines",
    "min_bid": "spot at the least bid, which is not what a machine will cost,",
}
"""Flags (or provider's data) of offers that are no price of one machine: left out, and told."""
NAMED_BY_GPU = ("jarvislabs", "lium", "runpod")
"""Providers that call machines by the GPU or the host alone, whatever the number of GPUs."""
_OPTIONS = {"true": "spot", "false": "on_demand"}
_GCP_ZONE = re.compile(r"([a-z]+(?:-[a-z]+)+\d+)-[a-z][a-z0-9]*")
Row = dict[str, str]


class GpuhuntCatalog(CsvCatalogue):
    """What a provider asks for its machines, and where it lists them."""

    name = "gpuhunt-catalog"
    second_hand = True
    in_parts = True
    marks = frozenset({"instance_name", "location", "price", "gpu_count", "gpu_name", "spot"})
    numbers = frozenset({"price", "cpu", "memory", "gpu_count", "gpu_memory"})
    texts = frozenset({"provider", "gpu_vendor", "flags"})

    def parse(self, piece: CatalogueLines) -> Parsed:
        unread: list[UnreadRow] = []
        rows = list(piece.rows(unread))
        named = provider_by_name(piece.path)
        machines = {row["instance_name"] for _, row in rows}
        catalogue = _Catalogue(self.name)
        by_machines = "" if named else provider_by_machines(machines)
        for line, row in rows:
            provider = canonical_provider(row.get("provider", "")) or named or by_machines
            if not provider:
                subject = f"machine {row['instance_name']!r}"
                unread.append(UnreadRow(line, PROVIDER_UNSTATED, subject, str(row)))
            elif row["spot"].lower() not in _OPTIONS:
                unread.append(UnreadRow(line, SPOT_UNREADABLE, f"spot {row['spot']!r}", str(row)))
            else:
                catalogue.add(line, provider, row)
        return Parsed(catalogue.rows.tables(), unread, notices=catalogue.notices())


@dataclass
class _Catalogue:
    """Rows of a catalogue, gathered, and how many offers of other kinds were left out."""

    source: str
    rows: CatalogueTables = field(default_factory=CatalogueTables)
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, provider: str, row: Row) -> None:
        """Add a machine at a place: its price, its specification, the evidence that it is sold."""
        flags = row.get("flags", "").split()
        if '"min_bid"' in row.get("provider_data", ""):
            flags.append("min_bid")
        if other := next((flag for flag in flags if flag in OTHER_OFFERS), ""):
            self.left_out[other] = self.left_out.get(other, 0) + 1
            return
        machine = _machine_name(provider, row)
        option = _OPTIONS[row["spot"].lower()]
        region, zone = _place(provider, row["location"])
        self.rows.add_price(
            line,
            Price(
                provider=provider,
                region=region,
                zone="",
                instance_type=machine,
                purchase_option=option,
                price_usd_per_hour=row["price"] or "''",  # no price is a fault here
                source=self.source,
            ),
        )
        self.rows.add_machine(line, _specification(provider, machine, row))
        self.rows.add_sale(
            line,
            Sale(
                provider=provider,
                region=region,
                zone=zone,
                instance_type=machine,
                kind="catalogue",
                source=self.source,
                purchase_option=option,
            ),
        )

    def notices(self) -> tuple[str, ...]:
        """Say what was left out."""
        return tuple(
            f"offers of {OTHER_OFFERS[flag]} left out: {count:,}"
            for flag, count in sorted(self.left_out.items())
        )


def _place(provider: str, location: str) -> tuple[str, str]:
    """Return region and zone of a location: Google Cloud is listed by zone."""
    if provider == "gcp" and (zone := _GCP_ZONE.fullmatch(location)):
        return zone[1], location
    return location, ""


def _machine_name(provider: str, row: Row) -> str:
    """Return a name of one machine: GPU and how many are part of it where it needs them."""
    name = row["instance_name"].replace("/", "-")
    gpus = row["gpu_count"]
    if provider in NAMED_BY_GPU and gpus not in ("", "0"):
        return f"{gpus}x {name}"
    if provider == "gcp" and name.startswith("n1-") and row["gpu_name"]:
        times = int(gpus) if gpus.isdecimal() and len(gpus) < 3 else 1
        return name + f"+{row['gpu_name']}" * times
    return name


def _specification(provider: str, machine: str, row: Row) -> Machine:
    has_gpus = row["gpu_count"] not in ("", "0") and row.get("gpu_vendor") != "google"
    return Machine(
        provider=provider,
        instance_type=machine,
        vcpus=row.get("cpu", ""),
        memory_gib=row.get("memory", ""),
        gpu_model=with_form_of_machine(row["gpu_name"], row["instance_name"]) if has_gpus else "",
        gpu_count=row["gpu_count"] if has_gpus else "0",
        gpu_memory_gib=row.get("gpu_memory", "") if has_gpus else "",
    )
