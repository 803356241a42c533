"""The page for people says what the metrics say, and needs nothing from elsewhere."""

import re

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cloudarb_lib.live.breakers import BreakerState
from cloudarb_lib.live.collect import collection_folder
from cloudarb_lib.live.journal import Journal
from pipelines import cli
from pipelines.events.ledger import Ledger, ledger_file
from pipelines.observe.metrics import Observed, latency
from pipelines.report.observed import write_page
from pipelines.serve import testing
from pipelines.testing import past_run

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2026-05-02T00:00Z")
ALERT = {"rule": "price_change", "subject": "<script>x</script>"}
RISK = pd.DataFrame(
    {
        "measure": ["expected_cost", "var"],
        "level": [None, 0.95],
        "value_usd": [5000.0, 900.0],
        "scope": "total",
    }
)
SCORES = pd.DataFrame(
    {
        "target": "offer",
        "series_group": "all",
        "model": "ensemble",
        "horizon": [1, 4],
        "span": "2026H1",
        "crps_ratio": [0.9, 1.2],
        "pit80": [0.79, 0.6],
        "pit95": [0.95, 0.9],
    }
)


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observed")
    testing.write_store(folder)
    tables = {"risk": RISK, "scores": SCORES}
    book = {"03_allocate": {"seconds": 12.5}}
    past_run(folder, "weekly-a", "2026-05-01T00:00:00+00:00", tables, notebooks=book)
    with Ledger(ledger_file(folder)) as ledger, ledger.at_once():
        ledger.set_alerts("weekly", [ALERT])
    with Journal(collection_folder(folder / "store") / "journal.sqlite") as journal:
        journal.save_breaker(BreakerState("aws", "opened", 5, 1.0))
    return Observed(folder / "store", folder)


def page_of(observed, folder, *served):
    target = folder / "observed.html"
    write_page(observed, target, served=list(served), now=NOW)
    return target.read_text()


def test_the_page_says_how_it_is_doing(observed, tmp_path):
    page = page_of(observed, tmp_path)
    cards = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert cards["alerts that fire"] == "1"
    assert cards["breakers not closed"] == "1 of 1"
    assert cards["since weekly succeeded"] == "24 h"
    captions = " ".join(re.findall("<figcaption>(.*?)</figcaption>", page))
    assert "of intervals stated to hold 80%, 60% held at 4 steps" in captions
    assert "The forecast beats the last value at 1 of 2 horizons" in captions
    assert "weekly expects 5,000 USD" in captions
    assert "weekly: 03 allocate took longest, 12.5 s" in captions
    assert "No server told of its answers" in captions
    assert '<td data-name="rows taken in">opened</td>' in page
    assert '<td data-name="rule">price_change</td>' in page


def test_texts_of_records_are_text_and_nothing_is_asked_of_the_network(observed, tmp_path):
    page = page_of(observed, tmp_path)
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    (script,) = re.findall('src="(.*?)"', page)
    assert (tmp_path / script).exists()
    assert 'href="index.html"' not in page, "no list of runs lies beside it"
    (tmp_path / "index.html").touch()
    assert 'href="index.html"' in page_of(observed, tmp_path)


def test_latencies_are_those_that_servers_told(observed, tmp_path):
    files = []
    for number, seconds in enumerate((0.0007, 0.02)):
        registry = CollectorRegistry()
        histogram = latency(registry)
        for _ in range(500):
            histogram.labels("offers", "200").observe(seconds)
        files.append(tmp_path / f"{number}.prom")
        files[-1].write_bytes(generate_latest(registry))
    page = page_of(observed, tmp_path, *files)
    assert "Answers within: 50 %: 1 ms, 90 %: 23 ms, 99 %: 24.8 ms, 99.9 %: 25 ms" in page


def test_the_page_says_what_cannot_be_read(tmp_path):
    observed = Observed(testing.write_store(tmp_path), tmp_path / "reports")
    assert "cannot be read" not in page_of(observed, tmp_path)
    (observed.store / "current").write_text("rubbish")
    file = ledger_file(observed.reports)
    file.parent.mkdir(parents=True)
    file.write_text("no table of events at all")
    page = page_of(observed, tmp_path)
    assert "<dt>cannot be read</dt><dd>store, events</dd>" in page
    assert "The store cannot be read: cloudarb doctor says why." in page
    assert "No source was looked at yet" not in page
    assert "None fires." not in page


def test_an_empty_workplace_has_a_page_too(tmp_path):
    page = page_of(Observed(tmp_path / "store", tmp_path / "reports"), tmp_path)
    assert "None fires." in page
    assert "No source was looked at yet" in page


def test_what_is_no_text_of_prometheus_is_refused(tmp_path, capsys):
    bad = tmp_path / "bad.prom"
    bad.write_text("{not a metric")
    page = ["metrics", "--page", str(tmp_path / "page.html"), "--reports", str(tmp_path)]
    assert cli.main([*page, "--store", str(tmp_path), "--served", str(bad)]) == 2
    assert "is no text of Prometheus" in capsys.readouterr().err
    assert cli.main(["metrics", "--served", str(bad)]) == 2
    assert "Add --page FILE.html" in capsys.readouterr().err
