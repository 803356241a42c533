"""The look-back sees only the past, and pays what the prices that came ask for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import advice, allocate, forecast
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.wording import day
from cloudarb_lib.market import read_markets
from cloudarb_lib.market.freshness import Freshness
from cloudarb_lib.market.offers import current_offers
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.plots import summary
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.tables.run_tables import save_table
from cloudarb_lib.testing import Record, all_sold

pytestmark = pytest.mark.fit

WEEK = Record.WEEK
END = Record.END
START = Record.START


PRICES = {
    "us-a:spot": [(0, 10.0), (24, 20.0)],
    "us-b:spot": [(0, 12.0), (24, 11.0)],
    "us-a:on_demand": [(0, 80.0)],
    "us-a:reserved-1y": [(0, 50.0)],
}
WORKLOAD = allocate.Workload(
    name="train", amount=16, throughput={"H100": 1.0}, hours_a_week=168, interruptible=True
)


def looked_back(prices=PRICES, steps=8, record=None, demand=None):
    record = record or Record(prices)
    past = read_markets(
        record,
        pd.date_range(end=END, periods=steps + 1, freq=WEEK),
        providers=["gcp"],
        stale_after_days=14.0,
    )
    paid, advised = advice.look_back(
        past,
        demand or allocate.Demand([WORKLOAD]),
        horizon_steps=13,
        assumptions=load_assumptions(),
        seed=1,
    )
    return paid, advised, record


def spot_usd(price):
    """An hour of a spot machine, the hours that are taken away bought on demand at 80."""
    book = load_assumptions()
    away = book.get("interruption_per_hour/spot/typical") * book.get("outage_hours/spot/typical")
    return (price + away * 80) / (1 + away)


@pytest.fixture(scope="module")
def result():
    return looked_back()


def test_each_policy_pays_what_came(result):
    paid, _, record = result
    assert record.asked == [END - k * WEEK for k in range(8, -1, -1)]
    assert set(paid["policy"]) == {
        "advice",
        "stay put",
        "cheapest now",
        "all on-demand",
        "one-year commitment",
    }
    book = load_assumptions()
    fee = book.get("site_fee_usd_per_week")
    by = paid.set_index(["policy", "period_utc"])["cost_usd"].unstack()
    two = 2 * 168.0  # two machines of eight, every hour of a week
    assert by.loc["all on-demand"].to_numpy() == pytest.approx(80 * two + fee)
    committed = by.loc["one-year commitment"].to_numpy()
    assert committed[:-1] == pytest.approx(50 * two + fee)
    assert committed[-1] == pytest.approx(50 * two + fee + (52 - 8) * 50 * two)  # the whole term
    # Week 24 of the record is the third of the look-back: us-a doubles, us-b becomes cheaper.
    stay = by.loc["stay put"].to_numpy() - fee
    assert stay[2] / stay[0] == pytest.approx(spot_usd(20) / spot_usd(10))
    move = spot_usd(11) * 2 * book.get("move_overlap_h")
    now = by.loc["cheapest now"].to_numpy() - fee
    assert now[2] == pytest.approx(stay[0] * spot_usd(11) / spot_usd(10) + move)
    assert now[3] == pytest.approx(stay[0] * spot_usd(11) / spot_usd(10))
    assert paid.loc[paid["policy"] == "cheapest now", "moves"].tolist() == [0, 0, 16, 0, 0, 0, 0, 0]


def paid_on_demand(demand) -> tuple[np.ndarray, pd.DataFrame]:
    """What policy ``all on-demand`` pays in each of two steps, without the fee, and the advice."""
    paid, advised, _ = looked_back(steps=2, demand=demand)
    usd = paid.loc[paid["policy"] == "all on-demand", "cost_usd"].to_numpy()
    return usd - load_assumptions().get("site_fee_usd_per_week"), advised


def test_what_is_held_is_paid_in_every_hour_and_the_rest_at_prices_agreed():
    machine = "gcp/us-a/" + Record(PRICES).rows["instance_type"].iloc[0]
    surge = {"train": 4.0}
    demand = allocate.Demand(
        [WORKLOAD],  # two machines
        commitments=(allocate.Commitment(machine, 1, 30.0),),
        scenarios=(allocate.DemandScenario("b", 0.5), allocate.DemandScenario("s", 0.5, surge)),
        prices=(allocate.Price(option=("on_demand",), discount=0.25),),
        quotas=(allocate.Quota(gpu=("not there",), gpus=1.0),),
    )
    usd, advised = paid_on_demand(demand)
    assert usd == pytest.approx((30 + 0.75 * 80) * 168)
    held = advised[advised["offer_id"].str.endswith(allocate.HELD)]
    assert held["instances"].tolist() == [1.0, 1.0]
    idle = replace(demand, commitments=(allocate.Commitment(machine, 3, 30.0),))
    usd, _ = paid_on_demand(idle)
    assert usd == pytest.approx(3 * 30 * 168)


def test_a_record_that_has_gone_stale_takes_no_part():
    record = Record({**PRICES, "us-c:spot": [(0, 1.0)]})
    gone = record.rows["region"] == "us-c"
    record.rows.loc[gone, "source"] = "given up"  # its provider has another record, which is fresh
    record.rows.loc[gone, ["effective_at", "observed_at"]] = END - 3 * WEEK
    _, advised, _ = looked_back(record=record, steps=3)
    assert set(advised["offer_id"].str.split("/").str[1]) <= {"us-a", "us-b"}


def test_a_change_of_the_future_changes_no_decision(result):
    _, advised, _ = result
    later = {**PRICES, "us-b:spot": [*PRICES["us-b:spot"], (28, 500.0)]}
    _, other, _ = looked_back(later)
    past = advised["period_utc"] < START + 28 * WEEK
    pd.testing.assert_frame_equal(advised[past], other[past])


def test_one_walk_forecasts_from_every_origin_and_what_was_corrected_is_forecast_by_itself():
    prices = {
        "us-a:spot": [(0, 10.0), (9, 10.5), (18, 9.5), (27, 10.0)],
        "us-b:spot": PRICES["us-b:spot"],
    }
    terms = {"horizon_steps": 4, "n_paths": 50, "seed": 1}

    def panel(weeks, record=None, **changes):
        at, record = START + weeks * WEEK, record or Record(prices)
        events, looks = record.events(as_of=at, gpu_only=True), record.looks(as_of=at)
        return to_panel(events.assign(**changes), looks, freq=WEEK, as_of=at, start=START)

    early, late = forecast.forecast_panels([panel(20), panel(29)], **terms)
    assert (early.times[0], late.times[0]) == (START + 21 * WEEK, START + 30 * WEEK)
    other = Record({**prices, "us-a:spot": [*prices["us-a:spot"][:3], (27, 500.0)]})
    same, changed = forecast.forecast_panels([panel(20, other), panel(29, other)], **terms)
    np.testing.assert_array_equal(same.values, early.values)
    assert changed.values.max() > late.values.max() + 100
    wrong = panel(20, price_usd_per_hour=7.0)  # corrected since
    alone, _ = forecast.forecast_panels([wrong, panel(29)], **terms)
    by_itself = forecast.forecast_offers(wrong, leave_out=forecast.SLOW, **terms)
    assert alone.offer_ids.equals(by_itself.paths.offer_ids)
    np.testing.assert_array_equal(alone.values, by_itself.paths.values)
    assert set(np.unique(alone.values)) == {7.0}


def test_paths_of_a_panel_are_drawn_when_their_turn_comes(monkeypatch):
    drawn = []
    draw = forecast.RollingForecasts.paths

    def noted(self, origin, **terms):
        drawn.append(origin)
        return draw(self, origin, **terms)

    monkeypatch.setattr(forecast.RollingForecasts, "paths", noted)
    record = Record(PRICES)
    panels = [
        to_panel(
            record.events(as_of=START + weeks * WEEK, gpu_only=True),
            record.looks(as_of=START + weeks * WEEK),
            freq=WEEK,
            as_of=START + weeks * WEEK,
            start=START,
        )
        for weeks in (18, 20)
    ]
    ahead = forecast.forecast_panels(panels, horizon_steps=4, n_paths=50, seed=1)
    next(ahead)
    assert len(drawn) == 1
    next(ahead)
    assert len(drawn) == 2


def test_a_withdrawn_offer_is_bought_on_demand():
    gone = {**PRICES, "us-a:spot": [(0, 10.0), (25, np.nan)]}
    paid, _, _ = looked_back(gone, steps=6)
    stay = paid[paid["policy"] == "stay put"].set_index("period_utc")["cost_usd"]
    fee = load_assumptions().get("site_fee_usd_per_week")
    ratio = (stay.iloc[-1] - fee) / (stay.iloc[0] - fee)
    assert ratio == pytest.approx(80 / spot_usd(10))


@pytest.mark.parametrize(
    ("regions", "options", "fallback_usd"),
    [(("*",), ("spot",), 40.0), (("us-a",), ("spot",), 80.0), (("us-c",), ("spot",), 40.0)],
)
def test_what_is_lost_is_bought_where_the_workload_may_run_if_it_is_sold_there(
    regions, options, fallback_usd
):
    prices = {"us-a:spot": [(0, 10.0)], "us-c:spot": [(0, 10.0)]}
    prices |= {"us-a:on_demand": [(0, 80.0)], "us-b:on_demand": [(0, 40.0)]}
    workload = replace(WORKLOAD, regions=regions, options=options, max_usd_per_gpu_hour=2.0)
    paid, _, _ = looked_back(prices, steps=1, demand=allocate.Demand([workload]))
    stay = paid.set_index("policy").loc["stay put", "cost_usd"]
    book = load_assumptions()
    away = book.get("interruption_per_hour/spot/typical")
    away *= book.get("outage_hours/spot/typical")
    an_hour = (10.0 + away * fallback_usd) / (1 + away)
    assert stay - book.get("site_fee_usd_per_week") == pytest.approx(2 * 168.0 * an_hour)


def test_a_policy_nobody_sells_is_left_out():
    paid, _, _ = looked_back(
        {"us-a:spot": PRICES["us-a:spot"], "us-b:spot": PRICES["us-b:spot"]}, steps=3
    )
    assert set(paid["policy"]) == {"advice", "stay put", "cheapest now"}


def test_a_plan_of_the_run_is_taken_and_else_made(tmp_path):
    record = Record(PRICES)
    events, looks = record.events(as_of=END, gpu_only=True), record.looks(as_of=END)
    known = all_sold(events)
    offers = current_offers(events, looks, known, as_of=END, freshness=Freshness.of(14.0)).offers
    ids = offers["offer_id"].to_numpy()
    price = offers["price_usd_per_hour"].to_numpy()[:, None, None] * np.ones((1, 3, 1))
    paths = Paths(pd.Index(ids), pd.DatetimeIndex([END + WEEK]), price)
    terms = {"assumptions": load_assumptions(), "hours": 168.0}
    demand = allocate.Demand([WORKLOAD])
    first = advice.plan_of_run(demand, offers, paths, str(tmp_path), **terms)
    assert set(first.table["offer_id"]) == {"gcp/us-b//a3-highgpu-8g/spot/"}
    kept = first.table.assign(workload="kept")
    save_table(kept, "plan", tmp_path)
    made = advice.plan_of_run(demand, offers, paths, str(tmp_path), **terms)
    assert set(made.table["workload"]) == {"train"}  # a plan without what binds is none
    save_table(first.binding, "plan_binding", tmp_path)
    taken = advice.plan_of_run(demand, offers, paths, str(tmp_path), **terms)
    assert set(taken.table["workload"]) == {"kept"}


def test_a_short_record_is_refused():
    with pytest.raises(ParameterError, match="does not reach back 40 steps"):
        looked_back(steps=40)


def test_a_demand_nobody_could_serve_at_first_is_refused():
    late = {"us-a:spot": [(26, 10.0)], "us-a:reserved-1y": [(0, 5.0)]}
    with pytest.raises(ParameterError, match="no offer could serve the demand"):
        looked_back(late)


def test_an_offer_gone_without_a_stand_in_is_named():
    with pytest.raises(DataError, match="nothing on demand replaces it"):
        looked_back({"us-a:spot": [(0, 10.0), (25, np.nan)], "us-b:spot": [(0, 12.0)]}, steps=6)


@pytest.mark.parametrize(
    ("other", "says"), [(101.0, "made no difference"), (120.0, "**paid**"), (90.0, "did not pay")]
)
def test_the_verdict_is_what_the_numbers_say(other, says):
    weeks = pd.to_datetime(["2026-01-01", "2026-01-08"], utc=True)
    paid = pd.DataFrame(
        {
            "policy": ["advice"] * 2 + ["stay put"] * 2,
            "period_utc": [*weeks, *weeks],
            "cost_usd": [40.0, 60.0, other / 2, other / 2],
            "moves": [0.0, 8.0, 0.0, 0.0],
        }
    )
    board = advice.scoreboard(paid)
    assert board.loc[
        "advice", ["total_usd", "worst_step_usd", "worst_step", "gpus_moved"]
    ].tolist() == [100.0, 60.0, "2026-01-08", 8.0]
    assert board.loc["stay put", "over_advice"] == pytest.approx(other / 100 - 1)
    said = advice.verdict(board)
    assert says in said
    assert ("(as much, to 1 %)" in said) == (says == "made no difference")


def test_the_figure_ends_each_line_in_its_total(result):
    figure = summary.look_back(result[0])
    first = result[0]["period_utc"].min()
    assert figure.layout.title.text.startswith(f"Since {day(first)} the advice")
    texts = [a.text for a in figure.layout.annotations]
    assert len(texts) == 5
    assert sum("advice" in t for t in texts) == 1
    heights = sorted(a.y for a in figure.layout.annotations)
    assert min(np.diff(heights)) > 0


def test_history_is_what_the_record_says():
    record = Record(PRICES)
    offers = current_offers(
        record.events(as_of=END, gpu_only=True),
        record.looks(as_of=END),
        record.evidence(as_of=END),
        as_of=END,
        freshness=Freshness.of(14),
    ).offers
    assert (
        offers.set_index("offer_id")["price_usd_per_hour"]["gcp/us-b//a3-highgpu-8g/spot/"] == 11.0
    )
