"""Would following the advice have paid? Forecast, allocate, then the prices that came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from cloudarb_lib import allocate, forecast, risk
from cloudarb_lib.advice.commit import TERM_WEEKS
from cloudarb_lib.advice.planning import accepted_models
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import STATES, Panel, Paths
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.market import Market
from cloudarb_lib.market.offers import fresh
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.market.places import with_places
from cloudarb_lib.tables.assumptions import Assumptions

LEARN_STEPS = 104
"""Steps of history that the first forecast of the look-back learns from, two years of weeks; later
ones learn from as many more as have gone by."""
GAP = 1e-3
"""Relative gap to which the look-back solves; a week's plans differ by more."""
LOOKBACK_PATHS = 400
"""The look-back allocates by expected price. Paths after an alarm have heavy tails, so that the
means of a hundred differ by more than offers do, and the plan would move every week for nothing."""

Plans = dict[str, pd.DataFrame]
"""Table ``plan`` by policy."""
Hourly = dict[str, pd.Series]
"""What an hour of each offer cost in a step, USD, by workload."""


@dataclass(frozen=True)
class _Step:
    """What every step of a look-back shares."""

    demand: allocate.Demand
    assumptions: Assumptions
    length: pd.Timedelta
    horizon_steps: int

    @property
    def hours(self) -> float:
        return self.length / pd.Timedelta(hours=1)


