"""Simulators from history: closed forms, a library's values, no invented moves, reproducible draws, guards."""

import numpy as np
import pandas as pd
import pytest
from arch.univariate import GARCH, EWMAVariance, ZeroMean
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import risk
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.risk import correlation as corr
from cloudarb_lib.risk import returns as returns_of
from cloudarb_lib.risk import simulate as sim

TRUTH = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, -0.4], [0.0, -0.4, 1.0]])
SPREAD = np.array([0.02, 0.05, 0.1])


def returns(n: int = 2000, seed: int = 0) -> np.ndarray:
    z = np.random.default_rng(seed).standard_normal((n, 3))
    return z @ np.linalg.cholesky(TRUTH).T * SPREAD


def reviews(n: int = 200, seed: int = 0) -> np.ndarray:
    """Two offers of one seller that move every 10th step together, one that never moves in between."""
    r = np.zeros((n, 3))
    r[9::10, :2] = np.random.default_rng(seed).choice([-0.1, 0.1], (len(r[9::10]), 1)) * [1.0, 0.5]
    r[:, 2] = returns(n, seed)[:, 1]
    return r


def panel(r: np.ndarray) -> Panel:
    price = np.exp(np.vstack([np.zeros(r.shape[1]), np.cumsum(r, axis=0)])) * 10.0
    times = pd.date_range("2025-01-01", periods=len(price), freq="7D", tz="UTC")
    offers = pd.DataFrame(index=pd.Index([f"o{i}" for i in range(r.shape[1])], name="offer_id"))
    return Panel(
        times, pd.Timedelta("7D"), offers, price, np.ones_like(price), np.ones(price.shape, int)
    )


def normal(r, *, seed=0, **changes) -> np.ndarray:
    """Return normal log changes (paths, offers), or (paths, offers, steps)."""
    blocks = list(sim.draw_normal(sim.fit_normal(r), seed=seed, **changes))
    x = np.concatenate(blocks, axis=1).transpose(1, 0, 2)
    return x if "steps" in changes else x[:, :, 0]


def changes(r, *, model="filtered", horizon=1) -> np.ndarray:
    """Return log changes (draws, offers) of the mean price over the horizon."""
    p = panel(r).price
    return np.log(sim.draw_costs(p, p, horizon, model=model, seed=0) / p[-1]).round(12)


# --- correlation


def test_correlation_is_close_to_the_truth_and_says_that_it_shrank():
    found = corr.correlation(returns(20_000))
    np.testing.assert_allclose(found.matrix, TRUTH, atol=0.03)
    assert "shrunk by" in found.note
    assert "repaired" not in found.note


def test_few_looks_at_many_offers_still_give_a_definite_matrix_nearer_the_truth():
    x = np.random.default_rng(0).standard_normal((20, 60))
    shrunk = corr.correlation(x).matrix
    assert np.linalg.eigvalsh(shrunk)[0] > 0
    away = np.linalg.norm(shrunk - np.eye(60))
    assert away < np.linalg.norm(np.corrcoef(x.T) - np.eye(60)) / 3


