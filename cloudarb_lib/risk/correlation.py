"""How prices move together: shrunk correlations, how they change, calm against moving weeks."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.market.explore.words import site_name
from cloudarb_lib.risk.measures import cvar, var
from cloudarb_lib.risk.returns import EWMA, LEAST_STEPS, STILL, complete_steps, ewma_variances


class Correlation(NamedTuple):
    """A positive definite correlation (offers, offers), or one a step, and how it was made."""

    matrix: np.ndarray
    note: str


def nearest_correlation(matrix: np.ndarray) -> Correlation:
    """Return the correlation matrix nearest to ``matrix`` that is positive definite.

    Alternating projections, as statsmodels runs them. The note says whether it differs.

    References
    ----------
    Higham, IMA Journal of Numerical Analysis 22 (2002).
    """
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest >= 1e-10:
        return Correlation(matrix, "")
    import warnings

    from statsmodels.stats.correlation_tools import corr_clipped, corr_nearest

    with warnings.catch_warnings():
        # it always runs to its limit: its own stop compares with rounding
        warnings.simplefilter("ignore")
        repaired = corr_nearest(matrix, threshold=1e-8, n_fact=-(-300 // len(matrix)))
    repaired = corr_clipped(repaired, threshold=1e-8)
    return Correlation(repaired, f"; repaired, as its lowest eigenvalue was {lowest:.1e}")


def correlation(returns: np.ndarray, *, half_life_steps: float = np.inf) -> Correlation:
    """Return the correlation of returns, shrunk towards independence and repaired.

    A series that never moves correlates with nothing.

    Parameters
    ----------
    returns : np.ndarray of shape (steps, offers)
        As for ``complete_steps``.
    half_life_steps : float
        Older steps weigh less, exponentially (RiskMetrics 1996); infinite: all weigh alike.

    Returns
    -------
    Correlation
        A matrix of shape (offers, offers).

    Raises
    ------
    DataError
        As ``complete_steps``.
    ParameterError
        For no half-life.

    References
    ----------
    Ledoit and Wolf, Journal of Multivariate Analysis 88 (2004), on returns brought to unit spread.
    """
    from sklearn.covariance import ledoit_wolf

    if not half_life_steps > 0:
        raise ParameterError(f"half_life_steps is {half_life_steps!r}.", "Give steps above 0.")
    complete, missing = complete_steps(returns)
    n = len(complete)
    weight = 0.5 ** (np.arange(n)[::-1] / half_life_steps)
    weight /= weight.mean()
    deviation = (complete - weight @ complete / n) * np.sqrt(weight)[:, None]
    spread = np.sqrt((deviation**2).mean(axis=0))
    still = spread < STILL
    deviation[:, still] = 0.0
    shrunk, intensity = ledoit_wolf(deviation / np.maximum(spread, STILL), assume_centered=True)
    shrunk[still, still] = 1.0
    matrix = shrunk / np.sqrt(np.outer(np.diag(shrunk), np.diag(shrunk)))
    matrix[still] = 0.0
    matrix[:, still] = 0.0
    np.fill_diagonal(matrix, 1.0)
    note = f"correlation shrunk by {intensity:.0%} towards independence{missing}"
    if still.any():
        note += f"; {int(still.sum())} of {len(still)} series never move"
    repaired = nearest_correlation(matrix)
    return Correlation(repaired.matrix, note + repaired.note)


def dcc(returns: np.ndarray) -> Correlation:
    """Return the dynamic conditional correlation of each step and the next.

    Scalar, in two steps: each series over its EWMA volatility (over its spread where it stands
    still in most steps), then Q' = (1 - a - b) S + a z z' + b Q with a and b by the normal
    likelihood and S shrunk.

    Parameters
    ----------
    returns : np.ndarray of shape (steps, offers)
        As for ``complete_steps``.

    Returns
    -------
    Correlation
        Matrices of shape (complete steps + 1, offers, offers); the note tells a and b.

    Raises
    ------
    DataError
        As ``complete_steps``.

    References
    ----------
    Engle, Journal of Business and Economic Statistics 20 (2002).
    """
    from scipy.optimize import minimize

    complete, missing = complete_steps(returns)
    n = len(complete)
    scale = np.tile(np.maximum(np.sqrt((complete**2).mean(axis=0)), STILL), (n, 1))
    moving = (complete != 0).mean(axis=0) > 0.5
    scale[:, moving] = np.sqrt(ewma_variances(complete[:, moving])[:-1])
    z = complete / scale
    long_run = correlation(z).matrix
    deviation = z[:, :, None] * z[:, None, :] - long_run

    def misfit(parameters: np.ndarray) -> float:
        if min(parameters) < 0 or sum(parameters) > 0.999:
            return np.inf
        a, b = parameters
        matrices = _dcc_path(a, b, long_run, deviation)[:-1]
        fit = np.einsum("ti,ti->", z, np.linalg.solve(matrices, z[:, :, None])[:, :, 0])
        return float(np.linalg.slogdet(matrices)[1].sum() + fit)

    options = {"xatol": 1e-3, "fatol": 1e-3}
    a, b = minimize(misfit, (0.05, 0.9), method="Nelder-Mead", options=options).x
    note = f"DCC with a = {a:.3f}, b = {b:.3f}{missing}"
    return Correlation(_dcc_path(a, b, long_run, deviation), note)


def _dcc_path(a: float, b: float, long_run: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the correlation before each step and after the last, (steps + 1, offers, offers)."""
    from scipy.signal import lfilter

    from_long_run = lfilter([a], [1.0, -b], deviation, axis=0)  # of Q from S after each step
    q = long_run + np.concatenate([np.zeros_like(from_long_run[:1]), from_long_run])
    spread = np.sqrt(np.einsum("tii->ti", q))
    return q / (spread[:, :, None] * spread[:, None, :])


