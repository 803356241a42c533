"""Decisions tried on a record: what each policy pays, and that no decision sees the future."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import start_margin
from cloudarb_lib.advice.backtest import commit, move, record, start
from cloudarb_lib.market import read_market
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.testing import Record

BOOK = load_assumptions()


class Flat:
    """Price paths that stay where they are, or go on at a rate a week that is known."""

    def __init__(self, sold, weekly=1.0):
        self.sold = sold
        self.weekly = weekly

    def prices(self, week, offer_ids, *, n_paths):
        now = self.sold.prices(offer_ids)[:, week]
        growth = self.weekly ** np.arange(start.HORIZON_WEEKS + 1)
        return np.tile(now[:, None, None] * growth, (1, n_paths, 1))


def sold(prices, monkeypatch, **settings):
    for name, value in settings.items():
        module, constant = name.split("_", 1)
        monkeypatch.setattr({"move": move, "start": start}[module], constant, value)
    market = read_market(Record(prices), Record.END, providers=["gcp"], stale_after_days=14.0)
    return record.SoldRecord.of(market)


def paid(table, policy):
    mine = table[table["policy"] == policy]
    return mine.set_index(["decision", "made_at"])["cost_usd"]


@pytest.mark.slow
def test_starts_pay_what_came_and_waiting_is_as_told(monkeypatch):
    falling = {"us-a:spot": [(week, 40.0 - week) for week in range(31)], "us-b:spot": [(0, 41.0)]}
    needs = {"start_NEEDS": {"H100": 32.0}, "start_SLACK_WEEKS": (4,)}
    tried = sold(falling, monkeypatch, **needs)
    table = start.try_starts(tried, Flat(tried, weekly=0.97), BOOK)
    now = paid(table, start.NOW)
    pd.testing.assert_series_equal(paid(table, start.ADVICE), paid(table, start.WAIT))
    pd.testing.assert_series_equal(paid(table, start.HINDSIGHT), paid(table, start.WAIT))
    assert (paid(table, start.BAR) < now).all()
    machines = 4.0 * 1.0  # four machines of eight, with the hours that interruptions cost again
    ratio = now / (machines * (40.0 - np.arange(len(now)) - 1.5))
    assert np.ptp(ratio) == pytest.approx(0.0, abs=1e-9)
    stays = start.try_starts(tried, Flat(tried), BOOK)
    pd.testing.assert_series_equal(paid(stays, start.ADVICE), paid(stays, start.NOW))


def test_a_margin_waits_where_waiting_saves_more_than_it(monkeypatch):
    needs = {"start_NEEDS": {"H100": 32.0}, "start_SLACK_WEEKS": (4,)}
    falling = {"us-a:spot": [(week, 40.0 - week) for week in range(31)]}
    tried = sold(falling, monkeypatch, **needs)
    margins = {"any": 0.0, "a lot": 0.5}
    table = start.try_starts(tried, Flat(tried, weekly=0.97), BOOK, margins=margins)
    same = {"check_names": False}
    pd.testing.assert_series_equal(paid(table, "any"), paid(table, start.WAIT), **same)
    pd.testing.assert_series_equal(paid(table, "a lot"), paid(table, start.NOW), **same)


def test_a_margin_is_chosen_on_jobs_that_had_ended_alone(capsys):
    def job(day, ends_at, **costs):
        rows = {start.NOW: 100.0, start.HINDSIGHT: 80.0, start.WAIT: 99.0, start.BAR: 99.0}
        rows |= {start_margin.name_of(margin): 100.0 for margin in start_margin.MARGINS}
        when = {"decision": "d", "made_at": pd.Timestamp(day, tz="UTC")}
        when["ends_at"] = pd.Timestamp(ends_at, tz="UTC")
        return [when | {"policy": name, "cost_usd": usd} for name, usd in (rows | costs).items()]

    before = job("2025-03-01", "2025-06-01", **{"1.0%": 85.0, "2.0%": 85.0})
    after = job("2025-10-15", "2025-12-01", **{"4.0%": 80.0})
    assert start_margin.choose(pd.DataFrame(before + after)) == 0.02
    assert "jobs that ended before 2025-11-01, 1:" in capsys.readouterr().out


@pytest.mark.slow
def test_a_price_of_the_future_changes_no_start(monkeypatch):
    needs = {"start_NEEDS": {"H100": 32.0}, "start_SLACK_WEEKS": (4,)}
    before = {"us-a:spot": [(0, 20.0), (5, 18.0)]}
    later = {"us-a:spot": [(0, 20.0), (5, 18.0), (25, 5.0)]}
    tables = [
        start.try_starts(tried, Flat(tried, weekly=0.99), BOOK)
        for tried in (sold(before, monkeypatch, **needs), sold(later, monkeypatch, **needs))
    ]
    until = Record.START + 16 * Record.WEEK
    first, second = (paid(table[table["made_at"] < until], start.ADVICE) for table in tables)
    pd.testing.assert_series_equal(first, second)


def test_moves_pay_their_hours_and_hindsight_pays_least(monkeypatch):
    prices = {"us-a:spot": [(0, 20.0), (12, 30.0)], "us-b:spot": [(0, 21.0)]}
    tried = sold(prices, monkeypatch, move_MODELS=("H100",), move_MOVING_HOURS=(4.5,))
    monkeypatch.setattr(move, "JOB_WEEKS", 10)
    table = move.try_moves(tried, Flat(tried), BOOK)
    first = table[table["made_at"] == table["made_at"].min()].set_index("policy")
    assert first.loc[move.STAY, "moves"] == 0
    at = Record.START + 8 * Record.WEEK
    crossing = table[table["made_at"] == at].set_index("policy")
    assert crossing.loc[move.ADVICE, "moves"] == 1
    stay = crossing.loc[move.STAY, "cost_usd"]
    ours = crossing.loc[move.ADVICE, "cost_usd"]
    weeks_before = 4
    weekly = stay / (weeks_before * 20.0 + 6 * 30.0)
    assert ours == pytest.approx(weekly * (weeks_before * 20.0 + 6 * 21.0 + 4.5 / 168 * 21.0))
    assert crossing.loc[move.HINDSIGHT, "cost_usd"] == pytest.approx(ours)
    least = paid(table, move.HINDSIGHT)
    for policy in (*move.SIMPLE, move.ADVICE, move.FORECAST):
        assert (paid(table, policy) >= least - 1e-6).all()


def test_what_is_withdrawn_is_left(monkeypatch):
    prices = {"us-a:spot": [(0, 20.0), (12, np.nan), (14, 20.0)], "us-b:spot": [(0, 21.0)]}
    tried = sold(prices, monkeypatch, move_MODELS=("H100",), move_MOVING_HOURS=(4.5,))
    monkeypatch.setattr(move, "JOB_WEEKS", 10)
    table = move.try_moves(tried, Flat(tried), BOOK)
    crossing = table[table["made_at"] == Record.START + 8 * Record.WEEK].set_index("policy")
    assert crossing.loc[move.STAY, "moves"] == 1


@pytest.mark.slow
def test_commitments_are_paid_whole_and_short_needs_rent(monkeypatch):
    monkeypatch.setattr(Record, "START", Record.END - 60 * Record.WEEK)
    tried = sold({"us-a:on_demand": [(0, 80.0)], "us-a:reserved-1y": [(0, 40.0)]}, monkeypatch)
    table = commit.try_commitments(tried)
    first = table[table["made_at"] == table["made_at"].min()]
    wide = first.pivot(index="decision", columns="policy", values="cost_usd")
    year = 52 * 168.0
    assert wide.loc["H100, 13 weeks sure", commit.BY_THE_HOUR] == pytest.approx(10 * 13 * 168)
    assert wide.loc["H100, 13 weeks sure", commit.NOW] == pytest.approx(5 * year)
    assert wide.loc["H100, 13 weeks sure", commit.LATER] == pytest.approx(10 * 13 * 168)
    short = wide.loc["H100, 13 weeks sure"]
    long = wide.loc["H100, 52 weeks sure"]
    assert short[commit.ADVICE] == short[commit.BY_THE_HOUR] == short[commit.HINDSIGHT]
    assert long[commit.ADVICE] == long[commit.NOW] == long[commit.HINDSIGHT]
    assert long[commit.SKI_RENTAL] == pytest.approx(10 * 26 * 168 + 5 * year)
    assert (wide[commit.HINDSIGHT] <= wide[commit.ADVICE] + 1e-9).all()
