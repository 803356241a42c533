"""One walk over origins: members, the weights that stood there, and calibrated worlds.

A forecast is the last origin of a walk; a back-test is a walk whose outcomes are known. A member that raises, returns
NaN, or was not better than the last value (``weights``) is left out there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.files import replaced
from cloudarb_lib.base.progress import progress
from cloudarb_lib.forecast import worlds as w
from cloudarb_lib.forecast.features import CAP_LOG, STEP_LOG
from cloudarb_lib.forecast.members import KEPT, MEMBERS, Task, median
from cloudarb_lib.forecast.patterns import Patterns
from cloudarb_lib.forecast.weights import (
    own_share,
    recent,
    reviews_since_alarm,
    reviews_so_far,
    weigh,
)
from cloudarb_lib.forecast.worker import begin, within

ALL = "all"
CALIBRATION_PACES = 52  # before the first origin, from which weights and intervals learn
MOST_FORECASTS = (
    8_000_000  # of a walk (origins, series, steps), beyond which it learns from fewer origins
)
CALIBRATION_PATHS, MOST_AT_ONCE = 128, 1_000  # series whose worlds are in memory at once
MAX_CHANGE_LOG = 1.5  # no forecast goes beyond a price 4.5 times as high, or as low
LIMIT_S = 900.0
"""Time a member may take over a walk."""


@dataclass(frozen=True)
class Walk:
    """Forecasts at every origin of ``task`` as they could have been made there; all log changes.

    ``members`` (origins, series, steps) and why others ``failed``; ``weights`` and ``gates`` (origins,
    members, groups and all, steps), a gate being '' or the reason; ``point`` the weighted mean; ``truth``
    what came, changes under 0.5 % set to 0; ``widths`` (origins, groups, steps, ``NATS``) as from ``adapt``; ``past``
    what worlds are drawn from; ``quantiles`` (origins, series, steps, ``LEVELS``) of members that say them, where fitted anew.
    """

    patterns: Patterns
    task: Task
    members: dict[str, np.ndarray]
    failed: dict[str, str]
    weights: np.ndarray
    gates: np.ndarray
    point: np.ndarray
    truth: np.ndarray
    widths: np.ndarray
    past: Past
    quantiles: dict[str, np.ndarray] = field(default_factory=dict)

    def worlds(
        self,
        origin: int,
        *,
        n_paths: int,
        only: np.ndarray,
        ahead: np.ndarray | slice = slice(None),
    ) -> np.ndarray:
        """Return calibrated log changes (series, paths, steps) of the series ``only`` at an origin, of all steps
        or those at the positions ``ahead``."""
        task, origin = self.task, range(len(self.task.origins))[origin]
        point = self.point[origin, only][:, ahead]
        worlds = simulated(task, self.past, origin, point, n_paths=n_paths, only=only, ahead=ahead)
        ends = worlds.min(axis=1, keepdims=True), worlds.max(axis=1, keepdims=True)
        out = w.calibrate(worlds, self.widths[origin][:, ahead], task.groups[only])
        low, high = (limit[origin, only, None, None] for limit in self.past.limits)
        return np.clip(out, np.minimum(low, ends[0]), np.maximum(high, ends[1]), out=out)

    def until(self, origin: int) -> Walk:
        """Return the walk as it stood at an origin, counted from the end (-1 is the last)."""
        cut = slice(len(self.task.origins) + origin + 1)
        names = ("weights", "gates", "point", "truth", "widths")
        then = {name: getattr(self, name)[cut] for name in names}
        return replace(self, task=replace(self.task, origins=self.task.origins[cut]), **then)

    def table(self, origin: int, *, gates: bool = False) -> pd.DataFrame:
        """Return table ``weights`` at an origin; with ``gates`` the members left out, and why."""
        ahead, names = range(1, self.task.horizon + 1), ["model", "series_group", "horizon"]
        axes = [list(self.members), [*self.patterns.group_names, ALL], ahead]
        value, name = (self.gates, "reason") if gates else (self.weights, "weight")
        index = pd.MultiIndex.from_product(axes, names=names)
        out = pd.Series(value[origin].ravel(), index, name=name).reset_index()
        if not gates:
            return out
        failed = [
            (name, ALL, h, f"failed: {why}") for name, why in self.failed.items() for h in ahead
        ]
        left = pd.concat([out[out["reason"] != ""], pd.DataFrame(failed, columns=out.columns)])
        return left.astype({"horizon": int})


@dataclass(frozen=True)
class Past:
    """What the worlds of a task are drawn from: ``step`` (times, series) as from ``known_steps``; ``limits``; and of a list
    its ``reviews`` as in ``draw_cells``, None on a market."""

    step: np.ndarray
    limits: tuple[np.ndarray, np.ndarray]
    reviews: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(cls, task: Task) -> Past:
        reviews = (reviews_so_far(task), reviews_since_alarm(task)) if task.pace == 1 else None
        return cls(w.known_steps(task.step, task.log_price, task.groups), limits(task), reviews)


def limits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a price may fall and rise from an origin (origins, series): on a list ``MAX_CHANGE_LOG``, on a
    market a capped step beyond where it has been: only auctions and outages return to their extremes."""
    now = task.log_price[task.origins]
    if task.pace == 1:
        return np.full(now.shape, -MAX_CHANGE_LOG), np.full(now.shape, MAX_CHANGE_LOG)
    cells = task.origins
    parts = np.concatenate([[0], cells[:-1] + 1])  # between one and the next
    seen = (np.fmin, task.log_price[: cells[-1] + 1]), (np.fmax, task.log_price[: cells[-1] + 1])
    low, high = (
        np.nan_to_num(end.accumulate(end.reduceat(price, parts)) - now) for end, price in seen
    )
    return low - CAP_LOG, high + CAP_LOG


