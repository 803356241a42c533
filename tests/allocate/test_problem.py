"""From workloads and offers to a problem, and what a problem refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.assign import rework_factor
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.testing import OFFERS, plan_for, random_allocation, work


def test_rework_is_young_daly():
    hazard, checkpoint, restart = 0.01, 0.1, 0.5
    every = np.linspace(0.5, 20, 20_000)
    lost = (checkpoint / every + hazard * (every / 2 + restart)).min()
    assert rework_factor(hazard, checkpoint_h=checkpoint, restart_h=restart) == pytest.approx(
        1 / (1 - lost)
    )
    assert rework_factor(0.0, checkpoint_h=checkpoint, restart_h=restart) == 1.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"throughput": {"H10": 1.0}}, "did you mean 'H100'"),
        ({"throughput": {"A100": 1.0}}, "A100-80GB"),
        ({"regions": ("asia-*",)}, "region asia-\\*: 0 left"),
        ({"providers": ("azure",)}, "provider azure: 0 left"),
        ({"options": ("spot",), "interruptible": False}, "not interruptible: no spot: 0 left"),
        ({"gpu_memory_gib": 100.0}, "GPU memory of 100 GiB: 0 left"),
        ({"gpus_per_instance": 16.0}, "16 GPUs a machine or more: 0 left"),
        ({"not_in": ("*",)}, "not in \\*: 0 left"),
        ({"not_in": ("awss/*",)}, r"not_in 'awss/\*' names no place .did you mean 'aws'"),
        ({"not_in": ("us-z",)}, "not_in 'us-z' names no place .did you mean 'us-"),
        ({"regions": ("us-a", "us-west99")}, "in 'us-west99' names no place"),
        ({"providers": ("gcp", "azur")}, "providers 'azur' names no place .did you mean 'azure'"),
    ],
)
def test_what_fits_nothing_says_why(changes, said):
    with pytest.raises(ParameterError, match=said):
        plan_for(work(**changes))


def test_a_place_may_be_ruled_out_that_nobody_offers_today():
    plan = plan_for(work(not_in=("azure/*", "eu-north-1", "*-west4")))
    assert plan.has_plan


def test_what_has_to_run_names_no_place_that_some_offers_lack():
    demand = allocate.Demand([work(regions=("us-a", "own-hall"), not_in=("own/*", "us-b"))])
    (left,) = allocate.what_has_to_run(demand, OFFERS).workloads
    assert (left.regions, left.not_in) == (("us-a",), ("us-b",))


def test_bad_prices_hours_and_demand_are_refused():
    for price in (np.nan, np.inf, 0.0, -1.0):
        with pytest.raises(DataError, match="costs"):
            plan_for(work(), table=OFFERS.assign(price_usd_per_hour=price))
    with pytest.raises(ParameterError, match="0 hours"):
        plan_for(work(), hours=0)
    with pytest.raises(ParameterError, match="no workload"):
        plan_for()


@pytest.mark.parametrize(
    "bad",
    [
        {"budget_usd": -1.0},
        {"cvar_level": 1.0},
        {"effective_providers": 0.5},
        {"hazard": "mild"},
        {"max_region_share": 1.5},
        {"diversify": "cloud"},
    ],
)
def test_impossible_limits_are_refused(bad):
    with pytest.raises(ParameterError):
        allocate.Limits(**bad)


def test_a_risk_limit_needs_worlds():
    with pytest.raises(ParameterError, match="needs price paths"):
        plan_for(work(), limits=allocate.Limits(cvar_usd=1e6))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("slots", "mean_price", np.nan),
        ("assignments", "hours", np.inf),
        ("pools", "capacity", -1.0),
    ],
)
def test_a_problem_refuses_the_impossible(name, column, value):
    base = random_allocation(3, small=True)
    with pytest.raises(DataError, match=column):
        replace(base, **{name: getattr(base, name).assign(**{column: value})})


def test_empty_or_broken_worlds_are_refused():
    base = random_allocation(3, small=True)
    for bad in (np.zeros((0, 4)), np.full((5, 4), np.nan), np.zeros((5, 3))):
        with pytest.raises(DataError, match="path"):
            replace(base, paths=bad)
    with pytest.raises(ParameterError, match="no workload"):
        replace(base, demands=base.demands.iloc[:0])


def test_expected_prices_come_from_the_worlds_and_gaps_are_told():
    times = pd.date_range("2026-01-01", periods=2, freq="7D", tz="UTC")
    paths = Paths(pd.Index(["gcp/us-a//h8/spot/"]), times, np.array([[[10.0, 20.0], [30.0, 40.0]]]))
    plan = plan_for(work(), paths=paths)
    assert plan.problem.notes == ("3 offers have no price paths and keep today's price.",)
    assert plan.table["offer_id"].tolist() == ["gcp/us-b//h8/spot/"]  # 20 beats an expected 25
