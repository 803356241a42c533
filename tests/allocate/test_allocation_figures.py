"""Figures of a plan, of what changed and of a frontier."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.plots import allocation as plots
from cloudarb_lib.testing import plan_for, work


@pytest.mark.slow
def test_who_runs_where_and_what_it_costs_are_drawn():
    table = plan_for(work(40), allocate.Workload("v", 4.0, {"H100": 1.0})).table
    where = plots.who_runs_where(table)
    assert where.layout.title.text == "44 GPUs in 3 places; us-a (GCP) holds 73 %"
    bars = {bar.name: dict(zip(bar.y, bar.x, strict=True)) for bar in where.data}
    assert bars == {
        "v, on-demand": {"us-a (AWS)": 4.0},
        "w, spot": {"us-a (GCP)": 32.0, "us-b (GCP)": 8.0},
    }
    cost = plots.cost_breakdown(table)
    assert cost.layout.title.text.startswith("w takes ")
    assert sum(sum(bar.x) for bar in cost.data) == pytest.approx(table["expected_cost_usd"].sum())
    assert {bar.name for bar in cost.data} == {"on-demand", "spot"}


@pytest.mark.slow
def test_what_is_committed_and_what_comes_on_top_are_drawn():
    rows = [
        ("base", 0, "w in base", "reserved", 40.0),
        ("base", 0, "idle commitment in base", "reserved", 8.0),
        ("surge", 0, "w in surge", "reserved", 48.0),
        ("surge", 0, "w in surge", "on_demand", 16.0),
        ("surge", 1, "w in surge", "spot", 63.0),
        ("base", 1, "w in base", "reserved", 48.0),
    ]
    table = pd.DataFrame(
        rows, columns=["scenario", "period", "workload", "purchase_option", "gpus"]
    )
    drawn = plots.commit_first(table)
    assert (
        drawn.layout.title.text
        == "48 GPUs committed whatever comes, then 0 to 63 GPUs rented by the hour"
    )
    bars = {bar.name: dict(zip(bar.y, bar.x, strict=True)) for bar in drawn.data}
    assert bars == {
        "committed, used": {
            "base, period 1": 40.0,
            "base, period 2": 48.0,
            "surge, period 1": 48.0,
        },
        "committed, idle": {"base, period 1": 8.0},
        "on-demand, used": {"surge, period 1": 16.0},
        "spot, used": {"surge, period 2": 63.0},
    }
    by_the_hour = table[table["purchase_option"] != "reserved"]
    title = plots.commit_first(by_the_hour).layout.title.text
    assert title == "Nothing is committed: 16 to 63 GPUs rented by the hour"
    table = table.assign(provider="gcp", region="us", gpu_model="H100", expected_cost_usd=1.0)
    where, cost = plots.who_runs_where(table), plots.cost_breakdown(table)
    assert where.layout.title.text == "48 GPUs in 1 place at first in base; us (GCP) holds 100 %"
    assert {bar.name for bar in where.data} == {"w, reserved", "idle commitment, reserved"}
    assert cost.layout.title.text == "w takes 83 % of $6.00 of rent and fees"


def test_a_limit_that_is_not_used_up_is_told_only_where_more_is_proven_to_save():
    limits = pd.DataFrame(
        [
            ("capacity of gcp/us-a/spot/H100", 32.0, 32.0, 16_160.0, "solved", "capacity"),
            ("capacity of gcp/us-b/spot/H100", 12.0, 32.0, 7999.0, "solved", "capacity"),
            ("capacity of gcp/us-c/spot/H100", 32.0, 32.0, 200.0, "at most", "capacity"),
            ("capacity of gcp/us-d/spot/H100", 0.0, 32.0, 116.0, "at most", "capacity"),
            ("demand of w", 64.0, 64.0, 116.0, "solved", "demand"),
        ],
        columns=["limit", "used", "available", "worth_usd", "worth_is", "kind"],
    ).assign(unit="GPU", step=1.0)
    assert plots.found_to_bind(limits).index.tolist() == [0, 1, 2]
    drawn = plots.what_binds(limits)
    assert list(drawn.data[0].text) == ["at most $200 a GPU", "$7,999 a GPU", "$16,200 a GPU"]
    assert drawn.layout.title.text == (
        "1 GPU more of capacity of H100 spot in us-a (GCP) would save $16,200 a GPU"
    )
    assert "No limit was found" in plots.what_binds(limits[3:]).layout.title.text


def test_what_changed_is_drawn():
    changes = pd.DataFrame(
        {
            "workload": ["a", "a"],
            "offer_id": ["gcp/r//m/spot/", "gcp/s//m/spot/"],
            "before": [4.0, 0.0],
            "now": [1.0, 2.0],
        }
    )
    drawn = plots.moved(changes)
    assert drawn.layout.title.text == "2 machines are taken up, 3 given up against the last plan"
    before, now = drawn.data[-2:]
    assert (list(before.x), list(now.x)) == ([4.0, 0.0], [1.0, 2.0])
    assert list(now.y) == ["a: m in r spot (GCP)", "a: m in s spot (GCP)"]
    assert "Nothing changed" in plots.moved(changes.iloc[:0]).layout.title.text


def test_the_picture_of_a_frontier_says_what_safety_costs():
    curve = pd.DataFrame(
        {
            "limit": [1.0, 2.0, 3.0],
            "cost_usd": [np.nan, 150.0, 100.0],
            "bound_usd": [np.nan, 149.0, 100.0],
            "status": ["infeasible", "within_gap", "optimal"],
            "cvar_usd": 2.0,
            "effective": 1.5,
        }
    )
    of_carbon = {"x_title": "CO2e at most (tonnes)", "unit": "t of CO2e"}
    drawn = plots.frontier(curve, **of_carbon)
    assert drawn.layout.title.text == (
        "The tightest limit costs $50.00 more than the loosest; no plan can keep 1 t of CO2e"
    )
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in drawn.data] == [
        ("no plan costs less (proven)", [2.0, 3.0], [149.0, 100.0]),
        ("best plan", [2.0, 3.0], [150.0, 100.0]),
    ]
    assert drawn.data[1].customdata[0].tolist() == ["within_gap", 2.0, 1.5]
    assert "(USD)" in drawn.layout.yaxis.title.text
    late = plots.frontier(curve.assign(status="work_limit_without_plan"), **of_carbon)
    assert late.layout.title.text.endswith(
        "for 1 t of CO2e the search found no plan within its work, nor a proof that there is none"
    )
    bounded = curve.assign(
        status=["work_limit_without_plan", "within_gap", "not tried"],
        bound_usd=160.0,
        cost_usd=[np.nan, 150.0, np.nan],
    )
    assert plots.frontier(bounded, **of_carbon).layout.title.text == (
        "With a limit of 2 t of CO2e the plan costs $150; for 1 t of CO2e the search found no plan "
        "within its work, nor a proof that there is none, but that none costs less than $160; "
        "more (3 t of CO2e) was not tried then"
    )
    assert list(drawn.data[1].marker.symbol) == ["circle", "circle"]
    assert list(late.data[1].marker.symbol) == ["circle-open", "circle-open"]
    assert (drawn.data[1].line.dash, late.data[1].line.dash) == ("solid", "dash")
    one = curve.iloc[1:].assign(limit=[1e6, 1e6 + 1e-3])
    title = plots.frontier(one, **of_carbon).layout.title.text
    assert title == "No plan found keeps less than the cheapest does, $100"
    assert "No limit tried" in plots.frontier(curve.iloc[:1], **of_carbon).layout.title.text
    of_money = plots.frontier(curve, x_title="CVaR (USD)", unit="USD")
    assert of_money.layout.title.text.endswith("no plan can keep $1.00")
    assert of_money.layout.xaxis.tickprefix == "$"
