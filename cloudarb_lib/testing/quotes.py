"""Prices and offers as the checks of the store take them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.prices import MICROSECONDS_PER_DAY, NEVER

QuoteRow = tuple[str, float, float, float] | tuple[str, float, float, float, float]


def quotes(
    *rows: QuoteRow,
    gpu_model: str | None = "H100",
    vcpus: Mapping[str, float] | None = None,
    markets: Collection[str] = (),
    released: Mapping[tuple[str, float], float] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two frames that ``judge`` takes.

    Parameters
    ----------
    rows
        Offer id, GPUs of the machine, day on which the price takes effect, USD per hour (NaN:
        withdrawn), and the day on which it is seen where that is another.
    gpu_model
        Of all machines.
    vcpus
        By machine; others have 8.
    markets
        Providers whose prices are of a market.
    released
        Day on which a person called a price right, by offer id and day of effect.
    """
    table = pd.DataFrame(
        [(*row, row[2])[:5] for row in rows],
        columns=["offer_id", "gpu_count", "effective_day", "price", "seen_day"],
    )
    ids = table.drop_duplicates("offer_id").reset_index(drop=True)
    offers = ids["offer_id"].str.split("/", expand=True).set_axis(list(OFFER_PARTS), axis=1)
    offers["gpu_model"] = gpu_model
    offers["gpu_count"] = ids["gpu_count"].astype(float)
    offers["vcpus"] = [(vcpus or {}).get(name, 8.0) for name in offers["instance_type"]]
    keys = zip(table["offer_id"], table["effective_day"], strict=True)
    released_day = [(released or {}).get(key) for key in keys]
    prices = pd.DataFrame(
        {
            "offer": pd.Index(ids["offer_id"]).get_indexer(pd.Index(table["offer_id"])),
            "effective": _microseconds(table["effective_day"]),
            "observed": _microseconds(table["seen_day"]),
            "price": table["price"].astype(float),
            "administered": ~table["offer_id"].str.split("/").str[0].isin(list(markets)),
            "released": [
                NEVER if day is None else round(day * MICROSECONDS_PER_DAY) for day in released_day
            ],
        }
    )
    return prices, offers


def _microseconds(days: pd.Series) -> np.ndarray:
    microseconds: np.ndarray = (days * MICROSECONDS_PER_DAY).round().to_numpy(np.int64)
    return microseconds


def found_wrong(
    prices: pd.DataFrame, offers: pd.DataFrame, *kinds: str
) -> dict[tuple[str, float], float]:
    """Return since which day each wrong price is known, by offer id and day of effect.

    Parameters
    ----------
    prices, offers
        As ``quotes`` makes them.
    kinds
        Only flags of these kinds.
    """
    found = judge(prices, offers)
    found = found[found["quality"].isin(kinds)]
    of_row = prices.iloc[found["row"]]
    ids = offers[list(OFFER_PARTS)].agg("/".join, axis=1).iloc[of_row["offer"]]
    effective = of_row["effective"] / MICROSECONDS_PER_DAY
    since = found["flagged"] / MICROSECONDS_PER_DAY
    return dict(zip(zip(ids, effective, strict=True), since, strict=True))
