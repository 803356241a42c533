"""Where work may run: latency and residency."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, DemandError, Users, Workload
from cloudarb_lib.allocate.problem.scope import known_sites
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


def countries_and_unions(offers: pd.DataFrame) -> list[str]:
    """Return the countries, and unions of countries, in which some offers lie."""
    named = [*column_of_places(offers, "country"), *column_of_places(offers, "union")]
    return sorted({name for name in map(str, named) if len(name) == len("EU")})


def round_trips_ms(
    workload: Workload, users: Users, offers: pd.DataFrame, assumptions: Assumptions
) -> np.ndarray:
    """Return the round trip from each offer to some users of a workload.

    As measured where the demand says so, else estimated from the great circle.

    Parameters
    ----------
    workload
        Whose users they are.
    users
        Where they are.
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
    if users.at not in places.index:
        close = did_you_mean(users.at, list(places.index))
        raise DemandError(
            ("demand", workload.name, "latency"),
            f"workload {workload.name!r}: no region {users.at!r}{close}.",
            "Name a line of data/regions.csv as provider/region.",
        )
    place = places.loc[users.at, ["latitude", "longitude"]]
    km = _great_circle_km(
        place.to_numpy(float),
        column_of_places(offers, "latitude").astype(float),
        column_of_places(offers, "longitude").astype(float),
    )
    at_least_ms = assumptions.get("latency_ms_at_least")
    trips_ms: np.ndarray = at_least_ms + km / 1e3 * assumptions.get("latency_ms_per_1000_km")
    measured_ms = dict(users.measured_ms)
    site = offers["provider"] + "/" + offers["region"]
    return site.map(measured_ms).fillna(pd.Series(trips_ms, offers.index)).to_numpy(float)


def estimated_in_words(demand: Demand, offers: pd.DataFrame) -> list[str]:
    """Return, for a reader of the plan, which round trips to users are estimates; or nothing."""
    sites = set(offers["provider"] + "/" + offers["region"])
    return [
        f"round trips of {workload.name} to {users.at} are estimates from the great circle for "
        f"{len(left)} of {len(sites)} regions: routes and the users' own networks may make them "
        "longer; round_trips of the demand file state measured ones"
        for workload in demand.workloads
        for users in workload.latency
        if (left := sites - dict(users.measured_ms).keys())
    ]


def within_reach(
    workload: Workload, offers: pd.DataFrame, assumptions: Assumptions
) -> list[np.ndarray]:
    """Return which offers are near enough to the users in each place that a workload names.

    Raises
    ------
    DemandError
        As ``round_trips_ms``.
    """
    return [
        round_trips_ms(workload, users, offers, assumptions) <= users.within_ms
        for users in workload.latency
    ]


def nearest_in_words(
    workload: Workload, users: Users, offers: pd.DataFrame, assumptions: Assumptions
) -> str:
    """Return which region of some offers is nearest to users; nothing where no place is known."""
    trips_ms = round_trips_ms(workload, users, offers, assumptions)
    if np.isnan(trips_ms).all():
        return ""
    nearest = offers.iloc[int(np.nanargmin(trips_ms))]
    return f"{nearest['provider']}/{nearest['region']} is at {np.nanmin(trips_ms):.0f} ms"


def refuse_unknown_round_trips(demand: Demand, offers: pd.DataFrame) -> None:
    """Raise DemandError for a round trip of a region that neither offers nor lists have."""
    known = known_sites(offers)
    for number, trip in enumerate(demand.round_trips):
        for site in trip.between:
            if site not in known:
                raise DemandError(
                    ("round_trips", number, "between"),
                    f"round trips: no region {site!r}{did_you_mean(site, sorted(known))}.",
                    "Name both regions as provider/region.",
                )


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
