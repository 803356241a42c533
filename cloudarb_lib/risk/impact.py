"""A stress scenario met with offers and paths: their prices, hours and the cost of a plan then."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.risk.cost import PlanCost, over_share, plan_cost
from cloudarb_lib.risk.futures import chances
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.scenarios import StressScenario
from cloudarb_lib.risk.shocks import Effect

SHOWS_LOG = 0.01
"""A shock shows in the first step in which it has moved a price by 1 %."""


class Impact(NamedTuple):
    """What a scenario does to each offer of ``RiskInputs.offers``, and to the work.

    Parameters
    ----------
    price : np.ndarray of shape (offers, steps)
        Factors.
    volatility : np.ndarray of shape (offers,)
        Factors of the log changes from today's price.
    availability : np.ndarray of shape (offers,)
        Share of the hours that can be had.
    demand : float
        Factor of the work.
    cost : float
        Factor of every bill: of fees too, and contained in ``price``.
    """

    price: np.ndarray
    volatility: np.ndarray
    availability: np.ndarray
    demand: float
    cost: float

    @property
    def shows_at(self) -> int:
        """The step in which it shows: the first whose prices it moves, else 0."""
        return int((np.abs(np.log(self.price)) > SHOWS_LOG).any(axis=0).argmax())

    def as_it_shows(self) -> Impact:
        """Return it as it looks when it shows: from there on prices go on as without it."""
        first = self.price[:, [self.shows_at]]
        return self._replace(price=np.repeat(first, self.price.shape[1], axis=1))


def impact_of(scenario: StressScenario, inputs: RiskInputs, plan: pd.DataFrame) -> Impact | None:
    """Return what a scenario does, None where it hits no offer or the record lacks an episode.

    Parameters
    ----------
    scenario : StressScenario
        With all that it adds: effects multiply.
    inputs : RiskInputs
        Offers, paths and record.
    plan : pd.DataFrame
        Table ``plan``, which says on whom most is spent.

    Returns
    -------
    Impact or None
    """
    offers = inputs.offers.set_index("offer_id")
    price = np.ones((len(offers), len(inputs.paths.times)))
    volatility = np.ones(len(offers))
    availability = np.ones(len(offers))
    demand = 1.0
    cost = 1.0
    chance = chances(plan, inputs.futures)
    hours = (chance * plan["instances"] * plan["hours"]).groupby(plan["offer_id"]).sum()
    spend = hours.reindex(offers.index, fill_value=0.0) * offers["price_usd_per_hour"]
    can_move = (offers["purchase_option"] != "reserved").to_numpy()
    for each in scenario.with_all_added:
        hit = each.offers_hit.mask(offers, spend)
        moving = hit & can_move
        effect = _joint_effect(each, inputs, offers.index[moving]) if hit.any() else None
        if effect is None:
            return None
        price *= effect.cost
        price[moving] *= effect.price
        volatility[moving] *= effect.volatility
        availability[hit] *= effect.availability
        demand *= effect.demand
        cost *= effect.cost
    return Impact(price, volatility, availability, demand, cost)


def _joint_effect(
    scenario: StressScenario, inputs: RiskInputs, offer_ids: pd.Index
) -> Effect | None:
    """Return the product of the effects of a scenario's own shocks, None where one is not told."""
    joint = Effect()
    for shock in scenario.shocks:
        effect = shock.effect(inputs, offer_ids)
        if effect is None:
            return None
        joint = joint.and_then(effect)
    return joint


def struck(inputs: RiskInputs, impact: Impact) -> RiskInputs:
    """Return inputs at the prices of an impact, with the share of its hours that each offer has.

    More volatile prices move further from today's; one that has not moved stays.
    """
    price = inputs.offers["price_usd_per_hour"] * impact.price.mean(axis=1)
    offers = inputs.offers.assign(price_usd_per_hour=price, available_share=impact.availability)
    at = pd.Index(offers["offer_id"]).get_indexer(inputs.paths.offer_ids)
    today = inputs.offers["price_usd_per_hour"].to_numpy(float)[at, None, None]
    values = inputs.paths.values * impact.price[at, None, :]
    stretched = np.flatnonzero(impact.volatility[at] != 1.0)
    moved = inputs.paths.values[stretched] / today[stretched]
    values[stretched] *= moved ** (impact.volatility[at[stretched], None, None] - 1.0)
    return replace(inputs, paths=replace(inputs.paths, values=values), offers=offers)


def cost_under(
    impact: Impact,
    inputs: RiskInputs,
    plan: pd.DataFrame,
    *,
    demand_factor: float,
    steps: slice = slice(None),
) -> PlanCost:
    """Return the cost samples of a plan under an impact.

    Parameters
    ----------
    impact : Impact
        As of ``impact_of``.
    inputs : RiskInputs
        Without the impact.
    plan : pd.DataFrame
        Table ``plan``.
    demand_factor : float
        As for ``plan_cost``.
    steps : slice
        Of the paths: the cost is of these alone.

    Returns
    -------
    PlanCost
    """
    used = replace(inputs, paths=inputs.paths.select(plan["offer_id"].unique()))
    after = struck(used, impact)
    paths = replace(
        after.paths, times=after.paths.times[steps], values=after.paths.values[:, :, steps]
    )
    share = len(paths.times) / len(after.paths.times)
    after = replace(after, paths=paths, horizon_h=inputs.horizon_h * share)
    held = over_share(plan, share)
    held = held.assign(fees_usd=held["fees_usd"] * impact.cost)
    return plan_cost(after, held, demand_factor=demand_factor)
