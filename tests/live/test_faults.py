"""Faults of a real protocol, met in a cycle: the rows that are stored, and what the summary says.

The first cycle stores the prices of two regions of Azure. In the second, both have changed, and
one of the requests for ``eastus`` goes wrong.
"""

from __future__ import annotations

import json
from urllib.parse import quote

import pandas as pd
import pytest

from cloudarb_lib.live import collect
from cloudarb_lib.live.feeds.azure import AzureRetailPrices
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing.http import Reply, ServerThread
from cloudarb_lib.testing.live import QUICK
from cloudarb_lib.testing.services import JSON_TYPE, AzurePrices

pytestmark = pytest.mark.slow

BEGAN = pd.Timestamp("2026-06-01T12:00Z")
MACHINES = [f"Standard_D{2 * k}s_v5" for k in range(1, 13)]
PAGE = 4
TRIES = QUICK.attempts


def item(region, machine, price):
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": region,
        "effectiveStartDate": "2026-01-01T00:00:00Z",
        "meterId": f"{region}-{machine}",
        "meterName": machine,
        "skuName": machine,
        "productName": "Virtual Machines Dsv5 Series",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "priceType": "Consumption",
        "armSkuName": machine,
    }


def page(items, link=None):
    body = {"BillingCurrency": "USD", "CustomerEntityType": "Retail", "Items": items}
    return json.dumps(body | {"NextPageLink": link, "Count": len(items)}).encode()


class Azure:
    """Retail prices; ``faults`` are given, one after another, to requests about ``eastus``.

    A fault is a Reply, or makes one of the Reply that was due.
    """

    def __init__(self):
        self.prices = {"eastus": 1.0, "westeurope": 2.0}
        self.faults = []
        self.page_to_fail = 0
        self.url = ""

    def answer(self, asked):
        items = [
            item(region, machine, price * (1 + number))
            for region, price in self.prices.items()
            for number, machine in enumerate(MACHINES)
        ]
        service = AzurePrices(items, page_items=PAGE, address=self.url)
        reply = service(asked)
        is_eastus = "armRegionName eq 'eastus'" in asked.query["$filter"]
        is_there = int(asked.query.get("$skip", "0")) == self.page_to_fail
        if self.faults and is_eastus and is_there:
            fault = self.faults.pop(0)
            return fault(reply) if callable(fault) else fault
        return reply


@pytest.fixture
def azure():
    answering = Azure()
    with ServerThread(answering.answer) as server:
        answering.url = server.url
        yield answering


@pytest.fixture
def cycle(tmp_path, azure):
    """A call is one cycle, seven hours after the last, since prices are asked for every six."""
    now = [BEGAN]

    def clock():
        now[0] += pd.Timedelta("1s")
        return now[0]

    def run():
        now[0] += pd.Timedelta("7h")
        wanted = collect.Wanted(
            endpoints={"azure-retail-prices": azure.url}, regions=("eastus", "westeurope")
        )
        with collect.opened(
            tmp_path / "store", [AzureRetailPrices()], clock=clock, limits=lambda _: QUICK
        ) as collector:
            return collector.cycle(wanted)

    return run


def stored(tmp_path):
    """Return by region the prices of each machine in their order, and how many times they are."""
    with open_snapshot(tmp_path / "store") as snapshot:
        events = snapshot.table("price_events").sort_values("observed_at")
    record = {}
    for (region, machine), rows in events.groupby(["region", "instance_type"]):
        record.setdefault(region, {})[machine] = list(rows["price_usd_per_hour"])
    return record


def prices_of(*factors):
    """Return the record of a region whose prices began at these factors."""
    return {
        machine: [factor * (1 + number) for factor in factors]
        for number, machine in enumerate(MACHINES)
    }


def cut(reply, at=0.5, **how):
    return Reply(reply.body, headers=reply.headers, cut_at=int(len(reply.body) * at), **how)


