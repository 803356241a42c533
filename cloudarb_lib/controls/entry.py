"""What notebooks call: a widget where a person looks on, nothing in a batch run, a test or a file.

Widgets are loaded only for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from cloudarb_lib.base.audience import is_person
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.tables.assumptions import Assumptions

if TYPE_CHECKING:
    from ipywidgets import Widget

    from cloudarb_lib.allocate import Demand, Plan
    from cloudarb_lib.risk import RiskInputs


def explore(offers: pd.DataFrame, panel: Panel) -> Widget | None:
    """Return controls over what can be rented and how its price moved.

    Parameters
    ----------
    offers : pd.DataFrame
        Table ``offers``.
    panel : Panel
        Prices of these offers over time.

    Returns
    -------
    Widget or None
        None where no person looks on, or nothing with a GPU is offered.
    """
    if not is_person() or not (offers["gpu_count"] > 0).any():
        return None
    from cloudarb_lib.controls.prices import ExploreControl

    return ExploreControl(offers, panel).view


def forecast(panel: Panel, table: pd.DataFrame, *, n_paths: int, seed: int) -> Widget | None:
    """Return controls over a forecast.

    Parameters
    ----------
    panel : Panel
        The record.
    table : pd.DataFrame
        Table ``forecast`` from the end of the record, to begin with.
    n_paths, seed : int
        Of the sample paths.

    Returns
    -------
    Widget or None
        None where no person looks on, or nothing is forecast.
    """
    if not is_person() or not len(table):
        return None
    from cloudarb_lib.controls.forecasts import ForecastControl

    return ForecastControl(panel, table, n_paths=n_paths, seed=seed).view


def allocation(
    work: Demand,
    offers: pd.DataFrame,
    paths: Paths | None,
    *,
    plan: Plan,
    assumptions: Assumptions,
    hours: Sequence[float],
) -> Widget | None:
    """Return controls over the limits of a plan.

    Parameters
    ----------
    work : Demand
        What has to run.
    offers : pd.DataFrame
        Table ``offers``.
    paths : Paths or None
        Joint sample paths of prices.
    plan : Plan
        To begin with; limits that no control changes stay as it has them.
    assumptions : Assumptions
        Of capacity, hazards and fees.
    hours : sequence of float
        Of each period.

    Returns
    -------
    Widget or None
        None where no person looks on.
    """
    if not is_person():
        return None
    from cloudarb_lib.controls.plans import AllocationControl
    from cloudarb_lib.controls.replanning import Case

    limits = plan.problem.limits
    case = Case(work, offers, paths, assumptions, limits, hours, plan.table)
    return AllocationControl(case).view


def risk(inputs: RiskInputs, plan: pd.DataFrame, *, budget_usd: float) -> Widget | None:
    """Return controls over what a plan may cost, with the scenarios of data/scenarios.yaml.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    plan : pd.DataFrame
        Table ``plan``.
    budget_usd : float
        Of the whole horizon.

    Returns
    -------
    Widget or None
        None where no person looks on.
    """
    if not is_person():
        return None
    from cloudarb_lib.controls.costs import RiskControl
    from cloudarb_lib.risk import load_scenarios

    return RiskControl(inputs, plan, budget_usd=budget_usd, scenarios=load_scenarios()).view
