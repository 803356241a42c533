"""What depends on where work runs: latency, data, residency, carbon."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Workload
from cloudarb_lib.allocate.model import Limits, Row
from cloudarb_lib.assumptions import Assumptions
from cloudarb_lib.errors import ParameterError
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.schema import nearest
from cloudarb_lib.units import HOURS_PER_WEEK, HOURS_PER_YEAR

_EARTH_KM = 6371.0


@cache
def _places() -> pd.DataFrame:
    """Return data/regions.csv, read once: a plan asks for it with every workload."""
    return pd.read_csv(PROJECT / "data" / "regions.csv", keep_default_na=False)


def with_places(offers: pd.DataFrame, grid_carbon: pd.DataFrame) -> pd.DataFrame:
    """Return offers with what is known of their region: ``country``, ``union``, ``latitude``,
    ``longitude`` (data/regions.csv) and ``grid_gco2e_per_kwh`` (table grid_carbon); null where unknown."""
    key = ["provider", "region"]
    return offers.merge(_places().drop(columns="place"), how="left", on=key).merge(
        grid_carbon[[*key, "grid_gco2e_per_kwh"]], how="left", on=key
    )


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
    places = _places()
    places = places.set_index(places["provider"] + "/" + places["region"])[["latitude", "longitude"]]
    if workload.latency_to not in places.index:
        raise ParameterError(
            f"workload {workload.name!r}: no region {workload.latency_to!r}"
            f"{nearest(workload.latency_to, list(places.index))}.",
            "Name a line of data/regions.csv as provider/region.",
        )
    lat, lon = np.radians(places.loc[workload.latency_to].to_numpy(float))
    lats, lons = (np.radians(known(offers, c).astype(float)) for c in ("latitude", "longitude"))
    half = np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    km = 2 * _EARTH_KM * np.arcsin(np.sqrt(half))
    trip_ms = assumptions.get("latency_ms_at_least") + km / 1e3 * assumptions.get("latency_ms_per_1000_km")
    return trip_ms <= workload.latency_ms


def egress(
    demand: Demand, pairs: pd.DataFrame, offers: pd.DataFrame, *, assumptions: Assumptions, hours: float
) -> list[Row]:
    """Return the rows of GB that leave each provider, or a region for another, and their prices.

    Work reads its data in proportion to what it does where (``share`` of the pairs): half the work
    elsewhere moves half the data. Out of a provider the price falls with its total of a month, in each
    future of the demand (``future`` and ``chance`` of the pairs) on its own.
    """
    site = offers["provider"].str.cat(offers["region"], sep="/").to_numpy()[pairs["slot"]]
    to, future = offers["provider"].to_numpy()[pairs["slot"]], pairs["future"].to_numpy()
    weeks, months = hours / HOURS_PER_WEEK, hours / (HOURS_PER_YEAR / 12)
    gb = np.zeros(len(pairs))
    owner = np.full(len(pairs), "", object)
    for number, w in enumerate(demand.workloads):
        if w.data_gb:
            mine = (pairs["workload"] == number).to_numpy() & (site != w.data_in)
            owner[mine] = w.data_in.split("/")[0]
            times = min(weeks, w.deadline_weeks) if w.data_weekly else 1.0
            gb[mine] = (w.data_gb * w.count * times * pairs["share"])[mine]
    rows = []
    for name in sorted(set(owner) - {""}):
        within = ((0.0, assumptions.get(f"transfer_usd_per_gb/{name}", "transfer_usd_per_gb")),)
        out = assumptions.tiers(f"egress_usd_per_gb/{name}") or assumptions.tiers("egress_usd_per_gb")
        for said, mine, tiers in (
            (f"data out of {name}", to != name, tuple((start * months, usd) for start, usd in out)),
            (f"data between regions of {name}", to == name, within),
        ):
            for f, scenario in enumerate(demand.scenarios or (None,)):
                at = np.flatnonzero((owner == name) & mine & (future == f) & (gb > 0))
                if len(at):
                    chance = pairs["chance"].iloc[at[0]]
                    paid = tuple((start, usd * chance) for start, usd in tiers)
                    named = said + (scenario.suffix if scenario else "")
                    rows.append(Row(named, at, gb[at], tiers=paid, unit="GB"))
    return rows


def carbon(pairs: pd.DataFrame, offers: pd.DataFrame, limits: Limits, assumptions: Assumptions) -> Row:
    """Return the row of kgCO2e: what a machine draws while it works, at the grid's average intensity.

    (GPU watts x utilisation + watts of its share of the host) x PUE x intensity, as the Cloud Carbon
    Footprint method has it. Average, not marginal: the two can rank regions in opposite order.
    """
    watts = {
        model: assumptions.get("gpu_utilisation") * assumptions.get(f"gpu_watts/{model}", "gpu_watts")
        + assumptions.get("host_watts_per_gpu")
        for model in offers["gpu_model"].unique()
    }
    pue = {name: assumptions.get(f"pue/{name}", "pue") for name in offers["provider"].unique()}
    grid = known(offers, "grid_gco2e_per_kwh").astype(float)
    if np.isnan(grid).any():
        grid = np.where(np.isnan(grid), assumptions.get("grid_gco2e_per_kwh"), grid)
    drawn_kw = offers["gpu_count"] * offers["gpu_model"].map(watts) * offers["provider"].map(pue) / 1e3
    kg_per_h = (drawn_kw * grid / 1e3).to_numpy(float)[pairs["slot"]]
    usd = limits.carbon_usd_per_tonne
    return Row(
        "carbon", np.arange(len(pairs)), kg_per_h * (pairs["busy_h"] * pairs["chance"]).to_numpy(float),
        upper=limits.carbon_kg or np.inf, tiers=((0.0, usd / 1e3),) if usd else (), unit="kgCO2e",
    )  # fmt: skip
