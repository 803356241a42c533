"""Simulators from history: closed forms, a library's values, no invented moves, draws, guards."""

import numpy as np
import pandas as pd
import pytest
from arch.univariate import EWMAVariance
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.risk import correlation as corr
from cloudarb_lib.risk import returns as returns_of
from cloudarb_lib.risk import simulate as sim
from cloudarb_lib.testing import joint_returns, normal_changes, panel_of_returns, repricing_returns


def changes(r, *, model="historical", horizon=1) -> np.ndarray:
    """Return log changes (draws, offers) of the mean price over the horizon."""
    p = panel_of_returns(r).price
    return np.log(sim.draw_costs(p, p, horizon, model=model, seed=0) / p[-1]).round(12)


@pytest.mark.parametrize("draws", sim.DRAWS)
def test_normal_changes_have_the_mean_spread_and_correlation_of_the_history(draws):
    r, h = joint_returns() + 0.001, 4
    x = normal_changes(r, n_paths=50_000, steps=h, draws=draws).sum(axis=2)
    np.testing.assert_allclose(x.mean(axis=0), h * r.mean(axis=0), atol=0.002)
    np.testing.assert_allclose(x.std(axis=0), np.sqrt(h) * r.std(axis=0), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(x.T), corr.correlation(r).matrix, atol=0.02)
    # closed form: the 95 % quantile of a normal
    np.testing.assert_allclose(
        np.quantile(x, 0.95, axis=0),
        h * r.mean(axis=0) + 1.644854 * np.sqrt(h) * r.std(axis=0),
        rtol=0.03,
    )


def test_historical_paths_are_past_windows_and_nothing_else():
    r = joint_returns(60)
    paths, note = sim.simulate_paths(
        panel_of_returns(r), horizon_steps=3, n_paths=4000, model="historical", seed=0
    )
    change = np.log(paths.values / panel_of_returns(r).price[-1][:, None, None])
    x = np.concatenate([change[:, :, :1], np.diff(change, axis=2)], axis=2)
    past = np.array([r[i : i + 3] for i in range(58)]).round(4)
    drawn = {tuple(path.T.round(4).ravel() + 0.0) for path in x.transpose(1, 0, 2)}
    assert drawn == {tuple(window.ravel() + 0.0) for window in past}
    assert note == "58 past windows of 3 steps"


def test_historical_costs_are_past_changes():
    r = joint_returns(60)
    known = {tuple(row) for row in r.round(6) + 0.0}
    assert {tuple(row) for row in changes(r).round(6) + 0.0} <= known


def test_no_volatility_is_invented_between_reviews_and_none_hidden_at_them():
    x = changes(repricing_returns())
    assert set(np.round(np.unique(x[:, 0]), 5)) == {-0.1, 0.0, 0.1}
    assert (x[:, 0] != 0).mean() == pytest.approx(0.1, abs=0.03)  # one review in ten steps
    np.testing.assert_allclose(x[:, 1], x[:, 0] / 2, atol=1e-9)  # the review is one for both


def test_a_normal_says_that_it_moves_what_stands_still():
    assert "2 of 3 series stand still" in sim.fit_normal(repricing_returns()).note
    assert (changes(repricing_returns(), model="normal") != 0).all()


def test_volatility_equals_that_of_arch():
    r = joint_returns()[:, 1].copy()
    process = EWMAVariance(0.94)
    ours = returns_of.ewma_variances(r[:, None])[:, 0]
    theirs = np.empty(len(r))
    process.compute_variance(
        np.empty(0), r, theirs, float(ours[0]), np.tile([0.0, np.inf], (len(r), 1))
    )
    np.testing.assert_allclose(ours[:-1], theirs, rtol=1e-9)


@pytest.mark.parametrize("model", sim.SIMULATORS)
def test_costs_are_mean_prices_over_the_horizon(model):
    p = panel_of_returns(joint_returns(300)).price
    cost = sim.draw_costs(p, p, 4, model=model, seed=0)
    assert cost.shape == (sim.N_DRAWS, 3)
    # a mean of four steps of a walk: its spread is that of (1 + 4 + 9 + 16) / 16 steps
    wanted = joint_returns(300).std(axis=0) * np.sqrt(30 / 16)
    np.testing.assert_allclose(np.log(cost / p[-1]).std(axis=0), wanted, rtol=0.3)
    np.testing.assert_array_equal(cost, sim.draw_costs(p, p, 4, model=model, seed=0))
    unknown = p.copy()
    unknown[:20, 1] = np.nan  # not listed yet: it counts as unchanged
    filled = p.copy()
    filled[:20, 1] = p[20, 1]
    ours, theirs = (sim.draw_costs(x, x, 1, model=model, seed=0) for x in (unknown, filled))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("draws", sim.DRAWS)
