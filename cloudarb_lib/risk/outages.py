"""When machines are taken away: which pools of machines are down together, hour by hour."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cloudarb_lib.market.replacement import DOWN, UP

MOST_DOWN = 0.999
"""Of all hours."""


class Outages(NamedTuple):
    """Hours in which pools are down, by what is down together.

    Parameters
    ----------
    state : np.ndarray of shape (combinations, pools)
        ``UP``, or ``DOWN`` and above.
    path, combination : np.ndarray of shape (pairs,)
        Which path meets which combination.
    hours : np.ndarray of shape (pairs,)
        For how many hours.
    n_paths : int
        Number of paths.
    """

    state: np.ndarray
    path: np.ndarray
    combination: np.ndarray
    hours: np.ndarray
    n_paths: int

    def per_path(self, by_combination: np.ndarray) -> np.ndarray:
        """Return the sum over hours of a figure by combination, (paths,)."""
        weights = self.hours * by_combination[self.combination]
        return np.bincount(self.path, weights, self.n_paths)


@lru_cache(maxsize=16)
def draw_outages(
    rates_per_hour: tuple[float, ...],
    outage_hours: tuple[float, ...],
    fallback_shares: tuple[float, ...],
    *,
    hours: int,
    n_paths: int,
    seed: int,
) -> Outages:
    """Return when pools are down, each an alternating process on a grid of hours.

    Down as often and as long as stated: spells begin at the rate, end each hour with a probability
    that gives their mean length (at least an hour on the grid; shorter ones count in part, see
    ``hours_lost``). Whether each of two fallbacks has room is drawn once a spell.

    Parameters
    ----------
    rates_per_hour, outage_hours, fallback_shares : tuple of float
        Of each pool.
    hours, n_paths : int
        Length and number of paths.
    seed : int
        Of the draws.

    Returns
    -------
    Outages
    """
    if not rates_per_hour:
        every = np.arange(n_paths)
        nothing_down = np.zeros((1, 0), np.int8)
        return Outages(nothing_down, every, 0 * every, np.full(n_paths, float(hours)), n_paths)
    length = np.maximum(np.array(outage_hours), 1.0)
    down_share = np.minimum(np.array(rates_per_hour) * length, MOST_DOWN)
    ends = 1.0 / length
    begins = np.minimum(ends * down_share / (1.0 - down_share), 1.0)
    room = np.array(fallback_shares)
    rng = np.random.default_rng(seed)
    shape = (n_paths, len(length))

    def new_spell() -> np.ndarray:
        """Return states of spells that begin: the first fallback with room decides."""
        first, second = rng.random((2, *shape)) >= room
        return (DOWN + first + (first & second)).astype(np.int8)

    state = np.where(rng.random(shape) < down_share, new_spell(), UP).astype(np.int8)
    by_hour = np.empty((hours, *shape), dtype=np.int8)
    for hour in range(hours):
        by_hour[hour] = state
        chance = rng.random(shape)
        is_up = state == UP
        starts = is_up & (chance < begins)
        state = np.where(~is_up & (chance < ends), UP, state)
        if starts.any():
            state = np.where(starts, new_spell(), state)
    return _by_combination(by_hour)


def _by_combination(by_hour: np.ndarray) -> Outages:
    """Return states (hours, paths, pools) counted by path and combination."""
    hours, n_paths, pools = by_hour.shape
    flat = by_hour.reshape(-1, pools)
    weights = np.random.default_rng(0).integers(1, 2**62, pools, dtype=np.int64)
    key = flat.astype(np.int64) @ weights  # wraps around: as good a hash
    _, example, combination = np.unique(key, return_index=True, return_inverse=True)
    path = np.tile(np.arange(n_paths), hours)
    pair, count = np.unique(path * len(example) + combination, return_counts=True)
    return Outages(
        flat[example], pair // len(example), pair % len(example), count.astype(float), n_paths
    )


def hours_lost(outage_hours: np.ndarray) -> np.ndarray:
    """Return what part of an hour on the grid is lost when a machine is down in it."""
    return np.minimum(outage_hours, 1.0)
