"""How fast allocations are proven: ``python -m benchmarks.allocation [FILE.npz ...]``.

One JSON line an instance, by the product's own solve. Without files: the bundled instances under
each of the three sets of limits. The format of the files is in benchmarks/instances/README.md.
Beside it, on the same problem: what a chooser without shared limits takes (as SkyPilot does), and
the time of Gurobi where it is installed, as far as its free licence goes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from benchmarks.allocation_drawn import draw
from benchmarks.allocation_peers import by_gurobi, one_by_one
from benchmarks.allocation_warm import follow
from benchmarks.allocation_without import without_each
from cloudarb_lib import allocate, store
from cloudarb_lib.allocate.problem.eligible import fits
from cloudarb_lib.allocate.problem.limits.cvar import Cvar
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.allocate.relax import elastic
from cloudarb_lib.allocate.solver.options import Solver
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.work import allowance_of
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.market import read_market
from cloudarb_lib.risk import simulate_paths
from cloudarb_lib.tables import assumptions

INSTANCES = Path(__file__).parent / "instances"
LIMITS = ("none", "cvar", "cvar+diversification")


def load_instance(file: Path, limits: str) -> allocate.Problem:
    """Return the problem of an instance file under ``limits``."""
    return problem_of(np.load(file), limits)


def problem_of(instance: Mapping[str, np.ndarray], limits: str) -> allocate.Problem:
    """Return the problem of an instance under ``limits``; its budget is on list prices."""
    slots = _slots_of(instance)
    spend = Row(
        "spend at list prices",
        np.arange(len(slots)),
        slots["list_price"].to_numpy(),
        upper=float(instance["budget"]),
        on_usage=True,
    )
    workloads = int(instance["pair_workload"].max()) + 1
    demands = pd.DataFrame(
        {"workload": [f"workload {i}" for i in range(workloads)], "need": 1.0, "unmet_usd": np.inf}
    )
    capacity = instance["offer_capacity"].astype(float)
    fee = instance["site_fee"]
    least_providers = 1 / float(instance["hhi_limit"])
    return allocate.Problem(
        demands=demands,
        slots=slots,
        assignments=_assignments_of(instance),
        pools=pd.DataFrame({"name": slots["offer_id"], "capacity": capacity}),
        sites=pd.DataFrame({"name": [f"site {k}" for k in range(len(fee))], "fee_usd": fee}),
        paths=instance["scenario_price"],
        limits=allocate.Limits(
            cvar_usd=float(instance["cvar_limit"]) if "cvar" in limits else None,
            cvar_level=float(instance["cvar_level"]),
            effective_providers=least_providers if "diversification" in limits else None,
        ),
        exact=True,
        rows=(spend,),
    )


def drawn_problem(seed: int, limits: str) -> allocate.Problem:
    """Return the problem of an instance drawn by a seed.

    CVaR is limited halfway from that of the cheapest plan to the least there is, each to 1 %,
    effective providers a quarter of the way from its own to all, the budget 5 % above its spend.
    """
    instance = draw(seed)
    no_limits = {"budget": np.inf, "cvar_limit": 0.0, "cvar_level": 0.95, "hhi_limit": 1.0}
    free = problem_of(instance | {name: np.array(n) for name, n in no_limits.items()}, "none")
    roughly = allocate.SolveOptions(gap=0.01, work_limit=300.0)
    cheapest = allocate.solve(free, roughly).verdict
    half = cheapest.cvar_usd / 2
    safest = allocate.solve(elastic(free.under(cvar_usd=half), [Cvar(half)]), roughly).verdict
    providers = int(instance["offer_provider"].max()) + 1
    stated = {
        "budget": 1.05 * cheapest.list_spend_usd,
        "cvar_limit": (cheapest.cvar_usd + safest.cvar_usd) / 2,
        "cvar_level": 0.95,
        "hhi_limit": 4 / (3 * cheapest.effective + providers),
    }
    return problem_of(instance | {name: np.array(n) for name, n in stated.items()}, limits)


def _slots_of(instance: Mapping[str, np.ndarray]) -> pd.DataFrame:
    site = instance["offer_site"]
    return pd.DataFrame(
        {
            "offer_id": [f"offer {j}" for j in range(len(site))],
            "period": 0,
            "pool": np.arange(len(site)),
            "provider": instance["offer_provider"],
            "region": site,
            "site": site,
            "on_demand": ~instance["offer_is_spot"],
            "gpus": 1.0,
            "list_price": instance["offer_list_price"],
            "mean_price": instance["scenario_price"].mean(axis=0),
        }
    )


def _assignments_of(instance: Mapping[str, np.ndarray]) -> pd.DataFrame:
    slot = instance["pair_offer"]
    hours = instance["pair_instance_hours"]
    instances = instance["pair_instances"].astype(float)
    rent = instance["scenario_price"].mean(axis=0)[slot] * hours
    sure_usd = instance["pair_expected_cost"] - rent  # egress and the like
    return pd.DataFrame(
        {
            "demand": instance["pair_workload"],
            "slot": slot,
            "cover": 1.0,
            "hours": hours,
            "instances": instances,
            "pool_use": instances,
            "sure_usd": np.where(np.abs(sure_usd) < 1e-6, 0.0, sure_usd),
            "most": 1.0,
        }
    )


def solve_timed(
    problem: allocate.Problem, options: allocate.SolveOptions, *, start: pd.DataFrame | None = None
) -> tuple[allocate.Plan, float]:
    """Return the plan, and the CPU seconds it took."""
    began = time.process_time()
    plan = allocate.solve(problem, options, start=start)
    return plan, time.process_time() - began


def with_moved_prices(problem: allocate.Problem) -> allocate.Problem:
    """Return the problem of the next day: each price moved by 2 %."""
    factor = np.exp(np.random.default_rng(1).normal(0, 0.02, len(problem.slots)))
    prices = {name: problem.slots[name] * factor for name in ("list_price", "mean_price")}
    paths = None if problem.paths is None else problem.paths * factor
    return replace(problem, slots=problem.slots.assign(**prices), paths=paths)


def measure(problem: allocate.Problem, options: allocate.SolveOptions) -> dict[str, object]:
    """Return a line of the report: the problem solved, timed and checked, others beside it."""
    plan, cpu_s = solve_timed(problem, options)
    line: dict[str, object] = {"status": plan.status}
    line["bound"] = round(plan.bound_usd, 2)
    if plan.has_plan:
        line["objective"] = round(plan.objective_usd, 2)
        line["gap"] = float(f"{plan.gap:.3g}")
        line["check"] = not plan.verdict.broken
        line["cvar"] = round(plan.verdict.cvar_usd, 2)
    line["seconds"] = round(plan.seconds, 2)
    line["cpu_seconds"] = round(cpu_s, 2)
    line["work"] = round(plan.work, 2)
    if plan.has_plan:  # the plan of before is the one to beat
        warm, cpu_s = solve_timed(with_moved_prices(problem), options, start=plan.table)
        line["again_seconds"] = round(warm.seconds, 2)
        line["again_status"] = warm.status
        line["again_cpu_seconds"] = round(cpu_s, 2)
    for name, fails_over in (("skypilot", False), ("skypilot_failover", True)):
        verdict = allocate.check(problem, one_by_one(problem, fails_over=fails_over))
        line[name] = {
            "objective": round(verdict.objective_usd, 2),
            "cvar": round(verdict.cvar_usd, 2),
            "breaks": len(verdict.broken),
            "such_as": list(verdict.broken[:3]),
        }
    gurobi = by_gurobi(problem, options)
    if isinstance(seconds := gurobi.get("gurobi_seconds"), float):
        gurobi["times_gurobi"] = round(plan.seconds / seconds, 1)
    return line | gurobi


def compare(
    problem: allocate.Problem, options: allocate.SolveOptions
) -> Iterator[dict[str, object]]:
    """Yield a line for the options as they are, then for each with one changed."""
    efforts = [
        {name: effort} for name in ("presolve", "cuts", "heuristics") for effort in ("off", "high")
    ]
    others = [{"solver": name} for name in get_args(Solver) if name != options.solver]
    for changed in [{}, *others, *efforts]:
        plan, cpu_s = solve_timed(problem, replace(options, **changed))
        yield {
            "changed": changed,
            "status": plan.status,
            "gap": float(f"{plan.gap:.3g}"),
            "seconds": round(plan.seconds, 2),
            "cpu_seconds": round(cpu_s, 2),
        }


def spread(
    problem: allocate.Problem, shares: list[float], options: allocate.SolveOptions
) -> Iterator[dict[str, object]]:
    """Yield a line for each share that effective providers must be of all providers."""
    providers = problem.slots["provider"].nunique()
    for share in shares:
        plan, cpu_s = solve_timed(problem.under(effective_providers=share * providers), options)
        yield {
            "effective_providers": round(share * providers, 2),
            "of": providers,
            "status": plan.status,
            "gap": float(f"{plan.gap:.3g}"),
            "cpu_seconds": round(cpu_s, 1),
        }


def real_problem(integers: int, *, n_paths: int = 500, seed: int = 1) -> allocate.Problem:
    """Return a problem of so many integers, or a few more: workloads drawn, all GPU offers stored.

    Prices ahead are thirteen weeks resampled from the last year of all price lists together; those
    of offers without a panel stay. CVaR must not exceed that of the cheapest plan to 1 %: prices of
    a list move together, so there is next to no room below.
    """
    rng = np.random.default_rng(seed)
    now = pd.Timestamp("2026-04-29", tz="UTC")
    figures = assumptions.load_assumptions()
    with store.open_snapshot() as snapshot:
        market = read_market(snapshot, now, providers=None, stale_after_days=3650.0)
    offers = market.offers[market.offers["term"] == ""].reset_index(drop=True)
    panel = market.panel("7D")
    panel = panel.select(panel.offers.index.isin(offers["offer_id"]))
    paths, _ = simulate_paths(
        panel, horizon_steps=13, n_paths=n_paths, model="historical", seed=seed
    )
    workloads = _draw_workloads(rng, offers, figures, integers)
    problem = allocate.build_problem(
        workloads, offers, paths=paths, assumptions=figures, hours=13 * 168.0
    )
    problem = _with_room(problem)
    free = allocate.solve(problem, allocate.SolveOptions(gap=0.01, work_limit=300))
    return replace(problem, limits=replace(problem.limits, cvar_usd=free.verdict.cvar_usd))


def _with_room(problem: allocate.Problem) -> allocate.Problem:
    """Return the problem in which every workload can be spread evenly over its pools, and twice."""
    of_demand = np.bincount(problem.demand_of)
    machines = np.ceil(
        problem.need[problem.demand_of] / of_demand[problem.demand_of] / problem.cover
    )
    even = np.bincount(problem.pool_of, machines * problem.pool_use, len(problem.pools))
    return replace(
        problem, pools=problem.pools.assign(capacity=np.maximum(problem.capacity, 2 * even))
    )


def _draw_workloads(
    rng: np.random.Generator, offers: pd.DataFrame, figures: assumptions.Assumptions, integers: int
) -> list[allocate.Workload]:
    """Workloads with at least so many assignments between them."""
    models = offers["gpu_model"].value_counts().index[:12]
    workloads: list[allocate.Workload] = []
    n_assignments = 0
    while n_assignments < integers:
        accepted = rng.choice(models, size=rng.integers(1, 5), replace=False)
        workload = allocate.Workload(
            f"w{len(workloads)}",
            float(2 ** rng.integers(0, 6)),
            {str(model): round(float(rng.uniform(0.5, 2)), 2) for model in accepted},
            interruptible=bool(rng.random() < 0.7),
            restart_minutes=10.0,
            count=int(rng.integers(1, 5)),
            regions=(str(rng.choice(["*", "us-*", "europe-*", "asia-*"])),),
        )
        try:
            n_assignments += int(fits(workload, offers, figures).sum())
        except ParameterError:  # no such model there
            continue
        workloads.append(workload)
    return workloads


def growth(sizes: list[int], options: allocate.SolveOptions) -> None:
    """Print a line a size, with the time of its linear relaxation under the same limits."""
    for integers in sizes:
        problem = real_problem(integers)
        began = time.process_time()
        relaxation = Relaxation(to_milp(problem))
        relaxation.solve_with_cuts(allowance_of(options))
        lp_cpu_s = time.process_time() - began
        plan, cpu_s = solve_timed(problem, options)
        print(
            json.dumps(
                {
                    "integers": len(problem.assignments),
                    "offers": len(problem.slots),
                    "workloads": len(problem.demands),
                    "sample_paths": len(problem.paths),
                    "gap_wanted": options.gap,
                    "status": plan.status,
                    "gap": float(f"{plan.gap:.3g}"),
                    "cpu_seconds": round(cpu_s, 1),
                    "lp_cpu_seconds": round(lp_cpu_s, 2),
                    "times_lp": round(cpu_s / lp_cpu_s, 1),
                    "check": plan.has_plan and not plan.verdict.broken,
                }
            ),
            flush=True,
        )


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument(
        "--drawn", nargs="+", type=int, metavar="SEED", help="instances drawn, in place of files"
    )
    parser.add_argument("--limits", choices=LIMITS)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=60.0, help="by the clock, and by work")
    parser.add_argument("--solver", default=allocate.SolveOptions.solver)
    parser.add_argument(
        "--options", action="store_true", help="compare solvers and efforts, one changed at a time"
    )
    parser.add_argument(
        "--scale", nargs="+", type=int, metavar="N", help="so many integers, on real offers"
    )
    parser.add_argument(
        "--warm", action="store_true", help="one change after another, by one session"
    )
    parser.add_argument("--gurobi", action="store_true", help="with --warm: Gurobi beside it")
    parser.add_argument(
        "--without", action="store_true", help="each mechanism of the search left out in turn"
    )
    parser.add_argument(
        "--even",
        nargs="+",
        type=float,
        metavar="SHARE",
        help="effective providers, of all there are",
    )
    return parser.parse_args()


def main() -> None:
    given = asked()
    options = allocate.SolveOptions(
        gap=given.gap,
        work_limit=given.time_limit,
        time_limit_s=given.time_limit,
        solver=given.solver,
    )
    if given.scale:
        growth(given.scale, options)
        return
    for limits in [given.limits] if given.limits else LIMITS:
        for name, problem in _problems(given, limits):
            if given.options:
                lines = compare(problem, options)
            elif given.warm:
                lines = follow(problem, options, beside_gurobi=given.gurobi)
            elif given.without:
                lines = without_each(problem, options)
            elif given.even:
                lines = spread(problem, given.even, options)
            else:
                lines = iter([measure(problem, options)])
            for line in lines:
                print(json.dumps({"file": name, "limits": limits, **line}, default=str), flush=True)


def _problems(given: argparse.Namespace, limits: str) -> Iterator[tuple[str, allocate.Problem]]:
    """Yield the name and the problem of each instance asked for."""
    if given.drawn:
        for seed in given.drawn:
            yield f"drawn {seed}", drawn_problem(seed, limits)
        return
    for file in given.files or sorted(INSTANCES.glob("*.npz")):
        yield file.name, load_instance(file, limits)


if __name__ == "__main__":
    main()
