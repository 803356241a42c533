"""The problem as a mixed-integer program, and the families of rows added when violated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.problem.limits.cvar import Cvar
from cloudarb_lib.allocate.problem.limits.together import PlaceSwitches
from cloudarb_lib.allocate.problem.model import Consumption, Problem
from cloudarb_lib.allocate.problem.row import Key, Row
from cloudarb_lib.base.measures import tail_weights

NEAR = "tangent near a plan"
"""Family of the cuts of ``tangents_near``."""
_STEPS = 0.0005 * 2.0 ** np.arange(8)
_SHARE_SHIFTS = np.concatenate([-_STEPS, [0.0], _STEPS])[:, None]
"""Around the shares of a plan, where the square of each provider's share is linearised: the
nearer, the closer."""


@dataclass(frozen=True)
class Cuts:
    """Rows found violated: matrix @ z <= upper."""

    matrix: sparse.csr_matrix
    upper: np.ndarray
    names: list[str]
    """Family of each cut."""

    def only(self, which: np.ndarray) -> Cuts:
        """Return the cuts at which ``which`` is true."""
        at = np.flatnonzero(which)
        return Cuts(self.matrix[at], self.upper[at], [self.names[i] for i in at])


@dataclass(frozen=True)
class Milp:
    """Minimise cost @ z, row_lower <= rows @ z <= row_upper, lower <= z <= upper.

    Columns are the counts of each assignment, then whether each site is used, then what is left
    undone, then the usage of each slot in instance-hours (which carries all that sample paths and
    spend limit), then what rows with tiers are charged for; with a limit on effective providers
    the spend s of each, that of all together T, and q >= s^2 / T of each: q adds up to T / n at
    most; the jobs in each place, of demands that are kept together; the cost beyond the budget, and
    last of all the CVaR beyond its limit, where these have a price.

    Links, tail cuts and tangents of q are added by ``separate`` when violated.
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
    """Counts <= site used."""
    site_columns: np.ndarray
    unmet_columns: np.ndarray
    """Column of what is left undone of each demand; -1 where all of it must be served."""
    usage_columns: np.ndarray
    spread_columns: np.ndarray
    """s, T and q; empty without that limit."""
    place_columns: np.ndarray
    """Jobs in each place, of demands that are kept together, and further places that are paid."""
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
        is_paid = problem.fee_usd > 0
        unmet = np.maximum(problem.need - plan.served, 0)
        is_optional = np.isfinite(problem.unmet_usd)
        charged = [_split(row, total) for row, total in zip(problem.rows, plan.sums, strict=True)]
        if problem.limits.effective_providers is not None:
            spend = spends(problem, plan.hours)
            total = spend.sum()
            charged.append([*spend, total, *(spend**2 / max(total, 1e-9))])
        charged.append([*PlaceSwitches.of(problem).point(problem, counts)])
        if problem.limits.budget_usd is not None and problem.budget_excess_usd < np.inf:
            charged.append([max(plan.cost_usd - problem.limits.budget_usd, 0.0)])
        if problem.cvar_excess_usd < np.inf and problem.paths is not None:
            cvar, _ = plan.tail_usd
            limit = problem.limits.cvar_usd
            charged.append([0.0 if limit is None else max(cvar - limit, 0.0)])
        return np.concatenate([counts, is_used[is_paid], unmet[is_optional], plan.hours, *charged])


def _split(row: Row, value: float) -> list[float]:
    """Return the columns of a row's tiers at a value, as ``program`` adds them for its charge."""
    if not row.falls:
        return [min(max(value - start, 0.0), end - start) for start, end, _ in row.pieces]
    columns = []
    for start, end, _ in row.pieces:
        is_here = start <= value < end
        columns += [value * is_here, float(is_here)]
    return columns


def separate(milp: Milp, z: np.ndarray, *, tolerance: float, links: bool = True) -> Cuts:
    """Return the cuts that a point violates.

    Parameters
    ----------
    milp
        The program.
    z
        A point of it, shape (columns,).
    tolerance
        Relative to each limit (to 1 USD at least): a tail cut or tangent violated by less is not
        returned.
    links
        Whether to look for links too.

    Returns
    -------
    Cuts
        Links, the tail cut and the tangents at the shares of the point.
    """
    found = []
    if links:
        found.append(milp.links.only(milp.links.matrix @ z > 1e-6))
    cvar_usd = milp.problem.limits.cvar_usd
    if cvar_usd is not None and milp.problem.paths is not None:
        tail, beyond = _tail_cut(milp, z, cvar_usd)
        if beyond > tolerance * max(cvar_usd, 1.0):
            found.append(rows_of(milp, [tail], Cvar.cuts, cvar_usd))
    least = milp.problem.limits.effective_providers
    if least is not None:
        spend = spends(milp.problem, z[milp.usage_columns])
        # their squares add up to more than 1 / n
        if np.linalg.norm(spend) > least**-0.5 * spend.sum() * (1 + tolerance):
            found.append(tangents(milp, spend[None] / spend.sum()))
    return join(found, len(z))


def cuts_at(milp: Milp, usages: list[np.ndarray]) -> Cuts:
    """Return the tail cuts and tangents at usages, instance-hours of each slot."""
    cvar_usd = milp.problem.limits.cvar_usd
    found = []
    if usages and cvar_usd is not None and milp.problem.paths is not None:
        # worst by rent alone: the mean over any paths bounds CVaR, over these mostly closely
        paths = milp.problem.paths
        tails = [_tail_row(milp, paths @ usage) for usage in usages]
        found.append(rows_of(milp, tails, Cvar.cuts, cvar_usd))
    if usages and milp.problem.limits.effective_providers is not None:
        spend = np.stack([spends(milp.problem, usage) for usage in usages])
        total = spend.sum(axis=1, keepdims=True)
        found.append(tangents(milp, spend / np.where(total > 0, total, 1.0)))
    return join(found, len(milp.cost))


