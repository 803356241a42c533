"""AWS Price List of EC2 as CSV: on-demand and reserved prices of a region, or of all of them.

References
----------
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html (AWS Price List)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.sources.aws_price_files import PriceFile, offer_code, read_price_file
from cloudarb_lib.sources.base import Match, Parsed, Source, text_table
from cloudarb_lib.sources.rows import PRICE_COLUMNS, SPECIFICATION_COLUMNS

OFFER_CODE = "AmazonEC2"
_COLUMNS = (
    "TermType",
    "Unit",
    "PricePerUnit",
    "Currency",
    "LeaseContractLength",
    "PurchaseOption",
    "OfferingClass",
    "Product Family",
    "Location Type",
    "Instance Type",
    "vCPU",
    "Memory",
    "Tenancy",
    "Operating System",
    "License Model",
    "CapacityStatus",
    "GPU",
    "MarketOption",
    "Pre Installed S/W",
    "Region Code",
)
# What a plain Linux machine of a region says; columns that older lists lack are empty.
_PLAIN_LINUX: Final[dict[str, tuple[str, ...]]] = {
    "Product Family": ("Compute Instance", "Compute Instance (bare metal)"),
    "Location Type": ("AWS Region",),
    "Tenancy": ("Shared",),
    "Operating System": ("Linux",),
    "License Model": ("No License required", "NA", ""),
    "CapacityStatus": ("Used", ""),
    "MarketOption": ("OnDemand", ""),
    "Pre Installed S/W": ("NA", ""),
}
_TERMS = {"1yr": "1y", "1 yr": "1y", "3yr": "3y", "3 yr": "3y"}
_YEARS = {"1y": 1, "3y": 3}
_PAYMENTS = ("No Upfront", "Partial Upfront", "All Upfront")
_CLASSES = ("standard", "convertible")
_PREFERENCE = [(of_class, payment) for of_class in _CLASSES for payment in _PAYMENTS]
"""Which reserved price stands for a machine, the first that is sold."""


@dataclass
class Reservation:
    """One way to reserve a machine: what it costs an hour and at once, as the list writes them.

    Parameters
    ----------
    line : int
        Of its first row in the list.
    currency : str
        Of both.
    hourly, upfront : str
        '' where the list has no such row.
    """

    line: int
    currency: str
    hourly: str = ""
    upfront: str = ""

    def price_per_hour(self, years: int) -> str:
        """Return hourly price and upfront payment as one price per hour of the term.

        What is no number stays as written, for the store to judge.
        """
        try:
            hours = Decimal(round(HOURS_PER_YEAR)) * years
            return str(Decimal(self.hourly or "0") + Decimal(self.upfront or "0") / hours)
        except InvalidOperation:
            return f"{self.hourly} + {self.upfront}"


class AwsPriceList(Source[PriceFile]):
    """On-demand and reserved prices of AWS: shared tenancy, Linux without added software.

    A machine has one reserved price a term: the standard offering without upfront payment, else
    with partial, else with whole upfront payment, spread over the hours of the term; else the same
    of the convertible offering. Times are those of the list's publication. Machines without a GPU
    bring their specification; the list does not name the models of GPUs.
    """

    name = "aws-price-list"

    def recognises(self, head: bytes) -> Match:
        return Match.OWN if offer_code(head) == OFFER_CODE else Match.NO

    def fetch(self, path: Path) -> Iterator[PriceFile]:
        yield read_price_file(path, OFFER_CODE, _COLUMNS, _PLAIN_LINUX)

    def parse(self, piece: PriceFile) -> Parsed:
        rows = piece.rows.to_pylist()
        prices = [_on_demand(row) for row in rows if row["TermType"] == "OnDemand"]
        prices += _reserved([row for row in rows if row["TermType"] == "Reserved"])
        tables = {
            "price_events": text_table(PRICE_COLUMNS, prices),
            "instances": _specifications(rows),
        }
        return Parsed(tables, [], notices=piece.notices, seen_at=piece.published)


def _on_demand(row: dict[str, Any]) -> tuple[object, ...]:
    price = row["PricePerUnit"] if row["Unit"] == "Hrs" else f"{row['PricePerUnit']} {row['Unit']}"
    return _price(row, "on_demand", "", row["Currency"], price, row["line_read"])


def _price(
    row: dict[str, Any], option: str, term: str, currency: str, price: str, line: int
) -> tuple[object, ...]:
    # an empty price is a fault of the list, not a withdrawn offer
    return (
        "aws",
        row["Region Code"],
        "",
        row["Instance Type"],
        option,
        term,
        currency,
        price or "''",
        AwsPriceList.name,
        line,
    )


def _reserved(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Return the one price of each machine and term."""
    ways: dict[tuple[str, str, str], dict[tuple[str, str], Reservation]] = {}
    machines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        term = _TERMS.get(row["LeaseContractLength"], row["LeaseContractLength"])
        offer = (row["Region Code"], row["Instance Type"], term)
        machines.setdefault(offer, row)
        way = (row["OfferingClass"], row["PurchaseOption"])
        reservation = ways.setdefault(offer, {}).setdefault(
            way, Reservation(row["line_read"], row["Currency"])
        )
        if row["Unit"] == "Hrs":
            reservation.hourly = row["PricePerUnit"]
        else:
            reservation.upfront = row["PricePerUnit"]
    prices = []
    for offer, reservations in ways.items():
        term = offer[2]
        known = [reservations[way] for way in _PREFERENCE if _is_whole(reservations, way)]
        if known and term in _YEARS:
            best = known[0]
            price = best.price_per_hour(_YEARS[term])
            prices.append(
                _price(machines[offer], "reserved", term, best.currency, price, best.line)
            )
    return prices


def _is_whole(reservations: dict[tuple[str, str], Reservation], way: tuple[str, str]) -> bool:
    """Tell whether a way to pay is sold, with all that it costs."""
    reservation = reservations.get(way)
    if reservation is None:
        return False
    needs_upfront = way[1] != "No Upfront"
    has_hourly = bool(reservation.hourly) or way[1] == "All Upfront"
    return has_hourly and bool(reservation.upfront) >= needs_upfront


def _specifications(rows: list[dict[str, Any]]) -> pa.Table:
    """Return vCPUs and memory of the machines that have no GPU."""
    machines: dict[str, tuple[object, ...]] = {}
    for row in rows:
        memory, _, unit = row["Memory"].replace(",", "").partition(" ")
        if row["GPU"] in ("", "NA", "0") and unit == "GiB":
            name = row["Instance Type"]
            machines.setdefault(name, ("aws", name, row["vCPU"], memory, "0", row["line_read"]))
    return text_table(SPECIFICATION_COLUMNS, list(machines.values()))
