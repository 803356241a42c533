"""Returns of prices: which steps count, and how much they vary."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError

LEAST_STEPS = 12
EWMA = 0.94  # RiskMetrics (1996), daily
STILL = 1e-12
"""A standard deviation of log returns below this is a series that never moves."""


def enough(count: int, what: str) -> int:
    """Return ``count``; DataError where it is below ``LEAST_STEPS``."""
    if count < LEAST_STEPS:
        raise DataError(
            f"only {max(count, 0)} {what} are known, {LEAST_STEPS} are needed.",
            "Take a longer history, a finer grid or a shorter horizon, or leave the youngest"
            " offers out.",
        )
    return count


def complete_steps(returns: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the steps in which every series is known, and a note on the others.

    Joint moves need all offers, so a step that one lacks is left out for all, and windows close
    over the gap.

    Parameters
    ----------
    returns : np.ndarray of shape (steps, offers)
        NaN marks a step not known. A zero is a step without a change and stays.

    Returns
    -------
    tuple[np.ndarray, str]
        Returns of shape (complete steps, offers), and the note, '' where no step was left out.

    Raises
    ------
    DataError
        For infinite returns and for fewer than 12 steps left.
    """
    by_step = np.asarray(returns, dtype=float)
    if by_step.ndim != 2 or not by_step.shape[1] or np.isinf(by_step).any():
        raise DataError(
            f"returns of shape {by_step.shape} are not (steps, offers) of finite numbers."
        )
    complete = np.isfinite(by_step).all(axis=1)
    total = len(by_step)
    n = enough(int(complete.sum()), f"of {total} steps for all {by_step.shape[1]} offers")
    note = f"; {total - n} steps not known for all were left out" if n < total else ""
    return by_step[complete], note


def ewma_variances(returns: np.ndarray) -> np.ndarray:
    """Return the conditional variance of each step, known one step ahead, and of the next.

    Parameters
    ----------
    returns : np.ndarray of shape (steps, offers)
        Series of returns.

    Returns
    -------
    np.ndarray of shape (steps + 1, offers)
        In returns squared, from their mean square on.

    References
    ----------
    RiskMetrics (1996), 0.94.
    """
    square = returns**2
    square = np.vstack([square.mean(axis=0), square])
    return pd.DataFrame(square).ewm(alpha=1.0 - EWMA, adjust=False).mean().to_numpy()
