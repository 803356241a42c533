"""Commit or wait: what each way to pay costs, the break-even, and the guarantee of a ski rental."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.advice import commit
from cloudarb_lib.base.errors import ParameterError

HOURS = 168.0


def prices(by_the_hour=10.0, weeks=1, paths=4000, **committed):
    committed = committed or {"1y": 6.0}
    flat = {term: np.full((paths, weeks), usd) for term, usd in committed.items()}
    return commit.PricePaths(np.full((paths, weeks), by_the_hour), flat)


def test_costs_are_what_a_loop_over_weeks_pays():
    rng = np.random.default_rng(3)
    hourly = rng.uniform(5, 15, (6, 40))
    rates = rng.uniform(3, 9, (6, 40))
    ends = np.array([1, 10, 30, 53, 110, 156])
    wait = 7
    got = commit.committed_cost(
        commit.PricePaths(hourly, {"1y": rates}), ends, utilisation=0.5, term="1y", wait=wait
    )
    for path, end in enumerate(ends):
        paid = 0.0
        committed_until = -1
        for week in range(int(end)):
            if week < wait:
                paid += 0.5 * HOURS * hourly[path, min(week, 39)]
            elif week > committed_until:
                paid += 52 * HOURS * rates[path, min(week, 39)]
                committed_until = week + 51
        assert got[path] == pytest.approx(paid)


def test_a_need_of_a_year_breaks_even_where_the_commitment_costs_as_much():
    table = commit.break_even_table(prices(), commit.Need(52, utilisation=0.8))
    assert table.loc["1y", "utilisation"] == pytest.approx(0.6)
    assert table.loc["1y", "weeks"] == pytest.approx(0.6 / 0.8 * 52)
    seldom = commit.break_even_table(prices(), commit.Need(52, utilisation=0.5))
    assert np.isnan(seldom.loc["1y", "weeks"])


@pytest.mark.parametrize(
    ("need_weeks", "choice"), [(10, "by the hour"), (500, "commit 3y now"), (90, "commit 1y now")]
)
def test_short_needs_rent_and_long_ones_commit(need_weeks, choice):
    advice = commit.commit_or_wait(
        prices(**{"1y": 6.0, "3y": 4.5}), commit.Need(need_weeks), seed=1
    )
    assert advice.choice == choice
    assert advice.costs["expected_usd"].idxmin() == choice


def test_a_savings_plan_is_one_more_commitment():
    offers = pd.DataFrame(
        {
            "offer_id": ["hour", "machine", "plan"],
            "term": ["", "1y", "3y-plan"],
            "price_usd_per_hour": [10.0, 7.0, 4.5],
        }
    )
    found = commit.machine_prices(offers, None)
    assert {term: rate[0, 0] for term, rate in found.committed.items()} == {
        "1y": 7.0,
        "3y-plan": 4.5,
    }
    assert commit.commit_or_wait(found, commit.Need(500), seed=1).choice == "commit 3y-plan now"


def test_who_expects_a_fall_of_the_committed_price_waits_for_it():
    rates = np.full((4000, 30), 9.5)
    rates[:, 13:] = 5.0
    falling = commit.PricePaths(np.full((4000, 30), 10.0), {"1y": rates})
    advice = commit.commit_or_wait(falling, commit.Need(150), seed=1)
    assert advice.choice == "by the hour 13 weeks, then 1y"
    assert advice.costs.loc[advice.choice, "p_regret"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("rate", [2.0, 6.0, 9.9])
def test_the_ski_rental_keeps_its_guarantee_however_long_the_need_lasts(rate):
    flat = prices(paths=1, **{"1y": rate})
    need = commit.Need(1)
    until = commit.break_even_table(flat, need).loc["1y", "rent_until_week"]
    rng = np.random.default_rng(0)
    drawn = np.ceil(until * np.log1p(rng.random(20_000) * (np.e - 1)))
    drawn_prices = prices(paths=20_000, **{"1y": rate})
    for end in range(1, 53):
        ends = np.array([end])
        by_hour = commit.hourly_cost(flat, ends, utilisation=1.0)
        at_once = commit.committed_cost(flat, ends, utilisation=1.0, term="1y")
        least = min(by_hour[0], at_once[0])
        rule = commit.committed_cost(flat, ends, utilisation=1.0, term="1y", wait=until)
        week_usd = 10.0 * HOURS  # weeks are whole: the rule may rent a part of one too long
        assert rule[0] <= commit.DETERMINISTIC * least + week_usd
        many = commit.committed_cost(
            drawn_prices, np.full(20_000, end), utilisation=1.0, term="1y", wait=drawn
        )
        assert many.mean() <= commit.RANDOMISED * least * 1.02 + week_usd


def test_the_draws_of_the_need_have_its_mean_and_the_same_chance_each_week():
    ends = commit.Need(20).ends(50_000, np.random.default_rng(0))
    assert ends.mean() == pytest.approx(20, rel=0.01)
    for week in (1, 10, 40):
        assert (ends == week).sum() / (ends >= week).sum() == pytest.approx(1 / 20, rel=0.1)


def test_bad_input_is_refused():
    with pytest.raises(ParameterError, match="less than one"):
        commit.Need(0.5)
    with pytest.raises(ParameterError, match="outside 0 to 1"):
        commit.Need(10, utilisation=1.5)
    with pytest.raises(ParameterError, match="no commitment is sold"):
        commit.PricePaths(np.ones((2, 1)), {})
    with pytest.raises(ParameterError, match="which differ"):
        commit.PricePaths(np.ones((2, 1)), {"1y": np.ones((3, 1))})


def test_a_commitment_longer_than_the_record_says_so():
    events = pd.DataFrame(
        {
            "offer_id": "gcp/r//m/reserved/3y",
            "effective_at": pd.to_datetime(["2025-03-01", "2025-06-01", "2025-07-01"], utc=True),
            "price_usd_per_hour": [3.0, 3.0, 2.0],
        }
    )
    told = commit.record_in_words(events, pd.Timestamp("2026-09-01", tz="UTC"))
    assert "1.5 years, in which they changed 1 times" in told
    assert "A commitment for 3y is longer than the record" in told
    later = commit.record_in_words(events, pd.Timestamp("2029-09-01", tz="UTC"))
    assert "longer than the record" not in later
