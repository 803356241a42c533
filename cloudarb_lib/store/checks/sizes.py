"""One price for machines of several sizes: a price per GPU that was taken for the machine's.

A family is what one provider sells of one GPU model by one option in one place. Its machine with
one GPU stands; those with more at the same price are held.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.store.checks.prices import NEVER, PriceRows, flags, no_flags
from cloudarb_lib.store.checks.words import gpus, usd

ONE_PRICE = "one_price_for_all_sizes"

ALIKE_WITHIN = 0.01
"""Share by which two prices may differ and still be one."""
SIZES_OF_LIST = 2
"""Sizes that share a price of a list before the larger ones are held: no list on record has two."""
SIZES_OF_MARKET = 3
"""The same of a market, where two hosts may ask the same by chance."""
FAMILY = ["provider", "region", "zone", "purchase_option", "term", "gpu_model"]


def one_price_for_sizes(prices: PriceRows, offers: pd.DataFrame) -> pd.DataFrame:
    """Find the larger machines of families in which several sizes have one price.

    Known from the first moment at which the prices stand beside each other. A smaller machine with
    more vCPUs may rightly cost as much.

    Parameters
    ----------
    prices : PriceRows
        Sorted.
    offers : DataFrame
        Those with a GPU, indexed by offer, see ``judge.judge``.
    """
    quoted = _quoted(prices, offers)
    if not len(quoted):
        return no_flags()
    pairs = _stand_together(quoted)
    pairs = pairs.sort_values(["position", "since", "gpu_count_beside"], kind="stable")
    pairs = pairs.drop_duplicates(["position", "gpu_count_beside"])
    needed = np.where(prices.administered[pairs["position"]], SIZES_OF_LIST, SIZES_OF_MARKET)
    other_sizes = pairs.groupby("position").cumcount() + 1
    pairs = pairs[other_sizes == needed - 1]  # the one by which enough stand beside each other
    pairs = pairs[(pairs["gpu_count"] > 1) | (pairs["gpu_count_beside"] < pairs["gpu_count"])]
    details = [_sentence(pair) for _, pair in pairs.iterrows()]
    rows = prices.row[pairs["position"].to_numpy(int)]
    return flags(rows, ONE_PRICE, pairs["since"].to_numpy(np.int64), details)


def _quoted(prices: PriceRows, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the prices in force of families with several sizes, from when until when they are."""
    family = offers.groupby(FAMILY).ngroup()
    sizes = offers["gpu_count"].groupby(family).transform("nunique")
    several = offers.assign(family=family)[sizes > 1]
    rows = np.flatnonzero(prices.judges & np.isin(prices.offer, several.index))
    judging = prices.take(rows)
    end = np.append(judging.observed[1:], NEVER)
    is_last = np.append(judging.offer[1:] != judging.offer[:-1], True)[: len(rows)]
    of_offer = several.loc[judging.offer]
    quoted = pd.DataFrame(
        {
            "position": rows,
            "family": of_offer["family"].to_numpy(),
            "instance_type": of_offer["instance_type"].to_numpy(),
            "gpu_count": of_offer["gpu_count"].to_numpy(float),
            "vcpus": of_offer["vcpus"].to_numpy(float),
            "offer": judging.offer,
            "price": judging.price,
            "start": judging.observed,
            "end": np.where(is_last, NEVER, end[: len(rows)]),
        }
    )
    return quoted[quoted["price"].notna() & (quoted["start"] < quoted["end"])]


def _stand_together(quoted: pd.DataFrame) -> pd.DataFrame:
    """Return each price with the same price of another size that is in force at some time of it.

    The prices beside it are taken as spans in which an offer does not change its price, so that a
    price repeated a thousand times counts once.
    """
    changed = (
        (quoted["offer"] != quoted["offer"].shift())
        | (quoted["price"] != quoted["price"].shift())
        | (quoted["start"] != quoted["end"].shift())
    )
    spans = quoted.groupby(changed.cumsum()).agg(
        family=("family", "first"),
        instance_type=("instance_type", "first"),
        gpu_count=("gpu_count", "first"),
        vcpus=("vcpus", "first"),
        price=("price", "first"),
        start=("start", "min"),
        end=("end", "max"),
    )
    width = np.log1p(ALIKE_WITHIN)
    cell = np.floor(np.log(quoted["price"]) / width)
    spans = spans.assign(cell=np.floor(np.log(spans["price"]) / width))
    found = []
    for step in (-1, 0, 1):
        own = quoted.assign(cell=cell + step)
        pairs = own.merge(spans, on=["family", "cell"], suffixes=("", "_beside"))
        ratio = pairs["price"] / pairs["price_beside"]
        alike = (ratio < 1 + ALIKE_WITHIN) & (ratio > 1 / (1 + ALIKE_WITHIN))
        overlap = (pairs["start_beside"] < pairs["end"]) & (pairs["start"] < pairs["end_beside"])
        more_gpus = pairs["gpu_count"] - pairs["gpu_count_beside"]
        more_vcpus = pairs["vcpus"] - pairs["vcpus_beside"]
        rightly = (more_gpus * more_vcpus < 0) | (more_gpus == 0)
        found.append(pairs[alike & overlap & ~rightly])
    together = pd.concat(found, ignore_index=True)
    return together.assign(since=together[["start", "start_beside"]].max(axis=1))


def _sentence(pair: pd.Series) -> str:
    return (
        f"{usd(pair['price'])} USD/h for {gpus(pair['gpu_count'])}, and {usd(pair['price_beside'])}"
        f" for {gpus(pair['gpu_count_beside'])} ({pair['instance_type_beside']}): a price per GPU?"
        " Held, since more GPUs cost more."
    )
