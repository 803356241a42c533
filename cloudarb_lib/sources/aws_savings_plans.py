"""AWS Compute Savings Plans as CSV: what an hour costs under a commitment of one or three years.

References
----------
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html (AWS Price List)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cloudarb_lib.sources.aws_price_files import PriceFile, offer_code, read_price_file
from cloudarb_lib.sources.base import Match, Parsed, Source, text_table
from cloudarb_lib.sources.rows import PRICE_COLUMNS

OFFER_CODE = "AmazonComputeSavingsPlan"
_COLUMNS = (
    "Unit",
    "DiscountedRate",
    "Currency",
    "DiscountedServiceCode",
    "DiscountedUsageType",
    "DiscountedOperation",
    "PurchaseOption",
    "LeaseContractLength",
    "LeaseContractLengthUnit",
    "Product Family",
    "DiscountedRegionCode",
    "DiscountedInstanceType",
)
_LINUX: Final[dict[str, tuple[str, ...]]] = {
    "Unit": ("Hrs",),
    "DiscountedServiceCode": ("AmazonEC2",),
    "DiscountedOperation": ("RunInstances",),  # other systems have codes: RunInstances:0002
    "LeaseContractLengthUnit": ("year",),
    "LeaseContractLength": ("1", "3"),
}
_PLANS = ("EC2InstanceSavingsPlans", "ComputeSavingsPlans")
_PAYMENTS = ("No Upfront", "Partial Upfront", "All Upfront")
_PREFERENCE = [(plan, payment) for plan in _PLANS for payment in _PAYMENTS]
"""Which plan's price stands for a machine, the first that is sold."""
_SHARED_TENANCY = re.compile(r"([A-Z0-9]+-)?BoxUsage:")
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")


class AwsSavingsPlans(Source[PriceFile]):
    """Prices of AWS under a Savings Plan: option reserved, shared tenancy, Linux.

    Terms are ``1y-plan`` and ``3y-plan``: the price list's reserved prices are other offers. A
    machine has one price a term: that of the EC2 Instance Savings Plan (bound to its family and
    region) without upfront payment, else with partial, else with whole; else the same of the
    Compute Savings Plan. Rates hold upfront payments already.
    """

    name = "aws-savings-plans"

    def recognises(self, head: bytes) -> Match:
        return Match.OWN if offer_code(head) == OFFER_CODE else Match.NO

    def fetch(self, path: Path) -> Iterator[PriceFile]:
        yield read_price_file(path, OFFER_CODE, _COLUMNS, _LINUX)

    def parse(self, piece: PriceFile) -> Parsed:
        best: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
        for row in piece.rows.to_pylist():
            way = (row["Product Family"], row["PurchaseOption"])
            is_shared = _SHARED_TENANCY.match(row["DiscountedUsageType"])
            if way not in _PREFERENCE or not is_shared:
                continue
            region = row["DiscountedRegionCode"]
            if not _REGION.fullmatch(region):  # a local zone
                continue
            term = f"{row['LeaseContractLength']}y-plan"
            offer = (region, row["DiscountedInstanceType"], term)
            rank = _PREFERENCE.index(way)
            if offer not in best or rank < best[offer][0]:
                best[offer] = (rank, row)
        prices = [_price(*offer, row) for offer, (_, row) in best.items()]
        return Parsed(
            {"price_events": text_table(PRICE_COLUMNS, prices)},
            [],
            notices=piece.notices,
            seen_at=piece.published,
        )


def _price(region: str, machine: str, term: str, row: dict[str, Any]) -> tuple[object, ...]:
    price = row["DiscountedRate"] or "''"  # an empty price is a fault of the list
    return (
        "aws",
        region,
        "",
        machine,
        "reserved",
        term,
        row["Currency"],
        price,
        AwsSavingsPlans.name,
        row["line_read"],
    )
