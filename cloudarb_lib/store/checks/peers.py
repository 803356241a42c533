"""A price per GPU-hour beside what is asked for the same model at that time.

Three kinds, all known when the price is seen:

- ``LOW_FOR_GPU``: a list price under half of what its own provider asks, by at least 4 offers.
- ``LOW_FOR_MARKET``: any price far under what the others ask, whoever they are.
- ``PRICE_OF_ONE_GPU``: a machine of several GPUs that costs what the others ask for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cloudarb_lib.store.checks import words
from cloudarb_lib.store.checks.prices import InForce, PriceRows, flags, medians, no_flags, quantiles
from cloudarb_lib.store.checks.words import usd

LOW_FOR_GPU = "glitch_low_for_gpu"
LOW_FOR_MARKET = "low_for_market"
PRICE_OF_ONE_GPU = "price_of_one_gpu"

LOW_SHARE = 0.5
"""Of the median of the provider's own offers: what a price, or the vCPUs of a machine, is low
under."""
FEWEST_PEERS = 4
"""Offers of the provider by which its own prices are judged; others by which the market is."""
LOWER_THIRD = 1 / 3
"""The level of the market is what a third of the peers ask less than: renters of GPUs and large
clouds ask very different prices, and a peer that is wrong itself must not decide."""
LOW_SHARE_OF_MARKET = 0.2
"""Of that level, with at least ``FEWEST_PEERS`` peers. On record the cheapest real offers beside so
many (autumn 2025) ask a quarter to a third of it; a price per GPU of 8 asks an eighth."""
LOW_SHARE_OF_FEW = 0.05
"""The same beside fewer, who may all be dear: GPU clouds ask down to 0.07 of the list prices of
the large clouds."""
SHARE_OF_ON_DEMAND = {
    ("on_demand", ""): 1.0,
    ("spot", ""): 0.3,
    ("reserved", "1y"): 0.6,
    ("reserved", "3y"): 0.4,
    ("reserved", "1y-plan"): 0.6,
    ("reserved", "3y-plan"): 0.4,
}
"""What an option usually costs beside on demand: brings the price of a peer that sells the model by
another option alone to the one that is judged."""
FEWEST_GPUS_OF_ONE_PRICE = 4
"""Of a machine that is held for the price of one GPU: half of what others ask is no rare price."""
FEWEST_PEERS_OF_ONE_PRICE = 2
"""Others that sell the model by the same option: a single one may be dear by as much."""
NEAR_ONE_PRICE = 1.25
"""Factor by which such a price may lie beyond what the others ask for one GPU."""
CELLS_AT_A_TIME = 4_000_000
"""Times by offers looked up at once: what bounds the memory."""


@dataclass(frozen=True)
class Pool:
    """The offers of one GPU model and their prices.

    Parameters
    ----------
    offers : DataFrame
        Indexed by offer, see ``judge.judge``; all of one ``gpu_model``.
    prices : PriceRows
        Those of these offers, sorted.
    """

    offers: pd.DataFrame
    prices: PriceRows

    @cached_property
    def column(self) -> np.ndarray:
        """Position in ``offers`` of the offer of each price."""
        return np.searchsorted(self.offers.index.to_numpy(), self.prices.offer)

    @cached_property
    def per_gpu(self) -> np.ndarray:
        """USD per GPU-hour of each price."""
        per_gpu: np.ndarray = self.prices.price / self.gpus[self.column]
        return per_gpu

    @cached_property
    def gpus(self) -> np.ndarray:
        """GPUs of each offer."""
        return self.offers["gpu_count"].to_numpy(float)

    @cached_property
    def provider(self) -> np.ndarray:
        """A number for the provider of each offer."""
        return pd.factorize(self.offers["provider"])[0]

    @cached_property
    def kind(self) -> np.ndarray:
        """A number for purchase option and term of each offer: position in SHARE_OF_ON_DEMAND."""
        keys = list(SHARE_OF_ON_DEMAND)
        pairs = zip(self.offers["purchase_option"], self.offers["term"], strict=True)
        return np.array([keys.index(pair) for pair in pairs], int)

    @cached_property
    def in_force(self) -> InForce:
        """Looks up the prices in force."""
        return InForce(self.prices)

    def asked_at(self, times: np.ndarray) -> np.ndarray:
        """Return USD per GPU-hour in force (times, offers), NaN where none was known yet."""
        rows = self.in_force.rows_at(self.offers.index.to_numpy()[None, :], times[:, None])
        return np.append(self.per_gpu, np.nan)[rows]

    def described(self, column: int) -> str:
        """Return what an offer is, for people: 'an H100 on demand'."""
        offer = self.offers.iloc[column]
        return f"{offer['gpu_model']} {words.option(offer['purchase_option'], offer['term'])}"


def low_for_gpu_and_market(pool: Pool, since: int) -> pd.DataFrame:
    """Find prices per GPU-hour that are too low beside their peers.

    Parameters
    ----------
    pool : Pool
        Offers of one GPU model.
    since : int
        Microseconds: prices seen earlier are not judged, they only stand beside the others.
    """
    suspects = np.flatnonzero(_is_suspect(pool) & (pool.prices.observed >= since))
    if not len(suspects):
        return no_flags()
    times, line = np.unique(pool.prices.observed[suspects], return_inverse=True)
    lines_at_a_time = max(1, CELLS_AT_A_TIME // len(pool.offers))
    found = []
    for first in range(0, len(times), lines_at_a_time):
        some = times[first : first + lines_at_a_time]
        is_of_these = (line >= first) & (line < first + lines_at_a_time)
        asked = pool.asked_at(some)
        here = suspects[is_of_these]
        at = line[is_of_these] - first
        levels = _Levels(pool, asked)
        found.append(_low_for_gpu(pool, here, at, asked))
        found.append(_low_for_market(pool, here, at, levels))
        found.append(_price_of_one_gpu(pool, here, at, levels))
    return pd.concat(found, ignore_index=True)


def _is_suspect(pool: Pool) -> np.ndarray:
    """Return which prices can be low at all: under the highest limit that any time may bring."""
    share = np.array(list(SHARE_OF_ON_DEMAND.values()))[pool.kind]
    highest = np.nanmax(pool.per_gpu / share[pool.column], initial=0.0)
    beside_market = pool.per_gpu < highest * share[pool.column] * LOW_SHARE_OF_MARKET
    group = pd.Series(pool.provider * len(SHARE_OF_ON_DEMAND) + pool.kind)[pool.column]
    own = pd.Series(pool.per_gpu, group.index).groupby(group.to_numpy()).transform("max")
    beside_own = (pool.per_gpu < own.to_numpy() * LOW_SHARE) & pool.prices.administered
    has_several = pool.gpus[pool.column] >= FEWEST_GPUS_OF_ONE_PRICE
    beside_one = has_several & (pool.per_gpu < highest * share[pool.column] * LOW_SHARE)
    return beside_market | beside_own | beside_one


def _low_for_gpu(pool: Pool, rows: np.ndarray, line: np.ndarray, asked: np.ndarray) -> pd.DataFrame:
    """Return the flags of list prices that are low beside those of their own provider.

    A small machine, with under half of the median vCPUs both per GPU and in all, is rightly
    cheaper. Spot prices fall region by region: where other machines with that GPU in the region
    stand low too, half of their level is the limit.
    """
    found = []
    group = pool.provider * len(SHARE_OF_ON_DEMAND) + pool.kind
    for number in np.unique(group[pool.column[rows]]):
        columns = np.flatnonzero(group == number)
        if len(columns) < FEWEST_PEERS:
            continue
        is_own = (group[pool.column[rows]] == number) & pool.prices.administered[rows]
        here = rows[is_own]
        at = line[is_own]
        own = asked[:, columns]
        median, count = (values[at] for values in quantiles(own, 0.5))
        place = np.searchsorted(columns, pool.column[here])
        machines = pool.offers.iloc[columns]
        is_low = (pool.per_gpu[here] < median * LOW_SHARE) & (count >= FEWEST_PEERS)
        is_low[is_low] = ~_is_small(machines, own)[at[is_low], place[is_low]]
        if machines["purchase_option"].iloc[0] == "spot":
            level = _level_beside(own, machines, at[is_low], place[is_low])
            is_low[is_low] = ~(pool.per_gpu[here[is_low]] >= level * LOW_SHARE)
        details = [
            f"{usd(pool.per_gpu[row])} USD per GPU-hour; {machines['provider'].iloc[0]} itself asks"
            f" {usd(usual)} in the middle of {offers} offers for {pool.described(pool.column[row])}"
            for row, usual, offers in zip(here[is_low], median[is_low], count[is_low], strict=True)
        ]
        low = here[is_low]
        found.append(flags(pool.prices.row[low], LOW_FOR_GPU, pool.prices.observed[low], details))
    return pd.concat(found, ignore_index=True) if found else no_flags()


def _is_small(machines: pd.DataFrame, asked: np.ndarray) -> np.ndarray:
    """Return where a machine is small beside those on offer (times, offers)."""
    small = np.full(asked.shape, True)
    for vcpus in (machines["vcpus"], machines["vcpus"] / machines["gpu_count"]):
        size = vcpus.to_numpy(float)
        usual = medians(asked * 0 + size)  # NaN where it is not on offer
        small &= size < usual[:, None] * LOW_SHARE
    return small


def _level_beside(
    asked: np.ndarray, machines: pd.DataFrame, lines: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return what other machines of the region ask per GPU at that time, NaN where none does."""
    region = machines["region"].to_numpy()
    machine = machines["instance_type"].to_numpy()
    levels = []
    for line, column in zip(lines, columns, strict=True):
        beside = (region == region[column]) & (machine != machine[column])
        levels.append(medians(asked[[line]][:, beside])[0])
    return np.array(levels)


