"""The problem as a mixed-integer program: named rows, and three families added when violated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.problem.dominance import dominated
from cloudarb_lib.allocate.problem.model import Problem, Row
from cloudarb_lib.base.measures import conditional_value_at_risk, tail_weights


@dataclass(frozen=True)
class Cuts:
    """Rows found violated: matrix @ z <= upper, each with the limit it belongs to."""

    matrix: sparse.csr_matrix
    upper: np.ndarray
    names: list[str]

    def only(self, which: np.ndarray) -> Cuts:
        """Return the cuts at which ``which`` is true."""
        at = np.flatnonzero(which)
        return Cuts(self.matrix[at], self.upper[at], [self.names[i] for i in at])


@dataclass(frozen=True)
class Milp:
    """Minimise cost @ z, row_lower <= rows @ z <= row_upper, lower <= z <= upper.

    Columns are the counts of each pair, then whether each site is used, then what is left
    undone, then the usage of each slot in instance-hours (which carries every scenario and
    spend row), then what rows with tiers are charged for; with a limit on effective providers, last, the
    spend s of each, that of all together T, and q >= s^2 / T of each: q adds up to T / n at most; last of all
    the CVaR beyond its limit, where that has a price.
    ``links``: counts <= site used; tail cuts and tangents of q come from ``Problem``; all three are added
    by ``separate`` when violated.
    """

    problem: Problem
    cost: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    rows: sparse.csr_matrix
    row_lower: np.ndarray
    row_upper: np.ndarray
    row_names: list[str]
    links: Cuts
    site_columns: np.ndarray
    unmet_columns: np.ndarray
    """Column of what is left undone of each demand; -1 where all of it must be served."""
    usage_columns: np.ndarray
    spread_columns: np.ndarray
    """s, T and q; empty without that limit."""
    pool_switch: np.ndarray
    """Column of the site of each pool; -1 where it has no fee, or the pool spans sites."""

    def counts(self, z: np.ndarray) -> np.ndarray:
        return z[: len(self.problem.assignments)]

    def point(self, counts: np.ndarray) -> np.ndarray:
        """Return the point of the program at which the plan of ``counts`` stands."""
        p = self.problem
        used = np.bincount(p.assignment_details["site"], counts, len(p.sites)) > 0
        need = p.demands["need"].to_numpy(float)
        served = np.bincount(
            p.assignments["demand"], counts * p.assignments["cover"].to_numpy(float), len(need)
        )
        optional = np.isfinite(p.demands["unmet_usd"].to_numpy(float))
        paid = p.sites["fee_usd"].to_numpy(float) > 0
        charged = [_split(row, value) for row, value in zip(p.rows, p.sums(counts), strict=True)]
        usage = p.usage(counts)
        if p.limits.effective_providers is not None:
            spend = spends(p, usage)
            charged.append([*spend, spend.sum(), *(spend**2 / max(spend.sum(), 1e-9))])
        if p.cvar_excess_usd < np.inf and p.paths is not None:
            cvar = float(conditional_value_at_risk(p.paths @ usage, p.limits.cvar_level))
            over = cvar - (p.limits.cvar_usd or np.inf)
            charged.append([max(over, 0.0)])
        return np.concatenate(
            [counts, used[paid], np.maximum(need - served, 0)[optional], usage, *charged]
        )


def _split(row: Row, value: float) -> list[float]:
    """Return the columns of a row's tiers at a value: see ``_charge``."""
    if not row.falls:
        return [min(max(value - start, 0.0), end - start) for start, end, _ in row.pieces]
    here = [start <= value < end for start, end, _ in row.pieces]
    return [part for is_it in here for part in (value * is_it, float(is_it))]


