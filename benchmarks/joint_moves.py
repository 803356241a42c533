"""Whether offers move together in sample paths as they do on record.

usage: python -m benchmarks.joint_moves

On GCP's spot prices of machines with a GPU that are known to be sold: of pairs of offers of one GPU
model, in one region and in two, `together` is how often both moved by 0.5 % or more where one of
them did, `one way` how often both went the same way where both moved; by weeks ahead, over all
origins of `cloudarb backtest`, on record, in the paths handed over, and in those of
benchmarks.review_hazard. What a few cheapest places will cost hangs on it: offers that part ways in
paths, and not in the market, make the cheapest of them look too cheap.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from benchmarks.command_line import names_of
from benchmarks.review_hazard import PEER, forecaster
from cloudarb_lib.base.progress import progress
from cloudarb_lib.forecast.evaluate import ENSEMBLE, Forecaster, models_of
from cloudarb_lib.forecast.features import STEP_LOG
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.rolling import rolling_forecasts
from cloudarb_lib.forecast.targets import Targets
from pipelines.cli.panels import BUNDLED, SEED, prepare

RECORD = "record"
SAME = "one region"
OTHER = "two regions"


def pair_counts(change: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each pair of offers how often either, both, and both one way moved.

    Parameters
    ----------
    change : (offers, draws), log changes; NaN where none is known: the draw does not count.

    Returns
    -------
    By name (offers, offers).
    """
    is_known = np.isfinite(change).astype(float)
    sign = np.where(np.abs(np.nan_to_num(change)) >= STEP_LOG, np.sign(np.nan_to_num(change)), 0.0)
    moved = np.abs(sign)
    both = moved @ moved.T
    one = moved @ is_known.T
    return {"either": one + one.T - both, "both": both, "one way": (both + sign @ sign.T) / 2}


def together(
    models: dict[str, Forecaster], targets: Targets, group: np.ndarray
) -> dict[tuple[str, str, int], dict[str, float]]:
    """Return shares by model, kind of pair and horizon among the offers ``group`` (positions)."""
    region = targets.offers["region"].to_numpy(str)[group]
    pairs = np.triu_indices(len(group), 1)
    is_same = region[pairs[0]] == region[pairs[1]]
    totals = {
        (model, kind, horizon): np.zeros(3)
        for model in models
        for kind in (SAME, OTHER)
        for horizon in targets.horizons
    }
    for i, position in enumerate(progress(targets.starts, "pairs", unit="origin")):
        came = np.log(targets.came[i] / targets.now[i][:, None])[group]
        for model, forecast in models.items():
            paths = came[:, None] if model == RECORD else forecast(int(position))[group]
            for k, horizon in enumerate(targets.horizons):
                known = np.where(np.isfinite(came[:, [k]]), paths[:, :, k], np.nan)
                counts = np.array([count[pairs] for count in pair_counts(known).values()])
                totals[model, SAME, horizon] += counts[:, is_same].sum(axis=1)
                totals[model, OTHER, horizon] += counts[:, ~is_same].sum(axis=1)
    return {
        key: {"together": both / either, "one way": one_way / both}
        for key, (either, both, one_way) in totals.items()
        if both > 0
    }


def main() -> None:
    """Print a table for each GPU model."""
    (setting,) = [each for each in BUNDLED if each.kind == "gpu"]
    task = prepare(setting, "")
    targets = Targets.of(task["panel"], task["origins"])
    patterns = find_patterns(task["panel"], listed=task["listed"])
    horizon = max(targets.horizons)
    forecasts = rolling_forecasts(patterns, targets.starts, horizon=horizon, seed=SEED)
    handed_over = models_of(forecasts, {}, targets)[ENSEMBLE]
    models = {
        RECORD: handed_over,  # not asked: what came is taken
        ENSEMBLE: cache(handed_over),  # asked for each GPU model
        PEER: cache(forecaster(patterns, targets.horizons)),
    }
    for name in sorted(set(targets.groups)):
        shares = together(models, targets, np.flatnonzero(targets.groups == name))
        table = pd.DataFrame(shares).T.rename_axis(["model", "pairs", "weeks"]).unstack("weeks")
        print(f"\n{name}\n{table.sort_index(level='pairs').round(2).to_string()}")


if __name__ == "__main__":
    names_of(__doc__)
    main()
