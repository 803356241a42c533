"""Walk-forward scores: what the forecasts of the past were worth, against the last value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib import losses
from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.forecast import ensemble
from cloudarb_lib.types import Panel

SCORED_PATHS = 200


def walk_forward(panel: Panel, *, horizons: list[int], origins: int, seed: int) -> pd.DataFrame:
    """Forecast from each of the last ``origins`` cells that has an outcome, and score it.

    Returns table ``scores``; a price pattern counts once. Models are the members, their ``weighted_mean``,
    and ``ensemble``: the median of the calibrated distribution, which is what is handed over; added
    crps_ratio, its CRPS by that of the last value (its absolute error), of relative prices.
    """
    if not len(panel.offers):
        raise DataError(
            "no offer whose price moves (spot or market) to score.", "Choose other providers or as_of."
        )
    cells = len(panel.times)
    if not horizons or min(horizons) < 1 or max(horizons) >= cells:
        raise ParameterError(
            f"horizons {horizons} do not fit a panel of {cells} cells.", "They must end inside the record."
        )
    if origins < 1:
        raise ParameterError(f"origins is {origins}.", "Score at least one origin.")
    patterns = ensemble.find_patterns(panel)
    last = len(patterns.log_price) - 1
    first = max(last - origins, 1)
    if first >= last:
        raise DataError("the panel is too short to score a forecast.", "Use more history.")
    positions = np.arange(max(first - ensemble.CALIBRATION_ORIGINS, 0), last)
    walk = ensemble.walk_origins(patterns, positions, horizon=max(horizons), seed=seed)
    scored = np.flatnonzero(positions >= first)
    return _scores(walk, patterns.group_names, np.array(sorted(set(horizons))), scored)


def _scores(
    walk: ensemble.Walk, groups: tuple[str, ...], horizons: np.ndarray, scored: np.ndarray
) -> pd.DataFrame:
    task, at = walk.task, horizons - 1
    price = np.exp(task.log_price)
    now = price[task.origins[scored]][:, :, None]
    came, known = now * np.exp(task.truth()[scored][:, :, at]), walk.truth[scored][:, :, at]
    median, crps, inside80, inside95 = (np.full(came.shape, np.nan) for _ in range(4))
    for i, origin in enumerate(scored):
        worlds = walk.worlds(int(origin), n_paths=SCORED_PATHS, only=np.arange(price.shape[1]))[:, :, at]
        median[i] = np.median(worlds, axis=1)
        crps[i] = losses.crps(np.exp(worlds).transpose(0, 2, 1), np.exp(known[i]))
        for inside, tail in ((inside80, 0.1), (inside95, 0.025)):
            low, high = np.quantile(worlds, [tail, 1 - tail], axis=1, method="inverted_cdf")
            inside[i] = losses.coverage(low[None] - 1e-9, high[None] + 1e-9, known[i][None], axis=0)
    points = {name: forecast[scored][:, :, at] for name, forecast in walk.members.items()}
    points |= {"weighted_mean": walk.point[scored][:, :, at], "ensemble": median}
    error = {name: np.abs(now * np.exp(point) - came) for name, point in points.items()}
    before, ever = losses.mean(price[: task.origins[scored[0]] + 1], 0), losses.mean(price, 0)
    scale = np.where(np.isfinite(before), before, ever)  # listed after the first origin: no price before
    rows = []
    for code, group in [*enumerate(groups), (-1, ensemble.ALL)]:
        mine = (task.groups == code) | (code < 0)
        for k, horizon in enumerate(horizons):
            if not np.isfinite(came[:, mine, k]).any():
                continue
            part = {model: e[:, mine, k] for model, e in error.items()}
            total = {m: losses.scaled_mae(losses.mean(e, 0), scale[mine]) for m, e in part.items()}
            plain = losses.mean(np.abs(1 - np.exp(known[:, mine, k])))
            for model, e in part.items():
                final = np.nan if model != "ensemble" else 1.0
                rows.append({
                    "model": model, "series_group": group, "horizon": int(horizon),
                    "n": int(np.isfinite(e).sum()), "mae_usd_per_hour": float(losses.mean(e)),
                    "skill": 1 - total[model] / total["last_value"] if total["last_value"] > 0 else 0.0,
                    "coverage80": final * losses.mean(inside80[:, mine, k]),
                    "coverage95": final * losses.mean(inside95[:, mine, k]),
                    "crps_ratio": final * losses.mean(crps[:, mine, k]) / plain if plain > 0 else np.nan,
                })  # fmt: skip
    return pd.DataFrame(rows)
