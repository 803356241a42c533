"""Which offers can serve which workloads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, DemandError, Workload
from cloudarb_lib.allocate.problem import place
from cloudarb_lib.allocate.problem.held import with_held
from cloudarb_lib.allocate.problem.model import Limits
from cloudarb_lib.allocate.problem.scope import (
    known_places,
    lies_in,
    matches,
    named_by,
    unknown_places,
)
from cloudarb_lib.base.errors import DataError, ParameterError, did_you_mean
from cloudarb_lib.market.disruptions import hazards
from cloudarb_lib.tables.assumptions import Assumptions
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS

_ANY = ("*",)
_FEW = 12
"""So many names at most are told whole where none is near to a name that is not known."""


@dataclass(frozen=True)
class EligibleOffers:
    """The offers that can serve some workload, and those that stand for commitments held."""

    table: pd.DataFrame
    """Table ``offers`` with ``held``, the instances of a commitment held (NaN: none); numbered
    from 0."""
    accepted: list[np.ndarray]
    """Numbers of the offers that can serve each workload."""
    hazards: pd.DataFrame
    """How each offer is taken away, as ``market.disruptions.hazards`` tells."""

    @cached_property
    def hazard_per_h(self) -> np.ndarray:
        """Interruptions an hour, of each offer."""
        return self.hazards["interruption_per_hour"].to_numpy(float)

    @cached_property
    def gpus(self) -> np.ndarray:
        """GPUs of an instance."""
        return self.table["gpu_count"].to_numpy(float)

    @cached_property
    def is_committed(self) -> np.ndarray:
        return (self.table["purchase_option"] == "reserved").to_numpy()

    @cached_property
    def is_held(self) -> np.ndarray:
        return self.table["held"].notna().to_numpy()

    def __len__(self) -> int:
        return len(self.table)


def eligible_offers(
    demand: Demand, offers: pd.DataFrame, limits: Limits, assumptions: Assumptions
) -> EligibleOffers:
    """Return the offers that can serve a demand.

    Parameters
    ----------
    demand
        Its workloads must each find an offer; its commitments stand for offers of their own.
    offers
        Table ``offers``.
    limits
        ``terms`` are the commitments that may be bought anew, ``hazard`` the spot interruptions.
    assumptions
        Where latency and interruptions come from.

    Raises
    ------
    DataError
        For a price that is no positive number.
    ParameterError
        Where no offer fits a workload, or there is none at all, and for a quota that names none.
    """
    _refuse_impossible_prices(offers)
    may_be_bought = offers["term"].isin(("", *limits.terms))
    if not may_be_bought.any():  # who offers commitments alone asks for them
        may_be_bought |= True
    has_gpus = offers["gpu_count"].to_numpy(float) > 0
    with_contracts = with_held(demand, offers)
    for number, quota in enumerate(demand.quotas):  # one that names none is mistaken
        named_by(quota, with_contracts, place=("quotas", number))
    is_kept = np.ones(len(with_contracts), bool)
    is_kept[: len(offers)] = has_gpus & may_be_bought
    offers = with_contracts[is_kept].reset_index(drop=True)
    if not len(offers):
        raise ParameterError("no GPU offer to choose from.", "Check as_of and stale_after_days.")
    place.refuse_unknown_round_trips(demand, offers)
    for workload in demand.workloads:
        _refuse_unknown_places(workload, offers)
    fitting = [np.flatnonzero(fits(w, offers, assumptions)) for w in demand.workloads]
    for workload, positions in zip(demand.workloads, fitting, strict=True):
        _refuse_too_few(workload, offers.iloc[positions])
        _refuse_users_out_of_reach(workload, offers, positions, assumptions)
    kept = np.unique(np.concatenate([*fitting, np.flatnonzero(offers["held"].notna())]))
    table = offers.iloc[kept].reset_index(drop=True)
    accepted = [np.searchsorted(kept, positions) for positions in fitting]
    return EligibleOffers(table, accepted, hazards(table, assumptions, limits.hazard))


def accepts(workload: Workload, offers: pd.DataFrame, assumptions: Assumptions) -> np.ndarray:
    """Return which offers a workload accepts; unlike ``fits`` also where that is none."""
    passed = [each for _, _, each in _requirements(workload, offers, assumptions)]
    return np.logical_and.reduce([np.asarray(each, bool) for each in passed])


def fits(workload: Workload, offers: pd.DataFrame, assumptions: Assumptions) -> np.ndarray:
    """Return which offers can serve a workload.

    Parameters
    ----------
    workload
        What has to run.
    offers
        Table ``offers``; for latency and residency through ``with_places``.
    assumptions
        Where round trips come from.

    Returns
    -------
    np.ndarray
        Boolean, shape (offers,).

    Raises
    ------
    DemandError
        Where none can, telling how many offers are left after each requirement in turn, and what
        is near to the one that leaves none.
    """
    if workload.data_in:
        place.refuse_unknown_region_of_data(workload, offers)
    keep = np.ones(len(offers), bool)
    told = [f"{len(offers)} offers"]
    for key, words, passed in _requirements(workload, offers, assumptions):
        left = keep & np.asarray(passed, bool)
        near = "" if left.any() else _near(workload, key, offers[keep], assumptions)
        told.append(f"{words}: {int(left.sum())} left{near}")
        if not left.any():
            raise DemandError(
                ("demand", workload.name, key),
                f"no offer fits workload {workload.name!r}: {'; '.join(told)}.",
                "Loosen the requirement that leaves none.",
            )
        keep = left
    return keep


def _refuse_unknown_places(workload: Workload, offers: pd.DataFrame) -> None:
    """Raise DemandError for a pattern on places that names none: it would rule out nothing.

    Where none of a workload's patterns names a place, ``fits`` tells what they leave.
    """
    stated = {"in": workload.regions, "not_in": workload.not_in, "providers": workload.providers}
    for key, patterns in stated.items():
        unknown = unknown_places(patterns, offers)
        if unknown and (key == "not_in" or len(unknown) < len(patterns)):
            close = did_you_mean(unknown[0].removesuffix("/*"), known_places(offers))
            raise DemandError(
                ("demand", workload.name, key),
                f"workload {workload.name!r}: {key} {unknown[0]!r} names no place{close}.",
                "Name regions or provider/region as data/regions.csv does, or take it out.",
            )


def _refuse_too_few(workload: Workload, offers: pd.DataFrame) -> None:
    """Raise DemandError where the offers that fit a workload cannot be combined as it asks."""
    if workload.min_on_demand_share and offers["purchase_option"].eq("spot").all():
        raise DemandError(
            ("demand", workload.name, "min_on_demand_share"),
            f"workload {workload.name!r}: of the {len(offers)} offers that fit it all are spot.",
            "Let it use on-demand machines or commitments, or leave min_on_demand_share out.",
        )
    place = offers["provider"]
    if workload.survives_loss_of == "region":
        place = place + "/" + offers["region"]
    found = place.unique()
    if workload.survives_loss_of in ("provider", "region") and len(found) == 1:
        raise DemandError(
            ("demand", workload.name, "survives_loss_of"),
            f"workload {workload.name!r}: all offers that fit it are in one "
            f"{workload.survives_loss_of}, {found[0]}.",
            "Let it run in more places, or leave survives_loss_of out.",
        )


def _refuse_users_out_of_reach(
    workload: Workload, offers: pd.DataFrame, fitting: np.ndarray, assumptions: Assumptions
) -> None:
    """Raise DemandError where none of the ``fitting`` offers is near to the users in some place."""
    near = place.within_reach(workload, offers.iloc[fitting], assumptions)
    for users, is_near in zip(workload.latency, near, strict=True):
        if not is_near.any():
            anywhere = offers[fits(replace(workload, latency=()), offers, assumptions)]
            nearest = place.nearest_in_words(workload, users, anywhere, assumptions)
            raise DemandError(
                ("demand", workload.name, "latency"),
                f"workload {workload.name!r}: no offer that fits it is within "
                f"{users.within_ms:g} ms of {users.at} ({nearest}).",
                "Allow a longer round trip there, or give its share to other places.",
            )


def _requirements(
    w: Workload, offers: pd.DataFrame, assumptions: Assumptions
) -> list[tuple[str, str, Any]]:
    """Return what a workload requires: its key, in words, and by the offers that pass."""
    option = offers["purchase_option"]
    told: list[tuple[str, str, Any]] = [
        ("needs", f"GPU model {', '.join(w.throughput)}", offers["gpu_model"].isin(w.throughput))
    ]
    if set(w.options) != set(PURCHASE_OPTIONS):
        told.append(("options", f"purchase {', '.join(w.options)}", option.isin(w.options)))
    if w.providers != _ANY:
        is_theirs = matches(offers["provider"], w.providers)
        told.append(("providers", f"provider {', '.join(w.providers)}", is_theirs))
    if w.regions != _ANY:
        told.append(("in", f"region {', '.join(w.regions)}", lies_in(offers, w.regions)))
    if w.not_in:
        told.append(("not_in", f"not in {', '.join(w.not_in)}", ~lies_in(offers, w.not_in)))
    if not w.interruptible:
        told.append(("interruptible", "not interruptible: no spot", option.ne("spot")))
    least_gpus = max(w.gpus_per_instance, 1.0)
    is_large = offers["gpu_count"] >= least_gpus
    size = "a whole GPU" if least_gpus == 1 else f"{least_gpus:g} GPUs"
    told.append(("gpus_per_instance", f"{size} a machine or more", is_large))
    for words, column in (("GPU memory", "gpu_memory_gib"), ("memory", "memory_gib")):
        if least := getattr(w, column):
            told.append((column, f"{words} of {least:g} GiB", offers[column] >= least))
    if w.residency:
        residency = f"residency {', '.join(w.residency)}"
        told.append(("residency", residency, place.resides(w, offers)))
    told += _latencies(w, offers, assumptions)
    if (cap := w.max_usd_per_gpu_hour) is not None:
        is_held = offers["held"].notna() if "held" in offers else False
        is_cheap = _usd_per_gpu_hour(offers) <= cap
        told.append(("max_usd_per_gpu_hour", f"{cap:g} USD per GPU-hour", is_cheap | is_held))
    return told


def _latencies(
    w: Workload, offers: pd.DataFrame, assumptions: Assumptions
) -> list[tuple[str, str, Any]]:
    """Return what is required for the users' sake: near to all places, or to one that has users."""
    near = place.within_reach(w, offers, assumptions)
    if w.latency and w.latency[0].percent is not None:
        places = " or ".join(users.words for users in w.latency)
        return [("latency", f"round trips of {places}", np.logical_or.reduce(near))]
    return [
        ("latency", f"round trips of {users.words}", is_near)
        for users, is_near in zip(w.latency, near, strict=True)
    ]


