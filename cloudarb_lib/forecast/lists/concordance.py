"""How much places of one group do alike in a review, beyond what their rates said of each.

A review has a say for each group: who takes part, which way and how far. What it said is told by
pairs of places of a group that surprised the rates alike, those drawn before it from the reviews so
far: pairs, since the surprise of one alone is chance.

References
----------
Kruskal, Journal of the American Statistical Association 53, 1958: correlations of a normal copula
from those of signs and of ranks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cloudarb_lib.forecast.lists.book import PriceList
from cloudarb_lib.forecast.lists.rates import ReviewCounts, draw_rates
from cloudarb_lib.forecast.lists.sizes import Sizes

N_DRAWS = 200
"""Draws of the rates over which their means are taken."""
PRIOR_REVIEWS = 1.0
"""Reviews of usual size in which places are taken to have done each as by itself."""
RANK_SPREAD = 12.0**-0.5
"""Standard deviation of a number that is as likely anywhere between 0 and 1."""


class Concordance(NamedTuple):
    """How alike places of a group are in a review: 0 each on its own, 1 all alike.

    Correlations of one-factor normal copulas: of who takes part, which way, and how far.
    """

    joined: float
    way: float
    size: float


class _Surprise(NamedTuple):
    """What a review showed beyond what was expected of places, and how large that usually is.

    Each (places,), 0 where a place showed nothing.
    """

    value: np.ndarray
    usual: np.ndarray


def concordances(prices: PriceList, counts: ReviewCounts, *, seed: int) -> list[Concordance]:
    """Return how alike places of a group had been after each number of reviews, from 0 on.

    Parameters
    ----------
    counts : of all reviews.
    seed : of the draws of the rates.
    """
    n_reviews = len(prices.reviews)
    alike = np.zeros((n_reviews + 1, len(Concordance._fields)))
    most = np.zeros_like(alike)
    for review in range(1, n_reviews):
        for k, surprise in enumerate(_surprises(prices, counts, review, seed=seed)):
            alike[review + 1, k] = _over_pairs(surprise.value, prices.group_of)
            most[review + 1, k] = _over_pairs(surprise.usual, prices.group_of)
    total = np.cumsum(most, axis=0)
    usual = total / np.maximum(np.cumsum(most > 0, axis=0), 1)
    share = np.cumsum(alike, axis=0) / np.where(total > 0, total + PRIOR_REVIEWS * usual, 1.0)
    joined, way, size = np.clip(share, 0.0, 1.0).T
    of_copula = np.sin(np.pi / 2 * joined), np.sin(np.pi / 2 * way), 2 * np.sin(np.pi / 6 * size)
    return [Concordance(*row) for row in np.stack(of_copula, axis=1)]


def _surprises(
    prices: PriceList, counts: ReviewCounts, review: int, *, seed: int
) -> tuple[_Surprise, _Surprise, _Surprise]:
    """How a review surprised what the ones before it said: who took part, which way, how far."""
    rng = np.random.default_rng([seed, review])
    rates = draw_rates(counts.until(review), n_paths=N_DRAWS, rng=rng)
    group = prices.group_of
    sign = prices.sign[review]
    moved = sign != 0
    again, anew = (each.mean(axis=1)[group] for each in (rates.joins_again, rates.joins_anew))
    joins = np.where(prices.took_part[review], again, anew)
    rises = rates.chance_to_rise(prices.last_way[review][:, None], group).mean(axis=1)
    level = Sizes.of(prices, review).level(prices.size[review], sign, group)
    return (
        _of_chance(moved, joins, prices.is_free[review]),
        _of_chance(sign > 0, rises, moved),
        _Surprise(np.where(moved, level - 0.5, 0.0), RANK_SPREAD * moved),
    )


def _of_chance(came: np.ndarray, chance: np.ndarray, counted: np.ndarray) -> _Surprise:
    return _Surprise(
        np.where(counted, came - chance, 0.0),
        np.where(counted, np.sqrt(chance * (1 - chance)), 0.0),
    )


def _over_pairs(values: np.ndarray, group_of: np.ndarray) -> float:
    """The sum of products over all pairs of places of one group."""
    total = np.bincount(group_of, values)
    return float((total @ total - values @ values) / 2)
