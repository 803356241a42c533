"""Errors of price lists, found from what was known when each price was seen.

Only administered prices are judged: the spikes of a market are real. A flag depends on nothing
observed after its flagged_at, so a later record never changes one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

OK, REVERTED, LOW_FOR_GPU = 0, 1, 2
"""Positions in ``schema.QUALITIES``."""

_JUMP = 0.5
_BACK = 0.1
_WITHIN = int(3 * 86_400e6)
_PEERS = 4


def flag(rows: pd.DataFrame, series: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return quality codes and flagged_at (microseconds, -1 where ok) of administered prices.

    ``rows`` has one row per price: offer (position in ``series``), effective and observed
    (microseconds), price (NaN: withdrawn). ``series`` has provider, region, purchase_option,
    term, gpu_model, gpu_count and vcpus per offer.

    reverted: the price moves by more than half of the last good one and a price seen within
    3 days of the move is back within 10 % of it; all in between that are further off are
    flagged, from the time the return was seen. low_for_gpu: the price per GPU is under half of
    the median that the provider asks at that time for the GPU model on the same option and
    term, among machines with a like share of vCPUs (a machine with few is rightly cheaper), at
    least 4 of them. A spot price is spared when another machine with that GPU costs within 10 %
    of it per GPU in the same region: a region that falls as a whole has moved, not slipped.
    """
    quality = np.zeros(len(rows), np.int8)
    flagged = np.full(len(rows), -1, np.int64)
    columns = {name: rows[name].to_numpy() for name in ("offer", "effective", "observed", "price")}
    order = np.lexsort((columns["effective"], columns["observed"], columns["offer"]))
    offer, effective, observed, price = (columns[name][order] for name in columns)
    # Rows that took effect before one already seen (corrections, backfills) judge nothing.
    _, rank = np.unique(effective, return_inverse=True)
    place = offer * (rank.max(initial=0) + 1) + rank
    latest = np.maximum.accumulate(place) if len(place) else place
    first = np.append(True, place[1:] > latest[:-1])[: len(place)]
    # Low prices first: they are known at once, so no other flag could be earlier.
    gpu = (series["gpu_count"] > 0).to_numpy() & series["gpu_model"].notna().to_numpy()
    pools = series[gpu].groupby(["provider", "gpu_model", "purchase_option", "term"], observed=True)
    pool = np.full(len(series), -1)
    pool[np.flatnonzero(gpu)] = pools.ngroup().to_numpy()
    priced = np.flatnonzero(pool[offer] >= 0)
    priced = priced[np.argsort(pool[offer[priced]], kind="stable")]
    edges = np.flatnonzero(np.diff(pool[offer[priced]])) + 1
    for part in np.split(priced, edges) if len(priced) else ():
        low = part[_low(offer[part], observed[part], price[part], first[part], series)]
        quality[order[low]], flagged[order[low]] = LOW_FOR_GPU, observed[low]
    chain = np.flatnonzero(first & ~np.isnan(price))
    for start, j in _reverts(offer[chain], effective[chain], price[chain]):
        base, inner = chain[start - 1], chain[start:j]
        off = inner[np.abs(price[inner] / price[base] - 1) > _BACK]
        off = order[off[quality[order[off]] == OK]]
        if quality[order[base]] == OK:
            quality[off], flagged[off] = REVERTED, observed[chain[j]]
    return quality, flagged


def _reverts(offer: np.ndarray, effective: np.ndarray, price: np.ndarray) -> list[tuple[int, int]]:
    """Return (first row off, row that is back) in the order in which the returns were seen."""
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = (offer[1:] == offer[:-1]) & (np.abs(price[1:] / price[:-1] - 1) > _JUMP)
    found = []
    for start in np.flatnonzero(jump) + 1:
        base = price[start - 1]
        j = start + 1
        while (
            j < len(offer)
            and offer[j] == offer[start]
            and effective[j] - effective[start] <= _WITHIN
        ):
            if abs(price[j] / base - 1) <= _BACK:
                found.append((int(start), j))
            j += 1
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


def _low(
    offer: np.ndarray,
    observed: np.ndarray,
    price: np.ndarray,
    first: np.ndarray,
    series: pd.DataFrame,
) -> np.ndarray:
    """Return which rows of one pool are too low; rows come sorted by offer and observed."""
    members, column = np.unique(offer, return_inverse=True)
    times, line = np.unique(observed, return_inverse=True)
    about = series.iloc[members]
    gpus = about["gpu_count"].to_numpy(float)
    value = price / gpus[column]
    at = np.full((len(times), len(members)), -1)
    at[line[first], column[first]] = np.flatnonzero(first)
    np.maximum.accumulate(at, axis=0, out=at)
    known = np.append(value, np.nan)[at]
    share = about["vcpus"].to_numpy(float) / gpus
    size = np.where(share > 0, np.round(np.log2(np.where(share > 0, share, 1))), -99)
    limit, peers = np.full(known.shape, np.nan), np.zeros(known.shape, int)
    for one in np.unique(size):
        like = size == one
        ordered = np.sort(known[:, like], axis=1)
        count = (~np.isnan(ordered)).sum(axis=1)
        rows, low, high = np.arange(len(times)), np.maximum(count - 1, 0) // 2, count // 2
        high = np.minimum(high, ordered.shape[1] - 1)
        limit[:, like] = ((ordered[rows, low] + ordered[rows, high]) / 4)[:, None]
        peers[:, like] = count[:, None]
    low = np.flatnonzero((value < limit[line, column]) & (peers[line, column] >= _PEERS))
    if len(low) and about["purchase_option"].iloc[0] == "spot":
        place = (about["region"].astype(str) + "/" + about["zone"].astype(str)).to_numpy()
        kind = about["instance_type"].astype(str).to_numpy()
        level = known / limit
        stays = np.ones(len(low), bool)
        for i, (t, c) in enumerate(zip(line[low], column[low], strict=True)):
            beside = level[t, (place == place[c]) & (kind != kind[c])]
            beside = beside[~np.isnan(beside)]
            stays[i] = not len(beside) or value[low[i]] / limit[t, c] < np.median(beside) / 2
        low = low[stays]
    return low
