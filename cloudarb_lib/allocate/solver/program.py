"""A problem written down as a program: its columns, and a family of rows for each kind of thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.problem.dominance import dominated
from cloudarb_lib.allocate.problem.limits import sum_rows
from cloudarb_lib.allocate.problem.limits.budget import Budget
from cloudarb_lib.allocate.problem.limits.capacity import Capacity
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.limits.spread import EffectiveProviders
from cloudarb_lib.allocate.problem.limits.together import PLACE_USD, PlaceSwitches, Together
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.problem.row import NOT_PAID, Key, Row
from cloudarb_lib.allocate.solver.milp import Cuts, Milp

_MANY_SIZES = 8
"""Of machines in pools: capacity rows are rounded for so many sizes at most."""


def to_milp(problem: Problem, *, tight: bool = True) -> Milp:
    """Return the program of a problem, without the cuts that are added when violated.

    Parameters
    ----------
    problem
        What has to be served, within which limits.
    tight
        Whether to add rows that whole counts keep anyway, and to leave out assignments that no
        best plan needs. Without it every row has one meaning, and one limit.

    Returns
    -------
    Milp
        Rows that hold a limit have its key.
    """
    program = _Program()
    columns = _columns(program, problem, _most(problem, tight=tight))
    _add_demands(program, problem, columns)
    pool_switch = _pool_switch(problem, columns) if tight else np.full(len(problem.pools), -1)
    _add_capacities(program, problem, columns, pool_switch, rounded=tight)
    _add_usage(program, problem, columns)
    charges = [_add_sum(program, row, columns) for row in sum_rows(problem)]
    spread = np.zeros(0, int)
    if problem.limits.effective_providers is not None:
        spread = _add_spread(program, problem, columns)
    place_switches = _add_places(program, problem, columns, tight=tight)
    if problem.limits.budget_usd is not None:
        _add_budget(program, problem, columns, np.concatenate([np.zeros(0, int), *charges]))
    if problem.cvar_excess_usd < np.inf:
        program.columns(problem.cvar_excess_usd, np.inf)
    return Milp(
        problem=problem,
        cost=np.concatenate(program.cost),
        lower=np.zeros(program.width),
        upper=np.concatenate(program.upper),
        integer=np.concatenate(program.whole) > 0,
        rows=program.matrix(),
        row_lower=np.concatenate(program.lower),
        row_upper=np.concatenate(program.most),
        row_keys=program.keys,
        links=_links(problem, columns, program.width),
        site_columns=columns.sites[columns.sites >= 0],
        unmet_columns=columns.unmet,
        pool_switch=pool_switch,
        usage_columns=columns.usage,
        spread_columns=spread,
        place_columns=place_switches,
    )


class _Program:
    """Collects columns, and rows in coordinate form, each with the key of its limit or None."""

    def __init__(self) -> None:
        self.width = 0
        self.cost = [np.zeros(0)]
        self.upper = [np.zeros(0)]
        self.whole = [np.zeros(0)]
        self.keys: list[Key | None] = []
        self.row_at = [np.zeros(0)]
        self.column_at = [np.zeros(0)]
        self.values = [np.zeros(0)]
        self.lower = [np.zeros(0)]
        self.most = [np.zeros(0)]

    def columns(self, cost, upper, *, whole: bool = False) -> np.ndarray:
        """Add a column for each of ``upper``; return their numbers."""
        upper = np.atleast_1d(np.asarray(upper, float))
        self.cost.append(np.broadcast_to(cost, len(upper)))
        self.upper.append(upper)
        self.whole.append(np.full(len(upper), whole))
        self.width += len(upper)
        return np.arange(self.width - len(upper), self.width)

    def rows(
        self, keys: Sequence[Key | None], row_at, column_at, values, *, lower=-np.inf, upper=np.inf
    ) -> None:
        """Add a row for each of ``keys``, lower <= sum of values * columns <= upper.

        ``row_at`` and ``column_at`` are the row, from 0, and the column of each value.
        """
        column_at = np.asarray(column_at)
        self.row_at.append(len(self.keys) + np.broadcast_to(row_at, column_at.shape))
        self.column_at.append(column_at)
        self.values.append(np.broadcast_to(np.asarray(values, float), column_at.shape))
        self.lower.append(np.broadcast_to(lower, len(keys)))
        self.most.append(np.broadcast_to(upper, len(keys)))
        self.keys.extend(keys)

    def matrix(self) -> sparse.csr_matrix:
        at = np.concatenate(self.row_at), np.concatenate(self.column_at)
        return sparse.csr_matrix((np.concatenate(self.values), at), (len(self.keys), self.width))


@dataclass(frozen=True)
class _Columns:
    """Which column of the program stands for what."""

    counts: np.ndarray
    most: np.ndarray
    """Upper bound of each count."""
    sites: np.ndarray
    """Whether each site is used; -1 for a site without a fee."""
    unmet: np.ndarray
    """What is left undone of each demand; -1 where all of it must be served."""
    usage: np.ndarray
    """Instance-hours of each slot."""


def _most(problem: Problem, *, tight: bool) -> np.ndarray:
    """Return how many units of each assignment its bound and its pool allow."""
    with np.errstate(divide="ignore"):
        in_pool = np.floor(problem.capacity[problem.pool_of] / problem.pool_use + 1e-9)
    most = np.minimum(problem.assignments["most"].to_numpy(float), in_pool)
    if tight:
        most[dominated(problem)] = 0.0
    return most


def _columns(program: _Program, problem: Problem, most: np.ndarray) -> _Columns:
    """Add the columns that every program has."""
    fee = problem.fee_usd
    need = problem.need
    unmet_usd = problem.unmet_usd
    paid = np.flatnonzero(fee > 0)
    optional = np.flatnonzero(np.isfinite(unmet_usd))
    sites = np.full(len(fee), -1)
    unmet = np.full(len(need), -1)
    counts = program.columns(problem.unit_cost, most, whole=True)
    sites[paid] = program.columns(fee[paid], np.ones(len(paid)), whole=True)
    unmet[optional] = program.columns(unmet_usd[optional], need[optional])
    usage = program.columns(0.0, np.full(len(problem.slots), np.inf))
    return _Columns(counts, most, sites, unmet, usage)


def _add_demands(program: _Program, problem: Problem, columns: _Columns) -> None:
    """Add what is served and what is left undone of each demand: its need, exactly or at least."""
    optional = np.flatnonzero(columns.unmet >= 0)
    program.rows(
        Served().keys(problem),
        np.r_[problem.demand_of, optional],
        np.r_[columns.counts, columns.unmet[optional]],
        np.r_[problem.cover, np.ones(len(optional))],
        lower=problem.need,
        upper=problem.need if problem.exact else np.inf,
    )


def _pool_switch(problem: Problem, columns: _Columns) -> np.ndarray:
    """Return the column of the site that closes each pool; -1 without a fee, or for several."""
    pool = problem.pool_of
    site = problem.site_of
    first_site = np.full(len(problem.pools), -1)
    first_site[pool] = site
    elsewhere = np.bincount(pool, site != first_site[pool], len(problem.pools))
    is_alone = (elsewhere == 0) & (first_site >= 0)
    return np.where(is_alone, columns.sites[first_site], -1)


def _add_capacities(
    program: _Program,
    problem: Problem,
    columns: _Columns,
    pool_switch: np.ndarray,
    *,
    rounded: bool,
) -> None:
    """Add the capacity of each pool, closed with its site.

    ``rounded`` adds each again divided by a machine size and rounded down, which stays valid for
    whole counts and cuts off what no whole machines can be.
    """
    use = problem.pool_use
    pool = problem.pool_of
    capacity = problem.capacity
    tied = np.flatnonzero(pool_switch >= 0)
    whole_sizes = set(use[(use > 1) & (use == np.round(use))]) if rounded else set()
    for divisor in (1.0, *sorted(whole_sizes)[:_MANY_SIZES]):
        is_plain = divisor == 1
        size = use if is_plain else np.floor(use / divisor)
        room = capacity if is_plain else np.floor(capacity / divisor + 1e-9)
        at = np.flatnonzero(size > 0)
        program.rows(
            Capacity().keys(problem) if is_plain else [None] * len(capacity),
            np.r_[pool[at], tied],
            np.r_[columns.counts[at], pool_switch[tied]],
            np.r_[size[at], -room[tied]],
            upper=np.where(pool_switch >= 0, 0.0, room),
        )


def _add_usage(program: _Program, problem: Problem, columns: _Columns) -> None:
    """Add what the usage of each slot is: the hours of all counts there."""
    slots = len(problem.slots)
    hours = problem.assignments["hours"].to_numpy(float)
    program.rows(
        [None] * slots,
        np.r_[np.arange(slots), problem.assignments["slot"].to_numpy()],
        np.r_[columns.usage, columns.counts],
        np.r_[np.ones(slots), -hours],
        lower=0.0,
        upper=0.0,
    )


def _add_sum(program: _Program, row: Row, columns: _Columns) -> np.ndarray:
    """Add a sum that is limited, charged for, or both; return the columns that cost a plan."""
    summed = (columns.usage if row.on_usage else columns.counts)[row.at]
    if row.is_limited:
        program.rows([row.key], 0, summed, row.values, lower=row.lower, upper=row.upper)
    if row.tiers:
        most = np.inf
        if not row.on_usage:
            most = float(np.maximum(row.values * columns.most[row.at], 0.0).sum())
        charges = _add_charge(program, row, summed, most)
        if row.kind not in NOT_PAID:
            return charges
    return np.zeros(0, int)


def _add_charge(program: _Program, row: Row, summed: np.ndarray, most: float) -> np.ndarray:
    """Add the columns and rows by which a row's sum, ``most`` at most, is charged for.

    Returns the columns. Rising rates fill one tier after the other by themselves; of falling ones,
    whose charge is the least of lines, fixed + rate * value, a switch takes one line (two would
    cost more).
    """
    first = program.width
    tiers = []
    fixed = 0.0
    for start, end, rate in row.pieces:
        reach = min(end, max(most, start))
        tiers.append(int(program.columns(rate, reach if row.falls else reach - start)[0]))
        if row.falls:
            (switch,) = program.columns(fixed - rate * start, 1.0, whole=True)
            program.rows([None], 0, [tiers[-1], switch], [1.0, -reach], upper=0.0)
            fixed += rate * (end - start)
    free = 0.0 if row.falls else row.pieces[0][0]
    values = np.r_[row.values, -np.ones(len(tiers))]
    program.rows([None], 0, np.r_[summed, tiers], values, upper=free)
    return np.arange(first, program.width)


def _add_spread(program: _Program, problem: Problem, columns: _Columns) -> np.ndarray:
    """Add spend s of each group, spend T of all, and q >= s^2 / T, which add up to T / n at most.

    Returns the columns of s, T and q. What keeps q above s^2 / T are tangents (``milp.separate``).
    """
    bound = problem.limits.effective_providers
    assert bound is not None
    limit = EffectiveProviders(bound)
    groups = int(problem.groups.max()) + 1
    spread = program.columns(0.0, np.full(2 * groups + 1, np.inf))
    spend, total, squares = spread[:groups], spread[groups], spread[groups + 1 :]
    ones = np.ones(groups)
    program.rows(
        [None] * groups,
        np.r_[problem.groups, np.arange(groups)],
        np.r_[columns.usage, spend],
        np.r_[problem.slots["mean_price"], -ones],
        lower=0.0,
        upper=0.0,
    )
    program.rows([None], 0, np.r_[spend, total], np.r_[ones, -1.0], lower=0.0, upper=0.0)
    values = np.r_[ones, -1 / bound]
    program.rows(limit.keys(problem), 0, np.r_[squares, total], values, upper=0.0)
    return spread


def _add_places(
    program: _Program, problem: Problem, columns: _Columns, *, tight: bool
) -> np.ndarray:
    """Add how many jobs of each demand that is kept together stand in each place.

    A place takes no more of a demand than its jobs there can use; a demand stands in so many
    places at most, or pays for each further one. Returns the columns of jobs and further places.
    """
    switches = PlaceSwitches.of(problem)
    pairs = len(switches.demand)
    if not pairs:
        return np.zeros(0, int)
    jobs = program.columns(0.0, switches.jobs, whole=True)
    program.rows(
        [None] * pairs,
        np.r_[switches.pair, np.arange(pairs)],
        np.r_[columns.counts[switches.assignments], jobs],
        np.r_[problem.cover[switches.assignments], -switches.most_a_job],
        upper=0.0,
    )
    if tight:
        _add_pools_of_places(program, problem, columns, switches, jobs)
    demands, row = np.unique(switches.demand, return_inverse=True)
    places = problem.demands["places"].to_numpy(float)[demands]
    keys = [(Together.kind, int(demand)) for demand in demands]
    if PLACE_USD not in problem.demands:
        program.rows(keys, row, jobs, 1.0, upper=places)
        return jobs
    further = program.columns(problem.demands[PLACE_USD][demands], np.full(len(demands), np.inf))
    at = np.r_[row, np.arange(len(demands))]
    values = np.r_[np.ones(pairs), -np.ones(len(demands))]
    program.rows(keys, at, np.r_[jobs, further], values, upper=places)
    return np.r_[jobs, further]


def _add_pools_of_places(
    program: _Program,
    problem: Problem,
    columns: _Columns,
    switches: PlaceSwitches,
    jobs: np.ndarray,
) -> None:
    """Add the capacity of each pool in a place, closed for a demand that has no job there.

    Else the relaxation would put a part of the job wherever a little is cheap.
    """
    pool = problem.pool_of[switches.assignments]
    key = switches.pair * len(problem.pools) + pool
    _, first, row = np.unique(key, return_index=True, return_inverse=True)
    use = problem.pool_use[switches.assignments]
    most_used = np.bincount(row, use * columns.most[switches.assignments])
    room = np.minimum(problem.capacity[pool[first]], most_used)
    program.rows(
        [None] * len(first),
        np.r_[row, np.arange(len(first))],
        np.r_[columns.counts[switches.assignments], jobs[switches.pair[first]]],
        np.r_[use, -room],
        upper=0.0,
    )


def _add_budget(
    program: _Program, problem: Problem, columns: _Columns, charges: np.ndarray
) -> None:
    """Add what a plan costs: counts, sites that are used and charges, at the budget at most."""
    at = np.r_[columns.counts, columns.sites[columns.sites >= 0], charges]
    usd = np.concatenate(program.cost)[at]
    if problem.budget_excess_usd < np.inf:
        at = np.r_[at, program.columns(problem.budget_excess_usd, np.inf)]
        usd = np.r_[usd, -1.0]
    bound = problem.limits.budget_usd
    assert bound is not None
    program.rows(Budget(bound).keys(problem), 0, at, usd, upper=bound)


def _links(problem: Problem, columns: _Columns, width: int) -> Cuts:
    """Return the rows counts <= site used, which are added when violated.

    What one demand takes at one site cannot exceed the demand, where it must be covered exactly.
    """
    demand = problem.demand_of
    cover = problem.cover
    need = problem.need
    site = problem.site_of
    tied = np.flatnonzero((columns.sites[site] >= 0) & (columns.most > 0))
    if problem.exact:
        key = demand[tied] * len(problem.sites) + site[tied]
        share = cover[tied] / need[demand[tied]]
    else:
        key = tied
        share = 1 / columns.most[tied]
    _, first, link = np.unique(key, return_index=True, return_inverse=True)
    switch = columns.sites[site[tied[first]]]
    at = np.r_[link, np.arange(len(first))], np.r_[tied, switch]
    matrix = sparse.csr_matrix((np.r_[share, -np.ones(len(first))], at), (len(first), width))
    return Cuts(matrix, np.zeros(len(first)), ["link"] * len(first))
