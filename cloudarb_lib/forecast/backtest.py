"""Walk-forward scores: what the forecasts of the past were worth, against the last value."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble, losses
from cloudarb_lib.forecast.features import STEP_LOG
from cloudarb_lib.forecast.neural import LEVELS
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.worlds import transform

SCORED_PATHS = 200
DRAWS = 50  # of the distribution between quantiles of a member
SHOWN = ("cov80", "cov95", "pit80", "pit95", "direction", "p_change", "changed", "brier")
FIXED_WEIGHTS = {"prophet": 0.4, "lstm": 0.3, "boosting": 0.3}
"""A usual choice, scored beside the ensemble."""
TAILS = {80: 0.1, 95: 0.025}
"""Probability below, and above, each central interval that is scored (%)."""


class Scored(NamedTuple):
    """``scores`` is table ``scores``, a row per offer, model and horizon; ``weights`` the weight of each member
    (columns) at each origin (time), mean over all steps ahead; ``pits`` where outcomes fell in their
    forecasts: horizon, pit (0 to 1)."""

    scores: pd.DataFrame
    weights: pd.DataFrame
    pits: pd.DataFrame


def walk_forward(
    panel: Panel,
    *,
    origins: dict[int, np.ndarray],
    seed: int,
    tick: np.ndarray | None = None,
    keep: Path | None = None,
    listed: Panel | None = None,
) -> Scored:
    """Forecast from the positions that ``origins`` names for each horizon (steps ahead), and score what came.

    Columns series_id, model, horizon (steps), n, scale (mean price before the origins, USD per hour; NaN where
    there was none), mae, rmse, mase and rmsse (over the one-step error of the last value before the origins),
    crps, cov80, cov95, width80, width95, winkler80, winkler95 (of the ensemble, and those of 80 % of members
    that say quantiles; the CRPS of a point forecast is its absolute error), direction (share of right signs where the price moved 0.5 % or more) and dm_p
    (Diebold-Mariano against the last value); then of the ensemble pit80 and pit95 (coverage by randomised PIT,
    which an atom cannot push beyond nominal), p_change (its mean probability of a move of 0.5 % or more),
    changed (how often one came) and brier (of p_change), mape of each, and series_group, in which the offer is
    forecast. ``ensemble`` is the median of the calibrated distribution, which is what is handed over. ``tick``
    (times, offers) is the price at the end of each cell, where that is not what the panel holds: it enters as
    model last_tick; ``listed`` as in ``find_patterns``. What slow members said is kept in folder ``keep``, and taken from there. DataError without an offer, ParameterError where a horizon does not end inside the record.
    """
    if not len(panel.offers):
        raise DataError(
            "no offer whose price moves (spot or market) to score.",
            "Choose other providers or as_of.",
        )
    horizons = sorted(origins)
    ends = [
        int(at.max(initial=0)) + h if len(at) else len(panel.times) for h, at in origins.items()
    ]
    if not horizons or horizons[0] < 1 or max(ends) >= len(panel.times):
        raise ParameterError(
            f"horizons {horizons} do not end inside {len(panel.times)} cells, or have no origin.",
            "Use shorter horizons, or a longer record.",
        )
    counts = np.stack([np.isin(np.arange(len(panel.times)), origins[h]) for h in horizons], axis=1)
    starts = np.flatnonzero(counts.any(axis=1))
    patterns = find_patterns(panel, listed=listed)
    group = np.array(patterns.group_names, object)[patterns.groups[patterns.of_offer]]
    positions = ensemble.walk_positions(patterns, starts, horizon=horizons[-1])
    walk = ensemble.walk_origins(patterns, positions, horizon=horizons[-1], seed=seed, keep=keep)
    at, scored = np.array(horizons) - 1, np.flatnonzero(np.isin(positions, starts))
    price = np.where(panel.price > 0, panel.price, np.nan)
    now, target = price[starts][:, :, None], starts[:, None] + at + 1
    came = price[np.minimum(target, len(price) - 1)].transpose(0, 2, 1)
    came = np.where(counts[starts][:, None], came, np.nan)
    past = price[: int(starts[0]) + 1]
    scale, one = losses.mean(past, 0), np.diff(past, axis=0)
    naive, naive2 = losses.mean(np.abs(one), 0), losses.mean(one**2, 0)
    of, every = patterns.of_offer, np.arange(len(patterns.groups))
    points = {name: now * np.exp(f[scored][:, :, at])[:, of] for name, f in walk.members.items()}
    if FIXED_WEIGHTS.keys() <= points.keys():
        points["fixed_weights"] = sum(share * points[name] for name, share in FIXED_WEIGHTS.items())
    if tick is not None:
        points["last_tick"] = np.repeat(tick[starts][:, :, None], len(at), axis=2)
    shape = came.shape
    intervals = [f"{what}{level}" for what in ("cov", "width", "winkler") for level in TAILS]
    of_all = ("pit80", "pit95", "p_change", "changed", "brier")
    extra = {name: np.full(shape, np.nan) for name in ("crps", *intervals, *of_all)}
    median, pits = (np.full(shape, np.nan) for _ in range(2))
    rng = np.random.default_rng(seed)
    moved = np.where(np.isfinite(came / now), np.abs(np.log(came / now)) >= STEP_LOG, np.nan)
    for i, origin in enumerate(progress(scored, "score", unit="origin")):
        worlds = np.exp(walk.worlds(int(origin), n_paths=SCORED_PATHS, only=every)[:, :, at])
        median[i] = now[i] * np.median(worlds, axis=1)[of]
        share = came[i] / now[i]
        extra["crps"][i] = now[i] * losses.crps(worlds.transpose(0, 2, 1)[of], share)
        for level in TAILS:
            low, high = (end[of] for end in _interval(worlds, level))
            extra[f"cov{level}"][i] = losses.coverage(low[None], high[None], share[None], axis=0)
            extra[f"width{level}"][i] = now[i] * (high - low)
            extra[f"winkler{level}"][i] = now[i] * losses.winkler(low, high, share, level / 100)
        pits[i] = transform(worlds[of], np.where(moved[i] == 0, 1.0, share), rng=rng)
        for level in TAILS:
            held = np.abs(2 * pits[i] - 1) <= level / 100
            extra[f"pit{level}"][i] = np.where(np.isfinite(pits[i]), held, np.nan)
        chance = (np.abs(np.log(worlds)) >= STEP_LOG).mean(axis=1)[of]
        extra["p_change"][i] = np.where(np.isfinite(share), chance, np.nan)
        extra["changed"][i], extra["brier"][i] = moved[i], (chance - moved[i]) ** 2
    points["ensemble"], more = median, {"ensemble": extra}
    for name, said in walk.quantiles.items():
        more[name] = _of_quantiles(now[..., None] * np.exp(said[scored][:, :, at])[:, of], came)
    base = np.abs(now - came)
    rows = []
    for model, forecast in points.items():
        error = np.where(np.isfinite(came), np.abs(forecast - came), np.nan)
        right = np.where(moved == 1, np.sign(forecast - now) == np.sign(came - now), np.nan)
        for k, h in enumerate(horizons):
            mae, mse = losses.mean(error[:, :, k], 0), losses.mean(error[:, :, k] ** 2, 0)
            overlap = (
                int(np.ceil(h / max(np.diff(origins[h]).mean(), 1.0))) if len(origins[h]) > 1 else 1
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                part = {
                    "series_id": panel.offers.index.astype(object),
                    "model": model,
                    "horizon": h,
                    "n": np.isfinite(error[:, :, k]).sum(0),
                    "scale": scale,
                    "mae": mae,
                    "rmse": np.sqrt(mse),
                    "mase": np.where(naive > 0, mae / naive, np.nan),
                    "rmsse": np.where(naive2 > 0, np.sqrt(mse / naive2), np.nan),
                    "crps": mae,
                }
            known = {n: losses.mean(v[:, :, k], 0) for n, v in more.get(model, {}).items()}
            dm_p = [
                losses.diebold_mariano(error[:, s, k], base[:, s, k], overlap=overlap)
                for s in range(shape[1])
            ]
            part |= {
                **dict.fromkeys(intervals, np.nan),
                "direction": losses.mean(right[:, :, k], 0),
                "dm_p": dm_p,
            }
            part |= {**dict.fromkeys(of_all, np.nan), **known}
            with np.errstate(divide="ignore", invalid="ignore"):
                part["mape"] = losses.mean(error[:, :, k] / came[:, :, k], 0)
            rows.append(pd.DataFrame({**part, "series_group": group}))
    weights = pd.DataFrame(
        walk.weights[scored, :, -1].mean(axis=2), panel.times[starts], list(walk.members)
    )
    flat = pd.DataFrame(
        {"horizon": np.tile(horizons, pits.size // len(horizons)), "pit": pits.ravel()}
    )
    return Scored(pd.concat(rows, ignore_index=True), weights, flat.dropna())


def _of_quantiles(said: np.ndarray, came: np.ndarray) -> dict[str, np.ndarray]:
    """Return scores of quantiles ``LEVELS`` of prices (..., levels) against what ``came``: straight between them, flat
    beyond."""
    low, middle, high = np.moveaxis(said, -1, 0)
    share = (np.arange(DRAWS) + 0.5) / DRAWS
    down, up = (np.clip((share - start) / (LEVELS[1] - LEVELS[0]), 0, 1) for start in LEVELS[:2])
    draws = low[..., None] + (middle - low)[..., None] * down + (high - middle)[..., None] * up
    return {
        "crps": losses.crps(draws, came),
        "width80": np.where(np.isfinite(came), high - low, np.nan),
        "cov80": losses.coverage(low[None], high[None], came[None], axis=0),
        "winkler80": losses.winkler(low, high, came, 0.8),
    }


def _interval(worlds: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends (series, steps) of the central ``level`` % of worlds (series, paths, steps), prices or
    their ratios; wider by the last digits, so that what stands still lies inside."""
    tail = TAILS[level]
    low, high = np.quantile(worlds, [tail, 1 - tail], axis=1, method="inverted_cdf")
    return low * (1 - 1e-9), high * (1 + 1e-9)


