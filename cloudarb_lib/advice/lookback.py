"""Would following the advice have paid? Forecast, allocate, then the prices that came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib import allocate, forecast
from cloudarb_lib.base.errors import DataError, ParameterError, did_you_mean
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.market import history
from cloudarb_lib.risk import cheapest_plan, simulate_paths
from cloudarb_lib.tables.assumptions import Assumptions
from cloudarb_lib.tables.run_tables import load_table

LEARN_STEPS = 104
"""Steps of history that the first forecast of the look-back learns from, two years of weeks; later ones
learn from as many more as have gone by."""
GAP = 1e-3
"""Relative gap to which the look-back solves; a week's plans differ by more."""
LOOKBACK_PATHS = 400
"""The look-back allocates by expected price. Worlds after an alarm have heavy tails, so that the means of a hundred
differ by more than offers do, and the plan moves from week to week for nothing."""


def cost_fan(plan: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """Return cumulative cost of a plan over the steps of ``paths``: a row per step.

    Columns ``time_utc``, ``p10_usd``, ``p50_usd``, ``p90_usd``. The hours of each plan row are
    spread evenly over the steps; every offer of the plan must have paths (DataError).
    """
    hours = (plan["instances"] * plan["hours"]).groupby(plan["offer_id"]).sum() / len(paths.times)
    worlds = np.einsum("ops,o->ps", paths.select(hours.index).values, hours.to_numpy())
    low, middle, high = np.quantile(worlds.cumsum(axis=1), [0.1, 0.5, 0.9], axis=0)
    return pd.DataFrame(
        {"time_utc": paths.times, "p10_usd": low, "p50_usd": middle, "p90_usd": high}
    )


def planned(
    workloads: list[allocate.Workload],
    offers: pd.DataFrame,
    paths: Paths,
    run_dir: str = "",
    **terms: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return tables ``plan`` and ``plan_binding`` of the run, solved here where it has none.

    ``terms`` are the limits, assumptions and hours that ``allocate.build_problem`` takes. SolveError where
    no plan keeps the limits.
    """
    plan, binding = (load_table(name, run_dir) for name in ("plan", "plan_binding"))
    if plan is not None and binding is not None:
        return plan, binding
    solved = allocate.solve(allocate.build_problem(workloads, offers, paths=paths, **terms))
    return solved.table, allocate.binding(solved)


@dataclass(frozen=True)
class Market:
    """What was on offer at a time, and known of it: table ``offers`` with places and grid carbon, ``sources`` with
    their age (as ``history.current_offers`` tells), price ``events`` of them all and ``looks``."""

    as_of: pd.Timestamp
    offers: pd.DataFrame
    sources: pd.DataFrame
    events: pd.DataFrame
    looks: pd.DataFrame

    def wanted(
        self, workloads: Sequence[allocate.Workload], terms: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Return the offers of a GPU model that some workload accepts, by the hour or for one of ``terms``."""
        models = {model for w in workloads for model in w.throughput}
        return self.offers[
            self.offers["gpu_model"].isin(models) & self.offers["term"].isin(("", *terms))
        ]

    def paths(
        self, offer_ids: Any, assumptions: Assumptions | None = None, *, freq: Any, **size: Any
    ) -> Paths | None:
        """Return price paths of offers on a grid of ``freq``: forecast under ``assumptions``, else drawn from the past.

        ``size``: horizon_steps, n_paths and seed. None where there is no offer.
        """
        if not len(offer_ids):
            return None
        events = history.fresh(self.events, self.sources)
        panel = history.to_panel(events, self.looks, freq=freq, as_of=self.as_of)
        if assumptions is not None:
            told = forecast.forecast_offers(
                panel, **size, paths_for=offer_ids, assumptions=assumptions
            )
            return told.paths
        return simulate_paths(
            panel.select(panel.offers.index.isin(offer_ids)), **size, model="historical"
        )[0]


def markets(
    snapshot: Any,
    times: Sequence[pd.Timestamp],
    *,
    providers: Sequence[str] | None,
    stale_after_days: float,
) -> list[Market]:
    """Return what ``providers`` (all, if None) offered of GPUs at the end of each of ``times``, by a snapshot of the store.

    Sources not looked at for ``stale_after_days`` by then are left out. ParameterError where nothing is recorded of a
    provider by the last time, or no price is fresh then.
    """
    grid, made = snapshot.table("grid_carbon"), []
    for as_of in times:
        events = snapshot.events(as_of=as_of, providers=providers, gpu_only=True)
        looks = snapshot.looks(as_of=as_of)
        told = history.current_offers(events, looks, as_of=as_of, stale_after_days=stale_after_days)
        offers, sources = allocate.with_places(told[0], grid), told[1]
        made.append(Market(as_of, offers, sources, events, looks))
    recorded, day = sorted(looks["provider"].unique()), f"{as_of - pd.Timedelta(1, 'ns'):%Y-%m-%d}"
    for name in [name for name in providers or () if name not in recorded]:
        what = f"nothing is recorded of provider {name!r} by {day}{did_you_mean(name, recorded)}."
        raise ParameterError(what, f"Use {', '.join(recorded) or 'a later day'}.")
    if not len(made[-1].offers):
        last = (
            f"last look is of {looks['looked_at'].max():%Y-%m-%d}"
            if recorded
            else "first look is later"
        )
        what = f"no price is known and fresh on {day}: the {last}."
        raise ParameterError(
            what, "Choose another as_of, or let prices be older (stale_after_days)."
        )
    return made


def compare(
    before: pd.DataFrame, plan: pd.DataFrame, paths: Paths, *, scale: float
) -> tuple[pd.DataFrame, float, float]:
    """Return what changes from one plan to the next, and the median cost (USD) of keeping and moving.

    The first is a row per workload and offer whose number of instances differs. Both costs are
    rent over all steps of ``paths``; ``scale`` is how many times as long ``plan`` lasts as ``before``.
    The cost of keeping is NaN where an offer of ``before`` has no paths: it cannot be kept.
    """
    there = before["offer_id"].isin(paths.offer_ids).all()
    longer = before.assign(hours=before["hours"] * scale)
    keep = float(cost_fan(longer, paths)["p50_usd"].iloc[-1]) if there else float("nan")
    move = float(cost_fan(plan, paths)["p50_usd"].iloc[-1])
    return allocate.changes(before, plan), keep, move


def scoreboard(paid: pd.DataFrame) -> pd.DataFrame:
    """Return table ``lookback`` by policy, cheapest first: total, worst step and its time, GPUs moved,
    and ``over_advice``, how much more than the advice it cost (0.1: 10 % more)."""
    board = paid.groupby("policy").agg(
        total_usd=("cost_usd", "sum"),
        worst_step_usd=("cost_usd", "max"),
        gpus_moved=("moves", "sum"),
    )
    worst = paid.loc[paid.groupby("policy")["cost_usd"].idxmax()].set_index("policy")["period_utc"]
    board["worst_step"] = worst.dt.strftime("%Y-%m-%d")
    board["over_advice"] = board["total_usd"] / board["total_usd"].loc["advice"] - 1
    return board.sort_values("total_usd")


def verdict(board: pd.DataFrame) -> str:
    """Return in a sentence whether the advice paid; within 1 % of the best simple policy is a draw."""
    rest, ours = board.drop(index="advice"), board.loc["advice"]
    best, worst = rest.iloc[0], rest.iloc[-1]
    apart = ours["total_usd"] / best["total_usd"] - 1
    said = "made no difference" if abs(apart) < 0.01 else "paid" if apart < 0 else "did not pay"
    return (
        f"Looking back, the forecast **{said}** beside the best simple policy: following the advice would have "
        f"cost {ours['total_usd']:,.0f} USD, {best.name} {best['total_usd']:,.0f} USD "
        f"({abs(apart):.1%} {'more' if apart < 0 else 'less'}), {worst.name} {worst['total_usd']:,.0f} USD. The worst "
        f"step of the advice, from {ours['worst_step']}, cost {ours['worst_step_usd']:,.0f} USD."
    )


def look_back(
    past: Sequence[Market],
    workloads: list[allocate.Workload],
    *,
    horizon_steps: int,
    assumptions: Assumptions,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what each policy would have paid (table ``lookback``), and what the advice held.

    ``past`` is the market at the start of each step, evenly apart, and at the end of the last. At each start the
    policies see that market alone; over the step they pay the time-weighted mean of the prices that came. Only
    records take part that are fresh at the end of the last step: of the others nobody knows what came.
    No budget or risk limit is set. Policies:

    advice: forecast over the horizon, allocate at expected prices, where taking up a new offer
    costs ``move_overlap_h`` hours of double rent, spread over the horizon;
    stay put: the first advice, never changed;
    cheapest now: the cheapest plan at the prices of the day, every step;
    all on-demand: the same among on-demand offers;
    one-year commitment: the cheapest commitments at the start, on demand where none is sold, kept.

    A policy that no offer can serve, or that is no choice (a marketplace sells no commitments, and
    only on demand), is left out. Hours in which a held offer was withdrawn are bought on demand, at
    the cheapest price for the same GPU model. The second frame is table ``plan`` of the advice with
    ``period_utc``. Raises ParameterError where the record is too short to look back on or the first
    origin has no plan, DataError where nothing replaces an offer that was withdrawn.
    """
    *starts, end = past
    step = end.as_of - starts[-1].as_of

    def panel(market: Market, **grid: Any) -> Panel:
        events = history.fresh(market.events, end.sources)
        mine = events["gpu_model"].isin({model for w in workloads for model in w.throughput})
        return history.to_panel(events[mine], market.looks, freq=step, as_of=market.as_of, **grid)

    came = panel(end, how="mean")
    if not len(came.times) or came.times[0] > starts[0].as_of:
        what = f"the record does not reach back {len(starts)} steps of {step} from {end.as_of:%Y-%m-%d}."
        raise ParameterError(what, "Look back on fewer steps.")
    hours, hourly = step / pd.Timedelta(hours=1), _hourly(came)
    forecasts = forecast.forecast_panels(
        [panel(market, start=starts[0].as_of - LEARN_STEPS * step) for market in starts],
        horizon_steps=horizon_steps,
        n_paths=LOOKBACK_PATHS,
        assumptions=assumptions,
        seed=seed,
    )
    terms: dict[str, Any] = {"assumptions": assumptions, "hours": hours}
    held: dict[str, pd.DataFrame] = {}
    rows, advised = [], []
    for market, told in zip(progress(starts, "look back", unit="step"), forecasts, strict=True):
        offers, ahead = market.wanted(workloads, ("1y",)), told.paths
        offers = offers[offers["offer_id"].isin(came.offers.index)]
        if held:
            stays = ahead.offer_ids.isin(held["advice"]["offer_id"])
            dearer = np.where(
                stays, 1.0, 1.0 + assumptions.get("move_overlap_h") / (horizon_steps * hours)
            )
            ahead = Paths(ahead.offer_ids, ahead.times, ahead.values * dearer[:, None, None])
        by_the_hour, on_demand = offers["term"].eq(""), offers["purchase_option"].eq("on_demand")
        choices = {"advice": by_the_hour, "cheapest now": by_the_hour}
        if not on_demand[by_the_hour].all():
            choices["all on-demand"] = on_demand
        if not held and not by_the_hour.all():
            choices["one-year commitment"] = on_demand | ~by_the_hour
        plans = dict(held)
        for policy in [name for name in choices if not held or name in held]:
            paths = ahead if policy == "advice" else None
            plan = cheapest_plan(offers[choices[policy]], workloads, paths, gap=GAP, **terms)
            if plan is not None:
                plans[policy] = plan
        if "advice" not in plans:
            raise ParameterError(
                f"no offer could serve the demand on {market.as_of:%Y-%m-%d}.",
                "Look back on fewer steps.",
            )
        plans.setdefault("stay put", plans["advice"])
        for policy, plan in plans.items():
            before, cost = held.get(policy, plan), pd.Series(hourly.loc[market.as_of + step])
            paid = _paid(plan, before, cost, offers=came.offers, **terms)
            rows.append({"policy": policy, "period_utc": market.as_of} | paid)
        held = plans
        advised.append(held["advice"].assign(period_utc=market.as_of))
    return pd.DataFrame(rows), pd.concat(advised, ignore_index=True)


def _hourly(came: Panel) -> pd.DataFrame:
    """Return what an hour of each offer cost (USD, times x offers): the price that came while it was on sale, else
    the cheapest on demand with as many of its GPUs; NaN where nothing replaces it."""
    gpus, model = came.offers["gpu_count"].astype(float), came.offers["gpu_model"]
    price = came.frame()
    there = came.frame("available").fillna(0.0).where(price.notna(), 0.0)
    on_demand = came.offers["purchase_option"].eq("on_demand").to_numpy()
    cheapest = price.loc[:, on_demand].div(gpus[on_demand]).T.groupby(model[on_demand]).min().T
    instead = cheapest.reindex(columns=model).set_axis(price.columns, axis=1) * gpus
    return there * price.fillna(0.0) + ((1 - there) * instead).where(there < 1, 0.0)


def _paid(
    plan: pd.DataFrame,
    before: pd.DataFrame,
    hourly: pd.Series,
    *,
    offers: pd.DataFrame,
    assumptions: Assumptions,
    hours: float,
) -> dict[str, object]:
    """Return ``cost_usd`` and ``moves`` of a plan over a step of ``hours``, at what an hour cost in it."""
    rate = plan["offer_id"].map(hourly)
    if rate.isna().any():
        gone = plan["offer_id"][rate.isna()].iloc[0]
        day = f"{hourly.name:%Y-%m-%d}"
        raise DataError(f"{gone} was withdrawn before {day} and nothing on demand replaces it.")
    rent = plan["instances"] * plan["hours"] * rate
    changed = allocate.changes(before, plan)
    taken = (changed["now"] - changed["before"]).clip(lower=0).groupby(changed["offer_id"]).sum()
    taken = taken[taken > 0]
    sites = offers.loc[plan["offer_id"].unique(), ["provider", "region"]].drop_duplicates()
    fees = assumptions.get("site_fee_usd_per_week") * hours / HOURS_PER_WEEK * len(sites)
    moving = assumptions.get("move_overlap_h") * (taken * hourly.reindex(taken.index)).sum()
    moved = (taken * offers.loc[taken.index, "gpu_count"]).sum()
    return {"cost_usd": float(rent.sum() + fees + moving), "moves": float(moved)}
