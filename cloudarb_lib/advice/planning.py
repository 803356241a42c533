"""The plan that a page stands on, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from cloudarb_lib import allocate, risk
from cloudarb_lib.base.types import Paths
from cloudarb_lib.market import Market
from cloudarb_lib.tables.assumptions import Assumptions
from cloudarb_lib.tables.run_tables import load_table


def accepted_models(workloads: Iterable[allocate.Workload]) -> set[str]:
    """Return the GPU models that some workload accepts."""
    return {model for workload in workloads for model in workload.throughput}


class PlanOfRun(NamedTuple):
    """The plan that a page stands on."""

    table: pd.DataFrame
    """Table ``plan``."""
    binding: pd.DataFrame
    """Table ``plan_binding``."""
    demand: allocate.Demand
    """What the plan serves: the demand without the work that gave way to other work."""
    left_undone: list[str]
    """That work, in words."""

    @property
    def left_undone_in_words(self) -> str:
        """A sentence for people; empty where all is served."""
        return f"**Not served**: {'; '.join(self.left_undone)}." if self.left_undone else ""


def plan_of_run(
    demand: allocate.Demand, offers: pd.DataFrame, paths: Paths, run_dir: str = "", **terms: Any
) -> PlanOfRun:
    """Return the plan of the run, solved here where it has none.

    Parameters
    ----------
    demand
        What has to run.
    offers
        Table ``offers``, all that quotas and agreed prices of the demand may name.
    paths
        Of their prices.
    run_dir
        Folder of the run, '' being reports/scratch.
    terms
        Limits, assumptions and hours, as ``allocate.build_problem`` takes them.

    Raises
    ------
    SolveError
        Where no plan keeps the limits.
    """
    plan = load_table("plan", run_dir)
    binding = load_table("plan_binding", run_dir)
    has_priorities = any(team.priority for team in demand.teams)
    if plan is not None and binding is not None and not has_priorities:
        return PlanOfRun(plan, binding, demand, [])
    problem = allocate.build_problem(demand, offers, paths=paths, **terms)
    if plan is None or binding is None:
        solved = allocate.require_plan(allocate.solve_by_priority(problem))
        plan = solved.table
        binding = allocate.binding(solved)
    served = allocate.as_planned(problem, plan)
    left_undone = allocate.cut_by_priority(served)
    return PlanOfRun(plan, binding, allocate.what_is_served(demand, served), left_undone)


def risk_inputs(
    market: Market,
    paths: Paths,
    plan: pd.DataFrame,
    assumptions: Assumptions,
    *,
    demand: allocate.Demand,
    **size: Any,
) -> risk.RiskInputs:
    """Return what the cost of a run's plan is simulated with, alike on every page.

    Parameters
    ----------
    market
        Offers whose price is stale by now may replace what is lost, where nothing else does.
    paths
        Of the run, before prices agreed; offers of the plan without any keep today's price.
    plan
        Table ``plan``.
    assumptions
        For hazards, fallbacks and moves.
    demand
        What the plan serves: where hours that are taken away may be bought, what is held, prices
        agreed, and how likely each of its scenarios is.
    size
        ``horizon_h``, in hours, and ``seed``, of the outages.
    """
    offers, agreed = allocate.agreed_prices(demand, market.with_stale().offers, paths)
    assert agreed is not None  # since paths are given
    offers = allocate.with_held(demand, offers)
    rented = offers[offers["offer_id"].isin(plan["offer_id"])]
    today_usd = rented.set_index("offer_id")["price_usd_per_hour"]
    steady = risk.with_steady(agreed, today_usd)
    return risk.RiskInputs(offers, steady, assumptions, demand=demand, **size)
