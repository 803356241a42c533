"""How often machines are taken away, for how long, and which offers replace them meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Set
from itertools import chain

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, Assumptions, HazardPreset

HAZARD_COLUMNS = ("interruption_per_hour", "outage_hours", "fallback_share")
"""How often a machine is taken away, for how long, and how likely an on-demand pool is to have
room just then: rows of the assumptions, columns here."""
SHARED_SHARE = "interruption_shared_share"
"""Assumption: the share of interruptions that take all machines of a pool."""
FALLBACKS = ("fallback", "next_fallback")
"""Columns that name the on-demand offers, in the order in which they are asked."""


def hazards(offers: pd.DataFrame, assumptions: Assumptions, preset: HazardPreset) -> pd.DataFrame:
    """Return how often each offer is taken away, for how long, and whether fallbacks have room.

    Spot offers take the rows ``.../spot/...`` of the preset from the assumptions, other offers of
    moving price those of ``market``; on-demand list prices and commitments are never taken away.

    Parameters
    ----------
    offers : pd.DataFrame
        With ``purchase_option`` and ``price_kind``.
    assumptions : Assumptions
        The figures.
    preset : HazardPreset
        One of ``HAZARD_PRESETS``.

    Returns
    -------
    pd.DataFrame
        Index of ``offers``; columns ``HAZARD_COLUMNS``, 0 for never.

    Raises
    ------
    ParameterError
        For another preset.
    """
    if preset not in HAZARD_PRESETS:
        raise ParameterError(
            f"hazard preset {preset!r} is unknown.", f"Use one of {', '.join(HAZARD_PRESETS)}."
        )
    kinds = np.select(
        [offers["purchase_option"] == "spot", offers["price_kind"] == "market"],
        [f"spot/{HAZARD_PRESETS[preset]}", "market"],
        "",
    )
    of_kind = pd.DataFrame(
        {
            kind: [assumptions.get(f"{name}/{kind}") if kind else 0.0 for name in HAZARD_COLUMNS]
            for kind in {"", *kinds}
        },
        index=list(HAZARD_COLUMNS),
    )
    return of_kind[kinds].T.set_axis(offers.index)


def pools_of(offers: pd.DataFrame) -> np.ndarray:
    """Return the code of the pool of each offer, -1 for one that is never taken away.

    A pool is a GPU model (or machine type) of one provider in one zone, or region where no zone is
    told: what takes one machine there mostly takes them all.

    Parameters
    ----------
    offers : pd.DataFrame
        With provider, region, zone, instance_type, gpu_model and ``interruption_per_hour``.
    """
    machine = offers["gpu_model"].astype(object).fillna(offers["instance_type"])
    parts = offers[["provider", "region", "zone", "purchase_option"]].assign(machine=machine)
    is_taken = (offers["interruption_per_hour"] > 0).to_numpy()
    named = parts[is_taken].astype(object).fillna("")
    codes = np.full(len(offers), -1)
    codes[is_taken] = named.groupby(list(named.columns), sort=False).ngroup()
    return codes


def every_in_words(preset: HazardPreset, assumptions: Assumptions) -> str:
    """Return how often a preset has a spot machine taken away: ``every 21 days``, or ``never``.

    Parameters
    ----------
    preset : str
        One of ``HAZARD_PRESETS``.
    assumptions : Assumptions
        The figures.
    """
    per_hour = assumptions.get(f"interruption_per_hour/spot/{HAZARD_PRESETS[preset]}")
    if not per_hour:
        return "never"
    gap_h = 1.0 / per_hour
    return f"every {gap_h / 24:.0f} days" if gap_h >= 48 else f"every {gap_h:.1f} hours"


def find_fallbacks(
    offers: pd.DataFrame,
    wanted: pd.Index,
    *,
    allowed: Mapping[str, Set[str]] | None = None,
    full: Set[str] = frozenset(),
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
    full : set of str
        Offers that replace nothing: not one machine of them may be rented.

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
    region = (table["provider"].astype(str) + "/" + table["region"].astype(str)).to_dict()
    table = table.assign(kind=kind, rate=rate, stale=table.get("stale", False))
    cheapest = _cheapest(table[~table.index.isin(full)])
    found = {}
    for offer_id, *machine, kind_name in table.loc[wanted, _MACHINE_AND_KIND].itertuples(name=None):
        of_machine = iter(cheapest[tuple(machine)])
        of_kind = iter(cheapest[kind_name])
        if allowed and offer_id in allowed:
            of_machine = filter(allowed[offer_id].__contains__, of_machine)
            of_kind = filter(allowed[offer_id].__contains__, of_kind)
        found[offer_id] = _first_and_next(of_machine, of_kind, region, itself=offer_id)
    columns: dict[str, object] = {"gpus": gpus[wanted], "units": units[wanted].astype(float)}
    for place, name in enumerate(FALLBACKS):
        offer_ids = [found[offer_id][place] for offer_id in wanted]
        columns[name] = offer_ids
        instead = rate.reindex(offer_ids).to_numpy() * units[wanted].to_numpy(float)
        columns[f"{name}_usd_per_hour"] = instead
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
    of_machine: Iterator[str],
    of_kind: Iterator[str],
    region: Mapping[Hashable, str],
    *,
    itself: str,
) -> tuple[str | None, str | None]:
    """Return the two offers that replace one, of those accepted, which begin with the cheapest."""
    first = next((other for other in chain(of_machine, of_kind) if other != itself), None)
    if first is None:
        return None, None
    elsewhere = (other for other in of_kind if region[other] != region[first])
    return first, next((other for other in elsewhere if other != itself), None)
