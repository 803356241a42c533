"""Walk-forward scores: what the forecasts of the past were worth, against the last value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib import losses
from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.forecast.engine import CALIBRATION_ORIGINS, Walk, walk_origins
from cloudarb_lib.forecast.ensemble import GATE_REASONS, KEPT
from cloudarb_lib.forecast.patterns import Patterns, find_patterns
from cloudarb_lib.types import Panel

SCORED_PATHS = 200
ALL = "all"


@dataclass(frozen=True, repr=False)
class WalkForward:
    """``scores`` is table ``scores``; ``weights`` and ``gates`` have a column origin_utc."""

    scores: pd.DataFrame
    weights: pd.DataFrame
    gates: pd.DataFrame
    n_series: int
    n_patterns: int

    def __repr__(self) -> str:
        return (
            f"WalkForward({self.n_series} series, {self.n_patterns} patterns, "
            f"{self.weights['origin_utc'].nunique()} origins)"
        )


def weights_table(walk: Walk, patterns: Patterns, origin: int) -> pd.DataFrame:
    """Return table ``weights`` as it stood at the ``origin``-th origin of ``walk``."""
    return _cells(walk, patterns, walk.weights.values[origin], "weight")


def gates_table(walk: Walk, patterns: Patterns, origin: int) -> pd.DataFrame:
    """Return the members left out at an origin: model, series_group, horizon and reason."""
    codes = _cells(walk, patterns, walk.weights.gates[origin], "reason")
    codes = codes[codes["reason"] != KEPT]
    out = codes.assign(reason=np.array(GATE_REASONS)[codes["reason"].to_numpy(int)])
    failed = [
        {"series_group": ALL, "horizon": h, "model": name, "reason": f"failed: {why}"}
        for name, why in walk.failed.items()
        for h in range(1, walk.task.horizon + 1)
    ]
    return pd.concat([out, pd.DataFrame(failed, columns=out.columns)], ignore_index=True)


def _cells(walk: Walk, patterns: Patterns, values: np.ndarray, name: str) -> pd.DataFrame:
    groups = [*patterns.group_names, ALL]
    axes = [list(walk.weights.models), groups, range(1, walk.task.horizon + 1)]
    index = pd.MultiIndex.from_product(axes, names=["model", "series_group", "horizon"])
    out = pd.Series(values.reshape(-1), index, name=name).reset_index()
    return out[["series_group", "horizon", "model", name]]


def walk_forward(panel: Panel, *, horizons: list[int], origins: int, seed: int) -> WalkForward:
    """Forecast from each of the last ``origins`` cells that has an outcome, and score it.

    Every series counts once per price pattern. Models are the members, their weighted mean
    (``weighted_mean``), the median of the calibrated distribution that is handed over
    (``ensemble``). Columns beyond table ``scores``: scaled_mae (sum over series of MAE / mean
    price before the origins), crps_ratio (CRPS of the ensemble over that of last value, which is
    its absolute error, of relative prices) and dm_p (Diebold-Mariano against last value).
    """
    cells = len(panel.times)
    if not horizons or min(horizons) < 1 or max(horizons) >= cells:
        raise ParameterError(
            f"horizons {horizons} do not fit a panel of {cells} cells.",
            "Ask for steps of 1 or more that end inside the record.",
        )
    if origins < 1:
        raise ParameterError(f"origins is {origins}.", "Score at least one origin.")
    patterns = find_patterns(panel)
    last = len(patterns.log_price) - 1
    first = max(last - origins, 1)
    if first >= last:
        raise DataError("the panel is too short to score a forecast.", "Use more history.")
    positions = np.arange(max(first - CALIBRATION_ORIGINS, 0), last)
    walk = walk_origins(patterns, positions, horizon=max(horizons), seed=seed)
    scored = np.flatnonzero(positions >= first)
    stamps = panel.times[-len(patterns.log_price) :][positions[scored]]
    weights, gates = (
        pd.concat(
            [make(walk, patterns, int(i)).assign(origin_utc=t) for i, t in zip(scored, stamps, strict=True)],
            ignore_index=True,
        )
        for make in (weights_table, gates_table)
    )
    scores = _scores(walk, patterns, np.array(sorted(set(horizons))), scored)
    return WalkForward(scores, weights, gates, len(panel.offers), patterns.log_price.shape[1])


def _scores(walk: Walk, patterns: Patterns, horizons: np.ndarray, scored: np.ndarray) -> pd.DataFrame:
    task, at = walk.task, horizons - 1
    price = np.exp(task.log_price)
    now = price[task.origins[scored]][:, :, None]
    raw = task.truth()[scored][:, :, at]
    known, came = walk.truth[scored][:, :, at], now * np.exp(raw)
    shape = raw.shape
    drawn = {k: np.full(shape, np.nan) for k in ("ensemble", "crps", "80", "95")}
    for i, origin in enumerate(scored):
        worlds = walk.worlds(int(origin), n_paths=SCORED_PATHS)[:, :, at]
        drawn["ensemble"][i] = np.median(worlds, axis=1)
        drawn["crps"][i] = losses.crps(np.exp(worlds).transpose(0, 2, 1), np.exp(known[i]))
        for level, tail in (("80", 0.1), ("95", 0.025)):
            low, high = np.quantile(worlds, [tail, 1 - tail], axis=1, method="inverted_cdf")
            drawn[level][i] = losses.coverage(low[None] - 1e-9, high[None] + 1e-9, known[i][None], axis=0)
    points = {name: f[scored][:, :, at] for name, f in walk.members.items()}
    points |= {"weighted_mean": walk.point[scored][:, :, at], "ensemble": drawn["ensemble"]}
    start = int(task.origins[scored[0]])
    before, ever = (losses.mean(part, 0) for part in (price[: start + 1], price))
    scale = np.where(np.isfinite(before), before, ever)
    error = {name: np.abs(now * np.exp(f) - came) for name, f in points.items()}
    rows = []
    for group in [*range(len(patterns.group_names)), None]:
        mine = np.ones(len(scale), bool) if group is None else patterns.groups == group
        name = ALL if group is None else patterns.group_names[group]
        for k, horizon in enumerate(horizons):
            if not np.isfinite(came[:, mine, k]).any():
                continue
            part = {m: e[:, mine, k] for m, e in error.items()}
            by_series = {m: losses.mean(e, 0) for m, e in part.items()}
            by_origin = {m: losses.mean(e / scale[mine], 1) for m, e in part.items()}
            base = losses.scaled_mae(by_series["last_value"], scale[mine])
            for model in part:
                total = losses.scaled_mae(by_series[model], scale[mine])
                is_final = model == "ensemble"
                rows.append(
                    {
                        "model": model,
                        "series_group": name,
                        "horizon": int(horizon),
                        "n": int(np.isfinite(part[model]).sum()),
                        "mae_usd_per_hour": float(losses.mean(part[model], None)),
                        "skill": 1 - total / base if base > 0 else 0.0,
                        "coverage80": np.nanmean(drawn["80"][:, mine, k]) if is_final else np.nan,
                        "coverage95": np.nanmean(drawn["95"][:, mine, k]) if is_final else np.nan,
                        "scaled_mae": total,
                        "crps_ratio": np.nan,
                        "dm_p": losses.diebold_mariano(
                            by_origin[model], by_origin["last_value"], horizon=int(horizon)
                        ),
                    }
                )
                if is_final:
                    plain = np.nanmean(np.abs(1 - np.exp(known[:, mine, k])))
                    rows[-1]["crps_ratio"] = (
                        np.nanmean(drawn["crps"][:, mine, k]) / plain if plain > 0 else np.nan
                    )
    return pd.DataFrame(rows)
