"""Users in several places: each share of them is served from near it."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.limits.sums import WithinReach
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import WATTS, figures, offers, work

HOURS = 168.0
USD_PER_HOUR = np.array([30.0, 40.0, 90.0, 25.0])
IN_FOUR_REGIONS = allocate.with_places(
    offers(
        ("gcp", "us-central1", "h8", "on_demand", "H100", 8.0, USD_PER_HOUR[0]),
        ("gcp", "us-east4", "h8", "on_demand", "H100", 8.0, USD_PER_HOUR[1]),
        ("gcp", "europe-west3", "h8", "on_demand", "H100", 8.0, USD_PER_HOUR[2]),
        ("gcp", "asia-east1", "h8", "on_demand", "H100", 8.0, USD_PER_HOUR[3]),
    ),
    pd.DataFrame({"provider": ["gcp"], "region": ["us-west1"], "grid_gco2e_per_kwh": [80.0]}),
)
PLACES = ("aws/us-east-1", "aws/eu-central-1", "gcp/us-west1")
TRIPS = {"latency_ms_per_1000_km": 15, "latency_ms_at_least": 2, "capacity_gpus/on_demand": 48}
IS_NEAR = {
    25.0: [[False, True, False, False], [False, False, True, False], [False] * 4],
    50.0: [[True, True, False, False], [False, False, True, False], [True, False, False, False]],
    105.0: [[True, True, True, False], [False, True, True, False], [True, True, False, False]],
}
"""Whether each region is within so many ms of the users in each place, by an atlas."""


def problem_for(workload: allocate.Workload) -> allocate.Problem:
    return allocate.build_problem(
        [workload], IN_FOUR_REGIONS, assumptions=figures(**TRIPS, **WATTS)
    )


def can_serve(instances: np.ndarray, is_near: np.ndarray, gpus_wanted: np.ndarray) -> bool:
    """Whether GPUs can be divided over users: a transport problem, by a linear program."""
    users, regions = is_near.shape
    a_user = np.kron(np.eye(users), np.ones(regions))
    a_region = np.kron(np.ones(users), np.eye(regions))
    answer = linprog(
        np.zeros(users * regions),
        A_ub=np.vstack([-a_user, a_region]),
        b_ub=np.r_[-gpus_wanted, 8.0 * instances],
        bounds=[(0.0, None if near else 0.0) for near in is_near.ravel()],
    )
    return answer.status == 0


def least_usd(is_near: np.ndarray, gpus_wanted: np.ndarray, *, survives: bool) -> float:
    """The cost of the cheapest plan of all that serve every user; infinite without one."""
    best = np.inf
    is_reached = is_near.any(axis=0)
    for counts in itertools.product(range(5), repeat=4):
        instances = np.array(counts, float)
        usd = float(USD_PER_HOUR @ instances) * HOURS
        if usd >= best or instances[~is_reached].any():
            continue
        lost = [np.where(np.arange(4) == j, 0.0, instances) for j in range(4)] if survives else []
        if all(can_serve(left, is_near, gpus_wanted) for left in [instances, *lost]):
            best = usd
    return best


@pytest.mark.slow
@pytest.mark.parametrize(
    ("within_ms", "percents", "survives"),
    [
        (25.0, (60.0, 40.0), False),
        (50.0, (30.0, 30.0, 40.0), False),
        (105.0, (20.0, 70.0, 10.0), False),
        (105.0, (50.0, 50.0), True),
        (50.0, (20.0, 30.0, 50.0), True),
    ],
)
def test_the_plan_is_the_cheapest_that_serves_every_user_from_near(within_ms, percents, survives):
    need = 24.0
    users = tuple(
        allocate.Users(within_ms, at, percent)
        for at, percent in zip(PLACES, percents, strict=False)
    )
    workload = work(need, latency=users, survives_loss_of="region" if survives else "")
    is_near = np.array(IS_NEAR[within_ms])[: len(percents)]
    wanted = need * np.array(percents) / 100
    least = least_usd(is_near, wanted, survives=survives)
    plan = allocate.solve(problem_for(workload), allocate.SolveOptions(gap=1e-9))
    if np.isinf(least):
        assert plan.status == "infeasible"
    else:
        assert plan.objective_usd == pytest.approx(least)


def test_places_without_shares_hold_for_all_users():
    users = (allocate.Users(50.0, "aws/us-east-1"), allocate.Users(50.0, "gcp/us-west1"))
    plan = allocate.solve(problem_for(work(16.0, latency=users)))
    assert set(plan.table["region"]) == {"us-central1"}
    assert WithinReach.kind not in {row.kind for row in plan.problem.rows}


@pytest.mark.slow
def test_what_near_users_cost_is_told_and_how_it_would_give_way():
    users = (allocate.Users(25.0, PLACES[0], 50.0), allocate.Users(25.0, PLACES[1], 50.0))
    plan = allocate.solve(problem_for(work(32.0, latency=users)))
    near = allocate.binding(plan).set_index("limit").loc["w near aws/eu-central-1"]
    # eight GPUs fewer there move to the other users
    assert near["less_usd"] == pytest.approx(-(90.0 - 40.0) * HOURS / 8)
    most_there = (allocate.Users(25.0, PLACES[0], 20.0), allocate.Users(25.0, PLACES[1], 80.0))
    mends = allocate.conflicts(problem_for(work(64.0, latency=most_there)))
    for limit in ("capacity of gcp/europe-west3/", "w near aws/eu-central-1 51.2 is too much by"):
        assert any(words.startswith(limit) for words in mends)


def test_users_whom_nothing_reaches_are_named():
    users = (allocate.Users(25.0, PLACES[0], 50.0), allocate.Users(25.0, "aws/sa-east-1", 50.0))
    said = r"no offer that fits it is within 25 ms of aws/sa-east-1 \(gcp/us-east4 is at 1\d\d ms\)"
    with pytest.raises(ParameterError, match=said):
        problem_for(work(16.0, latency=users))


def test_users_are_told_in_words():
    users = (allocate.Users(25.0, PLACES[0], 60.0), allocate.Users(30.0, PLACES[1], 40.0))
    (also,) = allocate.demand_table(allocate.Demand([work(16.0, latency=users)]))["also"]
    assert (
        also == "users within 25 ms to aws/us-east-1 for 60 %, 30 ms to aws/eu-central-1 for 40 %"
    )


def trips_demand(*trips, within_ms=50.0):
    users = allocate.Users(within_ms, "aws/us-east-1")
    round_trips = tuple(allocate.RoundTrip(between, ms) for between, ms in trips)
    return allocate.Demand([work(8.0, latency=(users,))], round_trips=round_trips)


def built(demand):
    return allocate.build_problem(demand, IN_FOUR_REGIONS, assumptions=figures(**TRIPS, **WATTS))


def regions_rented(demand):
    return allocate.solve(built(demand)).table["region"].tolist()


def test_a_round_trip_that_was_measured_goes_before_its_estimate_either_way_round():
    assert regions_rented(trips_demand()) == ["us-central1"]
    slow = (("aws/us-east-1", "gcp/us-central1"), 60.0)
    assert regions_rented(trips_demand(slow)) == ["us-east4"]
    quick = (("gcp/asia-east1", "aws/us-east-1"), 45.0)
    assert regions_rented(trips_demand(slow, quick)) == ["asia-east1"]


def test_a_plan_says_which_round_trips_are_estimates():
    (told,) = [note for note in built(trips_demand()).notes if "round trips" in note]
    assert "of w to aws/us-east-1 are estimates from the great circle for 4 of 4 regions" in told
    known = [
        (("aws/us-east-1", f"gcp/{name}"), 40.0) for name in IN_FOUR_REGIONS["region"].unique()
    ]
    assert not [note for note in built(trips_demand(*known)).notes if "round trips" in note]


def test_a_round_trip_of_no_known_region_is_refused():
    misspelt = (("aws/us-east-1", "gcp/us-centrl1"), 5.0)
    with pytest.raises(ParameterError, match=r"no region 'gcp/us-centrl1' .did you mean"):
        built(trips_demand(misspelt))
    left = allocate.what_has_to_run(trips_demand(misspelt), IN_FOUR_REGIONS)
    assert regions_rented(left) == ["us-central1"]


def test_a_round_trip_of_work_that_is_left_out_for_now_stays():
    slow = allocate.RoundTrip(("aws/us-east-1", "gcp/us-central1"), 60.0)
    near = (allocate.Users(50.0, "aws/us-east-1"),)
    later = allocate.Workload("l", 8.0, {"H100": 1.0}, amounts=(0.0, 8.0), latency=near)
    demand = allocate.Demand([work(8.0), later], round_trips=(slow,))
    assert [w.name for w in allocate.as_it_is_now(demand).workloads] == ["w"]


def test_a_round_trip_that_stands_twice_is_refused_with_its_line(tmp_path):
    text = """demand:
  - workload: a
    needs: 8 H100
    latency: 20 ms to aws/us-east-1
round_trips:
  - {between: [aws/us-east-1, gcp/us-west1], ms: 9}
  - {between: [gcp/us-west1, aws/us-east-1], ms: 7}
"""
    file = tmp_path / "demand.yaml"
    file.write_text(text)
    with pytest.raises(ParameterError, match=r"line 7: round trip between .* repeats"):
        allocate.load_demand(file)
