"""Whether a figure of a market's forecasts hangs on where something is clipped.

usage: python -m benchmarks.clips

On the bundled auctions and marketplaces of `cloudarb backtest`, with the members fitted once: the
figures of what is handed over, each as the ensemble stands and with one clip at a time twice as
far. `grid` is how far widths are told apart (`conformal.NATS`), `shift` how far they adapt, `limit`
how far beyond where it has been a price may go, `change` how far a member may forecast. Shown is by
how many per cent each figure moves; CVaR is of the price itself, the mean of the highest twentieth
of its paths over the price now. The members' own limits on what they learn from are no such clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import pandas as pd

from benchmarks.command_line import names_of
from cloudarb_lib.base.measures import var_and_cvar
from cloudarb_lib.forecast import conformal, ensemble, sample_paths
from cloudarb_lib.forecast.evaluate import ENSEMBLE, Forecaster, models_of, score_models
from cloudarb_lib.forecast.patterns import Patterns, find_patterns
from cloudarb_lib.forecast.rolling import RollingForecasts
from cloudarb_lib.forecast.score_table import headline, score_table
from cloudarb_lib.forecast.targets import Targets
from cloudarb_lib.forecast.task import Task
from pipelines.cli.panels import BUNDLED, SEED, Setting, prepare

CLIPS: dict[str, tuple[ModuleType, str]] = {
    "grid": (conformal, "NATS"),
    "shift": (conformal, "MOST_SHIFT"),
    "limit": (sample_paths, "CAP_LOG"),
    "change": (ensemble, "MAX_CHANGE_LOG"),
}
"""Where each clip stands."""
FIGURES = ["mae_ratio", "rmse_ratio", "crps_ratio", "pit80", "pit95"]
LEVEL = 0.95


@contextmanager
def doubled(clip: str) -> Iterator[None]:
    """Let one of ``CLIPS`` be twice as far."""
    module, name = CLIPS[clip]
    before = getattr(module, name)
    twice = np.linspace(0.0, 2 * before[-1], 2 * len(before) - 1) if clip == "grid" else 2 * before
    setattr(module, name, twice)
    try:
        yield
    finally:
        setattr(module, name, before)


def cvar_of_prices(forecast: Forecaster, targets: Targets) -> np.ndarray:
    """Return the mean CVaR (horizons,) of prices over the prices now."""
    total = np.zeros(len(targets.horizons))
    for i, position in enumerate(targets.starts):
        ratio = np.exp(forecast(int(position))[np.isfinite(targets.now[i])])
        tails = [var_and_cvar(ratio[:, :, k].T, LEVEL)[1].mean() for k in range(len(total))]
        total += tails
    return total / len(targets.starts)


def figures(
    patterns: Patterns, task: Task, members: dict[str, np.ndarray], targets: Targets
) -> pd.DataFrame:
    """Return the figures of what is handed over, by horizon."""
    low, high = ensemble.forecast_limits(task)
    within = {name: np.clip(median, low, high) for name, median in members.items()}
    market = ensemble.weigh_and_calibrate(patterns, task, within, {})
    forecasts = RollingForecasts(patterns, task.origins, task.horizon, None, market)
    models = models_of(forecasts, {}, targets)
    (offers, *_) = score_models(models, targets, seed=SEED)
    table = headline(score_table(offers, targets)).loc[ENSEMBLE, FIGURES]
    return table.assign(cvar=cvar_of_prices(models[ENSEMBLE], targets))


def moved(setting: Setting) -> pd.DataFrame:
    """Return by how many per cent figures move, by clip and horizon."""
    prepared = prepare(setting, "")
    targets = Targets.of(prepared["panel"], prepared["origins"])
    patterns = find_patterns(prepared["panel"], listed=prepared["listed"])
    horizon = max(targets.horizons)
    origins = ensemble.rolling_origins(patterns, targets.starts, horizon=horizon)
    task = ensemble.task_of(patterns, origins, horizon=horizon, seed=SEED)
    with doubled("change"), doubled("limit"):
        members, failed = ensemble.run_members(task)
    if failed:
        print(f"left out, since they failed: {failed}")
    as_it_stands = figures(patterns, task, members, targets)
    print(as_it_stands.round(3).to_string())
    changes = {}
    for clip in CLIPS:
        with doubled(clip):
            changes[clip] = 100.0 * (figures(patterns, task, members, targets) / as_it_stands - 1)
    return pd.concat(changes, names=["clip"])


def main() -> None:
    """Print a table for each bundled market, and what moves most."""
    names_of(__doc__)
    for setting in BUNDLED:
        if setting.kind in ("auction", "market"):
            print(f"\n{setting.name}")
            table = moved(setting)
            print(f"moves by %, with a clip twice as far\n{table.round(2).to_string()}")
            print(f"at most {table.abs().to_numpy().max():.2f} %")


if __name__ == "__main__":
    main()
