"""The scores of past forecasts, series by series, and the verb that prints them."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble, headline, walk_forward
from cloudarb_lib.forecast.member import Member, no_change
from cloudarb_lib.forecast.members import MEMBERS, lstm, prophet
from cloudarb_lib.forecast.splits import spaced
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import a_panel, damaged, going_on, stepping
from pipelines import cli
from pipelines.cli.backtest import last_tick

pytestmark = pytest.mark.fit

RESUMABLE = tuple(name for name, member in MEMBERS.items() if member.model_file)


@pytest.fixture(scope="module")
def scored():
    price = stepping(seed=4, times=90, series=6, drift=-0.03)
    origins = {1: np.arange(60, 89), 4: np.arange(60, 86, 5)}

    def above(position):
        return np.full((6, 1, 2), np.log(1.01))

    panel = a_panel(price)
    rivals = {"one_percent_up": above}
    scores = walk_forward(panel, origins=origins, seed=1, rivals=rivals, compare=True).scores
    return price, origins, scores


def test_the_columns_are_as_promised(scored):
    _, origins, scores = scored
    validate(scores, "scores")
    assert set(scores["model"]) >= {"ensemble", "last_value", "one_percent_up", "boosting"}
    assert set(scores["target"]) == {"offer", "cheapest 1", "cheapest 2", "cheapest 4"}
    board = headline(scores).loc["ensemble"]
    assert board["n"].to_dict() == {h: 6 * len(at) for h, at in origins.items()}
    assert board["n_origins"].to_dict() == {h: len(at) for h, at in origins.items()}


def test_errors_of_the_last_value_and_of_a_rival_by_a_slow_loop(scored):
    price, origins, scores = scored
    board = headline(scores)
    for horizon, at in origins.items():
        pairs = [
            (price[: o + 1, k].mean(), price[o, k], price[o + horizon, k])
            for o in at
            for k in range(6)
        ]
        last = [abs(now - came) / scale for scale, now, came in pairs]
        rival = [(1.01 * now - came) / scale for scale, now, came in pairs]
        got = board.loc[("one_percent_up", horizon)]
        assert got["mae_ratio"] == pytest.approx(np.abs(rival).mean() / np.mean(last))
        assert got["crps_ratio"] == pytest.approx(got["mae_ratio"])  # of a point
        squares = np.sqrt(np.square(rival).mean() / np.square(last).mean())
        assert got["rmse_ratio"] == pytest.approx(squares)
        assert got["bias"] == pytest.approx(np.mean(rival))
        assert got["last_bias"] == pytest.approx(
            np.mean([(now - came) / scale for scale, now, came in pairs])
        )
        assert got["p_change"] == 1
        assert got["brier"] == pytest.approx(1 - got["changed"])
        assert np.isnan(got["pit80"])
    assert (board.loc["last_value", "direction"] == 0).all()
    assert (board.loc["last_value", ["mae_ratio", "rmse_ratio", "crps_ratio"]] == 1).all(axis=None)


def test_a_series_listed_after_the_first_origin_is_scored_from_then_on():
    price = stepping(times=90, series=3)
    price[:70, 1] = np.nan
    scores = walk_forward(a_panel(price), origins={1: np.arange(60, 89)}, seed=1).scores
    assert headline(scores).loc[("ensemble", 1), "n"] == 29 + 29 + 19


@pytest.mark.parametrize(
    "origins", [{}, {0: np.arange(5, 9)}, {4: np.arange(30, 38)}, {4: np.array([], int)}]
)
def test_horizons_must_end_inside_the_record(origins):
    with pytest.raises(ParameterError, match="do not end inside"):
        walk_forward(a_panel(stepping(times=40)), origins=origins, seed=1)


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
    assert "file: what was handed over (ensemble), by steps of 1h ahead" in said
    scores = pd.read_parquet(tmp_path / "o/scores.parquet")
    validate(scores, "scores")
    assert set(scores["horizon"]) == {1, 24}
    assert (headline(scores)["n"] == 2 * 6).all()
    row = headline(scores).loc[("ensemble", 24)]
    assert f"{row['crps_ratio']:.3f}" in said
    assert f"{100 * row['pit80']:.1f}" in said
    assert "bestQ" in said
    assert "no machine with a GPU" in said
    again = pd.read_csv(tmp_path / "o/scores.csv")
    np.testing.assert_allclose(again["crps_ratio"], scores["crps_ratio"])


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
            return no_change(task)

        return Member(name, forecast, model_file=f"{name}.json")

    for name in RESUMABLE:
        monkeypatch.setitem(MEMBERS, name, counted(name))

    def stopped(*_, **__):
        raise KeyboardInterrupt

    def run(out, *further):
        to = ["--out", str(tmp_path / out), *further]
        return cli.main(["backtest", "--history", str(file), *asked, *to])

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
    assert run("cut", "--seed", "8") == 0  # and so is another seed
    assert len(calls) == 4 * len(RESUMABLE)


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
    """Of 19 outcomes each: none of one, 10 withdrawn, 16 new at the end, none missing."""
    scores = walk_forward(
        damaged(), origins={1: np.arange(90, 109), 4: np.arange(90, 106)}, seed=1
    ).scores
    validate(scores, "scores")
    row = headline(scores).loc[("ensemble", 1)]
    assert row["n"] == 19 * 16 + 9 + 3
    assert np.isfinite(row[["mae_ratio", "rmse_ratio", "crps_ratio", "bias"]].astype(float)).all()


def test_a_trend_is_rewarded_and_weights_and_pits_are_those_of_the_origins(monkeypatch):
    monkeypatch.setitem(MEMBERS, "going_on", Member("going_on", going_on))
    panel = a_panel(stepping(4, drift=-0.1), models=["H100", "L4"] * 6, kind="market")
    origins = spaced(80, first=58, horizons=[1, 4], origins=40)
    scores, weights, pits = walk_forward(panel, origins=origins, seed=1)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights.index == panel.times[58:79]).all()
    assert pits.groupby("horizon")["pit"].count().to_dict() == {1: 21 * 12, 4: 18 * 12}
    assert pits["pit"].between(0, 1).all()
    board = headline(validate(scores, "scores"))
    assert board.loc[("ensemble", 4), "mae_ratio"] < 0.9
    assert board.loc[("ensemble", 4), "crps_ratio"] < 0.9
    h100 = headline(scores, group="H100")
    assert h100.loc[("ensemble", 4), "n"] == 18 * 6
    cheapest = headline(scores, target="cheapest 2", group="L4")
    assert cheapest.loc[("ensemble", 4), "crps_ratio"] < 1


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


def test_all_members_take_part(monkeypatch):
    for member in (*prophet.MEMBERS, *lstm.MEMBERS):
        monkeypatch.setitem(MEMBERS, member.name, member)
    price = stepping(seed=4, times=90, series=12, drift=-0.03)
    scores = walk_forward(
        a_panel(price), origins={4: np.arange(60, 86, 5)}, seed=1, compare=True
    ).scores
    assert {"prophet", "lstm", "boosting"} <= set(headline(scores).index.get_level_values(0))


def test_the_price_at_the_end_of_a_cell_is_a_rival():
    price = stepping(times=20, series=3)
    forecaster = last_tick(1.02 * price, a_panel(price), {1: np.array([4]), 2: np.array([4])})
    np.testing.assert_allclose(forecaster(4), np.full((3, 1, 2), np.log(1.02)))
