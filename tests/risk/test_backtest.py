"""The back-test: plans of the past, honesty in time, one way to draw a cost, and the command."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import risk
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.risk import backtest, tested_plans
from cloudarb_lib.tables.assumptions import load_assumptions
from pipelines import cli

pytestmark = pytest.mark.slow

SPREAD = 0.05
"""Of the weekly log changes of spot prices."""


def panel(n: int = 80, *, regions: int = 3, seed: int = 0) -> Panel:
    """Return spot machines of two GPU models in each region, and one on demand for each model."""
    rng = np.random.default_rng(seed)
    rows = [(f"r{r}", model, "spot") for model in ("H100", "L4") for r in range(regions)] + [
        ("r0", "H100", "on_demand"),
        ("r0", "L4", "on_demand"),
    ]
    table = pd.DataFrame(rows, columns=["region", "gpu_model", "purchase_option"])
    table = table.assign(
        provider="gcp",
        zone="",
        term="",
        price_kind="administered",
        gpu_count=8.0,
        vcpus=96.0,
        instance_type=table["gpu_model"].str.lower() + "-8",
    )
    table.index = pd.Index([f"gcp/{r}//{m.lower()}-8/{o}/" for r, m, o in rows], name="offer_id")
    price = 10.0 * np.exp(SPREAD * rng.standard_normal((n, len(rows))).cumsum(axis=0))
    price[:, -2:] = 40.0
    times = pd.date_range("2025-01-02", periods=n, freq="7D", tz="UTC")
    return Panel(
        times, pd.Timedelta("7D"), table, price, np.ones_like(price), np.ones(price.shape, int)
    )


def with_price(p: Panel, price: np.ndarray, on_sale: np.ndarray | None = None) -> Panel:
    available = p.available if on_sale is None else on_sale
    return Panel(p.times, p.step, p.offers, price, available, p.state)


@pytest.fixture
def walk(monkeypatch):
    """Forecast random walks of a spread that a test may change."""
    told = SimpleNamespace(spread=SPREAD)

    def forecast_panels(panels, *, horizon_steps, n_paths, seed):
        for whole in panels:
            p = whole.select(np.isfinite(whole.price[-1]))
            rng = np.random.default_rng(len(p.times))
            shape = (len(p.offers), n_paths, horizon_steps)
            moves = (p.offers["purchase_option"] == "spot").to_numpy()[:, None, None]
            change = (told.spread * moves * rng.standard_normal(shape)).cumsum(axis=2)
            times = p.times[-1] + p.step * np.arange(1, horizon_steps + 1)
            values = p.price[-1][:, None, None] * np.exp(change)
            yield Paths(p.offers.index, times, values)

    monkeypatch.setattr(backtest, "forecast_panels", forecast_panels)
    return told


def means(p: Panel) -> Panel:
    """Return the means over cells in which all prices move at one moment."""
    moment = np.random.default_rng(1).random((len(p.times), 1))
    price = p.price.copy()
    price[1:] += moment[1:] * (p.price[:-1] - p.price[1:])
    return with_price(p, price)


def plans_of(p: Panel, cell: int, like: pd.DataFrame | None = None) -> dict:
    """Return the kind of each plan, and its instances by offer_id."""
    plans = tested_plans.TestedPlans(p, like).at(cell, least_cells=4)
    return {
        plan.name: (plan.kind, pd.Series(plan.instances, p.offers.index[plan.at])) for plan in plans
    }


def windows_of(p: Panel, **changes) -> pd.DataFrame:
    terms = {"horizons": (4,)} | changes
    return backtest.back_test(p, means(p), **terms)


def test_plans_hold_the_cheapest_places_of_the_time_and_each_place():
    p = panel()
    plans = plans_of(p, 50)
    h100 = p.price[50, :3]
    order = p.offers.index[:3][np.argsort(h100)]
    assert plans["H100, cheapest 1"][1].to_dict() == {order[0]: 1 / 8}
    assert plans["H100, cheapest 2"][1].to_dict() == dict.fromkeys(order[:2], 1 / 16)
    assert "H100, cheapest 4" not in plans
    assert {"L4 in gcp r0", "L4 in gcp r1", "L4 in gcp r2"} <= set(plans)
    _, spent_alike = plans["all kinds"]
    assert len(spent_alike) == 2
    at = p.offers.index.get_indexer(spent_alike.index)
    np.testing.assert_allclose(spent_alike * p.price[50, at], 1.0)


def test_a_plan_like_the_page_holds_as_many_gpus_in_as_many_places():
    p = panel()
    like = pd.DataFrame(
        {
            "offer_id": ["a", "b", "c"],
            "gpu_model": ["H100", "H100", "L4"],
            "purchase_option": ["spot", "spot", "on_demand"],
            "gpus": [32.0, 32.0, 16.0],
        }
    )
    _, held = plans_of(p, 50, like)[tested_plans.LIKE_THE_PAGE]
    assert sorted(held) == [2.0, 4.0, 4.0]
    assert held["gcp/r0//l4-8/on_demand/"] == 2.0
    more = pd.concat([like.assign(offer_id=list("def")), like])
    assert tested_plans.LIKE_THE_PAGE not in plans_of(p, 50, more)  # there are not so many places


def test_offers_without_a_past_or_a_price_are_not_held():
    p = panel()
    price = p.price.copy()
    price[:48, 0] = np.nan
    price[50, 3] = np.nan
    plans = plans_of(with_price(p, price), 50)
    assert "H100 in gcp r0" not in plans
    assert "L4 in gcp r0" not in plans
    assert "H100 in gcp r1" in plans


def test_windows_begin_every_week_and_what_came_is_their_mean_price(walk):
    p = panel()
    windows = windows_of(p, horizons=(1, 4))
    assert set(windows["model"]) == set(backtest.MODELS)
    own = windows[(windows["model"] == backtest.TRUSTED) & (windows["plan"] == "L4 in gcp r1")]
    own = own[own["horizon"] == 4]
    first = backtest.WARM_UP_CELLS
    assert own["origin_utc"].tolist() == list(p.times[first : len(p.times) - 4])
    came = own["expected_usd"] + own["loss_usd"]
    at = p.offers.index.get_loc("gcp/r1//l4-8/spot/")
    mean = means(p).price[:, at]
    wanted = [mean[t + 1 : t + 5].mean() / 8 for t in range(first, len(p.times) - 4)]
    np.testing.assert_allclose(came, wanted)
    assert (own["cvar_usd"] >= own["var_usd"]).all()
    assert (own["exceeded"] == (own["loss_usd"] > own["var_usd"])).all()


def test_a_horizon_asked_alone_is_the_same(walk):
    both = windows_of(panel(), horizons=(1, 4))
    of_four = both[both["horizon"] == 4].reset_index(drop=True)
    # as many steps are forecast, so the paths are the same
    pd.testing.assert_frame_equal(of_four, windows_of(panel(), horizons=(4,)))


def test_a_page_and_the_test_draw_one_cost(walk):
    """What VaR is stated of a window is that of ``plan_cost`` on the same paths."""
    p = panel()
    windows = windows_of(p)
    own = windows[windows["model"] == backtest.TRUSTED].set_index(["origin_utc", "plan"])
    origin = p.times[40]
    then = p.until(origin)
    (ahead,) = backtest.forecast_panels([then], horizon_steps=4, n_paths=backtest.PATHS, seed=0)
    now = pd.Series(then.price[-1], then.offers.index)
    offers = then.offers.assign(price_usd_per_hour=now).reset_index()
    figures = load_assumptions()
    inputs = risk.RiskInputs(offers, risk.step_means(ahead, now, seed=41), figures, 4 * 168.0, 0)
    plan = pd.DataFrame(
        {
            "offer_id": ["gcp/r1//h100-8/spot/"],
            "workload": "train",
            "period": 0,
            "instances": 1 / 8,
            "hours": 4 * 168.0,
        }
    )
    price = risk.plan_cost(inputs, plan).price.sum(axis=1) / (4 * 168.0)
    stated = own.loc[(origin, "H100 in gcp r1")]
    assert stated["expected_usd"] == pytest.approx(price.mean())
    assert stated["var_usd"] == pytest.approx(risk.var(price - price.mean()).value)
    assert stated["cvar_usd"] == pytest.approx(risk.cvar(price - price.mean()).value)


def test_prices_after_the_origin_change_nothing_before(walk):
    p = panel()
    later = p.price.copy()
    later[60:, :-2] *= 3.0
    known = ["now_usd", "expected_usd", "var_usd", "cvar_usd"]
    before, after = (windows_of(q) for q in (p, with_price(p, later)))
    early = before["origin_utc"] < p.times[60]
    pd.testing.assert_frame_equal(before.loc[early, known], after.loc[early, known])
    reached = early & (before["origin_utc"] >= p.times[57]) & before["plan"].str.contains("in")
    assert (before.loc[reached, "loss_usd"] < after.loc[reached, "loss_usd"]).all()


def test_a_withdrawn_offer_is_replaced_on_demand(walk):
    p = panel()
    at = p.offers.index.get_loc("gcp/r1//h100-8/spot/")
    price = p.price.copy()
    price[60:, at] = np.nan
    on_sale = np.where(np.isnan(price), 0.0, 1.0)
    windows = windows_of(with_price(p, price, on_sale))
    own = windows[(windows["plan"] == "H100 in gcp r1") & (windows["model"] == backtest.TRUSTED)]
    assert own["origin_utc"].max() == p.times[59]
    last = own.iloc[-1]
    assert last["expected_usd"] + last["loss_usd"] == pytest.approx(40.0 / 8)
    assert last["exceeded"]
    alone = with_price(p, price, on_sale).select(~p.offers.index.str.contains("on_demand"))
    left = windows_of(alone)
    own = left[(left["plan"] == "H100 in gcp r1") & (left["model"] == backtest.TRUSTED)]
    assert own["origin_utc"].max() == p.times[55]  # with nothing to replace it no cost is known


@pytest.mark.long
def test_a_right_model_passes_a_wide_one_and_a_narrow_one_are_found_out(walk):
    p = panel(300, regions=6)
    verdict = {}
    for spread in (SPREAD, 4 * SPREAD, SPREAD / 4):
        walk.spread = spread
        rows = risk.verdicts(windows_of(p, horizons=(2,)))
        verdict[spread] = rows.set_index(["model", "kind"]).loc[(backtest.TRUSTED, "all plans")]
    right, wide, narrow = verdict.values()
    assert right["p_value"] > 0.05
    assert 0.03 < right["rate"] < 0.08
    assert right["tail_ratio"] == pytest.approx(1.0, abs=0.4)
    assert wide["p_value"] < 0.05
    assert wide["rate"] < 0.01
    assert wide["var_over_worst"] > 1.5 > right["var_over_worst"]
    assert narrow["p_value"] < 0.05
    assert narrow["rate"] > 0.2
    assert narrow["tail_ratio"] > 2.0


def test_a_half_year_is_judged_by_its_own_windows(walk):
    windows = windows_of(panel(80), horizons=(2,))
    by_half_year = risk.verdicts_by_half_year(windows)
    own = windows[windows["model"] == backtest.TRUSTED]
    first = by_half_year.iloc[0]
    began_first = own[own["origin_utc"] < pd.Timestamp("2026-01-01", tz="UTC")]
    assert first["half_year"] == "2025H2"
    assert first["rate"] == pytest.approx(began_first["exceeded"].mean())
    assert first["windows"] < by_half_year["windows"].sum() == own["origin_utc"].nunique()


def test_doubt_is_the_factor_that_past_windows_needed(walk):
    p = panel(200)
    factors = []
    for spread in (SPREAD, SPREAD / 2):
        walk.spread = spread
        factors.append(risk.model_doubt(windows_of(p, horizons=(2,))))
    assert factors[0] == pytest.approx(1.0, abs=0.25)
    assert factors[1] == pytest.approx(2.0, abs=0.5)
    walk.spread = 0.0
    assert np.isnan(risk.model_doubt(windows_of(panel(), horizons=(2,))))


@pytest.mark.parametrize(
    ("change", "terms", "error", "message"),
    [
        (lambda p: p, {"level": 1.0}, ParameterError, "level 1.0"),
        (lambda p: p, {"horizons": (0,)}, ParameterError, "horizons"),
        (lambda p: p, {"horizons": ()}, ParameterError, "horizons"),
        (lambda p: p, {"horizons": (60,)}, DataError, "no window of 60"),
        (lambda p: p.until(p.times[20]), {}, DataError, "no window of 4"),
        (lambda p: p.select([6, 7]), {}, DataError, "no window of 4"),
        (
            lambda p: with_price(p, np.where(np.arange(80)[:, None] % 3, p.price, np.nan)),
            {},
            DataError,
            "no plan could be held",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(walk, change, terms, error, message):
    with pytest.raises(error, match=message):
        windows_of(change(panel()), **terms)


def prices(tmp_path, n: int = 60):
    p = panel(n)
    wide = p.frame().round(4).rename_axis(index="effective_at", columns="offer_id")
    rows = wide.stack().rename("price_usd_per_hour").reset_index()
    parts = ["provider", "region", "instance_type", "purchase_option"]
    rows = rows.join(p.offers[parts], on="offer_id").drop(columns="offer_id")
    rows["effective_at"] = rows["effective_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    file = tmp_path / "later.csv"
    rows.to_csv(file, index=False)
    return file


def test_the_command_on_a_history_of_ones_own(walk, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["risk", "backtest", "--history", str(prices(tmp_path)), "--horizon", "4"]
    command += ["--level", "0.9"]
    assert cli.main([*command, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "4 steps ahead, VaR 90 %, model of the pages" in said
    assert "all plans, by the half-year in which windows began" in said
    assert "power x2" in said
    for model in backtest.MODELS:
        assert model in said
    verdicts, windows = (
        pd.read_parquet(out / f"{n}.parquet") for n in ("backtest", "backtest_windows")
    )
    pd.testing.assert_frame_equal(verdicts, risk.verdicts(windows, 0.9))


def test_the_command_says_what_is_wrong(walk, tmp_path, capsys):
    assert cli.main(["risk", "backtest", "--horizon", "2"]) == 2
    assert "go with --history" in capsys.readouterr().err
    assert cli.main(["risk", "backtest", "--history", str(tmp_path / "none.csv")]) == 3
    assert "none.csv" in capsys.readouterr().err
    command = ["risk", "backtest", "--history", str(prices(tmp_path, 30)), "--horizon"]
    assert cli.main([*command, "40"]) == 3
    assert "shorter horizon" in capsys.readouterr().err
    assert cli.main([*command, "0"]) == 2
    assert cli.main([*command, "1", "--level", "95"]) == 2


@pytest.mark.fit
def test_the_forecast_itself_is_back_windows_of():
    p = panel(48, regions=2)
    windows = windows_of(p, horizons=(2,))
    own = windows[windows["model"] == backtest.TRUSTED]
    assert own["origin_utc"].nunique() == 48 - 2 - backtest.WARM_UP_CELLS
    assert np.isfinite(own[["var_usd", "cvar_usd"]]).all(axis=None)
