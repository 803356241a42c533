"""How fast allocations are proven: ``python -m benchmarks.allocation [FILE.npz ...] --limits cvar``.

One JSON line an instance, by the product's own solve. Without files: the bundled instances under
each of the three sets of limits. The format of the files is in benchmarks/instances/README.md.
Beside it, on the same problem: what a chooser without shared limits takes (as SkyPilot does), and
the time of Gurobi where it is installed, as far as its free licence goes.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from cloudarb_lib import allocate, store
from cloudarb_lib.allocate.problem.eligible import fits
from cloudarb_lib.allocate.solver.milp import separate
from cloudarb_lib.allocate.solver.options import Solver
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.market import history
from cloudarb_lib.risk import simulate_paths
from cloudarb_lib.tables import assumptions

INSTANCES = Path(__file__).parent / "instances"
LIMITS = ("none", "cvar", "cvar+diversification")


def load_instance(file: Path, limits: str) -> allocate.Problem:
    """Return the problem of an instance file under ``limits``."""
    d = np.load(file)
    offers, sites, workloads = (
        len(d["offer_site"]),
        len(d["site_fee"]),
        int(d["pair_workload"].max()) + 1,
    )
    mean_price = d["scenario_price"].mean(axis=0)
    hours, offer = d["pair_instance_hours"], d["pair_offer"]
    sure = d["pair_expected_cost"] - mean_price[offer] * hours  # egress and the like
    slots = pd.DataFrame(
        {
            "offer_id": [f"offer {j}" for j in range(offers)],
            "period": 0,
            "pool": np.arange(offers),
            "provider": d["offer_provider"],
            "region": d["offer_site"],
            "site": d["offer_site"],
            "on_demand": ~d["offer_is_spot"],
            "gpus": 1.0,
            "list_price": d["offer_list_price"],
            "mean_price": mean_price,
        }
    )
    pairs = pd.DataFrame(
        {
            "demand": d["pair_workload"],
            "slot": offer,
            "cover": 1.0,
            "hours": hours,
            "instances": d["pair_instances"].astype(float),
            "pool_use": d["pair_instances"].astype(float),
            "sure_usd": np.where(np.abs(sure) < 1e-6, 0.0, sure),
            "most": 1.0,
        }
    )
    return allocate.Problem(
        demands=pd.DataFrame(
            {
                "workload": [f"workload {i}" for i in range(workloads)],
                "need": 1.0,
                "unmet_usd": np.inf,
            }
        ),
        slots=slots,
        assignments=pairs,
        pools=pd.DataFrame(
            {"name": slots["offer_id"], "capacity": d["offer_capacity"].astype(float)}
        ),
        sites=pd.DataFrame({"name": [f"site {k}" for k in range(sites)], "fee_usd": d["site_fee"]}),
        paths=d["scenario_price"],
        limits=allocate.Limits(
            budget_usd=float(d["budget"]),
            cvar_usd=float(d["cvar_limit"]) if "cvar" in limits else None,
            cvar_level=float(d["cvar_level"]),
            effective_providers=1 / float(d["hhi_limit"]) if "diversification" in limits else None,
        ),
        exact=True,
    )


def one_by_one(problem: allocate.Problem, *, repaired: bool) -> np.ndarray:
    """Return the counts of SkyPilot's choice: each workload in turn on the offer cheapest at list price.

    SkyPilot (sky/optimizer.py) knows no shared capacity; ``repaired`` lets a workload that finds an
    offer full fail over to its next cheapest, as its provisioning does. One that finds all full
    stays undone.
    """
    p, pairs = problem, problem.assignments
    slot = pairs["slot"].to_numpy()
    demand, pool = pairs["demand"].to_numpy(), p.slots["pool"].to_numpy()[slot]
    units = np.ceil(p.demands["need"].to_numpy()[demand] / pairs["cover"].to_numpy() - 1e-9)
    price = (
        p.slots["list_price"].to_numpy()[slot] * pairs["hours"].to_numpy()
        + pairs["sure_usd"].to_numpy()
    )
    takes, left = units * pairs["pool_use"].to_numpy(), p.pools["capacity"].to_numpy(float).copy()
    counts = np.zeros(len(pairs))
    for i in range(len(p.demands)):
        mine = np.flatnonzero(demand == i)
        for j in mine[np.argsort((units * price)[mine], kind="stable")]:
            if not repaired or takes[j] <= left[pool[j]]:
                counts[j] = units[j]
                left[pool[j]] -= takes[j]
                break
    return counts


def by_gurobi(problem: allocate.Problem, options: allocate.SolveOptions) -> dict[str, object]:
    """Return Gurobi's seconds, objective and gap: one tree, tail and cone cuts added as lazy rows.

    It gets the program as written down, without the product's knapsack cuts and fixings. Empty
    where gurobipy is missing; says so where the licence refuses the size.
    """
    try:
        import gurobipy as grb
    except ImportError:
        return {}
    began, milp = time.perf_counter(), to_milp(problem, tight=False)
    model = grb.Model(env=grb.Env(params={"OutputFlag": 0}))
    kinds = np.where(milp.integer, "I", "C").tolist()
    z = model.addMVar(len(milp.cost), lb=milp.lower, ub=milp.upper, obj=milp.cost, vtype=kinds)
    links = milp.links
    low, high = np.isfinite(milp.row_lower), np.isfinite(milp.row_upper)
    same = low & high & (milp.row_lower == milp.row_upper)
    model.addConstr(milp.rows[same] @ z == milp.row_upper[same])
    model.addConstr(milp.rows[high & ~same] @ z <= milp.row_upper[high & ~same])
    model.addConstr(milp.rows[low & ~same] @ z >= milp.row_lower[low & ~same])
    model.addConstr(links.matrix @ z <= links.upper)
    model.Params.LazyConstraints, model.Params.Threads = 1, options.threads
    model.Params.MIPGap, model.Params.TimeLimit = options.gap, options.time_limit_s

    def add_violated(model, where) -> None:
        if where == grb.GRB.Callback.MIPSOL:
            counts = np.round(milp.counts(model.cbGetSolution(z)))
            cuts = separate(milp, milp.point(counts), tolerance=1e-7, links=False)
        elif where == grb.GRB.Callback.MIPNODE and (
            model.cbGet(grb.GRB.Callback.MIPNODE_STATUS) == grb.GRB.OPTIMAL
        ):
            cuts = separate(milp, model.cbGetNodeRel(z), tolerance=1e-5, links=False)
        else:
            return
        for row, limit in zip(cuts.matrix, cuts.upper, strict=True):
            terms = grb.LinExpr(row.data.tolist(), [columns[i] for i in row.indices])
            model.cbLazy(terms <= limit)

    columns = z.tolist()
    try:
        model.optimize(add_violated)
    except grb.GurobiError as cause:
        return {"gurobi": str(cause)}
    found: dict[str, object] = {"gurobi_seconds": round(time.perf_counter() - began, 2)}
    if model.SolCount:
        verdict = allocate.check(problem, np.round(milp.counts(z.X)))
        found |= {
            "gurobi_objective": round(verdict.objective_usd, 2),
            "gurobi_check": not verdict.broken,
        }
        found["gurobi_gap"] = float(f"{model.MIPGap:.3g}")
    return found


def measure(file: Path, limits: str, options: allocate.SolveOptions) -> dict[str, object]:
    """Return one line of the report: the instance solved, timed and checked, and others beside it."""
    cpu, problem = time.process_time(), load_instance(file, limits)
    plan = allocate.solve(problem, options)
    cpu = time.process_time() - cpu
    line: dict[str, object] = {"file": file.name, "limits": limits, "status": plan.status}
    line["bound"] = round(plan.bound_usd, 2)
    if plan.has_plan:
        line |= {"objective": round(plan.objective_usd, 2), "gap": float(f"{plan.gap:.3g}")}
        line["check"] = not plan.verdict.broken
        line["cvar"] = round(plan.verdict.cvar_usd, 2)
    line |= {"seconds": round(plan.seconds, 2), "cpu_seconds": round(cpu, 2)}
    if plan.has_plan:  # prices move by 2 % each: the plan of before is the one to beat
        moved = np.exp(np.random.default_rng(1).normal(0, 0.02, len(problem.slots)))
        slots = problem.slots.assign(
            **{c: problem.slots[c] * moved for c in ("list_price", "mean_price")}
        )
        again = replace(
            problem, slots=slots, paths=None if problem.paths is None else problem.paths * moved
        )
        cpu = time.process_time()
        warm = allocate.solve(again, options, start=plan.table)
        line |= {"again_seconds": round(warm.seconds, 2), "again_status": warm.status}
        line["again_cpu_seconds"] = round(time.process_time() - cpu, 2)
    for name, repaired in (("skypilot", False), ("skypilot_failover", True)):
        verdict = allocate.check(problem, one_by_one(problem, repaired=repaired))
        line[name] = {
            "objective": round(verdict.objective_usd, 2),
            "cvar": round(verdict.cvar_usd, 2),
            "breaks": len(verdict.broken),
            "such_as": list(verdict.broken[:3]),
        }
    rival = by_gurobi(problem, options)
    if isinstance(seconds := rival.get("gurobi_seconds"), float):
        rival["times_gurobi"] = round(plan.seconds / seconds, 1)
    return line | rival


def compare(files: list[Path], limits: str, options: allocate.SolveOptions) -> None:
    """Print a line for each instance with the options as they are, and with one of them changed at a time."""
    efforts = [
        {name: effort} for name in ("presolve", "cuts", "heuristics") for effort in ("off", "high")
    ]
    others = [{"solver": name} for name in get_args(Solver) if name != options.solver]
    for changed in [{}, *others, *efforts]:
        for file in files:
            problem, cpu = load_instance(file, limits), time.process_time()
            plan = allocate.solve(problem, replace(options, **changed))
            cpu = time.process_time() - cpu
            print(
                json.dumps(
                    {
                        "file": file.name,
                        "limits": limits,
                        "changed": changed,
                        "status": plan.status,
                        "gap": float(f"{plan.gap:.3g}"),
                        "seconds": round(plan.seconds, 2),
                        "cpu_seconds": round(cpu, 2),
                    }
                ),
                flush=True,
            )


def real_problem(integers: int, *, worlds: int = 500, seed: int = 1) -> allocate.Problem:
    """Return a problem of so many integers, or a few more: every GPU offer of the store, workloads drawn.

    Prices ahead are thirteen weeks resampled from the last year of all price lists together; those of
    offers without a panel stay. CVaR must not exceed that of the cheapest plan to 1 %: prices of a
    list move together, so there is next to no room below.
    """
    rng, now = np.random.default_rng(seed), pd.Timestamp("2026-04-29", tz="UTC")
    known = assumptions.load_assumptions()
    with store.open_snapshot() as snapshot:
        events, looks = snapshot.events(as_of=now, gpu_only=True), snapshot.looks(as_of=now)
        grid = snapshot.table("grid_carbon")
    offers, sources = history.current_offers(events, looks, as_of=now, stale_after_days=3650.0)
    offers = allocate.with_places(offers[offers["term"] == ""], grid).reset_index(drop=True)
    panel = history.to_panel(history.fresh(events, sources), looks, freq="7D", as_of=now)
    panel = panel.select(panel.offers.index.isin(offers["offer_id"]))
    paths, _ = simulate_paths(
        panel, horizon_steps=13, n_paths=worlds, model="historical", seed=seed
    )
    models = offers["gpu_model"].value_counts().index[:12]
    workloads: list[allocate.Workload] = []
    size = 0
    while size < integers:
        chosen = rng.choice(models, size=rng.integers(1, 5), replace=False)
        w = allocate.Workload(
            f"w{len(workloads)}",
            float(2 ** rng.integers(0, 6)),
            {str(m): round(float(rng.uniform(0.5, 2)), 2) for m in chosen},
            interruptible=bool(rng.random() < 0.7),
            restart_minutes=10.0,
            count=int(rng.integers(1, 5)),
            regions=(str(rng.choice(["*", "us-*", "europe-*", "asia-*"])),),
        )
        try:
            size += int(fits(w, offers, known).sum())
        except ParameterError:  # no such model there
            continue
        workloads.append(w)
    problem = allocate.build_problem(
        workloads, offers, paths=paths, assumptions=known, hours=13 * 168.0
    )
    free = allocate.solve(problem, allocate.SolveOptions(gap=0.01, time_limit_s=300))
    return replace(problem, limits=replace(problem.limits, cvar_usd=free.verdict.cvar_usd))


def growth(sizes: list[int]) -> None:
    """Print a line for each size: to 0.5 % in 60 s up to 10,000 integers, to 1 % in 300 s beyond."""
    for integers in sizes:
        problem = real_problem(integers)
        gap, limit = (0.005, 60.0) if integers <= 10_000 else (0.01, 300.0)
        cpu = time.process_time()
        plan = allocate.solve(problem, allocate.SolveOptions(gap=gap, time_limit_s=limit))
        cpu = time.process_time() - cpu
        print(
            json.dumps(
                {
                    "integers": len(problem.assignments),
                    "offers": len(problem.slots),
                    "workloads": len(problem.demands),
                    "worlds": len(problem.paths),
                    "gap_wanted": gap,
                    "status": plan.status,
                    "gap": float(f"{plan.gap:.3g}"),
                    "seconds": round(plan.seconds, 1),
                    "cpu_seconds": round(cpu, 1),
                    "check": plan.has_plan and not plan.verdict.broken,
                }
            ),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--limits", choices=LIMITS)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--solver", default=allocate.SolveOptions.solver)
    parser.add_argument(
        "--options", action="store_true", help="compare solvers and efforts, one changed at a time"
    )
    parser.add_argument(
        "--scale", nargs="+", type=int, metavar="N", help="so many integers, on real offers"
    )
    given = parser.parse_args()
    if given.scale:
        growth(given.scale)
        return
    options = allocate.SolveOptions(
        gap=given.gap, time_limit_s=given.time_limit, solver=given.solver
    )
    files = given.files or sorted(INSTANCES.glob("*.npz"))
    for limits in [given.limits] if given.limits else LIMITS:
        if given.options:
            compare(files, limits, options)
            continue
        for file in files:
            print(json.dumps(measure(file, limits, options)), flush=True)


if __name__ == "__main__":
    main()