def rolling(returns: np.ndarray, *, window_steps: int = 252, every_steps: int = 1) -> np.ndarray:
    """Return the shrunk correlation over each window, the last one up to the end.

    Parameters
    ----------
    returns : np.ndarray of shape (steps, offers)
        As for ``complete_steps``.
    window_steps : int
        Length of a window, 12 or more.
    every_steps : int
        From the end of one window to that of the next.

    Returns
    -------
    np.ndarray of shape (windows, offers, offers)

    Raises
    ------
    ParameterError
        For a window that the history does not fill.
    DataError
        As ``correlation``.
    """
    n = len(returns)
    if not LEAST_STEPS <= window_steps <= n or every_steps < 1:
        raise ParameterError(
            f"{n} steps do not fill window_steps {window_steps} every {every_steps}.",
            f"Take a window of {LEAST_STEPS} to {n} steps, every 1 or more.",
        )
    ends = np.arange(n, window_steps - 1, -every_steps)[::-1]
    return np.array([correlation(returns[end - window_steps : end]).matrix for end in ends])


def largest_shifts(
    before: np.ndarray, after: np.ndarray, *, steps: int, names: pd.Index
) -> pd.DataFrame:
    """Return each pair of offers with its correlation before and after, the largest shift first.

    Parameters
    ----------
    before, after : np.ndarray of shape (offers, offers)
        Correlations of two independent windows.
    steps : int
        Steps of each window.
    names : pd.Index
        Of the offers.

    Returns
    -------
    pd.DataFrame
        Columns offer, other, before, after; ``z``, the shift in standard errors by Fisher's
        transform (difference of atanh over sqrt(2 / (steps - 3))); ``flagged`` where it is beyond
        what the largest of that many pairs reaches by chance one time in twenty (Bonferroni).
    """
    from scipy.stats import norm

    if steps < LEAST_STEPS or before.shape != after.shape or len(names) != len(before):
        raise ParameterError(
            f"{len(names)} names, {before.shape} and {after.shape}, {steps} steps."
        )
    i, j = np.triu_indices(len(before), 1)
    fisher_before = np.arctanh(np.clip(before[i, j], -0.999999, 0.999999))
    fisher_after = np.arctanh(np.clip(after[i, j], -0.999999, 0.999999))
    z = (fisher_after - fisher_before) / np.sqrt(2.0 / (steps - 3))
    table = pd.DataFrame(
        {
            "offer": names[i],
            "other": names[j],
            "before": before[i, j],
            "after": after[i, j],
            "z": z,
            "flagged": np.abs(z) > norm.isf(0.025 / max(len(z), 1)),
        }
    )
    return table.sort_values("z", key=np.abs, ascending=False, ignore_index=True)


