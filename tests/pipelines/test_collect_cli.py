"""The verbs of live prices, over HTTP on loopback."""

from __future__ import annotations

import gzip

import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, write_text
from cloudarb_lib.testing.http import Reply, ServerThread
from cloudarb_lib.testing.services import AzurePrices
from pipelines.cli import main
from pipelines.exit_codes import DATA, DONE, NOT_ACCEPTABLE

pytestmark = pytest.mark.slow

ITEM = {
    "currencyCode": "USD",
    "tierMinimumUnits": 0.0,
    "retailPrice": 0.5,
    "armRegionName": "eastus",
    "effectiveStartDate": "2026-01-01T00:00:00Z",
    "meterName": "D2s v5",
    "skuName": "D2s v5",
    "productName": "Virtual Machines Dsv5 Series",
    "serviceName": "Virtual Machines",
    "unitOfMeasure": "1 Hour",
    "type": "Consumption",
    "armSkuName": "Standard_D2s_v5",
}


@pytest.fixture
def service():
    """Answers like Azure, unless a test puts another answer into the list."""
    replies = []
    prices = AzurePrices([ITEM])
    with ServerThread(lambda asked: replies.pop(0) if replies else prices(asked)) as server:
        server.replies = replies
        yield server


@pytest.fixture
def verb(tmp_path, service):
    """A call carries out a verb on the store of the test."""

    def call(*words, ask=False):
        where = ["--endpoint", f"azure-retail-prices={service.url}"] if ask else []
        return main([*words, *where, "--store", str(tmp_path / "store")])

    return call


COLLECT = ("collect", "--provider", "azure-retail-prices", "--region", "eastus")


def test_a_cycle_stores_prices_and_prints_the_summary(tmp_path, verb, capsys):
    assert verb(*COLLECT, ask=True) == DONE
    shown = capsys.readouterr().out
    assert "azure-retail-prices" in shown
    assert "not yet verified" in shown
    with open_snapshot(tmp_path / "store") as snapshot:
        assert list(snapshot.table("price_events")["price_usd_per_hour"]) == [0.5]
    assert (tmp_path / "store.live" / "metrics.prom").exists()
    # another store is filled from what was kept
    assert verb("replay", "--into", str(tmp_path / "again")) == DONE
    assert "1 answers, 1 rows: changed 1" in capsys.readouterr().out
    with open_snapshot(tmp_path / "again") as snapshot:
        assert list(snapshot.table("price_events")["price_usd_per_hour"]) == [0.5]


def test_what_fails_is_listed_retried_and_dropped(verb, service, capsys):
    service.replies.append(Reply(status=403))
    assert verb(*COLLECT, ask=True) == DATA
    assert verb("deadletter", "list") == DONE
    listed = capsys.readouterr().out
    assert "azure-retail-prices eastus, once since" in listed
    assert "-> Check the credentials." in listed
    assert verb("deadletter", "retry", "7", ask=True) == NOT_ACCEPTABLE
    service.replies.append(Reply(status=403))
    assert verb("deadletter", "retry", ask=True) == DONE
    assert "1 open" in capsys.readouterr().out
    assert verb("deadletter", "retry", "1", ask=True) == DONE
    assert "0 open" in capsys.readouterr().out


def test_a_letter_is_dropped(verb, service, capsys):
    service.replies.append(Reply(status=403))
    verb(*COLLECT, ask=True)
    assert verb("deadletter", "drop", "1") == DONE
    assert "0 open" in capsys.readouterr().out


def test_nothing_collected_yet(verb, capsys):
    assert verb("deadletter", "list") == DONE
    assert "nothing was collected yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--once", "--every", "10m"), "exclude each other"),
        (("--every", "5 s"), "no fixed step"),
        (("--provider", "azur"), "did you mean 'azure'"),
        (("--endpoint", "azure=http://x"), "no feed 'azure'"),
        (("--endpoint", "azure-retail-prices=x"), "names no address"),
        (("--since", "yesterday"), "is not a time"),
    ],
)
def test_a_mistake_is_told(verb, capsys, words, fault):
    assert verb("collect", *words) == NOT_ACCEPTABLE
    assert fault in capsys.readouterr().err


def test_a_price_is_traced_to_the_bytes_that_told_it(tmp_path, verb, capsys):
    verb(*COLLECT, ask=True)
    capsys.readouterr()
    assert verb("trace", "azure/eastus//Standard_D2s_v5/on_demand/") == DONE
    shown = capsys.readouterr().out
    assert shown.startswith("0.5 USD/h from ")
    path = shown.splitlines()[1].partition(", line ")[0]
    with gzip.open(path) as kept:
        assert b'"Standard_D2s_v5"' in kept.read()
    assert "price_usd_per_hour 0.5" in shown
    assert verb("trace", "azure/westus//Standard_D2s_v5/on_demand/") == NOT_ACCEPTABLE


@pytest.mark.parametrize("words", ["azure", "azure/eastus//m/on_demand", "a/b/c/d/e/f/g"])
def test_what_is_no_offer_is_said(words, verb, capsys):
    verb(*COLLECT, ask=True)
    assert verb("trace", words) == NOT_ACCEPTABLE
    assert "is no offer" in capsys.readouterr().err


def test_a_price_of_no_kept_answer_names_its_record(tmp_path, verb, capsys):
    own = write_text(tmp_path / "own.csv", PRICE_HEADER + PRICE_ROW)
    verb("ingest", str(own))
    assert verb("trace", "gcp/us-east1//n2-standard-4/spot/") == DONE
    shown = capsys.readouterr().out
    assert "source own" in shown
    assert "no kept answer" in shown


def test_a_converted_price_is_traced_to_its_rate(tmp_path, verb, capsys):
    header = PRICE_HEADER.replace("price_usd_per_hour", "price_eur_per_hour")
    own = write_text(tmp_path / "own.csv", header + PRICE_ROW)
    rates = "currency,usd_per_unit,as_of,source\nEUR,1.2,2026-01-01,ECB\n"
    verb("ingest", str(own), "--fx", str(write_text(tmp_path / "fx.csv", rates)))
    assert "1 in EUR at 1.2 USD (ECB, from 2026-01-01 on, fx.csv)" in capsys.readouterr().out
    assert verb("trace", "gcp/us-east1//n2-standard-4/spot/") == DONE
    assert "  0.05 EUR/h at 1.2 USD (ECB, from 2026-01-01 on, fx.csv)" in capsys.readouterr().out
