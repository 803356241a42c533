"""The back-test: honesty in time, the default model, guards, and the command."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.risk import backtest
from pipelines import cli

pytestmark = pytest.mark.fit


def panel(n: int = 240, *, offers: int = 4, seed: int = 0) -> Panel:
    rng = np.random.default_rng(seed)
    price = np.exp(0.05 * rng.standard_normal((n, offers)).cumsum(axis=0))
    price[:, -1] = 2.0  # a list price, which never moves
    parts = {
        "provider": "gcp",
        "region": [f"r{i % 2}" for i in range(offers)],
        "zone": "",
        "instance_type": "m-1",
        "purchase_option": ["spot"] * (offers - 1) + ["on_demand"],
        "price_kind": "administered",
        "gpu_model": None,
    }
    table = pd.DataFrame(parts, index=pd.Index([f"o{i}" for i in range(offers)], name="offer_id"))
    times = pd.date_range("2009-01-05", periods=n, freq="7D", tz="UTC")
    return Panel(
        times, pd.Timedelta("7D"), table, price, np.ones_like(price), np.ones(price.shape, int)
    )


def with_price(p: Panel, price: np.ndarray) -> Panel:
    return Panel(p.times, p.step, p.offers, price, p.available, p.state)


def test_windows_do_not_overlap_and_the_table_adds_up():
    p = panel()
    verdicts, windows = backtest.back_test(p, p, horizon_steps=3)
    assert list(verdicts["model"].unique()) == list(backtest.TESTED_MODELS)
    assert {"all that moves", "mixed"} <= set(verdicts["plan"])
    one = windows[(windows["model"] == "normal") & (windows["plan"] == "mixed")]
    assert list(one["start"].unique()) == [0, 1, 2]
    for start, mine in one.groupby("start"):
        assert (mine["origin_utc"].diff().dropna() == 3 * p.step).all()
        assert mine["origin_utc"].min() == p.times[60 + start]
    counts = windows.groupby(["plan", "model", "start"])["exceeded"].sum()
    told = verdicts.set_index(["plan", "model", "start"])["exceedances"].sort_index()
    np.testing.assert_array_equal(counts.sort_index(), told)
    assert (windows["cvar_usd"] >= windows["var_usd"] - 1e-12).all()
    paid = (one["expected_usd"] + one["loss_usd"]).to_numpy()
    now = p.frame().loc[one["origin_utc"]].to_numpy() @ backtest.real_plans(p, 60)["mixed"]
    assert (paid > now).sum() == verdicts.query("model == 'normal' and plan == 'mixed'")[
        "rises"
    ].sum()


def test_prices_after_the_origin_change_nothing_before():
    p = panel(100)
    _, before = backtest.back_test(p, p, horizon_steps=1)
    later = p.price.copy()
    cut = 70
    later[cut:, :-1] *= np.linspace(3, 5, len(later) - cut)[:, None]
    q = with_price(p, later)
    _, after = backtest.back_test(q, q, horizon_steps=1)
    known = ["var_usd", "cvar_usd", "expected_usd"]
    # the forecast made at the last cell before the change sees none of it; the next one must
    early = before["origin_utc"] <= p.times[cut - 1]
    assert set(before.loc[early, "model"]) == set(backtest.TESTED_MODELS)
    pd.testing.assert_frame_equal(before.loc[early, known], after.loc[early, known])
    late = before["origin_utc"] == p.times[cut]
    assert (before.loc[late, "expected_usd"] != after.loc[late, "expected_usd"]).all()


def test_a_known_random_walk_is_not_rejected():
    p = panel(400, seed=5)
    verdicts, windows = backtest.back_test(p, p, horizon_steps=1)
    all_of_it = verdicts[verdicts["plan"] == "all that moves"].set_index("model")
    assert (all_of_it.loc[["normal", backtest.DEFAULT], "kupiec"] > 0.01).all()
    # the default averages two quantiles and tracks: it lies near their middle
    told = windows[windows["plan"] == "all that moves"].pivot(
        index="origin_utc", columns="model", values="var_usd"
    )
    middle = (told["forecast"] + told["filtered"]) / 2
    assert (told[backtest.DEFAULT] / middle).median() == pytest.approx(1.0, abs=0.25)


def drawn(windows: int, values: np.ndarray) -> list[np.ndarray]:
    """Return two models alike, (windows, plans 2, draws)."""
    return 2 * [np.tile(values, (windows, 2, 1))]


def test_an_exceedance_lifts_even_a_var_of_no_change_and_what_stands_still_stays():
    values = np.r_[np.full(990, 1.0), np.linspace(1.0, 1.5, 10)]
    paid = np.ones((40, 2))
    paid[[5, 20], 0] = 1.2
    out = backtest.combine(drawn(40, values), paid, 0.95)
    at = np.quantile(out, 0.95, axis=2, method="inverted_cdf")
    assert (out[:6, 0] == values).all()
    assert at[6, 0] == pytest.approx(1 + 0.1 * 0.2 * 0.95)  # a tenth of the largest deviation
    assert at[7, 0] == pytest.approx(1 + 0.1 * 0.2 * 0.9)
    assert at[21, 0] > at[20, 0] >= 1.0
    assert (out[:, 0, :500] == 1.0).all()
    np.testing.assert_array_equal(
        out[:, 1], np.tile(values, (40, 1))
    )  # nothing came to the other plan
    assert (np.diff(out, axis=2) >= 0).all()


def test_a_var_that_is_never_reached_falls_but_not_below_the_median():
    values = np.linspace(0.5, 1.5, 1000)
    paid = np.tile([0.2, 1.0], (400, 1))
    out = backtest.combine(drawn(400, values), paid, 0.95)
    at = np.quantile(out, 0.95, axis=2, method="inverted_cdf")
    assert (np.diff(at, axis=0) <= 0).all()
    assert at[-1, 0] == pytest.approx(np.median(values), abs=2e-3)
    assert (out[:, :, :500] == values[:500]).all()


def test_the_model_that_lost_less_weighs_more_and_the_first_window_knows_nothing():
    near, far = (np.tile(np.linspace(1.0, top, 1000), (30, 1, 1)) for top in (1.2, 3.0))
    at = np.quantile(backtest.combine([near, far], np.ones((30, 1)), 0.95), 0.95, axis=2)[:, 0]
    mean = (1 + 0.95 * 0.2 + 1 + 0.95 * 2.0) / 2
    assert at[0] == pytest.approx(mean, abs=1e-2)
    # inverse losses: 0.95 * 0.2 and 0.95 * 2 above what came: the first weighs ten times as much
    assert at[1] == pytest.approx(1 + 0.95 * (10 * 0.2 + 2.0) / 11, abs=1e-2)


def test_a_level_below_the_median_is_not_tracked():
    out = backtest.combine(drawn(20, np.linspace(1.0, 2.0, 100)), np.full((20, 2), 5.0), 0.4)
    np.testing.assert_allclose(out, drawn(20, np.linspace(1.0, 2.0, 100))[0])


def test_forecast_costs_lie_between_now_and_the_paths_end_and_list_prices_stay():
    p = panel(60)
    unit = next(backtest.forecast_costs(p, p.offers.index[[3, 1]], np.array([50]), 1, ()))
    assert unit.shape == (backtest.N_DRAWS, 2)
    assert (unit[:, 0] == 2.0).all()
    change = np.log(unit[:, 1] / p.price[50, 1])
    # the mean of a cell in which the price moves at a random moment: its second moment is a third
    # of that of the whole move
    assert np.sqrt((change**2).mean()) == pytest.approx(0.05 / np.sqrt(3), rel=0.35)


@pytest.mark.parametrize(
    ("change", "horizon", "level", "error", "message"),
    [
        (lambda p: p, 1, 1.0, ParameterError, "level 1.0"),
        (lambda p: p, 0, 0.95, ParameterError, "horizon 0"),
        (lambda p: p, 150, 0.95, DataError, "hold less than 2 windows"),
        (lambda p: p.until(p.times[20]), 1, 0.95, DataError, "past windows"),
        (lambda p: with_price(p, np.ones_like(p.price)), 1, 0.95, DataError, "moved twice"),
        (
            lambda p: with_price(p, np.full_like(p.price, np.nan)),
            1,
            0.95,
            DataError,
            "2 windows|throughout",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(change, horizon, level, error, message):
    p = change(panel())
    with pytest.raises(error, match=message):
        backtest.back_test(p, p, horizon_steps=horizon, level=level)


def test_some_offers_of_a_long_record_stand_for_all(monkeypatch):
    p = panel(offers=31)
    assert (backtest.real_plans(p, 60)["all that moves"] > 0).sum() == 30
    monkeypatch.setattr(backtest, "MOST_OFFERS", 10)
    used = backtest.real_plans(p, 60)["all that moves"].loc[lambda held: held > 0].index
    assert list(used) == [f"o{i}" for i in range(2, 30, 3)]


def test_one_machine_alone_is_one_plan():
    p = panel().select([0, 3])
    assert list(backtest.real_plans(p, 60)) == ["all that moves", "mixed"]


def test_perfectly_correlated_offers_and_missing_weeks_are_answered():
    p = panel()
    price = p.price.copy()
    price[:, 1] = 2 * price[:, 0]
    price[40, 2] = np.nan
    q = with_price(p, price)
    verdicts, _ = backtest.back_test(q, q, horizon_steps=1)
    assert np.isfinite(verdicts["tick_loss_pct"]).all()


def prices(tmp_path, n=300):
    p = panel(n)
    wide = p.frame().round(4).rename_axis(index="effective_at", columns="offer_id")
    rows = wide.stack().rename("price_usd_per_hour").reset_index()
    rows = rows.join(
        p.offers[["provider", "region", "instance_type", "purchase_option"]], on="offer_id"
    )
    rows["instance_type"] = "m-" + rows.pop("offer_id")
    rows["effective_at"] = rows["effective_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    file = tmp_path / "later.csv"
    rows.to_csv(file, index=False)
    return file


def test_the_command_on_a_history_of_ones_own(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["risk", "backtest", "--history", str(prices(tmp_path)), "--horizon", "2"]
    command += ["--level", "0.9"]
    assert cli.main([*command, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "file 2 x 7D: 111 windows from each of 2 starts, 11.1 exceedances expected" in said
    assert "tick loss: combined is beaten by" in said
    assert "power at 5 %: kupiec" in said
    for model in (backtest.DEFAULT, backtest.FORECAST, *backtest.SIMPLE):
        assert f"{model} passes Kupiec and Christoffersen" in said
    verdicts, windows = (
        pd.read_parquet(out / f"{n}.parquet") for n in ("backtest", "backtest_windows")
    )
    assert len(windows) == verdicts["windows"].sum()


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert cli.main(["risk", "backtest", "--horizon", "2"]) == 2
    assert "go with --history" in capsys.readouterr().err
    assert cli.main(["risk", "backtest", "--history", str(tmp_path / "none.csv")]) == 3
    assert "none.csv" in capsys.readouterr().err
    command = ["risk", "backtest", "--history", str(prices(tmp_path, 30)), "--horizon"]
    assert cli.main([*command, "40"]) == 3
    assert "shorter horizon" in capsys.readouterr().err
    assert cli.main([*command, "0"]) == 2
    assert cli.main([*command, "1", "--level", "95"]) == 2
