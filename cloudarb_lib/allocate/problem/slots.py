"""Where machines run in each case: slots with their prices, the pools that they share, sites."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.eligible import EligibleOffers
from cloudarb_lib.allocate.problem.horizon import Horizon, future_of_path
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.tables.assumptions import Assumptions

GPUS_PER_OFFER = "capacity_gpus_per_market_offer"
"""Name of the assumption, before the source: GPUs of an offer that is priced by the GPU."""


@dataclass(frozen=True)
class Pools:
    """What offers share the capacity of, alike in each case."""

    names: pd.Index
    capacity: np.ndarray
    """GPUs of each pool."""
    of_offer: np.ndarray
    """Pool of each offer."""

    @classmethod
    def of(
        cls, offers: pd.DataFrame, assumptions: Assumptions, under_quota: np.ndarray | bool = False
    ) -> Pools:
        """Return the pools of offers.

        A pool is provider/region/option/GPU model, as large as assumed; offers whose record counts
        how many there are, and commitments held, are pools of their own, as large as counted.
        Where a quota says what may be rented (``under_quota``, an entry an offer) nothing is
        assumed: such a pool is without end, until ``with_room_for``.
        """
        has_quota = np.broadcast_to(under_quota, len(offers))
        is_held = offers["held"].notna()
        is_counted = offers["offer_count"].notna() & ~is_held
        is_shared = ~(is_counted | is_held)
        shared = ["provider", "region", "purchase_option", "gpu_model"]
        parts = offers[shared].astype(str)
        name = parts["provider"].str.cat(parts[shared[1:]], sep="/")
        name = name.where(is_shared, offers["offer_id"].astype(str))
        kind = offers["purchase_option"].str.cat(offers["gpu_model"].astype(str), "/")
        assumed = {
            k: assumptions.get(f"capacity_gpus/{k}", f"capacity_gpus/{k.split('/')[0]}")
            for k in kind[is_shared & ~has_quota].unique()
        }
        counted = [
            offers["held"] * offers["gpu_count"],
            offers["offer_count"] * _gpus_of_an_offer(offers, is_counted, assumptions),
        ]
        is_assumed = ~(is_held | is_counted | has_quota)
        gpus = pd.Series(
            np.select([is_held, is_counted, is_assumed], [*counted, kind.map(assumed)], np.inf)
        )
        of_offer, names = pd.factorize(name)
        return cls(names, gpus.groupby(of_offer).max().to_numpy(float), of_offer)

    def with_room_for(self, assignments: pd.DataFrame) -> Pools:
        """Return the pools, those without end as large as the most that work could use of them.

        Parameters
        ----------
        assignments
            With ``offer``, ``case``, ``pool_use`` and ``most``, infinite where nothing works.
        """
        work = assignments[np.isfinite(assignments["most"])]
        pool = self.of_offer[work["offer"]]
        gpus = (work["pool_use"] * work["most"]).groupby([pool, work["case"].to_numpy()]).sum()
        largest = gpus.groupby(level=0).max().reindex(range(len(self.names))).fillna(0.0)
        return replace(self, capacity=np.where(np.isinf(self.capacity), largest, self.capacity))

    def table(self, horizon: Horizon) -> pd.DataFrame:
        """Return ``Problem.pools``: each pool once in each case."""
        suffixes = [horizon.suffix(case) for case in horizon.cases]
        return pd.DataFrame(
            {
                "name": [name + suffix for suffix in suffixes for name in self.names],
                "capacity": np.tile(self.capacity, len(suffixes)),
            }
        )


def _gpus_of_an_offer(
    offers: pd.DataFrame, is_counted: pd.Series, assumptions: Assumptions
) -> pd.Series:
    """Return how many GPUs one offer has of those that a record counts.

    Those of its machine. A record that prices one GPU of machines whose size it does not tell says
    so by an assumption named after its source.
    """
    gpus = offers["gpu_count"].astype(float)
    if "source" not in offers:
        return gpus
    for source in offers.loc[is_counted, "source"].unique():
        name = f"{GPUS_PER_OFFER}/{source}"
        if assumptions.has(name):
            gpus = gpus.where(offers["source"] != source, assumptions.get(name))
    return gpus


@dataclass(frozen=True)
class SlotPrices:
    """What an hour costs in each slot: the offers in each period of each future."""

    mean: np.ndarray
    """Expected USD per instance-hour, by the probability of the future; shape (slots,)."""
    paths: np.ndarray | None = None
    """Of each sample path, averaged over the slot's period; shape (sample paths, slots)."""
    notes: tuple[str, ...] = ()


