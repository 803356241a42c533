"""The problem as a mixed-integer program: named rows, and three families added when violated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.dominance import dominated
from cloudarb_lib.allocate.model import Problem, Row


@dataclass(frozen=True)
class Milp:
    """Minimise cost @ z, row_lower <= rows @ z <= row_upper, lower <= z <= upper.

    Columns are the counts of each pair, then whether each site is used, then what is left
    undone, then the usage of each slot in instance-hours (which carries every scenario and
    spend row), then what rows with tiers are charged for; with a limit on effective providers, last, the
    spend s of each, that of all together T, and q >= s^2 / T of each: q adds up to T / n at most.
    ``links`` @ counts <= site used, row by row (``link_site``); tail cuts and tangents of q
    come from ``Problem``; all three are added by ``separate`` when violated.
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
    links: sparse.csr_matrix
    link_site: np.ndarray
    site_columns: np.ndarray
    unmet_columns: np.ndarray
    """Column of what is left undone of each demand; -1 where all of it must be served."""
    usage_columns: np.ndarray
    spread_columns: np.ndarray
    """s, T and q; empty without that limit."""
    pool_switch: np.ndarray
    """Column of the site of each pool; -1 where it has no fee, or the pool spans sites."""

    def counts(self, z: np.ndarray) -> np.ndarray:
        return z[: len(self.problem.pairs)]

    def link_cuts(self, which: np.ndarray) -> Cuts:
        """Return the links numbered ``which`` as cuts."""
        matrix = self.links[which]
        matrix.resize(len(which), len(self.cost))
        entries = (np.ones(len(which)), (np.arange(len(which)), self.link_site[which]))
        site = sparse.csr_matrix(entries, matrix.shape)
        return Cuts(matrix - site, np.zeros(len(which)), ["link"] * len(which))

    def point(self, counts: np.ndarray) -> np.ndarray:
        """Return the point of the program at which the plan of ``counts`` stands."""
        p = self.problem
        demand, slot = p.pairs["demand"].to_numpy(), p.pairs["slot"].to_numpy()
        used = np.bincount(p.slots["site"].to_numpy()[slot], counts, len(p.sites)) > 0
        need = p.demands["need"].to_numpy(float)
        served = np.bincount(demand, counts * p.pairs["cover"].to_numpy(float), len(need))
        optional = np.isfinite(p.demands["unmet_usd"].to_numpy(float))
        paid = p.sites["fee_usd"].to_numpy(float) > 0
        charged = [_split(row, float(row.values @ counts[row.at])) for row in p.rows]
        usage = p.usage(counts)
        if p.limits.effective_providers is not None:
            spend = spends(p, usage)
            charged.append([*spend, spend.sum(), *(spend**2 / max(spend.sum(), 1e-9))])
        return np.concatenate([counts, used[paid], np.maximum(need - served, 0)[optional], usage, *charged])


def _pieces(row: Row) -> tuple[bool, list[tuple[float, float, float]]]:
    """Return whether the rates of a row fall, and its tiers as (from, to, USD per unit).

    No tiers where the charge is simply linear in the counts.
    """
    rates = [rate for _, rate in row.tiers]
    if not rates or (len(rates) == 1 and row.tiers[0][0] == 0 and (row.values >= 0).all()):
        return False, []
    ends = [*(start for start, _ in row.tiers), np.inf][1:]
    pieces = [(start, end, rate) for (start, rate), end in zip(row.tiers, ends, strict=True)]
    return rates[-1] < rates[0], pieces


def _split(row: Row, value: float) -> list[float]:
    """Return the columns of a row's tiers at a value: see ``to_milp``."""
    falls, pieces = _pieces(row)
    if not falls:
        return [min(max(value - start, 0.0), end - start) for start, end, _ in pieces]
    here = [start <= value < end for start, end, _ in pieces]
    return [part for is_it in here for part in (value * is_it, float(is_it))]


class _Rows:
    """Collects rows in coordinate form, each with its sentence."""

    def __init__(self) -> None:
        self.at: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.names: list[str] = []

    def add(self, names, at, columns, values, lower, upper) -> None:
        at = np.asarray(at)
        self.at.append(at + len(self.names))
        self.columns.append(np.asarray(columns))
        self.values.append(np.broadcast_to(np.asarray(values, float), at.shape))
        self.lower.extend(np.broadcast_to(lower, len(names)))
        self.upper.extend(np.broadcast_to(upper, len(names)))
        self.names.extend(names)


