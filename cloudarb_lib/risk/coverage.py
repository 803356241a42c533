"""A test of how often losses exceeded VaR, over plans and overlapping windows together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIMULATIONS = 2000
"""Of the exceedances of a right model."""
AT_ONCE = 20
"""Simulations drawn in one call: one is small, all need room."""
SIGNIFICANCE = 0.05
NO_RATE_TOO_LOW = "no rate is too low to be right"
NO_RATE_TOO_HIGH = "no rate is too high to be right"
"""Why there is no p: in so few windows a right model may show any rate on that side."""


class PooledTest(NamedTuple):
    """How often losses exceeded VaR, and how often they would under a right model.

    Parameters
    ----------
    rate : float
        Share of windows and plans beyond VaR.
    low, high : float
        Rates between which 95 % of right models lie.
    p_value : float
        Two-sided. NaN where the rate lies on a side of the stated one on which no rate, not even 0
        or 1, would be refused: however wrong the model, the test could not tell.
    no_p_since : str
        Which side that is; empty where there is a p.
    power_double, power_fifth : float
        How often the test finds out a VaR that is exceeded twice as often as stated, and one that
        is exceeded a fifth as often.
    """

    rate: float
    low: float
    high: float
    p_value: float
    no_p_since: str
    power_double: float
    power_fifth: float


def joint_correlation(scores: np.ndarray) -> float:
    """Return the mean correlation of the scores of plans, at least 0.

    Parameters
    ----------
    scores : np.ndarray of shape (windows, plans)
        Normal scores of what came in the model's distribution; NaN where a plan was not held.
    """
    plans = scores.shape[1]
    if plans < 2:
        return 0.0
    standard = (scores - np.nanmean(scores, axis=0)) / np.maximum(np.nanstd(scores, axis=0), 1e-12)
    known = np.isfinite(standard)
    filled = np.where(known, standard, 0.0)
    products = filled.T @ filled
    pairs = known.T.astype(float) @ known
    apart = ~np.eye(plans, dtype=bool) & (pairs > 0)
    if not apart.any():
        return 0.0
    return float(max((products[apart] / pairs[apart]).mean(), 0.0))


def _simulated_scores(held: np.ndarray, overlap: int, correlation: float, seed: int) -> np.ndarray:
    """Return scores of a right model where plans are held, (simulations, windows held).

    Each window is the sum of ``overlap`` steps, so neighbours share all but one; steps have a part
    common to all plans.
    """
    windows, plans = held.shape
    rng = np.random.default_rng(seed)
    n_steps = windows + overlap

    def moving_sums(steps: np.ndarray) -> np.ndarray:
        total = steps.cumsum(axis=1)
        return (total[:, overlap:] - total[:, :-overlap]) / np.sqrt(overlap)

    scores = np.empty((SIMULATIONS, int(held.sum())), dtype=np.float32)
    for block in np.split(scores, SIMULATIONS // AT_ONCE):
        drawn = rng.standard_normal((len(block), n_steps * (1 + plans)), dtype=np.float32)
        common = moving_sums(drawn[:, :n_steps, None])
        own = moving_sums(drawn[:, n_steps:].reshape(-1, n_steps, plans))
        joint = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own
        block[:] = joint[:, held]
    return scores


def pooled_test(
    hits: np.ndarray, scores: np.ndarray, *, level: float, overlap: int, seed: int = 0
) -> PooledTest:
    """Test the share of exceedances, over plans and overlapping windows together.

    Windows that overlap and plans that move together hold less than their number says. What a right
    model would show is simulated: normal scores, each window the sum of the steps it spans, plans
    correlated as the scores of what came are.

    Parameters
    ----------
    hits : np.ndarray of shape (windows, plans)
        Whether the loss was beyond VaR, in the order of time; NaN where a plan was not held.
    scores : np.ndarray of shape (windows, plans)
        As for ``joint_correlation``.
    level : float
        Of VaR.
    overlap : int
        Steps of a window; windows begin a step apart.
    seed : int
        Of the simulation.

    Returns
    -------
    PooledTest
    """
    from scipy.stats import norm

    held = np.isfinite(hits)
    rate = float(hits[held].mean())
    simulated = _simulated_scores(held, overlap, joint_correlation(scores), seed)

    def rates(exceeded: float) -> np.ndarray:
        shares: np.ndarray = (simulated > norm.isf(exceeded)).mean(axis=1)
        return shares

    right = rates(1.0 - level)
    low, high = np.quantile(right, [SIGNIFICANCE / 2, 1.0 - SIGNIFICANCE / 2])

    def found_out(exceeded: float) -> float:
        wrong = rates(exceeded)
        return float(((wrong < low) | (wrong > high)).mean())

    ties = 0.5 * (right == rate).mean()
    tail = min((right < rate).mean(), (right > rate).mean()) + ties
    p_value = float(min(2.0 * tail, 1.0))
    no_p_since = _why_not_refused(float(low), float(high), is_low=rate < 1.0 - level)
    return PooledTest(
        rate=rate,
        low=float(low),
        high=float(high),
        p_value=np.nan if no_p_since else p_value,
        no_p_since=no_p_since,
        power_double=found_out(2.0 * (1.0 - level)),
        power_fifth=found_out((1.0 - level) / 5.0),
    )


def _why_not_refused(low: float, high: float, *, is_low: bool) -> str:
    """Return why no rate on a side would be refused; empty where some would be."""
    if is_low:
        return "" if low > 0.0 else NO_RATE_TOO_LOW
    return "" if high < 1.0 else NO_RATE_TOO_HIGH
