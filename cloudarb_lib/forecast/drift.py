"""Drift: when prices, or what forecasts lose on them, stop being like the past.

Two ways at each observation, pooled by group: of the data, the newest moves against those of a
reference window (Kolmogorov and Smirnov's distance); of the loss, the mean absolute error of the
last value one step ahead, by Page and Hinkley's test and ADWIN, both by river.

References
----------
Page, Biometrika 41, 1954. Bifet and Gavalda, SIAM International Conference on Data Mining, 2007.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.features import CAP_LOG, REPRICING_SHARE, price_steps
from cloudarb_lib.forecast.patterns import cells_per_day

ACTIONS = {"ks": "look", "page_hinkley": "re-weight", "adwin": "refit"}
"""What each detector calls for: a look at the data, weights that forget, a new fit."""
REFERENCE_OBSERVATIONS = 52  # before the newest, which is compared with them: a year of weeks
LEAST_REPRICINGS = 3  # fewer moves in the reference, and it is taken whole, stillness and all
LEAST_OBSERVATIONS = 8  # before a loss can be called unusual
LEAST_USUAL = 0.01  # mean absolute log change that counts as usual, where the past had less
TOLERATED = 0.5  # Page-Hinkley: growth of the loss, in usual ones, that is no drift
ADWIN_DELTA = 0.002
PAGE_HINKLEY = 10.0
SMIRNOV = 1.63  # times the root of the sizes: the distance at the 1 % level (Smirnov, 1948)
COLUMNS = ["time_utc", "series_group", "detector", "statistic", "threshold", "action"]


def series_groups(offers: pd.DataFrame) -> pd.Series:
    """Return the group in which each offer is watched, provider/purchase option/GPU model."""
    return offers[["provider", "purchase_option", "gpu_model"]].astype(str).agg("/".join, axis=1)


def page_hinkley_alarms(losses: Sequence[float], *, threshold: float = PAGE_HINKLEY) -> np.ndarray:
    """Return at which observations Page-Hinkley's test speaks; it starts anew then.

    Parameters
    ----------
    losses : in time order; counted in usual ones so far.
    threshold : how many times the usual loss must come on top of it, summed up.

    Returns
    -------
    (observations,), bool.
    """
    from river.drift import PageHinkley

    def anew() -> PageHinkley:
        return PageHinkley(min_instances=1, delta=TOLERATED, threshold=threshold, mode="up")

    detector = anew()
    out = np.zeros(len(losses), bool)
    for i, loss in enumerate(losses):
        detector.update(loss / max(float(np.mean(losses[:i] or [0.0])), LEAST_USUAL))
        if detector.drift_detected:
            out[i] = i >= LEAST_OBSERVATIONS
            detector = anew()
    return out


def last_alarm(
    log_price: np.ndarray, *, cells_per_day: int = 1, copies: np.ndarray | None = None
) -> np.ndarray:
    """Return by each cell the last one at which the last value lost more than it used to.

    Over all series, and by the day where cells are shorter (Page and Hinkley's test).

    Parameters
    ----------
    log_price : (times, series)
    copies : (series,), how many offers each series stands for; None: one.

    Returns
    -------
    (times,), positions; -1 without such an alarm.
    """
    observed = _observed(len(log_price), cells_per_day)
    by_day = log_price[observed]
    offers = np.isfinite(by_day) * (1.0 if copies is None else copies)
    moved = (np.abs(price_steps(by_day)) * offers).sum(axis=1)
    is_alarm = page_hinkley_alarms(list(moved / np.maximum(offers.sum(axis=1), 1)))
    out = np.full(len(log_price), -1)
    out[observed[is_alarm]] = observed[is_alarm]
    return np.maximum.accumulate(out)


def _observed(n_cells: int, cells_per_day: int) -> np.ndarray:
    """Cells at which is looked: the last of each day, each where cells are longer."""
    return np.arange(cells_per_day - 1, n_cells, cells_per_day)


def alarms(panel: Panel, *, ks: float = 0.7, page_hinkley: float = PAGE_HINKLEY) -> pd.DataFrame:
    """Return table ``alarms``: time_utc, series_group, detector, statistic, threshold, action.

    An observation is a cell, or a day where cells are shorter, so they never overlap. A detector
    starts anew after it spoke.

    Parameters
    ----------
    ks : the distance (0 to 1) beyond which moves count as different.
    page_hinkley : as in ``page_hinkley_alarms``.

    Raises
    ------
    ParameterError
        For a threshold that cannot be.
    """
    if not 0 < ks < 1 or not page_hinkley > 0:
        raise ParameterError(
            f"thresholds ks {ks!r}, page_hinkley {page_hinkley!r}.",
            "Use 0 < ks < 1 and page_hinkley above 0.",
        )
    thresholds = {"ks": ks, "page_hinkley": page_hinkley, "adwin": ADWIN_DELTA}
    observed = _observed(len(panel.times), cells_per_day(panel))
    log_price = np.log(np.where(panel.price > 0, panel.price, np.nan))[observed]
    priced = np.isfinite(log_price)
    step = price_steps(log_price)
    times = panel.times[observed]
    names = series_groups(panel.offers)
    rows = []
    for group in sorted(names.unique()):
        mine = (names == group).to_numpy()
        at = np.flatnonzero(priced[:, mine].any(axis=1))
        moves = [step[i, mine & priced[i]] for i in at]
        for i, detector, statistic in _group_alarms(moves, ks=ks, page_hinkley=page_hinkley):
            row = (times[at[i]], group, detector, statistic, thresholds[detector])
            rows.append((*row, ACTIONS[detector]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _group_alarms(
    moves: list[np.ndarray], *, ks: float, page_hinkley: float
) -> Iterator[tuple[int, str, float]]:
    """Yield observation, detector and statistic of each alarm over the moves of a group."""
    from river.drift import ADWIN

    losses = [float(np.abs(newest).mean()) for newest in moves]
    loss_alarm = page_hinkley_alarms(losses, threshold=page_hinkley)
    adwin = ADWIN(delta=ADWIN_DELTA, clock=1)
    start = 0  # of the reference
    for i, (newest, loss) in enumerate(zip(moves, losses, strict=True)):
        spoke: dict[str, float] = {}
        if loss_alarm[i]:
            spoke["page_hinkley"] = loss
        adwin.update(min(loss / CAP_LOG, 1.0))
        if adwin.drift_detected:
            spoke["adwin"] = loss
            adwin = ADWIN(delta=ADWIN_DELTA, clock=1)
        past = moves[max(i - REFERENCE_OBSERVATIONS, start) : i]
        if _is_repricing(newest) and past:
            distance, least = _distance(newest, past)
            if distance > max(ks, least):
                spoke["ks"] = distance
                start = i
        if i >= LEAST_OBSERVATIONS:
            for detector, statistic in spoke.items():
                yield i, detector, statistic


def _distance(newest: np.ndarray, past: list[np.ndarray]) -> tuple[float, float]:
    """Kolmogorov and Smirnov's distance of moves from those before, and what is chance."""
    from scipy.stats import ks_2samp

    repricings = [moves for moves in past if _is_repricing(moves)]
    reference = np.concatenate(repricings if len(repricings) >= LEAST_REPRICINGS else past)
    by_chance = SMIRNOV * np.sqrt(1 / len(newest) + 1 / len(reference))
    return float(ks_2samp(newest, reference).statistic), by_chance


def _is_repricing(moves: np.ndarray) -> bool:
    return bool((moves != 0).mean() >= REPRICING_SHARE)
