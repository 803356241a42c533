"""Without a plan: the least that limits must give for one, by exceeding them at a price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.explain import PATIENCE, relaxation_at
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.limits import StatedLimit, limits_of, stated_limits
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.limits.spread import EffectiveProviders
from cloudarb_lib.allocate.problem.limits.together import is_kept_together
from cloudarb_lib.allocate.problem.model import Consumption, Limit, Problem, Use
from cloudarb_lib.allocate.problem.row import DEAR
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.trials import try_to_solve
from cloudarb_lib.base.errors import InfeasibleError

Relief = tuple[str, Problem | None]
"""A change that makes a plan possible: in words, and the problem so changed (None: not known)."""
LEAST = SolveOptions(gap=0.01, work_limit=PATIENCE)
"""To find the least that limits must give, to 1 %."""
_ANY = SolveOptions(gap=0.9, work_limit=5.0)
"""To find out whether there is a plan, whatever it costs."""
_CLOSE = 0.0005
"""Share of a limit: what it lacks need not be known more closely."""
_NEXT_TO_NOTHING = 0.002
"""Share of what limits are exceeded for, at their price, that all other costs may have."""
_DEARER = (1e2, 1e4)
"""So many times the price at which limits are exceeded is taken, until they are."""
_BEYOND_COMPARE = 99.0
"""A limit that lacks so many times what it is is told without comparison."""
_WHOLE_DOLLARS_FROM = 100.0
_LACKING = 1e-6
"""Relative: so little beyond a limit is no lack."""


def conflicts(problem: Problem) -> list[str]:
    """Return, in words, what alone would make a plan possible: the sentences of ``reliefs``."""
    sentences = [sentence for sentence, _ in reliefs(problem)]
    return sentences or ["nothing was found in time that would mend it"]


def require_plan(plan: Plan) -> Plan:
    """Return a plan that is there.

    Raises
    ------
    InfeasibleError
        Where no plan keeps every limit, with the sentences of ``conflicts``.
    SolveError
        Where none was found in time.
    """
    if plan.status == "infeasible":
        mends = "; ".join(conflicts(plan.problem))
        raise InfeasibleError("no plan keeps every limit.", f"What would mend it: {mends}.")
    _ = plan.verdict  # raises where there is none
    return plan


def reliefs(problem: Problem) -> list[Relief]:
    """Return the least changes that make a plan possible.

    Each kind of limit in turn gives way, in proportion to its size and for whole machines, while
    the others hold: as much more as told admits a plan, which has been checked, and to 1 % it is
    the least such, unless "or less" is told (where limits on shares give way together with others,
    it is). Then how far spend can be spread, regions that alone
    would mend it (the five cheapest of each workload are tried), and by how much less demand would,
    where some is left. Where no kind suffices alone, all give way together.

    Parameters
    ----------
    problem
        A problem without a plan.

    Returns
    -------
    list of (str, Problem or None)
        Each change in words and as the problem so changed. None where no plan of whole machines
        was found in time: the change told is then the least for parts of machines.
    """
    giving = [limit for limit in limits_of(problem) if limit.relief_order is not None]
    in_turn = sorted(giving, key=lambda limit: limit.relief_order or 0)
    found = [relief for limit in in_turn for relief in _relief(problem, [limit])]
    found += _less_spread(problem)
    found += _elsewhere(problem)
    if not found:
        found = _together(problem, giving)
    for sentence, less in _relief(problem, [Served()]):
        if less is None or less.demands["need"].sum() > 0.001 * problem.demands["need"].sum():
            found.append((sentence, less))
    in_parts = not is_kept_together(problem)  # parts of switches would split what stands together
    if in_parts and relaxation_at(to_milp(problem, tight=False)) is not None:
        parts = "Parts of machines would fit: only whole machines are in the way."
        found.insert(0, (parts, None))
    return found


def elastic(problem: Problem, limits: Iterable[Limit], *, times: float = 1.0) -> Problem:
    """Return the problem in which some limits may be exceeded at a price.

    Beside it other costs are next to nothing: for all of a limit's size it is the cost of the
    demand at its cheapest, times ``DEAR``, and so many ``times`` more.

    Parameters
    ----------
    problem
        The problem.
    limits
        Those of its limits that give way.
    times
        What the price is multiplied by.

    Returns
    -------
    Problem
        ``problem`` itself where none of ``limits`` has an end that could be exceeded.
    """
    price_usd = times * _price_usd(problem)
    for limit in limits:
        problem = limit.elastic(problem, price_usd)
    return problem


def _price_usd(problem: Problem) -> float:
    """Return what it costs to exceed a limit by all of its size."""
    serving = problem.assignments[problem.assignments["cover"] > 0]
    unit_cost = problem.unit_cost[serving.index] / serving["cover"]
    cheapest = unit_cost.groupby(serving["demand"]).min()
    return DEAR * max(float((cheapest * problem.demands["need"]).sum()), 1.0)


def relaxed_for(problem: Problem, counts: np.ndarray) -> tuple[str, Problem]:
    """Return what limits lack for a plan, and the problem with limits that admit it.

    Parameters
    ----------
    problem
        The problem, whose limits the plan may break.
    counts
        Units of each assignment, shape (assignments,).

    Returns
    -------
    str
        Empty where the plan keeps all limits.
    Problem
        With no more of each limit than the sentence says: rounded up to six figures.
    """
    sentences = []
    relaxed = problem
    for use in check(problem, counts).uses:
        lack = _lack(use)
        if isinstance(use.limit, EffectiveProviders) or not lack.any():
            continue
        names = use.limit.names(problem)
        figure = _amount if use.limit.unit == "USD" else _figure
        word = "too much" if use.at_least else "short"
        sentences += [
            f"{names[i]} {figure(use.available[i])} is {word} by {figure(lack[i])}"
            f"{_relative(lack[i], use.available[i])}"
            for i in np.flatnonzero(lack)
        ]
        available = use.available + lack
        if use.at_least:
            available = np.maximum(use.available - lack, 0.0)
        relaxed = use.limit.relaxed(relaxed, available)
    return "; ".join(sentences), relaxed


def most_effective(problem: Problem) -> float | None:
    """Return over how many effective providers (or regions) a plan can spread spend.

    Parameters
    ----------
    problem
        The problem; its own limit on effective providers does not count.

    Returns
    -------
    float or None
        Within 0.5 % by bisection, with whole machines; None where the other limits admit none.
    """
    least = _spread_at(problem, 1.0)
    most = float(problem.groups.max() + 1)
    level = most
    while least and most - least > 0.005 * least:
        reached = _spread_at(problem, level)
        if reached:
            least = reached
        else:
            most = level
        level = (least + most) / 2
    return float(np.floor(100 * least + 1e-6) / 100) or None


def _spread_at(problem: Problem, level: float) -> float:
    """Return how many effective providers a plan with at least ``level`` has; 0 without a plan."""
    plan = try_to_solve(problem.under(effective_providers=level), _ANY)
    return plan.verdict.effective if plan is not None and plan.has_plan else 0.0


def _relief(problem: Problem, limits: list[Limit]) -> list[Relief]:
    """Return what limits that give way must give for a plan, if that suffices."""
    soft = elastic(problem, limits)
    close_usd = _CLOSE * _price_usd(problem)
    options = replace(LEAST, gap_usd=close_usd)
    plan = None if soft is problem else try_to_solve(soft, options)
    if plan is None or plan.status == "infeasible":
        return []
    if plan.counts is None:
        return _in_parts(problem, soft)
    counts = plan.counts
    sentence, relaxed = relaxed_for(problem, counts)
    for times in _DEARER:
        usd = check(relaxed, counts).objective_usd
        if usd <= max(_NEXT_TO_NOTHING * plan.objective_usd, close_usd):
            break
        options = replace(LEAST, gap_usd=times * close_usd)
        dearer = try_to_solve(elastic(problem, limits, times=times), options, start=plan)
        if dearer is not None and dearer.counts is not None:
            plan = dearer
            counts = dearer.counts
            sentence, relaxed = relaxed_for(problem, counts)
    is_least = plan.gap <= 2 * LEAST.gap
    shares = [limit for limit in limits if _is_share(limit)]
    if shares and len(limits) == 1:
        counts, is_least = _least_share(problem, shares[0], counts)
        sentence, relaxed = relaxed_for(problem, counts)
    elif shares:
        is_least = False
    if not sentence or check(relaxed, counts).broken:
        return []
    return [(sentence if is_least else f"{sentence}, or less", relaxed)]


def _is_share(limit: Limit) -> bool:
    """Whether a limit is on a share: its price is on money or hours beyond it, not on the share."""
    return isinstance(limit, StatedLimit) and limit.unit_size != 1.0


def _least_share(problem: Problem, limit: Limit, counts: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a plan that exceeds a limit on a share by as little as any, and whether that is known.

    By bisection between the limit and ``counts``, a plan that breaks no other.
    """
    (bound,) = limit.available(problem)
    (beyond,) = limit.use(Consumption(problem, counts)).used
    within = bound
    is_known = True
    while abs(beyond - within) > LEAST.gap * abs(beyond - bound):
        middle = (within + beyond) / 2
        plan = try_to_solve(limit.relaxed(problem, np.array([middle])), _ANY)
        if plan is None or plan.counts is None:
            is_known &= plan is not None and plan.status == "infeasible"
            within = middle
            continue
        counts = plan.counts
        (beyond,) = limit.use(Consumption(problem, counts)).used
    return counts, is_known


