"""When a price list is reviewed: gaps between reviews, and the doubt about them."""

from __future__ import annotations

import numpy as np
from scipy.stats import gamma

SHAPES = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 8.0])
"""Regularity of the gaps, as shapes of a gamma distribution: at 1 a review is as likely after any
wait, at 8 gaps differ by a third."""
MEAN_GAPS = np.exp(np.linspace(0.0, np.log(20_000.0), 60))
"""Mean gaps that are told apart, in cells: from every week to once in centuries."""
PRIOR_MEDIAN = 7.0
PRIOR_SPREAD = 1.5
"""What is believed of the mean gap before the record speaks, in cells and logarithms: a factor of
4.5 either way."""
HALF_LIFE_REVIEWS = 8.0
"""Age at which a gap counts half."""
CERTAIN = 1e-12


def draw_reviews(
    reviews: np.ndarray, origin: int, *, n_paths: int, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw in which of the next cells a list is reviewed.

    Gaps are gamma distributed; shape and mean of each path are drawn from their posterior on a
    grid, given the gaps on record and the wait since the last review.

    Parameters
    ----------
    reviews : increasing cells of the record up to ``origin``, one at least.

    Returns
    -------
    (paths, steps), bool.

    References
    ----------
    Cox, Renewal Theory, 1962.
    """
    shape, mean = (axis.ravel() for axis in np.meshgrid(SHAPES, MEAN_GAPS, indexing="ij"))
    scale = mean / shape
    waited = float(origin - reviews[-1])
    chance = _posterior(np.diff(reviews), waited, shape, scale, mean)
    drawn = rng.choice(len(chance), n_paths, p=chance)
    # a chance of a review for each wait, by point of the grid: few waits, many paths
    waits = np.arange(int(waited) + horizon + 2)
    beyond = gamma.sf(waits[:, None] + 0.5, shape, scale=scale)
    hazard = 1.0 - beyond[1:] / np.maximum(beyond[:-1], CERTAIN)
    wait = np.full(n_paths, int(waited))
    out = np.zeros((n_paths, horizon), bool)
    for step in range(horizon):
        out[:, step] = rng.random(n_paths) < hazard[wait, drawn]
        wait = np.where(out[:, step], 0, wait + 1)
    return out


def _posterior(
    gaps: np.ndarray, waited: float, shape: np.ndarray, scale: np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """Chance of each point of the grid; gaps are known to the cell, the wait is not over yet."""
    weight = 0.5 ** (np.arange(len(gaps), 0, -1) / HALF_LIFE_REVIEWS)
    over, under = (gamma.cdf(gaps[:, None] + by, shape, scale=scale) for by in (0.5, -0.5))
    log_chance = weight @ np.log(over - under + CERTAIN)
    log_chance += np.log(gamma.sf(waited + 0.5, shape, scale=scale) + CERTAIN)
    log_chance -= 0.5 * (np.log(mean / PRIOR_MEDIAN) / PRIOR_SPREAD) ** 2
    chance = np.exp(log_chance - log_chance.max())
    return chance / chance.sum()
