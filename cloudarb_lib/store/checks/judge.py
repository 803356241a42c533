"""All checks over prices and their offers: which prices are wrong, why, and since when."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.store.checks.commitments import over_on_demand
from cloudarb_lib.store.checks.own_history import fell, lowest_spot, reverted
from cloudarb_lib.store.checks.peers import Pool, low_for_gpu_and_market
from cloudarb_lib.store.checks.prices import NEVER, PriceRows, column_of, in_order
from cloudarb_lib.store.checks.sizes import one_price_for_sizes

_MACHINE_AND_PLACE = ["provider", "region", "zone", "instance_type"]


def judge(rows: pd.DataFrame, offers: pd.DataFrame) -> pd.DataFrame:
    """Find the prices that cannot be right.

    Parameters
    ----------
    rows : DataFrame
        One row per price: ``offer`` (position in ``offers``), ``effective`` and ``observed``
        (microseconds), ``price`` (USD per hour of the machine, NaN: withdrawn); where known
        ``administered`` (default: true), ``released`` and ``wrong`` (microseconds at which a person
        called it right, and from which it was known to be wrong; ``NEVER``: not).
    offers : DataFrame
        The parts of each offer, ``gpu_model`` (null: none), ``gpu_count`` and ``vcpus`` (NaN:
        unknown); where known ``since`` (microseconds): flags of earlier are left out, and earlier
        prices may be missing but for the one in force then.

    Returns
    -------
    DataFrame
        ``FLAG_COLUMNS``: for each wrong price the flag that was first known. Where a list came
        back there is ``glitch_reverted`` from then on too, and it replaces the other.

    Notes
    -----
    A flag depends on nothing observed after it, so a later record never changes one.
    """
    prices = in_order(rows)
    offers = offers.reset_index(drop=True)
    since = column_of(offers, "since", 0)
    with_gpu = offers[(offers["gpu_count"] > 0) & offers["gpu_model"].notna()]
    found = [one_price_for_sizes(prices, with_gpu), *_beside_peers(prices, with_gpu)]
    floor = lowest_spot(prices, on_demand_of(offers, "spot"))
    is_commitment = (offers["purchase_option"] == "reserved").to_numpy()[prices.offer]
    wrong = column_of(rows, "wrong", NEVER)

    def fell_of(which: np.ndarray) -> pd.DataFrame:
        wrong_from = _wrong_from(prices, wrong, found)
        return fell(prices.take(which), floor[which], wrong_from[which])

    found.append(fell_of(~is_commitment))
    on_demand = on_demand_of(offers, "reserved")
    wrong_from = _wrong_from(prices, wrong, found)
    found.append(over_on_demand(prices, offers, on_demand, wrong_from))
    found.append(fell_of(is_commitment))
    first = pd.concat(found, ignore_index=True)
    first = first.sort_values("flagged", kind="stable").drop_duplicates("row")
    back = reverted(prices, _wrong_from(prices, wrong, [first]))
    both = pd.concat([first, back], ignore_index=True).sort_values(["row", "flagged"])
    return both[both["flagged"].to_numpy() >= since[rows["offer"].to_numpy()[both["row"]]]]


def _beside_peers(prices: PriceRows, offers: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the flags of each GPU model."""
    since = column_of(offers, "since", 0)
    found = []
    for places in offers.groupby("gpu_model").indices.values():
        models = offers.iloc[places]
        of_model = prices.take(np.isin(prices.offer, models.index))
        found.append(low_for_gpu_and_market(Pool(models, of_model), int(since[places].min())))
    return found


def on_demand_of(offers: pd.DataFrame, option: str) -> np.ndarray:
    """Return for each offer of an option the one on demand of its machine and place, else -1.

    A zonal offer is set beside the regional one where its zone has none.
    """
    keyed = offers[_MACHINE_AND_PLACE].reset_index()
    on_demand = keyed[(offers["purchase_option"] == "on_demand").to_numpy()]
    wanted = keyed[(offers["purchase_option"] == option).to_numpy()]
    found = np.full(len(offers), -1)
    for place in (wanted.assign(zone=""), wanted):
        both = place.merge(on_demand, on=_MACHINE_AND_PLACE, suffixes=("", "_on_demand"))
        found[both["index"]] = both["index_on_demand"]
    return found


def _wrong_from(prices: PriceRows, wrong: np.ndarray, found: list[pd.DataFrame]) -> np.ndarray:
    """Return since when each sorted price is known to be wrong, ``NEVER`` where it is not."""
    since = wrong.copy()
    for flags in found:
        np.minimum.at(since, flags["row"].to_numpy(int), flags["flagged"].to_numpy(np.int64))
    return since[prices.row]
