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


def find_patterns(
    panel: Panel, *, listed: Panel | None = None, known: dict[str, np.ndarray] | None = None
) -> Patterns:
    """Put together offers of one group whose steps agree to 1 % in every cell.

    The group is the GPU model where there is one, else the provider. A price of zero is unknown. ``listed`` holds the
    on-demand offers of the same cells, from which discounts are counted. ``known``: what ``features.about`` returns of
    the offers, where that is known already.
    """
    log_price = np.log(np.where(panel.price > 0, panel.price, np.nan))
    model, provider = (panel.offers[name].astype(object) for name in ("gpu_model", "provider"))
    codes, names = pd.factorize(model.where(model.notna(), provider).to_numpy(), sort=True)
    parts = codes[None], np.rint(steps(log_price) * 100), np.isfinite(log_price)
    key = np.ascontiguousarray(np.vstack([part.astype(np.int16) for part in parts]).T)
    of_offer = pd.factorize(np.array([each.tobytes() for each in key], object), sort=True)[0]
    example = np.unique(of_offer, return_index=True)[1]
    if known is None:
        known = about(panel.offers, panel.offers.iloc[:0] if listed is None else listed.offers)
    info = {name: values[example] for name, values in known.items()}
    at = info["listed_at"]
    if listed is not None and (at >= 0).any():
        price = np.where(listed.price > 0, listed.price, np.nan)
        info["log_listed"] = np.log(np.where(at >= 0, price[:, at], np.nan))
    pace = max(int(pd.Timedelta(days=1) / panel.step), 1)
    return Patterns(log_price[:, example], codes[example], tuple(map(str, names)), of_offer, pace, info)