def walk_positions(
    patterns: Patterns, asked: np.ndarray, *, horizon: int, first: int | None = None
) -> np.ndarray:
    """Return the origins of a walk that forecasts from the cells ``asked`` (increasing): those, and before them what
    weights and intervals learn from: ``CALIBRATION_PACES`` of every cell, or of each sixth hour, of fewer where there
    are very many series. A back-test and a forecast made now learn from the same ones. ``first``: that of an earlier
    walk, which goes on."""
    back = CALIBRATION_PACES * patterns.pace
    start = max(int(asked[0]) - back, 1)
    fewer = back * len(patterns.groups) * horizon // MOST_FORECASTS
    stride = max(patterns.pace // 4, fewer, 1)
    between = np.arange(start if first is None else first, int(asked[-1]), stride)
    return np.union1d(between[between >= start], asked)


def run_members(
    task: Task, leave_out: tuple[str, ...] = (), *, keep: Path | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return forecasts by member as of ``members``, and why others failed; ``leave_out`` by name.

    A member that needs longer than ``LIMIT_S`` has failed. What members that need seconds say is kept in folder
    ``keep``, which is for this task alone, and taken from there.
    """
    done: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    low, high = (limit[..., None] for limit in limits(task))
    files = {name: keep / f"{name}.npy" for name in KEPT} if keep else {}
    asked = [name for name in MEMBERS if name not in leave_out]
    kept = [name for name in asked if name in files and files[name].exists()]
    begun = {  # what works in another process goes on beside the others
        name: begin(partial(MEMBERS[name], task))
        for name in asked
        if name == "lstm" and name not in kept
    }
    for name in progress(asked, "members", unit="member"):
        try:
            if name in kept:
                done[name] = np.load(files[name], allow_pickle=False)
                continue
            said = within(LIMIT_S, begun.get(name) or begin(partial(MEMBERS[name], task)))
            if not np.isfinite(said).all():
                raise DataError("it returned a number that is not finite.")
            # steps of a volatile past add up beyond reason
            ends = np.minimum(low, -MAX_CHANGE_LOG), np.maximum(high, MAX_CHANGE_LOG)
            ends = ends if said.ndim == 3 else tuple(end[..., None] for end in ends)
            done[name] = np.clip(said, *ends).astype(np.float32)
            if name in files:
                with replaced(files[name]) as part, part.open("wb") as out:
                    np.save(out, done[name], allow_pickle=False)
        except Exception as cause:  # one member must never stop the others
            failed[name] = f"{type(cause).__name__}: {cause}"
    task.__dict__.pop("features", None)  # gigabytes, where there are thousands of series
    task.__dict__.pop("motion", None)
    return done, failed


def simulated(
    task: Task,
    past: Past,
    origin: int,
    point: np.ndarray,
    *,
    n_paths: int,
    only: np.ndarray,
    ahead: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Return worlds of the series ``only`` from an origin, of the steps at the positions ``ahead``, their
    median at ``point``, not yet calibrated."""
    at, size = int(task.origins[origin]), {"n_paths": n_paths, "seed": task.seed}
    step = past.step[: at + 1]
    ways = w.draw_ways(step, task.groups, only, **size) if task.pace == 1 else None
    drawn = w.draw_cells(at, horizon=task.horizon, pace=task.pace, reviews=past.reviews, **size)
    worlds = w.draw_worlds(past.step, task.groups, only, drawn, ways, ahead)
    if task.pace > 1:
        worlds *= w.calm(step[:, only], pace=task.pace, horizon=task.horizon)[:, None, ahead]
    low, high = (limit[origin, only, None, None] for limit in past.limits)
    return w.recentre(np.clip(worlds, low, high, out=worlds), point, lists=task.pace == 1)


def walk_origins(
    patterns: Patterns,
    origins: np.ndarray,
    *,
    horizon: int,
    seed: int,
    leave_out: tuple[str, ...] = (),
    keep: Path | None = None,
) -> Walk:
    """Return the walk over ``origins`` (increasing positions in the patterns' cells), members but ``leave_out``;
    ``keep`` as in ``run_members``."""
    task = task_of(patterns, origins, horizon=horizon, seed=seed)
    return weighed(patterns, task, *run_members(task, leave_out, keep=keep))


def task_of(patterns: Patterns, origins: np.ndarray, *, horizon: int, seed: int) -> Task:
    """Return what members are asked of ``patterns``."""
    copies = np.bincount(patterns.of_offer, minlength=len(patterns.groups))
    seen = (patterns.log_price, patterns.groups)
    return Task(*seen, origins, horizon, seed, patterns.pace, copies, about=patterns.about)


def weighed(
    patterns: Patterns, task: Task, said: dict[str, np.ndarray], failed: dict[str, str]
) -> Walk:
    """Return the walk that what members ``said`` at the origins of ``task`` makes: weights, and intervals."""
    origins, horizon, seed = task.origins, task.horizon, task.seed
    members = {name: median(each) for name, each in said.items()}
    quantiles = {name: each for name, each in said.items() if each.ndim == 4}
    weights, gates = weigh(task, members)
    point = sum(weights[:, k][:, task.groups] * f for k, f in enumerate(members.values()))
    came = task.truth()
    truth = np.where(np.abs(came) < STEP_LOG, 0.0, came)
    past, many = Past.of(task), len(task.groups)
    parts = np.array_split(np.arange(many), -(-many // MOST_AT_ONCE))
    needed, rng = np.full(truth.shape, np.nan), np.random.default_rng(seed)
    for i in progress(range(len(origins)), "calibrate", unit="origin"):
        for some in parts:
            worlds = simulated(task, past, i, point[i, some], n_paths=CALIBRATION_PATHS, only=some)
            needed[i, some] = w.needed_width(worlds, truth[i, some], rng=rng)
    counts = w.count_widths(needed, task.groups)
    weight = recent(origins, origins, horizon, w.HALF_LIFE_CELLS * task.pace).transpose(1, 2, 0)
    own = own_share(origins, horizon)
    maps = np.array([w.width_maps(counts, at, own) for at in weight])
    widths = w.adapt(maps, counts, np.sign(weight) * own)
    return Walk(
        patterns, task, members, failed, weights, gates, point, truth, widths, past, quantiles
    )
