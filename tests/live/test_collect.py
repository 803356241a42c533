"""Cycles of collection over real HTTP: what is stored, kept for later, and told."""

from __future__ import annotations

import gzip
import hashlib

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.live import collect
from cloudarb_lib.live.journal import HELD, STORED, WAITING
from cloudarb_lib.live.probing import probe
from cloudarb_lib.live.replay import replay
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.store.writer import writer_lock
from cloudarb_lib.tables.stored_schema import STORED as STORED_TABLES
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.live import (
    MACHINES,
    NOW,
    PRICE,
    QUICK,
    CsvFeed,
    csv_prices,
    part_names,
    stored_prices,
)

pytestmark = pytest.mark.slow


def summary_of(report):
    (summary,) = report.feeds
    return summary


def test_what_is_on_sale_is_stored_and_told(tmp_path, cycle):
    report = cycle()
    summary = summary_of(report)
    assert (summary.parts, summary.failed, summary.rows, summary.changed) == (2, 0, 24, 24)
    assert (stored_prices(tmp_path / "store").loc["eu"].map(lambda prices: prices == [3.0])).all()
    assert report.published
    assert "csv" in str(report)
    assert report.digest in str(report)


def test_a_part_that_fails_stops_no_other_and_keeps_its_prices(tmp_path, cycle, service):
    cycle()
    service.prices["us"][MACHINES[0]] = 2.2
    service.replies["/prices/eu"] = [Reply(status=500)] * QUICK.attempts
    report = cycle()
    summary = summary_of(report)
    assert (summary.parts, summary.failed, summary.changed) == (2, 1, 1)
    assert summary.retries == QUICK.attempts - 1
    assert any("csv eu" in failure and "500" in failure for failure in report.failures)
    prices = stored_prices(tmp_path / "store")
    assert prices["us", MACHINES[0]][-1] == 2.2
    assert prices["eu", MACHINES[0]] == [3.0]


def test_what_goes_from_a_whole_part_is_withdrawn(tmp_path, cycle, service):
    cycle()
    del service.prices["eu"][MACHINES[3]]
    cycle()
    prices = stored_prices(tmp_path / "store")
    assert pd.isna(prices["eu", MACHINES[3]][-1])
    assert prices["us", MACHINES[3]] == [2.0]


