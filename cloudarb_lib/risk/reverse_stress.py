"""Reverse stress: the smallest change of each factor that breaks a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pandas as pd

from cloudarb_lib.risk.impact import cost_under, impact_of
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.measures import cvar
from cloudarb_lib.risk.scenarios import StressScenario
from cloudarb_lib.tables.validation import validate

FURTHEST = {"price": 10.0, "volatility": 10.0, "availability": 0.0, "demand": 10.0, "cost": 10.0}
"""How far each factor goes before it is called harmless; 1 leaves as it is."""
NEAR = 1e-3
"""To which share of the furthest change the smallest is sought."""
REVERSE_PATHS = 2000


def _shocked(changes: dict[str, float], share: float) -> StressScenario:
    """Return the scenario in which each factor has gone a share of its change from 1.

    Availability is that of the provider on which the plan spends most.
    """
    factors = {factor: 1.0 + share * change for factor, change in changes.items()}
    everyone = {name: factor for name, factor in factors.items() if name != "availability"}
    availability = factors.get("availability", 1.0)
    outage = StressScenario.of("outage", availability=availability, provider="largest")
    return StressScenario("all", all_of=(StressScenario.of("factors", **everyone), outage))


def reverse_stress(
    inputs: RiskInputs, plan: pd.DataFrame, *, budget_usd: float, cvar_limit_usd: float = 0.0
) -> pd.DataFrame:
    """Return table ``reverse_stress``: the smallest change of each factor that breaks a limit.

    The plan is held. Sought up to ``FURTHEST`` by Brent's method, to ``NEAR`` of that, on the first
    ``REVERSE_PATHS`` paths.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    plan : pd.DataFrame
        Table ``plan``.
    budget_usd : float
        Limit ``budget``: broken where the expected cost is above it.
    cvar_limit_usd : float
        Limit ``cvar``: broken where the mean of the worst 5 % is above it. 0: the budget.

    Returns
    -------
    pd.DataFrame
        A row per limit and factor. Factor ``together``: all that break the limit alone, each by
        that share of its own change. NaN where no change so far breaks it.
    """
    gpu_models = inputs.offers.set_index("offer_id")["gpu_model"]
    may_replace = gpu_models.isin(gpu_models[plan["offer_id"]]).to_numpy()
    paths = replace(inputs.paths, values=inputs.paths.values[:, :REVERSE_PATHS])
    inputs = replace(inputs, offers=inputs.offers[may_replace], paths=paths)

    def excess_usd(share: float, changes: dict[str, float], limit: str) -> float:
        impact = impact_of(_shocked(changes, share), inputs, plan)
        assert impact is not None
        total = cost_under(impact, inputs, plan, demand_factor=impact.demand).total
        if limit == "budget":
            return float(total.mean() - budget_usd)
        return float(cvar(total).value - (cvar_limit_usd or budget_usd))

    rows = []
    for limit in ("budget", "cvar"):
        breaking = {}
        for factor, furthest in FURTHEST.items():
            change = furthest - 1.0
            excess = partial(excess_usd, changes={factor: change}, limit=limit)
            smallest = change * _least_share(excess)
            rows.append((limit, factor, smallest))
            if np.isfinite(smallest):
                breaking[factor] = smallest
        excess = partial(excess_usd, changes=breaking, limit=limit)
        rows.append((limit, "together", _least_share(excess)))
    return validate(pd.DataFrame(rows, columns=["limit", "factor", "change"]), "reverse_stress")


def _least_share(excess: Callable[[float], float]) -> float:
    """Return the least share of the changes with an excess above 0, NaN where all has none."""
    from scipy.optimize import brentq

    excess = cache(excess)  # the ends are asked for again
    if excess(0.0) > 0:
        return 0.0
    if not excess(1.0) > 0:
        return np.nan
    return min(brentq(excess, 0.0, 1.0, xtol=NEAR / 2) + NEAR / 2, 1.0)
