"""What a plan commits to: its use, what it covers, and the cost of not knowing the need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.held import HELD
from cloudarb_lib.allocate.problem.limits.sums import Continuations
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.tables.run_tables import paid_usd

EXPECTED = "expected"
"""Stands for all scenarios, weighed by their probability."""


def commitment_tables(plan: Plan, options: SolveOptions | None = None) -> dict[str, pd.DataFrame]:
    """Return by name the tables of what a plan commits to, those that say something.

    Parameters
    ----------
    plan
        A plan that is there.
    options
        As for ``cost_of_not_knowing``.

    Returns
    -------
    dict[str, pd.DataFrame]
        ``commitment_ladder`` and ``commitment_coverage`` where something is committed,
        ``cost_of_not_knowing`` where it is before the need is known.
    """
    tables = {"commitment_ladder": ladder(plan)}
    if len(tables["commitment_ladder"]):
        tables["commitment_coverage"] = coverage(plan)
    tables["cost_of_not_knowing"] = cost_of_not_knowing(plan, options)
    return {name: table for name, table in tables.items() if len(table)}


def ladder(plan: Plan) -> pd.DataFrame:
    """Return the commitments of a plan, held and bought, the longest term first.

    Parameters
    ----------
    plan
        A plan that is there.

    Returns
    -------
    pd.DataFrame
        A row per offer: ``offer_id``, ``term``, ``instances`` and ``gpus`` (held in every period
        and scenario), ``paid_usd`` (over the plan, used or not), ``use_share`` (of the hours paid,
        expected at work), ``idle_usd`` (paid for the others), ``committed_usd_per_gpu_hour``,
        ``on_demand_usd_per_gpu_hour`` (the cheapest of that GPU model that the demand may use; NaN:
        none) and ``break_even_share`` (the use from which on the commitment is the cheaper one).
    """
    rows = _held_rows(plan)
    committed = rows[rows["purchase_option"] == "reserved"]
    by_offer = committed.groupby("offer_id", sort=False)
    first = committed["case"] == committed["case"].min()
    columns = ["paid_usd", "paid_gpu_hours", "used_gpu_hours"]
    table = by_offer[columns].sum()
    table["instances"] = committed[first].groupby("offer_id")["held"].sum()
    table["gpus"] = table["instances"] * by_offer["gpus"].first()
    table["term"] = table.index.str.rsplit("/", n=1).str[-1]
    table["use_share"] = table["used_gpu_hours"] / table["paid_gpu_hours"]
    table["idle_usd"] = table["paid_usd"] * (1 - table["use_share"])
    table["committed_usd_per_gpu_hour"] = table["paid_usd"] / table["paid_gpu_hours"]
    cheapest = _on_demand_usd_per_gpu_hour(plan.problem)
    table["on_demand_usd_per_gpu_hour"] = by_offer["gpu_model"].first().map(cheapest)
    table["break_even_share"] = (
        table["committed_usd_per_gpu_hour"] / table["on_demand_usd_per_gpu_hour"]
    )
    ordered = table.reset_index().sort_values(["term", "paid_usd"], ascending=False)
    return ordered[_LADDER].reset_index(drop=True)


_LADDER = [
    "offer_id",
    "term",
    "instances",
    "gpus",
    "paid_usd",
    "use_share",
    "idle_usd",
    "committed_usd_per_gpu_hour",
    "on_demand_usd_per_gpu_hour",
    "break_even_share",
]


def coverage(plan: Plan) -> pd.DataFrame:
    """Return how much of the work commitments cover, and how much of them it uses.

    Parameters
    ----------
    plan
        A plan that is there.

    Returns
    -------
    pd.DataFrame
        A row per scenario, period (from 1) and GPU model, and with scenarios those expected:
        ``work_gpu_hours``, ``committed_gpu_hours`` (paid for), ``coverage_share`` (of the work,
        done on commitments) and ``use_share`` (of commitments, at work; NaN without any).
    """
    rows = _held_rows(plan)
    chance = rows["chance"]
    committed = rows["purchase_option"] == "reserved"
    hours = pd.DataFrame(
        {
            "scenario": rows["scenario"],
            "period": rows["period"] + 1,
            "gpu_model": rows["gpu_model"],
            "work_gpu_hours": rows["used_gpu_hours"],
            "committed_gpu_hours": rows["paid_gpu_hours"].where(committed, 0.0),
            "covered": rows["used_gpu_hours"].where(committed, 0.0),
        }
    )
    figures = ["work_gpu_hours", "committed_gpu_hours", "covered"]
    own = hours.assign(**hours[figures].div(chance, axis="index"))
    parts = [own, hours.assign(scenario=EXPECTED)] if rows["scenario"].any() else [own]
    keys = ["scenario", "period", "gpu_model"]
    table = pd.concat(parts).groupby(keys, sort=False)[figures].sum().reset_index()
    table["coverage_share"] = table["covered"] / table["work_gpu_hours"].replace(0.0, np.nan)
    table["use_share"] = table["covered"] / table["committed_gpu_hours"].replace(0.0, np.nan)
    return table.drop(columns="covered")


def cost_of_not_knowing(plan: Plan, options: SolveOptions | None = None) -> pd.DataFrame:
    """Return what it costs that commitments are made before it is known how the need turns out.

    The expected value of perfect information: expected cost with recourse, less that of waiting and
    seeing, where each scenario commits for itself under the same limits.

    Parameters
    ----------
    plan
        A plan that is there, with scenarios of the demand.
    options
        How to solve the plans that know.

    Returns
    -------
    pd.DataFrame
        A row per scenario, last the expectation: ``probability``, ``committed_gpus``,
        ``planned_usd`` (rent, fees, and the worth of work left undone), ``known_committed_gpus``,
        ``known_usd`` and ``more_usd``, what not knowing costs. Empty where no commitment may be
        bought, or there is one future: nothing is decided in advance.

    Raises
    ------
    SolveError
        Where the plans that know are not found in time.

    References
    ----------
    Birge and Louveaux, Introduction to Stochastic Programming, 2nd ed. (2011), section 4.1.
    """
    rows = tuple(_each_future_for_itself(plan.problem))
    names = [name for name in plan.problem.demands["scenario"].unique() if name]
    if len(names) < 2 or len(rows) == len(plan.problem.rows):
        return pd.DataFrame(columns=_NOT_KNOWING)
    known = solve(replace(plan.problem, rows=rows), options, start=plan.table)
    chance = plan.problem.assignment_details.groupby("scenario")["chance"].first()[names]
    table = pd.DataFrame({"probability": chance})
    for prefix, each in (("", plan), ("known_", known)):
        cost = "planned_usd" if each is plan else "known_usd"
        table[f"{prefix}committed_gpus"] = _committed_gpus(each).reindex(names, fill_value=0.0)
        table[cost] = _cost_by_scenario(each)[names] / chance
    table.loc[EXPECTED] = chance @ table
    table.loc[EXPECTED, "probability"] = 1.0
    table["more_usd"] = table["planned_usd"] - table["known_usd"]
    return table.rename_axis("scenario").reset_index()[_NOT_KNOWING]


_NOT_KNOWING = [
    "scenario",
    "probability",
    "committed_gpus",
    "planned_usd",
    "known_committed_gpus",
    "known_usd",
    "more_usd",
]


def _held_rows(plan: Plan) -> pd.DataFrame:
    """Return the assignments of a plan that hold something, hours and USD by chance."""
    details = plan.problem.assignment_details
    units = plan.units
    chance = details["chance"]
    paid_h = details["hours"]
    at_work_h = np.minimum(details["busy_h"], paid_h)
    gpus = units * details["gpus"] * chance
    rows = details.assign(
        held=units * details["instances"],
        paid_usd=units * paid_h * details["mean_price"],
        paid_gpu_hours=gpus * paid_h,
        used_gpu_hours=gpus * at_work_h,
    )
    return rows[units > 0]


def _on_demand_usd_per_gpu_hour(problem: Problem) -> pd.Series:
    """Return the cheapest expected price on demand, by GPU model."""
    details = problem.assignment_details
    on_demand = details[details["on_demand"].astype(bool)]
    price = on_demand["mean_price"] / on_demand["chance"] / on_demand["gpus"]
    by_offer = price.groupby([on_demand["gpu_model"], on_demand["offer_id"]]).mean()
    return by_offer.groupby(level=0).min()


def _each_future_for_itself(problem: Problem) -> Iterator[Row]:
    """Yield the rows of a problem, commitments bought held through the periods of a future alone.

    What is held already stays: it is known.
    """
    details = problem.assignment_details
    bought = details[
        (details["purchase_option"] == "reserved") & ~details["offer_id"].str.endswith(HELD)
    ]
    first = bought[bought["period"] == 0].groupby(["offer_id", "scenario"]).groups
    for row in problem.rows:
        if row.kind != Continuations.kind or row.at[0] not in bought.index:
            yield row
            continue
        now = row.at[row.values > 0]
        about = bought.loc[now[0]]
        if about["period"] == 0:  # it need not go on from another future
            continue
        begins = first[about["offer_id"], about["scenario"]].to_numpy()
        at = np.r_[now, begins]
        values = np.r_[np.ones(len(now)), -np.ones(len(begins))]
        yield replace(row, at=at, values=values)


def _committed_gpus(plan: Plan) -> pd.Series:
    """Return the GPUs committed to in the first period, by scenario."""
    rows = _held_rows(plan)
    first = rows[(rows["purchase_option"] == "reserved") & (rows["period"] == 0)]
    return (first["held"] * first["gpus"]).groupby(first["scenario"]).sum()


def _cost_by_scenario(plan: Plan) -> pd.Series:
    """Return what is paid, and the worth of work left undone, by scenario and its chance."""
    demands = plan.problem.demands
    units = plan.units
    details = plan.problem.assignment_details
    done = pd.Series(units * details["cover"]).groupby(details["demand"]).sum()
    left = (demands["need"] - done.reindex(demands.index, fill_value=0.0)).clip(lower=0.0)
    worth = np.where(np.isfinite(demands["unmet_usd"]), demands["unmet_usd"], 0.0)
    undone_usd = (left * worth).groupby(demands["scenario"]).sum()
    by_scenario = paid_usd(plan.table).groupby(plan.table["scenario"]).sum()
    return undone_usd.add(by_scenario, fill_value=0.0)
