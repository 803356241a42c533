"""Random allocation problems, and two slow oracles that share no code with the product's solver."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import LinearConstraint, milp

from cloudarb_lib import allocate


class Size(NamedTuple):
    offers: int
    demands: int
    sites: int
    paths: int
    accepted: float
    """Share of the offers that a demand accepts."""


SIZES = {
    "tiny": Size(4, 2, 3, 20, 1.0),
    "small": Size(10, 5, 4, 50, 1.0),
    "medium": Size(25, 20, 8, 100, 0.5),
    "seed": Size(50, 60, 17, 500, 0.4),
}


# Random problems


def random_problem(rng: np.random.Generator, size: str) -> allocate.Problem:
    """Return a problem with any of the limits, from hopeless to loose, of a size in ``SIZES``."""
    n = SIZES[size]
    slots, paths = _random_slots(rng, n)
    demand, slot = _random_pairs(rng, n)
    need = rng.integers(1, 4, n.demands).astype(float)
    exact = bool(rng.random() < 0.4)
    cover = need[demand] if exact else rng.integers(1, 3, len(demand)).astype(float)
    most = np.ceil(need[demand] / cover)
    assignments = pd.DataFrame(
        {
            "demand": demand,
            "slot": slot,
            "cover": cover,
            "hours": rng.uniform(1, 3, len(demand)) * cover,
            "instances": 1.0,
            "pool_use": cover,
            "sure_usd": rng.uniform(0, 1, len(demand)),
            "most": np.minimum(most, 1) if size == "tiny" else most,  # keeps the enumeration short
        }
    )
    optional = rng.choice([0.0, 0.3])
    unmet_usd = np.where(rng.random(n.demands) < optional, rng.uniform(3, 20, n.demands), np.inf)
    unit_cost = paths.mean(axis=0)[slot] * assignments["hours"] / cover
    cheapest = float((unit_cost.groupby(demand).min().to_numpy() * need).sum())
    limits = _random_limits(rng, cheapest)
    tightness = rng.dirichlet(np.full(n.sites, 4.0)) * need.sum()
    capacity = np.round(tightness * rng.uniform(1, 4))
    return allocate.Problem(
        demands=pd.DataFrame(
            {"workload": [f"w{i}" for i in range(n.demands)], "need": need, "unmet_usd": unmet_usd}
        ),
        slots=slots,
        assignments=assignments,
        pools=pd.DataFrame({"name": [f"p{k}" for k in range(n.sites)], "capacity": capacity}),
        sites=pd.DataFrame(
            {"name": [f"s{k}" for k in range(n.sites)], "fee_usd": rng.uniform(0, 8, n.sites)}
        ),
        paths=paths,
        limits=limits,
        exact=exact,
    )


def _random_slots(rng: np.random.Generator, n: Size) -> tuple[pd.DataFrame, np.ndarray]:
    """Offers that move together, and their sample paths."""
    price = rng.uniform(1, 5, n.offers)
    market = rng.normal(0, rng.uniform(0, 0.3), (n.paths, 1))
    paths = price * np.exp(market + rng.normal(0, 0.3, (n.paths, n.offers)))
    site = rng.integers(0, n.sites, n.offers)
    pool = rng.integers(0, n.sites, n.offers)  # some pools span sites
    slots = pd.DataFrame(
        {
            "offer_id": [f"o{j}" for j in range(n.offers)],
            "period": 0,
            "provider": site % 5,
            "region": site,
            "on_demand": rng.random(n.offers) < 0.5,
            "site": site,
            "pool": pool,
            "gpus": 1.0,
            "list_price": price * rng.uniform(1, 1.2, n.offers),
            "mean_price": paths.mean(axis=0),
        }
    )
    return slots, paths


def _random_pairs(rng: np.random.Generator, n: Size) -> tuple[np.ndarray, np.ndarray]:
    """Demand and slot of each assignment; every demand accepts one offer at least."""
    is_accepted = rng.random((n.demands, n.offers)) < n.accepted
    is_accepted[np.arange(n.demands), rng.integers(0, n.offers, n.demands)] = True
    demand, slot = np.nonzero(is_accepted)
    return demand, slot


def _random_limits(rng: np.random.Generator, cheapest: float) -> allocate.Limits:
    """Limits of which each is there by chance; those in USD are multiples of ``cheapest``."""

    def perhaps(chance: float, low: float, high: float) -> float | None:
        value = rng.uniform(low, high)
        return value if rng.random() < chance else None

    def perhaps_usd(chance: float, low: float, high: float) -> float | None:
        value = perhaps(chance, low, high)
        return None if value is None else value * cheapest

    return allocate.Limits(
        budget_usd=perhaps_usd(0.6, 0.7, 2.5),
        cvar_usd=perhaps_usd(0.7, 1.0, 2.5),
        cvar_level=0.9,
        effective_providers=perhaps(0.3, 1.1, 2.5),
        min_on_demand_share=perhaps(0.3, 0.1, 0.6),
        max_provider_share=perhaps(0.2, 0.4, 0.9),
    )


# Brute force


def by_hand(problem: allocate.Problem) -> tuple[float, float]:
    """Return the least cost over all combinations of counts, twice (cost, bound); inf: no plan."""
    assignments = problem.assignments
    choices = (range(int(most) + 1) for most in assignments["most"])
    counts = np.array(list(itertools.product(*choices)), float)
    slot = assignments["slot"].to_numpy()
    hours = _totals(counts, slot, assignments["hours"].to_numpy(), len(problem.slots))
    served = _totals(
        counts,
        assignments["demand"].to_numpy(),
        assignments["cover"].to_numpy(),
        len(problem.demands),
    )
    missing = problem.demands["need"].to_numpy() - served
    unmet = np.maximum(missing, 0)
    unmet_usd = problem.demands["unmet_usd"].to_numpy()
    is_optional = np.isfinite(unmet_usd)
    is_kept = (unmet[:, ~is_optional] <= 0).all(axis=1)
    if problem.exact:
        is_kept &= ~(missing < 0).any(axis=1)
    pool = problem.slots["pool"].to_numpy()[slot]
    used = _totals(counts, pool, assignments["pool_use"].to_numpy(), len(problem.pools))
    is_kept &= (used <= problem.pools["capacity"].to_numpy()).all(axis=1)
    is_kept &= _keeps_limits(problem, hours)
    site = problem.slots["site"].to_numpy()[slot]
    is_open = _totals(counts, site, np.ones(len(slot)), len(problem.sites)) > 0
    plan_usd = counts @ problem.unit_cost + is_open @ problem.fee_usd
    if problem.limits.budget_usd is not None:
        is_kept &= plan_usd <= problem.limits.budget_usd
    cost = plan_usd + (unmet * np.where(is_optional, unmet_usd, 0)).sum(axis=1)
    best = float(np.min(cost[is_kept], initial=np.inf))
    return best, best


def _totals(counts: np.ndarray, group: np.ndarray, weight: np.ndarray, n: int) -> np.ndarray:
    """Weighted counts of each group, shape (combinations, groups)."""
    return np.column_stack([counts @ (weight * (group == g)) for g in range(n)])


def _keeps_limits(problem: allocate.Problem, hours: np.ndarray) -> np.ndarray:
    """Which plans keep every limit, from their instance-hours, shape (plans, slots)."""
    limits = problem.limits
    slots = problem.slots
    spend = hours * slots["mean_price"].to_numpy()
    total = spend.sum(axis=1)
    providers = slots["provider"].unique()
    of_provider = [
        spend[:, (slots["provider"] == name).to_numpy()].sum(axis=1) for name in providers
    ]
    by_provider = np.column_stack(of_provider)
    is_kept = np.ones(len(hours), bool)
    if limits.cvar_usd is not None:
        costs = -np.sort(-(hours @ problem.paths.T), axis=1)
        tail = round((1 - limits.cvar_level) * len(problem.paths))  # a whole number of paths
        is_kept &= costs[:, :tail].mean(axis=1) <= limits.cvar_usd
    if limits.effective_providers is not None:
        is_kept &= total**2 >= limits.effective_providers * (by_provider**2).sum(axis=1)
    if limits.max_provider_share is not None:
        is_kept &= by_provider.max(axis=1) <= limits.max_provider_share * total
    if limits.min_on_demand_share is not None:
        steady = hours[:, slots["on_demand"].to_numpy()].sum(axis=1)
        is_kept &= steady >= limits.min_on_demand_share * hours.sum(axis=1)
    return is_kept


# Another formulation


@dataclass
class _Formulation:
    """Columns: counts, sites, what is undone of each demand, VaR, excess cost of each path."""

    problem: allocate.Problem
    constraints: list[LinearConstraint] = field(default_factory=list)

    def __post_init__(self) -> None:
        problem = self.problem
        self.sites_at = len(problem.assignments)
        self.undone_at = self.sites_at + len(problem.sites)
        self.var_at = self.undone_at + len(problem.demands)
        self.excess_at = self.var_at + 1
        self.width = self.excess_at + len(problem.paths)
        self.slot = problem.assignments["slot"].to_numpy()
        self.hours = problem.assignments["hours"].to_numpy()
        self.rent = problem.slots["mean_price"].to_numpy()[self.slot] * self.hours
        self.provider = problem.slots["provider"].to_numpy()[self.slot]

    def of_slot(self, column: str) -> np.ndarray:
        """A column of the slots, for each assignment."""
        return self.problem.slots[column].to_numpy()[self.slot]

    def grouped(self, group: np.ndarray, values: np.ndarray, n: int) -> sparse.csr_matrix:
        """A row for each group: the values of its assignments."""
        return sparse.csr_matrix((values, (group, np.arange(len(group)))), (n, len(group)))

    def add(self, blocks: list, low, high) -> None:
        """Add rows low <= sum of blocks <= high, of (first column, matrix)."""
        matrices = []
        for first_column, block in blocks:
            entries = sparse.coo_matrix(block)
            at = (entries.row, entries.col + first_column)
            shape = (entries.shape[0], self.width)
            matrices.append(sparse.csr_matrix((entries.data, at), shape))
        self.constraints.append(LinearConstraint(sum(matrices[1:], matrices[0]), low, high))

    def add_needs_and_capacities(self) -> None:
        problem = self.problem
        assignments = problem.assignments
        need = problem.demands["need"].to_numpy()
        demand = assignments["demand"].to_numpy()
        cover = self.grouped(demand, assignments["cover"].to_numpy(), len(need))
        at_most = need if problem.exact else np.inf
        self.add([(0, cover), (self.undone_at, sparse.eye(len(need)))], need, at_most)
        pool_use = assignments["pool_use"].to_numpy()
        taken = self.grouped(self.of_slot("pool"), pool_use, len(problem.pools))
        self.add([(0, taken)], -np.inf, problem.pools["capacity"])
        most = np.maximum(assignments["most"].to_numpy(float), 1)
        n = len(assignments)
        entries = (-most, (np.arange(n), self.of_slot("site")))
        at_site = sparse.csr_matrix(entries, (n, len(problem.sites)))
        self.add([(0, sparse.eye(n)), (self.sites_at, at_site)], -np.inf, 0)

    def add_limits(self) -> None:
        """Add the linear limits, CVaR by a row a path (Rockafellar and Uryasev 2000)."""
        limits = self.problem.limits
        paths = self.problem.paths
        if limits.budget_usd is not None:
            cost = [(0, self.problem.unit_cost), (self.sites_at, self.problem.fee_usd)]
            self.add(cost, -np.inf, limits.budget_usd)
        if limits.min_on_demand_share is not None:
            beyond = self.of_slot("on_demand") - limits.min_on_demand_share
            self.add([(0, beyond * self.hours)], 0, np.inf)
        if limits.max_provider_share is not None:
            for name in np.unique(self.provider):
                beyond = (self.provider == name) - limits.max_provider_share
                self.add([(0, self.rent * beyond)], -np.inf, 0)
        if limits.cvar_usd is not None:
            n = len(paths)
            cost = (0, -paths[:, self.slot] * self.hours)
            value_at_risk = (self.var_at, np.ones((n, 1)))
            self.add([cost, value_at_risk, (self.excess_at, sparse.eye(n))], 0, np.inf)
            weights = np.r_[1, np.full(n, 1 / ((1 - limits.cvar_level) * n))]
            self.add([(self.var_at, weights)], -np.inf, limits.cvar_usd)

    def solve(self, *, gap: float, time_limit_s: float):
        problem = self.problem
        unmet_usd = problem.demands["unmet_usd"].to_numpy()
        is_optional = np.isfinite(unmet_usd)
        need = problem.demands["need"].to_numpy()
        most = problem.assignments["most"].to_numpy(float)
        n_tail = self.width - self.var_at
        may_be_undone = np.where(is_optional, need, 0)
        undone_usd = np.where(is_optional, unmet_usd, 0)
        fees = problem.sites["fee_usd"]
        upper = np.r_[most, np.ones(len(fees)), may_be_undone, [np.inf] * n_tail]
        return milp(
            np.r_[problem.unit_cost, fees, undone_usd, np.zeros(n_tail)],
            integrality=np.r_[np.ones(self.undone_at), np.zeros(self.width - self.undone_at)],
            bounds=(np.zeros(self.width), upper),
            constraints=self.constraints,
            options={"mip_rel_gap": gap, "time_limit": time_limit_s},
        )


def by_scipy(problem: allocate.Problem, *, gap: float, time_limit_s: float) -> tuple[float, float]:
    """Return cost and bound by another formulation: no usage columns, a row a path for CVaR.

    The cone of diversification is cut at each answer that leaves it, until one does not. Cost is
    inf where no plan was found, and the bound too where there is none.
    """
    program = _Formulation(problem)
    program.add_needs_and_capacities()
    program.add_limits()
    least = problem.limits.effective_providers
    bound = -np.inf
    for _ in range(100):
        result = program.solve(gap=gap, time_limit_s=time_limit_s)
        if result.status == 2:
            return np.inf, np.inf
        bound = max(bound, -np.inf if result.mip_dual_bound is None else result.mip_dual_bound)
        if result.x is None:
            return np.inf, bound
        if least is None:
            return float(result.fun), bound
        counts = np.round(result.x[: program.sites_at])
        provider = program.provider
        spend = np.bincount(provider, program.rent * counts, provider.max() + 1)
        norm = np.linalg.norm(spend)
        if norm <= least**-0.5 * spend.sum() * (1 + 1e-7):
            return float(result.fun), bound
        tangent = program.rent * (spend[provider] / norm - least**-0.5)
        program.add([(0, tangent)], -np.inf, 0)
    return np.inf, bound


def disagreement(
    problem: allocate.Problem, plan: allocate.Plan, answer: tuple[float, float]
) -> str:
    """Return what is wrong with ``plan`` beside an oracle's cost and bound, or an empty text.

    What time ran out on begins with "unsolved".
    """
    cost, bound = answer
    slack = 1e-6 * max(1.0, abs(cost) if np.isfinite(cost) else 1.0)
    if plan.status == "infeasible":
        return f"called infeasible, a plan costs {cost:.8g}" if np.isfinite(cost) else ""
    if plan.bound_usd > cost + 1e-6 * abs(cost) + slack:
        return f"bound {plan.bound_usd:.8g} above a plan of {cost:.8g}"
    if not plan.has_plan:
        return f"unsolved: {plan.status}"
    verdict = allocate.check(problem, plan.counts)
    if verdict.broken:
        return f"the plan breaks {verdict.broken[0]}"
    if np.isinf(bound) and bound > 0:
        return "a plan where the oracle proves that there is none"
    if verdict.objective_usd < bound - 1e-5 * abs(bound) - slack:
        return f"cost {verdict.objective_usd:.8g} below the oracle's bound {bound:.8g}"
    return "" if plan.status in ("optimal", "within_gap") else f"unsolved: gap {plan.gap:.2g}"
