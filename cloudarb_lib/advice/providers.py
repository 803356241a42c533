"""What each provider is worth to a plan: the plan made again without it, and on it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.tables.run_tables import paid_usd


def provider_values(
    demand: allocate.Demand, offers: pd.DataFrame, plan: pd.DataFrame, **terms: Any
) -> pd.DataFrame:
    """Return what the plan would cost without each provider, and on each alone.

    Parameters
    ----------
    demand
        What has to run; limits that it states and budgets of its teams do not count.
    offers
        Table ``offers`` that the plan was made from.
    plan
        Table ``plan``, made with all of them.
    terms
        Paths, limits, assumptions and hours, as ``allocate.build_problem`` takes them; without a
        budget, since what has to run has to run.

    Returns
    -------
    pd.DataFrame
        A row per provider: rented_usd (what of the plan is spent there), without_usd and alone_usd
        (expected cost of the best plan without it, and on it alone; NaN: no plan), and
        without_extra_usd, how much more leaving it out costs.
    """
    provider_of_plan = plan["offer_id"].astype(str).str.split("/").str[0]
    rented = paid_usd(plan).groupby(provider_of_plan).sum()
    rows = []
    demand = allocate.what_has_to_run(demand, offers)
    providers = sorted(offers["provider"].astype(str).unique())
    for provider in progress(providers, "worth", unit="provider"):
        others = [name for name in providers if name != provider]
        without_usd = _cost_usd(_leaving_out([provider], demand), offers, **terms)
        alone_usd = _cost_usd(_leaving_out(others, demand), offers, **terms)
        rows.append((provider, rented.get(provider, 0.0), without_usd, alone_usd))
    table = pd.DataFrame(rows, columns=["provider", "rented_usd", "without_usd", "alone_usd"])
    return table.assign(without_extra_usd=table["without_usd"] - rented.sum())


def _leaving_out(providers: list[str], demand: allocate.Demand) -> allocate.Demand:
    """Return a demand none of whose work may run at some providers; what is held stays paid."""
    regions = tuple(f"{provider}/*" for provider in providers)
    workloads = [replace(w, not_in=(*w.not_in, *regions)) for w in demand.workloads]
    return replace(demand, workloads=workloads)


def _cost_usd(demand: allocate.Demand, offers: pd.DataFrame, **terms: Any) -> float:
    """Return what the best plan on these offers costs; NaN where there is none."""
    try:
        problem = allocate.build_problem(demand, offers, **terms)
    except ParameterError:  # some workload has no offer here
        return float("nan")
    solved = allocate.solve(problem)
    return solved.objective_usd if solved.has_plan else float("nan")
