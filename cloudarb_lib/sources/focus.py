"""Cost exports in the FOCUS format (1.x): what was paid, and the unit prices of machines.

Every row counts in the sums of table ``charges``. A row of usage that names a machine by the hour
is also a price: on demand what the account has contracted, else the list price; of spot what an
hour came to; under a reservation whose term is told, its cost spread over its use. A price is known
when the hour that it was charged for is over. Machines under Windows, other paid systems or on
dedicated hosts give no price, nor does what was free.

References
----------
https://focus.finops.org/focus-specification/v1-2/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pyarrow as pa

from cloudarb_lib.sources.base import Parsed, Reason, UnreadRow, text_table
from cloudarb_lib.sources.csv_catalogue import CatalogueLines, CsvCatalogue
from cloudarb_lib.sources.numbers import decimal_of, divided
from cloudarb_lib.sources.rows import CatalogueTables, Price
from cloudarb_lib.tables.stored_schema import CHARGES

COST_NOT_A_NUMBER = Reason("cost_not_a_number", "is not a number", "export it again")
TIME_UNREADABLE = Reason("time_unreadable", "is not a time", "write 2026-04-29T18:00:00Z")
PROVIDER_MISSING = Reason("missing_column", "is not there", "export the column too")
OPTIONS = {
    "": "on_demand",
    "standard": "on_demand",
    "on-demand": "on_demand",
    "ondemand": "on_demand",
    "dynamic": "spot",
    "spot": "spot",
    "committed": "reserved",
    "commitment-based": "reserved",
}
"""Purchase option of each PricingCategory."""
MACHINE_SERVICES = re.compile(r"(?i)elastic compute cloud|\bec2\b|virtual machines?\b")
OTHER_SYSTEMS = re.compile(r"(?i)windows|rhel|red hat|suse|\bsql\b|dedicated|ubuntu pro")
"""Words of machines that cost more than the machine."""
_HOURS = re.compile(r"(?i)([1-9]\d{0,4})? ?(?:hours?|hrs?|h|instance[- ]hours?)")
_TERM = re.compile(r"(?i)\b([13])[ -]?(?:yr|year)s?\b")
_TERMS_IN_MONTHS = {"12": "1y", "36": "3y"}
_USAGE = re.compile(r"(?:BoxUsage|SpotUsage|HeavyUsage|ReservedUsage)[^:]*:([a-z0-9.-]+)")
_NAMED_MACHINE = re.compile(
    r"\b(?:[a-z][a-z0-9-]*\.(?:\d*x?large|nano|micro|small|medium|metal[\w-]*)|Standard_\w+)"
)
_OTHER_OPERATION = re.compile(r"RunInstances:(?!SV)\w+")
_DETAIL_KEYS = ("InstanceType", "x_InstanceType", "instanceType", "MachineType", "ServiceType")
_SUMS = ("quantity", "list_cost", "contracted_cost", "effective_cost", "billed_cost")
_METER_COLUMNS = ("SkuMeter", "x_UsageType", "x_SkuMeterName", "SkuPriceDetails", "x_SkuDetails")
Row = dict[str, str]


class FocusExport(CsvCatalogue):
    """Charges of a billing account, and prices of the machines that it used."""

    name = "focus-export"
    marks = frozenset({"BilledCost", "ChargePeriodStart"})
    numbers = frozenset(
        {
            "BilledCost",
            "EffectiveCost",
            "ListCost",
            "ContractedCost",
            "ListUnitPrice",
            "ContractedUnitPrice",
            "PricingQuantity",
        }
    )
    in_parts = True

    def parse(self, piece: CatalogueLines) -> Parsed:
        unread: list[UnreadRow] = []
        export = Export(piece.path.name, piece.part, self.name)
        return export.parsed(piece.rows(unread), unread)


@dataclass
class Export:
    """Charges of a piece, summed by what they are for, and the prices in it.

    Parameters
    ----------
    file : str
        Name of the file.
    part : int
        Number of the piece in it, the first being 1.
    source : str
        What column ``source`` says of its prices.
    """

    file: str
    part: int
    source: str
    prices: CatalogueTables = field(default_factory=CatalogueTables)
    sums: dict[tuple[str, ...], tuple[list[Decimal | None], int]] = field(default_factory=dict)
    seen: set[tuple[Price, str]] = field(default_factory=set)

    def parsed(self, rows: Iterable[tuple[int, Row]], unread: list[UnreadRow]) -> Parsed:
        """Return what rows with their lines hold; those that are no charge join ``unread``."""
        for line, row in rows:
            fault = _fault(row)
            if fault:
                unread.append(UnreadRow(line, *fault, str(row)))
            else:
                self.add(line, row)
        tables = self.prices.tables(with_times=True)
        if self.sums:
            tables["charges"] = self.charges()
        return Parsed(tables, unread)

    def add(self, line: int, row: Row) -> None:
        """Count a row, and keep its price: once a day, as each hour repeats it."""
        machine = _machine(row)
        start = _time(row["ChargePeriodStart"])
        day = start[:10] + "T00:00:00Z"
        key = (
            row.get("ProviderName") or row.get("ServiceProviderName", ""),
            _plain(row.get("BillingAccountId", "")),
            row.get("RegionId", ""),
            row.get("AvailabilityZone", ""),
            _plain(machine),
            _plain(row.get("SkuId", "")),
            _plain(row.get("ServiceName", "")),
            row.get("ChargeCategory") or "Usage",
            row.get("PricingCategory", ""),
            _plain(row.get("CommitmentDiscountId", "").rsplit("/", 1)[-1]),
            row.get("BillingCurrency", ""),
            row.get("PricingUnit", ""),
            day,
            self.file,
            str(self.part),
        )
        sums, _ = self.sums.setdefault(key, ([None] * len(_SUMS), line))
        for k, amount in enumerate(_amounts(row)):
            if amount is not None:
                sums[k] = (sums[k] or Decimal(0)) + amount
        price = _price(row, machine, self.source)
        if price is not None and (price, day) not in self.seen:
            self.seen.add((price, day))
            end = _time(row.get("ChargePeriodEnd", "")) or start
            self.prices.add_price(line, price, start, end)

    def charges(self) -> pa.Table:
        """Return the sums as rows of table ``charges``."""
        rows = [
            (*key, *(None if amount is None else str(amount) for amount in sums), line)
            for key, (sums, line) in self.sums.items()
        ]
        return text_table((*CHARGES.key, *_SUMS), rows)


def _fault(row: Row) -> tuple[Reason, str] | None:
    """Return why a row cannot be counted, and what that is about; None where it can."""
    if not (row.get("ProviderName") or row.get("ServiceProviderName")):
        return PROVIDER_MISSING, "ProviderName"
    if not _time(row["ChargePeriodStart"]):
        return TIME_UNREADABLE, f"ChargePeriodStart {row['ChargePeriodStart']!r}"
    if decimal_of(row["BilledCost"]) is None:
        return COST_NOT_A_NUMBER, f"BilledCost {row['BilledCost']!r}"
    return None


def _amounts(row: Row) -> list[Decimal | None]:
    """Return quantity and costs of a row, None where it does not tell one."""
    quantity = decimal_of(row.get("PricingQuantity", ""))

    def cost(total: str, unit_price: str) -> Decimal | None:
        told = decimal_of(row.get(total, ""))
        each = decimal_of(row.get(unit_price, ""))
        if told is None and each is not None and quantity is not None:
            return each * quantity
        return told

    return [
        quantity,
        cost("ListCost", "ListUnitPrice"),
        cost("ContractedCost", "ContractedUnitPrice"),
        decimal_of(row.get("EffectiveCost", "")),
        decimal_of(row["BilledCost"]),
    ]


def _price(row: Row, machine: str, source: str) -> Price | None:
    """Return the price of a machine that a row tells, None where it tells none."""
    option = OPTIONS.get(row.get("PricingCategory", "").lower(), "")
    hours = _hours(row)
    if not machine or not option or not hours or not _is_plain_usage(row):
        return None
    if option == "on_demand":
        written = row.get("ContractedUnitPrice") or row.get("ListUnitPrice", "")
    else:
        written = _cost_of_a_unit(row)
    term = _term(row) if option == "reserved" else ""
    if decimal_of(written or 0) == 0 or (option == "reserved" and not term):
        return None
    return Price(
        provider=row.get("ProviderName") or row["ServiceProviderName"],
        region=row.get("RegionId", ""),
        zone=row.get("AvailabilityZone", "") if option == "spot" else "",
        instance_type=machine,
        purchase_option=option,
        term=term,
        currency=row.get("BillingCurrency", ""),
        price_usd_per_hour=divided(written, hours),
        source=source,
    )


def _is_plain_usage(row: Row) -> bool:
    """Tell whether a row is usage of a machine under a free system."""
    if row.get("ChargeCategory") not in (None, "", "Usage") or row.get("ChargeClass"):
        return False
    if row.get("ServiceCategory") not in (None, "", "Compute"):
        return False
    if _OTHER_OPERATION.search(row.get("x_Operation", "")):
        return False
    words = " ".join(
        row.get(column, "")
        for column in (*_METER_COLUMNS, "ChargeDescription", "x_SkuMeterSubcategory")
    )
    return not OTHER_SYSTEMS.search(words)


def _machine(row: Row) -> str:
    """Return the machine that a row is about, '' where it tells none.

    An export without any column that names machines tells them by their SKU.
    """
    for column in ("x_SkuInstanceType", "x_InstanceType"):
        if row.get(column):
            return row[column]
    for column in ("SkuPriceDetails", "x_SkuDetails"):
        details = _details(row.get(column, ""))
        for key in _DETAIL_KEYS:
            if isinstance(details.get(key), str) and details[key]:
                return str(details[key])
    for column in ("SkuMeter", "x_UsageType"):
        if usage := _USAGE.search(row.get(column, "")):
            return usage[1]
    if named := _NAMED_MACHINE.search(row.get("ChargeDescription", "")):
        return named[0]
    has_meter = any(row.get(column) for column in (*_METER_COLUMNS, "ChargeDescription"))
    is_usage = row.get("ChargeCategory", "") in ("", "Usage")
    if is_usage and not has_meter and MACHINE_SERVICES.search(row.get("ServiceName", "")):
        return row.get("SkuId", "")
    return ""


@lru_cache(maxsize=4096)
def _details(text: str) -> dict[str, Any]:
    """Return the members of a JSON object, none where a text is none."""
    try:
        found = json.loads(text) if text.startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _hours(row: Row) -> int:
    """Return how many hours a priced unit has, 0 where it is no unit of hours."""
    unit = _HOURS.fullmatch(row.get("PricingUnit", "").strip())
    return int(unit[1] or 1) if unit else 0


def _cost_of_a_unit(row: Row) -> str:
    """Return what a priced unit came to, '' where that is not told."""
    cost = decimal_of(row.get("EffectiveCost", ""))
    quantity = decimal_of(row.get("PricingQuantity", ""))
    return f"{cost / quantity:.10f}" if cost is not None and quantity else ""


def _term(row: Row) -> str:
    """Return the term of the commitment to a machine that covers a row, '' where it is not told."""
    if row.get("CommitmentDiscountCategory", "Usage") not in ("", "Usage"):
        return ""  # a commitment to spend is of no one machine
    if months := _TERMS_IN_MONTHS.get(row.get("x_SkuTerm", "")):
        return months
    for column in ("SkuPriceDetails", "CommitmentDiscountName", "ChargeDescription"):
        if term := _TERM.search(row.get(column, "")):
            return f"{term[1]}y"
    return ""


@lru_cache(maxsize=4096)
def _time(written: str) -> str:
    """Return a time in UTC, as FOCUS has all times; '' where a text is none."""
    text = written.strip().removesuffix("UTC").strip()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return ""
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(name: str) -> str:
    """Return a name without the slash that parts of a name may not hold."""
    return name.replace("/", "|")
