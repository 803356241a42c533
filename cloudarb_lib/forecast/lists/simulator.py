"""Joint sample paths of a price list: reviews come, places take part, go on or turn, and stop at
the edges of what the provider has charged.

The chain of a path: a review comes with the hazard of the gaps on record (``timing``); at a review
a place takes part or not, more likely if it did last time (``rates``); one that does goes the way
it last went with an estimated chance (``persistence``), by a size of the record (``sizes``). Places
of a group do all three more alike than chance has it (``concordance``). A list that is quoted
beside on-demand prices moves in a band of discounts: a move beyond what its group has seen is
refused, unless on this path a review breaks the band. Nothing else is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from cloudarb_lib.forecast.lists.book import EDGE_LOG, PriceList
from cloudarb_lib.forecast.lists.concordance import Concordance, concordances
from cloudarb_lib.forecast.lists.rates import Rates, ReviewCounts, draw_rates
from cloudarb_lib.forecast.lists.sizes import FALL_DOUBT, Sizes
from cloudarb_lib.forecast.lists.timing import draw_reviews

JOINED, WAY, SIZE = range(3)
"""What normal scores of a place decide at a review; in the order of ``Concordance``."""


@dataclass(frozen=True, eq=False)
class ListSimulator:
    """Sample paths of a list from any cell of its record; each uses what was known there alone."""

    prices: PriceList
    seed: int

    @cached_property
    def counts(self) -> ReviewCounts:
        """What each review of the record showed."""
        return ReviewCounts.of(self.prices)

    @cached_property
    def concordances(self) -> list[Concordance]:
        """How alike places of a group had been after each number of reviews, from 0 on."""
        return concordances(self.prices, self.counts, seed=self.seed)

    def paths(
        self, origin: int, *, n_paths: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return sample paths from a cell; the same path number is the same world in all places.

        Parameters
        ----------
        only : positions of the places asked.
        ahead : positions of the steps asked, alike on all paths (steps,), or (paths, steps).

        Returns
        -------
        (places, paths, steps asked), log changes; all 0 for a list that was never reviewed.
        """
        n_reviews = int(np.searchsorted(self.prices.reviews, origin, side="right"))
        asked = np.broadcast_to(ahead, (n_paths, np.shape(ahead)[-1]))
        out = np.zeros((len(only), *asked.shape))
        if not n_reviews:
            return out
        # streams of their own, so that a path is the same world however far it is asked
        of_reviews, rng = (np.random.default_rng([self.seed, origin, k]) for k in range(2))
        so_far = self.prices.reviews[:n_reviews]
        horizon = int(asked.max()) + 1
        due = draw_reviews(so_far, origin, n_paths=n_paths, horizon=horizon, rng=of_reviews)
        world = _World(
            self.prices,
            only,
            draw_rates(self.counts.until(n_reviews), n_paths=n_paths, rng=rng),
            Sizes.of(self.prices, n_reviews),
            self.concordances[n_reviews],
            rng,
        )
        state = _State.at(self.prices, origin, n_reviews, only, n_paths)
        n_so_far = np.cumsum(due, axis=1)
        n_by_then = np.take_along_axis(n_so_far, asked, axis=1)
        for nth in range(1, int(n_so_far.max(initial=0)) + 1):
            world.review(state, np.flatnonzero(n_so_far[:, -1] >= nth))
            path, step = np.nonzero(n_by_then == nth)
            out[:, path, step] = state.change[:, path]
        return out


@dataclass(frozen=True, eq=False)
class _State:
    """Where the places asked stand, each (places, paths).

    Attributes
    ----------
    change : log change since the origin.
    way : which way each last went, as of ``PriceList.last_way``.
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
        way, joined = prices.last_way[n_reviews], prices.took_part[n_reviews]
        start = [np.repeat(each[only, None], n_paths, axis=1) for each in (way, joined, down, up)]
        return cls(np.zeros((len(only), n_paths)), *start)

    def of(self, paths: np.ndarray) -> _State:
        """Return the state on some paths, by position."""
        return _State(*(getattr(self, name)[:, paths] for name in self.__annotations__))


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
        shape = (self.prices.n_groups, self.rates.rises.shape[0])
        return np.exp(FALL_DOUBT * self.rng.standard_normal(shape))[self.group]

    def review(self, state: _State, paths: np.ndarray) -> None:
        """Carry the state over a review of some paths, by position; the others stay."""
        scores, opens = self._draws(paths)
        was = state.of(paths)
        rates = self.rates.of(paths)
        joins = np.where(was.joined, rates.joins_again[self.group], rates.joins_anew[self.group])
        way = np.where(ndtr(scores[WAY]) < rates.chance_to_rise(was.way, self.group), 1.0, -1.0)
        down = np.where(opens[0] < rates.breaks_down, np.inf, was.down)
        up = np.where(opens[1] < rates.breaks_up, np.inf, was.up)
        room = np.where(way > 0, up, down)
        moves = (ndtr(scores[JOINED]) < joins) & (room > EDGE_LOG)
        place, path = np.nonzero(moves)
        going = way[moves]
        size = self.sizes.draw(going, ndtr(scores[SIZE][moves]), self.group[place])
        size = np.where(going > 0, size, size * self.fall_scale[place, paths[path]])
        change = np.zeros(moves.shape)
        change[moves] = going * np.minimum(size, room[moves])
        state.change[:, paths] += change
        state.way[:, paths] = np.where(moves, way, was.way)
        state.joined[:, paths] = moves
        state.down[:, paths] = down + change
        state.up[:, paths] = up - change

    def _draws(self, paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal scores of the paths asked (3, places asked, paths), of which those of a group
        agree by ``concordance``, and uniform numbers (2, places asked, paths), one for all of a
        group.

        They are drawn for all places and paths: so a path is the same world whichever are asked.
        """
        n_paths = self.rates.rises.shape[0]
        n_groups = self.prices.n_groups
        n_decided = len(self.concordance)
        shape = (n_decided, len(self.prices.group_of), n_paths)
        own = self.rng.standard_normal(shape, np.float32)  # in half the time
        shared = self.rng.standard_normal((n_decided, n_groups, n_paths), np.float32)
        opens = self.rng.random((2, n_groups, n_paths))
        alike = np.array(self.concordance, np.float32)[:, None, None]
        own = np.sqrt(1 - alike) * _taken(own, self.only, paths)
        shared = np.sqrt(alike) * _taken(shared, self.group, paths)
        return shared + own, _taken(opens, self.group, paths)


def _taken(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some of the last two axes, by position: faster than both at once."""
    return values.take(columns, axis=2).take(rows, axis=1)
