"""What was stated of a budget is held against what came, at the cost of the plan of that week."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.advice.backtest import budget
from cloudarb_lib.advice.backtest.start import NEEDS
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.testing import offers

WEEKS = 30
OFFERS = offers(
    *(
        ("gcp", region, f"{model}-8", "spot", model, 8.0, 10.0)
        for model in NEEDS
        for region in ("us-a", "us-b", "us-c")
    )
)


class Sold:
    """A record whose prices all go the same way."""

    def __init__(self, price):
        self.price = np.asarray(price, float)
        self.panel = SimpleNamespace(
            times=pd.date_range("2025-01-01", periods=len(price), freq="7D", tz="UTC")
        )
        self.weeks = np.arange(len(price))
        self.market = SimpleNamespace(
            offers_of=lambda models: OFFERS[OFFERS["gpu_model"].isin(models)]
        )

    def prices(self, offer_ids):
        return np.tile(self.price, (len(offer_ids), 1))


class Ahead:
    """Sample paths from a function of the week."""

    def __init__(self, of_week):
        self.of_week = of_week

    def prices(self, week, offer_ids, *, n_paths):
        return np.broadcast_to(self.of_week(week), (len(offer_ids), n_paths, 13))


def tried(price, of_week):
    return budget.try_budgets(Sold(price), Ahead(of_week), load_assumptions())


def test_prices_that_stay_and_are_said_to_cost_what_they_cost():
    found = tried(np.full(WEEKS, 10.0), lambda week: np.full(13, 10.0))
    assert set(found["need"]) == {f"{gpus:g} {model}" for model, gpus in NEEDS.items()}
    np.testing.assert_allclose(found[["p10", "p50", "p90", "came"]], 1.0)
    table = budget.calibration(found, ["weeks"])
    assert (table["inside"] == 1).all()
    assert (table[["stated_1.0", "came_1.0", "above"]] == 0).all(axis=None)
    assert table["plans"].tolist() == [len(NEEDS) * (WEEKS - 3), len(NEEDS) * (WEEKS - 12)]


def test_a_period_pays_the_prices_of_its_weeks_and_no_others():
    price = 10.0 * 1.02 ** np.arange(WEEKS)
    found = tried(price, lambda week: np.resize(price[week : week + 13], 13))
    growth = {n: np.mean(1.02 ** np.arange(n)) for n in (4, 13)}
    np.testing.assert_allclose(found["came"], found["weeks"].map(growth))
    np.testing.assert_allclose(found["p50"], found["came"])
    assert budget.calibration(found, ["weeks"])["p50_error"].max() == pytest.approx(0)


def test_a_rise_that_nobody_stated_is_above():
    price = 10.0 * 1.02 ** np.arange(WEEKS)
    table = budget.calibration(tried(price, lambda week: np.full(13, price[week])), ["weeks"])
    assert (table["above"] == 1).all()
    assert (table["came_1.0"] == 1).all()
    assert (table["stated_1.0"] == 0).all()
    assert table.loc[13, "came_1.05"] == 1
    assert table.loc[4, "came_1.05"] == 0
