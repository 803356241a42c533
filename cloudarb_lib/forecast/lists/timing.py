"""When a price list is reviewed: gaps between reviews, and the doubt about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammainc, gammaincc

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


@dataclass(frozen=True, eq=False)
class GapLaws:
    """Gamma laws of gaps that are told apart.

    Attributes
    ----------
    shape : (laws,)
    mean : (laws,), cells.
    """

    shape: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, shapes: np.ndarray, mean_gaps: np.ndarray) -> GapLaws:
        """Return the laws of every shape with every mean."""
        return cls(*(axis.ravel() for axis in np.meshgrid(shapes, mean_gaps, indexing="ij")))

    @property
    def scale(self) -> np.ndarray:
        """Scales of the laws (laws,), cells."""
        return self.mean / self.shape


LAWS = GapLaws.of(SHAPES, MEAN_GAPS)


def draw_reviews(
    reviews: np.ndarray, origin: int, *, n_paths: int, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw in which of the next cells a list is reviewed.

    Gaps are gamma distributed; the law of each path is drawn from its posterior among ``LAWS``,
    given the gaps on record and the wait since the last review.

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
    waited = int(origin - reviews[-1])
    chance = _posterior(np.diff(reviews), waited)
    drawn = rng.choice(len(chance), n_paths, p=chance)
    hazard = _hazard(LAWS, _at_least(waited + horizon + 1))
    wait = np.full(n_paths, waited)
    out = np.zeros((n_paths, horizon), bool)
    for step in range(horizon):
        out[:, step] = rng.random(n_paths) < hazard[wait, drawn]
        wait = np.where(out[:, step], 0, wait + 1)
    return out


def _posterior(gaps: np.ndarray, waited: int) -> np.ndarray:
    """Chance of each of ``LAWS``; gaps are known to the cell, the wait is not over yet."""
    weight = 0.5 ** (np.arange(len(gaps), 0, -1) / HALF_LIFE_REVIEWS)
    log_chance = weight @ _log_chances(LAWS, _at_least(gaps.max(initial=0) + 1))[gaps]
    log_chance += np.log(_beyond(LAWS, _at_least(waited + 1))[waited] + CERTAIN)
    log_chance -= 0.5 * (np.log(LAWS.mean / PRIOR_MEDIAN) / PRIOR_SPREAD) ** 2
    chance = np.exp(log_chance - log_chance.max())
    return chance / chance.sum()


def _at_least(n_waits: int) -> int:
    """A power of two, so that few tables serve all waits."""
    return 1 << max(int(n_waits) - 1, 63).bit_length()


@lru_cache(maxsize=4)
def _beyond(laws: GapLaws, n_waits: int) -> np.ndarray:
    """Chance that a gap is longer than each wait, known to the cell (waits from 0, laws)."""
    return gammaincc(laws.shape, (np.arange(n_waits)[:, None] + 0.5) / laws.scale)


@lru_cache(maxsize=4)
def _hazard(laws: GapLaws, n_waits: int) -> np.ndarray:
    """Chance of a review in the next cell after each wait (waits from 0, laws)."""
    beyond = _beyond(laws, n_waits + 1)
    return 1.0 - beyond[1:] / np.maximum(beyond[:-1], CERTAIN)


@lru_cache(maxsize=4)
def _log_chances(laws: GapLaws, n_gaps: int) -> np.ndarray:
    """Log chance of each gap, known to the cell (gaps from 0, laws)."""
    edges = np.maximum(np.arange(n_gaps + 1)[:, None] - 0.5, 0.0)
    shorter = gammainc(laws.shape, edges / laws.scale)
    return np.log(np.diff(shorter, axis=0) + CERTAIN)
