"""The assignment of workloads to machines as a QUBO, by simulated annealing.

Binary variables alone, and penalties in place of limits: each workload takes one offer, pools hold
what they can (slack in powers of two), and an offer in use opens its site.

References
----------
Lucas, Ising formulations of many NP problems, Frontiers in Physics 2, 2014 (assignment, slack).
Glover, Kochenberger and Du, A tutorial on formulating and using QUBO models, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudarb_lib.allocate.problem.dominance import dominated
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.base.errors import ParameterError, SolveError


@dataclass(frozen=True)
class Assignment:
    """The best sample of an annealing.

    Attributes
    ----------
    counts : (assignments,), 0 or 1.
    cost_usd : of the assignments and of the sites that they open; NaN where no sample is a plan.
    n_variables : of the QUBO.
    plans : share of the samples that are plans.
    """

    counts: np.ndarray
    cost_usd: float
    n_variables: int
    plans: float


def anneal(problem: Problem, *, reads: int, sweeps: int, seed: int) -> Assignment:
    """Return the best plan among the samples of simulated annealing.

    Assignments that no best plan needs are left out, as the product leaves them out.

    Parameters
    ----------
    problem : Problem
        Every demand is met by one unit of an assignment; without limits but capacity.
    reads, sweeps : int
        Samples, and passes over all variables for each.
    seed : int
        Of the annealing.

    Raises
    ------
    ParameterError
        Where a demand is not met by one unit alone, or may be left undone.
    SolveError
        Where the extra research is not installed.
    """
    try:
        import dimod
        from dwave.samplers import SimulatedAnnealingSampler
    except ImportError as cause:
        raise SolveError("dwave-samplers is not installed.", "make platform") from cause
    single = np.flatnonzero(_is_single(problem) & ~dominated(problem))
    if set(problem.demand_of[single]) != set(range(len(problem.need))):
        what = "a demand is not met by one machine, or may be left undone."
        raise ParameterError(what, "Give demands that one machine fills.")
    model = dimod.BinaryQuadraticModel("BINARY")
    _add_costs(model, problem, single)
    penalty = _penalty(problem, single)
    _add_demands(model, problem, single, penalty)
    _add_capacities(model, problem, single, penalty)
    sampler = SimulatedAnnealingSampler()
    samples = sampler.sample(model, num_reads=reads, num_sweeps=sweeps, seed=seed)
    return _best(samples, problem, single, len(model.variables))


def _is_single(problem: Problem) -> np.ndarray:
    """Say of each assignment whether one unit meets its demand, and fits its pool."""
    must = ~np.isfinite(problem.unmet_usd[problem.demand_of])
    meets = problem.cover >= problem.need[problem.demand_of] - 1e-9
    fits = problem.pool_use <= problem.capacity[problem.pool_of]
    return must & meets & fits


def _penalty(problem: Problem, single: np.ndarray) -> float:
    """Return what breaking a limit costs: more than any plan could save by it."""
    spread = np.ptp(problem.unit_cost[single])
    return float(spread + problem.fee_usd.max(initial=0.0) + 1.0)


def _add_costs(model: Any, problem: Problem, single: np.ndarray) -> None:
    """Add what assignments cost, and the fee of a site that is open, where one of it is taken."""
    for k in single:
        model.add_linear(f"x{k}", float(problem.unit_cost[k]))
    for site in np.flatnonzero(problem.fee_usd > 0):
        fee = float(problem.fee_usd[site])
        model.add_linear(f"site{site}", fee)
        for k in single[problem.site_of[single] == site]:
            # x (1 - open): taken in a closed site costs more than opening it
            model.add_linear(f"x{k}", 2 * fee)
            model.add_quadratic(f"x{k}", f"site{site}", -2 * fee)


def _add_demands(model: Any, problem: Problem, single: np.ndarray, penalty: float) -> None:
    """Add that each demand takes one assignment: penalty (1 - sum of x)^2."""
    for demand in range(len(problem.need)):
        terms = [(f"x{k}", 1.0) for k in single[problem.demand_of[single] == demand]]
        model.add_linear_equality_constraint(terms, lagrange_multiplier=penalty, constant=-1.0)


def _add_capacities(model: Any, problem: Problem, single: np.ndarray, penalty: float) -> None:
    """Add that pools hold what is taken, those that all demands together could not fill left out.

    Uses are counted in units of the smallest machine of the pool, and the room in whole ones.
    """
    for pool in np.unique(problem.pool_of[single]):
        members = single[problem.pool_of[single] == pool]
        unit = float(problem.pool_use[members].min())
        use = np.ceil(problem.pool_use[members] / unit - 1e-9).astype(int)
        room = int(np.floor(problem.capacity[pool] / unit + 1e-9))
        most = sum(
            int(use[problem.demand_of[members] == demand].max())
            for demand in np.unique(problem.demand_of[members])
        )
        if most <= room:
            continue
        model.add_linear_inequality_constraint(
            [(f"x{k}", int(n)) for k, n in zip(members, use, strict=True)],
            lagrange_multiplier=penalty,
            label=f"pool{pool}",
            constant=-room,
            ub=0,
        )


def _best(samples: Any, problem: Problem, single: np.ndarray, n_variables: int) -> Assignment:
    """Return the cheapest sample that is a plan, its cost counted anew from the problem."""
    variables = list(samples.variables)
    columns = [variables.index(f"x{k}") for k in single]
    taken = samples.record.sample[:, columns]
    best = Assignment(np.zeros(len(problem.assignments)), np.nan, n_variables, 0.0)
    n_plans = 0
    for row in np.repeat(taken, samples.record.num_occurrences, axis=0):
        counts = np.zeros(len(problem.assignments))
        counts[single] = row
        if not _is_plan(problem, counts):
            continue
        n_plans += 1
        sites = np.unique(problem.site_of[counts > 0])
        cost = float(problem.unit_cost @ counts + problem.fee_usd[sites].sum())
        if not best.cost_usd <= cost:
            best = Assignment(counts, cost, n_variables, 0.0)
    share = n_plans / int(samples.record.num_occurrences.sum())
    return Assignment(best.counts, best.cost_usd, n_variables, share)


def _is_plan(problem: Problem, counts: np.ndarray) -> bool:
    taken = np.bincount(problem.demand_of, counts, len(problem.need))
    used = np.bincount(problem.pool_of, counts * problem.pool_use, len(problem.capacity))
    return bool((taken == 1).all() and (used <= problem.capacity + 1e-9).all())