def truncated(reply):
    return Reply(reply.body[: len(reply.body) // 2], headers=reply.headers)


PASSING = {
    "429 with Retry-After": [Reply(status=429, headers={"retry-after": "0"})],
    "500": [Reply(status=500)],
    "503 twice": [Reply(status=503)] * 2,
    "slow body": [lambda reply: Reply(reply.body, headers=JSON_TYPE, pause_s=0.01)],
    "silent": [lambda reply: Reply(reply.body, headers=JSON_TYPE, wait_s=5.0)],
    "truncated JSON": [truncated],
    "cut body": [cut],
    "reset in mid-body": [lambda reply: cut(reply, reset=True)],
    "reset before the body": [lambda reply: cut(reply, at=0.0, reset=True)],
    "wrong content type": [Reply(b"<html>busy</html>", headers={"content-type": "text/html"})],
    "empty page": [lambda _: Reply(page([]), headers=JSON_TYPE)],
    "clock skew": [
        lambda reply: Reply(
            reply.body, headers={**JSON_TYPE, "date": "Mon, 01 Jun 2026 12:00:00 GMT"}
        )
    ],
}
"""Faults that pass when the request is made again, or harm nothing."""
FIRST_PAGE = [item("eastus", machine, 1.1 * (1 + k)) for k, machine in enumerate(MACHINES[:PAGE])]
STAYING = {
    "500 for good": [Reply(status=500)] * TRIES,
    "429 for an hour": [Reply(status=429, headers={"retry-after": "3600"})],
    "truncated JSON for good": [truncated] * TRIES,
    "reset for good": [lambda reply: cut(reply, reset=True)] * TRIES,
    "no longer there": [Reply(status=404)],
    "credentials expired": [Reply(b'{"error": "expired"}', status=401)],
    "repeated page": [lambda reply: Reply(page(FIRST_PAGE, _link(reply)), headers=JSON_TYPE)],
    "a list in place of a page": [Reply(b"[]", headers=JSON_TYPE)],
}
"""Faults that end the fetch of the part."""


CHAOS = {
    "slow body": "stall",
    "silent": "stall",
    "truncated JSON": "lossy wire",
    "cut body": "lossy wire",
    "reset in mid-body": "lossy wire",
    "reset before the body": "lossy wire",
    "clock skew": "clock jump",
    "truncated JSON for good": "lossy wire",
    "reset for good": "lossy wire",
}
"""Those that make chaos counts, by what befell the wire or the clock."""


def cases(faults):
    """Return the names of faults as parameters of a test."""
    return [
        pytest.param(
            name, marks=[pytest.mark.chaos(CHAOS[name], "collect")] if name in CHAOS else []
        )
        for name in faults
    ]


def _link(reply):
    return json.loads(reply.body)["NextPageLink"]


@pytest.mark.parametrize("fault", cases(PASSING))
def test_a_fault_that_passes_costs_no_row(tmp_path, azure, cycle, fault):
    cycle()
    azure.prices = {"eastus": 1.1, "westeurope": 2.2}
    azure.faults = list(PASSING[fault])
    azure.page_to_fail = PAGE
    report = cycle()
    assert stored(tmp_path) == {"eastus": prices_of(1.0, 1.1), "westeurope": prices_of(2.0, 2.2)}
    (summary,) = report.feeds
    assert (summary.parts, summary.failed) == (2, 0)
    assert (summary.rows, summary.changed, summary.held) == (24, 24, 0)
    assert report.failures == []
    told_off = any("its clock is" in notice for notice in report.notices)
    assert told_off == (fault == "clock skew")
    asks_again = fault not in ("slow body", "clock skew", "empty page")
    assert (summary.retries > 0) == asks_again or fault == "slow body"


@pytest.mark.parametrize("fault", cases(STAYING))
def test_a_fault_that_stays_keeps_the_last_good_prices(tmp_path, azure, cycle, fault):
    cycle()
    azure.prices = {"eastus": 1.1, "westeurope": 2.2}
    azure.faults = list(STAYING[fault])
    azure.page_to_fail = PAGE
    report = cycle()
    record = stored(tmp_path)
    assert record["westeurope"] == prices_of(2.0, 2.2)
    # the page before the fault was seen, the others were not: they are neither new nor withdrawn
    seen = set(MACHINES[:PAGE])
    new = prices_of(1.0, 1.1)
    old = prices_of(1.0)
    assert record["eastus"] == {m: new[m] if m in seen else old[m] for m in MACHINES}
    (summary,) = report.feeds
    assert (summary.parts, summary.failed) == (2, 1)
    assert (summary.rows, summary.changed) == (12 + PAGE, 12 + PAGE)
    assert len(report.failures) == 1
    assert report.failures[0].startswith("azure-retail-prices eastus: ")
    # the next cycle asks again, and all is as if nothing had been
    cycle()
    assert stored(tmp_path) == {"eastus": prices_of(1.0, 1.1), "westeurope": prices_of(2.0, 2.2)}


def test_a_list_that_ends_too_soon_withdraws_nothing(tmp_path, azure, cycle):
    """An empty page is how the list ends, so that it came too soon shows in what is missing."""
    cycle()
    azure.prices = {"eastus": 1.1, "westeurope": 2.2}
    azure.page_to_fail = PAGE
    azure.faults = [lambda _: Reply(page([]), headers=JSON_TYPE)] * 2
    report = cycle()
    (summary,) = report.feeds
    assert (summary.failed, summary.withheld) == (0, 1)
    assert "8 of 12 offers on sale in azure/eastus/on_demand are missing" in report.failures[0]
    record = stored(tmp_path)["eastus"]
    assert record[MACHINES[0]] == prices_of(1.0, 1.1)[MACHINES[0]]
    assert record[MACHINES[-1]] == prices_of(1.0)[MACHINES[-1]]


def test_a_circle_of_links_is_left(tmp_path, azure, cycle):
    cycle()
    azure.prices = {"eastus": 1.1, "westeurope": 2.2}
    azure.page_to_fail = PAGE
    wanted = quote("serviceName eq 'Virtual Machines' and armRegionName eq 'eastus'")
    second = f"{azure.url}/api/retail/prices?$filter={wanted}&$skip={PAGE}"
    items = [item("eastus", machine, 1.1) for machine in MACHINES[PAGE : 2 * PAGE]]
    azure.faults = [lambda _: Reply(page(items, second), headers=JSON_TYPE)] * 2
    report = cycle()
    (summary,) = report.feeds
    assert summary.failed == 1
    assert "it is not whole" in report.failures[0]
    last = MACHINES[-1]
    assert stored(tmp_path)["eastus"][last] == prices_of(1.0)[last]


def test_a_name_that_does_not_resolve_keeps_the_last_good_prices(tmp_path, azure, cycle):
    cycle()
    azure.url = "http://prices.invalid"
    report = cycle()
    (summary,) = report.feeds
    assert (summary.parts, summary.failed, summary.rows) == (2, 2, 0)
    assert not report.anything_fetched
    assert stored(tmp_path) == {"eastus": prices_of(1.0), "westeurope": prices_of(2.0)}
