"""Which offers are forecast, and which of them share one price pattern and are modelled once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.features import offer_attributes, price_steps


@dataclass(frozen=True)
class Patterns:
    """Series that share one price pattern, modelled once.

    Attributes
    ----------
    log_price : (times, patterns), NaN where no price is known.
    groups : (patterns,), their codes into ``group_names``.
    of_offer : (offers of the panel,), the pattern of each.
    cells_per_day : 1 where a cell is a day or longer.
    about : as from ``features.offer_attributes``, of an offer of each pattern, with
        ``price_steps``, and with ``log_listed`` where there are on-demand prices.
    """

    log_price: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    of_offer: np.ndarray
    cells_per_day: int = 1
    about: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def is_market(self) -> np.ndarray:
        """Which series are those of a market (patterns,)."""
        return self.about["is_market"]

    def select(self, keep: np.ndarray) -> Patterns:
        """Return the patterns for which ``keep`` holds.

        ``of_offer`` is then of those offers that follow one of them.
        """
        by_time = ("price_steps", "log_listed")
        about = {
            name: values[:, keep] if name in by_time else values[keep]
            for name, values in self.about.items()
        }
        kinds, groups = np.unique(self.groups[keep], return_inverse=True)
        position = np.cumsum(keep) - 1
        return Patterns(
            self.log_price[:, keep],
            groups,
            tuple(self.group_names[kind] for kind in kinds),
            position[self.of_offer[keep[self.of_offer]]],
            self.cells_per_day,
            about,
        )


def is_market(offers: pd.DataFrame, step: pd.Timedelta) -> np.ndarray:
    """Return which offers the ensemble forecasts; the others are list prices.

    What a market prices, and spot prices that are followed from hour to hour.
    """
    by_the_hour = offers["purchase_option"].eq("spot") & (step < pd.Timedelta(days=1))
    return np.asarray(offers["price_kind"].eq("market") | by_the_hour)


def is_moving(offers: pd.DataFrame) -> np.ndarray:
    """Return which offers move often: spot, and whatever a market prices."""
    return np.asarray(offers["purchase_option"].eq("spot") | offers["price_kind"].eq("market"))


def group_names(offers: pd.DataFrame) -> np.ndarray:
    """Return the group of each offer: its GPU model, or its provider where it has none."""
    model = offers["gpu_model"].astype(object)
    return model.where(model.notna(), offers["provider"].astype(object)).to_numpy(str)


def cells_per_day(panel: Panel) -> int:
    """Return how many cells a day has, 1 where a cell is a day or longer."""
    return max(int(pd.Timedelta(days=1) / panel.step), 1)


def find_patterns(
    panel: Panel, *, listed: Panel | None = None, beginning: Patterns | None = None
) -> Patterns:
    """Put together offers of one group, provider and option whose steps agree to 1 % in every cell.

    The group is the GPU model where there is one, else the provider. A price of zero is unknown.

    Parameters
    ----------
    listed : on-demand offers of the same cells, from which discounts are counted.
    beginning : the patterns of the panel's beginning, where there are some: as long as no offer
        leaves its own, only the cells after it are looked at.
    """
    found = None
    if beginning is not None:
        found = _continued(panel, beginning)
    if found is None:
        found = _found_anew(panel, listed)
    return _with_listed_prices(found, listed)


def _steps_and_key(price: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log prices, steps, and what offers of one pattern have in common (2 x cells, offers)."""
    log_price = np.log(np.where(price > 0, price, np.nan))
    step = price_steps(log_price)
    percent = np.rint(step * 100)
    key = np.vstack([each.astype(np.int16) for each in (percent, np.isfinite(log_price))])
    return log_price, step, key


def _continued(panel: Panel, beginning: Patterns) -> Patterns | None:
    """The patterns of a panel that goes on from others; None where an offer leaves its own."""
    log_price, step, key = _steps_and_key(panel.price[len(beginning.log_price) - 1 :])
    example = np.unique(beginning.of_offer, return_index=True)[1]
    priced = np.isfinite(log_price)
    is_new = priced.any(axis=0) & ~priced[0]  # by how much it stepped, only the beginning tells
    if is_new.any() or (key != key[:, example[beginning.of_offer]]).any():
        return None
    longer = np.concatenate([beginning.log_price, log_price[1:, example]])
    steps = np.concatenate([beginning.about["price_steps"], step[1:, example]])
    return Patterns(
        longer,
        beginning.groups,
        beginning.group_names,
        beginning.of_offer,
        cells_per_day(panel),
        beginning.about | {"price_steps": steps},
    )


def _found_anew(panel: Panel, listed: Panel | None) -> Patterns:
    """The patterns of a whole panel."""
    log_price, step, key = _steps_and_key(panel.price)
    codes, names = pd.factorize(group_names(panel.offers), sort=True)
    on_demand = panel.offers.iloc[:0] if listed is None else listed.offers
    attributes = offer_attributes(panel.offers, on_demand)
    attributes["is_market"] = is_market(panel.offers, panel.step)
    attributes["is_spot"] = panel.offers["purchase_option"].eq("spot").to_numpy()
    kind = [codes, *(attributes[name] for name in ("provider", "option", "is_market"))]
    key = np.ascontiguousarray(np.vstack([np.array(kind, np.int16), key]).T)
    of_offer = pd.factorize(np.array([row.tobytes() for row in key], object), sort=True)[0]
    example = np.unique(of_offer, return_index=True)[1]
    about = {name: values[example] for name, values in attributes.items()}
    return Patterns(
        log_price[:, example],
        codes[example],
        tuple(map(str, names)),
        of_offer,
        cells_per_day(panel),
        about | {"price_steps": step[:, example]},
    )


def _with_listed_prices(patterns: Patterns, listed: Panel | None) -> Patterns:
    """The patterns with the on-demand price of the machine of each, where there is one."""
    at = patterns.about["listed_at"]
    if listed is None or not (at >= 0).any():
        return patterns
    price = np.where(listed.price > 0, listed.price, np.nan)
    log_listed = np.log(np.where(at >= 0, price[:, at], np.nan))
    return replace(patterns, about=patterns.about | {"log_listed": log_listed})