def _in_parts(problem: Problem, soft: Problem) -> list[Relief]:
    """Return what limits must give for a plan in parts of machines, none of whole ones found."""
    parts = relaxation_at(to_milp(soft, tight=False))
    if parts is None:
        return []
    sentence, _ = relaxed_for(problem, parts.milp.counts(parts.z))
    return [(f"{sentence}, or more for whole machines", None)] if sentence else []


def _less_spread(problem: Problem) -> list[Relief]:
    """Return over how many providers spend can be spread, where that is too few for the limit."""
    spread = [limit for limit in stated_limits(problem) if isinstance(limit, EffectiveProviders)]
    found: list[Relief] = []
    for limit in spread:
        if most := most_effective(problem):
            sentence = f"{most:.2f} {limit.name(problem)} can be had, not {limit.bound:g}"
            found.append((sentence, limit.relaxed(problem, np.array([most]))))
    return found


def _elsewhere(problem: Problem) -> list[Relief]:
    """Return the regions of which one more allowed would mend it."""
    found: list[Relief] = []
    for sentence, wider in problem.elsewhere():
        under_our_limits = replace(wider, limits=problem.limits)
        plan = try_to_solve(under_our_limits, _ANY)
        if plan is not None and plan.has_plan:
            found.append((sentence, under_our_limits))
    return found


