"""The problem as a mixed-integer program, and the families of rows added when violated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.problem.limits.cvar import Cvar
from cloudarb_lib.allocate.problem.model import Consumption, Problem
from cloudarb_lib.allocate.problem.row import Key, Row
from cloudarb_lib.base.measures import tail_weights


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
    row_keys: list[Key | None]
    """Of the limit that each row holds; None for rows that hold none."""
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
        problem = self.problem
        plan = Consumption(problem, counts)
        site = problem.assignment_details["site"]
        is_used = np.bincount(site, counts, len(problem.sites)) > 0
        is_paid = problem.sites["fee_usd"].to_numpy(float) > 0
        unmet = np.maximum(problem.demands["need"].to_numpy(float) - plan.served, 0)
        is_optional = np.isfinite(problem.demands["unmet_usd"].to_numpy(float))
        charged = [_split(row, total) for row, total in zip(problem.rows, plan.sums, strict=True)]
        if problem.limits.effective_providers is not None:
            spend = spends(problem, plan.hours)
            total = spend.sum()
            charged.append([*spend, total, *(spend**2 / max(total, 1e-9))])
        if problem.cvar_excess_usd < np.inf and problem.paths is not None:
            cvar, _ = plan.tail_usd
            charged.append([max(cvar - (problem.limits.cvar_usd or np.inf), 0.0)])
        return np.concatenate([counts, is_used[is_paid], unmet[is_optional], plan.hours, *charged])


def _split(row: Row, value: float) -> list[float]:
    """Return the columns of a row's tiers at a value: see ``_charge``."""
    if not row.falls:
        return [min(max(value - start, 0.0), end - start) for start, end, _ in row.pieces]
    here = [start <= value < end for start, end, _ in row.pieces]
    return [part for is_it in here for part in (value * is_it, float(is_it))]


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
            found.append(rows_of(milp, [(columns, row, -1)], Cvar.cuts, limits.cvar_usd))
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
