"""Which offers can serve which workloads."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Commitment, Demand, Workload
from cloudarb_lib.allocate.problem import place
from cloudarb_lib.allocate.problem.model import Limits
from cloudarb_lib.base.errors import DataError, ParameterError, did_you_mean
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, Assumptions


@dataclass(frozen=True)
class EligibleOffers:
    """The offers that can serve some workload, and those that stand for commitments held."""

    table: pd.DataFrame
    """Table ``offers`` with ``held``, the instances of a commitment held (NaN: none); numbered
    from 0."""
    accepted: list[np.ndarray]
    """Numbers of the offers that can serve each workload."""
    hazard_per_h: np.ndarray
    """Interruptions an hour, of each offer."""

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
        Where no offer fits a workload, or there is none at all.
    """
    _refuse_impossible_prices(offers)
    may_be_bought = offers["term"].isin(("", *limits.terms))
    if not may_be_bought.any():  # who offers commitments alone asks for them
        may_be_bought |= True
    held = [_held(commitment, offers) for commitment in demand.commitments]
    has_gpus = offers["gpu_count"].to_numpy(float) > 0
    offers = offers[has_gpus & may_be_bought].assign(held=np.nan)
    offers = pd.concat([offers, *held], ignore_index=True)
    if not len(offers):
        raise ParameterError("no GPU offer to choose from.", "Check as_of and stale_after_days.")
    fitting = [np.flatnonzero(fits(w, offers, assumptions)) for w in demand.workloads]
    kept = np.unique(np.concatenate([*fitting, np.flatnonzero(offers["held"].notna())]))
    table = offers.iloc[kept].reset_index(drop=True)
    accepted = [np.searchsorted(kept, positions) for positions in fitting]
    return EligibleOffers(table, accepted, _hazard_per_h(table, limits, assumptions))


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
    ParameterError
        Where none can, telling how many offers are left after each requirement in turn, and
        naming the nearest GPU model where the model is not known at all.
    """
    keep = np.ones(len(offers), bool)
    told = [f"{len(offers)} offers"]
    for name, passed in _requirements(workload, offers, assumptions):
        keep &= np.asarray(passed, bool)
        told.append(f"{name}: {int(keep.sum())} left")
        if not keep.any():
            raise ParameterError(
                f"no offer fits workload {workload.name!r}: {'; '.join(told)}.",
                "Loosen the requirement that leaves none.",
            )
    return keep


def _requirements(
    w: Workload, offers: pd.DataFrame, assumptions: Assumptions
) -> list[tuple[str, Any]]:
    """Return what a workload requires, each in words and by the offers that pass."""
    option = offers["purchase_option"]
    least_gpus = max(w.gpus_per_instance, 1.0)
    requirements: list[tuple[str, Any]] = [
        (_models_in_words(w, offers), offers["gpu_model"].isin(list(w.throughput))),
        (f"provider {', '.join(w.providers)}", _matches(offers["provider"], w.providers)),
        (f"region {', '.join(w.regions)}", _lies_in(offers, w.regions)),
        (f"purchase {', '.join(w.options)}", option.isin(w.options)),
        ("not interruptible: no spot", w.interruptible | option.ne("spot")),
        (f"{least_gpus:g} GPUs a machine or more", offers["gpu_count"] >= least_gpus),
        (f"not in {', '.join(w.not_in)}", ~_lies_in(offers, w.not_in)),
    ]
    for name, column in (("GPU memory", "gpu_memory_gib"), ("memory", "memory_gib")):
        if least := getattr(w, column):
            requirements.append((f"{name} of {least:g} GiB", offers[column] >= least))
    if w.residency:
        requirements.append((f"residency {', '.join(w.residency)}", place.resides(w, offers)))
    if w.latency_to:
        trips = f"round trips of {w.latency_ms:g} ms to {w.latency_to}"
        requirements.append((trips, place.near(w, offers, assumptions)))
    return requirements


def _models_in_words(workload: Workload, offers: pd.DataFrame) -> str:
    """Return the GPU models that a workload accepts; those close to them where none is on offer."""
    models = sorted(set(offers["gpu_model"].dropna()))
    words = f"GPU model {', '.join(workload.throughput)}"
    if set(models) & set(workload.throughput):
        return words
    stems = tuple(f"{name}-" for name in workload.throughput)
    variants = [model for model in models if model.startswith(stems)]
    if variants:
        return f"{words} (name which: {', '.join(variants)})"
    return words + did_you_mean(next(iter(workload.throughput)), models)


def _matches(values: pd.Series, patterns: tuple[str, ...]) -> np.ndarray:
    """Return which values match one of some shell patterns."""
    matching = {v: any(fnmatch.fnmatchcase(v, p) for p in patterns) for v in values.unique()}
    return values.map(matching).to_numpy(bool)


def _lies_in(offers: pd.DataFrame, patterns: tuple[str, ...]) -> np.ndarray:
    """Return which offers lie in regions, or at provider/region, that match."""
    site = offers["provider"] + "/" + offers["region"]
    return _matches(offers["region"], patterns) | _matches(site, patterns)


def _refuse_impossible_prices(offers: pd.DataFrame) -> None:
    price = offers["price_usd_per_hour"].to_numpy(float)
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        first = int(bad.argmax())
        raise DataError(f"offer {offers['offer_id'].iloc[first]} costs {price[first]} USD/h.")


def _held(commitment: Commitment, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the offer (one row) that a commitment already made stands for."""
    machines = offers["provider"] + "/" + offers["region"] + "/" + offers["instance_type"]
    at = np.flatnonzero(machines == commitment.machine)
    if not len(at):
        near = did_you_mean(commitment.machine, list(machines.unique()))
        raise ParameterError(
            f"no machine {commitment.machine!r} on offer{near}.",
            "Name a commitment by provider/region/instance type.",
        )
    held = offers.iloc[at[:1]].assign(
        offer_id=commitment.machine[::-1].replace("/", "//", 1)[::-1] + "/reserved/held",
        zone="",
        purchase_option="reserved",
        term="held",
        held=commitment.instances,
        price_usd_per_hour=commitment.usd_per_hour,
    )
    if "observed_at" in held:  # its price is that of a contract, which nobody observes
        held["observed_at"] = held["observed_at"].shift()
    return held


def _hazard_per_h(offers: pd.DataFrame, limits: Limits, assumptions: Assumptions) -> np.ndarray:
    """Return interruptions an hour: of spot machines, and of those that a marketplace lets."""
    hazard = np.zeros(len(offers))
    is_spot = (offers["purchase_option"] == "spot").to_numpy()
    is_market = (offers["price_kind"] == "market") & offers["held"].isna()
    if is_spot.any():
        preset = HAZARD_PRESETS[limits.hazard]
        hazard[is_spot] = assumptions.get(f"interruption_per_hour/spot/{preset}")
    if is_market.any():
        hazard[is_market] = assumptions.get("interruption_per_hour/market")
    return hazard
