"""The plan that a page stands on, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.types import Paths
from cloudarb_lib.tables.run_tables import load_table


def accepted_models(workloads: Iterable[allocate.Workload]) -> set[str]:
    """Return the GPU models that some workload accepts."""
    return {model for workload in workloads for model in workload.throughput}


def plan_of_run(
    workloads: list[allocate.Workload],
    offers: pd.DataFrame,
    paths: Paths,
    run_dir: str = "",
    **terms: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return tables ``plan`` and ``plan_binding`` of the run, solved here where it has none.

    Parameters
    ----------
    terms
        Limits, assumptions and hours, as ``allocate.build_problem`` takes them.

    Raises
    ------
    SolveError
        Where no plan keeps the limits.
    """
    plan = load_table("plan", run_dir)
    binding = load_table("plan_binding", run_dir)
    if plan is not None and binding is not None:
        return plan, binding
    solved = allocate.solve(allocate.build_problem(workloads, offers, paths=paths, **terms))
    return solved.table, allocate.binding(solved)


def cost_fan(plan: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """Return the cumulative cost of a plan over the steps of ``paths``.

    Parameters
    ----------
    plan
        Table ``plan``; the hours of each row are spread evenly over the steps.

    Returns
    -------
    pd.DataFrame
        A row per step: ``time_utc``, its end, and ``p10_usd``, ``p50_usd``, ``p90_usd``.

    Raises
    ------
    DataError
        Where an offer of the plan has no paths.
    """
    instance_hours = (plan["instances"] * plan["hours"]).groupby(plan["offer_id"]).sum()
    hours_a_step = instance_hours / len(paths.times)
    prices = paths.select(hours_a_step.index).values
    cost = np.einsum("ops,o->ps", prices, hours_a_step.to_numpy())
    p10, p50, p90 = np.quantile(cost.cumsum(axis=1), [0.1, 0.5, 0.9], axis=0)
    return pd.DataFrame({"time_utc": paths.times, "p10_usd": p10, "p50_usd": p50, "p90_usd": p90})
