"""Scores of sample paths against what came: their median, their mean, their whole distribution."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.forecast.conformal import randomised_pit
from cloudarb_lib.forecast.features import STEP_LOG

PathScores = dict[str, np.ndarray]
"""Scores by name, all of one shape: see ``score_paths``."""


def score_paths(
    paths: np.ndarray,
    now: np.ndarray,
    came: np.ndarray,
    *,
    scale: np.ndarray | None = None,
    rng: np.random.Generator,
) -> PathScores:
    """Return what sample paths from one origin were worth, series by series and step by step.

    A single path is a point forecast: its CRPS is its absolute error, and it has no PIT.

    Parameters
    ----------
    paths : (series, paths, horizons), log changes from the price now, equally likely.
    now : (series, horizons) or (series, 1), prices at the origin.
    came : (series, horizons), prices that came; NaN where none is known.
    scale : shaped as ``now``, by which errors are divided; without it the price now.
    rng : breaks ties of the PIT.

    Returns
    -------
    By name (series, horizons), NaN where the price now or what came is not known:
    ``absolute_error`` of the median and ``error`` of the mean (mean less what came; its mean is the
    bias, its root mean square the RMSE of the mean), ``crps``, all three over ``scale``; ``pit``,
    where what came fell among the paths, 0 to 1, a move under 0.5 % taken as none and ties broken
    at random; ``p_change``, the share of paths with a move of 0.5 % or more; ``changed``, 1 where
    one came, else 0; ``brier``, the squared difference of the two; ``direction``, where one came,
    1 if most paths with a move went its way, else 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log_came = np.log(came / now)
        unit = 1.0 if scale is None else now / scale
    is_known = np.isfinite(log_came)
    ratio = np.exp(paths)
    share = np.exp(log_came)
    is_move = np.abs(paths) >= STEP_LOG
    has_moved = np.abs(log_came) >= STEP_LOG
    p_change = is_move.mean(axis=1)
    most_go = np.sign((np.sign(paths) * is_move).sum(axis=1))
    if paths.shape[1] > 1:
        still = np.where(has_moved | ~is_known, log_came, 0.0)
        pit = randomised_pit(np.where(is_move, paths, 0.0), still, rng=rng)
    else:
        pit = np.full(came.shape, np.nan)
    scores = {
        "absolute_error": unit * np.abs(np.median(ratio, axis=1) - share),
        "error": unit * (ratio.mean(axis=1) - share),
        "crps": unit * crps(ratio.transpose(0, 2, 1), share),
        "pit": pit,
        "p_change": p_change,
        "changed": has_moved.astype(float),
        "brier": (p_change - has_moved) ** 2,
        "direction": np.where(has_moved, most_go == np.sign(log_came), np.nan),
    }
    return {name: np.where(is_known, values, np.nan) for name, values in scores.items()}


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of each forecast.

    E|X - y| - E|X - X'|/2, the second term over sorted samples.

    Parameters
    ----------
    samples : (..., draws), equally likely values.
    truth : (...), what came.

    Returns
    -------
    (...), in the unit of the values.

    References
    ----------
    Gneiting and Raftery, Journal of the American Statistical Association 102, 2007, eq. 21.
    """
    n = samples.shape[-1]
    spread = (np.sort(samples, axis=-1) * (2 * np.arange(n) - n + 1)).sum(axis=-1) / n**2
    return np.abs(samples - np.asarray(truth)[..., None]).mean(axis=-1) - spread