def _tail_cut(milp: Milp, z: np.ndarray, cvar_usd: float) -> tuple[tuple, float]:
    """Return the mean cost over the worst sample paths of a point as a cut, and what is beyond it.

    CVaR is the largest mean cost over all choices of the worst paths, so the mean over today's
    worst bounds it from below for every plan.

    Returns
    -------
    tuple
        Columns, values and no switch, as ``rows_of`` takes them.
    float
        USD by which the point violates it; negative where it does not.
    """
    tail = _tail_row(milp, milp.problem.path_costs(milp.counts(z)))
    columns, row, _ = tail
    return tail, float(row @ z[columns]) - cvar_usd


def _tail_row(milp: Milp, path_costs: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the mean over the paths that cost most, as ``rows_of`` takes a cut: USD of a plan."""
    problem = milp.problem
    weights = tail_weights(len(path_costs), problem.limits.cvar_level)
    worst = np.argsort(-path_costs, kind="stable")[: len(weights)]
    price, beside = problem.mean_over(worst, weights / weights.sum())
    at = np.flatnonzero(beside)
    columns = np.r_[milp.usage_columns, at]
    row = np.r_[price, beside[at]]
    if problem.cvar_excess_usd < np.inf:  # the last column tells how much is paid for
        columns = np.r_[columns, len(milp.cost) - 1]
        row = np.r_[row, -1.0]
    return columns, row, -1


def spends(problem: Problem, usage: np.ndarray) -> np.ndarray:
    """Return the expected spend of each provider (or region), USD."""
    return np.bincount(problem.groups, problem.slots["mean_price"].to_numpy(float) * usage)


def tangents(milp: Milp, shares: np.ndarray) -> Cuts:
    """Return q >= 2 r s - r^2 T, which s^2 / T keeps, for each group at each of its shares r.

    One square a group at a time, not the cone of all at once: few tangents of each bound the cone
    at every combination of them.

    Parameters
    ----------
    milp
        A program with a limit on effective providers.
    shares
        Of expected spend, shape (points, groups).

    References
    ----------
    Vielma, Dunning, Huchette and Lubin (2017), Extended formulations in mixed integer conic
    quadratic programming.
    """
    groups = shares.shape[1]
    spend = milp.spread_columns[:groups]
    total = np.full(groups, milp.spread_columns[groups])
    squares = milp.spread_columns[groups + 1 :]
    at = np.stack([spend, total, squares])
    cuts = [
        (at[:, group], np.array([2 * share, -(share**2), -1.0]), -1)
        for group in range(groups)
        for share in np.unique(shares[:, group])
    ]
    return rows_of(milp, cuts, "tangent", 0.0)


def tangents_near(milp: Milp, counts: np.ndarray) -> list[Cuts]:
    """Return the tangents around the shares of a plan's spend; none, without a limit on them.

    Plans near it that keep these keep the limit on effective providers, or break it by next to
    nothing.
    """
    spend = spends(milp.problem, milp.problem.usage(counts))
    if milp.problem.limits.effective_providers is None or not spend.sum():
        return []
    shares = np.clip(spend / spend.sum() + _SHARE_SHIFTS, 0.0, 1.0)
    cuts = tangents(milp, shares)
    return [replace(cuts, names=[NEAR] * len(cuts.names))]


def join(cuts: list[Cuts], width: int) -> Cuts:
    """Return several sets of cuts as one."""
    matrix = sparse.vstack([sparse.csr_matrix((0, width)), *(c.matrix for c in cuts)], format="csr")
    upper = np.concatenate([np.zeros(0), *(c.upper for c in cuts)])
    return Cuts(matrix, upper, [name for c in cuts for name in c.names])


def distinct(cuts: Cuts) -> Cuts:
    """Return the cuts, each row once."""
    matrix = cuts.matrix
    starts = matrix.indptr
    first: dict[tuple[bytes, bytes, float], int] = {}
    for i, upper in enumerate(cuts.upper):
        row = slice(starts[i], starts[i + 1])
        key = (matrix.indices[row].tobytes(), matrix.data[row].tobytes(), float(upper))
        first.setdefault(key, i)
    return cuts.only(np.isin(np.arange(len(cuts.upper)), list(first.values())))


def rows_of(milp: Milp, parts: list, name: str, upper: float = 1.0) -> Cuts:
    """Return cuts of one family.

    Parameters
    ----------
    milp
        The program.
    parts
        (columns, values, switch) of each cut.
    name
        The family.
    upper
        columns @ values <= upper; with a switch (not -1), <= upper * switch.
    """
    shape = (len(parts), len(milp.cost))
    if not parts:
        return Cuts(sparse.csr_matrix(shape), np.zeros(0), [])
    row_at = []
    column_at = []
    values = []
    limit = []
    for i, (columns, row, switch) in enumerate(parts):
        tied = switch >= 0
        row_at.append(np.full(len(columns) + tied, i))
        column_at.append(np.r_[columns, [switch] * tied])
        values.append(np.r_[row, [-upper] * tied])
        limit.append(0.0 if tied else upper)
    at = (np.concatenate(row_at), np.concatenate(column_at))
    matrix = sparse.csr_matrix((np.concatenate(values), at), shape)
    return Cuts(matrix, np.array(limit), [name] * len(parts))