def test_draws_repeat_with_their_seed_and_fewer_are_the_first_of_more(draws):
    some = normal_changes(joint_returns(), n_paths=5000, draws=draws)
    np.testing.assert_array_equal(some, normal_changes(joint_returns(), n_paths=5000, draws=draws))
    assert not np.array_equal(
        some, normal_changes(joint_returns(), n_paths=5000, draws=draws, seed=2)
    )
    few = normal_changes(joint_returns(), n_paths=100, draws=draws)
    np.testing.assert_allclose(few, some[:100], rtol=1e-4, atol=1e-6)


def test_antithetic_and_sobol_reduce_the_error_of_the_mean():
    spread = {}
    for draws in sim.DRAWS:
        means = [
            normal_changes(joint_returns(), n_paths=4096, draws=draws, seed=s).mean(axis=0)
            for s in range(20)
        ]
        spread[draws] = np.std(means, axis=0).mean()
    assert spread["antithetic"] < spread["random"] / 20
    assert spread["sobol"] < spread["random"] / 5


@settings(max_examples=15, deadline=None)
@given(st.permutations([0, 1, 2]))
def test_the_order_of_offers_changes_nothing_else(order):
    first, then = (changes(x) for x in (repricing_returns(60), repricing_returns(60)[:, order]))
    np.testing.assert_allclose(first[:, order], then, atol=1e-12)


@pytest.mark.parametrize("model", ["normal", "historical"])
def test_paths_start_at_the_last_price(model):
    r = joint_returns(300)
    paths, note = sim.simulate_paths(
        panel_of_returns(r), horizon_steps=4, n_paths=9000, model=model, seed=0
    )
    assert paths.values.shape == (3, 9000, 4)
    assert paths.values.dtype == np.float32
    assert paths.times[0] == panel_of_returns(r).times[-1] + pd.Timedelta("7D")
    assert note
    change = np.log(paths.values / panel_of_returns(r).price[-1][:, None, None])
    np.testing.assert_allclose(change[:, :, 0].std(axis=1), r.std(axis=0), rtol=0.1)
    np.testing.assert_allclose(change[:, :, -1].std(axis=1), 2.0 * r.std(axis=0), rtol=0.2)


def test_bad_input_has_a_defined_answer():
    r = joint_returns(20)
    for bad, message in (
        ({"n_paths": 0}, "0 paths"),
        ({"horizon_steps": 0}, "over 0 steps"),
        ({"model": "cauchy"}, "'cauchy'"),
    ):
        with pytest.raises(ParameterError, match=message):
            sim.simulate_paths(panel_of_returns(r), **{"horizon_steps": 1, "seed": 0} | bad)
    with pytest.raises(ParameterError, match="0 paths"):
        normal_changes(r, n_paths=0)
    with pytest.raises(ParameterError, match="'lucky' draws"):
        normal_changes(r, draws="lucky")
    for bad in ({"model": "cauchy"}, {"horizon": 0}):
        with pytest.raises(ParameterError, match="Take one of"):
            changes(r, **bad)
    with pytest.raises(DataError, match="only 11 past windows of 10"):
        changes(r, horizon=10)
    with pytest.raises(DataError, match="only 11 past windows of 10"):
        sim.simulate_paths(panel_of_returns(r), horizon_steps=10, model="historical", seed=0)
    with pytest.raises(DataError, match="only 11"):
        normal_changes(r[:11])
    with pytest.raises(DataError, match="finite"):
        normal_changes(np.full((20, 2), np.inf))
    gone = panel_of_returns(r)
    gone.price[-1, 1] = np.nan
    with pytest.raises(DataError, match="o1 has no price"):
        sim.simulate_paths(gone, horizon_steps=1, seed=0)