class _Program:
    """Collects columns, and rows in coordinate form, each with its sentence."""

    def __init__(self) -> None:
        self.cost, self.upper, self.whole = ([np.zeros(0)] for _ in range(3))
        self.at, self.where, self.values, self.lower, self.most = ([np.zeros(0)] for _ in range(5))
        self.width, self.names = 0, list[str]()

    def columns(self, cost, upper, *, whole: bool = False) -> np.ndarray:
        """Add a column for each of ``upper``; return their numbers."""
        upper = np.atleast_1d(np.asarray(upper, float))
        self.cost.append(np.broadcast_to(cost, len(upper)))
        self.upper.append(upper)
        self.whole.append(np.full(len(upper), whole))
        self.width += len(upper)
        return np.arange(self.width - len(upper), self.width)

    def row(self, names, at, columns, values, *, lower=-np.inf, upper=np.inf) -> None:
        """Add rows lower <= sum of values * columns <= upper, ``at`` being the row, from 0, of each entry."""
        columns, n = np.asarray(columns), len(names)
        self.at.append(len(self.names) + np.broadcast_to(at, columns.shape))
        self.where.append(columns)
        self.values.append(np.broadcast_to(np.asarray(values, float), columns.shape))
        self.lower.append(np.broadcast_to(lower, n))
        self.most.append(np.broadcast_to(upper, n))
        self.names.extend(names)

    def charge(self, row: Row, columns: np.ndarray, most: float) -> None:
        """Add the columns and rows by which a row's sum, ``most`` at most, is charged for.

        Rising rates fill one tier after the other by themselves; of falling ones, whose charge is
        the least of lines, fixed + rate * value, a switch takes one line (two would cost more).
        """
        parts, fixed = [], 0.0
        for start, end, rate in row.pieces:
            reach = min(end, max(most, start))
            parts.append(int(self.columns(rate, reach if row.falls else reach - start)[0]))
            if row.falls:
                (switch,) = self.columns(fixed - rate * start, 1.0, whole=True)
                self.row([""], 0, [parts[-1], switch], [1.0, -reach], upper=0.0)
                fixed += rate * (end - start)
        free = 0.0 if row.falls else row.pieces[0][0]
        self.row(
            [""], 0, np.r_[columns, parts], np.r_[row.values, -np.ones(len(parts))], upper=free
        )