def index_changes(panel: Panel) -> pd.DataFrame:
    """Return the mean log change of all offers of each place.

    Parameters
    ----------
    panel : Panel
        Prices.

    Returns
    -------
    pd.DataFrame
        A row per step, a column per place, named as people write it. An offer counts in the steps
        in which it is priced at both ends; NaN where none of a place is.
    """
    change = panel.frame().where(panel.frame() > 0).transform(np.log).diff().iloc[1:]
    places = site_name(panel.offers)
    return change.T.groupby(places).mean().T.rename_axis(columns=None)


def average_correlation(changes: np.ndarray, *, window_steps: int = 252) -> pd.Series:
    """Return the mean correlation of all pairs as it is now, by estimator.

    Parameters
    ----------
    changes : np.ndarray of shape (steps, series)
        As for ``complete_steps``.
    window_steps : int
        Length of the last window.

    Returns
    -------
    pd.Series
        The whole record; the last ``window_steps``; exponentially weighted with the memory of
        RiskMetrics; DCC.

    Raises
    ------
    ParameterError, DataError
        As ``rolling`` and ``dcc``.
    """
    half_life = np.log(0.5) / np.log(EWMA)
    now = {
        "whole record": correlation(changes).matrix,
        f"last {window_steps} looks": rolling(changes, window_steps=window_steps)[-1],
        "exponentially weighted": correlation(changes, half_life_steps=half_life).matrix,
        "DCC": dcc(changes).matrix[-1],
    }
    pairs = np.triu_indices(changes.shape[1], 1)
    return pd.Series({name: m[pairs].mean() for name, m in now.items()}, name="mean correlation")


LEAST_MOVES = 50
"""Steps in which a series must have moved for a correlation that changes over time."""


def pairs_on_record(changes: pd.DataFrame) -> pd.DataFrame:
    """Return how each pair of series moved together, and how little the record says of it.

    Parameters
    ----------
    changes
        Steps x series; 0 where a price stood still.

    Returns
    -------
    pd.DataFrame
        A row per pair, the steps in which most moved first: ``one``, ``other``, ``moved`` (steps in
        which either did), ``moved_together``, ``correlation`` over the former, and ``low`` and
        ``high``, its 95 % interval (Fisher's z); NaN below 4 such steps.
    """
    rows = []
    for one, other in combinations(changes.columns, 2):
        pair = changes[[one, other]].to_numpy()
        moved = pair[(pair != 0).any(axis=1)]
        together = int((moved != 0).all(axis=1).sum())
        rows.append((one, other, len(moved), together, *_with_range(moved)))
    columns = ["one", "other", "moved", "moved_together", "correlation", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        "moved", ascending=False, ignore_index=True
    )


def _with_range(moved: np.ndarray) -> tuple[float, float, float]:
    """Return the correlation of two columns and its 95 % interval."""
    if len(moved) < 4 or (moved.std(axis=0) == 0).any():
        return np.nan, np.nan, np.nan
    found = float(np.corrcoef(moved.T)[0, 1])
    z = np.arctanh(np.clip(found, -1 + 1e-12, 1 - 1e-12))
    reach = 1.96 / np.sqrt(len(moved) - 3)
    return found, float(np.tanh(z - reach)), float(np.tanh(z + reach))


def regimes(changes: np.ndarray, spend_usd: np.ndarray) -> pd.DataFrame:
    """Return what calm steps, moving steps and all do to the cost of one step.

    A step moves where the mean square of its changes, each series over its own, exceeds 1: its
    usual size. With change-coded prices those are the repricing events, and nearly all else is
    calm.

    Parameters
    ----------
    changes : np.ndarray of shape (steps, offers)
        Shares, 0.1 is 10 % up; as for ``complete_steps``.
    spend_usd : np.ndarray of shape (offers,)
        What the plan spends a step.

    Returns
    -------
    pd.DataFrame
        Index regime; columns steps, var_usd and cvar_usd at 95 %: of the increase that each past
        step would bring today.

    Raises
    ------
    DataError
        As ``complete_steps``.
    """
    complete, _ = complete_steps(changes)
    loss = complete @ spend_usd
    mean_square = (complete**2).mean(axis=0)
    moves = mean_square > STILL**2
    moving = (complete[:, moves] ** 2 / mean_square[moves]).sum(axis=1) > moves.sum()
    regime_steps = {"calm": ~moving, "moving": moving, "all": np.ones(len(complete), dtype=bool)}
    rows = {
        name: (steps.sum(), var(loss[steps]).value, cvar(loss[steps]).value)
        for name, steps in regime_steps.items()
        if steps.any()
    }
    columns = ["steps", "var_usd", "cvar_usd"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("regime")