@pytest.mark.chaos("kill", "collect")
def test_what_a_killed_cycle_fetched_is_taken_in_by_the_next(tmp_path, cycle, service, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("cloudarb_lib.live.publishing.ingest_files", killed)
        with pytest.raises(Killed):
            cycle()
    service.replies["/parts"] = [Reply(part_names())]
    report = cycle()
    assert (summary_of(report).parts, summary_of(report).changed) == (0, 24)
    assert (stored_prices(tmp_path / "store").loc["us"].map(lambda prices: prices == [2.0])).all()


@pytest.mark.chaos("kill", "collect")
def test_a_kill_after_the_store_took_it_in_doubles_nothing(tmp_path, cycle, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("cloudarb_lib.live.journal.Journal.settle", killed)
        with pytest.raises(Killed):
            cycle()
    before = stored_prices(tmp_path / "store")
    report = cycle()
    assert summary_of(report).changed == 0
    assert stored_prices(tmp_path / "store").equals(before)


def test_a_store_in_use_keeps_what_was_fetched(tmp_path, cycle, journal):
    with writer_lock(tmp_path / "store"), pytest.raises(StoreError, match="in use already"):
        cycle()
    with journal() as open_journal:
        assert len(open_journal.responses(WAITING)) == 2
    assert summary_of(cycle()).changed == 24


def test_two_collectors_of_one_store_exclude_each_other(tmp_path, cycle, clock):
    with collect.opened(tmp_path / "store", [], clock=clock), pytest.raises(StoreError):
        cycle()


def test_a_feed_without_its_credentials_is_skipped_and_told(tmp_path, clock):
    with collect.opened(tmp_path / "store", [CsvFeed()], clock=clock) as collector:
        report = collector.cycle(collect.Wanted())
    assert "csv: skipped, it needs an endpoint" in str(report)
    assert report.anything_fetched


def test_every_row_leads_to_its_bytes(tmp_path, cycle, journal, raw):
    cycle()
    with open_snapshot(tmp_path / "store") as snapshot:
        digests = set(snapshot.table("ingest_log")["file_sha256"])
    with journal() as open_journal:
        responses = open_journal.responses(STORED)
    assert {response.file.sha256 for response in responses} == digests
    for response in responses:
        path = raw.path(response.file.sha256, response.file.suffix)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == response.file.sha256
        expected = csv_prices(
            response.part.name, dict.fromkeys(MACHINES, PRICE[response.part.name])
        )
        assert gzip.decompress(path.read_bytes()) == expected


def test_a_part_that_fails_for_days_is_stale(cycle, service, clock):
    cycle()
    clock.now += pd.Timedelta("3D")
    service.replies["/prices/eu"] = [Reply(status=500)] * QUICK.attempts
    assert summary_of(cycle()).stale_parts == 1
    assert summary_of(cycle()).stale_parts == 0


def test_a_feed_is_unverified_until_its_service_was_probed(cycle, journal):
    assert any("not yet verified" in notice for notice in cycle().notices)
    with journal() as open_journal:
        open_journal.verify("csv", "2 parts", NOW)
    assert not any("not yet verified" in notice for notice in cycle().notices)


def test_a_probe_tells_what_it_found_or_why_not(service):
    def probed(**endpoints):
        (one,) = probe([CsvFeed()], clock=lambda: NOW, endpoints=endpoints, environment={})
        return one

    assert probed(csv=service.url).found == "2 parts"
    assert probed().missing == "it needs an endpoint"
    service.replies["/parts"] = [Reply(part_names())]
    assert "names no part" in probed(csv=service.url).error.what


def test_old_answers_go_and_what_is_needed_stays(tmp_path, cycle, service, clock, journal, raw):
    for price in (3.0, 3.1, 3.2):
        service.prices["eu"][MACHINES[0]] = price
        cycle()
    service.replies["/prices/us"] = [Reply(b'{"SpotPriceHistory": []}')]
    cycle()
    clock.now += pd.Timedelta(days=100)
    service.replies["/parts"] = [Reply(part_names())]
    cycle()
    with journal() as open_journal:
        kept = open_journal.responses(STORED, HELD)
    # the last whole answer of each part, the same bytes of us of earlier cycles, and what is held
    assert sorted({r.part.name for r in kept}) == ["eu", "us"]
    assert len({r.file.sha256 for r in kept}) == 3
    files = [path for path in (tmp_path / "store.live" / "raw").rglob("*") if path.is_file()]
    assert {path.name.partition(".")[0] for path in files} == {r.file.sha256 for r in kept}


def test_replay_into_another_store_gives_the_same_record(tmp_path, cycle, service, journal):
    for price in (3.0, 3.1, 3.0):
        service.prices["eu"][MACHINES[0]] = price
        cycle()
    with journal() as open_journal:
        replay(
            open_journal,
            tmp_path / "store",
            into=tmp_path / "again",
            now=NOW + pd.Timedelta(days=1),
        )
    with open_snapshot(tmp_path / "store") as first, open_snapshot(tmp_path / "again") as second:
        for table in ("price_events", "looks"):
            frames = [
                s.table(table).sort_values(list(STORED_TABLES[table].key)).reset_index(drop=True)
                for s in (first, second)
            ]
            pd.testing.assert_frame_equal(*frames)


@pytest.mark.chaos("clock jump", "collect")
def test_a_clock_that_is_off_is_told(cycle, service):
    date = {"date": "Mon, 01 Jun 2026 20:00:00 GMT"}
    service.replies["/parts"] = [Reply(part_names("us"), headers=date)]
    report = cycle()
    assert any("its clock is +" in notice for notice in report.notices)


def test_the_metrics_say_what_the_summary_says(tmp_path, cycle, service):
    cycle()
    service.replies["/prices/eu"] = [Reply(status=500)] * QUICK.attempts
    cycle()
    text = (tmp_path / "store.live" / "metrics.prom").read_text()
    values = {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["cloudarb_collect_rows_changed_totalcsv"] == 24
    assert values["cloudarb_collect_rows_unchanged_totalcsv"] == 12
    assert values["cloudarb_collect_parts_failed_totalcsv"] == 1
    assert values["cloudarb_collect_retries_totallambda"] == QUICK.attempts - 1
    assert values["cloudarb_collect_stale_partscsv"] == 0
    assert values["cloudarb_collect_dead_letters"] == 1


def test_a_feed_that_breaks_is_told_without_its_own_words(cycle, monkeypatch):
    async def broken(*_):
        raise ValueError("token=hunter2")
        yield b""

    monkeypatch.setattr(CsvFeed, "fetch", broken)
    report = cycle()
    assert summary_of(report).failed == 2
    assert any("ValueError at" in failure for failure in report.failures)
    assert "hunter2" not in str(report)
