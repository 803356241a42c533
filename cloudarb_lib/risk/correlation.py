"""How prices move, and together: volatility, shrunk correlations, how they change, calm against moving weeks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.risk.measures import cvar, var

LEAST_STEPS = 12
EWMA = 0.94  # RiskMetrics (1996), daily
STILL = 1e-12
"""A standard deviation of log returns below this is a series that never moves."""


class Correlation(NamedTuple):
    """A positive definite correlation matrix (offers, offers), or one a step, and in words how it was made."""

    matrix: np.ndarray
    note: str


def enough(count: int, what: str) -> int:
    """Return ``count``; DataError where it is below ``LEAST_STEPS``."""
    if count < LEAST_STEPS:
        way_out = "Take a longer history, a finer grid or a shorter horizon, or leave the youngest offers out."
        raise DataError(
            f"only {max(count, 0)} {what} are known, {LEAST_STEPS} are needed.", way_out
        )
    return count


def known_steps(returns: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the steps in which every series of ``returns`` (steps, offers) is known, and a note on the rest.

    NaN marks a step not known, which is left out for all offers: joint moves need all of them, and windows close
    over the gap. A zero is a step without a change and stays. Raises DataError for infinite returns and for fewer
    than 12 steps left.
    """
    r = np.asarray(returns, dtype=float)
    if r.ndim != 2 or not r.shape[1] or np.isinf(r).any():
        raise DataError(f"returns of shape {r.shape} are not (steps, offers) of finite numbers.")
    whole = np.isfinite(r).all(axis=1)
    n = enough(int(whole.sum()), f"of {len(r)} steps for all {r.shape[1]} offers")
    return r[whole], f"; {len(r) - n} steps not known for all were left out" if n < len(r) else ""


def variances(returns: np.ndarray, model: str) -> np.ndarray:
    """Return the conditional variance of series (steps, offers), (steps + 1, offers): of each step, known one
    step ahead, and of the next, in returns squared.

    ewma: RiskMetrics (1996), 0.94, from the mean square. garch: GARCH(1,1) with mean zero, each series by the
    quasi-maximum likelihood of ``arch``.
    """
    square = returns**2
    square = np.vstack([square.mean(axis=0), square])
    if model == "ewma":
        return pd.DataFrame(square).ewm(alpha=1.0 - EWMA, adjust=False).mean().to_numpy()
    from arch import arch_model

    variance = np.empty_like(square)
    for j, scale in enumerate(1.0 / np.sqrt(square[0])):  # the optimiser wants numbers near 1
        garch = arch_model(returns[:, j] * scale, mean="Zero", rescale=False)
        fitted = garch.fit(disp="off", show_warning=False)
        after = fitted.forecast(horizon=1).variance.to_numpy()[-1]
        variance[:, j] = np.append(fitted.conditional_volatility**2, after) / scale**2
    return variance


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
        warnings.simplefilter(
            "ignore"
        )  # it always runs to its limit: its own stop compares with rounding
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
    away[:, still] = 0.0
    shrunk, intensity = ledoit_wolf(away / np.maximum(spread, STILL), assume_centered=True)
    shrunk[still, still] = 1.0
    matrix = shrunk / np.sqrt(np.outer(np.diag(shrunk), np.diag(shrunk)))
    matrix[still] = matrix[:, still] = 0.0
    np.fill_diagonal(matrix, 1.0)
    note = f"correlation shrunk by {intensity:.0%} towards independence{missing}"
    if still.any():
        note += f"; {int(still.sum())} of {len(still)} series never move"
    near = nearest(matrix)
    return Correlation(near.matrix, note + near.note)


def dcc(returns: np.ndarray) -> Correlation:
    """Return the correlation of each step and the next, (steps + 1, offers, offers), and a and b in words.

    Dynamic conditional correlation (Engle, Journal of Business and Economic Statistics 20, 2002), scalar, in
    two steps: each series over its EWMA volatility (over its spread where it stands still in most steps), then
    Q' = (1 - a - b) S + a z z' + b Q with a and b by the normal likelihood and S shrunk. Raises as ``known_steps``.
    """
    from scipy.optimize import minimize
    from scipy.signal import lfilter

    r, missing = known_steps(returns)
    scale = np.tile(np.maximum(np.sqrt((r**2).mean(axis=0)), STILL), (len(r), 1))
    moving = (r != 0).mean(axis=0) > 0.5
    scale[:, moving] = np.sqrt(variances(r[:, moving], "ewma")[:-1])
    z = r / scale
    long_run, square = correlation(z).matrix, z[:, :, None] * z[:, None, :]

    def run(a: float, b: float) -> np.ndarray:
        away = lfilter([a], [1.0, -b], square - long_run, axis=0)  # of Q from S after each step
        q = long_run + np.concatenate([np.zeros_like(away[:1]), away])
        spread = np.sqrt(np.einsum("tii->ti", q))
        return q / (spread[:, :, None] * spread[:, None, :])

    def misfit(ab: np.ndarray) -> float:
        if min(ab) < 0 or sum(ab) > 0.999:
            return np.inf
        matrices = run(*ab)[:-1]
        fit = np.einsum("ti,ti->", z, np.linalg.solve(matrices, z[:, :, None])[:, :, 0])
        return float(np.linalg.slogdet(matrices)[1].sum() + fit)

    a, b = minimize(
        misfit, (0.05, 0.9), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3}
    ).x
    return Correlation(run(a, b), f"DCC with a = {a:.3f}, b = {b:.3f}{missing}")


