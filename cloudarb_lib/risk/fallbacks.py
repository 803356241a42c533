"""What an hour that cannot be had is bought at: on-demand offers, each with the room it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Set
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.risk.outages import DOWN, UP
from cloudarb_lib.tables.assumptions import Assumptions

FALLBACKS = ("fallback", "next_fallback")
"""Columns that name the on-demand offers, in the order in which they are asked."""


def find_fallbacks(
    offers: pd.DataFrame, wanted: pd.Index, *, allowed: Mapping[str, Set[str]] | None = None
) -> pd.DataFrame:
    """Return what an instance-hour of each wanted offer is bought at when it is not to be had.

    First on-demand of the same machine in the same region, else the cheapest of the same GPU model
    per GPU (per vCPU where there is no GPU); next the cheapest of those in another region than the
    first. A stale one only where there is no other, never the offer itself nor one that cannot be
    had in all hours.

    Parameters
    ----------
    offers : pd.DataFrame
        As in ``RiskInputs``.
    wanted : pd.Index
        Values of offer_id.
    allowed : mapping, optional
        By wanted offer, what may replace it; one that is not named is replaced by any.

    Returns
    -------
    pd.DataFrame
        Index ``wanted``; columns ``gpus`` (of an instance, 0 where it has none), ``units`` (GPUs,
        vCPUs without one), and for each of ``FALLBACKS`` its offer_id and, with _usd_per_hour, what
        an instance-hour of the wanted offer costs there; missing where nothing replaces it.
    """
    table = offers.set_index("offer_id")
    gpus = table["gpu_count"].where(table["gpu_model"].notna()).fillna(0.0)
    units = gpus.where(gpus > 0, table["vcpus"]).fillna(1.0)
    rate = table["price_usd_per_hour"] / units
    kind = table["gpu_model"].where(gpus > 0, "cpu")
    region = table["provider"].astype(str) + "/" + table["region"].astype(str)
    table = table.assign(kind=kind, rate=rate, stale=table.get("stale", False))
    cheapest = _cheapest(table)
    found = {}
    for offer_id, *machine, kind_name in table.loc[wanted, _MACHINE_AND_KIND].itertuples(name=None):
        may_replace = (allowed or {}).get(offer_id, region.index)
        of_machine, of_kind = (
            [other for other in cheapest[key] if other != offer_id and other in may_replace]
            for key in (tuple(machine), kind_name)
        )
        found[offer_id] = _first_and_next(of_machine, of_kind, region)
    columns: dict[str, object] = {"gpus": gpus[wanted], "units": units[wanted].astype(float)}
    for place, name in enumerate(FALLBACKS):
        offer_ids = [found[offer_id][place] for offer_id in wanted]
        columns[name] = offer_ids
        rates = rate.reindex(offer_ids).to_numpy()
        columns[f"{name}_usd_per_hour"] = rates * units[wanted].to_numpy(float)
    return pd.DataFrame(columns, index=wanted)


_MACHINE_AND_KIND = ["provider", "region", "instance_type", "kind"]


def _cheapest(table: pd.DataFrame) -> Mapping[Hashable, list[str]]:
    """Return the on-demand offers of each machine, and of each kind, the cheapest first."""
    on_demand = table["purchase_option"] == "on_demand"
    always = table.get("available_share", 1.0) == 1.0
    candidates = table[on_demand & always].sort_values(["stale", "rate"])[_MACHINE_AND_KIND]
    cheapest: defaultdict[Hashable, list[str]] = defaultdict(list)
    for offer_id, *machine, kind_name in candidates.itertuples(name=None):
        cheapest[tuple(machine)].append(offer_id)
        cheapest[kind_name].append(offer_id)
    return cheapest


def _first_and_next(
    of_machine: list[str], of_kind: list[str], region: pd.Series
) -> tuple[str | None, str | None]:
    """Return the two on-demand offers that replace one, of lists that begin with the cheapest."""
    first = next(iter([*of_machine, *of_kind]), None)
    if first is None:
        return None, None
    own_region = region.get(first)
    return first, next((other for other in of_kind if region[other] != own_region), None)


class Replacement(NamedTuple):
    """What hours cost that could not be had, by combination of pools that are down.

    Parameters
    ----------
    lost : np.ndarray of shape (combinations, offers)
        Instance-hours lost in an hour.
    cost_usd : np.ndarray of shape (combinations, offers)
        What their replacement costs.
    unmet : np.ndarray of shape (combinations, offers)
        Instance-hours that nothing replaces.
    """

    lost: np.ndarray
    cost_usd: np.ndarray
    unmet: np.ndarray


def room_of(
    fallbacks: pd.Index, offers: pd.DataFrame, held: pd.Series, assumptions: Assumptions
) -> np.ndarray:
    """Return how many units each fallback has room for beside what the plan holds of it.

    Parameters
    ----------
    fallbacks : pd.Index
        Values of offer_id.
    offers : pd.DataFrame
        As in ``RiskInputs``, indexed by offer_id.
    held : pd.Series
        Units of each offer of the plan.
    assumptions : Assumptions
        ``capacity_gpus/on_demand``, of a GPU model in a region.

    Returns
    -------
    np.ndarray of shape (fallbacks,)
        GPUs; infinite without a GPU.
    """
    models = offers["gpu_model"].reindex(fallbacks)
    room = [
        np.inf
        if pd.isna(model)
        else assumptions.get(f"capacity_gpus/on_demand/{model}", "capacity_gpus/on_demand")
        for model in models
    ]
    return np.maximum(np.array(room) - held.reindex(fallbacks).fillna(0.0).to_numpy(), 0.0)


def replace_lost(
    table: pd.DataFrame, lost: np.ndarray, state: np.ndarray, room: pd.Series
) -> Replacement:
    """Return what instance-hours lost in an hour cost, by combination.

    Each offer asks its fallbacks in order; those that ask one at the same time share its room in
    proportion.

    Parameters
    ----------
    table : pd.DataFrame
        A row per offer, with the columns of ``find_fallbacks``.
    lost : np.ndarray of shape (combinations, offers)
        Instances.
    state : np.ndarray of shape (combinations, offers)
        Of the pool of each offer, ``UP`` where it has none.
    room : pd.Series
        Units by offer_id of the fallbacks.

    Returns
    -------
    Replacement
    """
    units = table["units"].to_numpy()
    left = lost * units
    cost = np.zeros_like(lost)
    free = np.tile([*room.to_numpy(float), 0.0], (len(lost), 1))  # last, none at all
    for order, name in enumerate(FALLBACKS):
        target = room.index.get_indexer(pd.Index(table[name]))
        has_room = (state == UP) | (state <= DOWN + order)
        asks = np.where(has_room & (target >= 0), left, 0.0)
        asked = asks @ np.eye(len(room) + 1)[target]
        share = np.minimum(free / np.maximum(asked, 1e-12), 1.0)
        served = asks * share[:, target]
        free = free - np.minimum(asked, free)
        price = np.nan_to_num(table[f"{name}_usd_per_hour"].to_numpy(float))
        cost += served * price / units
        left = left - served
    return Replacement(lost, cost, np.where(left > 1e-9, left, 0.0) / units)
