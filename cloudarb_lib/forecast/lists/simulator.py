"""Joint sample paths of a price list: reviews come, places take part, go on or turn, and stop at
the edges of what the provider has charged.

The chain of a path: a review comes with the hazard of the gaps on record (``timing``); at a review
a place takes part or not, more likely if it did last time; one that does goes the way it last went
with an estimated chance (``rates``), by a size of the record (``sizes``). A list that is quoted
beside on-demand prices moves in a band of discounts: a move beyond what its group has seen is
refused, unless on this path a review breaks the band. Nothing else is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from cloudarb_lib.forecast.lists.book import EDGE_LOG, PriceList
from cloudarb_lib.forecast.lists.rates import Rates, ReviewCounts, draw_rates
from cloudarb_lib.forecast.lists.sizes import FALL_DOUBT, Sizes
from cloudarb_lib.forecast.lists.timing import draw_reviews

JOINED, WAY, SIZE, FIRST_WAY = range(4)
"""What uniform numbers of a place decide at a review."""


class Concordance(NamedTuple):
    """How much places of a group do alike in a review beyond their rates: 0 on their own, 1 all.

    Correlations of a one-factor normal copula.
    """

    joined: float
    way: float


@dataclass(frozen=True, eq=False)
class ListSimulator:
    """Sample paths of a list from any cell of its record; each uses what was known there alone."""

    prices: PriceList
    seed: int

    @cached_property
    def counts(self) -> ReviewCounts:
        """What each review of the record showed."""
        return ReviewCounts.of(self.prices)

    def paths(
        self, origin: int, *, n_paths: int, horizon: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return sample paths from a cell; the same path number is the same world in all places.

        Parameters
        ----------
        only : positions of the places asked.
        ahead : positions of the steps asked, increasing.

        Returns
        -------
        (places, paths, steps asked), log changes; all 0 for a list that was never reviewed.
        """
        n_reviews = int(np.searchsorted(self.prices.reviews, origin, side="right"))
        out = np.zeros((len(only), n_paths, len(ahead)))
        if not n_reviews:
            return out
        rng = np.random.default_rng([self.seed, origin])
        so_far = self.prices.reviews[:n_reviews]
        due = draw_reviews(so_far, origin, n_paths=n_paths, horizon=horizon, rng=rng)
        counts = self.counts.until(n_reviews)
        world = _World(
            self.prices,
            only,
            draw_rates(counts, n_paths=n_paths, rng=rng),
            Sizes.of(self.prices, n_reviews),
            concordance(counts),
            rng,
        )
        state = _State.at(self.prices, origin, n_reviews, only, n_paths)
        for step in range(int(ahead[-1]) + 1):
            if due[:, step].any():
                world.review(state, due[:, step])
            out[:, :, ahead == step] = state.change[:, :, None]
        return out


@dataclass(frozen=True, eq=False)
class _State:
    """Where the places asked stand, each (places, paths).

    Attributes
    ----------
    change : log change since the origin.
    way : which way each last went; 0 where it never moved.
    joined : whether it took part in the last review.
    down, up : the room inside its band.
    """

    change: np.ndarray
    way: np.ndarray
    joined: np.ndarray
    down: np.ndarray
    up: np.ndarray

    @classmethod
    def at(
        cls, prices: PriceList, origin: int, n_reviews: int, only: np.ndarray, n_paths: int
    ) -> _State:
        down, up = prices.room(origin)
        way, joined = prices.last_sign[n_reviews], prices.took_part[n_reviews]
        start = [np.repeat(each[only, None], n_paths, axis=1) for each in (way, joined, down, up)]
        return cls(np.zeros((len(only), n_paths)), *start)

    def of(self, paths: np.ndarray) -> _State:
        """Return the state on some paths, by position."""
        return _State(
            self.change[:, paths],
            self.way[:, paths],
            self.joined[:, paths],
            self.down[:, paths],
            self.up[:, paths],
        )


