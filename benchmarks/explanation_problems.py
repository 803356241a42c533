"""Random small problems of every shape that a demand file can have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.enumeration import least_cost, most_units
from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.testing import WATTS, figures, offers

_MOST_PLANS = 6_000
_MOST_WITH_ROOM = 40_000
"""So many plans there are at most where pools hold all that is wanted."""
_MACHINES = (
    ("gcp", "us-a", "h8", "spot", 8.0),
    ("gcp", "us-a", "h8", "on_demand", 8.0),
    ("gcp", "us-b", "h4", "spot", 4.0),
    ("aws", "eu-a", "h8", "on_demand", 8.0),
    ("gcp", "us-a", "h8", "reserved", 8.0),
)


def random_problem(rng: np.random.Generator) -> allocate.Problem:
    """Return a problem with few enough plans to try them all.

    Partial service, zero limits, periods, scenarios, commitments, one path and a CVaR level next
    to 1 come by chance.
    """
    while True:
        problem = _random_problem(rng)
        if problem is not None and _is_small(problem):
            return problem


def _is_small(problem: allocate.Problem) -> bool:
    """Return whether all plans can be tried, with limits as they are and without them."""
    with_room = np.prod(problem.assignments["most"].to_numpy(float) + 1)
    return np.prod(most_units(problem) + 1) <= _MOST_PLANS and with_room <= _MOST_WITH_ROOM


def _random_problem(rng: np.random.Generator) -> allocate.Problem | None:
    """Return a problem; None where its parts do not fit each other."""
    periods = int(rng.choice([1, 2, 3], p=(0.6, 0.25, 0.15)))
    table = _random_offers(rng)
    paths = _random_paths(rng, table, periods)
    changes = {
        **WATTS,
        "interruption_per_hour/spot/typical": rng.choice([0.0, 0.01]),
        "outage_hours/spot/typical": 10.0,
        "site_fee_usd_per_week": rng.choice([0.0, rng.uniform(50.0, 900.0)]),
        "capacity_gpus/spot": float(rng.choice([0, 8, 12, 16, 20])),
        "capacity_gpus/on_demand": float(rng.choice([8, 16, 20])),
        "capacity_gpus/reserved": float(rng.choice([8, 16])),
    }
    given = {"paths": paths, "assumptions": figures(**changes), "hours": [168.0] * periods}
    is_committed = (table["purchase_option"] == "reserved").any()
    terms = ("1y",) if is_committed and rng.random() < 0.5 else ()
    level = float(rng.choice([0.5, 0.9, 0.95, 1 - 1e-9]))
    free = allocate.Limits(cvar_level=level, terms=terms)
    demand = _random_demand(rng, table, periods)
    try:
        problem = allocate.build_problem(demand, table, limits=free, **given)
    except ParameterError:  # no offer fits a workload
        return None
    if not _is_small(problem):
        return None
    limits = _random_limits(rng, problem)
    return allocate.build_problem(demand, table, limits=limits, **given)


def _random_offers(rng: np.random.Generator) -> pd.DataFrame:
    """Return two or three offers of random prices; aws draws on a grid without CO2e."""
    chosen = rng.choice(len(_MACHINES), size=int(rng.choice([2, 3])), replace=False)
    rows = []
    for i in sorted(chosen):
        provider, region, machine, option, gpus = _MACHINES[i]
        price = float(rng.uniform(1.0, 5.0) * gpus)
        rows.append((provider, region, machine, option, "H100", gpus, price))
    table = offers(*rows)
    return table.assign(
        grid_gco2e_per_kwh=np.where(table["provider"] == "aws", 0.0, rng.uniform(50, 500))
    )


def _random_paths(rng: np.random.Generator, table: pd.DataFrame, periods: int) -> Paths | None:
    """Return none, one or several sample paths, a step a period."""
    n = int(rng.choice([0, 1, 5], p=(0.15, 0.25, 0.6)))
    if not n:
        return None
    times = pd.date_range("2026-01-01", periods=periods, freq="7D", tz="UTC")
    price = table["price_usd_per_hour"].to_numpy()[:, None, None]
    moves = rng.normal(0.0, 0.3, (len(table), n, periods)) + rng.normal(0.0, 0.2, (1, n, 1))
    return Paths(pd.Index(table["offer_id"]), times, price * np.exp(moves))


def _random_demand(rng: np.random.Generator, table: pd.DataFrame, periods: int) -> allocate.Demand:
    """Return one or two workloads, perhaps with commitments and scenarios."""
    workloads = [_random_workload(rng, f"w{i}", periods) for i in range(int(rng.choice([1, 2])))]
    held: tuple[allocate.Commitment, ...] = ()
    if rng.random() < 0.3:
        machine = "/".join(table.iloc[0][["provider", "region", "instance_type"]])
        price = float(rng.uniform(4.0, 30.0))
        held = (allocate.Commitment(machine, float(rng.integers(1, 3)), price),)
    scenarios: tuple[allocate.DemandScenario, ...] = ()
    if rng.random() < 0.2:
        factors = {"w0": float(rng.choice([0.0, 0.5, 2.0]))}
        scenarios = (
            allocate.DemandScenario("base", 0.7),
            allocate.DemandScenario("other", 0.3, factors),
        )
    return allocate.Demand(workloads, held, scenarios)


def _random_workload(rng: np.random.Generator, name: str, periods: int) -> allocate.Workload:
    """Return GPUs to hold or a batch, perhaps of so little worth that it is left undone."""
    is_batch = bool(rng.random() < 0.25)
    amount = float(rng.choice([3, 4, 8, 10, 12, 16]))
    worth = float(rng.uniform(0.5, 5.0)) if rng.random() < 0.4 else None
    return allocate.Workload(
        name,
        amount * HOURS_PER_WEEK if is_batch else amount,
        {"H100": 1.0},
        batch=is_batch,
        deadline_weeks=float(periods) if is_batch and rng.random() < 0.5 else np.inf,
        interruptible=bool(rng.random() < 0.8),
        worth_usd_per_gpu_hour=worth,
        start_minutes=float(rng.choice([0.0, 600.0], p=(0.8, 0.2))),
    )


def _random_limits(rng: np.random.Generator, problem: allocate.Problem) -> allocate.Limits:
    """Return limits near to what binds, each there by chance, some of them 0."""
    cost = least_cost(problem).loose
    if not 0 < cost < np.inf:
        cost = 5_000.0

    def perhaps(chance: float, low: float, high: float) -> float | None:
        if rng.random() > chance:
            return None
        return 0.0 if rng.random() < 0.1 else float(rng.uniform(low, high))

    has_paths = problem.paths is not None
    spread = rng.uniform(1.05, 2.1) if rng.random() < 0.2 else None
    usd_per_tonne = perhaps(0.15, 50.0, 500.0)
    return replace(
        problem.limits,
        budget_usd=perhaps(0.4, 0.6 * cost, 1.3 * cost),
        cvar_usd=perhaps(0.4, 0.7 * cost, 1.5 * cost) if has_paths else None,
        effective_providers=spread,
        diversify=str(rng.choice(["provider", "region"])),
        max_provider_share=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.15 else None,
        min_on_demand_share=perhaps(0.2, 0.1, 0.9),
        carbon_kg=perhaps(0.2, 50.0, 2_000.0),
        carbon_usd_per_tonne=usd_per_tonne,
    )
