"""How far prices go when they are repriced: sizes of the record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.lists.book import PriceList
from cloudarb_lib.forecast.lists.rates import HALF_LIFE_REVIEWS

FALL_DOUBT = 0.5
"""Spread of the logarithm by which a path's falls are larger or smaller than those on record: falls
are not capped, and the next is often larger than any before."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """Sizes of steps up to a review, in logarithms, and their cumulative weights, by group.

    Attributes
    ----------
    falls, rises : for each group sizes, increasing, and the share of the weight up to each.
    """

    falls: list[tuple[np.ndarray, np.ndarray]]
    rises: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, prices: PriceList, n_reviews: int) -> Sizes:
        """Return the sizes that the first ``n_reviews`` of a list showed.

        A group's own steps of either sign, the newest counting most, and beside them those of the
        whole list like one more review: up and down alike, so that an unknown direction foretells
        no drift. Rises are capped by the provider: none is larger than the largest so far.
        """
        step = prices.step[prices.reviews[:n_reviews]]
        is_step = (step != 0) & prices.known[prices.reviews[:n_reviews]]
        review, series = np.nonzero(is_step)
        size = np.abs(step[review, series])
        group = prices.group_of[prices.place_of[series]]
        event = review * prices.n_groups + group
        weight = 0.5 ** ((n_reviews - 1 - review) / HALF_LIFE_REVIEWS)
        weight = weight / np.bincount(event, minlength=1)[event]
        largest_rise = step.max(initial=0.0) or float(np.median(size))
        mixed = [
            (size, np.where(group == g, weight, 0.0) + weight / weight.sum())
            for g in range(prices.n_groups)
        ]
        rises = [(size[size <= largest_rise], w[size <= largest_rise]) for _, w in mixed]
        return cls([_in_order(*each) for each in mixed], [_in_order(*each) for each in rises])

    def draw(self, sign: np.ndarray, level: np.ndarray, group_of: np.ndarray) -> np.ndarray:
        """Return sizes (moves,) at a level of their distribution.

        Parameters
        ----------
        sign : (moves,), which way each goes.
        level : alike, 0 to 1.
        group_of : alike.
        """
        out = np.empty(level.shape)
        for group, (falls, rises) in enumerate(zip(self.falls, self.rises, strict=True)):
            for of_way, is_way in ((falls, sign <= 0), (rises, sign > 0)):
                at = np.flatnonzero(is_way & (group_of == group))
                out[at] = _at_level(of_way, level[at])
        return out

    def level(self, size: np.ndarray, sign: np.ndarray, group_of: np.ndarray) -> np.ndarray:
        """Return where sizes lie in their distribution, 0 to 1; among equal ones in the middle.

        Parameters
        ----------
        size, sign, group_of : (places,), as in ``draw``.
        """
        out = np.empty(size.shape)
        for place, group in enumerate(group_of):
            of_group = self.rises if sign[place] > 0 else self.falls
            sizes, share = of_group[group]
            share = np.concatenate([[0.0], share])
            below, up_to = (np.searchsorted(sizes, size[place], side) for side in ("left", "right"))
            out[place] = (share[below] + share[up_to]) / 2
        return out


def _in_order(size: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(size):
        return np.zeros(1), np.ones(1)
    order = np.argsort(size, kind="stable")
    share = np.cumsum(weight[order])
    return size[order], share / share[-1]


def _at_level(sizes: tuple[np.ndarray, np.ndarray], level: np.ndarray) -> np.ndarray:
    size, share = sizes
    return size[np.minimum(np.searchsorted(share, level), len(size) - 1)]
