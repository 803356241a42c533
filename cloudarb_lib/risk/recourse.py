"""Recourse: the plan that would be made once a shock has struck, and what moving to it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Paths
from cloudarb_lib.market.disruptions import find_fallbacks
from cloudarb_lib.risk.bought import (
    commitments_bought,
    is_bought,
    that_can_be_held,
    under_their_names,
    with_bought,
)
from cloudarb_lib.risk.futures import chances, rows_by_future
from cloudarb_lib.risk.impact import Impact, cost_under, impact_of, struck
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.scenarios import StressScenario
from cloudarb_lib.tables.assumptions import Assumptions

GAP = 1e-5
"""Relative gap to which plans are made anew: small, so that one of several nearly as good is not a
matter of chance."""


def cheapest_plan(
    offers: pd.DataFrame,
    demand: allocate.Demand,
    paths: Paths | None,
    *,
    assumptions: Assumptions,
    hours: float | Sequence[float],
    gap: float,
) -> pd.DataFrame | None:
    """Return the cheapest plan on offers, without limits of budget or risk.

    Parameters
    ----------
    offers : pd.DataFrame
        Table ``offers``.
    demand : Demand
        What has to run, and what is held for it.
    paths : Paths, optional
        Of the prices of the offers.
    assumptions : Assumptions
        Capacity, hazards and fees.
    hours : float or sequence of float
        Horizon of the plan, or of each of its periods.
    gap : float
        Relative, to which the plan is proven.

    Returns
    -------
    pd.DataFrame or None
        Table ``plan``; None where the offers cannot serve the demand.
    """
    limits = allocate.Limits(terms=("1y",))
    try:
        problem = allocate.build_problem(
            allocate.what_has_to_run(demand, offers),
            offers,
            paths=paths,
            limits=limits,
            assumptions=assumptions,
            hours=hours,
        )
    except ParameterError:  # no offer that fits
        return None
    plan = allocate.solve(problem, allocate.SolveOptions(gap=gap))
    return plan.table if plan.has_plan else None


def _choices(inputs: RiskInputs, impact: Impact) -> tuple[pd.DataFrame, Paths]:
    """Return the offers that a new plan may rent once an impact shows, and their paths.

    The price of an hour is that of the share of it that can be had, and of the rest at its
    fallback. An offer of which nothing that quotas allow replaces the rest is no choice.
    """
    after = struck(inputs, impact.as_it_shows())
    offers = after.offers[after.offers["offer_id"].isin(inputs.paths.offer_ids)]
    offers = offers[offers["purchase_option"] != "reserved"].set_index("offer_id", drop=False)
    full = after.room.without_a_machine(after.offers.set_index("offer_id")["gpu_count"])
    fallbacks = find_fallbacks(after.offers, offers.index, full=full)
    fallback_usd = fallbacks["fallback_usd_per_hour"]
    share = offers["available_share"]
    short_usd = ((1.0 - share) * fallback_usd).where(share < 1, 0.0)
    price = share * offers["price_usd_per_hour"] + short_usd
    offers = offers.assign(price_usd_per_hour=price)
    offers = offers[(share > 0) & short_usd.notna()]
    share_of_offer = share[offers.index].to_numpy()[:, None, None]
    short_of_offer = short_usd[offers.index].to_numpy()[:, None, None]
    paths = after.paths.select(offers.index)
    return offers, replace(paths, values=share_of_offer * paths.values + short_of_offer)


def replan(
    inputs: RiskInputs,
    scenarios: Iterable[StressScenario],
    plan: pd.DataFrame,
    demand: allocate.Demand,
) -> dict[str, pd.DataFrame]:
    """Return by scenario the plan that would be made once it has struck, as far as there is one.

    The offers with paths compete at the prices of the step in which the shock shows, as if they
    went on from there as without it (nobody knows how a shock goes on), without limits of budget or
    risk: what has to run has to run. Those marked in column ``stale`` compete only where the others
    cannot serve. An hour of an offer partly to be had costs what is short at its fallback; one not
    to be had at all is no choice.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    scenarios : iterable of StressScenario
        Those that hit no offer, and whose episode the record lacks, have no plan.
    plan : pd.DataFrame
        Table ``plan``; commitments that it buys are paid whatever comes, take of the quotas, and
        are used first where all their hours can be had and no other is of the same machine.
    demand : Demand
        What has to run, and what is held for it: used first, paid for whatever comes. Prices that
        it agrees are those of ``inputs`` already.

    Returns
    -------
    dict[str, pd.DataFrame]
        Tables ``plan`` by the scenario's name.
    """
    bought = commitments_bought(plan, inputs.offers)
    step_h = inputs.horizon_h / len(inputs.paths.times)
    hours = allocate.hours_of_periods(demand, inputs.horizon_h, step_h=step_h)
    # without limits of risk nothing but the mean counts
    mean = inputs.paths.values.mean(axis=1, keepdims=True)
    inputs = replace(inputs, paths=replace(inputs.paths, values=mean))
    plans = {}
    for scenario in progress(scenarios, "plan anew", unit="scenario"):
        impact = impact_of(scenario, inputs, plan)
        if impact is None:
            continue
        offers, paths = _choices(inputs, impact)
        available_share = pd.Series(impact.availability, inputs.offers["offer_id"])
        used = that_can_be_held(bought, demand, available_share)
        work = with_bought(allocate.scaled(demand, impact.demand), bought, used)
        work = replace(work, prices=())
        beside = plan[is_bought(plan) & ~plan["offer_id"].isin(used.index)]
        fresh = offers[~offers.get("stale", pd.Series(False, offers.index))]
        for choice in (fresh, offers):
            anew = cheapest_plan(
                choice.reset_index(drop=True),
                work,
                paths,
                assumptions=inputs.assumptions,
                hours=hours,
                gap=GAP,
            )
            if anew is not None:
                anew = under_their_names(anew, used)
                plans[scenario.name] = pd.concat([anew, beside], ignore_index=True)
                break
    return plans


NEGLIGIBLE_UNMET = 1e-3
"""Share of the GPU-hours held: spot that is taken away while fallbacks are full leaves some undone,
and less than this does not speak against a plan."""


class Outcome(NamedTuple):
    """Means of a plan under a shock, in the order in which plans are compared."""

    unmet_gpu_hours: float
    cost_usd: float


def _outcome(
    impact: Impact, inputs: RiskInputs, plan: pd.DataFrame, demand_factor: float, steps: slice
) -> np.ndarray:
    """Return the fields of ``Outcome`` over some steps, (2,)."""
    cost = cost_under(impact, inputs, plan, demand_factor=demand_factor, steps=steps)
    return np.array([cost.unmet_gpu_hours.mean(), cost.total.mean()])


def _taken_up(plan: pd.DataFrame, anew: pd.DataFrame, inputs: RiskInputs) -> pd.Series:
    """Return by offer how many machines a new plan has beyond those held, as expected."""
    expected = pd.Series(dtype=float)
    held_rows = rows_by_future(plan, inputs.futures)
    new_rows = rows_by_future(anew, inputs.futures)
    for future, held, new in zip(inputs.futures, held_rows, new_rows, strict=True):
        before = held.groupby("offer_id")["instances"].sum()
        now = new.groupby("offer_id")["instances"].sum()
        more = now.sub(before, fill_value=0.0).clip(lower=0.0)
        expected = expected.add(future.probability * more, fill_value=0.0)
    return expected


def outcome_of_recourse(
    inputs: RiskInputs, impact: Impact, plan: pd.DataFrame, anew: pd.DataFrame
) -> Outcome | None:
    """Return what comes of moving to another plan once a shock shows.

    Parameters
    ----------
    inputs : RiskInputs
        Without the shock.
    impact : Impact
        The shock. It shows at the start for a plan of several periods.
    plan, anew : pd.DataFrame
        Tables ``plan``: the one held, and that which takes over. New offers are taken up at
        ``move_overlap_h`` hours of double rent.

    Returns
    -------
    Outcome or None
        None where by the prices of that step holding looks no worse: no more work left undone, or
        as much at no more cost.
    """
    shows_at = 0 if plan["period"].any() else impact.shows_at
    taken_up = _taken_up(plan, anew, inputs)
    as_it_shows = impact.as_it_shows()
    price = struck(inputs, as_it_shows).offers.set_index("offer_id")["price_usd_per_hour"]
    double_rent = (taken_up * price[taken_up.index]).sum()
    move = np.array([0.0, inputs.assumptions.get("move_overlap_h") * double_rent])
    before = slice(shows_at)
    after = slice(shows_at, None)
    believed_anew = _outcome(as_it_shows, inputs, anew, 1.0, after) + move
    believed_held = _outcome(as_it_shows, inputs, plan, impact.demand, after)
    gpus = inputs.offers.set_index("offer_id")["gpu_count"].reindex(anew["offer_id"]).to_numpy()
    instance_hours = anew["instances"] * anew["hours"] * chances(anew, inputs.futures)
    negligible = NEGLIGIBLE_UNMET * np.nansum(instance_hours * gpus)
    for believed in (believed_anew, believed_held):
        if believed[0] < negligible:
            believed[0] = 0.0
    if tuple(believed_anew) >= tuple(believed_held):
        return None
    outcome = _outcome(impact, inputs, anew, 1.0, after) + move
    if shows_at:
        outcome += _outcome(impact, inputs, plan, impact.demand, before)
    return Outcome(float(outcome[0]), float(outcome[1]))
