"""How prices move together: shrunk correlations, their repair, how they changed, calm against moving weeks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError, ParameterError

LEAST_STEPS = 12
STILL = 1e-12
"""A standard deviation of log returns below this is a series that never moves."""


class Correlation(NamedTuple):
    """A positive definite correlation matrix (offers, offers), and in words what was done to make it so."""

    matrix: np.ndarray
    note: str


def known_steps(returns: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the steps in which every series of ``returns`` (steps, offers) is known, and a note on the rest.

    NaN marks a step not known, which is left out for all offers: joint moves need all of them, and windows close over the
    gap. A zero is a step without a change and stays. Raises DataError for infinite returns and for fewer than 12 steps left.
    """
    r = np.asarray(returns, dtype=float)
    if r.ndim != 2 or not r.shape[1] or np.isinf(r).any():
        raise DataError(f"returns of shape {r.shape} are not (steps, offers) of finite numbers.")
    whole = np.isfinite(r).all(axis=1)
    if (n := int(whole.sum())) < LEAST_STEPS:
        raise DataError(
            f"only {n} of {len(r)} steps are known for all {r.shape[1]} offers, {LEAST_STEPS} are needed.",
            "Take a finer grid or a longer history, or leave the youngest offers out.",
        )
    return r[whole], f"; {len(r) - n} steps not known for all were left out" if n < len(r) else ""


def nearest(matrix: np.ndarray) -> Correlation:
    """Return the correlation matrix nearest to ``matrix`` that is positive definite, and whether it differs.

    Alternating projections (Higham, IMA Journal of Numerical Analysis 22, 2002), as statsmodels runs them.
    """
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest >= 1e-10:
        return Correlation(matrix, "")
    import warnings

    from statsmodels.stats.correlation_tools import corr_clipped, corr_nearest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it always runs to its limit: its own stop compares with rounding
        near = corr_nearest(matrix, threshold=1e-8, n_fact=-(-300 // len(matrix)))
    near = corr_clipped(near, threshold=1e-8)
    return Correlation(near, f"; repaired, as its lowest eigenvalue was {lowest:.1e}")


def correlation(returns: np.ndarray, *, half_life_steps: float = np.inf) -> Correlation:
    """Return the correlation of ``returns`` (steps, offers), shrunk towards independence and repaired.

    Ledoit and Wolf (Journal of Multivariate Analysis 88, 2004) on returns brought to unit spread. With
    ``half_life_steps`` older steps weigh less, exponentially (RiskMetrics 1996). A series that never moves
    correlates with nothing. Raises as ``known_steps``, and ParameterError for no half-life.
    """
    from sklearn.covariance import ledoit_wolf

    if not half_life_steps > 0:
        raise ParameterError(f"half_life_steps is {half_life_steps!r}.", "Give steps above 0.")
    r, missing = known_steps(returns)
    weight = 0.5 ** (np.arange(len(r))[::-1] / half_life_steps)
    weight /= weight.mean()
    away = (r - weight @ r / len(r)) * np.sqrt(weight)[:, None]
    spread = np.sqrt((away**2).mean(axis=0))
    still = spread < STILL
    shrunk, intensity = ledoit_wolf(
        np.where(still, 0.0, away / np.where(still, 1.0, spread)), assume_centered=True
    )
    shrunk[still, still] = 1.0
    matrix = shrunk / np.sqrt(np.outer(np.diag(shrunk), np.diag(shrunk)))
    matrix[still] = matrix[:, still] = 0.0
    np.fill_diagonal(matrix, 1.0)
    note = f"correlation shrunk by {intensity:.0%} towards independence{missing}"
    if still.any():
        note += f"; {int(still.sum())} of {len(still)} series never move"
    near = nearest(matrix)
    return Correlation(near.matrix, note + near.note)


def rolling(returns: np.ndarray, *, window_steps: int = 252, every_steps: int = 1) -> np.ndarray:
    """Return the shrunk correlation over each window, (windows, offers, offers), the last one up to the end.

    Raises DataError where the history is shorter than one window, and as ``correlation``.
    """
    if window_steps < LEAST_STEPS or every_steps < 1:
        way_out = f"Take a window of {LEAST_STEPS} steps or more, every 1 or more."
        raise ParameterError(f"window_steps {window_steps}, every_steps {every_steps}.", way_out)
    if len(returns) < window_steps:
        way_out = "Take a shorter window or a longer history."
        raise DataError(f"{len(returns)} steps do not fill a window of {window_steps}.", way_out)
    ends = np.arange(len(returns), window_steps - 1, -every_steps)[::-1]
    return np.array([correlation(returns[end - window_steps : end]).matrix for end in ends])


def largest_shifts(before: np.ndarray, after: np.ndarray, *, steps: int, names: pd.Index) -> pd.DataFrame:
    """Return each pair of offers with its correlation before and after, the largest shift first.

    ``z`` is the shift in standard errors, by Fisher's transform of two independent windows of ``steps`` each
    (difference of atanh over sqrt(2 / (steps - 3))); ``flagged`` where it is beyond what the largest of
    that many pairs reaches by chance one time in twenty (Bonferroni).
    """
    from scipy.stats import norm

    if steps < LEAST_STEPS or before.shape != after.shape or len(names) != len(before):
        raise ParameterError(f"{len(names)} names, {before.shape} and {after.shape}, {steps} steps.")
    i, j = np.triu_indices(len(before), 1)
    low, high = (np.arctanh(np.clip(m[i, j], -0.999999, 0.999999)) for m in (before, after))
    z = (high - low) / np.sqrt(2.0 / (steps - 3))
    table = pd.DataFrame({
        "offer": names[i], "other": names[j], "before": before[i, j], "after": after[i, j], "z": z,
        "flagged": np.abs(z) > norm.isf(0.025 / max(len(z), 1)),
    })  # fmt: skip
    return table.sort_values("z", key=np.abs, ascending=False, ignore_index=True)


def moving_steps(returns: np.ndarray) -> np.ndarray:
    """Return which steps of ``returns`` (steps, offers) belong to the moving regime, (steps,) bool.

    A step moves where the mean square of its returns, each series over its own, exceeds 1: its usual size.
    With change-coded prices those are the reviews, and nearly all else is calm. NaN counts as no move.
    """
    square = np.square(np.asarray(returns, dtype=float))
    usual = np.nanmean(square, axis=0)
    moves = usual > STILL**2
    if not moves.any():
        return np.zeros(len(square), dtype=bool)
    return np.nanmean(square[:, moves] / usual[moves], axis=1) > 1.0
