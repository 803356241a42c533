"""Pages of Google's Cloud Billing Catalog: prices of cores, memory, GPUs and local disks.

A machine has no price of its own there: it is put together from its parts, by region and option. So
a file must hold all pages of the service Compute Engine, one behind the other. What a machine is
made of stands in data/instances.csv, the fixed local disks of some in gcp_local_ssd.csv, and the
words that stand for a family of machines in gcp_sku_families.csv. A price in the catalogue is no
evidence that the machine is sold in the region.

References
----------
https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list
https://cloud.google.com/compute/docs/disks/local-ssd
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.sources.base import MISSING_COLUMN, Parsed, UnreadRow
from cloudarb_lib.sources.json_listing import JsonListing, ListedItems
from cloudarb_lib.sources.json_stream import Entry
from cloudarb_lib.sources.names.gpus import canonical
from cloudarb_lib.sources.names.spellings import rows_of
from cloudarb_lib.sources.numbers import decimal_of
from cloudarb_lib.sources.rows import CatalogueTables, Price

OPTIONS = {
    "OnDemand": ("on_demand", ""),
    "Preemptible": ("spot", ""),
    "Commit1Yr": ("reserved", "1y"),
    "Commit3Yr": ("reserved", "3y"),
}
"""How a SKU is used, and the option and term that it is bought by."""
OTHER_SKUS = re.compile(
    r"(?i)sole tenancy|reserved|premium|custom|extended|suspended|calendar mode|flex start|"
    r"overcommit|confidential|license|dws|upgrade|gpu slice"
)
"""Words of SKUs that are no part of a machine by the hour."""
OTHER_MACHINES = re.compile(r"(?:custom|f1|g1|m2|z3|h4d)-.*|.*-metal")
"""Machines whose price is more than the sum of these parts, or that share a core."""
_PART = re.compile(
    r"(?:Spot )?(?:Preemptible )?(?:Commitment v1: )?"
    r"(?P<words>.*?)\s*(?:\bInstance )?\b(?P<part>Core|Cpu|Ram|GPU)\b",
    re.IGNORECASE,
)
_LOCAL_SSD = re.compile(r"(?i)(?:commitment v1: )?(?:ssd backed local storage|local ssd)\b")
_FAMILY = re.compile(r"([A-Za-z]\d+[A-Za-z]?)\b")
_UNITS = {"h": "hour", "GiBy.h": "hour", "GiBy.mo": "month", "GBy.h": "hour", "GBy.mo": "month"}

Place = tuple[str, str, str, str]
"""Region, option, term and currency."""


@dataclass(frozen=True)
class MachineParts:
    """What a machine of Google Cloud is made of; the model of its GPUs is '' where it has none."""

    name: str
    family: str
    vcpus: Decimal
    memory_gib: Decimal
    gpu_model: str
    gpu_count: Decimal
    local_ssd_gib: Decimal


class GcpSkus(JsonListing):
    """What machines cost on demand, as spot, and committed for one and three years."""

    name = "gcp-skus"
    key = "skus"
    next_key = "nextPageToken"
    marks = ("serviceRegions", "resourceFamily", "pricingExpression")

    def fetch(self, path: Path) -> Iterator[ListedItems]:
        """Yield the SKUs of machines in one piece: parts of a machine stand on different pages."""
        items = []
        notices: tuple[str, ...] = ()
        for piece in super().fetch(path):
            items += [entry for entry in piece.items if _is_of_machines(entry.values)]
            notices += piece.notices
        yield ListedItems(items, notices)

    def parse(self, piece: ListedItems) -> Parsed:
        unread = []
        parts = _PartPrices()
        for entry in piece.items:
            fault = _fault(entry.values)
            if fault:
                unread.append(UnreadRow(entry.line, MISSING_COLUMN, fault, str(entry.values)))
            else:
                parts.add(entry)
        rows = CatalogueTables()
        incomplete: Counter[str] = Counter()
        for machine in _machines():
            if not parts.put_together(machine, rows, self.name):
                incomplete[machine.family] += 1
        notices = [*piece.notices]
        if incomplete:
            families = ", ".join(sorted(incomplete))
            notices.append(
                f"machines left out for want of the price of a part: {incomplete.total():,}"
                f" (families {families})"
            )
        return Parsed(rows.tables(), unread, notices=tuple(notices))


def _is_of_machines(sku: dict[str, Any]) -> bool:
    """Tell whether a SKU may be a part of a machine, or is too broken to tell."""
    category = sku.get("category")
    description = sku.get("description")
    if not isinstance(category, dict) or not isinstance(description, str):
        return True
    if OTHER_SKUS.search(description) or category.get("usageType") not in OPTIONS:
        return False
    if category.get("resourceFamily") == "Storage" or _LOCAL_SSD.match(description):
        return bool(_LOCAL_SSD.match(description))
    return category.get("resourceFamily") == "Compute" and bool(_PART.match(description))


def _fault(sku: dict[str, Any]) -> str:
    """Return which member a SKU lacks, '' where it has all."""
    if not isinstance(sku.get("category"), dict):
        return "category"
    if not isinstance(sku.get("description"), str):
        return "description"
    if not isinstance(sku.get("serviceRegions"), list):
        return "serviceRegions"
    return "" if _unit_price(sku) else "pricingInfo"


def _unit_price(sku: dict[str, Any]) -> tuple[Decimal, str] | None:
    """Return what a unit costs per hour and the currency, None where that cannot be read."""
    try:
        expression = sku["pricingInfo"][-1]["pricingExpression"]
        price = expression["tieredRates"][0]["unitPrice"]
        units = decimal_of(price.get("units") or 0)
        nanos = decimal_of(price.get("nanos") or 0)
        per = _UNITS[expression["usageUnit"]]
        currency = str(price.get("currencyCode", ""))
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if units is None or nanos is None:
        return None
    exact = units + nanos / 10**9
    return (exact if per == "hour" else exact * 12 / Decimal(HOURS_PER_YEAR)), currency


@dataclass
class _PartPrices:
    """What parts cost by the hour, by kind of part, and the line of each."""

    prices: dict[tuple[str, str], dict[Place, tuple[Decimal, int]]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Add a SKU, where its description says of which part it is."""
        sku = entry.values
        part = _part_of(sku["description"])
        found = _unit_price(sku)
        if part is None or found is None:
            return
        price, currency = found
        option, term = OPTIONS[sku["category"]["usageType"]]
        by_place = self.prices.setdefault(part, {})
        for region in sku["serviceRegions"]:
            if price > 0:
                by_place.setdefault((str(region), option, term, currency), (price, entry.line))

    def put_together(self, machine: MachineParts, rows: CatalogueTables, source: str) -> bool:
        """Add the price of a machine wherever all its parts have one; tell whether there is any."""
        needed = [
            (("core", machine.family), machine.vcpus),
            (("ram", machine.family), machine.memory_gib),
        ]
        if machine.gpu_model:
            needed.append((("gpu", machine.gpu_model), machine.gpu_count))
        if machine.local_ssd_gib:
            needed.append((("local ssd", ""), machine.local_ssd_gib))
        priced = [self.prices.get(part, {}) for part, _ in needed]
        places = set(priced[0]).intersection(*priced[1:])
        for region, option, term, currency in sorted(places):
            place = (region, option, term, currency)
            total = sum(
                (by_place[place][0] * amount)
                for by_place, (_, amount) in zip(priced, needed, strict=True)
            )
            price = Price(
                provider="gcp",
                region=region,
                zone="",
                instance_type=machine.name,
                purchase_option=option,
                term=term,
                currency=currency,
                price_usd_per_hour=f"{total:.9f}",
                source=source,
            )
            rows.add_price(priced[0][place][1], price)
        return bool(places)


