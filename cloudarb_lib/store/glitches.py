"""Errors of price lists, found from what was known when each price was seen.

Only administered prices are judged: the spikes of a market are real. A flag depends on nothing
observed after its flagged_at, so a later record never changes one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

OK, REVERTED, LOW_FOR_GPU = 0, 1, 2
"""Positions in ``schema.QUALITIES``."""

_JUMP, _BACK, _PEERS = 0.5, 0.1, 4
_WITHIN = int(3 * 86_400e6)


def flag(rows: pd.DataFrame, gpus: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return quality codes and flagged_at (microseconds, -1 where ok) of administered prices.

    ``rows`` has one row per price: offer (a number), effective and observed (microseconds) and price (NaN:
    withdrawn). ``gpus``, indexed by offer, has its parts, gpu_model, gpu_count and vcpus.

    low_for_gpu, known when it is seen: the price per GPU is under half of the median that the provider asks
    at that time for the GPU model on the same option and term, of at least 4 offers. A small machine, with
    under half of their median vCPUs both per GPU and in all, is rightly cheaper. Spot prices fall region by
    region: where other machines with that GPU in the region stand low too, half of their level is the limit.

    reverted, known when the return is seen: the price moves by more than half of a good one, and a price that
    takes effect within 3 days is back within 10 % of it; what lies between and is further off is flagged.
    """
    quality, flagged = np.zeros(len(rows), np.int8), np.full(len(rows), -1)
    columns = [rows[name].to_numpy() for name in ("effective", "observed", "offer", "price")]
    order = np.lexsort(columns[:3])
    effective, observed, offer, price = (values[order] for values in columns)
    # Rows that took effect before one already seen (corrections, backfills) judge no other.
    _, rank = np.unique(effective, return_inverse=True)
    place = offer * (rank.max(initial=0) + 1) + rank
    first = np.append(True, place[1:] > np.maximum.accumulate(place)[:-1])[: len(place)]
    pools = pd.Series(offer).map(
        gpus.groupby(["provider", "gpu_model", "purchase_option", "term"]).ngroup()
    )
    for part in pools.groupby(pools).indices.values():
        low = part[_low(offer[part], observed[part], price[part], first[part], gpus)]
        quality[order[low]], flagged[order[low]] = LOW_FOR_GPU, observed[low]
    chain = np.flatnonzero(first & ~np.isnan(price))
    for start, back in _reverts(offer[chain], effective[chain], price[chain]):
        base, inner = chain[start - 1], chain[start:back]
        off = order[inner[np.abs(price[inner] / price[base] - 1) > _BACK]]
        if quality[order[base]] == OK:
            off = off[quality[off] == OK]
            quality[off], flagged[off] = REVERTED, observed[chain[back]]
    return quality, flagged


def _reverts(offer: np.ndarray, effective: np.ndarray, price: np.ndarray) -> list[tuple[int, int]]:
    """Return (first row off, row that is back) in the order in which the returns were seen."""
    jump = (offer[1:] == offer[:-1]) & (np.abs(price[1:] / price[:-1] - 1) > _JUMP)
    found = []
    for start in (np.flatnonzero(jump) + 1).tolist():
        for back in range(start + 1, len(offer)):
            if offer[back] != offer[start] or effective[back] - effective[start] > _WITHIN:
                break
            if abs(price[back] / price[start - 1] - 1) <= _BACK:
                found.append((start, back))
    return sorted(found, key=lambda pair: pair[::-1])


def _low(
    offer: np.ndarray,
    observed: np.ndarray,
    price: np.ndarray,
    first: np.ndarray,
    gpus: pd.DataFrame,
) -> np.ndarray:
    """Return which rows of one pool are too low; rows come sorted by offer and observed."""
    members, column = np.unique(offer, return_inverse=True)
    times, line = np.unique(observed, return_inverse=True)
    about = gpus.loc[members]
    value = price / about["gpu_count"].to_numpy(float)[column]
    at = np.full((len(times), len(members)), -1)
    np.maximum.at(at, (line[first], column[first]), np.flatnonzero(first))
    known = pd.DataFrame(np.append(value, np.nan)[np.maximum.accumulate(at, axis=0)])
    limit = known.median(axis=1).to_numpy() / 2
    low = (value < limit[line]) & (known.count(axis=1).to_numpy()[line] >= _PEERS)
    small = np.full(known.shape, True)
    for vcpus in (
        about["vcpus"].to_numpy(float),
        (about["vcpus"] / about["gpu_count"]).to_numpy(float),
    ):
        small &= vcpus < (known * 0 + vcpus).median(axis=1).to_numpy()[:, None] / 2
    low = np.flatnonzero(low & ~small[line, column])
    if about["purchase_option"].iloc[0] != "spot":
        return low
    region, machine = about["region"].to_numpy(), about["instance_type"].to_numpy()
    beside = [
        known.loc[t, (region == region[c]) & (machine != machine[c])].dropna().median()
        for t, c in zip(line[low], column[low], strict=True)
    ]
    return low[~(value[low] >= np.array(beside) / 2)]  # also where there is none
