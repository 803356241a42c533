"""What others make of an allocation problem: a chooser without shared limits, and Gurobi."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, separate
from cloudarb_lib.allocate.solver.program import to_milp


def one_by_one(problem: allocate.Problem, *, fails_over: bool) -> np.ndarray:
    """Return the counts of SkyPilot's choice: each workload on the offer cheapest at list price.

    SkyPilot (sky/optimizer.py) knows no shared capacity; ``fails_over`` lets a workload that finds
    an offer full go to its next cheapest, as its provisioning does. One that finds all full
    stays undone.
    """
    assignments = problem.assignments
    slot = assignments["slot"].to_numpy()
    demand = assignments["demand"].to_numpy()
    pool = problem.slots["pool"].to_numpy()[slot]
    need = problem.demands["need"].to_numpy()[demand]
    units = np.ceil(need / assignments["cover"].to_numpy() - 1e-9)
    rent = problem.slots["list_price"].to_numpy()[slot] * assignments["hours"].to_numpy()
    cost = units * (rent + assignments["sure_usd"].to_numpy())
    pool_use = units * assignments["pool_use"].to_numpy()
    free = problem.pools["capacity"].to_numpy(float).copy()
    counts = np.zeros(len(assignments))
    for i in range(len(problem.demands)):
        choices = np.flatnonzero(demand == i)
        for j in choices[np.argsort(cost[choices], kind="stable")]:
            if not fails_over or pool_use[j] <= free[pool[j]]:
                counts[j] = units[j]
                free[pool[j]] -= pool_use[j]
                break
    return counts


def by_gurobi(
    problem: allocate.Problem,
    options: allocate.SolveOptions,
    *,
    trace: list[tuple[float, float]] | None = None,
) -> dict[str, object]:
    """Return Gurobi's seconds, objective and gap: one tree, tail and cone cuts as lazy rows.

    It gets the program as written down, without the product's knapsack cuts and fixings. Empty
    where gurobipy is missing; says so where the licence refuses the size. ``trace`` is given CPU
    seconds and cost of each better plan.
    """
    try:
        import gurobipy as grb
    except ImportError:
        return {}
    began = time.perf_counter()
    cpu_began = time.process_time()
    milp = to_milp(problem, tight=False)
    model = grb.Model(env=grb.Env(params={"OutputFlag": 0}))
    z = _add_program(model, milp)
    columns = z.tolist()
    model.Params.LazyConstraints = 1
    model.Params.Threads = options.threads
    model.Params.MIPGap = options.gap
    model.Params.TimeLimit = options.time_limit_s

    def add_violated(model: Any, where: int) -> None:
        violated = list(_violated(grb, model, where, milp, z))
        if where == grb.GRB.Callback.MIPSOL and not violated and trace is not None:
            cost = model.cbGet(grb.GRB.Callback.MIPSOL_OBJ)
            if not trace or cost < trace[-1][1]:
                trace.append((time.process_time() - cpu_began, cost))
        for row, limit in violated:
            terms = grb.LinExpr(row.data.tolist(), [columns[i] for i in row.indices])
            model.cbLazy(terms <= limit)

    try:
        model.optimize(add_violated)
    except grb.GurobiError as cause:
        return {"gurobi": str(cause)}
    report: dict[str, object] = {"gurobi_seconds": round(time.perf_counter() - began, 2)}
    report["gurobi_cpu_seconds"] = round(time.process_time() - cpu_began, 2)
    if model.SolCount:
        verdict = allocate.check(problem, np.round(milp.counts(z.X)))
        report["gurobi_objective"] = round(verdict.objective_usd, 2)
        report["gurobi_check"] = not verdict.broken
        report["gurobi_gap"] = float(f"{model.MIPGap:.3g}")
    return report


def _add_program(model: Any, milp: Milp) -> Any:
    """Add columns and rows of the program, links too; return the columns."""
    kinds = np.where(milp.integer, "I", "C").tolist()
    z = model.addMVar(len(milp.cost), lb=milp.lower, ub=milp.upper, obj=milp.cost, vtype=kinds)
    has_lower = np.isfinite(milp.row_lower)
    has_upper = np.isfinite(milp.row_upper)
    is_equation = has_lower & has_upper & (milp.row_lower == milp.row_upper)
    at_most = has_upper & ~is_equation
    at_least = has_lower & ~is_equation
    model.addConstr(milp.rows[is_equation] @ z == milp.row_upper[is_equation])
    model.addConstr(milp.rows[at_most] @ z <= milp.row_upper[at_most])
    model.addConstr(milp.rows[at_least] @ z >= milp.row_lower[at_least])
    model.addConstr(milp.links.matrix @ z <= milp.links.upper)
    return z


def _violated(grb: Any, model: Any, where: int, milp: Milp, z: Any) -> Any:
    """The cuts, each a row and its limit, that the point of a callback of Gurobi violates."""
    callback = grb.GRB.Callback
    if where == callback.MIPSOL:
        counts = np.round(milp.counts(model.cbGetSolution(z)))
        cuts: Cuts = separate(milp, milp.point(counts), tolerance=1e-7, links=False)
    elif where == callback.MIPNODE and model.cbGet(callback.MIPNODE_STATUS) == grb.GRB.OPTIMAL:
        cuts = separate(milp, model.cbGetNodeRel(z), tolerance=1e-5, links=False)
    else:
        return ()
    return zip(cuts.matrix, cuts.upper, strict=True)