@dataclass(frozen=True, eq=False)
class _World:
    """What the paths from an origin share at every review."""

    prices: PriceList
    only: np.ndarray
    rates: Rates
    sizes: Sizes
    concordance: Concordance
    rng: np.random.Generator

    @cached_property
    def group(self) -> np.ndarray:
        """The group of each place asked."""
        return self.prices.group_of[self.only]

    @cached_property
    def fall_scale(self) -> np.ndarray:
        """By how much the falls of a group are larger than those on record (places, paths)."""
        n_groups = int(self.prices.group_of.max()) + 1
        shape = (n_groups, self.rates.rises.shape[0])
        return np.exp(FALL_DOUBT * self.rng.standard_normal(shape))[self.group]

    def review(self, state: _State, due: np.ndarray) -> None:
        """Carry the state over a review on the paths ``due`` (paths,); the others stay."""
        paths = np.flatnonzero(due)
        u, opens = self._uniforms(len(due), paths)
        was, rates = state.of(paths), self.rates.of(paths)
        joins = np.where(was.joined, rates.joins_again[self.group], rates.joins_anew[self.group])
        goes_on = u[WAY] < rates.same_way[self.group]
        first = np.where(u[FIRST_WAY] < rates.rises, 1.0, -1.0)
        way = np.where(was.way == 0, first, np.where(goes_on, was.way, -was.way))
        down = np.where(opens[0] < rates.breaks_down, np.inf, was.down)
        up = np.where(opens[1] < rates.breaks_up, np.inf, was.up)
        room = np.where(way > 0, up, down)
        moves = (u[JOINED] < joins) & (room > EDGE_LOG)
        size = self.sizes.draw(way, u[SIZE], self.group)
        size = np.minimum(np.where(way > 0, size, size * self.fall_scale[:, paths]), room)
        change = np.where(moves, way * size, 0.0)
        state.change[:, paths] += change
        state.way[:, paths] = np.where(moves, way, was.way)
        state.joined[:, paths] = moves
        state.down[:, paths] = down + change
        state.up[:, paths] = up - change

    def _uniforms(self, n_paths: int, paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Uniform numbers of the paths asked: (4, places asked, paths), of which those of a group
        agree by ``concordance``, and (2, places asked, paths), one for all of a group.

        They are drawn for all places and paths: so a path is the same world whichever are asked.
        """
        n_places = len(self.prices.group_of)
        n_groups = int(self.prices.group_of.max()) + 1
        own = self.rng.standard_normal((4, n_places, n_paths))[:, self.only[:, None], paths]
        shared = self.rng.standard_normal((2, n_groups, n_paths))[:, self.group[:, None], paths]
        opens = self.rng.random((2, n_groups, n_paths))[:, self.group[:, None], paths]
        for decides, alike in ((JOINED, self.concordance.joined), (WAY, self.concordance.way)):
            own[decides] = np.sqrt(alike) * shared[decides] + np.sqrt(1 - alike) * own[decides]
        return ndtr(own), opens


def concordance(counts: ReviewCounts) -> Concordance:
    """Return how alike places of a group have been in the reviews so far."""
    return Concordance(
        _correlation(counts.joined_anew, counts.n_places),
        _correlation(counts.same_way, counts.n_places),
    )


def _correlation(share: np.ndarray, n_places: np.ndarray) -> float:
    """Correlation of a one-factor normal copula under which shares vary as these (reviews, groups).

    By moments, from the correlation of the outcomes at a chance of one half.
    """
    heard = ~np.isnan(share) & (n_places > 1)
    if heard.sum() < 2:
        return 0.0
    shares = np.where(heard, share, 0.0)
    mean = shares.sum(axis=0) / np.maximum(heard.sum(axis=0), 1)
    spread = mean * (1 - mean)
    alone = np.where(heard, spread / np.maximum(n_places, 1), 0.0)
    beyond = (np.where(heard, (shares - mean) ** 2, 0.0) - alone).sum()
    most = np.where(heard, spread - spread / np.maximum(n_places, 1), 0.0).sum()
    alike = np.clip(beyond / most, 0.0, 1.0) if most > 0 else 0.0
    return float(np.sin(np.pi / 2 * alike))
