"""One walk over origins: patterns, members, the weights that stood there, and calibrated worlds.

A forecast is the last origin of a walk; a back-test is a walk whose outcomes are known. Weights go by
inverse out-of-fold loss per group and step, the newest outcomes counting most (Bates and Granger, 1969).
A member that raises, returns NaN, or was not better than the last value is left out there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError
from cloudarb_lib.features import STEP_LOG, steps
from cloudarb_lib.forecast import worlds as w
from cloudarb_lib.forecast.members import MEMBERS, Task
from cloudarb_lib.types import Panel

ALL = "all"
MAX_CELLS = 520  # cells of history used: ten years of weeks, three weeks of hours
CALIBRATION_ORIGINS = 52  # origins before the first that weights and intervals rest on
CALIBRATION_PATHS = 64
HALF_LIFE_STEPS = 13.0  # age at which an outcome counts half in the weights: a quarter of weekly prices
MIN_OUTCOMES = 20  # outcomes a group needs for weights of its own; below it takes those of all series
WORSE, NO_RECORD = "not better than last value", "no outcomes to judge it by"


@dataclass(frozen=True)
class Patterns:
    """Series that share one price pattern, modelled once: ``log_price`` (times, patterns), ``groups``
    their codes into ``group_names``, ``of_offer`` the pattern of each offer of the panel."""

    log_price: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    of_offer: np.ndarray


def find_patterns(panel: Panel) -> Patterns:
    """Put together offers of one group whose steps agree to 1 % in every cell.

    The group is the GPU model where there is one, else the provider. A price of zero is unknown.
    """
    price = panel.price[-MAX_CELLS:]
    log_price = np.log(np.where(price > 0, price, np.nan))
    model, provider = (panel.offers[name].astype(object) for name in ("gpu_model", "provider"))
    codes, names = pd.factorize(model.where(model.notna(), provider).to_numpy(), sort=True)
    key = np.vstack([codes, np.round(steps(log_price) * 100), np.isfinite(log_price)]).T.astype(np.int32)
    digest = np.ascontiguousarray(key).view(f"V{4 * key.shape[1]}").ravel()
    _, example, of_offer = np.unique(digest, return_index=True, return_inverse=True)
    return Patterns(log_price[:, example], codes[example], tuple(map(str, names)), of_offer)


@dataclass(frozen=True)
class Walk:
    """Forecasts at every origin of ``task`` as they could have been made there; all log changes.

    ``members`` (origins, series, steps) and why others ``failed``; ``weights`` and ``gates`` (origins,
    members, groups and all, steps), a gate being '' or the reason; ``point`` the weighted mean; ``truth``
    what came, changes under 0.5 % set to 0; ``counts`` as from ``count_widths``.
    """

    task: Task
    members: dict[str, np.ndarray]
    failed: dict[str, str]
    weights: np.ndarray
    gates: np.ndarray
    point: np.ndarray
    truth: np.ndarray
    counts: np.ndarray

    def worlds(self, origin: int, *, n_paths: int, only: np.ndarray) -> np.ndarray:
        """Return calibrated log changes (series, paths, steps) of the series ``only`` at an origin."""
        task = self.task
        drawn = w.draw_cells(int(task.origins[origin]), n_paths=n_paths, horizon=task.horizon, seed=task.seed)
        step = w.known_steps(task.log_price, task.groups)
        worlds = w.recentre(w.draw_worlds(step, task.groups, only, drawn), self.point[origin, only])
        weight = recent(task.origins, task.horizon, w.HALF_LIFE_CELLS)[origin]
        return w.calibrate(worlds, w.width_maps(self.counts, weight), task.groups[only])

    def table(self, patterns: Patterns, origin: int, *, gates: bool = False) -> pd.DataFrame:
        """Return table ``weights`` at an origin; with ``gates`` the members left out, and why."""
        ahead, names = range(1, self.task.horizon + 1), ["model", "series_group", "horizon"]
        axes = [list(self.members), [*patterns.group_names, ALL], ahead]
        value, name = (self.gates, "reason") if gates else (self.weights, "weight")
        index = pd.MultiIndex.from_product(axes, names=names)
        out = pd.Series(value[origin].ravel(), index, name=name).reset_index()
        if not gates:
            return out
        failed = [(name, ALL, h, f"failed: {why}") for name, why in self.failed.items() for h in ahead]
        return pd.concat([out[out["reason"] != ""], pd.DataFrame(failed, columns=out.columns)])


def run_members(task: Task) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return forecasts by member, each (origins, series, steps), and why others failed."""
    done: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    for name, member in MEMBERS.items():
        try:
            done[name] = member(task)
            if not np.isfinite(done[name]).all():
                raise DataError("it returned a number that is not finite.")
        except Exception as cause:  # one member must never stop the others
            failed[name] = f"{type(cause).__name__}: {cause}"
            done.pop(name, None)
    return done, failed


def recent(origins: np.ndarray, horizon: int, half_life: float) -> np.ndarray:
    """Return (at, origin, step ahead): what an outcome counts at an origin, 0 before it is known."""
    age = origins[:, None, None] - (origins[None, :, None] + np.arange(1, horizon + 1))
    return np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / half_life), 0.0)


def weigh(task: Task, members: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and gates that stood at each origin of ``task``, as in ``Walk``."""
    truth = np.exp(task.truth())
    loss = np.stack([np.abs(np.exp(forecast) - truth) for forecast in members.values()])
    group = (task.groups[:, None] == np.arange(task.groups.max() + 2)).astype(float)
    group[:, -1] = 1.0  # the last group is all series
    decay = recent(task.origins, task.horizon, HALF_LIFE_STEPS)
    total = np.einsum("aoh,kosh,sg->akgh", decay, np.nan_to_num(loss), group, optimize=True)
    seen = np.isfinite(truth).astype(float)
    n = np.einsum("aoh,osh,sg->agh", np.sign(decay), seen, group, optimize=True)[:, None]
    total = np.where(n < MIN_OUTCOMES, total[:, :, -1:], total)
    last = list(members).index("last_value")
    gates = np.where(total < total[:, [last]], "", WORSE)
    gates = np.where(n[:, :, -1:] < MIN_OUTCOMES, NO_RECORD, gates)
    gates[:, last] = ""
    raw = np.where(gates == "", 1.0 / np.maximum(total, 1e-12), 0.0)
    return raw / raw.sum(axis=1, keepdims=True), gates


def walk_origins(patterns: Patterns, origins: np.ndarray, *, horizon: int, seed: int) -> Walk:
    """Return the walk over ``origins`` (increasing positions in the patterns' cells)."""
    task = Task(patterns.log_price, patterns.groups, origins, horizon, seed)
    members, failed = run_members(task)
    weights, gates = weigh(task, members)
    point = sum(weights[:, k][:, task.groups] * f for k, f in enumerate(members.values()))
    came = task.truth()
    truth = np.where(np.abs(came) < STEP_LOG, 0.0, came)
    step, every = w.known_steps(task.log_price, task.groups), np.arange(len(task.groups))
    pits, rng = np.full(truth.shape, np.nan), np.random.default_rng(seed)
    for i, at in enumerate(origins):
        drawn = w.draw_cells(int(at), n_paths=CALIBRATION_PATHS, horizon=horizon, seed=seed)
        worlds = w.recentre(w.draw_worlds(step, task.groups, every, drawn), point[i])
        pits[i] = w.transform(worlds, truth[i], rng=rng)
    return Walk(task, members, failed, weights, gates, point, truth, w.count_widths(pits, task.groups))
