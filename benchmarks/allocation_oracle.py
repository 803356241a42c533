"""Random allocation problems, and two slow oracles that share no code with the product's solver."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import LinearConstraint, milp

from cloudarb_lib import allocate

# offers, demands, sites, worlds, share of offers that a demand accepts
SIZES = {
    "tiny": (4, 2, 3, 20, 1.0),
    "small": (10, 5, 4, 50, 1.0),
    "middle": (25, 20, 8, 100, 0.5),
    "seed": (50, 60, 17, 500, 0.4),
}


def random_problem(rng: np.random.Generator, size: str) -> allocate.Problem:
    """Return a problem with any of the limits, from hopeless to loose, of a size in ``SIZES``."""
    n_offers, n_demands, n_sites, worlds, accepts = SIZES[size]
    price = rng.uniform(1, 5, n_offers)
    market = rng.normal(0, rng.uniform(0, 0.3), (worlds, 1))
    paths = price * np.exp(market + rng.normal(0, 0.3, (worlds, n_offers)))
    site = rng.integers(0, n_sites, n_offers)
    pool = rng.integers(0, n_sites, n_offers)  # some pools span sites
    slots = pd.DataFrame(
        {
            "offer_id": [f"o{j}" for j in range(n_offers)],
            "period": 0,
            "provider": site % 5,
            "region": site,
            "on_demand": rng.random(n_offers) < 0.5,
            "site": site,
            "pool": pool,
            "gpus": 1.0,
            "list_price": price * rng.uniform(1, 1.2, n_offers),
            "mean_price": paths.mean(axis=0),
        }
    )
    accepted = rng.random((n_demands, n_offers)) < accepts
    accepted[np.arange(n_demands), rng.integers(0, n_offers, n_demands)] = True
    demand, slot = np.nonzero(accepted)
    need = rng.integers(1, 4, n_demands).astype(float)
    exact = bool(rng.random() < 0.4)
    cover = need[demand] if exact else rng.integers(1, 3, len(demand)).astype(float)
    most = np.ceil(need[demand] / cover)
    pairs = pd.DataFrame(
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
    unmet = np.where(rng.random(n_demands) < optional, rng.uniform(3, 20, n_demands), np.inf)
    each = paths.mean(axis=0)[slot] * pairs["hours"] / cover
    cheapest = float((pd.Series(each).groupby(demand).min().to_numpy() * need).sum())

    def perhaps(chance: float, low: float, high: float) -> float | None:
        value = rng.uniform(low, high)
        return value if rng.random() < chance else None

    def of(value: float | None) -> float | None:
        return None if value is None else value * cheapest

    limits = allocate.Limits(
        budget_usd=of(perhaps(0.6, 0.7, 2.5)),
        cvar_usd=of(perhaps(0.7, 1.0, 2.5)),
        cvar_level=0.9,
        effective_providers=perhaps(0.3, 1.1, 2.5),
        min_on_demand_share=perhaps(0.3, 0.1, 0.6),
        max_provider_share=perhaps(0.2, 0.4, 0.9),
    )
    capacity = np.round(rng.dirichlet(np.full(n_sites, 4.0)) * need.sum() * rng.uniform(1, 4))
    return allocate.Problem(
        pd.DataFrame(
            {"workload": [f"w{i}" for i in range(n_demands)], "need": need, "unmet_usd": unmet}
        ),
        slots,
        pairs,
        pd.DataFrame({"name": [f"p{k}" for k in range(n_sites)], "capacity": capacity}),
        pd.DataFrame(
            {"name": [f"s{k}" for k in range(n_sites)], "fee_usd": rng.uniform(0, 8, n_sites)}
        ),
        paths,
        limits,
        exact,
    )


def by_hand(problem: allocate.Problem) -> tuple[float, float]:
    """Return the least cost over every combination of counts, twice (cost, bound); inf for no plan."""
    p, limits = problem, problem.limits
    slot, demand = p.assignments["slot"].to_numpy(), p.assignments["demand"].to_numpy()
    counts = np.array(
        list(itertools.product(*(range(int(m) + 1) for m in p.assignments["most"]))), float
    )

    def total(groups: np.ndarray, weight: np.ndarray, n: int) -> np.ndarray:
        return np.column_stack([counts @ (weight * (groups == g)) for g in range(n)])

    hours = total(slot, p.assignments["hours"].to_numpy(), len(p.slots))
    missing = p.demands["need"].to_numpy() - total(
        demand, p.assignments["cover"].to_numpy(), len(p.demands)
    )
    unmet, worth = np.maximum(missing, 0), p.demands["unmet_usd"].to_numpy()
    good = (unmet[:, np.isinf(worth)] <= 0).all(axis=1) & ~(p.exact & (missing < 0).any(axis=1))
    used = total(
        p.slots["pool"].to_numpy()[slot], p.assignments["pool_use"].to_numpy(), len(p.pools)
    )
    good &= (used <= p.pools["capacity"].to_numpy()).all(axis=1)
    spend = hours * p.slots["mean_price"].to_numpy()
    whole = spend.sum(axis=1)
    by_provider = np.column_stack(
        [
            spend[:, (p.slots["provider"] == g).to_numpy()].sum(axis=1)
            for g in p.slots["provider"].unique()
        ]
    )
    if limits.budget_usd is not None:
        good &= hours @ p.slots["list_price"].to_numpy() <= limits.budget_usd
    if limits.cvar_usd is not None:
        worst = -np.sort(-(hours @ p.paths.T), axis=1)  # a whole number of worlds is in the tail
        good &= (
            worst[:, : round((1 - limits.cvar_level) * len(p.paths))].mean(axis=1)
            <= limits.cvar_usd
        )
    if limits.effective_providers is not None:
        good &= whole**2 >= limits.effective_providers * (by_provider**2).sum(axis=1)
    if limits.max_provider_share is not None:
        good &= by_provider.max(axis=1) <= limits.max_provider_share * whole
    if limits.min_on_demand_share is not None:
        steady = hours[:, p.slots["on_demand"].to_numpy()].sum(axis=1)
        good &= steady >= limits.min_on_demand_share * hours.sum(axis=1)
    open_ = total(p.slots["site"].to_numpy()[slot], np.ones(len(slot)), len(p.sites)) > 0
    undone = (unmet * np.where(np.isinf(worth), 0, worth)).sum(axis=1)
    cost = counts @ p.unit_cost + undone + open_ @ p.sites["fee_usd"].to_numpy()
    best = float(np.min(cost[good], initial=np.inf))
    return best, best


def by_scipy(problem: allocate.Problem, *, gap: float, time_limit_s: float) -> tuple[float, float]:
    """Return cost and bound by another formulation: no usage columns, a Rockafellar-Uryasev row a world.

    The cone of diversification is cut at each answer that leaves it, until one does not. Cost is
    inf where no plan was found, and the bound too where there is none.
    """
    p, limits = problem, problem.limits
    n, k, d, s = len(p.assignments), len(p.sites), len(p.demands), len(p.paths)
    slot, demand = p.assignments["slot"].to_numpy(), p.assignments["demand"].to_numpy()
    hours, x, undone = (
        p.assignments["hours"].to_numpy(),
        np.arange(n),
        p.demands["unmet_usd"].to_numpy(),
    )
    width = n + k + d + 1 + s  # counts, sites, undone, VaR, excess of each world
    need, rent = p.demands["need"].to_numpy(), p.slots["mean_price"].to_numpy()[slot] * hours
    parts: list[LinearConstraint] = []

    def rows(blocks: list, low, high) -> None:
        """Rows from blocks (first column, matrix)."""
        moved = []
        for first, block in blocks:
            entries = sparse.coo_matrix(block)
            at = (entries.row, entries.col + first)
            moved.append(sparse.csr_matrix((entries.data, at), (entries.shape[0], width)))
        parts.append(LinearConstraint(sum(moved[1:], moved[0]), low, high))

    def each(groups: np.ndarray, values: np.ndarray, count: int) -> sparse.csr_matrix:
        return sparse.csr_matrix((values, (groups, np.arange(n))), (count, n))

    most = p.assignments["most"].to_numpy(float)
    rows(
        [(0, each(demand, p.assignments["cover"].to_numpy(), d)), (n + k, sparse.eye(d))],
        need,
        need if p.exact else np.inf,
    )
    rows(
        [
            (
                0,
                each(
                    p.slots["pool"].to_numpy()[slot],
                    p.assignments["pool_use"].to_numpy(),
                    len(p.pools),
                ),
            )
        ],
        -np.inf,
        p.pools["capacity"],
    )
    at_site = sparse.csr_matrix(
        (-np.maximum(most, 1), (x, p.slots["site"].to_numpy()[slot])), (n, k)
    )
    rows([(0, sparse.eye(n)), (n, at_site)], -np.inf, 0)
    if limits.budget_usd is not None:
        rows([(0, p.slots["list_price"].to_numpy()[slot] * hours)], -np.inf, limits.budget_usd)
    if limits.min_on_demand_share is not None:
        rows(
            [(0, (p.slots["on_demand"].to_numpy()[slot] - limits.min_on_demand_share) * hours)],
            0,
            np.inf,
        )
    provider = p.slots["provider"].to_numpy()[slot]
    if limits.max_provider_share is not None:
        for name in np.unique(provider):
            rows([(0, rent * ((provider == name) - limits.max_provider_share))], -np.inf, 0)
    if limits.cvar_usd is not None:
        rows(
            [
                (0, -p.paths[:, slot] * hours),
                (n + k + d, np.ones((s, 1))),
                (n + k + d + 1, sparse.eye(s)),
            ],
            0,
            np.inf,
        )
        rows(
            [(n + k + d, np.r_[1, np.full(s, 1 / ((1 - limits.cvar_level) * s))])],
            -np.inf,
            limits.cvar_usd,
        )
    finite = np.isfinite(undone)
    upper = np.r_[most, np.ones(k), np.where(finite, need, 0), [np.inf] * (s + 1)]
    cost = np.r_[p.unit_cost, p.sites["fee_usd"], np.where(finite, undone, 0), np.zeros(s + 1)]
    whole = np.r_[np.ones(n + k), np.zeros(d + 1 + s)]
    bound = -np.inf
    for _ in range(100):
        found = milp(
            cost,
            integrality=whole,
            bounds=(np.zeros(width), upper),
            constraints=parts,
            options={"mip_rel_gap": gap, "time_limit": time_limit_s},
        )
        if found.status == 2:
            return np.inf, np.inf
        bound = max(bound, -np.inf if found.mip_dual_bound is None else found.mip_dual_bound)
        if found.x is None:
            return np.inf, bound
        if limits.effective_providers is None:
            return float(found.fun), bound
        spend = np.bincount(provider, rent * np.round(found.x[:n]), provider.max() + 1)
        norm, share = np.linalg.norm(spend), limits.effective_providers**-0.5
        if norm <= share * spend.sum() * (1 + 1e-7):
            return float(found.fun), bound
        rows([(0, rent * (spend[provider] / norm - share))], -np.inf, 0)
    return np.inf, bound


def disagreement(problem: allocate.Problem, plan: allocate.Plan, known: tuple[float, float]) -> str:
    """Return what is wrong with ``plan`` beside an oracle's cost and bound, or an empty text.

    What time ran out on begins with "unsolved".
    """
    cost, bound = known
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
