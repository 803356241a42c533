"""What the record of a price list holds: reviews, who took part in them, and which way.

A price list is what one provider asks for under one option and term. A review is a cell in which
at least ``REVIEW_SHARE`` of its series step. Series of one group, region and machine series are a
place, and are repriced together: on record 98.6 % of a place's series step when one does, nearly
always the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.features import STEP_LOG, carry_forward, price_steps
from cloudarb_lib.forecast.patterns import Patterns

REVIEW_SHARE = 0.02
"""Of the series that step, for a cell of the record to be a review: below it a price is mended."""
EDGE_LOG = 0.01
"""A cell this near to an edge of its band stands at it."""


@dataclass(frozen=True, eq=False)
class PriceList:
    """The record of a price list, and which of its series are priced together: its places.

    Attributes
    ----------
    series : (series,), positions in the patterns.
    place_of : (series,), the place of each.
    group_of : (places,), the group of each, codes of this list.
    step : (times, series), log changes; as from ``features.price_steps``.
    known : (times, series), whether there is a price now and one cell before.
    discount : (times, places), log of the spot price over that on demand, mean of the place; NaN
        where either is unknown.
    """

    series: np.ndarray
    place_of: np.ndarray
    group_of: np.ndarray
    log_price: np.ndarray
    step: np.ndarray
    known: np.ndarray
    discount: np.ndarray

    @property
    def n_groups(self) -> int:
        """How many groups the places are of."""
        return int(self.group_of.max()) + 1

    @cached_property
    def reviews(self) -> np.ndarray:
        """The cells of the record that are reviews (reviews,)."""
        moved = ((self.step != 0) & self.known).sum(axis=1)
        is_review = (moved > 0) & (moved >= REVIEW_SHARE * self.known.sum(axis=1))
        return np.flatnonzero(is_review)

    @cached_property
    def is_known(self) -> np.ndarray:
        """Whether a place has a price at each review (reviews, places)."""
        return self._of_places(self.known[self.reviews]) > 0

    @cached_property
    def sign(self) -> np.ndarray:
        """Which way a place was repriced at each review: 1, -1, 0 where most series stayed."""
        step = np.where(self.known[self.reviews], np.sign(self.step[self.reviews]), 0.0)
        n_known = np.maximum(self._of_places(self.known[self.reviews]), 1)
        return np.rint(self._of_places(step) / n_known)

    @cached_property
    def size(self) -> np.ndarray:
        """How far a place was repriced at each review, log, mean of its series that stepped; 0
        where none did (reviews, places)."""
        step = np.where(self.known[self.reviews], np.abs(self.step[self.reviews]), 0.0)
        return self._of_places(step) / np.maximum(self._of_places(step > 0), 1)

    @cached_property
    def room_before(self) -> tuple[np.ndarray, np.ndarray]:
        """How far places could fall and rise inside their band at each review, each (reviews,
        places)."""
        return self.room(self.reviews - 1)

    @cached_property
    def is_free(self) -> np.ndarray:
        """Whether a place has a price at each review, and stood inside its band before it."""
        down, up = self.room_before
        return self.is_known & (down > EDGE_LOG) & (up > EDGE_LOG)

    @cached_property
    def last_way(self) -> np.ndarray:
        """Which way each place went last before a review, and now (reviews + 1, places).

        A place that never moved goes by its group: the way that most of those that did went last;
        0 where that is none.
        """
        moved = pd.DataFrame(self.sign).replace(0.0, np.nan).ffill().fillna(0.0).to_numpy()
        own = np.concatenate([np.zeros((1, moved.shape[1])), moved])
        of_group = np.sign(self.of_groups(own))
        return np.where(own == 0, of_group[:, self.group_of], own)

    @cached_property
    def took_part(self) -> np.ndarray:
        """Whether each place took part in the review before a review, and now, alike."""
        return np.concatenate([np.zeros((1, self.sign.shape[1]), bool), self.sign != 0])

    @cached_property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest discount of a group so far, each (times, groups); NaN: unknown."""
        blocks = [self.discount[:, self.group_of == group] for group in range(self.n_groups)]
        lowest = np.stack([np.fmin.reduce(block, axis=1) for block in blocks], axis=1)
        highest = np.stack([np.fmax.reduce(block, axis=1) for block in blocks], axis=1)
        return np.fmin.accumulate(lowest), np.fmax.accumulate(highest)

    def room(self, cell: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far places may fall and rise inside their band from a cell of the record on.

        Returns
        -------
        Each (places,), or (cells, places) of several cells, log changes; infinite where the
        discount is unknown.
        """
        lowest, highest = (edge[cell][..., self.group_of] for edge in self.band)
        down = self.discount[cell] - lowest
        up = highest - self.discount[cell]
        return np.nan_to_num(down, nan=np.inf), np.nan_to_num(up, nan=np.inf)

    def came(self, origin: int, steps: np.ndarray) -> np.ndarray:
        """Log changes (series, steps) that came after a cell; 0 under 0.5 %, NaN where unknown."""
        target = origin + steps
        inside = target < len(self.log_price)
        price = self.log_price[np.where(inside, target, 0)].T
        change = np.where(inside, price, np.nan) - self.log_price[origin][:, None]
        return np.where(np.abs(change) < STEP_LOG, 0.0, change)

    def of_groups(self, values: np.ndarray) -> np.ndarray:
        """Sums (..., groups) of values of places (..., places)."""
        return values.astype(float) @ np.eye(self.n_groups)[self.group_of]

    def _of_places(self, values: np.ndarray) -> np.ndarray:
        """Sums (..., places) of values of series (..., series)."""
        return values.astype(float) @ np.eye(len(self.group_of))[self.place_of]


def price_lists(patterns: Patterns) -> list[PriceList]:
    """Return the price lists among patterns, by provider, option and term; none of a market."""
    series = np.flatnonzero(~patterns.is_market)
    about = {name: patterns.about[name][series] for name in ("provider", "option", "place")}
    of_list = _codes([about["provider"], about["option"]])
    of_place = _codes([patterns.groups[series], about["place"]])
    return [
        _price_list(patterns, series[of_list == code], of_place[of_list == code])
        for code in np.unique(of_list)
    ]


def _price_list(patterns: Patterns, series: np.ndarray, of_place: np.ndarray) -> PriceList:
    _, first, place_of = np.unique(of_place, return_index=True, return_inverse=True)
    log_price = patterns.log_price[:, series]
    level = carry_forward(log_price)
    known = np.isfinite(log_price)
    known[1:] &= np.isfinite(level[:-1])
    known[0] = False
    return PriceList(
        series,
        place_of,
        np.unique(patterns.groups[series][first], return_inverse=True)[1],
        log_price,
        price_steps(log_price),
        known,
        _discounts(patterns, series, level, place_of),
    )


def _discounts(
    patterns: Patterns, series: np.ndarray, level: np.ndarray, place_of: np.ndarray
) -> np.ndarray:
    """Mean log discount (times, places) of the series of each place."""
    listed = patterns.about.get("log_listed")
    if listed is None:
        return np.full((len(level), int(place_of.max()) + 1), np.nan)
    is_spot = patterns.about["is_spot"][series]
    gap = pd.DataFrame(np.where(is_spot, level - carry_forward(listed[:, series]), np.nan).T)
    return gap.groupby(place_of).mean().to_numpy().T


def _codes(columns: list[np.ndarray]) -> np.ndarray:
    """One code (series,) for each combination of codes."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].ravel()
