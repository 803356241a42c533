"""Stress: what shocks and episodes do to a plan that is held, and to one made anew."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from cloudarb_lib.risk.impact import cost_under, impact_of
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.measures import cvar, probability_over, var
from cloudarb_lib.risk.recourse import Outcome, outcome_of_recourse
from cloudarb_lib.risk.scenarios import StressScenario
from cloudarb_lib.tables.validation import validate


def stress(
    inputs: RiskInputs,
    scenarios: Iterable[StressScenario],
    plan: pd.DataFrame,
    *,
    replanned: dict[str, pd.DataFrame],
    budget_usd: float,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return table ``stress``: a row per scenario, first the base.

    Held: demand beyond the plan is bought on demand, hours short at the fallbacks, both as far as
    capacity and quotas leave room. With recourse: from the step in which the shock shows (a plan of
    several periods: from the start) the plan of ``replanned``, where by the prices of that step it
    leaves less work undone than holding, or as much (up to ``NEGLIGIBLE_UNMET``) at less cost; else
    the plan is held. Both are costed at the prices that come, so a move may turn out to have been a
    mistake.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    scenarios : iterable of StressScenario
        Those that hit no offer and episodes that the record lacks are left out.
    plan : pd.DataFrame
        Table ``plan``, held.
    replanned : dict[str, pd.DataFrame]
        As of ``replan``.
    budget_usd : float
        Of the whole horizon.
    level : float
        Of VaR and CVaR.

    Returns
    -------
    pd.DataFrame
        Table ``stress``.
    """
    rows = []
    for scenario in (StressScenario("base"), *scenarios):
        impact = impact_of(scenario, inputs, plan)
        if impact is None:
            continue
        cost = cost_under(impact, inputs, plan, demand_factor=impact.demand)
        total = cost.total
        expected = total.mean()
        increase = total - expected
        held = Outcome(cost.unmet_gpu_hours.mean(), expected)
        moved = None
        if scenario.name in replanned:
            moved = outcome_of_recourse(inputs, impact, plan, replanned[scenario.name])
        with_recourse = moved or held
        rows.append(
            {
                "scenario": scenario.name,
                "expected_cost_usd": expected,
                "loss_usd": expected,
                "recourse_loss_usd": with_recourse.cost_usd,
                "level": level,
                "var_usd": var(increase, level).value,
                "cvar_usd": cvar(increase, level).value,
                "probability_over_budget": probability_over(total, budget_usd).value,
                "unmet_gpu_hours": held.unmet_gpu_hours,
                "recourse_unmet_gpu_hours": with_recourse.unmet_gpu_hours,
            }
        )
    table = pd.DataFrame(rows)
    table[["loss_usd", "recourse_loss_usd"]] -= table["expected_cost_usd"].iloc[0]
    return validate(table, "stress")
