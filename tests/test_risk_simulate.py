"""Simulators from history: closed forms, a library's values, no invented moves, reproducible draws, guards."""

import numpy as np
import pandas as pd
import pytest
from arch.univariate import GARCH, EWMAVariance, ZeroMean
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import risk
from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.risk import correlation as corr
from cloudarb_lib.risk import simulate as sim
from cloudarb_lib.types import Panel

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
    return Panel(times, pd.Timedelta("7D"), offers, price, np.ones_like(price), np.ones(price.shape, int))


def simulate(r, *, horizon_steps, n_paths=10_000, model="normal", draws="random", seed):
    """Return log changes (paths, offers) from now to the horizon, and the note."""
    fitted = sim.fit(r, horizon_steps=horizon_steps, model=model)
    blocks = [block[:, :, 0].T for block in sim.draw(fitted, n_paths=n_paths, draws=draws, seed=seed)]
    return np.concatenate(blocks), fitted.note


def calls(model: str, draws: str = "random", **changes) -> np.ndarray:
    given = {"horizon_steps": 2, "n_paths": 5000, "seed": 1} | changes
    return simulate(returns(), model=model, draws=draws, **given)[0]


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
    found = corr.nearest(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
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
    drawn = simulate(r, horizon_steps=1, seed=0)[0]
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
    with pytest.raises(DataError, match="do not fill"):
        corr.rolling(early[:100])
    with pytest.raises(ParameterError, match="window_steps 5"):
        corr.rolling(early, window_steps=5)
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


def test_moving_steps_are_the_reviews():
    r = reviews()[:, :2]
    np.testing.assert_array_equal(np.flatnonzero(corr.moving_steps(r)), np.arange(9, 200, 10))
    assert not corr.moving_steps(np.zeros((20, 2))).any()


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


def test_a_regime_tells_what_its_weeks_do_to_the_cost_of_a_step():
    r = reviews()[:, :2]
    table = risk.regimes(r, np.array([100.0, 50.0]))
    assert table["steps"].to_dict() == {"calm": 180, "moving": 20, "all": 200}
    assert table.loc["calm", ["var95_usd", "cvar95_usd"]].tolist() == [0.0, 0.0]
    dearest = 100 * 0.1 + 50 * 0.05
    assert table.loc["moving", "var95_usd"] == pytest.approx(dearest)
    assert table.loc["all", "var95_usd"] == pytest.approx(dearest) or table.loc["all", "var95_usd"] == 0
    still = risk.regimes(np.zeros((20, 2)), np.ones(2))
    assert list(still.index) == ["calm", "all"]
    with pytest.raises(DataError, match="only 11"):
        risk.regimes(np.zeros((11, 2)), np.ones(2))


# --- simulators


@pytest.mark.parametrize("draws", sim.DRAWS)
def test_normal_changes_have_the_mean_spread_and_correlation_of_the_history(draws):
    r, h = returns() + 0.001, 4
    x = simulate(r, horizon_steps=h, n_paths=50_000, draws=draws, seed=0)[0]
    np.testing.assert_allclose(x.mean(axis=0), h * r.mean(axis=0), atol=0.002)
    np.testing.assert_allclose(x.std(axis=0), np.sqrt(h) * r.std(axis=0), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(x.T), corr.correlation(r).matrix, atol=0.02)
    # closed form: the 95 % quantile of a normal
    np.testing.assert_allclose(
        np.quantile(x, 0.95, axis=0), h * r.mean(axis=0) + 1.644854 * np.sqrt(h) * r.std(axis=0), rtol=0.03
    )


def test_historical_changes_are_past_windows_and_nothing_else():
    r = returns(60)
    x = simulate(r, horizon_steps=3, model="historical", seed=0)[0]
    past = np.array([r[i : i + 3].sum(axis=0) for i in range(58)], dtype=np.float32)
    assert {tuple(np.round(row, 5)) for row in x} == {tuple(np.round(row, 5)) for row in past}


@pytest.mark.parametrize("model", ["historical", "ewma", "garch"])
def test_no_volatility_is_invented_between_reviews_and_none_hidden_at_them(model):
    x, note = simulate(reviews(), horizon_steps=5, model=model, seed=0)
    assert set(np.round(np.unique(x[:, 0]), 5)) == {np.float32(-0.1), np.float32(0), np.float32(0.1)}
    assert (x[:, 0] != 0).mean() == pytest.approx(0.5, abs=0.03)  # one review in ten steps, five steps
    np.testing.assert_allclose(x[:, 1], x[:, 0] / 2, atol=1e-6)  # the review is one for both
    assert ("2 of 3 series stand still" in note) == (model != "historical")


def test_a_normal_says_that_it_moves_what_stands_still():
    assert "2 of 3 series stand still" in simulate(reviews(), horizon_steps=5, seed=0)[1]


def test_volatility_equals_that_of_arch():
    r = returns()[:, 1].copy()
    process = EWMAVariance(0.94)
    ours = sim.volatility(r[:, None], "ewma").variance[:, 0]
    theirs = np.empty(len(r))
    process.compute_variance(np.empty(0), r, theirs, float(ours[0]), np.tile([0.0, np.inf], (len(r), 1)))
    np.testing.assert_allclose(ours[:-1], theirs, rtol=1e-9)
    found = sim.volatility(r[:, None], "garch").variance[:, 0]
    fitted = ZeroMean(r * 50.0)
    fitted.volatility = GARCH()
    result = fitted.fit(disp="off")
    forecast = result.forecast(horizon=1).variance.iloc[-1, 0] / 50.0**2
    assert found[-1] == pytest.approx(forecast, rel=1e-3)
    np.testing.assert_allclose(np.sqrt(found[50:-1]), result.conditional_volatility[50:] / 50.0, rtol=5e-3)


@pytest.mark.parametrize("model", ["ewma", "garch"])
def test_filtered_changes_are_as_wide_as_today_is(model):
    r = returns()
    r[-100:] *= 3.0
    wild = simulate(r, horizon_steps=1, model=model, seed=0)[0].std(axis=0)
    assert (wild > 2.0 * r[:-100].std(axis=0)).all()
    plain = simulate(r, horizon_steps=1, model="historical", seed=0)[0].std(axis=0)
    assert (plain < 1.5 * r[:-100].std(axis=0)).all()


def test_filtered_windows_against_a_slow_loop():
    r, h = returns(40), 3
    made = sim.fit(r, horizon_steps=h, model="ewma", stepwise=True).windows
    for j in range(3):
        v = sim.volatility(r[:, [j]], "ewma").variance[:, 0]
        for i in range(len(r) - h + 1):
            ahead = v[-1]
            for s in range(h):
                change = r[i + s, j] / np.sqrt(v[i + s]) * np.sqrt(ahead)
                assert made[j, i, s] == pytest.approx(change, rel=1e-5)
                ahead = 0.94 * ahead + 0.06 * change**2
    summed = sim.fit(r, horizon_steps=h, model="ewma").windows
    np.testing.assert_allclose(summed[:, :, 0], made.sum(axis=2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("draws", sim.DRAWS)
@pytest.mark.parametrize("model", sim.MODELS)
def test_draws_repeat_with_their_seed_and_fewer_are_the_first_of_more(model, draws):
    some = calls(model, draws)
    np.testing.assert_array_equal(some, calls(model, draws))
    assert not np.array_equal(some, calls(model, draws, seed=2))
    np.testing.assert_allclose(calls(model, draws, n_paths=100), some[:100], rtol=1e-4, atol=1e-6)
    assert some.shape[1] == 3


def test_antithetic_and_sobol_reduce_the_error_of_the_mean():
    spread = {}
    for draws in sim.DRAWS:
        means = [calls("normal", draws, n_paths=4096, seed=s).mean(axis=0) for s in range(20)]
        spread[draws] = np.std(means, axis=0).mean()
    assert spread["antithetic"] < spread["random"] / 20
    assert spread["sobol"] < spread["random"] / 5


@settings(max_examples=15, deadline=None)
@given(st.permutations([0, 1, 2]), st.sampled_from(["historical", "ewma"]))
def test_the_order_of_offers_changes_nothing_else(order, model):
    r = reviews(60)
    first, then = (simulate(x, horizon_steps=2, n_paths=50, model=model, seed=0) for x in (r, r[:, order]))
    np.testing.assert_array_equal(first[0][:, order], then[0])


@pytest.mark.parametrize("model", sim.MODELS)
def test_paths_start_at_the_last_price_and_end_where_the_sums_do(model):
    r = returns(300)
    paths, note = sim.simulate_paths(panel(r), horizon_steps=4, n_paths=9000, model=model, seed=0)
    assert paths.values.shape == (3, 9000, 4)
    assert paths.values.dtype == np.float32
    assert paths.times[0] == panel(r).times[-1] + pd.Timedelta("7D")
    assert note
    change = np.log(paths.values[:, :, -1] / panel(r).price[-1][:, None]).T
    summed = simulate(r, horizon_steps=4, n_paths=9000, model=model, seed=0)[0]
    np.testing.assert_allclose(change.std(axis=0), summed.std(axis=0), rtol=0.05)
    if model != "normal":
        np.testing.assert_allclose(change, summed, atol=1e-4)


def test_bad_input_has_a_defined_answer():
    r = returns(20)
    with pytest.raises(ParameterError, match="0 paths"):
        simulate(r, horizon_steps=1, n_paths=0, seed=0)
    with pytest.raises(ParameterError, match="0 paths"):
        sim.simulate_paths(panel(r), horizon_steps=1, n_paths=0, seed=0)
    with pytest.raises(ParameterError, match="'lucky' draws"):
        simulate(r, horizon_steps=1, draws="lucky", seed=0)
    with pytest.raises(ParameterError, match="over 0 steps"):
        simulate(r, horizon_steps=0, seed=0)
    with pytest.raises(ParameterError, match="'cauchy'"):
        simulate(r, horizon_steps=1, model="cauchy", seed=0)
    with pytest.raises(DataError, match="hold 11 windows of 10"):
        simulate(r, horizon_steps=10, model="historical", seed=0)
    with pytest.raises(DataError, match="only 11"):
        simulate(r[:11], horizon_steps=1, seed=0)
    with pytest.raises(DataError, match="finite"):
        simulate(np.full((20, 2), np.inf), horizon_steps=1, seed=0)
    gone = panel(r)
    gone.price[-1, 1] = np.nan
    with pytest.raises(DataError, match="o1 has no price"):
        sim.simulate_paths(gone, horizon_steps=1, seed=0)