def to_milp(problem: Problem, *, tight: bool = True) -> Milp:
    """Return the program of a problem, without the cuts that are added when violated.

    ``tight`` adds rows that whole counts keep anyway; without them every row has one meaning.
    """
    pairs, slots, demands, limits = problem.pairs, problem.slots, problem.demands, problem.limits
    n_x, n_q = len(pairs), len(slots)
    demand, slot = pairs["demand"].to_numpy(), pairs["slot"].to_numpy()
    cover, hours = pairs["cover"].to_numpy(float), pairs["hours"].to_numpy(float)
    need = demands["need"].to_numpy(float)
    pool = slots["pool"].to_numpy()[slot]
    use = pairs["pool_use"].to_numpy(float)
    capacity = problem.pools["capacity"].to_numpy(float)
    with np.errstate(divide="ignore"):
        most = np.minimum(pairs["most"].to_numpy(float), np.floor(capacity[pool] / use + 1e-9))
    if tight:
        most[dominated(problem)] = 0.0
    pair_site = slots["site"].to_numpy()[slot]
    fee = problem.sites["fee_usd"].to_numpy(float)
    paid_sites = np.flatnonzero(fee > 0)
    optional = np.flatnonzero(np.isfinite(demands["unmet_usd"].to_numpy(float)))
    y0, v0 = n_x, n_x + len(paid_sites)
    u0 = v0 + len(optional)
    y_of_site = np.full(len(fee), -1)
    y_of_site[paid_sites] = y0 + np.arange(len(paid_sites))
    unmet = np.full(len(demands), -1)
    unmet[optional] = v0 + np.arange(len(optional))
    x, u = np.arange(n_x), u0 + np.arange(n_q)
    price, list_price = slots["mean_price"].to_numpy(float), slots["list_price"].to_numpy(float)

    rows = _Rows()
    periods = demands["period"].astype(int) if "period" in demands else np.zeros(len(demands), int)
    rows.add(
        [
            f"demand of {name}" + (f" in period {t + 1}" if max(periods) else "")
            for name, t in zip(demands["workload"], periods, strict=True)
        ],
        np.r_[demand, optional], np.r_[x, v0 + np.arange(len(optional))],
        np.r_[cover, np.ones(len(optional))],
        need, need if problem.exact else np.inf,
    )  # fmt: skip
    first_site = np.full(len(capacity), -1)
    first_site[pool] = pair_site
    alone = np.bincount(pool, pair_site != first_site[pool], len(capacity)) == 0
    switch = np.where(alone & (first_site >= 0) & tight, y_of_site[first_site], -1)
    tied_pool = np.flatnonzero(switch >= 0)
    names = [f"capacity of {name}" for name in problem.pools["name"]]
    # a pool is closed with its site; dividing by a machine size and rounding down stays valid
    # for whole counts, and cuts off what no whole machines can be
    sizes = sorted(set(use[(use > 1) & (use == np.round(use))]))[:8] if tight else []
    for divisor in (1.0, *sizes):
        part = use if divisor == 1 else np.floor(use / divisor)
        limit = capacity if divisor == 1 else np.floor(capacity / divisor + 1e-9)
        at = np.flatnonzero(part > 0)
        rows.add(
            names if divisor == 1 else [""] * len(names),
            np.r_[pool[at], tied_pool], np.r_[x[at], switch[tied_pool]],
            np.r_[part[at], -limit[tied_pool]], -np.inf, np.where(switch >= 0, 0.0, limit),
        )  # fmt: skip
    rows.add(
        [""] * n_q,
        np.r_[np.arange(n_q), slot], np.r_[u, x], np.r_[np.ones(n_q), -hours], 0.0, 0.0,
    )  # fmt: skip
    one = np.zeros(n_q, int)
    if limits.budget_usd is not None:
        rows.add(["budget"], one, u, list_price, -np.inf, limits.budget_usd)
    for share, key in ((limits.max_provider_share, "provider"), (limits.max_region_share, "site")):
        if share is not None:
            of_slot = slots[key] if key == "provider" else problem.sites["name"].iloc[slots[key]]
            for name in of_slot.unique():
                mine = (of_slot == name).to_numpy()
                rows.add([f"share of {name}"], one, u, price * (mine - share), -np.inf, 0.0)
    if limits.min_on_demand_share is not None:
        steady = slots["on_demand"].to_numpy(float)
        rows.add(
            ["on-demand share"], one, u, steady - limits.min_on_demand_share, 0.0, np.inf
        )  # fmt: skip
    # rising rates fill one tier after the other by themselves; of falling ones, whose charge is
    # the least of lines, fixed + rate * value, a switch takes one line (two would cost more)
    per_count, further = problem.unit_cost, []
    width = u0 + n_q
    for row in problem.rows:
        falls, pieces = _pieces(row)
        if np.isfinite((row.lower, row.upper)).any():
            rows.add([row.name], np.zeros(len(row.at), int), row.at, row.values, row.lower, row.upper)
        if row.tiers and not pieces:
            np.add.at(per_count, row.at, row.tiers[0][1] * row.values)
        elif pieces:
            top = float(np.maximum(row.values * most[row.at], 0.0).sum())
            step = 2 if falls else 1
            parts = width + step * np.arange(len(pieces))
            rows.add(
                [""], np.zeros(len(row.at) + len(parts), int), np.r_[row.at, parts],
                np.r_[row.values, -np.ones(len(parts))], -np.inf, 0.0 if falls else pieces[0][0],
            )  # fmt: skip
            fixed = 0.0
            for k, (start, end, rate) in zip(parts, pieces, strict=True):
                reach = min(end, max(top, start))
                further.append((rate, reach if falls else reach - start, False))
                if falls:
                    rows.add([""], [0, 0], [k, k + 1], [1.0, -reach], -np.inf, 0.0)
                    further.append((fixed - rate * start, 1.0, True))
                    fixed += rate * (end - start)
            width += step * len(pieces)
    spread = np.zeros(0, int)
    if limits.effective_providers is not None:
        g = int(problem.groups.max()) + 1
        spread = width + np.arange(2 * g + 1)
        s, total, q, ones = spread[:g], spread[g], spread[g + 1 :], np.ones(g)
        rows.add([""] * g, np.r_[problem.groups, np.arange(g)], np.r_[u, s], np.r_[price, -ones], 0.0, 0.0)
        rows.add([""], np.zeros(g + 1, int), np.r_[s, total], np.r_[ones, -1.0], 0.0, 0.0)
        least = np.r_[ones, -1 / limits.effective_providers]
        rows.add(["effective providers"], np.zeros(g + 1, int), np.r_[q, total], least, -np.inf, 0.0)
        further += [(0.0, np.inf, False)] * len(spread)
        width += len(spread)
    more_cost, more_most, more_whole = np.array(further, float).reshape(-1, 3).T
    matrix = sparse.csr_matrix(
        (np.concatenate(rows.values), (np.concatenate(rows.at), np.concatenate(rows.columns))),
        shape=(len(rows.names), width),
    )

    tied = np.flatnonzero(y_of_site[pair_site] >= 0)
    if problem.exact:  # what one demand takes at one site cannot exceed the demand
        link, first = np.unique(demand[tied] * len(fee) + pair_site[tied], return_inverse=True)
        links = sparse.csr_matrix((cover[tied] / need[demand[tied]], (first, tied)), shape=(len(link), n_x))
        link_site = y_of_site[link % len(fee)]
    else:
        tied = tied[most[tied] > 0]
        links = sparse.csr_matrix((1 / most[tied], (np.arange(len(tied)), tied)), shape=(len(tied), n_x))
        link_site = y_of_site[pair_site[tied]]
    return Milp(
        problem=problem,
        cost=np.r_[
            per_count, fee[paid_sites],
            demands["unmet_usd"].to_numpy(float)[optional], np.zeros(n_q), more_cost,
        ],
        lower=np.zeros(width),
        upper=np.r_[most, np.ones(len(paid_sites)), need[optional], np.full(n_q, np.inf), more_most],
        integer=np.r_[np.ones(v0, bool), np.zeros(u0 + n_q - v0, bool), more_whole > 0],
        rows=matrix,
        row_lower=np.array(rows.lower, float),
        row_upper=np.array(rows.upper, float),
        row_names=rows.names,
        links=links,
        link_site=link_site,
        site_columns=y0 + np.arange(len(paid_sites)),
        unmet_columns=unmet,
        pool_switch=switch,
        usage_columns=u,
        spread_columns=spread,
    )  # fmt: skip


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