def _part_of(description: str) -> tuple[str, str] | None:
    """Return the kind of part that a SKU is, and of which family or GPU; None where it is none."""
    if _LOCAL_SSD.match(description):
        return "local ssd", ""
    match = _PART.match(description)
    if match is None:
        return None
    words = match["words"].strip()
    part = match["part"].lower()
    if part == "gpu":
        return "gpu", _gpu_of(words)
    family = _families().get(words)
    if family is None:
        named = _FAMILY.match(words)
        if named is None:
            return None
        family = named[1].lower()
    return ("ram" if part == "ram" else "core"), family


def _gpu_of(words: str) -> str:
    """Return the model of a GPU; that of machines with more network has a price of its own."""
    bare = re.sub(r"(?i)\b(?:plus|mega)\b", "", words)
    model = canonical(bare) or ""
    return f"{model}/mega" if bare != words else model


@cache
def _families() -> dict[str, str]:
    rows = rows_of(Path(__file__).with_name("gcp_sku_families.csv"))
    return {row["words"]: row["family"] for row in rows}


@cache
def _machines() -> tuple[MachineParts, ...]:
    """Return the machines of Google Cloud that are the sum of their parts."""
    disks = {
        row["machine"]: Decimal(row["local_ssd_gib"])
        for row in rows_of(Path(__file__).with_name("gcp_local_ssd.csv"))
    }
    special = sorted({name for name in _families().values() if "-" in name})
    found = []
    for row in rows_of(locations.data() / "instances.csv"):
        name = row["instance_type"]
        is_known = row["vcpus"] and row["memory_gib"] and not OTHER_MACHINES.fullmatch(name)
        if row["provider"] != "gcp" or not is_known or ("-lssd" in name and name not in disks):
            continue
        family = next((one for one in special if name.startswith(one)), name.partition("-")[0])
        model = row["gpu_model"]
        found.append(
            MachineParts(
                name=name,
                family=family,
                vcpus=Decimal(row["vcpus"]),
                memory_gib=Decimal(row["memory_gib"]),
                gpu_model=f"{model}/mega" if "mega" in family else model,
                gpu_count=Decimal(row["gpu_count"] or 0),
                local_ssd_gib=disks.get(name, Decimal(0)),
            )
        )
    return tuple(found)
