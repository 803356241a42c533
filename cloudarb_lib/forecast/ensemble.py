"""Rolling-origin forecasts: members, weights that stood at each origin, calibrated sample paths.

A forecast made now is that of the last origin; a back-test is one whose outcomes are known. A
member that raises, returns NaN, or was not better than the last value (``weights``) is left out
there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.files import replaced
from cloudarb_lib.base.progress import progress
from cloudarb_lib.forecast import conformal
from cloudarb_lib.forecast.features import STEP_LOG
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.patterns import Patterns
from cloudarb_lib.forecast.sample_paths import (
    HALF_LIFE_DAYS,
    PathSource,
    calm_at,
    price_limits,
    simulate_paths,
)
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.forecast.weights import discount_by_age, own_share, weigh, weighted_mean
from cloudarb_lib.forecast.worker import begin, within

ALL = "all"
CALIBRATION_DAYS = 52
"""Days before the first origin, from which weights learn; cells where those are longer."""
MOST_FORECASTS = 8_000_000
"""Origins times series times steps, beyond which it learns from fewer origins."""
CALIBRATION_PATHS = 128
MOST_AT_ONCE = 1_000  # series whose paths are in memory at once
MAX_CHANGE_LOG = 1.5
"""No member forecasts a price more than 4.5 times as high or low, unless it has been there."""
LIMIT_S = 900.0
"""Time a member may take over all origins."""


@dataclass(frozen=True, eq=False)
class RollingEnsemble:
    """Forecasts at every origin of ``task`` as they could have been made there; all log changes.

    Attributes
    ----------
    members : by name, the medians (origins, series, steps).
    failed : by name, why other members failed.
    weights : (origins, members, groups and all, steps).
    gates : alike; '' or the reason why a member is left out.
    point : (origins, series, steps), the weighted mean.
    widths : (origins, groups, steps, ``NATS``), as from ``conformal.adapt``.
    source : what sample paths are drawn from.
    """

    patterns: Patterns
    task: Task
    members: dict[str, np.ndarray]
    failed: dict[str, str]
    weights: np.ndarray
    gates: np.ndarray
    point: np.ndarray
    widths: np.ndarray
    source: PathSource

    def paths(
        self, origin: int, *, n_paths: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return calibrated sample paths from an origin.

        Parameters
        ----------
        only : positions of the series asked.
        ahead : positions of the steps asked.

        Returns
        -------
        (series, paths, steps), log changes.
        """
        origin = range(len(self.task.origins))[origin]
        point = self.point[origin, only][:, ahead]
        calm = calm_at(self.task, self.source, origin, only=only, ahead=ahead)
        drawn = simulate_paths(
            self.task, self.source, origin, point, calm, n_paths=n_paths, only=only, ahead=ahead
        )
        lowest = drawn.min(axis=1, keepdims=True)
        highest = drawn.max(axis=1, keepdims=True)
        widths = self.widths[origin][:, ahead]
        out = conformal.calibrate(drawn, widths, self.task.groups[only], calm)
        low, high = self.source.limits_at(origin, only)
        return np.clip(out, np.minimum(low, lowest), np.maximum(high, highest), out=out)

    def weights_table(self, origin: int) -> pd.DataFrame:
        """Return table ``weights`` at an origin."""
        return self._by_member(self.weights[origin], "weight")

    def gates_table(self, origin: int) -> pd.DataFrame:
        """Return the members left out at an origin: model, series_group, horizon, reason."""
        reasons = self._by_member(self.gates[origin], "reason")
        failed = [
            (name, ALL, h, f"failed: {why}")
            for name, why in self.failed.items()
            for h in range(1, self.task.horizon + 1)
        ]
        tables = [reasons[reasons["reason"] != ""], pd.DataFrame(failed, columns=reasons.columns)]
        return pd.concat(tables).astype({"horizon": int})

    def _by_member(self, values: np.ndarray, name: str) -> pd.DataFrame:
        """Values (members, groups and all, steps) as a table."""
        ahead = range(1, self.task.horizon + 1)
        axes = [list(self.members), [*self.patterns.group_names, ALL], ahead]
        index = pd.MultiIndex.from_product(axes, names=["model", "series_group", "horizon"])
        return pd.Series(values.ravel(), index, name=name).reset_index()


