"""Correlation: closed forms, a published matrix, what changes and what never moves, guards."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import risk
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.risk import correlation as corr
from cloudarb_lib.testing import (
    JOINT_CORRELATION,
    JOINT_SPREAD,
    joint_returns,
    normal_changes,
    panel_of_returns,
    repricing_returns,
)


def test_correlation_is_close_to_the_truth_and_says_that_it_shrank():
    found = corr.correlation(joint_returns(20_000))
    np.testing.assert_allclose(found.matrix, JOINT_CORRELATION, atol=0.03)
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
    r = joint_returns()
    r = np.column_stack([r[:, 0], 2.0 * r[:, 0], np.zeros(len(r))])
    found = corr.correlation(r)
    assert found.matrix[0, 1] > 0.99
    assert found.matrix[2].tolist() == [0.0, 0.0, 1.0]
    assert "1 of 3 series never move" in found.note
    drawn = normal_changes(r, n_paths=10_000)
    assert (drawn[:, 2] == 0).all()
    assert np.corrcoef(drawn[:, :2].T)[0, 1] > 0.99
    np.testing.assert_array_equal(corr.correlation(np.zeros((20, 2))).matrix, np.eye(2))


def test_missing_steps_are_left_out_and_counted_infinite_and_few_refused():
    r = joint_returns(100)
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
    early, late = joint_returns(600, 1), joint_returns(600, 2)
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


@pytest.mark.slow
def test_no_shift_is_flagged_more_often_than_one_time_in_ten_where_nothing_changed():
    names = pd.Index(list("abc"))
    flagged = [
        corr.largest_shifts(
            corr.correlation(joint_returns(252, 2 * s)).matrix,
            corr.correlation(joint_returns(252, 2 * s + 1)).matrix,
            steps=252,
            names=names,
        )["flagged"].any()
        for s in range(100)
    ]
    assert np.mean(flagged) < 0.1


@pytest.mark.slow
def test_dcc_finds_the_parameters_that_made_the_moves():
    rng, a, b = np.random.default_rng(0), 0.08, 0.88
    q, z = JOINT_CORRELATION.copy(), np.zeros((3000, 3))
    for t in range(len(z)):
        spread = np.sqrt(np.diag(q))
        z[t] = np.linalg.cholesky(q / np.outer(spread, spread)) @ rng.standard_normal(3)
        q = (1 - a - b) * JOINT_CORRELATION + a * np.outer(z[t], z[t]) + b * q
    found = corr.dcc(z * JOINT_SPREAD)
    told = [
        float(part.split("=")[1].split(",")[0].split(";")[0])
        for part in found.note.split(" and ")[0].split(", b ")
    ]
    assert told == pytest.approx([a, b], abs=0.04)
    now = q / np.sqrt(np.outer(np.diag(q), np.diag(q)))
    np.testing.assert_allclose(found.matrix[-1], now, atol=0.12)
    assert (np.linalg.eigvalsh(found.matrix)[:, 0] > 0).all()


def test_dcc_follows_a_change_stays_put_without_one_and_knows_what_never_moves():
    early, late = joint_returns(300, 1), joint_returns(300, 2)
    late[:, 1] *= -1.0
    found = corr.dcc(np.column_stack([np.vstack([early, late]), np.zeros(600)])).matrix
    assert found[300, 0, 1] > 0.4
    assert found[-1, 0, 1] < -0.4
    np.testing.assert_allclose(found[-1, 3], [0, 0, 0, 1], atol=1e-9)
    assert corr.dcc(joint_returns(600)).matrix[:, 0, 1].std() < 0.1
    gap = joint_returns(100)
    gap[3, 0] = np.nan
    assert "1 steps not known" in corr.dcc(gap).note
    with pytest.raises(DataError, match="only 11"):
        corr.dcc(joint_returns(11))


def test_estimators_of_correlation_stand_side_by_side():
    early, late = joint_returns(100, 1), joint_returns(100, 2)
    late[:, 1] *= -1.0
    now = risk.average_correlation(np.vstack([early, late]), window_steps=100)
    assert list(now.index) == ["whole record", "last 100 looks", "exponentially weighted", "DCC"]
    truth = np.mean([-0.7, 0.0, 0.4])
    assert now["last 100 looks"] == pytest.approx(truth, abs=0.12)
    with pytest.raises(ParameterError, match="do not fill"):
        risk.average_correlation(early)


def test_an_index_is_the_mean_change_of_its_offers():
    p = panel_of_returns(joint_returns(30))
    p.price[:10, 2] = np.nan
    p.offers["provider"], p.offers["region"] = "gcp", ["us", "eu", "eu"]
    index = corr.index_changes(p)
    assert list(index.columns) == ["eu (GCP)", "us (GCP)"]
    np.testing.assert_allclose(index["us (GCP)"], joint_returns(30)[:, 0])
    np.testing.assert_allclose(index["eu (GCP)"][:10], joint_returns(30)[:10, 1])
    np.testing.assert_allclose(index["eu (GCP)"][10:], joint_returns(30)[10:, 1:].mean(axis=1))


def test_a_regime_tells_what_its_weeks_do_to_the_cost_of_a_step():
    r = repricing_returns()[:, :2]
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


def test_a_pair_says_how_few_steps_decide():
    moves = pd.DataFrame({"a": [0.0] * 95 + [0.1, 0.1, -0.1, 0.1, 0.0], "b": 0.0, "c": 0.0})
    moves.loc[95:, "b"] = [0.1, 0.1, -0.1, 0.1, 0.1]
    pairs = risk.pairs_on_record(moves).set_index(["one", "other"])
    found = pairs.loc[("a", "b")]
    assert (found["moved"], found["moved_together"]) == (5, 4)
    assert 0 < found["correlation"] < 1
    assert found["low"] < 0 < found["high"], "five steps do not tell its sign"
    assert pairs.loc[("b", "c"), ["correlation", "low", "high"]].isna().all()
    assert pairs.index[0] == ("a", "b")