def look_back(
    past: Sequence[Market],
    demand: allocate.Demand,
    *,
    horizon_steps: int,
    assumptions: Assumptions,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what each policy would have paid, and which plans the advice held.

    At each start the policies see that market alone; over the step they pay the time-weighted
    mean of the prices that came. No budget or risk limit is set. Policies:

    advice: forecast over the horizon, allocate at expected prices, where taking up a new offer
    costs ``move_overlap_h`` hours of double rent, spread over the horizon;
    stay put: the first advice, never changed;
    cheapest now: the cheapest plan at the prices of the day, every step;
    all on-demand: the same among on-demand offers;
    one-year commitment: the cheapest commitments at the start, on demand where none is sold, kept;
    what is left of their terms at the end is paid in the last step.

    Whatever is held (``commitments`` of the demand) is used first by every policy and paid for in
    every hour. The need is that of the first period, without the scenarios of what may come.

    A policy that no offer can serve, or that is no choice (a marketplace sells no commitments, and
    only on demand), is left out. Hours in which an offer of the plan was withdrawn, or in which
    spot machines are expected to be taken away (preset ``typical``), are bought on demand, at the
    cheapest price for the same GPU model in the places where the workload may run; where there is
    none, in any.

    Parameters
    ----------
    past
        The market at the start of each step, evenly apart, and at the end of the last. Only
        records take part that are fresh at that end: of the others nobody knows what came.

    Returns
    -------
    paid
        Table ``lookback``: a row per step and policy.
    advised
        Table ``plan`` of the advice with ``period_utc``.

    Raises
    ------
    ParameterError
        Where the record is too short to look back on, or the first origin has no plan.
    DataError
        Where nothing replaces an offer that was withdrawn.
    """
    *starts, end = past
    demand = allocate.as_it_is_now(demand)
    step = _Step(demand, assumptions, end.as_of - starts[-1].as_of, horizon_steps)
    came = _panel(end, end, step, how="mean")
    if not len(came.times) or came.times[0] > starts[0].as_of:
        what = f"the record does not reach back {len(starts)} steps of {step.length}"
        raise ParameterError(f"{what} from {end.as_of:%Y-%m-%d}.", "Look back on fewer steps.")
    forecasts = forecast.forecast_panels(
        _learned_from(starts, end, step),
        horizon_steps=horizon_steps,
        n_paths=LOOKBACK_PATHS,
        seed=seed,
    )
    came = _with_held(_as_agreed(came, demand), demand, end)
    hourly = _hourly_costs(came, demand, assumptions)
    plans: Plans = {}
    rows: list[dict[str, Any]] = []
    advised: list[pd.DataFrame] = []
    for market, ahead in zip(progress(starts, "look back", unit="step"), forecasts, strict=True):
        offers = market.offers_of(accepted_models(demand.workloads), ("1y",))
        offers = offers[offers["offer_id"].isin(came.offers.index)]
        before = plans
        plans = _decide(offers, ahead, before, step)
        if "advice" not in plans:
            what = f"no offer could serve the demand on {market.as_of:%Y-%m-%d}."
            raise ParameterError(what, "Look back on fewer steps.")
        plans.setdefault("stay put", plans["advice"])
        cost = _in_step(hourly, market.as_of + step.length)
        for policy, plan in plans.items():
            paid = _paid(plan, before.get(policy, plan), cost, came.offers, step)
            rows.append({"policy": policy, "period_utc": market.as_of} | paid)
        advised.append(plans["advice"].assign(period_utc=market.as_of))
    for row in rows[-len(plans) :]:  # of the last step, one a policy
        row["cost_usd"] += _owed_usd(plans[row["policy"]], cost, end.as_of - starts[0].as_of)
    return pd.DataFrame(rows), pd.concat(advised, ignore_index=True)


def _learned_from(starts: Sequence[Market], end: Market, step: _Step) -> list[Panel]:
    """Return the panels that the forecasts of a look-back learn from."""
    learn_from = starts[0].as_of - LEARN_STEPS * step.length
    return [_panel(market, end, step, start=learn_from) for market in starts]


def _as_agreed(came: Panel, demand: allocate.Demand) -> Panel:
    """Return the prices that came, as agreed with providers."""
    offers = came.offers.rename_axis("offer_id").reset_index()
    known = allocate.what_has_to_run(demand, offers)
    agreed = came.price.copy()
    for cell, usd in zip(agreed, came.price, strict=True):
        priced, _ = allocate.agreed_prices(known, offers.assign(price_usd_per_hour=usd), None)
        cell[:] = priced["price_usd_per_hour"].where(np.isfinite(usd))
    return replace(came, price=agreed)


def _with_held(came: Panel, demand: allocate.Demand, market: Market) -> Panel:
    """Return the panel with what is held beside it, always there at its contract's price."""
    offers = allocate.with_held(demand, market.offers)
    held = offers[offers["held"].notna()].set_index("offer_id")
    if held.empty:
        return came
    price = np.tile(held["price_usd_per_hour"].to_numpy(float), (len(came.times), 1))
    return replace(
        came,
        offers=pd.concat([came.offers, held.reindex(columns=came.offers.columns)]),
        price=np.hstack([came.price, price]),
        available=np.hstack([came.available, np.ones_like(price)]),
        state=np.hstack([came.state, np.full(price.shape, STATES.index("unchanged"))]),
    )


def _panel(
    market: Market, end: Market, step: _Step, *, start: object = None, how: str = "last"
) -> Panel:
    """Return prices of accepted models that a market knew, of sources still fresh at ``end``."""
    events = fresh(market.sold(market.events), end.sources)
    accepted = events["gpu_model"].isin(accepted_models(step.demand.workloads))
    return to_panel(
        events[accepted], market.looks, freq=step.length, as_of=market.as_of, start=start, how=how
    )


def _decide(offers: pd.DataFrame, ahead: Paths, before: Plans, step: _Step) -> Plans:
    """Return the plan of each policy for a step; one that finds no plan keeps the one before."""
    if before:
        ahead = _dearer_to_move(ahead, before["advice"]["offer_id"], step)
    plans = dict(before)
    for policy, choice in _choices(offers, first=not before).items():
        if before and policy not in before:
            continue
        plan = risk.cheapest_plan(
            offers[choice],
            step.demand,
            ahead if policy == "advice" else None,
            gap=GAP,
            assumptions=step.assumptions,
            hours=step.hours,
        )
        if plan is not None:
            plans[policy] = plan
    return plans


def _dearer_to_move(ahead: Paths, kept: pd.Series, step: _Step) -> Paths:
    """Return paths in which an offer not yet rented costs its double rent too, spread evenly."""
    overlap = step.assumptions.get("move_overlap_h") / (step.horizon_steps * step.hours)
    factor = np.where(ahead.offer_ids.isin(kept), 1.0, 1.0 + overlap)
    return Paths(ahead.offer_ids, ahead.times, ahead.values * factor[:, None, None])


def _choices(offers: pd.DataFrame, *, first: bool) -> dict[str, pd.Series]:
    """Return which offers each policy that plans in this step may choose from."""
    by_the_hour = offers["term"].eq("")
    on_demand = offers["purchase_option"].eq("on_demand")
    choices = {"advice": by_the_hour, "cheapest now": by_the_hour}
    if not on_demand[by_the_hour].all():
        choices["all on-demand"] = on_demand
    if first and not by_the_hour.all():
        choices["one-year commitment"] = on_demand | ~by_the_hour
    return choices


def _lost_share(assumptions: Assumptions) -> float:
    """Return the share of spot hours that are lost to interruptions, by the typical hazard."""
    per_h = assumptions.get("interruption_per_hour/spot/typical")
    away_h = assumptions.get("outage_hours/spot/typical")
    return per_h * away_h / (1 + per_h * away_h)


def _hourly_costs(
    came: Panel, demand: allocate.Demand, assumptions: Assumptions
) -> dict[str, pd.DataFrame]:
    """Return what an hour of each offer cost each workload, as ``_hourly_cost``."""
    lost_share = _lost_share(assumptions)
    on_demand = came.offers["purchase_option"].eq("on_demand").to_numpy()
    offers = came.offers.rename_axis("offer_id").reset_index()
    offers = offers.assign(price_usd_per_hour=came.frame().mean().to_numpy())
    offers = with_places(offers, pd.DataFrame(columns=["provider", "region", "grid_gco2e_per_kwh"]))
    costs = {allocate.IDLE: _hourly_cost(came, lost_share, on_demand)}
    for workload in demand.workloads:
        # whatever its own purchase options and price cap, what is lost has to be bought
        anyhow = replace(workload, options=("on_demand",), max_usd_per_gpu_hour=None)
        allowed = on_demand & allocate.accepts(anyhow, offers, assumptions)
        costs[workload.name] = _hourly_cost(came, lost_share, allowed)
    return costs


def _hourly_cost(came: Panel, lost_share: float, allowed: np.ndarray) -> pd.DataFrame:
    """Return what an hour of each offer cost, USD, times x offers.

    The price that came while it was on sale, else the cheapest on demand with as many of its
    GPUs, which also stands in for the hours that spot loses; NaN where nothing replaces what was
    withdrawn.

    Parameters
    ----------
    came
        Prices.
    lost_share
        Of the hours of spot.
    allowed
        On-demand offers that may stand in; where none of a GPU model may, all do.
    """
    gpus = came.offers["gpu_count"].astype(float)
    price = came.frame()
    on_sale = came.frame("available").fillna(0.0).where(price.notna(), 0.0)
    on_demand = came.offers["purchase_option"].eq("on_demand").to_numpy()
    instead = _cheapest_instead(came, allowed).fillna(_cheapest_instead(came, on_demand))
    is_spot = came.offers["purchase_option"].eq("spot").to_numpy()
    kept = on_sale * (1 - lost_share * (is_spot & instead.notna()))
    return kept * price.fillna(0.0) + ((1 - kept) * instead * gpus).where(kept < 1, 0.0)


def _in_step(hourly: dict[str, pd.DataFrame], ends_at: pd.Timestamp) -> Hourly:
    """Return what an hour cost in the step that ends then."""
    return {workload: cast(pd.Series, usd.loc[ends_at]) for workload, usd in hourly.items()}


def _cheapest_instead(came: Panel, allowed: np.ndarray) -> pd.DataFrame:
    """Return the least price of a GPU of each offer's model among some, times x offers."""
    model = came.offers["gpu_model"]
    gpus = came.offers["gpu_count"].astype(float)
    price = came.frame()
    per_gpu = price.loc[:, allowed].div(gpus[allowed])
    cheapest = per_gpu.T.groupby(model[allowed]).min().T
    return cheapest.reindex(columns=model).set_axis(price.columns, axis=1)


def _rates(table: pd.DataFrame, hourly: Hourly) -> pd.Series:
    """Return what an hour cost of each row of workload and offer."""
    rates = pd.Series(np.nan, table.index)
    for workload, rows in table.groupby("workload"):
        rates[rows.index] = rows["offer_id"].map(hourly[str(workload)])
    return rates


def _owed_usd(plan: pd.DataFrame, hourly: Hourly, looked_back: pd.Timedelta) -> float:
    """Return what commitments of a plan still cost from the end of the look-back on."""
    term = plan["offer_id"].astype(str).str.rsplit("/", n=1).str[-1]
    weeks = term.map(TERM_WEEKS).fillna(0.0) - looked_back / pd.Timedelta(days=7)
    hours = weeks.clip(lower=0.0) * HOURS_PER_WEEK
    owed = hours * plan["instances"] * _rates(plan, hourly)
    return float(owed[hours > 0].sum())


def _paid(
    plan: pd.DataFrame, before: pd.DataFrame, hourly: Hourly, offers: pd.DataFrame, step: _Step
) -> dict[str, Any]:
    """Return ``cost_usd`` and ``moves`` of a plan over a step, at what an hour cost in it."""
    rate = _rates(plan, hourly)
    if rate.isna().any():
        gone = plan["offer_id"][rate.isna()].iloc[0]
        day = f"{hourly[allocate.IDLE].name:%Y-%m-%d}"
        raise DataError(f"{gone} was withdrawn before {day} and nothing on demand replaces it.")
    rent = plan["instances"] * plan["hours"] * rate
    changed = allocate.changes(before, plan)
    taken = changed.assign(machines=changed["now"] - changed["before"])
    is_held = taken["offer_id"].astype(str).str.endswith(allocate.HELD)
    taken = taken[(taken["machines"] > 0) & ~is_held]
    sites = offers.loc[plan["offer_id"].unique(), ["provider", "region"]].drop_duplicates()
    weekly_fee = step.assumptions.get("site_fee_usd_per_week")
    fees = weekly_fee * step.hours / HOURS_PER_WEEK * len(sites)
    overlap_h = step.assumptions.get("move_overlap_h")
    moving = overlap_h * (taken["machines"] * _rates(taken, hourly)).sum()
    moved = (taken["machines"] * taken["offer_id"].map(offers["gpu_count"])).sum()
    return {"cost_usd": float(rent.sum() + fees + moving), "moves": float(moved)}
