"""Value-at-risk and conditional value-at-risk of equally likely samples: the one home of both.

Samples are costs or losses: large is bad. Sampling errors and contributions stand in
``risk.measures``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WHOLE = 1e-9
"""So near to a whole number of samples a share of them is that number: 0.05 * 500 is
25.000000000000021."""


def quantile_rank(n: int, level: float) -> int:
    """Return which of ``n`` samples in rising order, from 0, is their quantile at ``level``.

    Parameters
    ----------
    n : int
        Number of samples, 1 or more.
    level : float
        Share of the samples at or below the quantile, inside (0, 1).

    Returns
    -------
    int
        The first rank that has at least ``level`` of the samples at or below it (inverse of the
        empirical distribution function).
    """
    return min(max(int(np.ceil(n * level - WHOLE)) - 1, 0), n - 1)


def tail_weights(n: int, level: float) -> np.ndarray:
    """Return how much each of the worst samples counts in the tail beyond ``level``.

    Parameters
    ----------
    n : int
        Number of samples, 1 or more.
    level : float
        Share of the samples outside the tail, inside (0, 1).

    Returns
    -------
    np.ndarray of shape (samples in the tail,)
        The worst first: 1 for a sample that lies in the tail whole; the last counts with what is
        left of (1 - level) n, the sum of all weights (Rockafellar and Uryasev 2002, proposition 8).
    """
    mass = (1 - level) * n
    size = max(int(np.ceil(mass - WHOLE)), 1)
    weights = np.ones(size)
    weights[-1] = mass - (size - 1)
    return weights


def value_at_risk(samples: np.ndarray, level: float, *, axis: int = 0) -> Any:
    """Return value-at-risk: the smallest sample with at least ``level`` of all at or below it.

    Parameters
    ----------
    samples : np.ndarray
        Equally likely costs or losses along ``axis``.
    level : float
        Inside (0, 1).
    axis : int
        Axis of the samples.

    Returns
    -------
    float, or np.ndarray of the shape of the other axes
        In the samples' unit. A missing sample counts as the worst.
    """
    rank = quantile_rank(samples.shape[axis], level)
    return np.partition(samples, rank, axis=axis).take(rank, axis=axis)


def conditional_value_at_risk(samples: np.ndarray, level: float) -> Any:
    """Return conditional value-at-risk (expected shortfall): the mean of the worst samples.

    Parameters
    ----------
    samples : np.ndarray of shape (n,) or (n, k)
        Equally likely costs or losses.
    level : float
        Inside (0, 1): the worst 1 - ``level`` of all count.

    Returns
    -------
    float, or np.ndarray of shape (k,)
        In the samples' unit; NaN where a sample is missing.

    Notes
    -----
    A share that is no whole number of samples takes a part of the last one (``tail_weights``),
    which makes this the least value over t of t + mean(max(samples - t, 0)) / (1 - level).

    References
    ----------
    Rockafellar and Uryasev, Optimization of conditional value-at-risk, Journal of Risk 2 (2000);
    Conditional value-at-risk for general loss distributions, Journal of Banking and Finance 26
    (2002). Acerbi and Tasche, On the coherence of expected shortfall, Journal of Banking and
    Finance 26 (2002).
    """
    return var_and_cvar(samples, level)[1]


def var_and_cvar(samples: np.ndarray, level: float) -> tuple[Any, Any]:
    """Return value-at-risk and conditional value-at-risk of samples that are ordered but once."""
    n = len(samples)
    weights = tail_weights(n, level)
    rank = quantile_rank(n, level)
    ordered = np.partition(samples, rank, axis=0)  # the tail begins at the rank or just above
    tail = np.sort(ordered[n - len(weights) :], axis=0)[::-1]
    weighted = tail * weights.reshape(-1, *[1] * (tail.ndim - 1))
    # added one by one, the worst first: the same bits for one column as for many
    return ordered[rank], weighted.cumsum(axis=0)[-1] / weights.sum()
