"""Cost allocations of OpenCost and Kubecost: what namespaces of a cluster cost, as charges.

Two forms: answers of the allocation interface (JSON), and the daily CSV that OpenCost exports. A
charge is of a day, a namespace and a resource, and belongs to the cluster as the account. The costs
are worked out from list prices of the nodes, and brought to the bill where the cluster does so
(adjustments). Neither form says its currency: ``charge_currency`` is XXX, which is that of none.

References
----------
https://opencost.io/docs/integrations/api and https://opencost.io/docs/integrations/csv-export
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from cloudarb_lib.sources.base import Match, Parsed, Reason, Source, UnreadRow, text_table
from cloudarb_lib.sources.csv_catalogue import CatalogueLines, CsvCatalogue
from cloudarb_lib.sources.json_files import (
    documents_in,
    looks_like_json,
    mapping_of,
    not_of_form,
    numbered,
    records_of,
    text_of,
)
from cloudarb_lib.sources.names.providers import provider_of_node
from cloudarb_lib.sources.numbers import decimal_of
from cloudarb_lib.tables.stored_schema import CHARGES

Entry = tuple[int, dict[str, Any]]
"""The number of an allocation in the file, and what is said of it."""

COST_NOT_A_NUMBER = Reason("cost_not_a_number", "is not a number", "export it again")
TIME_UNREADABLE = Reason("time_unreadable", "is not a time", "export it again")
CURRENCY_UNTOLD = "XXX"
"""ISO 4217 of no currency."""
PROVIDER_UNTOLD = "unstated"
_MARKS = (b'"data"', b'"properties"', b'"cluster"')
_NAME = "answer of the allocation interface"
_WAY_OUT = "Ask OpenCost for /allocation again."
_GIB = 2**30
_ROUNDING = Decimal("0.0001")
"""Resources are rounded each for itself."""
_SUMS = ("quantity", "list_cost", "effective_cost", "billed_cost")


@dataclass(frozen=True)
class Resource:
    """What an allocation charges for.

    Parameters
    ----------
    name : str
        What column ``sku_id`` says.
    cost : str
        Member of its cost; that of its adjustment has ``Adjustment`` behind.
    column : str
        Column of its cost in the CSV, '' where that has none.
    quantity : str
        Member of its quantity, '' where there is none.
    unit : str
        Of the quantity.
    """

    name: str
    cost: str
    column: str = ""
    quantity: str = ""
    unit: str = ""


RESOURCES = (
    Resource("cpu", "cpuCost", "CPUCost", "cpuCoreHours", "Core-Hours"),
    Resource("gpu", "gpuCost", "GPUCost", "gpuHours", "GPU-Hours"),
    Resource("ram", "ramCost", "RAMCost", "ramByteHours", "GiB-Hours"),
    Resource("pv", "pvCost", "PVCost", "pvByteHours", "GiB-Hours"),
    Resource("network", "networkCost", "NetworkCost"),
    Resource("load_balancer", "loadBalancerCost"),
    Resource("shared", "sharedCost"),
    Resource("external", "externalCost"),
)
OTHER = Resource("other", "")
"""What is in the total, and in none of them."""


@dataclass
class _Charges:
    """Sums of a piece of a file, by what they are for."""

    file: str
    part: int
    sums: dict[tuple[str, ...], tuple[list[Decimal | None], int]] = field(default_factory=dict)

    def add(
        self,
        line: int,
        place: tuple[str, str, str],
        day: str,
        resource: Resource,
        amounts: tuple[Decimal | None, Decimal, Decimal],
    ) -> None:
        """Count quantity, cost and adjustment of a resource in a place: provider, cluster, name."""
        provider, cluster, namespace = place
        values = {
            "provider": provider,
            "billing_account": cluster.replace("/", "|"),
            "sku_id": resource.name,
            "service": namespace.replace("/", "|"),
            "charge_category": "Usage",
            "charge_currency": CURRENCY_UNTOLD,
            "unit": resource.unit,
            "day": day,
            "file": self.file,
            "part": str(self.part),
        }
        key = tuple(values.get(name, "") for name in CHARGES.key)
        sums, _ = self.sums.setdefault(key, ([None] * len(_SUMS), line))
        quantity, cost, adjustment = amounts
        paid = cost + adjustment
        for k, amount in enumerate((quantity, cost, paid, paid)):
            if amount is not None:
                sums[k] = (sums[k] or Decimal(0)) + amount

    def table(self) -> pa.Table:
        """Return the sums as rows of table ``charges``."""
        rows = [
            (*key, *(None if amount is None else f"{amount:f}" for amount in sums), line)
            for key, (sums, line) in self.sums.items()
        ]
        return text_table((*CHARGES.key, *_SUMS), rows)


@dataclass(frozen=True)
class AllocationPage:
    """The allocations of a document, with the file and the number of the document in it."""

    path: Path
    part: int
    entries: list[Entry]


class OpenCostAllocation(Source[AllocationPage]):
    """What the namespaces of a cluster cost, as the allocation interface answers."""

    name = "opencost-allocation"

    def recognises(self, head: bytes) -> Match:
        is_own = looks_like_json(head) and all(mark in head for mark in _MARKS)
        return Match.OWN if is_own else Match.NO

    def fetch(self, path: Path) -> Iterator[AllocationPage]:
        documents = documents_in(path, name=_NAME, way_out=_WAY_OUT)
        for part, entries in enumerate(numbered(documents, _allocations_in), 1):
            yield AllocationPage(path, part, entries)

    def parse(self, piece: AllocationPage) -> Parsed:
        unread: list[UnreadRow] = []
        charges = _Charges(piece.path.name, piece.part)
        longer = 0
        for number, allocation in piece.entries:
            window = mapping_of(allocation.get("window"))
            start = _time(text_of(window.get("start")) or text_of(allocation.get("start")))
            end = _time(text_of(window.get("end")) or text_of(allocation.get("end")))
            if start is None:
                subject = f"window {window!r}"
                unread.append(UnreadRow(number, TIME_UNREADABLE, subject, str(allocation)))
                continue
            longer += end is not None and end - start > timedelta(days=1)
            fault = _add_allocation(charges, number, allocation, _day(start))
            if fault:
                unread.append(UnreadRow(number, COST_NOT_A_NUMBER, fault, str(allocation)))
        notices = (_longer_than_a_day(longer),) if longer else ()
        tables = {"charges": charges.table()} if charges.sums else {}
        return Parsed(tables, unread, notices=notices)


_IN_CSV = tuple(resource for resource in RESOURCES if resource.column)


class OpenCostCsvExport(CsvCatalogue):
    """What the containers of a cluster cost, as OpenCost exports it each day."""

    name = "opencost-csv-export"
    marks = frozenset({"Date", "Namespace", "ControllerKind", "TotalCost"})
    numbers = frozenset({*(each.column for each in _IN_CSV), "TotalCost"})

    def parse(self, piece: CatalogueLines) -> Parsed:
        unread: list[UnreadRow] = []
        charges = _Charges(piece.path.name, piece.part)
        for line, row in piece.rows(unread):
            start = _time(row["Date"])
            costs = {each: decimal_of(row.get(each.column) or "0") for each in _IN_CSV}
            total = decimal_of(row["TotalCost"])
            if start is None:
                subject = f"Date {row['Date']!r}"
                unread.append(UnreadRow(line, TIME_UNREADABLE, subject, str(row)))
            elif total is None or None in costs.values():
                unread.append(UnreadRow(line, COST_NOT_A_NUMBER, "a cost", str(row)))
            else:
                place = (PROVIDER_UNTOLD, "", row["Namespace"])
                paid = Decimal(0)
                for resource, cost in costs.items():
                    if cost:
                        charges.add(line, place, _day(start), resource, (None, cost, Decimal(0)))
                        paid += cost
                _add_others(charges, line, place, _day(start), total - paid)
        return Parsed({"charges": charges.table()} if charges.sums else {}, unread)


def _allocations_in(document: Any) -> list[dict[str, Any]]:
    """Return the allocations of each set of an answer."""
    data = mapping_of(document).get("data")
    sets = [data] if isinstance(data, dict) else data
    if not isinstance(sets, list):
        raise not_of_form(_NAME, "it has no 'data'", _WAY_OUT)
    return [one for each in sets for one in records_of(list(mapping_of(each).values()))]


def _add_allocation(charges: _Charges, number: int, allocation: dict[str, Any], day: str) -> str:
    """Count an allocation; return which member of it is no number, '' where all is well."""
    told: dict[str, Decimal] = {}
    for name in _MEMBERS:
        amount = decimal_of(text_of(allocation.get(name)) or "0")
        if amount is None:
            return f"{name} {allocation.get(name)!r}"
        told[name] = amount
    about = mapping_of(allocation.get("properties"))
    namespace = text_of(about.get("namespace")) or text_of(allocation.get("name"))
    provider = provider_of_node(text_of(about.get("providerID"))) or PROVIDER_UNTOLD
    place = (provider, text_of(about.get("cluster")), namespace)
    paid = Decimal(0)
    for resource in RESOURCES:
        cost = told[resource.cost]
        adjustment = told.get(f"{resource.cost}Adjustment", Decimal(0))
        quantity = told[resource.quantity] if resource.quantity else None
        if quantity is not None and resource.unit == "GiB-Hours":
            quantity = quantity / _GIB
        paid += cost + adjustment
        if cost or adjustment or quantity:
            charges.add(number, place, day, resource, (quantity, cost, adjustment))
    _add_others(charges, number, place, day, told["totalCost"] - paid)
    return ""


_ADJUSTED = ("cpuCost", "gpuCost", "ramCost", "pvCost", "networkCost", "loadBalancerCost")
_MEMBERS = (
    *(each.cost for each in RESOURCES),
    *(f"{name}Adjustment" for name in _ADJUSTED),
    *(each.quantity for each in RESOURCES if each.quantity),
    "totalCost",
)


def _add_others(
    charges: _Charges, line: int, place: tuple[str, str, str], day: str, others: Decimal
) -> None:
    """Count what a total has beyond its resources, so that charges come to the total."""
    if abs(others) > _ROUNDING:
        charges.add(line, place, day, OTHER, (None, others, Decimal(0)))


def _time(written: str) -> datetime | None:
    """Return a time in UTC, None where a text is none."""
    try:
        time = datetime.fromisoformat(written.strip())
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}T00:00:00Z"


def _longer_than_a_day(allocations: int) -> str:
    return (
        f"{allocations:,} allocations span more than a day: each counts on the day on which it"
        " begins; ask for step=1d to have them by day"
    )