def to_milp(problem: Problem, *, tight: bool = True) -> Milp:
    """Return the program of a problem, without the cuts that are added when violated.

    ``tight`` adds rows that whole counts keep anyway; without them every row has one meaning.
    """
    pairs, slots, demands, limits = (
        problem.assignments,
        problem.slots,
        problem.demands,
        problem.limits,
    )
    demand, slot = pairs["demand"].to_numpy(), pairs["slot"].to_numpy()
    cover, use = pairs["cover"].to_numpy(float), pairs["pool_use"].to_numpy(float)
    need, unmet_usd = demands["need"].to_numpy(float), demands["unmet_usd"].to_numpy(float)
    pool, site = (
        problem.assignment_details["pool"].to_numpy(),
        problem.assignment_details["site"].to_numpy(),
    )
    capacity, fee = (
        problem.pools["capacity"].to_numpy(float),
        problem.sites["fee_usd"].to_numpy(float),
    )
    with np.errstate(divide="ignore"):
        most = np.minimum(pairs["most"].to_numpy(float), np.floor(capacity[pool] / use + 1e-9))
    if tight:
        most[dominated(problem)] = 0.0
    program = _Program()
    x = program.columns(problem.unit_cost, most, whole=True)
    y_of_site, unmet = np.full(len(fee), -1), np.full(len(demands), -1)
    paid, optional = np.flatnonzero(fee > 0), np.flatnonzero(np.isfinite(unmet_usd))
    y_of_site[paid] = program.columns(fee[paid], np.ones(len(paid)), whole=True)
    unmet[optional] = program.columns(unmet_usd[optional], need[optional])
    u = program.columns(0.0, np.full(len(slots), np.inf))

    program.row(
        problem.needs,
        np.r_[demand, optional],
        np.r_[x, unmet[optional]],
        np.r_[cover, np.ones(len(optional))],
        lower=need,
        upper=need if problem.exact else np.inf,
    )
    first_site = np.full(len(capacity), -1)
    first_site[pool] = site
    alone = np.bincount(pool, site != first_site[pool], len(capacity)) == 0
    switch = np.where(alone & (first_site >= 0) & tight, y_of_site[first_site], -1)
    tied_pool = np.flatnonzero(switch >= 0)
    # a pool is closed with its site; dividing by a machine size and rounding down stays valid
    # for whole counts, and cuts off what no whole machines can be
    sizes = sorted(set(use[(use > 1) & (use == np.round(use))]))[:8] if tight else []
    for divisor in (1.0, *sizes):
        part = use if divisor == 1 else np.floor(use / divisor)
        limit = capacity if divisor == 1 else np.floor(capacity / divisor + 1e-9)
        at = np.flatnonzero(part > 0)
        program.row(
            problem.capacities if divisor == 1 else [""] * len(capacity),
            np.r_[pool[at], tied_pool],
            np.r_[x[at], switch[tied_pool]],
            np.r_[part[at], -limit[tied_pool]],
            upper=np.where(switch >= 0, 0.0, limit),
        )
    every = np.arange(len(slots))
    paid_h = np.r_[np.ones(len(slots)), -pairs["hours"].to_numpy(float)]
    program.row([""] * len(slots), np.r_[every, slot], np.r_[u, x], paid_h, lower=0.0, upper=0.0)
    for row in (*(row for _, row in problem.limit_rows), *problem.rows):
        columns = (u if row.on_usage else x)[row.at]
        if np.isfinite((row.lower, row.upper)).any():
            program.row([row.name], 0, columns, row.values, lower=row.lower, upper=row.upper)
        if row.tiers:
            reach = np.inf if row.on_usage else np.maximum(row.values * most[row.at], 0.0).sum()
            program.charge(row, columns, float(reach))
    spread = np.zeros(0, int)
    if limits.effective_providers is not None:
        g = int(problem.groups.max()) + 1
        spread, ones = program.columns(0.0, np.full(2 * g + 1, np.inf)), np.ones(g)
        s, total, q = spread[:g], spread[g], spread[g + 1 :]
        of_slot = np.r_[problem.groups, np.arange(g)], np.r_[slots["mean_price"], -ones]
        program.row([""] * g, of_slot[0], np.r_[u, s], of_slot[1], lower=0.0, upper=0.0)
        program.row([""], 0, np.r_[s, total], np.r_[ones, -1.0], lower=0.0, upper=0.0)
        program.row(
            [problem.spread],
            0,
            np.r_[q, total],
            np.r_[ones, -1 / limits.effective_providers],
            upper=0.0,
        )
    if problem.cvar_excess_usd < np.inf:
        program.columns(problem.cvar_excess_usd, np.inf)
    width = program.width

    # what one demand takes at one site cannot exceed the demand, where it must be covered exactly
    tied = np.flatnonzero((y_of_site[site] >= 0) & (most > 0))
    key = demand[tied] * len(fee) + site[tied] if problem.exact else tied
    _, first, link = np.unique(key, return_index=True, return_inverse=True)
    part = cover[tied] / need[demand[tied]] if problem.exact else 1 / most[tied]
    at = np.r_[link, np.arange(len(first))]
    entries = np.r_[part, -np.ones(len(first))], (at, np.r_[tied, y_of_site[site[tied[first]]]])
    links = sparse.csr_matrix(entries, (len(first), width))
    where = np.concatenate(program.at), np.concatenate(program.where)
    return Milp(
        problem=problem,
        cost=np.concatenate(program.cost),
        lower=np.zeros(width),
        upper=np.concatenate(program.upper),
        integer=np.concatenate(program.whole) > 0,
        rows=sparse.csr_matrix(
            (np.concatenate(program.values), where), (len(program.names), width)
        ),
        row_lower=np.concatenate(program.lower),
        row_upper=np.concatenate(program.most),
        row_names=program.names,
        links=Cuts(links, np.zeros(len(first)), ["link"] * len(first)),
        site_columns=y_of_site[paid],
        unmet_columns=unmet,
        pool_switch=switch,
        usage_columns=u,
        spread_columns=spread,
    )


