"""What fails for good is held, told, and taken up again."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.live import MACHINES, QUICK, part_names, stored_prices

pytestmark = pytest.mark.slow


def summary_of(report):
    (summary,) = report.feeds
    return summary


def test_a_part_that_comes_back_closes_its_dead_letter(tmp_path, cycle, service, letters):
    service.replies["/prices/eu"] = [Reply(status=500)] * QUICK.attempts
    cycle()
    (letter,) = letters()
    assert (letter.part.name, letter.fault.reason, letter.tries) == ("eu", "fetch", 1)
    service.replies["/prices/eu"] = [Reply(status=500)] * QUICK.attempts
    cycle()
    assert [letter.tries for letter in letters()] == [2]
    cycle()
    assert letters() == []


def test_a_feed_that_cannot_tell_its_parts_is_told_and_comes_back(cycle, service, letters):
    service.replies["/parts"] = [Reply(status=403)]
    report = cycle()
    assert not report.anything_fetched
    assert [letter.part.name for letter in letters()] == [""]
    assert cycle().anything_fetched
    assert letters() == []


def test_most_offers_gone_withdraws_nothing_until_confirmed(
    tmp_path, cycle, service, letters, retry
):
    cycle()
    service.prices["eu"] = dict.fromkeys(MACHINES[:3], 3.0)
    report = cycle()
    assert summary_of(report).withheld == 1
    assert any("9 of 12 offers on sale in lambdalabs/eu are missing" in f for f in report.failures)
    (letter,) = letters()
    assert letter.fault.reason == "disappeared"
    assert all(set(prices) == {3.0} for prices in stored_prices(tmp_path / "store").loc["eu"])
    retry()
    assert [letter.tries for letter in letters()] == [2]
    retry(confirmed=True)
    assert letters() == []
    assert (
        stored_prices(tmp_path / "store")
        .loc["eu"]
        .map(lambda prices: bool(pd.isna(prices[-1])))
        .sum()
        == 9
    )


def test_prices_in_another_unit_are_held_until_confirmed(tmp_path, cycle, service, letters, retry):
    cycle()
    service.prices["eu"] = dict.fromkeys(MACHINES, 300.0)
    service.prices["us"][MACHINES[0]] = 2.1
    report = cycle()
    assert any("12 of 12 known offers moved" in failure for failure in report.failures)
    assert stored_prices(tmp_path / "store")["eu", MACHINES[0]] == [3.0]
    assert stored_prices(tmp_path / "store")["us", MACHINES[0]] == [2.0, 2.1]
    (letter,) = letters()
    assert letter.fault.reason == "price_jump"
    retry(confirmed=True)
    assert stored_prices(tmp_path / "store")["eu", MACHINES[0]] == [3.0, 300.0]
    assert letters() == []


def test_an_empty_answer_withdraws_nothing(tmp_path, cycle, service, letters):
    cycle()
    service.prices["eu"] = {}
    report = cycle()
    assert any("csv eu: the answer has no row" in failure for failure in report.failures)
    assert [letter.fault.reason for letter in letters()] == ["empty"]
    assert all(prices == [3.0] for prices in stored_prices(tmp_path / "store").loc["eu"])


def test_an_answer_of_another_kind_is_held(tmp_path, cycle, service, letters):
    cycle()
    service.replies["/prices/eu"] = [Reply(b'{"SpotPriceHistory": []}')]
    cycle()
    (letter,) = letters()
    assert letter.fault.reason == "unreadable"
    assert "ec2-spot-price-history" in letter.fault.what
    assert stored_prices(tmp_path / "store")["eu", MACHINES[0]] == [3.0]


def test_two_parts_that_share_a_scope_are_refused(cycle, service):
    service.replies["/parts"] = [Reply(part_names("us", "us"))]
    report = cycle()
    assert summary_of(report).failed == 1
    assert "2 parts show" in report.failures[0]


@pytest.mark.chaos("kill", "collect")
def test_what_waits_of_a_killed_cycle_shows_it_whole_though_the_next_fetch_fails(
    tmp_path, cycle, service, monkeypatch
):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    cycle()
    del service.prices["eu"][MACHINES[3]]
    with monkeypatch.context() as patched:
        patched.setattr("cloudarb_lib.live.publishing.ingest_files", killed)
        with pytest.raises(Killed):
            cycle()
    service.replies["/prices/eu"] = [Reply(status=403)]
    cycle()
    assert pd.isna(stored_prices(tmp_path / "store")["eu", MACHINES[3]][-1])