def _low_for_market(
    pool: Pool, rows: np.ndarray, line: np.ndarray, levels: _Levels
) -> pd.DataFrame:
    """Return the flags of prices that are far under what the others ask.

    Of a market its own other prices say nothing, since its spikes are real.
    """
    found = []
    group = levels.group[pool.column[rows]]
    listed = pool.prices.administered[rows]
    for number, is_list in sorted(set(zip(group.tolist(), listed.tolist(), strict=True))):
        is_alike = (group == number) & (listed == is_list)
        here = rows[is_alike]
        at = line[is_alike]
        peers = levels.beside(number, with_own=is_list)[at]
        level, count = quantiles(peers, LOWER_THIRD)
        share = np.where(count >= FEWEST_PEERS, LOW_SHARE_OF_MARKET, LOW_SHARE_OF_FEW)
        is_low = pool.per_gpu[here] < level * share
        low = here[is_low]
        beside = zip(low, peers[is_low], strict=True)
        details = [_sentence(pool, row, asks[~np.isnan(asks)]) for row, asks in beside]
        found.append(
            flags(pool.prices.row[low], LOW_FOR_MARKET, pool.prices.observed[low], details)
        )
    return pd.concat(found, ignore_index=True) if found else no_flags()


def _price_of_one_gpu(
    pool: Pool, rows: np.ndarray, line: np.ndarray, levels: _Levels
) -> pd.DataFrame:
    """Return the flags of machines whose whole price is what the others ask for one of their GPUs.

    Per GPU it is under half of the least of them too. So a price per GPU is found also where the
    provider is dear, and sells the GPU in machines of one size only.
    """
    found = []
    has_several = pool.gpus[pool.column[rows]] >= FEWEST_GPUS_OF_ONE_PRICE
    group = levels.group[pool.column[rows]]
    for number in np.unique(group[has_several]):
        is_of_group = has_several & (group == number)
        here = rows[is_of_group]
        peers = levels.alike(number)[line[is_of_group]]
        is_asked = ~np.isnan(peers)
        least = np.min(peers, axis=1, initial=np.inf, where=is_asked)
        most = np.max(peers, axis=1, initial=0.0, where=is_asked)
        price = pool.prices.price[here]
        is_one = (price >= least / NEAR_ONE_PRICE) & (price <= most * NEAR_ONE_PRICE)
        is_one &= pool.per_gpu[here] < least * LOW_SHARE
        is_one &= is_asked.sum(axis=1) >= FEWEST_PEERS_OF_ONE_PRICE
        low = here[is_one]
        asks = [asked[~np.isnan(asked)] for asked in peers[is_one]]
        details = [_of_one_gpu(pool, *pair) for pair in zip(low, asks, strict=True)]
        found.append(
            flags(pool.prices.row[low], PRICE_OF_ONE_GPU, pool.prices.observed[low], details)
        )
    return pd.concat(found, ignore_index=True) if found else no_flags()