def rolling(returns: np.ndarray, *, window_steps: int = 252, every_steps: int = 1) -> np.ndarray:
    """Return the shrunk correlation over each window, (windows, offers, offers), the last one up to the end.

    Raises ParameterError for a window that the history does not fill, and as ``correlation``.
    """
    n = len(returns)
    if not LEAST_STEPS <= window_steps <= n or every_steps < 1:
        way_out = f"Take a window of {LEAST_STEPS} to {n} steps, every 1 or more."
        raise ParameterError(
            f"{n} steps do not fill window_steps {window_steps} every {every_steps}.", way_out
        )
    ends = np.arange(n, window_steps - 1, -every_steps)[::-1]
    return np.array([correlation(returns[end - window_steps : end]).matrix for end in ends])


def largest_shifts(
    before: np.ndarray, after: np.ndarray, *, steps: int, names: pd.Index
) -> pd.DataFrame:
    """Return each pair of offers with its correlation before and after, the largest shift first.

    ``z`` is the shift in standard errors, by Fisher's transform of two independent windows of ``steps`` each
    (difference of atanh over sqrt(2 / (steps - 3))); ``flagged`` where it is beyond what the largest of
    that many pairs reaches by chance one time in twenty (Bonferroni).
    """
    from scipy.stats import norm

    if steps < LEAST_STEPS or before.shape != after.shape or len(names) != len(before):
        raise ParameterError(
            f"{len(names)} names, {before.shape} and {after.shape}, {steps} steps."
        )
    i, j = np.triu_indices(len(before), 1)
    low, high = (np.arctanh(np.clip(m[i, j], -0.999999, 0.999999)) for m in (before, after))
    z = (high - low) / np.sqrt(2.0 / (steps - 3))
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


def index_changes(panel: Panel, by: list[str]) -> pd.DataFrame:
    """Return the mean log change of all offers of each combination of the columns ``by``, a row per step.

    An offer counts in the steps in which it is priced at both ends; NaN where none of a combination is.
    """
    change = panel.frame().where(panel.frame() > 0).transform(np.log).diff().iloc[1:]
    names = panel.offers[by].fillna("").astype(str).agg(" ".join, axis=1)
    return change.T.groupby(names).mean().T


def average_correlation(changes: np.ndarray, *, window_steps: int = 252) -> pd.Series:
    """Return the mean correlation of all pairs of ``changes`` (steps, series) as it is now, by estimator.

    The whole record; the last ``window_steps``; exponentially weighted with the memory of RiskMetrics; DCC.
    Raises as ``rolling`` and ``dcc``.
    """
    now = {
        "whole record": correlation(changes).matrix,
        f"last {window_steps} looks": rolling(changes, window_steps=window_steps)[-1],
        "exponentially weighted": correlation(
            changes, half_life_steps=np.log(0.5) / np.log(EWMA)
        ).matrix,
        "DCC": dcc(changes).matrix[-1],
    }
    pairs = np.triu_indices(changes.shape[1], 1)
    return pd.Series({name: m[pairs].mean() for name, m in now.items()}, name="mean correlation")


def regimes(changes: np.ndarray, spend_usd: np.ndarray) -> pd.DataFrame:
    """Return what calm steps, moving steps and all do to the cost of one step.

    A step moves where the mean square of its changes, each series over its own, exceeds 1: its usual size. With
    change-coded prices those are the reviews, and nearly all else is calm. ``changes`` (steps, offers) are shares,
    0.1 is 10 % up. Index regime; columns steps, var_usd and cvar_usd at 95 %: of the increase that each past step
    would bring today to a plan that spends ``spend_usd`` (offers,) a step. Raises as ``known_steps``.
    """
    r, _ = known_steps(changes)
    loss, usual = r @ spend_usd, (r**2).mean(axis=0)
    moves = usual > STILL**2
    moving = (r[:, moves] ** 2 / usual[moves]).sum(axis=1) > moves.sum()
    masks = {"calm": ~moving, "moving": moving, "all": np.ones(len(r), dtype=bool)}
    rows = {
        n: (m.sum(), var(loss[m]).value, cvar(loss[m]).value) for n, m in masks.items() if m.any()
    }
    columns = ["steps", "var_usd", "cvar_usd"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("regime")
