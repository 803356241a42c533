"""The normal simulator: a library's values, moments, guards."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import risk
from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.risk import simulate
from cloudarb_lib.types import Panel


def panel(price: np.ndarray) -> Panel:
    index = pd.Index([f"o{j}" for j in range(price.shape[1])], name="offer_id")
    times = pd.date_range("2025-01-02", periods=len(price), freq="7D", tz="UTC")
    cells = np.ones(price.shape)
    return Panel(times, pd.Timedelta("7D"), pd.DataFrame(index=index), price, cells, 2 * cells)


def history(n: int = 120) -> Panel:
    shape = 0.0025 * np.array([[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]])
    moves = np.random.default_rng(4).multivariate_normal([0, 0, 0], shape, n)
    return panel(np.exp(moves.cumsum(axis=0)) * [10.0, 20.0, 30.0])


def test_ledoit_wolf_against_scikit_learn():
    # scikit-learn 1.9.1: sklearn.covariance.ledoit_wolf(x); x below
    x = np.random.default_rng(21).standard_normal((12, 4)).round(2)
    x[:, 3] = x[:, 0] * 0.9
    covariance, intensity = simulate.ledoit_wolf(x)
    assert intensity == pytest.approx(0.492542203257351, rel=1e-12)
    first = [0.8949258201, 0.202175415, -0.2525053612, 0.4298104106]
    assert covariance[0].tolist() == pytest.approx(first, abs=1e-9)


def test_perfectly_correlated_and_constant_series_have_an_answer():
    price = np.exp(np.random.default_rng(5).standard_normal((6, 1)).cumsum(axis=0))
    prices = np.hstack([price, 2 * price, np.full((6, 1), 3.0)])
    found = simulate.correlation(np.diff(np.log(prices), axis=0))
    assert "1 of 3 series never move" in found.note
    found = simulate.correlation(np.tile([[1.0], [-1.0]], (4000, 3)))
    assert "repaired" in found.note
    assert np.linalg.cholesky(found.matrix).shape == (3, 3)
    world = risk.normal_paths(panel(np.tile(prices, (4, 1))), horizon_steps=2, n_paths=50, seed=0)
    assert set(world.values[2].ravel()) == {3.0}


def test_normal_paths_keep_price_volatility_and_correlation():
    source = history()
    world = risk.normal_paths(source, horizon_steps=2, n_paths=20_000, seed=1)
    returns = np.log(world.values / source.price[-1][:, None, None])
    past = simulate.log_returns(source)
    np.testing.assert_allclose(returns[:, :, 0].std(axis=1), past.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(returns[:, :, 1].std(axis=1), 2**0.5 * past.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(returns[:, :, 0]), simulate.correlation(past).matrix, atol=0.03)
    np.testing.assert_allclose(world.values.mean(axis=1) / source.price[-1][:, None], 1, rtol=0.003)
    again = risk.normal_paths(source, horizon_steps=2, n_paths=20_000, seed=1)
    np.testing.assert_array_equal(world.values, again.values)
    assert world.times[0] == source.times[-1] + source.step


def test_missing_weeks_are_left_out_for_all_offers():
    holes = history(40)
    holes.price[10, 1] = np.nan
    assert len(simulate.log_returns(holes)) == 37


def test_too_little_history_a_lost_offer_and_impossible_requests_are_refused():
    with pytest.raises(DataError, match="only 5 steps"):
        risk.normal_paths(history(6), horizon_steps=1, n_paths=1, seed=0)
    for n_paths, steps in ((0, 1), (1, 0)):
        with pytest.raises(ParameterError, match="at least one"):
            risk.normal_paths(history(), horizon_steps=steps, n_paths=n_paths, seed=0)
    gone = history()
    gone.price[-1, 1] = np.nan
    with pytest.raises(DataError, match="o1 has no price"):
        risk.normal_paths(gone, horizon_steps=1, n_paths=1, seed=0)
