"""Who takes part in a review, which way and how far: counts of the record, and draws given them.

Every rate is drawn for each path from its posterior, so that doubt about it is in the paths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.lists.book import EDGE_LOG, PriceList
from cloudarb_lib.forecast.lists.persistence import draw_persistence, memory_gain

HALF_LIFE_REVIEWS = 8.0
"""Age at which what a review showed of participation and sizes counts half."""
RARE = (1.0, 3.0)
"""Reviews' worth of belief that a review breaks a band (breaks, not), before the record speaks."""
UNKNOWN = 0.5
"""The same of other rates: Jeffreys' prior."""


@dataclass(frozen=True, eq=False)
class ReviewCounts:
    """What each review of a list showed by group, in shares of places; NaN where nothing.

    Places at an edge of their band say nothing of participation and persistence: the edge, not the
    review, may have held them.

    Attributes
    ----------
    joined_again, joined_anew : (reviews, groups), the share that took part of those that did, and
        did not, in the review before.
    fell_again, rose_again : alike, the share of those repriced that went the way they last went,
        of places that last fell, and rose.
    rose : alike, the share of those repriced that rose.
    n_places : alike, how many had a price.
    broke_down, broke_up : alike, whether a place left its band; NaN where none moved.
    fell_again_gain, rose_again_gain : (reviews, groups, memories), as from ``memory_gain``.
    """

    joined_again: np.ndarray
    joined_anew: np.ndarray
    fell_again: np.ndarray
    rose_again: np.ndarray
    rose: np.ndarray
    n_places: np.ndarray
    broke_down: np.ndarray
    broke_up: np.ndarray
    fell_again_gain: np.ndarray
    rose_again_gain: np.ndarray

    @classmethod
    def of(cls, prices: PriceList) -> ReviewCounts:
        """Return the counts of a list."""
        down, up = prices.room_before
        is_free = prices.is_free
        moved = prices.sign != 0
        joined = prices.took_part[:-1]
        last = prices.last_way[:-1]
        change = prices.discount[prices.reviews] - prices.discount[prices.reviews - 1]
        with np.errstate(invalid="ignore"):
            fell_out = (-change > down + EDGE_LOG).astype(float)
            rose_out = (change > up + EDGE_LOG).astype(float)

        def share(values: np.ndarray, of: np.ndarray) -> np.ndarray:
            """The share (reviews, groups) of the places ``of``; NaN where there is none."""
            with np.errstate(invalid="ignore", divide="ignore"):
                return prices.of_groups(np.where(of, values, 0.0)) / prices.of_groups(of)

        is_any = np.where(np.isnan(share(moved, moved)), np.nan, 1.0)
        fell_again = share(prices.sign < 0, is_free & moved & (last < 0))
        rose_again = share(prices.sign > 0, is_free & moved & (last > 0))
        return cls(
            share(moved, is_free & joined),
            share(moved, is_free & ~joined),
            fell_again,
            rose_again,
            share(prices.sign > 0, moved),
            prices.of_groups(prices.is_known),
            is_any * (np.nan_to_num(share(fell_out, moved)) > 0),
            is_any * (np.nan_to_num(share(rose_out, moved)) > 0),
            memory_gain(fell_again),
            memory_gain(rose_again),
        )

    def until(self, n_reviews: int) -> ReviewCounts:
        """Return the counts of the first reviews."""
        return ReviewCounts(*(getattr(self, name)[:n_reviews] for name in self.__annotations__))


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates drawn for each path; groups those of a list.

    Attributes
    ----------
    joins_again, joins_anew : (groups, paths), chance to take part in a review after having taken
        part in the last, and after not.
    falls_again, rises_again : alike, chance to go the way it last went, after a fall, and a rise.
    rises : (paths,), chance that a place rises of whose group none ever moved.
    breaks_down, breaks_up : (paths,), chance that a review breaks a band.
    """

    joins_again: np.ndarray
    joins_anew: np.ndarray
    falls_again: np.ndarray
    rises_again: np.ndarray
    rises: np.ndarray
    breaks_down: np.ndarray
    breaks_up: np.ndarray

    def of(self, paths: np.ndarray) -> Rates:
        """Return the rates of some paths, by position."""
        return Rates(*(getattr(self, name)[..., paths] for name in self.__annotations__))

    def chance_to_rise(self, way: np.ndarray, group_of: np.ndarray) -> np.ndarray:
        """Return the chance (places, paths) that a place which is repriced rises.

        Parameters
        ----------
        way : (places, paths or 1), which way each last went; 0 where nothing is known of it.
        group_of : (places,)
        """
        again = self.rises_again[group_of]
        turns = 1.0 - self.falls_again[group_of]
        return np.where(way == 0, self.rises, np.where(way > 0, again, turns))


def draw_rates(counts: ReviewCounts, *, n_paths: int, rng: np.random.Generator) -> Rates:
    """Draw rates from their posteriors given what the reviews so far showed."""
    recent = 0.5 ** (np.arange(len(counts.rose), 0, -1) / HALF_LIFE_REVIEWS)
    trust = np.minimum(counts.n_places / 4, 1.0)  # four places tell of a review, one hardly
    weight = recent[:, None] * trust
    by_review = recent[:, None] * np.ones_like(counts.rose)
    return Rates(
        _draw_by_group(counts.joined_again, weight, n_paths, rng),
        _draw_by_group(counts.joined_anew, weight, n_paths, rng),
        draw_persistence(counts.fell_again, counts.fell_again_gain, n_paths=n_paths, rng=rng),
        draw_persistence(counts.rose_again, counts.rose_again_gain, n_paths=n_paths, rng=rng),
        _draw_pooled(counts.rose, by_review, (1.0, 1.0), n_paths, rng),
        _draw_pooled(counts.broke_down, by_review, RARE, n_paths, rng),
        _draw_pooled(counts.broke_up, by_review, RARE, n_paths, rng),
    )


def _draw_by_group(
    share: np.ndarray, weight: np.ndarray, n_paths: int, rng: np.random.Generator
) -> np.ndarray:
    """Rates (groups, paths) given shares (reviews, groups), each group by itself."""
    yes = np.nansum(weight * share, axis=0)
    no = np.nansum(weight * (1 - share), axis=0)
    return rng.beta(UNKNOWN + yes[:, None], UNKNOWN + no[:, None], (share.shape[1], n_paths))


def _draw_pooled(
    share: np.ndarray,
    weight: np.ndarray,
    prior: tuple[float, float],
    n_paths: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rates (paths,) given shares (reviews, groups) of all groups together."""
    yes = np.nansum(weight * share)
    no = np.nansum(weight * (1 - share))
    return rng.beta(prior[0] + yes, prior[1] + no, n_paths)
