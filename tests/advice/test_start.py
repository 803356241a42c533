"""Start now or wait: the bar, the places behind it, and jobs tried on a record."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from cloudarb_lib.advice import start
from cloudarb_lib.advice.backtest import score
from cloudarb_lib.advice.places import Places
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import OFFERS, figures, work


def paths(quoted, now=10.0):
    quoted = np.asarray(quoted, float)
    return start.StartPaths(np.full(len(quoted), now), quoted, quoted)


def test_a_price_that_stays_is_no_reason_to_wait():
    advice = start.start_or_wait(paths(np.full((100, 5), 10.0)))
    assert advice.is_now
    assert advice.saving == pytest.approx(0.0)
    assert "**Start now**" in start.in_words(advice, pd.Timestamp("2026-01-01"), need=1)


def test_a_fall_that_is_sure_is_waited_for():
    advice = start.start_or_wait(paths(np.tile([10.0, 9.0, 7.0, 8.0], (100, 1))))
    assert not advice.is_now
    assert advice.bar_usd_per_hour == pytest.approx(7.0)
    assert advice.wait_usd_per_hour == pytest.approx(7.0)
    assert advice.p_regret == 0
    told = start.in_words(advice, pd.Timestamp("2026-01-01"), need=2)
    assert "3.500 USD an hour a unit or less, and start by 2026-01-29" in told


def test_the_bar_is_the_best_of_all_bars():
    rng = np.random.default_rng(0)
    quoted = 10 * np.exp(np.cumsum(rng.normal(0, 0.1, (400, 6)), axis=1))
    advice = start.start_or_wait(paths(quoted))
    bars = np.linspace(quoted.min(), quoted.max(), 300)
    best = min(start.started_below(bar, quoted, quoted).mean() for bar in bars)
    own = start.started_below(advice.bar_usd_per_hour, quoted, quoted).mean()
    assert own <= best * 1.005


def test_waiting_for_noise_is_not_flattered_by_the_paths_that_chose_the_bar():
    rng = np.random.default_rng(1)
    savings = []
    for _ in range(50):
        quoted = 10 * np.exp(np.cumsum(rng.normal(0, 0.05, (60, 6)), axis=1))
        now = quoted[:, -1].mean()  # a martingale on these paths: no rule can gain in expectation
        savings.append(start.start_or_wait(paths(quoted, now=now)).saving)
    assert np.mean(savings) < 0.005


def test_a_delay_that_costs_more_than_it_saves_starts_now():
    falling = paths(np.tile([9.9, 9.5, 9.0], (50, 1)))
    assert not start.start_or_wait(falling).is_now
    assert start.start_or_wait(falling, delay_usd_per_hour=0.5).is_now


def test_starts_pay_the_prices_that_come_at_the_places_chosen_then():
    prices = np.array([[[4.0, 2.0, 8.0, 8.0]], [[5.0, 5.0, 3.0, 3.0]]])  # offers, a path, weeks
    machines = (prices == prices.min(axis=0)).astype(float)
    found = start.start_paths(machines[:, 0, 0], prices, machines, job_weeks=2)
    assert found.now_usd_per_hour.tolist() == [3.0]
    assert found.quoted_usd_per_hour.tolist() == [[2.0, 3.0]]
    assert found.paid_usd_per_hour.tolist() == [[5.0, 3.0]]
    with pytest.raises(ParameterError, match="too short for a job of 4"):
        start.start_paths(machines[:, 0, 0], prices, machines, job_weeks=4)


def test_a_deadline_in_the_past_is_refused():
    now = pd.Timestamp("2026-04-29", tz="UTC")
    with pytest.raises(ParameterError, match="not after 2026-04-29"):
        start.weeks_to_wait(now, now - pd.Timedelta(days=1))
    with pytest.raises(ParameterError, match="less than a week"):
        start.weeks_to_wait(now, now + pd.Timedelta(days=6))
    assert start.weeks_to_wait(now, now + pd.Timedelta(days=22)) == 3


def test_a_need_is_filled_as_a_linear_program_would():
    places = Places.of(work(80, together="anywhere"), OFFERS[OFFERS["term"] == ""], figures())
    rng = np.random.default_rng(2)
    prices = rng.uniform(5, 90, (len(places.offer_ids), 20))
    prices[0, :5] = np.nan
    cost = places.usd_per_hour(prices)
    for case in range(20):
        sold = np.isfinite(prices[:, case])
        in_pool = (places.pool == np.arange(len(places.capacity))[:, None])[:, sold]
        unit = (prices[:, case] * places.factor)[sold]
        best = linprog(
            unit,
            A_ub=in_pool,
            b_ub=places.capacity,
            A_eq=np.ones((1, sold.sum())),
            b_eq=[places.need],
        )
        assert cost[case] == pytest.approx(best.fun)


def test_what_stands_together_stands_in_one_region_and_what_does_not_fit_costs_no_price():
    offers = OFFERS[(OFFERS["term"] == "") & (OFFERS["gpu_model"] == "H100")]
    together = Places.of(work(64, together="region"), offers, figures())
    machines = together.fill(offers["price_usd_per_hour"].to_numpy(float))
    regions = {name.split("/")[1] for name in together.offer_ids[machines > 0]}
    assert regions == {"us-a"}
    too_much = Places.of(work(200, together="region"), offers, figures())
    assert np.isinf(too_much.usd_per_hour(offers["price_usd_per_hour"].to_numpy(float)))


def scored(**costs):
    rows = [
        {"decision": "d", "made_at": at, "policy": policy, "cost_usd": usd}
        for policy, each in costs.items()
        for at, usd in zip(
            pd.to_datetime(["2025-01-01", "2025-08-01"], utc=True), each, strict=True
        )
    ]
    return score.by_half_year(pd.DataFrame(rows), reference="now")


def test_scores_are_shares_of_the_reference_by_half_year():
    table = scored(now=[100, 200], wait=[90, 220], advice=[80, 200], hindsight=[60, 180])
    assert table.loc[("2025H1", "advice"), "cost"] == pytest.approx(0.8)
    assert table.loc[("2025H1", "advice"), "gap_closed"] == pytest.approx(0.5)
    assert table.loc[("all", "advice"), "gap_closed"] == pytest.approx(0.1 / 0.25)
    assert table.loc[("all", "wait"), "cvar95"] == pytest.approx(1.1)
    half, best, above = score.worst_half_year(table, "advice", ["now", "wait"])
    assert (half, best) == ("2025H2", "now")
    assert above == pytest.approx(0.0)
    assert "within the 0.5% allowed" in score.verdict(table, "advice", ["now", "wait"])


def test_advice_that_does_not_pay_is_told():
    table = scored(now=[100, 200], wait=[90, 220], advice=[102, 200], hindsight=[60, 180])
    told = score.verdict(table, "advice", ["now", "wait"])
    assert "+13.3% beside wait (beyond" in told
    assert "use today's prices" in told
