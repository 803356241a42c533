"""What of a demand has to run whatever it costs; and more, or less, of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import (
    Demand,
    DemandError,
    DemandScenario,
    RoundTrip,
    Scope,
    Workload,
)
from cloudarb_lib.allocate.demand.limit_figures import LimitFigures
from cloudarb_lib.allocate.priority import WANTED
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.problem.scope import known_sites, named_by, unknown_places

_Entry = TypeVar("_Entry", bound=Scope)


def what_has_to_run(demand: Demand, offers: pd.DataFrame) -> Demand:
    """Return a demand without limits, budgets of teams, and what runs now.

    Parameters
    ----------
    demand
        What has to run, what is held, and how the need may turn out: this stays.
    offers
        Table ``offers`` to choose from; what is said of others, and of their places, is left out.
    """
    stated = demand.limits
    workloads = [_where_there_is_something(workload, offers) for workload in demand.workloads]
    teams = [replace(team, budget_usd=None, budget_weekly=False) for team in demand.teams]
    return replace(
        demand,
        workloads=workloads,
        limits=LimitFigures(terms=stated.terms, hazard=stated.hazard),
        current=(),
        teams=tuple(teams),
        quotas=_naming(demand.quotas, offers),
        prices=_naming(demand.prices, offers),
        round_trips=_between_known(demand.round_trips, offers),
    )


def _where_there_is_something(w: Workload, offers: pd.DataFrame) -> Workload:
    """Return a workload without patterns on places that some offers do not have."""
    unknown = set(unknown_places((*w.regions, *w.not_in), offers))
    if not unknown:
        return w
    return replace(
        w,
        regions=tuple(name for name in w.regions if name not in unknown) or w.regions,
        not_in=tuple(name for name in w.not_in if name not in unknown),
    )


def _naming(entries: Sequence[_Entry], offers: pd.DataFrame) -> tuple[_Entry, ...]:
    """Return the entries that name some offer."""
    kept = []
    for entry in entries:
        try:
            named_by(entry, offers, place=("", 0))
        except DemandError:
            continue
        kept.append(entry)
    return tuple(kept)


def _between_known(
    round_trips: tuple[RoundTrip, ...], offers: pd.DataFrame
) -> tuple[RoundTrip, ...]:
    """Return the round trips of which both regions are on offer, or listed."""
    known = known_sites(offers)
    return tuple(trip for trip in round_trips if known.issuperset(trip.between))


def as_it_is_now(demand: Demand) -> Demand:
    """Return a demand of one period and one future: the needs of its first period.

    Parameters
    ----------
    demand
        Work that its first period does not need is left out, and so is what runs now for it.

    Raises
    ------
    ParameterError
        Where its first period needs nothing.
    """
    workloads = [
        replace(w, amount=w.amounts[0], amounts=()) if w.amounts else w
        for w in demand.workloads
        if not w.amounts or w.amounts[0]
    ]
    names = {w.name for w in workloads}
    current = tuple(placement for placement in demand.current if placement.workload in names)
    return replace(demand, workloads=workloads, scenarios=(), current=current)


def what_is_served(demand: Demand, problem: Problem) -> Demand:
    """Return a demand without the work that gives way to other work.

    Parameters
    ----------
    demand
        Of which ``problem`` was made.
    problem
        Of what is served, as ``priority.by_priority`` and ``as_planned`` return it.

    Returns
    -------
    Demand
        Of alike jobs there are fewer, where a whole number of them is served; other needs are
        smaller, in each period by itself. Where there are scenarios, the share of a workload that
        is served in each is that of its worst period. ``demand`` itself where nothing gives way.
    """
    if WANTED not in problem.demands:
        return demand
    futures = demand.scenarios or (DemandScenario("", 1.0),)
    workloads = []
    factors: dict[str, dict[str, float]] = {future.name: {} for future in futures}
    for w in demand.workloads:
        shares = [_shares_served(w.name + future.suffix, problem) for future in futures]
        if not any(share.any() for share in shares):
            continue
        workloads.append(w if demand.scenarios else _less(w, shares[0]))
        for future, share in zip(futures, shares, strict=True):
            factors[future.name][w.name] = future.factors.get(w.name, 1.0) * float(share.min())
    names = {w.name for w in workloads}
    return replace(
        demand,
        workloads=workloads,
        scenarios=tuple(replace(s, factors=factors[s.name]) for s in demand.scenarios),
        current=tuple(placement for placement in demand.current if placement.workload in names),
    )


def _shares_served(label: str, problem: Problem) -> np.ndarray:
    """Return which share of a workload's need in a future is served, by period; 1 of no need."""
    demands = problem.demands[(problem.demands["workload"] == label) & ~problem.demands["idle"]]
    wanted = demands[WANTED].to_numpy(float)
    served = demands["need"].to_numpy(float)
    return np.divide(served, wanted, out=np.ones(len(wanted)), where=wanted > 0)


def _less(w: Workload, shares: np.ndarray) -> Workload:
    """Return a workload with a share of its need in each period, or in all."""
    if (shares == 1).all():
        return w
    jobs = w.count * shares[0]
    if len(shares) == 1 and abs(jobs - round(jobs)) < 1e-6 and not w.amounts:
        return replace(w, count=float(round(jobs)))
    amounts = np.array(w.amounts or (w.amount,) * len(shares)) * shares
    by_period = tuple(float(x) for x in amounts) if len(shares) > 1 else ()
    return replace(w, amount=float(amounts.max()), amounts=by_period)


def scaled(demand: Demand, factor: float) -> Demand:
    """Return a demand whose every need is so many times as large.

    Parameters
    ----------
    demand
        What has to run.
    factor
        Above 0.
    """
    workloads = [
        replace(w, amount=w.amount * factor, amounts=tuple(x * factor for x in w.amounts))
        for w in demand.workloads
    ]
    return replace(demand, workloads=workloads)
