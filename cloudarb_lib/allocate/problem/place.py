"""Where work may run: latency and residency."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import DemandError, Workload
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.market.places import regions
from cloudarb_lib.tables.assumptions import Assumptions

_EARTH_KM = 6371.0


def column_of_places(offers: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column that ``with_places`` adds."""
    if column not in offers:
        raise ParameterError(f"offers have no {column}.", "Pass them through allocate.with_places.")
    return offers[column].to_numpy()


def resides(workload: Workload, offers: pd.DataFrame) -> np.ndarray:
    """Return which offers lie in the countries, or unions of countries, that a workload names."""
    return np.isin(column_of_places(offers, "country").astype(str), workload.residency) | np.isin(
        column_of_places(offers, "union").astype(str), workload.residency
    )


def round_trips_ms(
    workload: Workload, offers: pd.DataFrame, assumptions: Assumptions
) -> np.ndarray:
    """Return the round trip from each offer to where a workload's users are.

    Estimated from the great circle, not measured.

    Parameters
    ----------
    workload
        With ``latency_to``.
    offers
        Table ``offers``, through ``with_places``; NaN where a place is unknown, which is not near.
    assumptions
        Milliseconds at least, and for 1,000 km.

    Raises
    ------
    DemandError
        For a region that data/regions.csv does not list.
    """
    places = regions()
    places = places.set_index(places["provider"] + "/" + places["region"])
    if workload.latency_to not in places.index:
        close = did_you_mean(workload.latency_to, list(places.index))
        raise DemandError(
            ("demand", workload.name, "latency"),
            f"workload {workload.name!r}: no region {workload.latency_to!r}{close}.",
            "Name a line of data/regions.csv as provider/region.",
        )
    place = places.loc[workload.latency_to, ["latitude", "longitude"]]
    km = _great_circle_km(
        place.to_numpy(float),
        column_of_places(offers, "latitude").astype(float),
        column_of_places(offers, "longitude").astype(float),
    )
    at_least_ms = assumptions.get("latency_ms_at_least")
    return at_least_ms + km / 1e3 * assumptions.get("latency_ms_per_1000_km")


def refuse_unknown_region_of_data(workload: Workload, offers: pd.DataFrame) -> None:
    """Raise DemandError where data lies in a region that its provider, if known, has not."""
    provider = workload.data_in.split("/")[0]
    listed = regions()[regions()["provider"] == provider]
    offered = offers[offers["provider"] == provider]
    known = sorted({*listed["region"], *offered["region"]})
    sites = [f"{provider}/{region}" for region in known]
    if sites and workload.data_in not in sites:
        close = did_you_mean(workload.data_in, sites)
        raise DemandError(
            ("demand", workload.name, "data"),
            f"workload {workload.name!r}: no region {workload.data_in!r}{close}.",
            "Name where its data lies as provider/region.",
        )


def _great_circle_km(
    place: np.ndarray, latitudes: np.ndarray, longitudes: np.ndarray
) -> np.ndarray:
    """Return the distance of a place (latitude, longitude) from others, by the haversine."""
    latitude, longitude = np.radians(place)
    latitudes = np.radians(latitudes)
    longitudes = np.radians(longitudes)
    across = np.cos(latitude) * np.cos(latitudes) * np.sin((longitudes - longitude) / 2) ** 2
    half = np.sin((latitudes - latitude) / 2) ** 2 + across
    return 2 * _EARTH_KM * np.arcsin(np.sqrt(half))