def separate(milp: Milp, z: np.ndarray, *, tolerance: float, links: bool = True) -> Cuts:
    """Return the links, tail cut and tangents that the point ``z`` violates.

    Tail: CVaR(u) is the largest mean cost over all choices of the worst worlds, so the mean
    over today's worst worlds bounds it from below for every plan. Tangents: at the
    shares of the point, where their squares add up to more than 1 / n. ``tolerance`` is relative to each limit.
    """
    problem, limits = milp.problem, milp.problem.limits
    width = len(z)
    found = []
    if links and len(milp.link_site):
        broken = np.flatnonzero(milp.links @ milp.counts(z) - z[milp.link_site] > 1e-6)
        found.append(milp.link_cuts(broken))
    u = z[milp.usage_columns]
    if limits.cvar_usd is not None and problem.paths is not None:
        row, value = tail_row(problem.paths, u, limits.cvar_level)
        if value > limits.cvar_usd * (1 + tolerance):
            found.append(rows_of(milp, [(milp.usage_columns, row, -1)], "CVaR", limits.cvar_usd))
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
    at = np.stack([milp.spread_columns[:k], np.full(k, milp.spread_columns[k]), milp.spread_columns[k + 1 :]])
    each = [(g, r) for g in range(k) for r in np.unique(shares[:, g])]
    return rows_of(milp, [(at[:, g], np.array([2 * r, -(r**2), -1.0]), -1) for g, r in each], "tangent", 0.0)


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
    size = (1 - level) * len(cost)
    whole = int(np.ceil(size - 1e-9))
    weights = np.ones(whole)
    weights[-1] = size - (whole - 1)
    weights /= weights.sum()
    row = weights @ paths[order[:whole]]
    return row, float(row @ usage)
