"""On-demand prices of AWS and Azure as Karpenter publishes them: its generated tables in Go.

The bundled history of both was read from the versions of these files, so a newer one carries that
record on. A table shows the regions that it names whole, at the time when it was generated. Prices
of AWS in China are in CNY. At times the table of Azure has the price of another operating system.

References
----------
https://github.com/aws/karpenter-provider-aws (pkg/providers/pricing/zz_generated.pricing_aws.go)
https://github.com/Azure/karpenter-provider-azure (pkg/providers/pricing/zz_generated.pricing.go)
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import PIECE_ROWS, Match, Parsed, Scope, Source, open_text
from cloudarb_lib.sources.rows import CatalogueTables, Price

_PACKAGE = re.compile(rb"(?m)^package pricing\s*$")
_VARIABLE = re.compile(rb"(?i)initialOnDemandPrices")
_GENERATED = re.compile(r"// generated at (\S+?Z)(?: for ([\w-]+))?\s*")
_REGION = re.compile(
    r'(?:"(?P<member>[\w-]+)": *(?:map\[[^\]]*\]float64)?|'
    r'\w+\["(?P<entry>[\w-]+)"\] *= *map\[string\]float64) *\{'
)
_PRICE = re.compile(r'"([^"{}]+)": *(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*,')


@dataclass(frozen=True)
class PriceLine:
    """A price in a table: its line, region and machine, and the price as it is written."""

    line: int
    region: str
    machine: str
    price: str


@dataclass(frozen=True)
class KarpenterPiece:
    """Prices of a table, when it was generated, and which regions it shows whole."""

    prices: list[PriceLine]
    generated_at: str
    whole_regions: tuple[str, ...] = ()


class _KarpenterTable(Source[KarpenterPiece]):
    """A generated table of prices by region and machine."""

    first_price: ClassVar[re.Pattern[bytes]]
    """How a price of a machine of the provider is written."""

    def recognises(self, head: bytes) -> Match:
        is_table = _PACKAGE.search(head) and _VARIABLE.search(head)
        return Match.OWN if is_table and self.first_price.search(head) else Match.NO

    def fetch(self, path: Path) -> Iterator[KarpenterPiece]:
        """Read the table line by line; it is whole where the file ends behind its last brace."""
        generated_at = ""
        region = ""
        regions: dict[str, None] = {}
        prices: list[PriceLine] = []
        last = ""
        with open_text(path) as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                last = text or last
                if generated := _GENERATED.match(text):
                    generated_at = generated[1]
                    region = generated[2] or region
                elif begins := _REGION.match(text):
                    region = begins["member"] or begins["entry"]
                elif not text.startswith("//"):
                    for machine, price in _PRICE.findall(text):
                        prices.append(PriceLine(number, region, machine, price))
                        regions[region] = None
                if len(prices) >= PIECE_ROWS:
                    yield KarpenterPiece(prices, generated_at)
                    prices = []
        if not generated_at or not regions or "" in regions:
            what = "it is no generated table of prices with its time and regions."
            raise DataError(what, "Download it again.")
        yield KarpenterPiece(prices, generated_at, tuple(regions) if last == "}" else ())

    def parse(self, piece: KarpenterPiece) -> Parsed:
        rows = CatalogueTables()
        for entry in piece.prices:
            rows.add_price(
                entry.line,
                Price(
                    provider=self.name,
                    region=entry.region,
                    zone="",
                    instance_type=entry.machine,
                    purchase_option="on_demand",
                    currency=self.currency(entry.region),
                    price_usd_per_hour=entry.price,
                    source=self.name,
                ),
            )
        whole = tuple(Scope(self.name, region, "on_demand") for region in piece.whole_regions)
        return Parsed(rows.tables(), [], whole=whole, seen_at=piece.generated_at)

    @abstractmethod
    def currency(self, region: str) -> str:
        """Return the currency of the prices of a region."""


class KarpenterAws(_KarpenterTable):
    """On-demand prices of AWS machines under Linux."""

    name = "aws"
    first_price = re.compile(rb'"[a-z][\w-]*\.[\w-]+": *\d')

    def currency(self, region: str) -> str:
        return "CNY" if region.startswith("cn-") else "USD"


class KarpenterAzure(_KarpenterTable):
    """On-demand prices of Azure machines."""

    name = "azure"
    first_price = re.compile(rb'"(?:Basic|Standard)_[\w-]+": *-?\d')

    def currency(self, region: str) -> str:
        return "USD"