def slot_prices(offers: EligibleOffers, paths: Paths | None, horizon: Horizon) -> SlotPrices:
    """Return the prices of all slots.

    A sample path belongs to one future: slots of others cost nothing in it; expected prices take
    every path and count by the future's probability. An offer without paths keeps today's price.

    Raises
    ------
    ParameterError
        For more periods than the paths have steps.
    """
    today = offers.table["price_usd_per_hour"].to_numpy(float)
    probabilities = horizon.probabilities
    periods = horizon.periods
    if paths is None:
        return SlotPrices(np.outer(probabilities, np.tile(today, periods)).ravel())
    position = paths.offer_ids.get_indexer(pd.Index(offers.table["offer_id"].astype(str)))
    has_paths = position >= 0
    n_paths = paths.values.shape[1]
    period_of_step = _period_of_step(paths.values.shape[2], horizon)
    price = np.tile(today, (n_paths, periods, 1))
    for period in range(periods):
        steps = paths.values[position[has_paths]][:, :, period_of_step == period]
        price[:, period, has_paths] = steps.mean(axis=2).T
    price = price.reshape(n_paths, -1)
    future = future_of_path(probabilities, n_paths)
    is_own = future[:, None] == np.repeat(np.arange(len(probabilities)), price.shape[1])
    missing = int((~has_paths & ~offers.is_held).sum())
    note = f"{missing} offers have no price paths and keep today's price."
    return SlotPrices(
        mean=np.outer(probabilities, price.mean(axis=0)).ravel(),
        paths=np.tile(price, len(probabilities)) * is_own,
        notes=(note,) if missing else (),
    )


def _period_of_step(steps: int, horizon: Horizon) -> np.ndarray:
    """Return the period in which the middle of each step of the paths lies."""
    ends = np.cumsum(horizon.hours) / horizon.hours.sum()
    period = np.searchsorted(ends, (np.arange(steps) + 0.5) / steps)
    if len(np.unique(period)) < horizon.periods:
        raise ParameterError(
            f"{horizon.periods} periods on {steps} steps of prices.",
            "Plan fewer periods, or more steps.",
        )
    return period


def slots_and_sites(
    offers: EligibleOffers, pools: Pools, prices: SlotPrices, horizon: Horizon
) -> tuple[pd.DataFrame, pd.Index]:
    """Return ``Problem.slots``, every offer in the first case, then in the next; names of sites."""
    table = offers.table
    site, sites = pd.factorize(table["provider"].str.cat(table["region"], sep="/"))
    about = [
        "offer_id",
        "provider",
        "region",
        "zone",
        "gpu_model",
        "purchase_option",
        "observed_at",
    ]
    once = table[[column for column in about if column in table]].assign(
        site=site, on_demand=table["purchase_option"].eq("on_demand"), gpus=table["gpu_count"]
    )
    cases = len(horizon.cases)
    list_price = np.outer(horizon.case_probabilities, table["price_usd_per_hour"]).ravel()
    slots = pd.concat([once] * cases, ignore_index=True).assign(
        period=np.repeat(horizon.case_periods, len(offers)),
        pool=np.concatenate([pools.of_offer + k * len(pools.names) for k in range(cases)]),
        list_price=list_price,
        mean_price=prices.mean,
    )
    return slots, sites
