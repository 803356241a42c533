"""Rows of a problem beside its limits: commitments, starts and stops, data that moves, carbon."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Workload
from cloudarb_lib.allocate.problem.horizon import Horizon
from cloudarb_lib.allocate.problem.limits.sums import Carbon, Commitments, Continuations
from cloudarb_lib.allocate.problem.model import Limits
from cloudarb_lib.allocate.problem.place import column_of_places
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.base.units import HOURS_PER_WEEK, HOURS_PER_YEAR
from cloudarb_lib.tables.assumptions import Assumptions


def commitments(details: pd.DataFrame, offers: pd.DataFrame, bound: np.ndarray) -> list[Row]:
    """Return the rows that hold the number of each commitment, in every period and future.

    Parameters
    ----------
    details
        The assignments with ``offer``, ``case`` and what the offer says, numbered from 0.
    offers
        Eligible offers; ``held`` tells how many are committed to already (NaN: none).
    bound
        Numbers of the offers of which as many are held in each case.
    """
    rows = []
    for offer in bound:
        mine = details.index[details["offer"] == offer].to_numpy()
        case = details["case"].to_numpy()[mine]
        name = f"commitment to {offers['offer_id'].iloc[offer]}"
        held = offers["held"].iloc[offer]
        first = mine[case == 0]
        ones = np.ones(len(first))
        if held > 0:
            rows.append(Row(name, first, ones, held, held, kind=Commitments.kind))
        for later in range(1, case.max() + 1):
            now = mine[case == later]
            at = np.r_[now, first]
            values = np.r_[np.ones(len(now)), -ones]
            goes_on = f"{name} goes on"
            rows.append(Row(goes_on, at, values, 0.0, 0.0, kind=Continuations.kind))
    return rows


def starts_and_stops(
    workloads: list[Workload], details: pd.DataFrame, horizon: Horizon
) -> list[Row]:
    """Return the rows that charge for machines taken up and given up between periods.

    What runs in the first period is taken to run already; nothing is stopped after the last.

    Parameters
    ----------
    workloads
        With the minutes that are paid for.
    details
        The assignments with ``workload``, ``case`` and expected ``price``, numbered from 0.
    horizon
        Its periods follow each other in each future.
    """
    case_of = details["case"].to_numpy()
    price = details["price"].to_numpy()
    rows = []
    for number, w in enumerate(workloads):
        moves = (("start", 1.0, w.start_minutes), ("stop", -1.0, w.stop_minutes))
        paid = [move for move in moves if move[2]]
        is_mine = details["workload"].to_numpy() == number
        for case in horizon.cases if paid else []:
            if case.period == 0:
                continue
            now = np.flatnonzero(is_mine & (case_of == case.number))
            before = np.flatnonzero(is_mine & (case_of == case.number - 1))
            for word, sign, minutes in paid:
                for i, j in zip(now, before, strict=True):
                    each = ((0.0, price[i] * minutes / 60),)
                    values = np.array([sign, -sign])
                    rows.append(Row(f"{word} of {w.name}", np.array([i, j]), values, tiers=each))
    return rows


def egress(
    demand: Demand, details: pd.DataFrame, horizon: Horizon, assumptions: Assumptions
) -> list[Row]:
    """Return the rows of GB that leave each provider, or a region for another, and their prices.

    Work reads its data in proportion to what it does where: half the work elsewhere moves half the
    data. Out of a provider the price falls with its total of a month, in each future of the demand
    on its own.

    Parameters
    ----------
    demand
        Workloads, with where their data lies.
    details
        The assignments with ``workload``, ``provider``, ``region``, ``share`` of the work,
        ``future`` and its ``chance``.
    horizon
        How much of weekly data is read.
    assumptions
        USD per GB: ``transfer_usd_per_gb`` between regions, tiers of ``egress_usd_per_gb``.
    """
    gb, owner = _data_moved(demand, details, horizon)
    provider = details["provider"]
    rows = []
    for name in sorted(set(owner) - {""}):
        transfer = assumptions.get(f"transfer_usd_per_gb/{name}", "transfer_usd_per_gb")
        leaves = (f"data out of {name}", provider != name)
        stays = (f"data between regions of {name}", provider == name)
        for (words, goes_there), tiers in (
            (leaves, _egress_tiers(name, horizon, assumptions)),
            (stays, [(0.0, transfer)]),
        ):
            for f, future in enumerate(horizon.futures):
                is_moved = (owner == name) & goes_there & (details["future"] == f) & (gb > 0)
                at = np.flatnonzero(is_moved)
                if len(at):
                    chance = details["chance"].iloc[at[0]]
                    paid = tuple((start, usd * chance) for start, usd in tiers)
                    rows.append(Row(words + future.suffix, at, gb[at], tiers=paid, unit="GB"))
    return rows


def _data_moved(
    demand: Demand, details: pd.DataFrame, horizon: Horizon
) -> tuple[np.ndarray, np.ndarray]:
    """Return GB that a unit of each assignment reads from elsewhere, and the provider left."""
    weeks = float(horizon.hours.sum()) / HOURS_PER_WEEK
    site = details["provider"] + "/" + details["region"]
    gb = np.zeros(len(details))
    owner = np.full(len(details), "", object)
    for number, w in enumerate(demand.workloads):
        if w.data_gb:
            is_elsewhere = ((details["workload"] == number) & (site != w.data_in)).to_numpy()
            owner[is_elsewhere] = w.data_in.split("/")[0]
            times = min(weeks, w.deadline_weeks) if w.data_weekly else 1.0
            gb[is_elsewhere] = (w.data_gb * w.count * times * details["share"])[is_elsewhere]
    return gb, owner


def _egress_tiers(
    provider: str, horizon: Horizon, assumptions: Assumptions
) -> list[tuple[float, float]]:
    """Return the tiers of data out of a provider over the horizon: (GB from, USD per GB)."""
    months = float(horizon.hours.sum()) / (HOURS_PER_YEAR / 12)
    monthly = assumptions.tiers(f"egress_usd_per_gb/{provider}")
    monthly = monthly or assumptions.tiers("egress_usd_per_gb")
    return [(start * months, usd) for start, usd in monthly]


def carbon(details: pd.DataFrame, limits: Limits, assumptions: Assumptions) -> Row:
    """Return the row of kgCO2e: what a machine draws while it works, at the grid's intensity.

    (GPU watts x utilisation + watts of its share of the host) x PUE x intensity. Average, not
    marginal: the two can rank regions in opposite order.

    Parameters
    ----------
    details
        The assignments with ``gpu_model``, ``gpu_count``, ``provider``, hours at work ``busy_h``,
        ``chance`` of the future and ``grid_gco2e_per_kwh`` (NaN: as assumed).
    limits
        The cap and the price.
    assumptions
        Watts, utilisation and PUE.

    References
    ----------
    Cloud Carbon Footprint, Methodology.
    """
    watts = {
        model: assumptions.get("gpu_utilisation")
        * assumptions.get(f"gpu_watts/{model}", "gpu_watts")
        + assumptions.get("host_watts_per_gpu")
        for model in details["gpu_model"].unique()
    }
    pue = {name: assumptions.get(f"pue/{name}", "pue") for name in details["provider"].unique()}
    grid = pd.Series(column_of_places(details, "grid_gco2e_per_kwh").astype(float))
    if grid.isna().any():
        grid = grid.fillna(assumptions.get("grid_gco2e_per_kwh"))
    model_watts = details["gpu_model"].map(watts)
    drawn_kw = details["gpu_count"] * model_watts * details["provider"].map(pue) / 1e3
    kg = drawn_kw * grid / 1e3 * details["busy_h"] * details["chance"]
    usd = limits.carbon_usd_per_tonne
    return Row(
        "carbon",
        np.arange(len(details)),
        kg.to_numpy(float),
        upper=np.inf if limits.carbon_kg is None else limits.carbon_kg,
        tiers=((0.0, usd / 1e3),) if usd else (),
        unit=Carbon.unit,
        kind=Carbon.kind,
    )
