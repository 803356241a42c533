"""What of a demand has to run whatever it costs; and more, or less, of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import pandas as pd

from cloudarb_lib.allocate.demand import Demand, DemandError, Scope
from cloudarb_lib.allocate.demand.limit_figures import LimitFigures
from cloudarb_lib.allocate.problem.scope import named_by

_Entry = TypeVar("_Entry", bound=Scope)


def what_has_to_run(demand: Demand, offers: pd.DataFrame) -> Demand:
    """Return a demand without limits, budgets of teams, and what runs now.

    Parameters
    ----------
    demand
        What has to run, what is held, and how the need may turn out: this stays.
    offers
        Table ``offers`` to choose from; quotas and prices of others are left out.
    """
    stated = demand.limits
    teams = [replace(team, budget_usd=None, budget_weekly=False) for team in demand.teams]
    return replace(
        demand,
        limits=LimitFigures(terms=stated.terms, hazard=stated.hazard),
        current=(),
        teams=tuple(teams),
        quotas=_naming(demand.quotas, offers),
        prices=_naming(demand.prices, offers),
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
