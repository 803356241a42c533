"""Why this plan: what binds and what a unit more is worth, and runners-up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate import trials
from cloudarb_lib.allocate.plan import OUT_OF_TIME, Plan
from cloudarb_lib.allocate.problem.limits import StatedLimit, limits_of
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.model import Margin, Problem, Use
from cloudarb_lib.allocate.problem.row import Key
from cloudarb_lib.allocate.solver.milp import Milp
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.work import Allowance, allowance_of

PATIENCE = 30.0
"""Units of work that one question of an explanation may take, and all of ``binding``."""
_TRIAL = 5.0
"""Units of work that the solve of one limit with more or less of it may take."""
_STEPS = (1, 2, 4, 8, 16)
"""So many steps more of a limit are tried, until they save something; first of all the most."""
MOST_TRIED = 12
"""So many limits are tried, those first that are worth most in parts of machines."""
_LEAST_WORTH_USD = 0.01
MARGIN = "margin"
"""How a figure is known that no solve found: of the relaxation, in parts of machines."""
_BINDING = ["limit", "used", "available", "unit", "step", "worth_usd", "worth_is", "less_usd"]
_BINDING += ["less_is", "kind"]


def binding(plan: Plan, options: SolveOptions | None = None) -> pd.DataFrame:
    """Return the limits that bind in a plan, and what one unit more and less of each is worth.

    Each is tried, those first that are worth most at the margin of the relaxation: the problem is
    solved with a ``step`` more and a step less. A step is a machine, or of money 1 %, or as many
    times that, up to 16, as it takes to save something.

    Parameters
    ----------
    plan
        A plan that is there.
    options
        How to solve, by 5 units of work for each change, and by their limits or ``PATIENCE`` for
        all; to a smaller gap where it takes that to tell whether a change saves a cent.

    Returns
    -------
    pd.DataFrame
        Columns ``limit`` (its name), ``used``, ``available``, ``unit``, ``step`` (in units),
        ``worth_usd`` (what a unit more saves), ``worth_is``, ``less_usd`` (what a unit less costs)
        and ``less_is``, sorted by absolute worth, at least a cent. Where more costs and less
        saves, as of a demand, both are negative. How they are known: ``solved``; ``at most`` or
        ``at least`` so much, as far as it is proven; ``no plan`` with that change; ``none`` where
        there cannot be less; ``margin``: of the relaxation in which the plan's sites are open, as
        no work was left to solve; ``not known``. To these ``, out of time`` is added where the
        clock ended a solve. Last ``kind``, that of the limit.

    Raises
    ------
    SolveError
        Where there is no plan.
    """
    options = trials.to_the_cent(plan, options or SolveOptions())
    allowance = Allowance(min(PATIENCE, options.work_limit), options.time_limit_s)
    told = []
    for row in _candidates(plan).to_dict("records"):
        late = OUT_OF_TIME if allowance.is_late else ""
        row |= {"worth_usd": row["margin_usd"], "worth_is": MARGIN + late}
        row |= {"less_usd": np.nan, "less_is": trials.NOT_KNOWN + late}
        is_tried = row["rank"] < MOST_TRIED and not allowance.is_spent
        if is_tried:
            row |= _with_more(plan, row, options, allowance)
        if not _is_told(row):
            continue
        if is_tried:
            row["less_usd"], row["less_is"] = _worth(plan, row, -row["step"], options, allowance)
        told.append(row | {"step": row["step"] / row["of"].unit_size, "unit": row["of"].unit})
    table = pd.DataFrame(told, columns=_BINDING)
    return table.sort_values("worth_usd", key=np.abs, ascending=False, ignore_index=True)


def _with_more(plan: Plan, row: dict, options: SolveOptions, allowance: Allowance) -> dict:
    """Return what more of a limit is worth, and the least ``step`` tried at which it is.

    Whole machines make savings come in jumps: a limit binds if the most steps save something.
    """
    usd, known = np.nan, trials.NOT_KNOWN
    for times in (_STEPS[-1], *_STEPS):
        step = times * row["step"]
        usd, known = _worth(plan, row, step, options, allowance)
        is_nothing = known == trials.SOLVED and abs(usd) < _LEAST_WORTH_USD
        is_last = times == _STEPS[-1]
        if is_nothing == is_last:
            break
    if known.startswith(trials.NOT_KNOWN):
        usd, known = row["margin_usd"], MARGIN + known.removeprefix(trials.NOT_KNOWN)
    return {"worth_usd": usd, "worth_is": known, "step": step}


def _worth(
    plan: Plan, row: dict, by: float, options: SolveOptions, allowance: Allowance
) -> tuple[float, str]:
    """Return what so much more of a limit saves a unit (less: costs), and how it is known."""
    limit = row["of"]
    available = float(np.clip(row["available"] + by, *limit.ends))
    units = (available - row["available"]) / limit.unit_size
    if units * by <= 0:
        return np.nan, "none"
    try:
        changed = limit.changed(plan.problem, row["number"], available)
    except NotImplementedError:  # a kind that cannot be given more or less of
        return np.nan, trials.NOT_KNOWN
    if allowance.is_spent:
        return np.nan, trials.NOT_KNOWN + (OUT_OF_TIME if allowance.is_late else "")
    is_eased = (by > 0) != row["at_least"]
    limited = allowance.within(options, _TRIAL)
    tried = trials.extra_cost(plan, changed, limited, saves=is_eased)
    allowance.spend(tried.work)
    return -tried.usd / units + 0.0, tried.proof


def _is_told(row: dict) -> bool:
    """Return whether a limit binds as far as is known."""
    if row["worth_is"] == trials.SOLVED:
        return abs(row["worth_usd"]) >= _LEAST_WORTH_USD
    return row["worth_is"] == trials.NO_PLAN or abs(row["margin_usd"]) >= _LEAST_WORTH_USD


def _candidates(plan: Plan) -> pd.DataFrame:
    """Return the limits that may bind, a row each, as they are to be tried.

    All that are stated by one figure, and of others those of which less than a step is left, or
    that have a worth in parts of machines.
    """
    problem = plan.problem
    uses = [use for use in plan.verdict.uses if use.limit.is_listed]  # raises without a plan
    if problem.exact:  # a demand that one assignment must cover as it is has no unit more
        uses = [use for use in uses if use.limit.kind != Served.kind]
    saving, margin = _margins(plan)
    parts = [_limits_of_kind(use, problem, saving, margin) for use in uses]
    rows = pd.concat(parts, ignore_index=True).drop_duplicates("key")
    is_there = np.isfinite(rows["available"]) & ~(rows["at_least"] & (rows["available"] == 0))
    is_tight = (rows["left"] < rows["step"]) | (rows["margin_usd"].abs() >= _LEAST_WORTH_USD)
    rows = rows[is_there & (rows["is_stated"] | is_tight)]
    of_a_step = (rows["margin_usd"] * rows["step"]).abs()
    rows = rows.assign(of_a_step=of_a_step)
    rows = rows.sort_values(["is_stated", "of_a_step"], ascending=False, kind="stable")
    return rows.assign(rank=range(len(rows)))


def _margins(plan: Plan) -> tuple[dict[Key, float], Margin]:
    """Return what one more at the ends of each limit's rows saves in parts of machines.

    By the duals of the relaxation in which the plan's sites are open; nothing where it has no
    verdict.
    """
    problem = plan.problem
    milp = to_milp(problem, tight=False)
    relaxation = relaxation_at(milp, plan.counts)
    if relaxation is None:
        return {}, Margin(problem, np.zeros(len(problem.slots)), 0.0)
    spread = relaxation.z[milp.spread_columns]
    hours = problem.usage(milp.counts(relaxation.z))
    margin = Margin(problem, hours, spread.max() if len(spread) else 0.0)
    of_cuts = {limit.cuts: limit.keys(problem)[0] for limit in limits_of(problem) if limit.cuts}
    keys = [*milp.row_keys]
    for cuts in relaxation.cuts:
        keys += [of_cuts.get(name) for name in cuts.names]
    code: dict[Key | None, int] = {}
    codes = [code.setdefault(key, len(code)) for key in keys]
    sums = pd.Series(-relaxation.row_dual[: len(keys)]).groupby(codes).sum()
    return {key: float(sums[n]) for key, n in code.items() if key is not None}, margin


def _limits_of_kind(
    use: Use, problem: Problem, saving: dict[Key, float], margin: Margin
) -> pd.DataFrame:
    """Return what is used, available and left of the limits of one kind, a row each."""
    limit = use.limit
    keys = limit.keys(problem)
    dual = np.array([saving.get(key, 0.0) for key in keys])
    available = limit.available(problem)
    left = use.used - available if use.at_least else available - use.used
    return pd.DataFrame(
        {
            "key": keys,
            "of": limit,
            "number": range(len(keys)),
            "kind": limit.kind,
            "is_stated": isinstance(limit, StatedLimit),
            "at_least": use.at_least,
            "limit": limit.names(problem),
            "used": use.used,
            "available": available,
            "left": left,
            "step": limit.steps(problem),
            "margin_usd": limit.worth(dual, margin),
        }
    )


def relaxation_at(milp: Milp, counts: np.ndarray | None = None) -> Relaxation | None:
    """Return the relaxation of a program, solved with every cut that it needs.

    Parameters
    ----------
    milp
        The program.
    counts
        Units of each assignment of a plan, whose sites are then open.

    Returns
    -------
    Relaxation or None
        None where it has no solution, or no verdict by ``PATIENCE`` units of work.
    """
    relaxation = Relaxation(milp)
    most = milp.problem.assignments["most"].to_numpy(float)
    if counts is not None:
        sites = milp.site_columns
        most = milp.counts(milp.upper)
        relaxation.bound(sites, milp.point(counts)[sites], milp.upper[sites])
    # bounds repeat what rows say; without them the worth falls to the rows, which have limits
    no_bound = np.where(most > 0, np.inf, 0.0)
    relaxation.bound(np.arange(len(most)), np.zeros(len(most)), no_bound)
    status = relaxation.solve_with_cuts(Allowance(PATIENCE, np.inf))
    return relaxation if status == "optimal" else None


def runners_up(plan: Plan, options: SolveOptions | None = None) -> pd.DataFrame:
    """Return, for each workload that runs, what it would move to if its main pool were gone.

    Parameters
    ----------
    plan
        A plan that is there.
    options
        How to solve without each pool, by their limits for all (``PATIENCE`` unless given): what is
        left of them is shared by the workloads left.

    Returns
    -------
    pd.DataFrame
        A pool is provider/region/purchase option/GPU model (on a marketplace, the offer). Columns
        ``workload``, ``pool`` (largest cost now), ``runner_up`` (pools taken up or enlarged
        instead, and work left undone), ``extra_usd`` (cost of the best plan without that pool for
        that workload, less the cost now; NaN where nothing else can serve it within the limits)
        and ``extra_is``, how that is known, as in ``binding``.
    """
    options = options or SolveOptions(work_limit=PATIENCE)
    allowance = allowance_of(options)
    problem = plan.problem
    details = problem.assignment_details
    most = problem.assignments["most"]
    pool = details["pool"].map(problem.pools["name"])
    rows = []
    cost_by_workload = list(_cost_by_pool(plan).groupby(level=0, sort=False))
    for i, (workload, cost_now) in enumerate(cost_by_workload):
        main = str(cost_now.droplevel(0).idxmax())
        is_gone = (details["workload"] == workload) & ~_is_idle(problem) & (pool == main)
        table = problem.assignments.assign(most=most.where(~is_gone, 0.0))
        limited = allowance.within(options, allowance.left / (len(cost_by_workload) - i))
        other = trials.extra_cost(plan, replace(problem, assignments=table), limited)
        allowance.spend(other.work)
        runner_up = _NO_RUNNER_UP.get(other.proof, "none found in time")
        if other.plan is not None:
            runner_up = _taken_up(str(workload), plan, other.plan)
        rows.append((workload, main, runner_up, round(other.usd, 6), other.proof))
    return pd.DataFrame(rows, columns=["workload", "pool", "runner_up", "extra_usd", "extra_is"])


_NO_RUNNER_UP = {trials.NO_PLAN: "none within the limits"}


def _taken_up(workload: str, plan: Plan, other: Plan) -> str:
    """Return the pools that a workload takes up or enlarges in another plan, the largest first."""
    cost = [_cost_by_pool(each) for each in (plan, other)]
    now, then = (each[each.index.get_level_values(0) == workload] for each in cost)
    added = then.sub(now, fill_value=0.0).droplevel(0)
    taken_up = list(added[added > 0.01].sort_values(ascending=False).index[:3])
    if other.undone_usd.get(workload, 0.0) > plan.undone_usd.get(workload, 0.0):
        taken_up.append("left undone" if then.empty else "the rest left undone")
    return ", ".join(taken_up) or "its other pools as they are"


def _is_idle(problem: Problem) -> np.ndarray:
    """Return which assignments are machines committed to and not used."""
    details = problem.assignment_details
    return details.get("idle", pd.Series(False, details.index)).to_numpy(bool)


def _cost_by_pool(plan: Plan) -> pd.Series:
    """Return cost by workload and pool."""
    assert plan.counts is not None
    problem = plan.problem
    details = problem.assignment_details.assign(cost=plan.counts * problem.unit_cost)
    used = details[(plan.counts > 0) & ~_is_idle(problem)]
    pool = used["pool"].map(problem.pools["name"])
    return used.groupby(["workload", pool])["cost"].sum()