def rolling_origins(
    patterns: Patterns, asked: np.ndarray, *, horizon: int, first: int | None = None
) -> np.ndarray:
    """Return the origins that a forecast from the cells ``asked`` needs.

    Those, and before them what weights and intervals learn from: ``CALIBRATION_DAYS`` of every
    cell, or of each sixth hour, of fewer where there are very many series. A back-test and a
    forecast made now learn from the same ones.

    Parameters
    ----------
    asked : increasing positions.
    first : first origin of earlier forecasts, which go on.
    """
    back = CALIBRATION_DAYS * patterns.cells_per_day
    start = max(int(asked[0]) - back, 1)
    fewer = back * len(patterns.groups) * horizon // MOST_FORECASTS
    stride = max(patterns.cells_per_day // 4, fewer, 1)
    between = np.arange(start if first is None else first, int(asked[-1]), stride)
    return np.union1d(between[between >= start], asked)


def task_of(patterns: Patterns, origins: np.ndarray, *, horizon: int, seed: int) -> Task:
    """Return what members are asked of ``patterns``."""
    return Task(
        patterns.log_price,
        patterns.groups,
        origins,
        horizon,
        seed,
        cells_per_day=patterns.cells_per_day,
        copies=np.bincount(patterns.of_offer, minlength=len(patterns.groups)),
        about=patterns.about,
    )


def rolling_ensemble(
    patterns: Patterns,
    origins: np.ndarray,
    *,
    horizon: int,
    seed: int,
    leave_out: tuple[str, ...] = (),
    keep: Path | None = None,
) -> RollingEnsemble:
    """Return the forecasts from ``origins`` (increasing positions), by all but ``leave_out``.

    ``keep`` as in ``run_members``.
    """
    task = task_of(patterns, origins, horizon=horizon, seed=seed)
    answers, failed = run_members(task, leave_out, keep=keep)
    return weigh_and_calibrate(patterns, task, answers, failed)


def run_members(
    task: Task, leave_out: tuple[str, ...] = (), *, keep: Path | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the median changes (origins, series, steps) by member, and why others failed.

    A member that needs longer than ``LIMIT_S`` has failed.

    Parameters
    ----------
    leave_out : names of members that are not asked.
    keep : folder for this task alone, in which forecasts of members that fit a model are kept, and
        found.
    """
    # a task of their own: what it caches may be gigabytes, and goes when they are done
    own_task = replace(task)
    low, high = forecast_limits(task)
    asked = [name for name in MEMBERS if name not in leave_out]
    files = {name: keep / f"{name}.npy" for name in asked if keep and MEMBERS[name].model_file}
    begun = {  # they go on beside the others
        name: begin(partial(MEMBERS[name].forecast, own_task))
        for name in asked
        if MEMBERS[name].other_process and not _is_kept(files.get(name))
    }
    answers: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    for name in progress(asked, "members", unit="member"):
        file = files.get(name)
        try:
            if file is not None and file.exists():
                answers[name] = np.load(file, allow_pickle=False)
                continue
            call = begun.get(name) or begin(partial(MEMBERS[name].forecast, own_task))
            answer = within(LIMIT_S, call)
            if not np.isfinite(answer).all():
                raise DataError("it returned a number that is not finite.")
            # steps of a volatile past add up beyond reason
            answers[name] = np.clip(answer, low, high).astype(np.float32)
            if file is not None:
                with replaced(file) as part, part.open("wb") as out:
                    np.save(out, answers[name], allow_pickle=False)
        except Exception as cause:  # one member must never stop the others
            failed[name] = f"{type(cause).__name__}: {cause}"
    return answers, failed


def _is_kept(file: Path | None) -> bool:
    return file is not None and file.exists()


def forecast_limits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Least and most log change that a member may forecast, each (origins, series, 1)."""
    low, high = (limit[..., None] for limit in price_limits(task))
    return np.minimum(low, -MAX_CHANGE_LOG), np.maximum(high, MAX_CHANGE_LOG)


def weigh_and_calibrate(
    patterns: Patterns, task: Task, medians: dict[str, np.ndarray], failed: dict[str, str]
) -> RollingEnsemble:
    """Return what the members' answers at the origins of ``task`` make: weights, and intervals."""
    weights, gates = weigh(task, medians)
    point = weighted_mean(task, weights, medians)
    came = task.truth()
    truth = np.where(np.abs(came) < STEP_LOG, 0.0, came)
    source = PathSource.of(task)
    widths = _calibrated_widths(task, _needed_widths(task, source, point, truth))
    return RollingEnsemble(patterns, task, medians, failed, weights, gates, point, widths, source)


def _needed_widths(
    task: Task, source: PathSource, point: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Widths (origins, series, steps) of sample paths that just hold what came."""
    n_series = len(task.groups)
    blocks = np.array_split(np.arange(n_series), -(-n_series // MOST_AT_ONCE))
    every = np.arange(task.horizon)
    needed = np.full(truth.shape, np.nan)
    rng = np.random.default_rng(task.seed)
    for i in progress(range(len(task.origins)), "calibrate", unit="origin"):
        for only in blocks:
            calm = calm_at(task, source, i, only=only, ahead=every)
            paths = simulate_paths(
                task,
                source,
                i,
                point[i, only],
                calm,
                n_paths=CALIBRATION_PATHS,
                only=only,
                ahead=every,
            )
            needed[i, only] = conformal.needed_width(paths, truth[i, only], calm, rng=rng)
    return needed


def _calibrated_widths(task: Task, needed: np.ndarray) -> np.ndarray:
    """Widths (origins, groups, steps, ``NATS``) that stood at each origin."""
    counts = conformal.count_widths(needed, task.groups)
    half_life = HALF_LIFE_DAYS * task.cells_per_day
    weight = discount_by_age(task.origins, task.origins, task.horizon, half_life)
    weight = weight.transpose(1, 2, 0)  # (at, origins, steps)
    own = own_share(task.origins, task.horizon)
    maps = np.array([conformal.width_maps(counts, at, own) for at in weight])
    return conformal.adapt(maps, counts, np.sign(weight) * own)
