"""Fitted models in a folder: each member in its own format, weights and calibration as JSON; never a pickle.

``manifest.json``, written last, holds the digests of the prices they were fitted on and of every other file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError
from cloudarb_lib.features import about
from cloudarb_lib.forecast import ensemble
from cloudarb_lib.forecast.drift import alarms
from cloudarb_lib.forecast.ensemble import Walk
from cloudarb_lib.forecast.members import Task
from cloudarb_lib.forecast.patterns import Patterns, find_patterns, is_moving
from cloudarb_lib.handover import digest
from cloudarb_lib.types import Panel

MANIFEST, WEIGHTS, FORECASTS = "manifest.json", "weights.json", "forecasts.npz"
MODELS = ("boosting.txt", "step_process.json", "meta_learner.json", "prophet.json", "lstm.keras")
VERSIONS = ("cloudarb", "lightgbm", "prophet", "keras", "tensorflow-cpu", "numpy")
ANEW = "Fit the models anew (forecast.fit)."


def fit(
    panel: Panel, folder: Path, *, horizon_steps: int, seed: int, leave_out: tuple[str, ...] = ()
) -> Walk:
    """Fit, weigh and calibrate all members but ``leave_out`` for the last cell of ``panel``, and keep them in ``folder``,
    where they replace what was there: models of the offers whose price moves, the others tell discounts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, WEIGHTS, FORECASTS, *MODELS):
        (folder / name).unlink(missing_ok=True)
    moves = is_moving(panel.offers)
    panel, listed = panel.select(moves), panel.select(~moves)
    patterns = find_patterns(panel, listed=listed)
    origins = ensemble.walk_positions(patterns, np.array([len(panel.times) - 1]), horizon=horizon_steps)
    task = replace(ensemble.task_of(patterns, origins, horizon=horizon_steps, seed=seed), models=folder)
    walk = ensemble.weighed(patterns, task, *ensemble.run_members(task, leave_out))
    _write(folder, (panel, listed), walk, fitted_at=str(panel.times[-1]))
    return walk


def load(folder: Path, panel: Panel) -> Walk:
    """Return the forecast from the last cell of ``panel`` by the models in ``folder``: a walk of one origin.

    ``panel`` is that of ``fit``, or longer (other list prices may stand beside); weights and calibration are those of the last ``fit`` or ``update``,
    and only members with a weight are asked. DataError where the folder holds no models, a file of it or the
    prices before the fit are not what they were, or the offers are others.
    """
    state, patterns, task, _ = _read(folder, panel)
    weights, widths, gates = (state[name][None] for name in ("weights", "widths", "gates"))
    idle = [name for name, share in zip(state["members"], weights[0], strict=True) if not share.any()]
    done, failed = ensemble.run_members(task, (*idle, *state["failed"]))
    none = np.zeros(
        (1, len(task.groups), task.horizon)
    )  # one that fails now leaves its weight to the last value
    members = {name: done.get(name, none) for name in state["members"]}
    point = sum(weights[:, k][:, task.groups] * f for k, f in enumerate(members.values()))
    past, failed = ensemble.Past.of(task), {**state["failed"], **failed}
    return Walk(patterns, task, members, failed, weights, gates, point, none * np.nan, widths, past)


def update(folder: Path, panel: Panel, *, ks: float = 0.7, page_hinkley: float = 10.0) -> Walk:
    """Bring weights and calibration in ``folder`` up to the last cell of ``panel``, and return the walk.

    Models are not fitted again, unless an alarm since their fit calls for it (``drift.alarms``, which takes the
    thresholds): then at the last cell, boosting and the LSTM from where they stood. DataError as in ``load``.
    """
    state, patterns, task, (panel, listed) = _read(folder, panel)
    old = np.array(state["pattern"])[np.unique(patterns.of_offer, return_index=True)[1]]  # before they parted
    times, before = panel.times, pd.DatetimeIndex(state["origins"])
    first = int(times.get_indexer(before[:1])[0])
    origins = ensemble.walk_positions(patterns, task.origins, horizon=task.horizon, first=first)
    kept = before.isin(times[origins])
    new = origins[times[origins] > before[-1]]
    said: dict[str, np.ndarray] = {}
    if len(new):
        said, _ = ensemble.run_members(replace(task, origins=new), tuple(state["failed"]))
        found = alarms(panel, ks=ks, page_hinkley=page_hinkley)
        called = found[(found["action"] == "refit") & (found["time_utc"] > pd.Timestamp(state["fitted_at"]))]
        if len(called):
            fresh, _ = ensemble.run_members(replace(task, fitted=False), tuple(state["failed"]))
            said = {name: np.concatenate([said[name][:-1], fresh[name]]) for name in said if name in fresh}
            state = {**state, "fitted_at": str(times[-1])}
    origins = np.concatenate([times.get_indexer(before[kept]), new])
    with np.load(folder / FORECASTS, allow_pickle=False) as past:
        members = {
            name: np.concatenate([past[name][kept][:, old], *([said[name]] if len(new) else [])])
            for name in state["members"]
            if name in said or not len(new)
        }
    failed = {**state["failed"], **{n: "failed in an update" for n in state["members"] if n not in members}}
    walk = ensemble.weighed(patterns, replace(task, origins=origins), members, failed)
    _write(folder, (panel, listed), walk, fitted_at=state["fitted_at"])
    return walk