def test_repair_finds_the_published_nearest_matrix():
    # Higham, IMA J. Numer. Anal. 22 (2002), section 4: entries 0.7607 and 0.1573
    found = corr.nearest_correlation(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    expected = [[1.0, 0.7607, 0.1573], [0.7607, 1.0, 0.7607], [0.1573, 0.7607, 1.0]]
    np.testing.assert_allclose(found.matrix, expected, atol=1e-4)
    assert "repaired" in found.note
    np.linalg.cholesky(found.matrix)


def test_constant_and_perfectly_correlated_offers():
    r = returns()
    r = np.column_stack([r[:, 0], 2.0 * r[:, 0], np.zeros(len(r))])
    found = corr.correlation(r)
    assert found.matrix[0, 1] > 0.99
    assert found.matrix[2].tolist() == [0.0, 0.0, 1.0]
    assert "1 of 3 series never move" in found.note
    drawn = normal(r, n_paths=10_000)
    assert (drawn[:, 2] == 0).all()
    assert np.corrcoef(drawn[:, :2].T)[0, 1] > 0.99
    np.testing.assert_array_equal(corr.correlation(np.zeros((20, 2))).matrix, np.eye(2))


def test_missing_steps_are_left_out_and_counted_infinite_and_few_refused():
    r = returns(100)
    whole = corr.correlation(r[5:])
    r[:5, 1] = np.nan
    found = corr.correlation(r)
    np.testing.assert_array_equal(found.matrix, whole.matrix)
    assert "5 steps not known" in found.note
    with pytest.raises(DataError, match="only 11 of 100"):
        corr.correlation(np.where(np.arange(100)[:, None] < 89, np.nan, r))
    for bad in (np.full((20, 2), np.inf), np.zeros(20), np.zeros((20, 0))):
        with pytest.raises(DataError, match="finite"):
            corr.correlation(bad)


def test_rolling_and_exponential_weights_follow_a_change_that_the_whole_averages():
    early, late = returns(600, 1), returns(600, 2)
    late[:, 1] *= -1.0  # 0.7 becomes -0.7
    both = np.vstack([early, late])
    windows = corr.rolling(both, window_steps=252, every_steps=100)
    assert len(windows) == 10
    assert windows[0][0, 1] > 0.6
    assert windows[-1][0, 1] < -0.6
    np.testing.assert_array_equal(windows[-1], corr.correlation(both[-252:]).matrix)
    assert corr.correlation(both, half_life_steps=60).matrix[0, 1] < -0.5
    assert abs(corr.correlation(both).matrix[0, 1]) < 0.1
    table = corr.largest_shifts(windows[0], windows[-1], steps=252, names=pd.Index(list("abc")))
    assert table.loc[0, ["offer", "other"]].tolist() == ["a", "b"]
    assert table["flagged"].tolist() == [True, True, False]
    for window, every in ((601, 1), (5, 1), (252, 0)):
        with pytest.raises(
            ParameterError, match=f"do not fill window_steps {window} every {every}"
        ):
            corr.rolling(early, window_steps=window, every_steps=every)
    with pytest.raises(ParameterError, match="half_life"):
        corr.correlation(early, half_life_steps=0.0)
    with pytest.raises(ParameterError, match="2 names"):
        corr.largest_shifts(windows[0], windows[-1], steps=252, names=pd.Index(list("ab")))


def test_no_shift_is_flagged_more_often_than_one_time_in_ten_where_nothing_changed():
    names = pd.Index(list("abc"))
    flagged = [
        corr.largest_shifts(
            corr.correlation(returns(252, 2 * s)).matrix,
            corr.correlation(returns(252, 2 * s + 1)).matrix,
            steps=252,
            names=names,
        )["flagged"].any()
        for s in range(100)
    ]
    assert np.mean(flagged) < 0.1


def test_dcc_finds_the_parameters_that_made_the_moves():
    rng, a, b = np.random.default_rng(0), 0.08, 0.88
    q, z = TRUTH.copy(), np.zeros((3000, 3))
    for t in range(len(z)):
        spread = np.sqrt(np.diag(q))
        z[t] = np.linalg.cholesky(q / np.outer(spread, spread)) @ rng.standard_normal(3)
        q = (1 - a - b) * TRUTH + a * np.outer(z[t], z[t]) + b * q
    found = corr.dcc(z * SPREAD)
    told = [
        float(part.split("=")[1].split(",")[0].split(";")[0])
        for part in found.note.split(" and ")[0].split(", b ")
    ]
    assert told == pytest.approx([a, b], abs=0.04)
    now = q / np.sqrt(np.outer(np.diag(q), np.diag(q)))
    np.testing.assert_allclose(found.matrix[-1], now, atol=0.12)
    assert (np.linalg.eigvalsh(found.matrix)[:, 0] > 0).all()


def test_dcc_follows_a_change_stays_put_without_one_and_knows_what_never_moves():
    early, late = returns(300, 1), returns(300, 2)
    late[:, 1] *= -1.0
    found = corr.dcc(np.column_stack([np.vstack([early, late]), np.zeros(600)])).matrix
    assert found[300, 0, 1] > 0.4
    assert found[-1, 0, 1] < -0.4
    np.testing.assert_allclose(found[-1, 3], [0, 0, 0, 1], atol=1e-9)
    assert corr.dcc(returns(600)).matrix[:, 0, 1].std() < 0.1
    gap = returns(100)
    gap[3, 0] = np.nan
    assert "1 steps not known" in corr.dcc(gap).note
    with pytest.raises(DataError, match="only 11"):
        corr.dcc(returns(11))


def test_estimators_of_correlation_stand_side_by_side():
    early, late = returns(100, 1), returns(100, 2)
    late[:, 1] *= -1.0
    now = risk.average_correlation(np.vstack([early, late]), window_steps=100)
    assert list(now.index) == ["whole record", "last 100 looks", "exponentially weighted", "DCC"]
    truth = np.mean([-0.7, 0.0, 0.4])
    assert now["last 100 looks"] == pytest.approx(truth, abs=0.12)
    with pytest.raises(ParameterError, match="do not fill"):
        risk.average_correlation(early)


def test_an_index_is_the_mean_change_of_its_offers():
    p = panel(returns(30))
    p.price[:10, 2] = np.nan
    p.offers["provider"], p.offers["region"] = "gcp", ["us", "eu", "eu"]
    index = corr.index_changes(p, ["provider", "region"])
    assert list(index.columns) == ["gcp eu", "gcp us"]
    np.testing.assert_allclose(index["gcp us"], returns(30)[:, 0])
    np.testing.assert_allclose(index["gcp eu"][:10], returns(30)[:10, 1])
    np.testing.assert_allclose(index["gcp eu"][10:], returns(30)[10:, 1:].mean(axis=1))


def test_a_regime_tells_what_its_weeks_do_to_the_cost_of_a_step():
    r = reviews()[:, :2]
    table = risk.regimes(r, np.array([100.0, 50.0]))
    assert table["steps"].to_dict() == {"calm": 180, "moving": 20, "all": 200}  # the reviews
    assert table.loc["calm", ["var_usd", "cvar_usd"]].tolist() == [0.0, 0.0]
    dearest = 100 * 0.1 + 50 * 0.05
    assert table.loc["moving", "var_usd"] == pytest.approx(dearest)
    assert table.loc["all", "var_usd"] == pytest.approx(dearest) or table.loc["all", "var_usd"] == 0
    still = risk.regimes(np.zeros((20, 2)), np.ones(2))
    assert list(still.index) == ["calm", "all"]
    with pytest.raises(DataError, match="only 11"):
        risk.regimes(np.zeros((11, 2)), np.ones(2))


# --- simulators


@pytest.mark.parametrize("draws", sim.DRAWS)
def test_normal_changes_have_the_mean_spread_and_correlation_of_the_history(draws):
    r, h = returns() + 0.001, 4
    x = normal(r, n_paths=50_000, steps=h, draws=draws).sum(axis=2)
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
    r = returns(60)
    paths, note = sim.simulate_paths(
        panel(r), horizon_steps=3, n_paths=4000, model="historical", seed=0
    )
    change = np.log(paths.values / panel(r).price[-1][:, None, None])
    x = np.concatenate([change[:, :, :1], np.diff(change, axis=2)], axis=2)
    past = np.array([r[i : i + 3] for i in range(58)]).round(4)
    drawn = {tuple(path.T.round(4).ravel() + 0.0) for path in x.transpose(1, 0, 2)}
    assert drawn == {tuple(window.ravel() + 0.0) for window in past}
    assert note == "58 past windows of 3 steps"


def test_historical_costs_are_past_changes_and_filtered_ones_the_young_more_often():
    for model, r in {"historical": returns(60), "filtered": reviews(60)[:, :2]}.items():
        known = {tuple(row) for row in r.round(6) + 0.0}
        assert {tuple(row) for row in changes(r, model=model).round(6) + 0.0} <= known
    r, late = reviews(120)[:, :2], np.arange(120)[:, None] >= 60
    old, young = (np.mean(changes(np.where(when, r, 0.0)) != 0) for when in (~late, late))
    assert old < 0.5 * young


@pytest.mark.parametrize("model", ["historical", "filtered", "garch"])
def test_no_volatility_is_invented_between_reviews_and_none_hidden_at_them(model):
    x = changes(reviews(), model=model)
    assert set(np.round(np.unique(x[:, 0]), 5)) == {-0.1, 0.0, 0.1}
    assert (x[:, 0] != 0).mean() == pytest.approx(0.1, abs=0.03)  # one review in ten steps
    np.testing.assert_allclose(x[:, 1], x[:, 0] / 2, atol=1e-9)  # the review is one for both


def test_a_normal_says_that_it_moves_what_stands_still():
    assert "2 of 3 series stand still" in sim.fit_normal(reviews()).note
    assert (changes(reviews(), model="normal") != 0).all()


def test_volatility_equals_that_of_arch():
    r = returns()[:, 1].copy()
    process = EWMAVariance(0.94)
    ours = returns_of.variances(r[:, None], "ewma")[:, 0]
    theirs = np.empty(len(r))
    process.compute_variance(
        np.empty(0), r, theirs, float(ours[0]), np.tile([0.0, np.inf], (len(r), 1))
    )
    np.testing.assert_allclose(ours[:-1], theirs, rtol=1e-9)
    found = returns_of.variances(r[:, None], "garch")[:, 0]
    fitted = ZeroMean(r * 50.0)
    fitted.volatility = GARCH()
    result = fitted.fit(disp="off")
    forecast = result.forecast(horizon=1).variance.iloc[-1, 0] / 50.0**2
    assert found[-1] == pytest.approx(forecast, rel=1e-3)
    np.testing.assert_allclose(
        np.sqrt(found[50:-1]), result.conditional_volatility[50:] / 50.0, rtol=5e-3
    )


@pytest.mark.parametrize("model", ["filtered", "garch"])
def test_filtered_changes_are_as_wide_as_today_is(model):
    r = returns(400)
    r[-60:] *= 3.0
    wild = changes(r, model=model).std(axis=0)
    assert (wild > 1.5 * r[:-60].std(axis=0)).all()
    assert (wild > 1.2 * changes(r, model="historical").std(axis=0)).all()


@pytest.mark.parametrize("model", sim.SIMULATORS)
def test_costs_are_mean_prices_over_the_horizon(model):
    p = panel(returns(300)).price
    cost = sim.draw_costs(p, p, 4, model=model, seed=0)
    assert cost.shape == (sim.N_DRAWS, 3)
    # a mean of four steps of a walk: its spread is that of (1 + 4 + 9 + 16) / 16 steps
    wanted = returns(300).std(axis=0) * np.sqrt(30 / 16)
    if model in ("normal", "historical"):
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
    some = normal(returns(), n_paths=5000, draws=draws)
    np.testing.assert_array_equal(some, normal(returns(), n_paths=5000, draws=draws))
    assert not np.array_equal(some, normal(returns(), n_paths=5000, draws=draws, seed=2))
    few = normal(returns(), n_paths=100, draws=draws)
    np.testing.assert_allclose(few, some[:100], rtol=1e-4, atol=1e-6)


def test_antithetic_and_sobol_reduce_the_error_of_the_mean():
    spread = {}
    for draws in sim.DRAWS:
        means = [
            normal(returns(), n_paths=4096, draws=draws, seed=s).mean(axis=0) for s in range(20)
        ]
        spread[draws] = np.std(means, axis=0).mean()
    assert spread["antithetic"] < spread["random"] / 20
    assert spread["sobol"] < spread["random"] / 5


@settings(max_examples=15, deadline=None)
@given(st.permutations([0, 1, 2]), st.sampled_from(["historical", "filtered"]))
def test_the_order_of_offers_changes_nothing_else(order, model):
    first, then = (changes(x, model=model) for x in (reviews(60), reviews(60)[:, order]))
    np.testing.assert_allclose(first[:, order], then, atol=1e-12)


@pytest.mark.parametrize("model", ["normal", "historical"])
def test_paths_start_at_the_last_price(model):
    r = returns(300)
    paths, note = sim.simulate_paths(panel(r), horizon_steps=4, n_paths=9000, model=model, seed=0)
    assert paths.values.shape == (3, 9000, 4)
    assert paths.values.dtype == np.float32
    assert paths.times[0] == panel(r).times[-1] + pd.Timedelta("7D")
    assert note
    change = np.log(paths.values / panel(r).price[-1][:, None, None])
    np.testing.assert_allclose(change[:, :, 0].std(axis=1), r.std(axis=0), rtol=0.1)
    np.testing.assert_allclose(change[:, :, -1].std(axis=1), 2.0 * r.std(axis=0), rtol=0.2)


def test_bad_input_has_a_defined_answer():
    r = returns(20)
    for bad, message in (
        ({"n_paths": 0}, "0 paths"),
        ({"horizon_steps": 0}, "over 0 steps"),
        ({"model": "cauchy"}, "'cauchy'"),
    ):
        with pytest.raises(ParameterError, match=message):
            sim.simulate_paths(panel(r), **{"horizon_steps": 1, "seed": 0} | bad)
    with pytest.raises(ParameterError, match="0 paths"):
        normal(r, n_paths=0)
    with pytest.raises(ParameterError, match="'lucky' draws"):
        normal(r, draws="lucky")
    for bad in ({"model": "cauchy"}, {"horizon": 0}):
        with pytest.raises(ParameterError, match="Take one of"):
            changes(r, **bad)
    with pytest.raises(DataError, match="only 11 past windows of 10"):
        changes(r, horizon=10)
    with pytest.raises(DataError, match="only 11 past windows of 10"):
        sim.simulate_paths(panel(r), horizon_steps=10, model="historical", seed=0)
    with pytest.raises(DataError, match="only 11"):
        normal(r[:11])
    with pytest.raises(DataError, match="finite"):
        normal(np.full((20, 2), np.inf))
    gone = panel(r)
    gone.price[-1, 1] = np.nan
    with pytest.raises(DataError, match="o1 has no price"):
        sim.simulate_paths(gone, horizon_steps=1, seed=0)