def separate(milp: Milp, z: np.ndarray, *, tolerance: float, links: bool = True) -> Cuts:
    """Return the links, tail cut and tangents that the point ``z`` violates.

    Tail: CVaR(u) is the largest mean cost over all choices of the worst worlds, so the mean
    over today's worst worlds bounds it from below for every plan. Tangents: at the
    shares of the point, where their squares add up to more than 1 / n. ``tolerance`` is relative to each limit.
    """
    problem, limits = milp.problem, milp.problem.limits
    width = len(z)
    found = []
    if links:
        found.append(milp.links.only(milp.links.matrix @ z > 1e-6))
    u = z[milp.usage_columns]
    if limits.cvar_usd is not None and problem.paths is not None:
        row, value = tail_row(problem.paths, u, limits.cvar_level)
        columns, excess = milp.usage_columns, 0.0
        if problem.cvar_excess_usd < np.inf:  # the last column tells how much is paid for
            columns, row, excess = np.r_[columns, width - 1], np.r_[row, -1.0], z[-1]
        if value > excess + limits.cvar_usd * (1 + tolerance):
            found.append(rows_of(milp, [(columns, row, -1)], "CVaR", limits.cvar_usd))
    if limits.effective_providers is not None:
        spend = spends(problem, u)
        if np.linalg.norm(spend) > limits.effective_providers**-0.5 * spend.sum() * (1 + tolerance):
            found.append(tangents(milp, spend[None] / spend.sum()))
    return join(found, width)


def spends(problem: Problem, usage: np.ndarray) -> np.ndarray:
    """Return the expected spend of each provider (or region), USD."""
    return np.bincount(problem.groups, problem.slots["mean_price"].to_numpy(float) * usage)


def tangents(milp: Milp, shares: np.ndarray) -> Cuts:
    """Return q >= 2 r s - r^2 T, which s^2 / T keeps, for each group at each of its ``shares`` r (points, groups).

    One square a group at a time, not the cone of all at once: few tangents of each bound the cone at every
    combination of them (Vielma, Dunning, Huchette and Lubin 2017).
    """
    k = shares.shape[1]
    at = np.stack(
        [milp.spread_columns[:k], np.full(k, milp.spread_columns[k]), milp.spread_columns[k + 1 :]]
    )
    each = [(g, r) for g in range(k) for r in np.unique(shares[:, g])]
    return rows_of(
        milp, [(at[:, g], np.array([2 * r, -(r**2), -1.0]), -1) for g, r in each], "tangent", 0.0
    )


def join(cuts: list[Cuts], width: int) -> Cuts:
    """Return several sets of cuts as one."""
    matrix = sparse.vstack([sparse.csr_matrix((0, width)), *(c.matrix for c in cuts)], format="csr")
    upper = np.concatenate([np.zeros(0), *(c.upper for c in cuts)])
    return Cuts(matrix, upper, [name for c in cuts for name in c.names])


def rows_of(milp: Milp, parts: list, name: str, upper: float = 1.0) -> Cuts:
    """Return the cuts columns @ values <= upper; with a switch (not -1), <= upper * switch."""
    at, columns, values, limit = [], [], [], []
    for i, (where, row, switch) in enumerate(parts):
        tied = switch >= 0
        at.append(np.full(len(where) + tied, i))
        columns.append(np.r_[where, [switch] * tied])
        values.append(np.r_[row, [-upper] * tied])
        limit.append(0.0 if tied else upper)
    shape = (len(parts), len(milp.cost))
    if not parts:
        return Cuts(sparse.csr_matrix(shape), np.zeros(0), [])
    entries = (np.concatenate(values), (np.concatenate(at), np.concatenate(columns)))
    return Cuts(sparse.csr_matrix(entries, shape), np.array(limit), [name] * len(parts))


def tail_row(paths: np.ndarray, usage: np.ndarray, level: float) -> tuple[np.ndarray, float]:
    """Return the mean price row over the worst worlds of a usage, and its cost (the CVaR)."""
    cost = paths @ usage
    order = np.argsort(-cost, kind="stable")
    weights = tail_weights(len(cost), level)
    weights /= weights.sum()
    row = weights @ paths[order[: len(weights)]]
    return row, float(row @ usage)
