"""How a member that is fitted goes about it: fits at some origins, forecasts from all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from cloudarb_lib.forecast.member import no_change
from cloudarb_lib.forecast.splits import outcome_known, refit_blocks
from cloudarb_lib.forecast.task import Task

BOOSTER_OPTIONS = {
    "learning_rate": 0.1,
    "feature_pre_filter": False,
    "num_threads": 1,
    "deterministic": True,
    "verbose": -1,
}
"""Options of every model of LightGBM's: with one seed it repeats itself to the last bit."""
REFIT_DAYS = 13  # that one fit serves; cells where those are longer

M = TypeVar("M")


@dataclass(frozen=True)
class Fitting(Generic[M]):
    """The fits of one member over the origins of a task.

    Attributes
    ----------
    file : name of the file in which the last model is kept.
    every : cells that one fit serves.
    fit : the model at a cell, from an older one where there is one; None: too little to learn from.
    predict : of (model, origins) the changes (origins, series, steps) from these origins.
    write, read : of the model, in its own format.
    """

    file: str
    every: int
    fit: Callable[[int, M | None], M | None]
    predict: Callable[[M, np.ndarray], np.ndarray]
    write: Callable[[M, Path], object]
    read: Callable[[Path], M]

    def forecast(self, task: Task) -> np.ndarray:
        """Return the changes from all origins, each block of them by a fit at its first one.

        No change where there was too little to fit a model.
        """
        file = task.models / self.file if task.models else None
        model: M | None = None
        older: M | None = None
        if file and file.exists():
            older = _kept_model(file, file.stat().st_mtime_ns, self.read)
        values = no_change(task)
        for block in refit_blocks(task.origins, refit_every=self.every):
            model = older if task.fitted else self.fit(int(block[0]), older)
            if model is None:
                continue
            values[np.isin(task.origins, block)] = self.predict(model, block)
        if file and model is not None and not task.fitted:
            self.write(model, file)
        return values


@lru_cache(maxsize=32)
def _kept_model(file: Path, _changed_at: int, read: Callable[[Path], Any]) -> Any:
    """A model as it stands in its file; members read it, and change nothing in it."""
    return read(file)


def learned_steps(steps: tuple[int, ...], horizon: int) -> np.ndarray:
    """Return the steps ahead that are learned: those of ``steps`` before ``horizon``, and that."""
    return np.array([h for h in steps if h < horizon] + [horizon])


class KnownChanges(NamedTuple):
    """Changes to learn from, each array (changes,).

    Attributes
    ----------
    cell, series : from which cell, of which series.
    change : the log change that came.
    """

    cell: np.ndarray
    series: np.ndarray
    change: np.ndarray


def draw_known_changes(
    log_price: np.ndarray,
    cells: np.ndarray,
    ahead: int,
    *,
    at: int,
    most: int,
    rng: np.random.Generator,
) -> KnownChanges:
    """Draw evenly from the changes over ``ahead`` cells that are known at a cell.

    Parameters
    ----------
    log_price : (times, series)
    cells : from which changes may start.
    at : nothing after this cell is used.
    most : so many are drawn, or all where there are fewer.
    """
    cells = cells[outcome_known(cells, ahead, at=at)]
    change = log_price[cells + ahead] - log_price[cells]
    candidates = np.argwhere(np.isfinite(change))
    row, series = candidates[rng.permutation(len(candidates))[:most]].T
    return KnownChanges(cells[row], series, change[row, series])


def every_step(values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Return the changes at every step, from those at some: in proportion, from 0 at the origin.

    Parameters
    ----------
    values : (origins, series, ahead), changes at the steps ``ahead``.
    ahead : increasing steps, the last one the horizon.

    Returns
    -------
    (origins, series, horizon)
    """
    from scipy.interpolate import interp1d

    from_origin = np.insert(values, 0, 0.0, axis=2)
    return interp1d([0, *ahead], from_origin, axis=2)(np.arange(1, ahead[-1] + 1))


def write_boosters(models: list[Any], file: Path) -> None:
    """Write LightGBM models, or lists of them, to ``file`` as JSON of their text."""
    file.write_text(json.dumps(models, default=lambda model: model.model_to_string()))


def read_boosters(file: Path) -> list[Any]:
    """Return what ``write_boosters`` wrote."""
    import lightgbm

    def made(each: Any) -> Any:
        return list(map(made, each)) if isinstance(each, list) else lightgbm.Booster(model_str=each)

    return made(json.loads(file.read_text()))
