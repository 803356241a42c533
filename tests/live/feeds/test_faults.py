"""Each protocol with faults on the wire, through whole cycles: rows and summary are true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.live import collect
from cloudarb_lib.live.archives import archive_of
from cloudarb_lib.live.feeds import catalogues
from cloudarb_lib.live.feeds.aws_ec2 import AwsSpot
from cloudarb_lib.live.feeds.azure import AzureRetailPrices
from cloudarb_lib.live.feeds.catalogues import GpuhuntCatalog
from cloudarb_lib.live.feeds.gcp import API_KEY, GcpSkus
from cloudarb_lib.sources.json_files import documents_in
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing.ec2 import Ec2, SpotPrice
from cloudarb_lib.testing.feeds import served
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.live import QUICK
from cloudarb_lib.testing.services import AzurePrices, Files, GcpListing

NOW = pd.Timestamp("2026-06-01T12:00Z")
LATER = NOW + pd.Timedelta(hours=12)
FIXTURES = Path(__file__).parents[2] / "sources" / "fixtures"
LIMITS = replace(QUICK, timeout_s=1.0)
WANTED = {
    "azure": collect.Wanted(regions=("eastus",)),
    "aws": collect.Wanted(regions=("us-east-1",)),
    "gcp": collect.Wanted(environment={API_KEY: "a-key"}),
    "gpuhunt": collect.Wanted(),
}
FEEDS = {
    "azure": AzureRetailPrices(),
    "aws": AwsSpot(),
    "gcp": GcpSkus(),
    "gpuhunt": GpuhuntCatalog(),
}


def azure_item(number):
    return {
        "currencyCode": "USD",
        "retailPrice": number / 10,
        "armRegionName": "eastus",
        "meterId": f"meter-{number}",
        "meterName": f"D{number}s v5",
        "productName": "Virtual Machines Dsv5 Series",
        "skuName": f"D{number}s v5",
        "serviceName": "Virtual Machines",
        "armSkuName": f"Standard_D{number}s_v5",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
    }


def service_of(name):
    """Return a service with several pages, where it has pages."""
    if name == "azure":
        return AzurePrices([azure_item(number) for number in range(2, 252)], page_items=100)
    if name == "aws":
        return Ec2(
            [
                SpotPrice("us-east-1", "us-east-1a", "use1-az6", f"m{k}.large", f"0.{k}", NOW)
                for k in range(1, 8)
            ],
            most_rows=3,
        )
    if name == "gcp":
        path = FIXTURES / "gcp-skus" / "good.json"
        pages = documents_in(path, name="catalogue", way_out="")
        skus = [sku for page in pages for sku in page["skus"]]
        return GcpListing(skus, page_items=-(-len(skus) // 3))
    rows = (FIXTURES / "gpuhunt-catalog" / "good_v2.csv").read_bytes()
    content = archive_of("gcp.csv", rows)
    return Files({"/gcp/version": "20260530-1", "/gcp/20260530-1/catalog.zip": content})


class Faulty:
    """Puts faults before the answers of a service.

    Parameters
    ----------
    service : callable
        What answers.
    fault : callable
        Makes of a good reply the one that is sent.
    at : int
        At which request the faults begin.
    times : int
        How many there are.
    """

    def __init__(self, service, fault=None, *, at=1, times=1):
        self.service = service
        self.fault = fault
        self.faulty = range(at, at + times)
        self.asked = 0
        self.address = ""

    def __call__(self, asked):
        if hasattr(self.service, "address"):
            self.service.address = self.address
        reply = self.service(asked)
        is_faulty = self.fault is not None and self.asked in self.faulty
        self.asked += 1
        return self.fault(reply) if is_faulty else reply


@pytest.fixture(autouse=True)
def _places(monkeypatch):
    """Let the key of AWS be in its place, and gpuhunt's catalogue hold one provider."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setattr(catalogues, "GPUHUNT_PROVIDERS", ("gcp",))


def cycle(folder, name, answer, now=NOW, endpoint=""):
    """Carry out a cycle of one feed; return its summary, the report and what is stored."""
    feed = FEEDS[name]
    with (
        served(answer) as url,
        collect.opened(
            folder / "store", [feed], clock=lambda: now, limits=lambda _: LIMITS
        ) as collector,
    ):
        wanted = replace(WANTED[name], endpoints={feed.name: endpoint or url})
        report = collector.cycle(wanted)
    return report.feeds[0], report, prices(folder) if report.digest else None


def prices(folder):
    with open_snapshot(folder / "store") as snapshot:
        events = snapshot.table("price_events").drop(columns=["offer_count"])
    return sorted(events.itertuples(index=False, name=None), key=str)


@pytest.fixture(scope="module")
def true_prices(tmp_path_factory):
    """A call gives what a service without faults comes to."""
    known = {}

    def read(name):
        if name not in known:
            known[name] = cycle(tmp_path_factory.mktemp(name), name, Faulty(service_of(name)))[2]
        return known[name]

    return read


