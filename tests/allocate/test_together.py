"""A job whose machines need each other stands in one place, or is told that no place holds it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.work import allowance_of
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import load, plan_for, work
from cloudarb_lib.testing.demand import random_allocation
from cloudarb_lib.testing.prices import offers

pytestmark = pytest.mark.solver

H100 = offers(
    ("gcp", "us-a", "h8", "spot", "H100", 8.0, 16.0),
    ("gcp", "us-a", "h8", "on_demand", "H100", 8.0, 80.0),
    ("gcp", "us-b", "h8", "spot", "H100", 8.0, 17.0),
    ("gcp", "us-b", "h8", "on_demand", "H100", 8.0, 72.0),
    ("aws", "eu-a", "h8", "spot", "H100", 8.0, 18.0),
)
"""A spot pool holds 32 GPUs, one on demand 64."""


def placed(together, amount=64, **changes):
    to_the_end = allocate.SolveOptions(gap=0.0)
    plan = plan_for(work(amount, together=together, **changes), table=H100, options=to_the_end)
    assert plan.status == "optimal"
    return plan


@pytest.mark.parametrize(
    ("together", "offers_used"),
    [
        ("anywhere", {"gcp/us-a//h8/spot/", "gcp/us-b//h8/spot/"}),
        ("provider", {"gcp/us-a//h8/spot/", "gcp/us-b//h8/spot/"}),
        ("region", {"gcp/us-b//h8/spot/", "gcp/us-b//h8/on_demand/"}),
        (True, {"gcp/us-b//h8/spot/", "gcp/us-b//h8/on_demand/"}),
        ("zone", {"gcp/us-b//h8/spot/", "gcp/us-b//h8/on_demand/"}),  # no record of zones
    ],
)
def test_a_job_stands_in_one_place_of_its_level(together, offers_used):
    plan = placed(together)
    used = plan.table["offer_id"].str.replace("/h8/spot/h8", "//h8/spot")
    parts = used.str.split("/")
    found = {f"{p[0]}/{p[1]}//h8/{p[4]}/" for p in parts}
    assert found == offers_used
    assert plan.table["gpus"].sum() == 64


def test_each_job_of_a_class_has_a_place_of_its_own():
    plan = placed("region", amount=32, count=3)
    assert plan.table.groupby("region")["gpus"].sum().to_dict() == {
        "us-a": 32,
        "us-b": 32,
        "eu-a": 32,
    }


def test_zones_are_places_where_the_record_tells_them():
    zones = H100[H100["purchase_option"] == "spot"].iloc[[0, 0, 2]].reset_index(drop=True)
    zones["zone"] = ["us-a-1", "us-a-2", "us-b-1"]
    zones["offer_id"] = zones["offer_id"] + zones["zone"]
    zones["price_usd_per_hour"] = [16.0, 15.0, 17.0]
    plan = plan_for(work(32, together="zone"), table=zones)
    assert plan.table["offer_id"].str[-6:].tolist() == ["us-a-2"]


def test_a_job_in_parts_is_hardly_cheaper_in_several_places_than_whole_in_one():
    """Else the relaxation would take the cheap pool of each place, and bound next to nothing."""
    plan = placed("region")
    relaxation = Relaxation(to_milp(plan.problem))
    assert relaxation.solve_with_cuts(allowance_of(allocate.SolveOptions())) == "optimal"
    assert 0.99 * plan.objective_usd < relaxation.value <= plan.objective_usd


def cheapest_by_enumeration(problem):
    """The least cost over all counts in which each demand stands at one site."""
    free = replace(problem, demands=problem.demands.assign(together=""))
    site = problem.site_of
    demand = problem.demand_of
    least = np.inf
    for counts in itertools.product(*(range(int(m) + 1) for m in problem.assignments["most"])):
        counts = np.array(counts, float)
        used = counts > 0
        if any(len(set(site[used & (demand == d)])) > 1 for d in range(len(problem.demands))):
            continue
        verdict = allocate.check(free, counts)
        if not verdict.broken:
            least = min(least, verdict.objective_usd)
    return least


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_best_plan_that_stands_together(seed):
    problem = random_allocation(seed, small=True)
    problem = replace(problem, exact=False, limits=allocate.Limits())
    problem.demands[["together", "jobs", "places"]] = ["region", 1.0, 1.0]
    plan = allocate.solve(problem, allocate.SolveOptions(gap=1e-9))
    least = cheapest_by_enumeration(problem)
    assert plan.has_plan == np.isfinite(least)
    if plan.has_plan:
        assert plan.objective_usd == pytest.approx(least)


def test_a_plan_that_is_split_is_found_out():
    problem = placed("region").problem
    split = placed("anywhere")
    counts = allocate.counts_of(problem, split.table)
    assert allocate.check(problem, counts).broken == ("places (regions) of w: 2 above 1",)


def test_where_no_place_holds_it_what_would_is_told():
    plan = plan_for(work(112, together="region"), table=H100)
    assert plan.status == "infeasible"
    told = allocate.conflicts(plan.problem)
    assert "places (regions) of w 1 is short by 1 (100.0%)" in told
    assert any(sentence.startswith("capacity of gcp/us-b") for sentence in told)
    assert any(sentence.startswith("demand of w 112 is too much by 16") for sentence in told)
    relief = dict(allocate.reliefs(plan.problem))["places (regions) of w 1 is short by 1 (100.0%)"]
    assert allocate.solve(relief).table["region"].nunique() == 2


def test_a_file_says_it_in_a_word(tmp_path):
    def read(value):
        text = f"demand:\n  - workload: a\n    needs: 8 H100\n    together: {value}\n"
        return load(tmp_path, text)[0].together

    assert [read(v) for v in ("yes", "no", "zone", "anywhere")] == [
        "region",
        "",
        "zone",
        "anywhere",
    ]
    with pytest.raises(ParameterError, match="together"):
        read("continent")
