"""How fast the clock of a list's paths goes: calibration by time, which leaves worlds whole.

Paths that hold too little of what came are too slow: as much happened in fewer cells as they expect
in more. So what is handed over h cells ahead is what was simulated up to ``pace`` times h cells
ahead, in all places alike: what moves together still does, what is unchanged is, every price is one
that was simulated, and there is no tail to stretch. The pace is the slowest at which the intervals
of past origins have held as much of what came as they say, on average over the steps ahead; never
slower than simulated.

References
----------
Clark, Econometrica 41, 1973: prices as a process whose clock is not the calendar's.
"""

from __future__ import annotations

import numpy as np

from cloudarb_lib.forecast.lists.outcomes import DOUBT_WINDOWS, OutcomeWeights

PACES = np.exp(np.linspace(0.0, np.log(4.0), 13))
"""Paces that are told apart."""
INTERVALS = np.array([0.8, 0.95])
"""Central intervals that are to hold as much as they say."""


def steps_at(pace: float, steps: np.ndarray, n_paths: int) -> np.ndarray:
    """Return up to which cell each path is simulated for it to stand at ``steps``.

    Where that is between two cells, on as many paths in the later one as the share of it that is
    over; a path is rounded the same way at all steps.

    Parameters
    ----------
    steps : cells ahead, increasing, 1 or more.

    Returns
    -------
    (paths, steps), increasing along steps.
    """
    part = (np.arange(n_paths) + 0.5) / n_paths
    return np.floor(pace * steps + part[:, None]).astype(int)


def share_inside(paths: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the chance that each of ``INTERVALS`` of the paths holds the truth.

    A truth that ties with paths lies anywhere among them, each place being as likely.

    Parameters
    ----------
    paths : (series, paths, ...)
    truth : (series, ...)

    Returns
    -------
    (intervals, series, ...), NaN where the truth is.

    References
    ----------
    Czado, Gneiting and Held, Biometrics 65, 2009.
    """
    below = (paths < truth[:, None]).sum(axis=1)
    tied = (paths == truth[:, None]).sum(axis=1)
    n = paths.shape[1] + 1
    outside = (1 - INTERVALS.reshape(-1, *np.ones(truth.ndim, int))) / 2
    least = np.maximum(below / n, outside)
    most = np.minimum((below + tied + 1) / n, 1 - outside)
    held = np.maximum(most - least, 0.0) * n / (tied + 1)
    return np.where(np.isfinite(truth), held, np.nan)


def paces(held: np.ndarray, weights: OutcomeWeights) -> np.ndarray:
    """Return the pace that stood at each cell asked of ``weights``, 1 where nothing was known.

    Parameters
    ----------
    held : (origins, steps, ``PACES``, ``INTERVALS``), the share of what came that the paths of past
        origins held, had they been simulated at each pace; NaN where nothing is known.
    weights : what these outcomes count at the cells asked.

    Returns
    -------
    (cells asked,), 1 or more.
    """
    beyond = np.nan_to_num(held - INTERVALS).mean(axis=3)
    out = np.ones(len(weights.count))
    for i, (count, windows) in enumerate(zip(weights.count, weights.windows, strict=True)):
        total = count.sum(axis=0)
        is_known = total > 0
        if is_known.any():
            by_step = np.einsum("os,osp->sp", count, beyond)[is_known]
            mean = (by_step / total[is_known, None]).mean(axis=0)
            needed = _first_at_zero(np.maximum.accumulate(mean))
            n_windows = windows[is_known].mean()
            out[i] = needed ** (n_windows / (n_windows + DOUBT_WINDOWS))
    return out


def _first_at_zero(beyond: np.ndarray) -> float:
    """The pace at which ``beyond`` (``PACES``), which does not fall, comes to 0; else the last."""
    after = int(np.searchsorted(beyond, 0.0))
    if after == 0 or after == len(PACES):
        return float(PACES[min(after, len(PACES) - 1)])
    part = -beyond[after - 1] / (beyond[after] - beyond[after - 1])
    return float(PACES[after - 1] + part * (PACES[after] - PACES[after - 1]))
