"""Pages of the Azure Retail Prices service: what virtual machines cost by region.

The price of a reservation is that of its whole term. Left out are Windows, Low Priority, Cloud
Services, dedicated hosts, prices for developers and testers, and prices of nought: none is a Linux
machine that anybody may rent. A price in the list is no evidence that the machine is sold there.

References
----------
https://learn.microsoft.com/en-us/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.sources.base import MISSING_COLUMN, Parsed, Reason, UnreadRow
from cloudarb_lib.sources.json_listing import JsonListing, ListedItems
from cloudarb_lib.sources.json_stream import Entry
from cloudarb_lib.sources.numbers import decimal_of, divided
from cloudarb_lib.sources.rows import CatalogueTables, Price

UNIT_UNKNOWN = Reason(
    "unit_unknown", "is no unit of time that is known here", "take the price from another source"
)
TERM_UNKNOWN = Reason(
    "unknown_term", "is a term that plans do not know", "commitments of 1 and 3 years are known"
)
_NEEDED = ("armSkuName", "armRegionName", "retailPrice", "type", "unitOfMeasure")
_UNIT = re.compile(r"([1-9]\d{0,5}) ?(?:/ ?)?Hours?", re.IGNORECASE)
_TERMS = {"1 year": ("1y", 1), "1 years": ("1y", 1), "3 years": ("3y", 3), "3 year": ("3y", 3)}
_OTHER_PRODUCTS = (
    (re.compile(r"Windows"), "Windows"),
    (re.compile(r"Low Priority"), "Low Priority"),
    (re.compile(r"Cloud ?Services"), "Cloud Services"),
    (re.compile(r"Dedicated|\bHost\b"), "dedicated hosts"),
)
"""Words in the names of product, meter or SKU, and what they stand for."""


class AzureRetailPrices(JsonListing):
    """Prices of Linux machines on demand, as spot, and reserved."""

    name = "azure-retail-prices"
    key = "Items"
    next_key = "NextPageLink"
    marks = ("CustomerEntityType", "NextPageLink", "armSkuName", "armRegionName")

    def parse(self, piece: ListedItems) -> Parsed:
        rows = CatalogueTables()
        unread = []
        left_out: Counter[str] = Counter()
        newest = _newest_starts(piece.items)
        for entry in piece.items:
            item = entry.values
            if other := _left_out_as(item):
                left_out[other] += 1
            elif fault := _fault(item):
                unread.append(UnreadRow(entry.line, *fault, json.dumps(item)))
            elif _start(item) < newest[_offer(item)]:
                left_out["prices that a later one replaced"] += 1
            else:
                rows.add_price(entry.line, self._price(item))
        notices = tuple(f"{what} left out: {count:,}" for what, count in sorted(left_out.items()))
        return Parsed(rows.tables(), unread, notices=(*piece.notices, *notices))

    def _price(self, item: dict[str, Any]) -> Price:
        option, term = _option(item)
        hours = _hours(item)
        return Price(
            provider="azure",
            region=item["armRegionName"],
            zone="",
            instance_type=item["armSkuName"],
            purchase_option=option,
            term=term,
            currency=item.get("currencyCode") or "",
            price_usd_per_hour=divided(str(item["retailPrice"]), hours),
            source=self.name,
        )


def _left_out_as(item: dict[str, Any]) -> str:
    """Return what an item is that is no price of a Linux machine, '' where it may be one."""
    if item.get("serviceName", "Virtual Machines") != "Virtual Machines":
        return "prices of other services"
    names = " ".join(str(item.get(key, "")) for key in ("productName", "meterName", "skuName"))
    for pattern, words in _OTHER_PRODUCTS:
        if pattern.search(names):
            return words
    if item.get("type") == "DevTestConsumption":
        return "prices for developers and testers"
    if not item.get("armSkuName"):
        return "prices without a machine"
    if (decimal_of(item.get("tierMinimumUnits", 0)) or 0) > 0:
        return "prices of higher tiers"
    if decimal_of(item.get("retailPrice", "")) == 0:
        return "prices of nought"
    return ""


def _fault(item: dict[str, Any]) -> tuple[Reason, str] | None:
    """Return why an item cannot be read, and what that is about; None where it can."""
    for key in _NEEDED:
        if not isinstance(item.get(key), str):
            return MISSING_COLUMN, key
    if item["type"] == "Reservation":
        term = str(item.get("reservationTerm", ""))
        return None if term.lower() in _TERMS else (TERM_UNKNOWN, f"reservationTerm {term!r}")
    if not _UNIT.fullmatch(item["unitOfMeasure"].strip()):
        return UNIT_UNKNOWN, f"unitOfMeasure {item['unitOfMeasure']!r}"
    return None


def _option(item: dict[str, Any]) -> tuple[str, str]:
    """Return purchase option and term of an item."""
    if item["type"] == "Reservation":
        return "reserved", _TERMS[item["reservationTerm"].lower()][0]
    is_spot = any("Spot" in str(item.get(key, "")) for key in ("meterName", "skuName"))
    return ("spot" if is_spot else "on_demand"), ""


def _hours(item: dict[str, Any]) -> int:
    """Return for how many hours the price of an item is; a reservation's is for its term."""
    if item["type"] == "Reservation":
        return _TERMS[item["reservationTerm"].lower()][1] * int(HOURS_PER_YEAR)
    unit = _UNIT.fullmatch(item["unitOfMeasure"].strip())
    assert unit is not None
    return int(unit[1])


def _offer(item: dict[str, Any]) -> tuple[str, ...]:
    """Return what tells an offer from others, and currencies apart."""
    return (
        item["armRegionName"],
        item["armSkuName"],
        *_option(item),
        str(item.get("currencyCode")),
    )


def _start(item: dict[str, Any]) -> str:
    return str(item.get("effectiveStartDate", ""))


def _newest_starts(items: list[Entry]) -> dict[tuple[str, ...], str]:
    """Return since when the newest price of each offer is in force."""
    newest: dict[tuple[str, ...], str] = {}
    for entry in items:
        item = entry.values
        if not _left_out_as(item) and not _fault(item):
            offer = _offer(item)
            newest[offer] = max(newest.get(offer, ""), _start(item))
    return newest
