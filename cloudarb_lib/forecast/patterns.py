"""Which offers are forecast, and which of them share one price pattern and are modelled once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.features import about, steps


@dataclass(frozen=True)
class Patterns:
    """Series that share one price pattern, modelled once: ``log_price`` (times, patterns), ``groups``
    their codes into ``group_names``, ``of_offer`` the pattern of each offer of the panel, ``pace`` as in
    ``Task``; ``about`` as from ``features.about``, of an offer of each pattern, with ``log_listed`` and its ``step``."""

    log_price: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    of_offer: np.ndarray
    pace: int = 1
    about: dict[str, np.ndarray] = field(default_factory=dict)


def is_moving(offers: pd.DataFrame) -> np.ndarray:
    """Return which offers the ensemble forecasts: spot, and whatever a market prices."""
    return np.asarray(offers["purchase_option"].eq("spot") | offers["price_kind"].eq("market"))


def find_patterns(
    panel: Panel, *, listed: Panel | None = None, known: Patterns | None = None
) -> Patterns:
    """Put together offers of one group whose steps agree to 1 % in every cell.

    The group is the GPU model where there is one, else the provider. A price of zero is unknown. ``listed`` holds the
    on-demand offers of the same cells, from which discounts are counted. ``known`` are the patterns of the panel's
    beginning, where there are some: as long as no offer leaves its own, only the cells after it are looked at.
    """
    price = panel.price[len(known.log_price) - 1 if known else 0 :]
    log_price = np.log(np.where(price > 0, price, np.nan))
    step, seen = steps(log_price), np.isfinite(log_price)
    key = np.vstack([part.astype(np.int16) for part in (np.rint(step * 100), seen)])
    if known:
        example = np.unique(known.of_offer, return_index=True)[1]
        new = seen.any(axis=0) & ~seen[0]  # by how much it stepped, only the beginning tells
        if new.any() or (key != key[:, example[known.of_offer]]).any():
            return find_patterns(panel, listed=listed)
        log_price = np.concatenate([known.log_price, log_price[1:, example]])
        info = known.about | {"step": np.concatenate([known.about["step"], step[1:, example]])}
        groups, names, of_offer = known.groups, known.group_names, known.of_offer
    else:
        model, provider = (panel.offers[name].astype(object) for name in ("gpu_model", "provider"))
        codes, kinds = pd.factorize(model.where(model.notna(), provider).to_numpy(), sort=True)
        key = np.ascontiguousarray(np.vstack([codes.astype(np.int16), key]).T)
        of_offer = pd.factorize(np.array([each.tobytes() for each in key], object), sort=True)[0]
        example = np.unique(of_offer, return_index=True)[1]
        info = about(panel.offers, panel.offers.iloc[:0] if listed is None else listed.offers)
        info = {name: values[example] for name, values in info.items()} | {"step": step[:, example]}
        log_price, groups, names = log_price[:, example], codes[example], tuple(map(str, kinds))
    at = info["listed_at"]
    if listed is not None and (at >= 0).any():
        price = np.where(listed.price > 0, listed.price, np.nan)
        info["log_listed"] = np.log(np.where(at >= 0, price[:, at], np.nan))
    pace = max(int(pd.Timedelta(days=1) / panel.step), 1)
    return Patterns(log_price, groups, names, of_offer, pace, info)
