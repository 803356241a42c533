"""EC2's interface as documented, over a few machines: Query requests, XML answers in pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import pandas as pd

from cloudarb_lib.testing.http import Asked, Reply

_REGION_OF_SIGNATURE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/ec2/")
_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass(frozen=True)
class SpotPrice:
    """A change of a spot price."""

    region: str
    zone: str
    zone_id: str
    instance_type: str
    price: str
    time: pd.Timestamp
    product: str = "Linux/UNIX"

    @property
    def series(self) -> tuple[str, str, str]:
        """What the price is of, in its region."""
        return self.zone_id, self.instance_type, self.product


@dataclass
class Ec2:
    """Answers DescribeRegions, DescribeSpotPriceHistory, -InstanceTypeOfferings and -InstanceTypes.

    Parameters
    ----------
    prices : iterable of SpotPrice
        All changes ever.
    offerings : dict of str to list of (str, str)
        By region: machine and zone id.
    machines : dict of str to str
        XML of what is said of a machine, by its name; sold in each region.
    refused : dict of str to str
        Code of the error, by region.
    most_rows : int
        Rows of a page, whatever is asked for.
    """

    prices: Iterable[SpotPrice] = ()
    offerings: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    most_rows: int = 1000

    def __call__(self, asked: Asked) -> Reply:
        """Answer a request that is signed; a signature says for which region."""
        words = dict(parse_qsl(asked.body.decode()))
        signed = _REGION_OF_SIGNATURE.search(asked.headers.get("authorization", ""))
        if signed is None:
            return _error(401, "AuthFailure")
        region = signed[1]
        if region in self.refused:
            return _error(403, self.refused[region])
        action = words["Action"]
        if action == "DescribeRegions":
            names = sorted({*self._regions(), *self.refused})
            items = [f"<regionName>{name}</regionName>" for name in names]
            return _answer(action, "regionInfo", items, "")
        rows = {
            "DescribeSpotPriceHistory": self._history,
            "DescribeInstanceTypeOfferings": self._offerings,
            "DescribeInstanceTypes": self._machines,
        }[action](region, words)
        name = {
            "DescribeSpotPriceHistory": "spotPriceHistorySet",
            "DescribeInstanceTypeOfferings": "instanceTypeOfferingSet",
            "DescribeInstanceTypes": "instanceTypeSet",
        }[action]
        begin = int(words.get("NextToken", "0").removeprefix("from-"))
        end = begin + min(self.most_rows, int(words.get("MaxResults", "1000")))
        token = f"from-{end}" if end < len(rows) else ""
        return _answer(action, name, rows[begin:end], token)

    def _regions(self) -> set[str]:
        return {price.region for price in self.prices} | set(self.offerings)

    def _history(self, region: str, words: Mapping[str, str]) -> list[str]:
        """Return the changes from StartTime to EndTime, newest first, and those in force then."""
        start = pd.Timestamp(words["StartTime"])
        end = pd.Timestamp(words.get("EndTime", "2100-01-01T00:00:00Z"))
        product = words.get("ProductDescription.1")
        machine = words.get("InstanceType.1")
        chosen = []
        in_force: dict[tuple[str, str, str], SpotPrice] = {}
        for price in sorted(self.prices, key=lambda price: price.time):
            is_other = product not in (None, price.product) or machine not in (
                None,
                price.instance_type,
            )
            if price.region != region or is_other or price.time > end:
                continue
            if price.time < start:
                in_force[price.series] = price
            else:
                chosen.append(price)
        rows = [*in_force.values(), *chosen]
        return [
            f"<instanceType>{price.instance_type}</instanceType>"
            f"<productDescription>{escape(price.product)}</productDescription>"
            f"<spotPrice>{price.price}</spotPrice>"
            f"<timestamp>{price.time:%Y-%m-%dT%H:%M:%S.000Z}</timestamp>"
            f"<availabilityZone>{price.zone}</availabilityZone>"
            f"<availabilityZoneId>{price.zone_id}</availabilityZoneId>"
            for price in reversed(rows)
        ]

    def _offerings(self, region: str, words: Mapping[str, str]) -> list[str]:
        kind = words["LocationType"]
        return [
            f"<instanceType>{machine}</instanceType>"
            f"<locationType>{kind}</locationType>"
            f"<location>{zone}</location>"
            for machine, zone in self.offerings.get(region, [])
        ]

    def _machines(self, region: str, words: Mapping[str, str]) -> list[str]:
        return [
            f"<instanceType>{name}</instanceType>{described}"
            for name, described in self.machines.items()
        ]


def _answer(action: str, name: str, items: list[str], token: str) -> Reply:
    rows = "".join(f"<item>{item}</item>" for item in items)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{_NAMESPACE}">'
        f"<requestId>r</requestId><{name}>{rows}</{name}><nextToken>{token}</nextToken>"
        f"</{action}Response>"
    )
    return Reply(body.encode(), headers={"content-type": "text/xml;charset=UTF-8"})


def _error(status: int, code: str) -> Reply:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{code}</Code><Message>not for you</Message></Error></Errors>"
        "<RequestID>r</RequestID></Response>"
    )
    return Reply(body.encode(), status, {"content-type": "text/xml;charset=UTF-8"})
