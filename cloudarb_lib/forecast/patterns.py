"""Which offers are forecast, and which of them share one price pattern and are modelled once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cloudarb_lib.features import about, steps
from cloudarb_lib.types import Panel


@dataclass(frozen=True)
class Patterns:
    """Series that share one price pattern, modelled once: ``log_price`` (times, patterns), ``groups``
    their codes into ``group_names``, ``of_offer`` the pattern of each offer of the panel, ``pace`` as in
    ``Task``; ``about`` as from ``features.about``, of an offer of each pattern."""

    log_price: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    of_offer: np.ndarray
    pace: int = 1
    about: dict[str, np.ndarray] = field(default_factory=dict)


def is_moving(offers: pd.DataFrame) -> np.ndarray:
    """Return which offers the ensemble forecasts: spot, and whatever a market prices."""
    return np.asarray(offers["purchase_option"].eq("spot") | offers["price_kind"].eq("market"))


def find_patterns(panel: Panel, *, listed: Panel | None = None, known: Patterns | None = None) -> Patterns:
    """Put together offers of one group whose steps agree to 1 % in every cell.

    The group is the GPU model where there is one, else the provider. A price of zero is unknown. ``listed`` holds the
    on-demand offers of the same cells, from which discounts are counted. ``known`` are the
    patterns of the panel's beginning, where there are some: then only the cells after it are looked at.
    """
    first = len(known.log_price) - 1 if known else 0
    price = panel.price[first:]
    log_price = np.log(np.where(price > 0, price, np.nan))
    seen = np.isfinite(log_price)
    if known and (seen[1:].any(axis=0) & ~seen[0]).any():  # by how much it stepped, only the beginning tells
        return find_patterns(panel, listed=listed)
    if known:
        codes, names = known.of_offer, known.group_names
    else:
        model, provider = (panel.offers[name].astype(object) for name in ("gpu_model", "provider"))
        codes, kinds = pd.factorize(model.where(model.notna(), provider).to_numpy(), sort=True)
        names = tuple(map(str, kinds))
    key = np.vstack([codes, np.round(steps(log_price) * 100), seen]).T.astype(np.int32)
    digest = np.ascontiguousarray(key).view(f"V{4 * key.shape[1]}").ravel()
    _, example, of_offer = np.unique(digest, return_index=True, return_inverse=True)
    pace = max(int(pd.Timedelta(days=1) / panel.step), 1)
    groups = codes[example]
    if known:
        order = np.argsort(groups, kind="stable")  # who stayed together keeps its place
        example, of_offer, old = example[order], np.argsort(order)[of_offer], groups[order]
        log_price = np.concatenate([known.log_price[:, old], log_price[1:, example]])
        groups, info = known.groups[old], {name: values[old] for name, values in known.about.items()}
    else:
        log_price, nothing = log_price[:, example], panel.offers.iloc[:0]
        info = about(panel.offers.iloc[example], nothing if listed is None else listed.offers)
    at = info["listed_at"]
    if listed is not None and (at >= 0).any():
        price = np.where((listed.price > 0), listed.price, np.nan)
        info["log_listed"] = np.log(np.where(at >= 0, price[:, at], np.nan))
    return Patterns(log_price, groups, names, of_offer, pace, info)
