"""Fitted models in a folder: each member in its own format, weights and calibration as plain arrays; never a pickle.

``manifest.json``, written last, holds the digests of the prices they were fitted on, of every other file, and of the
code that wrote them.
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

from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble, features
from cloudarb_lib.forecast.drift import alarms
from cloudarb_lib.forecast.ensemble import Walk
from cloudarb_lib.forecast.members import Task, median
from cloudarb_lib.forecast.patterns import Patterns, find_patterns, is_moving

MANIFEST, ARRAYS = "manifest.json", "arrays.npz"
MODELS = ("boosting.json", "step_process.json", "meta_learner.json", "prophet.json", "lstm.keras")
VERSIONS = ("cloudarb", "lightgbm", "prophet", "keras", "tensorflow-cpu", "numpy")
ANEW = "Fit the models anew (forecast.fit)."


def fit(
    panel: Panel,
    folder: Path | None,
    *,
    horizon_steps: int,
    seed: int,
    leave_out: tuple[str, ...] = (),
) -> Walk:
    """Fit, weigh and calibrate all members but ``leave_out`` for the last cell of ``panel``: models of the offers whose
    price moves, the others tell discounts. In ``folder``, where one is given, they replace what was there."""
    patterns = find_patterns(panel.select(is_moving(panel.offers)), listed=panel)
    origins = ensemble.walk_positions(
        patterns, np.array([len(panel.times) - 1]), horizon=horizon_steps
    )
    task = replace(
        ensemble.task_of(patterns, origins, horizon=horizon_steps, seed=seed), models=folder
    )
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST, ARRAYS, *MODELS):
            (folder / name).unlink(missing_ok=True)
    walk = ensemble.weighed(patterns, task, *ensemble.run_members(task, leave_out))
    if folder:
        _write(folder, panel, walk, fitted_at=str(panel.times[-1]))
    return walk


def load(folder: Path, panel: Panel) -> Walk:
    """Return the forecast from the last cell of ``panel`` by the models in ``folder``: a walk of one origin.

    ``panel`` is that of ``fit``, or longer (other list prices may stand beside); weights and calibration are those of the last ``fit`` or ``update``,
    and only members with a weight are asked. DataError where the folder holds no models, a file of it, the code or
    the prices before the fit are not what they were, or the offers are others.
    """
    state, patterns, task, _ = _read(folder, panel)
    weights, widths, gates = (state[name][None] for name in ("weights", "widths", "gates"))
    idle = [
        name for name, share in zip(state["members"], weights[0], strict=True) if not share.any()
    ]
    done, failed = ensemble.run_members(task, (*idle, *state["failed"]))
    none = np.zeros((1, len(task.groups), task.horizon))
    # the price stays for a member that fails now
    members = {name: done.get(name, none) for name in state["members"]}
    point = sum(weights[:, k][:, task.groups] * f for k, f in enumerate(members.values()))
    past, failed = ensemble.Past.of(task), {**state["failed"], **failed}
    return Walk(patterns, task, members, failed, weights, gates, point, none * np.nan, widths, past)


def update(folder: Path, panel: Panel, *, ks: float = 0.7, page_hinkley: float = 10.0) -> Walk:
    """Bring weights and calibration in ``folder`` up to the last cell of ``panel``, and return the walk.

    Models are not fitted again, unless an alarm since their fit calls for it (``drift.alarms``, which takes the
    thresholds): then at the last cell, boosting and the LSTM from where they stood. DataError as in ``load``.
    """
    state, patterns, task, panel = _read(folder, panel)
    before, skip = state["origins"], tuple(state["failed"])
    origins = ensemble.walk_positions(
        patterns, task.origins, horizon=task.horizon, first=int(before[0])
    )
    kept, new = np.isin(before, origins), origins[origins > before[-1]]
    if not len(new):
        return load(folder, panel)
    said, _ = ensemble.run_members(replace(task, origins=new), skip)
    found = alarms(panel.select(is_moving(panel.offers)), ks=ks, page_hinkley=page_hinkley)
    called = found[
        (found["action"] == "refit") & (found["time_utc"] > pd.Timestamp(state["fitted_at"]))
    ]
    if len(called):
        anew, _ = ensemble.run_members(replace(task, fitted=False), skip)
        said = {
            name: np.concatenate([said[name][:-1], median(anew[name])])
            for name in said
            if name in anew
        }
        state = {**state, "fitted_at": str(panel.times[-1])}
    old = state["pattern"][np.unique(patterns.of_offer, return_index=True)[1]]  # before they parted
    with np.load(folder / ARRAYS, allow_pickle=False) as past:
        asked = [name for name in state["members"] if name in said]
        members = {name: np.concatenate([past[name][kept][:, old], said[name]]) for name in asked}
    failed = {
        **state["failed"],
        **{n: "failed in an update" for n in state["members"] if n not in members},
    }
    task = replace(task, origins=np.concatenate([before[kept], new]))
    walk = ensemble.weighed(patterns, task, members, failed)
    _write(folder, panel, walk, fitted_at=state["fitted_at"])
    return walk


def _write(folder: Path, panel: Panel, walk: Walk, *, fitted_at: str) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)
    np.savez_compressed(
        folder / ARRAYS,
        allow_pickle=False,
        weights=walk.weights[-1],
        widths=walk.widths[-1],
        gates=walk.gates[-1].astype(str),
        pattern=walk.patterns.of_offer,
        origins=walk.task.origins,
        **walk.members,
    )
    files = [folder / name for name in (ARRAYS, *MODELS) if (folder / name).exists()]
    manifest = {
        "code": _code(),
        "prices": _panel_digest(panel),
        "offers": list(panel.offers.index),
        "until": str(panel.times[-1]),
        "fitted_at": fitted_at,
        "horizon": walk.task.horizon,
        "seed": walk.task.seed,
        "members": list(walk.members),
        "failed": walk.failed,
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "files": {file.name: digest_values(file.read_bytes()) for file in files},
    }
    (folder / MANIFEST).write_text(
        json.dumps({**manifest, "digest": digest_values(manifest)}, indent=1)
    )


@lru_cache(maxsize=1)
def _code() -> str:
    """Return the digest of the code that forecasts: of another version models, weights and features may be others."""
    files = Path(features.__file__), *sorted(Path(__file__).parent.glob("*.py"))
    return digest_values(*(file.read_bytes() for file in files))


def _panel_digest(panel: Panel) -> str:
    return digest_values(
        panel.price, list(panel.offers.index), str(panel.times[-1:]), str(panel.step)
    )


def _read(folder: Path, panel: Panel) -> tuple[dict[str, Any], Patterns, Task, Panel]:
    """Return what the folder holds, the patterns of ``panel``, the task of its last cell, and it without offers that
    the models do not know of."""
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder} holds no fitted models.", ANEW)
    state = _checked(
        folder, tuple(sorted((f.name, f.stat().st_mtime_ns) for f in folder.iterdir()))
    )
    panel = panel.select(panel.offers.index.isin(state["offers"]) | is_moving(panel.offers))
    before, moving = (
        panel.until(pd.Timestamp(state["until"])),
        panel.select(is_moving(panel.offers)),
    )
    if "before" not in state and _panel_digest(before) == state["prices"]:
        state["before"] = replace(
            before, price=before.price.copy()
        )  # compared in a tenth of a digest's time
        state["patterns"] = find_patterns(before.select(is_moving(before.offers)), listed=before)
    kept: Any = state.get("before")
    same = (
        kept and before.times.equals(kept.times) and before.offers.index.equals(kept.offers.index)
    )
    if not same or not np.array_equal(before.price.view(np.int64), kept.price.view(np.int64)):
        raise DataError(f"the models in {folder} were fitted on other offers or prices.", ANEW)
    patterns = find_patterns(moving, listed=panel, known=state["patterns"])
    at = np.array([len(panel.times) - 1])
    task = ensemble.task_of(patterns, at, horizon=state["horizon"], seed=state["seed"])
    return state, patterns, replace(task, models=folder, fitted=True), panel


@lru_cache(maxsize=4)
def _checked(folder: Path, _: tuple) -> dict[str, Any]:
    try:
        state = json.loads((folder / MANIFEST).read_text())
        if state["code"] != _code():
            raise DataError(
                f"the models in {folder} were written by another version of the code.", ANEW
            )
        told = {**state["files"], MANIFEST: state.pop("digest")}
        found = {name: digest_values((folder / name).read_bytes()) for name in state["files"]}
        for name in told:
            if told[name] != found.get(name, digest_values(state)):
                raise DataError(
                    f"{folder / name} is not the file that was kept with the models.", ANEW
                )
        with np.load(folder / ARRAYS, allow_pickle=False) as past:
            arrays = ("weights", "widths", "gates", "pattern", "origins")
            return state | {name: past[name] for name in arrays}
    except (OSError, ValueError, KeyError) as cause:
        raise DataError(f"{folder} cannot be read: {cause}.", ANEW) from cause