def _write(folder: Path, panels: tuple[Panel, Panel], walk: Walk, *, fitted_at: str) -> None:
    panel, listed = panels
    last = {name: getattr(walk, name)[-1].tolist() for name in ("weights", "gates", "widths")}
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / WEIGHTS).write_text(json.dumps(last))
    np.savez_compressed(folder / FORECASTS, allow_pickle=False, log_price=walk.task.log_price, **walk.members)
    times = panel.times
    files = [folder / name for name in (WEIGHTS, FORECASTS, *MODELS) if (folder / name).exists()]
    manifest = {
        "prices": _digest(panel, str(times[-1])), "until": str(times[-1]), "fitted_at": fitted_at,
        "origins": [str(t) for t in times[walk.task.origins]], "horizon": walk.task.horizon,
        "seed": walk.task.seed, "offers": list(map(str, panel.offers.index)),
        "listed": list(map(str, listed.offers.index)), "list_prices": _digest(listed, str(times[-1])),
        "pattern": walk.patterns.of_offer.tolist(), "groups": walk.task.groups.tolist(),
        "group_names": walk.patterns.group_names, "members": list(walk.members), "failed": walk.failed,
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "files": {file.name: digest(file.read_bytes()) for file in files},
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _digest(panel: Panel, until: str) -> str:
    seen = panel.until(pd.Timestamp(until))
    return digest(seen.price, str(seen.times[-1:]), str(panel.step))


def _read(folder: Path, panel: Panel) -> tuple[dict[str, Any], Patterns, Task, tuple[Panel, Panel]]:
    """Return what the folder holds, the patterns of ``panel``, the task of its last cell, and its offers that move and
    those listed."""
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder} holds no fitted models.", ANEW)
    state = _checked(folder, tuple(sorted((f.name, f.stat().st_mtime_ns) for f in folder.iterdir())))
    known = panel.offers.index
    moving = panel.select(is_moving(panel.offers))
    listed = panel.select(known.isin(state["listed"]))
    same = list(moving.offers.index) == state["offers"] and list(listed.offers.index) == state["listed"]
    if not same or any(
        _digest(p, state["until"]) != state[n] for p, n in ((moving, "prices"), (listed, "list_prices"))
    ):
        raise DataError(f"the models in {folder} were fitted on other offers or prices.", ANEW)
    before, groups = np.array(state["pattern"]), np.array(state["groups"])
    if "about" not in state:
        state["about"] = about(moving.offers.iloc[np.unique(before, return_index=True)[1]], listed.offers)
    patterns = Patterns(state["log_price"], groups, tuple(state["group_names"]), before, about=state["about"])
    patterns = find_patterns(moving, listed=listed, known=patterns)
    at = np.array([len(patterns.log_price) - 1])
    task = ensemble.task_of(patterns, at, horizon=state["horizon"], seed=state["seed"])
    return state, patterns, replace(task, models=folder, fitted=True), (moving, listed)


@lru_cache(maxsize=4)
def _checked(folder: Path, _: tuple) -> dict[str, Any]:
    try:
        state = json.loads((folder / MANIFEST).read_text())
        for name, told in state["files"].items():
            if digest((folder / name).read_bytes()) != told:
                raise DataError(f"{folder / name} is not the file that was kept with the models.", ANEW)
        arrays = json.loads((folder / WEIGHTS).read_text())
        state |= {name: np.array(arrays[name], object if name == "gates" else float) for name in arrays}
        with np.load(folder / FORECASTS, allow_pickle=False) as past:
            state["log_price"] = past["log_price"]
    except (OSError, ValueError, KeyError) as cause:
        raise DataError(f"{folder} cannot be read: {cause}.", ANEW) from cause
    return state
