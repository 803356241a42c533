"""One walk over origins: members, weights that stood there, worlds and their calibration.

A forecast is the last origin of a walk; a back-test is a walk with known outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.features import STEP_LOG
from cloudarb_lib.forecast import calibrate as conformal
from cloudarb_lib.forecast.ensemble import Weights, combine, recent, run_members, weigh
from cloudarb_lib.forecast.members import Task
from cloudarb_lib.forecast.patterns import Patterns
from cloudarb_lib.forecast.simulate import draw_cells, draw_worlds, known_steps, recentre

CALIBRATION_ORIGINS = 52
"""Past origins that weights and intervals rest on."""
CALIBRATION_PATHS = 64


@dataclass(frozen=True)
class Walk:
    """Forecasts at every origin of ``task`` as they could have been made there.

    ``members`` and ``failed`` by name; ``point`` the weighted mean (origins, series, steps), a
    log change; ``truth`` what came, changes under 0.5 % set to 0, NaN where not known.
    """

    task: Task
    members: dict[str, np.ndarray]
    failed: dict[str, str]
    weights: Weights
    point: np.ndarray
    truth: np.ndarray
    steps: np.ndarray
    counts: np.ndarray

    def worlds(self, origin: int, *, n_paths: int, only: np.ndarray | None = None) -> np.ndarray:
        """Return calibrated log changes (series, paths, steps) at the ``origin``-th origin.

        ``only`` picks series; the worlds of a series do not depend on what else is picked.
        """
        task = self.task
        only = np.arange(len(task.groups)) if only is None else only
        cells, shift = draw_cells(
            int(task.origins[origin]), n_paths=n_paths, horizon=task.horizon, seed=task.seed
        )
        drawn = draw_worlds(self.steps, task.groups, cells, shift, only=only)
        drawn = recentre(drawn, self.point[origin, only])
        weight = recent(task.origins, task.horizon, conformal.HALF_LIFE_STEPS)[origin]
        maps = conformal.width_maps(self.counts, weight)
        return conformal.calibrate(drawn, maps, task.groups[only])


def walk_origins(patterns: Patterns, origins: np.ndarray, *, horizon: int, seed: int) -> Walk:
    """Return the walk over ``origins`` (increasing positions in the patterns' cells)."""
    task = Task(patterns.log_price, patterns.groups, origins, horizon, seed)
    members, failed = run_members(task)
    weights = weigh(task, members)
    point = combine(task, members, weights)
    came = task.truth()
    truth = np.where(np.abs(came) < STEP_LOG, 0.0, came)
    steps = known_steps(task.log_price, task.groups)
    pits = np.full(truth.shape, np.nan)
    rng = np.random.default_rng(seed)
    for i, at in enumerate(origins):
        if not np.isfinite(truth[i]).any():
            continue
        cells, shift = draw_cells(int(at), n_paths=CALIBRATION_PATHS, horizon=horizon, seed=seed)
        drawn = draw_worlds(steps, task.groups, cells, shift)
        pits[i] = conformal.transform(recentre(drawn, point[i]), truth[i], rng=rng)
    counts = conformal.count_widths(pits, task.groups)
    return Walk(task, members, failed, weights, point, truth, steps, counts)