class _Levels:
    """What each provider asks per GPU-hour at some times: the median of its offers.

    Parameters
    ----------
    pool : Pool
        Offers of one GPU model.
    asked : array
        USD per GPU-hour (times, offers).
    """

    def __init__(self, pool: Pool, asked: np.ndarray) -> None:
        self.group = pool.provider * len(SHARE_OF_ON_DEMAND) + pool.kind
        """Provider and kind of each offer as one number."""
        self._shares = np.array(list(SHARE_OF_ON_DEMAND.values()))
        self._alike = {
            number: quantiles(asked[:, self.group == number], 0.5)
            for number in np.unique(self.group)
        }
        self._times = len(asked)
        as_on_demand = asked / self._shares[pool.kind]
        self._any_kind = {
            provider: medians(as_on_demand[:, pool.provider == provider])
            for provider in np.unique(pool.provider)
        }

    def alike(self, group: int) -> np.ndarray:
        """Return what other providers ask by the option of a group (times, peers), NaN: nothing."""
        own, kind = divmod(group, len(self._shares))
        levels = [
            level
            for number, (level, _) in self._alike.items()
            if number % len(self._shares) == kind and number // len(self._shares) != own
        ]
        return np.column_stack([np.full(self._times, np.nan), *levels])

    def beside(self, group: int, *, with_own: bool) -> np.ndarray:
        """Return what the peers of a group ask (times, peers), NaN where one asks nothing yet.

        Each other provider counts once. One that sells the model by other options alone counts by
        these, brought to the option by ``SHARE_OF_ON_DEMAND``. ``with_own`` lets the offers of the
        group count as one more peer where there are at least two.
        """
        own, kind = divmod(group, len(self._shares))
        levels = [np.full(self._times, np.nan)]
        for provider, as_on_demand in self._any_kind.items():
            level, count = self._alike.get(
                provider * len(self._shares) + kind, (as_on_demand * np.nan, 0)
            )
            if provider != own:
                brought = as_on_demand * self._shares[kind]
                levels.append(np.where(np.isnan(level), brought, level))
            elif with_own:
                levels.append(np.where(count >= 2, level, np.nan))
        return np.column_stack(levels)


def _sentence(pool: Pool, row: int, levels: np.ndarray) -> str:
    spread = usd(levels.min())
    if len(levels) > 1:
        spread = f"{spread} to {usd(levels.max())}"
    asks = "peer asks" if len(levels) == 1 else "peers ask"
    return (
        f"{usd(pool.per_gpu[row])} USD per GPU-hour; {len(levels)} {asks} {spread}"
        f" for {pool.described(pool.column[row])}: held until somebody confirms it."
    )


def _of_one_gpu(pool: Pool, row: int, asks: np.ndarray) -> str:
    column = pool.column[row]
    return (
        f"{usd(pool.prices.price[row])} USD/h for {words.gpus(pool.gpus[column])} is what"
        f" {len(asks)} peers ask for one ({usd(asks.min())} to {usd(asks.max())} for"
        f" {pool.described(column)}): a price per GPU? Held until somebody confirms it."
    )
