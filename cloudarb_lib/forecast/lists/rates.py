"""Who takes part in a review, which way and how far: counts of the record, and draws given them.

Every rate is drawn for each path from its posterior, so that doubt about it is in the paths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from cloudarb_lib.forecast.lists.book import EDGE_LOG, PriceList

HALF_LIFE_REVIEWS = 8.0
"""Age at which what a review showed of participation and sizes counts half."""
MEMORIES_REVIEWS = (2.0, 8.0, 40.0)
"""Half-lives at which the persistence of direction may be remembered: they compete by how well each
has foretold reviews, since campaigns begin and end."""
EVEN = 2.0
"""Reviews' worth of belief, each way, that the next direction is as likely the other one."""
GROUP_TRUST = 8.0
"""Reviews' worth of belief that a group's directions persist like the whole list's."""
RARE = (1.0, 3.0)
"""The same that a review breaks a band (breaks, not), before the record speaks."""
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
    same_way : alike, the share of those repriced that went the way they last went.
    rose : alike, the share of those repriced that rose.
    n_places : alike, how many had a price.
    broke_down, broke_up : alike, whether a place left its band; NaN where none moved.
    memory_gain : (reviews, memories), as from ``_memory_gain``.
    """

    joined_again: np.ndarray
    joined_anew: np.ndarray
    same_way: np.ndarray
    rose: np.ndarray
    n_places: np.ndarray
    broke_down: np.ndarray
    broke_up: np.ndarray
    memory_gain: np.ndarray

    @classmethod
    def of(cls, prices: PriceList) -> ReviewCounts:
        """Return the counts of a list."""
        down, up = prices.room_before
        is_free = prices.is_free
        moved = prices.sign != 0
        joined = prices.took_part[:-1]
        last = prices.last_sign[:-1]
        change = prices.discount[prices.reviews] - prices.discount[prices.reviews - 1]
        with np.errstate(invalid="ignore"):
            fell_out = (-change > down + EDGE_LOG).astype(float)
            rose_out = (change > up + EDGE_LOG).astype(float)

        def share(values: np.ndarray, of: np.ndarray) -> np.ndarray:
            return _share_by_group(values, of, prices.group_of)

        is_any = np.where(np.isnan(share(moved, moved)), np.nan, 1.0)
        same_way = share(prices.sign == last, is_free & moved & (last != 0))
        return cls(
            share(moved, is_free & joined),
            share(moved, is_free & ~joined),
            same_way,
            share(prices.sign > 0, moved),
            _sums_by_group(prices.is_known, prices.group_of),
            is_any * (np.nan_to_num(share(fell_out, moved)) > 0),
            is_any * (np.nan_to_num(share(rose_out, moved)) > 0),
            _memory_gain(same_way),
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
    same_way : alike, chance to go the way it last went.
    rises : (paths,), chance that a place which never moved rises.
    breaks_down, breaks_up : (paths,), chance that a review breaks a band.
    """

    joins_again: np.ndarray
    joins_anew: np.ndarray
    same_way: np.ndarray
    rises: np.ndarray
    breaks_down: np.ndarray
    breaks_up: np.ndarray

    def of(self, paths: np.ndarray) -> Rates:
        """Return the rates of some paths, by position."""
        return Rates(
            self.joins_again[:, paths],
            self.joins_anew[:, paths],
            self.same_way[:, paths],
            self.rises[paths],
            self.breaks_down[paths],
            self.breaks_up[paths],
        )

    def chance_to_rise(self, way: np.ndarray, group_of: np.ndarray) -> np.ndarray:
        """Return the chance (places, paths) that a place which is repriced rises.

        Parameters
        ----------
        way : (places, paths or 1), which way each last went; 0 where it never moved.
        group_of : (places,)
        """
        same_way = self.same_way[group_of]
        again_or_turned = np.where(way > 0, same_way, 1.0 - same_way)
        return np.where(way == 0, self.rises, again_or_turned)


def draw_rates(counts: ReviewCounts, *, n_paths: int, rng: np.random.Generator) -> Rates:
    """Draw rates from their posteriors given what the reviews so far showed."""
    recent = 0.5 ** (np.arange(len(counts.rose), 0, -1) / HALF_LIFE_REVIEWS)
    trust = np.minimum(counts.n_places / 4, 1.0)  # four places tell of a review, one hardly
    weight = recent[:, None] * trust
    by_review = recent[:, None] * np.ones_like(counts.rose)
    return Rates(
        _draw_by_group(counts.joined_again, weight, n_paths, rng),
        _draw_by_group(counts.joined_anew, weight, n_paths, rng),
        _draw_persistence(counts, n_paths, rng),
        _draw_pooled(counts.rose, by_review, (1.0, 1.0), n_paths, rng),
        _draw_pooled(counts.broke_down, by_review, RARE, n_paths, rng),
        _draw_pooled(counts.broke_up, by_review, RARE, n_paths, rng),
    )


def _draw_persistence(counts: ReviewCounts, n_paths: int, rng: np.random.Generator) -> np.ndarray:
    """Chance (groups, paths) to go on the same way: the list's, and each group's around it.

    A path remembers as long as has foretold well.
    """
    age = np.arange(len(counts.same_way), 0, -1)
    log_weight = 0.5 ** ((age - 1) / HALF_LIFE_REVIEWS) @ counts.memory_gain
    chance = np.exp(log_weight - log_weight.max())
    memory = rng.choice(len(chance), n_paths, p=chance / chance.sum())
    weight = 0.5 ** (age / np.array(MEMORIES_REVIEWS)[:, None])
    again = weight @ np.nan_to_num(counts.same_way)  # (memories, groups)
    turned = weight @ np.nan_to_num(1 - counts.same_way)
    of_list = rng.beta(EVEN + again.sum(axis=1)[memory], EVEN + turned.sum(axis=1)[memory])
    return rng.beta(
        GROUP_TRUST * of_list + again[memory].T + 1e-3,
        GROUP_TRUST * (1 - of_list) + turned[memory].T + 1e-3,
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


def _memory_gain(same_way: np.ndarray) -> np.ndarray:
    """How well each memory foretold each review's share the same way, log (reviews, memories).

    By the Beta law whose counts the memory held before it.
    """
    gain = np.zeros((len(same_way), len(MEMORIES_REVIEWS)))
    again, turned = np.nansum(same_way, axis=1), np.nansum(1 - same_way, axis=1)
    heard = ~np.isnan(same_way).all(axis=1)
    for review in np.flatnonzero(heard):
        share = np.nanmean(same_way[review])
        for k, half_life in enumerate(MEMORIES_REVIEWS):
            weight = 0.5 ** (np.arange(review, 0, -1) / half_life)
            a = EVEN + weight @ again[:review]
            b = EVEN + weight @ turned[:review]
            gain[review, k] = betaln(a + share, b + 1 - share) - betaln(a, b)
    return gain


def _sums_by_group(values: np.ndarray, group_of: np.ndarray) -> np.ndarray:
    """Sums (reviews, groups) over places (reviews, places)."""
    return values.astype(float) @ np.eye(int(group_of.max()) + 1)[group_of]


def _share_by_group(values: np.ndarray, of: np.ndarray, group_of: np.ndarray) -> np.ndarray:
    """The share (reviews, groups) of the places ``of`` with ``values``; NaN where there is none."""
    n = _sums_by_group(of, group_of)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _sums_by_group(np.where(of, values, 0.0), group_of) / n