def headline(scores: pd.DataFrame) -> pd.DataFrame:
    """Return by model and horizon, over the series of ``scores`` with a scale: ``ratio``, the sum of MAE by
    scale over that of the last value; ``geometric``, the geometric mean of the ratios of the series in which
    both are above 0, and ``left_out``, how many are not; ``crps_ratio``, and the means of ``SHOWN``."""
    rows = {}
    for horizon, at in scores[scores["scale"] > 0].groupby("horizon"):
        last = at[at["model"] == "last_value"].set_index("series_id")
        total = (last["mae"] / last["scale"]).sum()
        for model, part in at.set_index("series_id").groupby("model"):
            both = (part["mae"] > 0) & (last["mae"].reindex(part.index) > 0)
            each = np.log(part.loc[both, "mae"] / last.loc[both.index[both], "mae"])
            rows[model, horizon] = {
                "ratio": (part["mae"] / part["scale"]).sum() / total if total > 0 else np.nan,
                "geometric": float(np.exp(each.mean())),
                "left_out": int((~both).sum()),
                "crps_ratio": (part["crps"] / part["scale"]).sum() / total if total > 0 else np.nan,
                **{name: part[name].mean() for name in SHOWN},
            }
    index = pd.MultiIndex.from_tuples(list(rows), names=["model", "horizon"])
    return pd.DataFrame(list(rows.values()), index).sort_index()
