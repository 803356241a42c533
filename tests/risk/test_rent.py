"""What an hour costs: within the steps of paths, and where an offer was withdrawn."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import risk
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.testing import (
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    ODD_SPOT,
    RISK_OFFERS,
    RISK_TIMES,
    planned,
    risk_inputs,
)

NOW = RISK_OFFERS["price_usd_per_hour"]


def test_a_price_moves_once_within_a_step_at_one_moment_for_all_offers():
    values = np.tile(NOW.to_numpy()[:, None, None], (1, 5000, 4))
    values[:2, :, 1:] *= 2.0
    values[3] *= 0.5
    paths = risk.step_means(Paths(NOW.index, RISK_TIMES, values), NOW, seed=0)
    factor = paths.values / NOW.to_numpy()[:, None, None]
    assert (factor[:2, :, 0] == 1.0).all()
    moved = factor[0, :, 1] - 1.0  # the share of the step after the move
    assert (moved.min(), moved.max()) == pytest.approx((0.0, 1.0), abs=1e-2)
    assert moved.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(factor[1], factor[0])
    np.testing.assert_allclose(factor[:2, :, 2:], 2.0)
    assert (factor[2] == 1.0).all()
    np.testing.assert_allclose(factor[3, :, 1:], 0.5)
    first = factor[3, :, 0]
    assert (first.min(), first.max()) == pytest.approx((0.5, 1.0), abs=1e-2)


def test_an_offer_with_paths_and_without_a_price_is_refused():
    paths = Paths(NOW.index, RISK_TIMES, np.ones((6, 2, 4)))
    with pytest.raises(DataError, match="no price now"):
        risk.step_means(paths, NOW.drop(GCP_SPOT), seed=0)


def test_an_offer_is_rented_until_it_is_withdrawn_and_then_replaced():
    times = pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC")
    price = np.tile(NOW.to_numpy(), (3, 1))
    on_sale = np.ones_like(price)
    at = [NOW.index.get_loc(name) for name in (GCP_SPOT, ODD_SPOT)]
    price[2, at] = np.nan
    on_sale[1, at] = 0.25
    came = Panel(times, pd.Timedelta("7D"), RISK_OFFERS, price, on_sale, np.ones(price.shape, int))
    paid = risk.paid_per_hour(came)
    # the cheapest on-demand with as many H100: AWS at 60
    assert paid[GCP_SPOT].tolist() == [20.0, 0.25 * 20.0 + 0.75 * 60.0, 60.0]
    assert paid[[AWS_SPOT, GCP_ON_DEMAND]].nunique().tolist() == [1, 1]
    assert paid[ODD_SPOT].isna().tolist() == [False, True, True]


def test_offers_without_paths_keep_their_price():
    some = Paths(NOW.index[:2], RISK_TIMES, np.full((2, 3, 4), 7.0))
    paths = risk.with_steady(some, NOW)
    assert list(paths.offer_ids) == list(NOW.index)
    assert (paths.values[:2] == 7.0).all()
    np.testing.assert_array_equal(paths.values[2:, 1, 3], NOW.iloc[2:])


def test_the_fan_ends_at_the_cost_of_the_plan():
    held = planned({GCP_SPOT: 2.0, AWS_SPOT: 1.0, GCP_COMMITMENT: 1.0}).assign(fees_usd=50.0)
    here = risk_inputs(outages=(0.01, 2.0))
    fan = risk.cost_fan(here, held)
    total = risk.plan_cost(here, held).total
    ends = fan.iloc[-1][["p10_usd", "p50_usd", "p90_usd"]].to_numpy(float)
    np.testing.assert_allclose(ends, np.quantile(total, [0.1, 0.5, 0.9]))
    assert fan["time_utc"].tolist() == list(RISK_TIMES)
    assert (fan["p50_usd"].diff().dropna() > 0).all()
