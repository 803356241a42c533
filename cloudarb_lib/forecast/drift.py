"""Drift: when prices, or what forecasts lose on them, stop being like the past.

Two ways at each look, pooled by group: of the data, the newest moves against those of a reference window
(Kolmogorov and Smirnov's distance); of the loss, the mean absolute error of the last value one step ahead, by
Page and Hinkley's test (Page, Biometrika 41, 1954) and ADWIN (Bifet and Gavalda, SIAM SDM 2007), both by river.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.features import CAP_LOG, REVIEW_SHARE, steps

ACTIONS = {"ks": "look", "page_hinkley": "re-weight", "adwin": "refit"}
"""What each detector calls for: a look at the data, weights that forget, a new fit."""
REFERENCE_LOOKS = 52  # looks before the newest that it is compared with: a year of weeks
LEAST_REVIEWS = 3  # fewer moves in the reference, and it is taken whole, stillness and all
LEAST_LOOKS = 8  # looks before a loss can be called unusual
LEAST_USUAL = 0.01  # mean absolute log change a look that counts as usual, where the past had less
TOLERATED = 0.5  # Page-Hinkley: growth of the loss, in usual ones, that is no drift
ADWIN_DELTA = 0.002
PAGE_HINKLEY = 10.0


def series_groups(offers: pd.DataFrame) -> pd.Series:
    """Return the group in which each offer is watched, provider/purchase option/GPU model."""
    return offers[["provider", "purchase_option", "gpu_model"]].astype(str).agg("/".join, axis=1)


def turns(losses: Sequence[float], *, threshold: float = PAGE_HINKLEY) -> np.ndarray:
    """Return at which looks Page-Hinkley's test on ``losses``, in usual ones so far, speaks; it starts anew then.

    ``threshold``: how many times the usual loss must come on top of it, summed up.
    """
    from river.drift import PageHinkley

    def anew() -> PageHinkley:
        return PageHinkley(min_instances=1, delta=TOLERATED, threshold=threshold, mode="up")

    detector, out = anew(), np.zeros(len(losses), bool)
    for i, loss in enumerate(losses):
        detector.update(loss / max(float(np.mean(losses[:i] or [0.0])), LEAST_USUAL))
        if detector.drift_detected:
            out[i], detector = i >= LEAST_LOOKS, anew()
    return out


def alarms(panel: Panel, *, ks: float = 0.7, page_hinkley: float = PAGE_HINKLEY) -> pd.DataFrame:
    """Return table ``alarms``: time_utc, series_group, detector, statistic, threshold, action.

    Groups are provider/purchase option/GPU model. A look is a cell, or a day where cells are shorter, so looks
    never overlap. ``ks`` (0 to 1) is the distance beyond which moves count as different, ``page_hinkley``
    as in ``turns``. A detector starts anew after it spoke.
    ParameterError for a threshold that cannot be.
    """
    from river.drift import ADWIN
    from scipy.stats import ks_2samp

    if not 0 < ks < 1 or not page_hinkley > 0:
        raise ParameterError(
            f"thresholds ks {ks!r}, page_hinkley {page_hinkley!r}.",
            "Use 0 < ks < 1 and page_hinkley above 0.",
        )
    cells = max(int(pd.Timedelta(days=1) / panel.step), 1)
    looked = np.arange(cells - 1, len(panel.times), cells)
    log_price = np.log(np.where(panel.price > 0, panel.price, np.nan))[looked]
    known, step, times = np.isfinite(log_price), steps(log_price), panel.times[looked]
    names = series_groups(panel.offers)
    thresholds = {"ks": ks, "page_hinkley": page_hinkley, "adwin": ADWIN_DELTA}
    rows = []
    for group in sorted(names.unique()):
        mine = (names == group).to_numpy()
        seen = np.flatnonzero(known[:, mine].any(axis=1))
        moves = [step[i, mine & known[i]] for i in seen]
        losses = [float(np.abs(now).mean()) for now in moves]
        turned = turns(losses, threshold=page_hinkley)
        adwin, start = ADWIN(delta=ADWIN_DELTA, clock=1), 0
        for i, (now, loss) in enumerate(zip(moves, losses, strict=True)):
            said = {"page_hinkley": loss} if turned[i] else {}
            adwin.update(min(loss / CAP_LOG, 1.0))
            if adwin.drift_detected:
                said["adwin"], adwin = loss, ADWIN(delta=ADWIN_DELTA, clock=1)
            past = moves[max(i - REFERENCE_LOOKS, start) : i]
            if _reviewed(now) and past:
                reviews = [m for m in past if _reviewed(m)]
                reference = np.concatenate(reviews if len(reviews) >= LEAST_REVIEWS else past)
                distance = float(ks_2samp(now, reference).statistic)
                chance = 1.63 * np.sqrt(
                    1 / len(now) + 1 / len(reference)
                )  # 1 % level (Smirnov, 1948)
                if distance > max(ks, chance):
                    said["ks"], start = distance, i
            if i >= LEAST_LOOKS:
                time = times[seen[i]]
                rows += [
                    (time, group, n, value, thresholds[n], ACTIONS[n]) for n, value in said.items()
                ]
    columns = ["time_utc", "series_group", "detector", "statistic", "threshold", "action"]
    return pd.DataFrame(rows, columns=columns)


def _reviewed(moves: np.ndarray) -> bool:
    return bool((moves != 0).mean() >= REVIEW_SHARE)
