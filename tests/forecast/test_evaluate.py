"""The scores of past forecasts, series by series, and the verb that prints them."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble, headline, losses, walk_forward
from cloudarb_lib.forecast.member import Member, MemberForecast
from cloudarb_lib.forecast.members import MEMBERS, lstm, prophet
from cloudarb_lib.forecast.splits import spaced
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import a_panel, damaged, stepping
from pipelines import cli

pytestmark = pytest.mark.fit

COLUMNS = [
    *("series_id", "model", "horizon", "n", "scale", "mae", "rmse", "mase", "rmsse", "crps"),
    *("cov80", "cov95", "width80", "width95", "winkler80", "winkler95", "direction", "dm_p"),
    *("pit80", "pit95", "p_change", "changed", "brier", "mape", "series_group"),
]


RESUMABLE = tuple(name for name, member in MEMBERS.items() if member.resumable)


@pytest.fixture(scope="module")
def scored():
    price = stepping(seed=4, times=90, series=6, drift=-0.03)
    origins = {1: np.arange(60, 89), 4: np.arange(60, 86, 5)}
    return (
        price,
        origins,
        walk_forward(a_panel(price), origins=origins, seed=1, tick=price * 1.01).scores,
    )


def test_the_columns_are_as_promised_and_a_row_is_a_series_model_and_horizon(scored):
    _, origins, scores = scored
    assert list(scores.columns) == COLUMNS
    assert list(validate(scores, "scores").columns) == COLUMNS
    assert set(scores["model"]) >= {"ensemble", "last_value", "last_tick", "boosting"}
    for horizon, at in origins.items():
        assert (scores.loc[scores["horizon"] == horizon, "n"] == len(at)).all()


def test_errors_of_the_last_value_and_the_last_tick_by_a_slow_loop(scored):
    price, origins, scores = scored
    wide = scores.set_index(["model", "horizon", "series_id"]).sort_index()
    naive = np.abs(np.diff(price[:61], axis=0)).mean(axis=0)
    for horizon, at in origins.items():
        for k in range(6):
            last = [abs(price[o + horizon, k] - price[o, k]) for o in at]
            tick = [abs(price[o + horizon, k] - 1.01 * price[o, k]) for o in at]
            row = wide.loc[("last_value", horizon, f"o{k}")]
            assert row["mae"] == pytest.approx(np.mean(last))
            assert row["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(last))))
            assert row["mase"] == pytest.approx(np.mean(last) / naive[k])
            assert row["scale"] == pytest.approx(price[:61, k].mean())
            assert wide.loc[("last_tick", horizon, f"o{k}"), "mae"] == pytest.approx(np.mean(tick))
    assert (wide.loc["last_value", "direction"] == 0).all()
    assert (wide.loc["ensemble", "width95"] >= wide.loc["ensemble", "width80"]).all()


def test_the_headline_is_the_sum_of_scaled_errors_over_those_of_the_last_value(scored):
    _, _, scores = scored
    board = headline(scores)
    assert (board.loc["last_value", "ratio"] == 1).all()
    one = scores[(scores["horizon"] == 4) & (scores["scale"] > 0)]
    total = (one["mae"] / one["scale"]).groupby(one["model"]).sum()
    want = total["ensemble"] / total["last_value"]
    assert board.loc[("ensemble", 4), "ratio"] == pytest.approx(want)
    apart = scores.assign(scale=np.where(scores["series_id"] == "o0", np.nan, scores["scale"]))
    assert headline(apart).loc[("ensemble", 4), "ratio"] != pytest.approx(want)


def test_a_series_listed_after_the_first_origin_has_no_scale():
    price = stepping(times=90, series=3)
    price[:70, 1] = np.nan
    scores = walk_forward(a_panel(price), origins={1: np.arange(60, 89)}, seed=1).scores
    late = scores[scores["series_id"] == "o1"]
    assert late["scale"].isna().all()
    assert (late["n"] == 19).all()
    assert headline(late).empty


@pytest.mark.parametrize(
    "origins", [{}, {0: np.arange(5, 9)}, {4: np.arange(30, 38)}, {4: np.array([], int)}]
)
def test_horizons_must_end_inside_the_record(origins):
    with pytest.raises(ParameterError, match="do not end inside"):
        walk_forward(a_panel(stepping(times=40)), origins=origins, seed=1)


def test_winkler_by_hand():
    """Width 2; 1 below costs 2/0.2 more (Gneiting and Raftery, 2007, eq. 43)."""
    got = losses.winkler(
        np.array([1.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0]), np.array([2.0, 0.0, 4.0]), 0.8
    )
    np.testing.assert_allclose(got, [2.0, 12.0, 12.0])


def test_diebold_mariano_is_a_t_test_without_overlap_and_more_careful_with():
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    base, loss = rng.random(40), rng.random(40) - 0.1
    gap = loss - base  # with one lag the corrected statistic is Student's
    assert losses.diebold_mariano(loss, base) == pytest.approx(ttest_1samp(gap, 0).pvalue)
    smooth = np.convolve(gap + 0.1, np.ones(4) / 4, mode="same")
    assert losses.diebold_mariano(smooth, 0 * smooth, overlap=4) > losses.diebold_mariano(
        smooth, 0 * smooth
    )
    assert losses.diebold_mariano(base, base) == 1
    assert np.isnan(losses.diebold_mariano(base[:7], loss[:7]))
    assert losses.diebold_mariano(np.append(loss, np.nan), np.append(base, 1.0)) == pytest.approx(
        losses.diebold_mariano(loss, base)
    )


def events(rows=300):
    rng = np.random.default_rng(1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "provider": "acme",
                    "region": "mars",
                    "zone": "",
                    "instance_type": name,
                    "purchase_option": "spot",
                    "term": "",
                    "price_usd_per_hour": np.exp(rng.normal(0, 0.02, rows).cumsum()).round(4),
                    "effective_at": pd.date_range(
                        "2026-01-01", periods=rows, freq="97min", tz="UTC"
                    ),
                }
            ).assign(observed_at=lambda e: e["effective_at"], source="own")
            for name in ("m1", "m2")
        ]
    )


def test_the_verb_scores_a_file_of_ones_own(tmp_path, capsys):
    file = tmp_path / "own.csv"
    events().to_csv(file, index=False)
    asked = [
        "--freq",
        "1h",
        "--horizons",
        "1,24",
        "--origins",
        "6",
        "--span",
        "7d",
        "--out",
        str(tmp_path / "o"),
    ]
    assert cli.main(["backtest", "--history", str(file), *asked]) == 0
    said = capsys.readouterr().out
    assert "file: 2 series" in said
    scores = pd.read_parquet(tmp_path / "o/scores.parquet")
    assert list(scores.columns) == COLUMNS
    assert set(scores["horizon"]) == {1, 24}
    assert (scores["n"] == 6).all()
    held = scores[["pit80", "pit95"]].mean()  # as many outcomes of each series and horizon
    assert f"80 % intervals hold {held['pit80']:.1%}, 95 % ones {held['pit95']:.1%}" in said


def test_a_backtest_cut_short_takes_up_where_it_stopped(tmp_path, monkeypatch, capsys):
    file, asked = (
        tmp_path / "own.csv",
        ["--freq", "1h", "--horizons", "1", "--origins", "4", "--span", "3d"],
    )
    events().to_csv(file, index=False)
    calls = []

    def counted(name):
        def forecast(task):
            calls.append(name)
            return MemberForecast.no_change(task)

        return Member(name, forecast, resumable=True)

    for name in RESUMABLE:
        monkeypatch.setitem(MEMBERS, name, counted(name))

    def stopped(*_, **__):
        raise KeyboardInterrupt

    def run(out):
        return cli.main(["backtest", "--history", str(file), *asked, "--out", str(tmp_path / out)])

    with monkeypatch.context() as patched:
        patched.setattr(ensemble, "weigh", stopped)
        assert run("cut") == 130
    assert sorted(calls) == sorted(RESUMABLE)
    assert run("cut") == 0
    assert len(calls) == len(RESUMABLE)  # none was asked again
    assert not (tmp_path / "cut/unfinished").exists()
    assert run("cut") == 0  # scored already: read, not computed
    capsys.readouterr()
    assert run("whole") == 0
    assert len(calls) == 2 * len(RESUMABLE)
    cut, whole = (pd.read_parquet(tmp_path / out / "scores.parquet") for out in ("cut", "whole"))
    pd.testing.assert_frame_equal(cut, whole)
    events(310).to_csv(file, index=False)  # other prices are another task
    assert run("cut") == 0
    assert len(calls) == 3 * len(RESUMABLE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--freq", "1h"], "--freq goes with --history"),
        (["--history", "FILE", "--panel", "aws-ticks"], "exclude each other"),
        (["--history", "FILE", "--horizons", "1,x"], "not whole numbers"),
        (["--history", "FILE", "--origins", "0", "--horizons", "1"], "origins is 0"),
        (["--history", "FILE", "--horizons", "9999"], "do not fit"),
        (["--history", "none.csv"], "none.csv"),
    ],
)
def test_wrong_settings_are_answered(arguments, told, tmp_path, capsys):
    file = tmp_path / "own.csv"
    events(60).to_csv(file, index=False)
    given = [str(file) if a == "FILE" else a for a in arguments]
    assert cli.main(["backtest", *given, "--out", str(tmp_path / "o")]) in (2, 3)
    assert told in capsys.readouterr().err


def test_damaged_series_are_scored_where_they_can_be_and_stop_no_other():
    scores = walk_forward(
        damaged(), origins={1: np.arange(90, 109), 4: np.arange(90, 106)}, seed=1
    ).scores
    validate(scores, "scores")
    n = scores[(scores["model"] == "ensemble") & (scores["horizon"] == 1)].set_index("series_id")[
        "n"
    ]
    assert n[["o0", "o2", "o3"]].tolist() == [19, 19, 19]
    assert n[["o1", "o4", "o5", "o6"]].tolist() == [0, 9, 0, 3]
    assert np.isfinite(headline(scores).loc["ensemble", "ratio"]).all()


def test_a_trend_is_rewarded_and_weights_and_pits_are_those_of_the_origins():
    panel = a_panel(stepping(4, drift=-0.1), models=["H100", "L4"] * 6)
    origins = spaced(80, first=58, horizons=[1, 4], origins=40)
    scores, weights, pits = walk_forward(panel, origins=origins, seed=1)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights.index == panel.times[58:79]).all()
    assert pits.groupby("horizon")["pit"].count().to_dict() == {1: 21 * 12, 4: 18 * 12}
    assert pits["pit"].between(0, 1).all()
    board = headline(validate(scores, "scores"))
    assert board.loc[("ensemble", 4), "ratio"] < 0.9
    assert board.loc[("ensemble", 4), "crps_ratio"] < 0.9
    h100 = scores[scores["series_group"] == "H100"]
    assert sorted(h100["series_id"].unique()) == [f"o{k}" for k in (0, 10, 2, 4, 6, 8)]
    assert headline(h100).loc[("ensemble", 4), "cov80"] > 0.6


def test_an_outcome_from_an_unknown_price_is_not_scored():
    """A price not known at the origin makes no forecast, so no miss, though one came."""
    price = stepping(4)
    price[60:78:2, 0] = np.nan
    _, _, pits = walk_forward(a_panel(price), origins={1: np.arange(58, 78)}, seed=1)
    assert pits["pit"].count() == 20 * 12 - 18  # nor where it is known here, and not there


def test_nothing_that_moves_cannot_be_scored():
    times = pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC")
    cells = np.ones((3, 0))
    empty = Panel(
        times,
        pd.Timedelta("7D"),
        pd.DataFrame(index=pd.Index([], name="offer_id")),
        cells,
        cells,
        cells,
    )
    with pytest.raises(DataError, match="no offer whose price moves"):
        walk_forward(empty, origins={1: np.array([1])}, seed=1)


def test_all_members_take_part_and_a_fixed_mix_is_scored_beside_them(monkeypatch):
    for member in (*prophet.MEMBERS, *lstm.MEMBERS):
        monkeypatch.setitem(MEMBERS, member.name, member)
    price = stepping(seed=4, times=90, series=12, drift=-0.03)
    scores = walk_forward(a_panel(price), origins={4: np.arange(60, 86, 5)}, seed=1).scores
    wide = scores.pivot(index="series_id", columns="model", values="mae")
    assert {"prophet", "lstm", "fixed_weights", "seasonal_naive"} <= set(wide)
    assert not np.allclose(wide["fixed_weights"], wide["last_value"])
