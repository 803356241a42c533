"""A plan in each of the ways in which the need may turn out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cloudarb_lib.allocate import DemandScenario
from cloudarb_lib.base.errors import DataError


def rows_by_future(plan: pd.DataFrame, futures: Sequence[DemandScenario]) -> list[pd.DataFrame]:
    """Return the rows of a plan in each future, its workloads named as in the demand.

    Parameters
    ----------
    plan : pd.DataFrame
        Table ``plan``; without ``scenario`` there is one future, without a name.
    futures : sequence of DemandScenario
        Of the demand.

    Returns
    -------
    list of pd.DataFrame
        One a future, in their order; empty where nothing is held there.

    Raises
    ------
    DataError
        For rows of a future that the demand lacks: nobody knows how likely it is.
    """
    scenario = scenarios_of(plan)
    names = [future.name for future in futures]
    for name in sorted(set(scenario) - set(names)):
        raise DataError(
            f"the plan has rows of scenario {name!r}, the demand has {names}.",
            "Name the demand that the plan was made for.",
        )
    rows = []
    for future in futures:
        own = plan[scenario == future.name]
        workload = own["workload"].astype(str).str.removesuffix(future.suffix)
        rows.append(own.assign(workload=workload))
    return rows


def chances(plan: pd.DataFrame, futures: Sequence[DemandScenario]) -> pd.Series:
    """Return how likely the future of each row of a plan is; 1 where there is but one.

    Parameters
    ----------
    plan : pd.DataFrame
        Table ``plan``.
    futures : sequence of DemandScenario
        Of the demand; each row is of one of them.
    """
    return scenarios_of(plan).map({future.name: future.probability for future in futures})


def scenarios_of(plan: pd.DataFrame) -> pd.Series:
    """Return the scenario of each row of a plan, '' where the demand has none."""
    if "scenario" not in plan:
        return pd.Series("", plan.index)
    return plan["scenario"].astype(object).fillna("").astype(str)