def _together(problem: Problem, giving: list[Limit]) -> list[Relief]:
    """Return what limits must give together, spend being spread as it may."""
    fewer = ""
    free = problem
    for limit in stated_limits(problem):
        if isinstance(limit, EffectiveProviders):
            fewer = f"; fewer {limit.name(problem)}"
            free = limit.without(problem)
    return [
        (f"no limit alone is at fault; together: {sentence}{fewer}", relaxed)
        for sentence, relaxed in _relief(free, giving)
    ]


def _lack(use: Use) -> np.ndarray:
    """Return how much each limit lacks for a plan; 0 where it keeps it."""
    is_lacking = use.beyond > _LACKING * np.maximum(abs(use.available), 1e-6)
    lack = np.zeros(len(use.used))
    for i in np.flatnonzero(is_lacking):
        lack[i] = _rounded_up(use.beyond[i])
    return lack


def _relative(lack: float, available: float) -> str:
    """Return in brackets how large a lack is; nothing where no such figure says anything."""
    if lack > _BEYOND_COMPARE * available:
        return ""
    if lack > available * (1 + LEAST.gap):
        return f" ({1 + lack / available:,.3g} times as much is needed)"
    return f" ({lack / available:.1%})"


def _amount(usd: float) -> str:
    """Return an amount, rounded up so that it is enough: $20,000, $4,192, $12.50."""
    cents = 1.0 if usd < _WHOLE_DOLLARS_FROM else 100.0
    whole = np.ceil(100.0 * usd / cents - 1e-6) * cents / 100.0
    return f"${whole:,.0f}" if float(whole).is_integer() else f"${whole:,.2f}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1e5 else f"{value:,.6g}"


def _rounded_up(value: float) -> float:
    """Return a positive value rounded up to the six figures that a sentence shows."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 5)
    return float(np.ceil(value / unit - 1e-9) * unit)
