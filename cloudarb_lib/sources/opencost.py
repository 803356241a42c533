"""Prices for OpenCost and Kubecost: the CSV of prices by node (AssetClass, MarketPriceHourly).

A row prices a machine where it names its type; a row that names one node of a cluster, a volume or
the GPU of a label does not. The provider is told by the id of the node, else by the machines.

References
----------
https://opencost.io/docs/configuration/on-prem
"""

from __future__ import annotations

from collections import Counter

from cloudarb_lib.sources.base import Parsed, Reason, UnreadRow
from cloudarb_lib.sources.csv_catalogue import CatalogueLines, CsvCatalogue
from cloudarb_lib.sources.machine_patterns import (
    PROVIDER_UNSTATED,
    provider_by_machines,
    provider_by_name,
)
from cloudarb_lib.sources.names.providers import provider_of_node
from cloudarb_lib.sources.rows import CatalogueTables, Price

MACHINE_UNSTATED = Reason(
    "machine_unstated",
    "is a node whose type of machine is not told",
    "fill in its column InstanceType",
)
TYPE_LABEL = "node.kubernetes.io/instance-type"
"""Label of a node that names its type of machine."""
Row = dict[str, str]


class OpenCostPrices(CsvCatalogue):
    """What machines of a cluster cost by the hour."""

    name = "opencost-prices"
    marks = frozenset({"AssetClass", "InstanceIDField", "MarketPriceHourly"})
    numbers = frozenset({"MarketPriceHourly"})
    texts = frozenset({"EndTimestamp", "InstanceID", "Region", "InstanceType", "Version"})

    def parse(self, piece: CatalogueLines) -> Parsed:
        unread: list[UnreadRow] = []
        left_out: Counter[str] = Counter()
        nodes = []
        for line, row in piece.rows(unread):
            if row["AssetClass"].lower() != "node":
                left_out[row["AssetClass"].lower() or "without a class"] += 1
            elif not _machine(row):
                subject = f"InstanceID {row.get('InstanceID', '')!r}"
                unread.append(UnreadRow(line, MACHINE_UNSTATED, subject, str(row)))
            else:
                nodes.append((line, row))
        named = provider_by_machines({_machine(row) for _, row in nodes})
        named = named or provider_by_name(piece.path)
        has_times = bool(nodes) and all(row.get("EndTimestamp") for _, row in nodes)
        rows = CatalogueTables()
        for line, row in nodes:
            provider = provider_of_node(row.get("InstanceID", "")) or named
            if not provider:
                subject = f"machine {_machine(row)!r}"
                unread.append(UnreadRow(line, PROVIDER_UNSTATED, subject, str(row)))
                continue
            times = (row["EndTimestamp"], row["EndTimestamp"]) if has_times else ()
            rows.add_price(line, self._price(provider, row), *times)
        notices = tuple(
            f"prices of asset class {kind} left out: {count:,}"
            for kind, count in sorted(left_out.items())
        )
        return Parsed(rows.tables(with_times=has_times), unread, notices=notices)

    def _price(self, provider: str, row: Row) -> Price:
        return Price(
            provider=provider,
            region=row.get("Region", ""),
            zone="",
            instance_type=_machine(row),
            purchase_option="on_demand",
            price_usd_per_hour=row["MarketPriceHourly"] or "''",  # no price is a fault here
            source=self.name,
        )


def _machine(row: Row) -> str:
    """Return the type of machine of a row, '' where it tells none."""
    if row.get("InstanceType"):
        return row["InstanceType"]
    return row.get("InstanceID", "") if TYPE_LABEL in row["InstanceIDField"] else ""
