"""What depends on where work runs: latency, data, residency, carbon."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Workload
from cloudarb_lib.allocate.problem.model import Limits
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.units import HOURS_PER_WEEK, HOURS_PER_YEAR
from cloudarb_lib.market.places import regions
from cloudarb_lib.tables.assumptions import Assumptions

_EARTH_KM = 6371.0


def known(offers: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column that ``with_places`` adds."""
    if column not in offers:
        raise ParameterError(f"offers have no {column}.", "Pass them through allocate.with_places.")
    return offers[column].to_numpy()


def resides(workload: Workload, offers: pd.DataFrame) -> np.ndarray:
    """Return which offers lie in the countries, or unions of countries, that a workload names."""
    return np.isin(known(offers, "country").astype(str), workload.residency) | np.isin(
        known(offers, "union").astype(str), workload.residency
    )


def near(workload: Workload, offers: pd.DataFrame, assumptions: Assumptions) -> np.ndarray:
    """Return which offers keep a workload's limit on round trips to a region.

    Round trips are estimated from the great circle (haversine), not measured.
    """
    places = regions()
    places = places.set_index(places["provider"] + "/" + places["region"])[
        ["latitude", "longitude"]
    ]
    if workload.latency_to not in places.index:
        raise ParameterError(
            f"workload {workload.name!r}: no region {workload.latency_to!r}"
            f"{did_you_mean(workload.latency_to, list(places.index))}.",
            "Name a line of data/regions.csv as provider/region.",
        )
    lat, lon = np.radians(places.loc[workload.latency_to].to_numpy(float))
    lats, lons = (np.radians(known(offers, c).astype(float)) for c in ("latitude", "longitude"))
    half = (
        np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    )
    km = 2 * _EARTH_KM * np.arcsin(np.sqrt(half))
    trip_ms = assumptions.get("latency_ms_at_least") + km / 1e3 * assumptions.get(
        "latency_ms_per_1000_km"
    )
    return trip_ms <= workload.latency_ms


def egress(
    demand: Demand, ways: pd.DataFrame, *, assumptions: Assumptions, hours: float
) -> list[Row]:
    """Return the rows of GB that leave each provider, or a region for another, and their prices.

    Work reads its data in proportion to what it does where (``share`` of the ways): half the work
    elsewhere moves half the data. Out of a provider the price falls with its total of a month, in each
    future of the demand (``future`` and ``chance`` of the ways) on its own.
    """
    to, weeks, months = ways["provider"], hours / HOURS_PER_WEEK, hours / (HOURS_PER_YEAR / 12)
    gb, owner = np.zeros(len(ways)), np.full(len(ways), "", object)
    for number, w in enumerate(demand.workloads):
        if w.data_gb:
            mine = (
                (ways["workload"] == number)
                & (ways["provider"] + "/" + ways["region"] != w.data_in)
            ).to_numpy()
            owner[mine] = w.data_in.split("/")[0]
            times = min(weeks, w.deadline_weeks) if w.data_weekly else 1.0
            gb[mine] = (w.data_gb * w.count * times * ways["share"])[mine]
    rows = []
    for name in sorted(set(owner) - {""}):
        within = ((0.0, assumptions.get(f"transfer_usd_per_gb/{name}", "transfer_usd_per_gb")),)
        out = assumptions.tiers(f"egress_usd_per_gb/{name}") or assumptions.tiers(
            "egress_usd_per_gb"
        )
        for said, mine, tiers in (
            (f"data out of {name}", to != name, tuple((start * months, usd) for start, usd in out)),
            (f"data between regions of {name}", to == name, within),
        ):
            for f, scenario in enumerate(demand.scenarios or (None,)):
                at = np.flatnonzero((owner == name) & mine & (ways["future"] == f) & (gb > 0))
                if len(at):
                    chance = ways["chance"].iloc[at[0]]
                    paid = tuple((start, usd * chance) for start, usd in tiers)
                    named = said + (scenario.suffix if scenario else "")
                    rows.append(Row(named, at, gb[at], tiers=paid, unit="GB"))
    return rows


def carbon(ways: pd.DataFrame, limits: Limits, assumptions: Assumptions) -> Row:
    """Return the row of kgCO2e: what a machine draws while it works, at the grid's average intensity.

    (GPU watts x utilisation + watts of its share of the host) x PUE x intensity, as the Cloud Carbon
    Footprint method has it. Average, not marginal: the two can rank regions in opposite order.
    """
    watts = {
        model: assumptions.get("gpu_utilisation")
        * assumptions.get(f"gpu_watts/{model}", "gpu_watts")
        + assumptions.get("host_watts_per_gpu")
        for model in ways["gpu_model"].unique()
    }
    pue = {name: assumptions.get(f"pue/{name}", "pue") for name in ways["provider"].unique()}
    grid = pd.Series(known(ways, "grid_gco2e_per_kwh").astype(float))
    if grid.isna().any():
        grid = grid.fillna(assumptions.get("grid_gco2e_per_kwh"))
    drawn_kw = ways["gpu_count"] * ways["gpu_model"].map(watts) * ways["provider"].map(pue) / 1e3
    kg, usd = drawn_kw * grid / 1e3 * ways["busy_h"] * ways["chance"], limits.carbon_usd_per_tonne
    return Row(
        "carbon",
        np.arange(len(ways)),
        kg.to_numpy(float),
        upper=limits.carbon_kg or np.inf,
        tiers=((0.0, usd / 1e3),) if usd else (),
        unit="kgCO2e",
        kind="carbon",
    )