PASSING = {
    "429": lambda reply: Reply(b"busy", 429, {"retry-after": "0"}),
    "500": lambda reply: Reply(b"oops", 500),
    "silent": lambda reply: replace(reply, wait_s=1.5),
    "cut body": lambda reply: replace(reply, cut_at=len(reply.body) // 2),
    "reset in mid-body": lambda reply: replace(reply, cut_at=len(reply.body) // 2, reset=True),
    "reset at once": lambda reply: replace(reply, cut_at=0, reset=True),
}
IN_LISTINGS = {
    "truncated answer": lambda reply: replace(reply, body=reply.body[: len(reply.body) // 2]),
    "wrong content": lambda reply: Reply(b"<html>", 200, {"content-type": "text/html"}),
    "empty answer": lambda reply: replace(reply, body=b""),
}
CASES = [
    *[(name, fault) for name in FEEDS for fault in PASSING],
    *[(name, fault) for name in ("azure", "aws", "gcp") for fault in IN_LISTINGS],
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), CASES)
def test_a_fault_that_passes_changes_no_row(name, fault, tmp_path, true_prices):
    answer = Faulty(service_of(name), (PASSING | IN_LISTINGS)[fault], times=2)
    summary, report, stored = cycle(tmp_path, name, answer)
    assert stored == true_prices(name)
    assert (summary.failed, summary.held, summary.withheld) == (0, 0, 0)
    assert summary.retries == 2
    assert summary.rows == summary.changed + summary.unchanged
    assert (report.failures, summary.breaker) == ([], "closed")


LASTING = {
    "500 for ever": PASSING["500"],
    "expired credentials": lambda reply: Reply(b"{}", 403),
    "cut for ever": PASSING["cut body"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEEDS)
@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_stays_keeps_what_is_stored_and_is_told(name, fault, tmp_path, true_prices):
    cycle(tmp_path, name, Faulty(service_of(name)))
    answer = Faulty(service_of(name), LASTING[fault], times=1000)
    summary, report, stored = cycle(tmp_path, name, answer, LATER)
    assert (summary.parts, summary.failed) == (1, 1)
    assert len(report.failures) == 1
    offers = [row[:6] for row in true_prices(name)]
    assert sorted({row[:6] for row in stored}) == sorted(set(offers))
    assert not any(pd.isna(row[7]) for row in stored)  # nothing was withdrawn


@pytest.mark.slow
@pytest.mark.parametrize("name", FEEDS)
def test_a_host_that_is_not_there_is_told(name, tmp_path):
    answer = Faulty(service_of(name))
    summary, report, _ = cycle(tmp_path, name, answer, endpoint="http://nowhere.invalid")
    assert summary.failed == summary.parts == 1
    assert "nowhere.invalid" in report.failures[0] or "EC2" in report.failures[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["azure", "gcp"])
def test_a_page_that_comes_twice_or_a_circle_vouches_for_its_rows_alone(name, tmp_path):
    cycle(tmp_path, name, Faulty(service_of(name)))
    service = service_of(name)
    replies = []

    def answer(asked):
        """Give the first page for ever."""
        if hasattr(service, "address"):
            service.address = answer.address
        replies.append(service(asked))
        return replies[0]

    answer.address = ""
    summary, report, stored = cycle(tmp_path, name, answer, LATER)
    assert (summary.parts, summary.failed) == (1, 1)
    assert "not whole" in report.failures[0]
    assert not any(pd.isna(row[7]) for row in stored)


@pytest.mark.chaos("clock jump", "collect")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["azure", "gcp", "gpuhunt"])
def test_a_clock_that_is_off_is_told_and_changes_no_row(name, tmp_path, true_prices):
    def two_days_ahead(reply):
        return replace(reply, headers={**reply.headers, "date": "Wed, 03 Jun 2026 12:00:00 GMT"})

    answer = Faulty(service_of(name), two_days_ahead, at=0, times=1000)
    summary, report, stored = cycle(tmp_path, name, answer)
    assert stored == true_prices(name)
    assert summary.failed == 0
    assert any("its clock is +172,800 s beside ours" in notice for notice in report.notices)


@pytest.mark.slow
def test_an_archive_that_ends_early_is_refused_whole_and_kept(tmp_path):
    answer = Faulty(service_of("gpuhunt"), IN_LISTINGS["truncated answer"])
    summary, report, _ = cycle(tmp_path, "gpuhunt", answer)
    assert (summary.parts, summary.failed, summary.withheld) == (1, 0, 1)
    assert summary.changed == 0
    assert len(report.failures) == 1
    summary, _, stored = cycle(tmp_path, "gpuhunt", Faulty(service_of("gpuhunt")), LATER)
    assert (summary.failed, summary.withheld) == (0, 0)
    assert stored