def _usd_per_gpu_hour(offers: pd.DataFrame) -> pd.Series:
    return offers["price_usd_per_hour"] / offers["gpu_count"]


def _near(workload: Workload, key: str, offers: pd.DataFrame, assumptions: Assumptions) -> str:
    """Return, in brackets, what is near to a requirement that none of ``offers`` passes."""
    if key == "needs":
        models = sorted(set(offers["gpu_model"].dropna()))
        stems = tuple(f"{name}-" for name in workload.throughput)
        variants = [model for model in models if model.startswith(stems)]
        if variants:
            return f" (name which: {', '.join(variants)})"
        return _nearest(tuple(workload.throughput), offers["gpu_model"].dropna())
    if key == "providers":
        return _nearest(workload.providers, offers["provider"])
    if key == "in":
        return _nearest(workload.regions, offers["region"])
    if key == "residency":
        if any(len(area) != len("DE") for area in workload.residency):
            return " (countries have two letters, such as DE, or are EU)"
        return _nearest(workload.residency, pd.Series(place.countries_and_unions(offers)))
    if key == "latency":
        too_far = [
            place.nearest_in_words(workload, users, offers, assumptions)
            for users, is_near in zip(
                workload.latency, place.within_reach(workload, offers, assumptions), strict=True
            )
            if not is_near.any()
        ]
        return f" ({', '.join(filter(None, too_far))})" if any(too_far) else ""
    if key == "max_usd_per_gpu_hour":
        return f" (the cheapest asks {_usd_per_gpu_hour(offers).min():.2f})"
    return ""


def _nearest(patterns: tuple[str, ...], values: pd.Series) -> str:
    """Return the value nearest to a pattern; all of them where they are few and none is near."""
    known = sorted(set(values.astype(str)))
    close = did_you_mean(patterns[0], known)
    if close or len(known) > _FEW:
        return close
    return f" (there are {', '.join(known)})"


def _refuse_impossible_prices(offers: pd.DataFrame) -> None:
    price = offers["price_usd_per_hour"].to_numpy(float)
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        first = int(bad.argmax())
        raise DataError(f"offer {offers['offer_id'].iloc[first]} costs {price[first]} USD/h.")
