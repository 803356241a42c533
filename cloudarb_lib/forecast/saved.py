"""Fitted models in a folder: each in its own format, weights as plain arrays; never a pickle.

``manifest.json``, written last, holds the digests of the prices they were fitted on, of every other
file and of the code that wrote them, and the versions of the packages that decide what they say.
Models of other code or of another version of a package are refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.tracing import traced
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble
from cloudarb_lib.forecast.drift import alarms
from cloudarb_lib.forecast.ensemble import RollingEnsemble
from cloudarb_lib.forecast.member import no_change
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.patterns import Patterns, find_patterns, is_market
from cloudarb_lib.forecast.sample_paths import PathSource
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.forecast.weights import weighted_mean

MANIFEST = "manifest.json"
ARRAYS = "arrays.npz"
LAST_ARRAYS = ("weights", "widths", "gates", "pattern", "origins")
"""Arrays of ``ARRAYS`` beside the members' forecasts: of the last origin, and of which series."""
PACKAGES = ("cloudarb", "numpy", "pandas", "scipy", "river")
"""Distributions that decide what is forecast whichever members take part."""
ANEW = "Fit the models anew (forecast.fit)."


@traced("fit")
def fit(
    panel: Panel,
    folder: Path | None,
    *,
    horizon_steps: int,
    seed: int,
    leave_out: tuple[str, ...] = (),
) -> RollingEnsemble | None:
    """Fit, weigh and calibrate all members but ``leave_out`` for the last cell of ``panel``.

    Models are of the offers that a market prices: list prices are simulated, and nothing is fitted
    for them. In ``folder``, where one is given, they replace what was there. None without such an
    offer: the folder then says no more than what was asked.
    """
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST, ARRAYS, *_model_files()):
            (folder / name).unlink(missing_ok=True)
    if not is_market(panel.offers, panel.step).any():
        if folder:
            asked = {"horizon": horizon_steps, "seed": seed, "members": []}
            (folder / MANIFEST).write_text(json.dumps(asked, indent=1))
        return None
    patterns = find_patterns(_of_market(panel), listed=panel)
    end = np.array([len(panel.times) - 1])
    origins = ensemble.rolling_origins(patterns, end, horizon=horizon_steps)
    task = ensemble.task_of(patterns, origins, horizon=horizon_steps, seed=seed)
    task = replace(task, models=folder)
    answers, failed = ensemble.run_members(task, leave_out)
    rolling = ensemble.weigh_and_calibrate(patterns, task, answers, failed)
    if folder:
        _write(folder, panel, rolling, fitted_at=str(panel.times[-1]))
    return rolling


def asked_of(folder: Path) -> tuple[int, int]:
    """Return the horizon in steps and the seed of the last ``fit`` into a folder.

    Raises
    ------
    DataError
        Where the folder holds no models.
    """
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder} holds no fitted models.", ANEW)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return int(manifest["horizon"]), int(manifest["seed"])
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(f"{folder} cannot be read: {cause}.", ANEW) from cause


def load(folder: Path, panel: Panel) -> RollingEnsemble:
    """Return the forecast from the last cell of ``panel`` by the models in ``folder``.

    Weights and calibration are those of the last ``fit`` or ``update``, and only members with a
    weight are asked.

    Parameters
    ----------
    panel : that of ``fit``, or longer; other list prices may stand beside.

    Raises
    ------
    DataError
        Where the folder holds no models, where a file of it, the code, a package or the prices
        before the fit are not what they were, or where the offers are others.
    """
    opened = _open(folder, panel)
    kept = opened.kept
    task = opened.task
    weights = kept.arrays["weights"][None]
    names = kept.manifest["members"]
    idle = [name for name, share in zip(names, weights[0], strict=True) if not share.any()]
    answers, failed = ensemble.run_members(task, (*idle, *kept.manifest["failed"]))
    unchanged = no_change(task)
    # the price stays for a member that fails now
    medians = {name: answers.get(name, unchanged) for name in names}
    return RollingEnsemble(
        opened.patterns,
        task,
        medians,
        {**kept.manifest["failed"], **failed},
        weights,
        kept.arrays["gates"][None],
        weighted_mean(task, weights, medians),
        kept.arrays["widths"][None],
        PathSource.of(task),
    )


def update(folder: Path, panel: Panel) -> RollingEnsemble | None:
    """Bring weights and calibration in ``folder`` up to the last cell of ``panel``.

    Models are not fitted again, unless an alarm since their fit calls for it: then at the last
    cell, boosting and the LSTM from where they stood. None for list prices alone.

    Raises
    ------
    DataError
        As in ``load``.
    """
    if not is_market(panel.offers, panel.step).any():
        return None
    opened = _open(folder, panel)
    manifest = opened.kept.manifest
    task = opened.task
    before = opened.kept.arrays["origins"]
    origins = ensemble.rolling_origins(
        opened.patterns, task.origins, horizon=task.horizon, first=int(before[0])
    )
    still_there = np.isin(before, origins)
    new = origins[origins > before[-1]]
    if not len(new):
        return load(folder, opened.panel)
    skip = tuple(manifest["failed"])
    medians, _ = ensemble.run_members(replace(task, origins=new), skip)
    fitted_at = manifest["fitted_at"]
    if _calls_for_refit(opened.panel, fitted_at):
        anew, _ = ensemble.run_members(replace(task, fitted=False), skip)
        medians = {
            name: np.concatenate([median[:-1], anew[name]])
            for name, median in medians.items()
            if name in anew
        }
        fitted_at = str(opened.panel.times[-1])
    joined = _joined(folder, opened, still_there, medians)
    failed_now = {name: "failed in an update" for name in manifest["members"] if name not in joined}
    rolling = ensemble.weigh_and_calibrate(
        opened.patterns,
        replace(task, origins=np.concatenate([before[still_there], new])),
        joined,
        {**manifest["failed"], **failed_now},
    )
    _write(folder, opened.panel, rolling, fitted_at=fitted_at)
    return rolling


def _of_market(panel: Panel) -> Panel:
    return panel.select(is_market(panel.offers, panel.step))


def _calls_for_refit(panel: Panel, fitted_at: str) -> bool:
    """Whether an alarm since the fit calls for a new one."""
    found = alarms(_of_market(panel))
    is_later = found["time_utc"] > pd.Timestamp(fitted_at)
    return bool(((found["action"] == "refit") & is_later).any())


def _joined(
    folder: Path, opened: Opened, still_there: np.ndarray, medians: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The kept forecasts from the origins that are still there, and the new ones after them."""
    example = np.unique(opened.patterns.of_offer, return_index=True)[1]
    old = opened.kept.arrays["pattern"][example]  # the patterns before some parted
    with np.load(folder / ARRAYS, allow_pickle=False) as past:
        return {
            name: np.concatenate([past[name][still_there][:, old], medians[name]])
            for name in opened.kept.manifest["members"]
            if name in medians
        }


def _model_files() -> list[str]:
    return [member.model_file for member in MEMBERS.values() if member.model_file]


def _write(folder: Path, panel: Panel, rolling: RollingEnsemble, *, fitted_at: str) -> None:
    """Write the arrays, and the manifest last."""
    (folder / MANIFEST).unlink(missing_ok=True)
    np.savez_compressed(
        folder / ARRAYS,
        allow_pickle=False,
        weights=rolling.weights[-1],
        widths=rolling.widths[-1],
        gates=rolling.gates[-1].astype(str),
        pattern=rolling.patterns.of_offer,
        origins=rolling.task.origins,
        **rolling.members,
    )
    names = [name for name in (ARRAYS, *_model_files()) if (folder / name).exists()]
    manifest = {
        "code": code_digest(),
        "prices": _prices_digest(panel),
        "offers": list(panel.offers.index),
        "until": str(panel.times[-1]),
        "fitted_at": fitted_at,
        "horizon": rolling.task.horizon,
        "seed": rolling.task.seed,
        "members": list(rolling.members),
        "failed": rolling.failed,
        "versions": package_versions(tuple(rolling.members)),
        "files": {name: digest_values((folder / name).read_bytes()) for name in names},
    }
    (folder / MANIFEST).write_text(
        json.dumps({**manifest, "digest": digest_values(manifest)}, indent=1)
    )


def package_versions(members: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the distributions that decide what ``members`` forecast."""
    of_members = {package for name in members for package in MEMBERS[name].packages}
    return {name: metadata.version(name) for name in sorted({*PACKAGES, *of_members})}


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the digest of the code that forecasts: by another, weights may be others."""
    return digest_values(*(file.read_bytes() for file in code_files()))


def code_files() -> list[Path]:
    """Return the files of the code that forecasts, the members' too."""
    return sorted(Path(__file__).parent.rglob("*.py"))


def _prices_digest(panel: Panel) -> str:
    return digest_values(
        panel.price, list(panel.offers.index), str(panel.times[-1:]), str(panel.step)
    )


@dataclass(frozen=True, eq=False)
class Kept:
    """What a folder holds, checked against its digests, the code and the packages.

    Attributes
    ----------
    manifest : as written, without its digest.
    arrays : ``LAST_ARRAYS`` by name.
    """

    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Beginning:
    """The part of a record that models were fitted on, and its patterns."""

    panel: Panel
    patterns: Patterns

    def is_that_of(self, panel: Panel) -> bool:
        """Return whether ``panel`` holds these offers and times, and these prices to the bit."""
        own = self.panel
        if not panel.times.equals(own.times) or not panel.offers.index.equals(own.offers.index):
            return False
        return np.array_equal(panel.price.view(np.int64), own.price.view(np.int64))


@dataclass(frozen=True, eq=False)
class Opened:
    """What a folder holds, and what is asked of it.

    Attributes
    ----------
    panel : the record, without offers that the models do not know of.
    patterns : of the offers of a market.
    task : of its last cell.
    """

    kept: Kept
    panel: Panel
    patterns: Patterns
    task: Task


class BeginningCache:
    """The beginnings of the last folders that were opened.

    Prices are compared with them in a tenth of a digest's time, and patterns go on from theirs.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.found: dict[str, Beginning] = {}

    def of(self, panel: Panel, prices: str) -> Beginning | None:
        """Return the beginning ``panel`` if its prices have the digest ``prices``, else None."""
        beginning = self.found.get(prices)
        if beginning is not None:
            return beginning if beginning.is_that_of(panel) else None
        if _prices_digest(panel) != prices:
            return None
        own = replace(panel, price=panel.price.copy())
        patterns = find_patterns(_of_market(panel), listed=panel)
        while len(self.found) >= self.most:
            self.found.pop(next(iter(self.found)))
        self.found[prices] = Beginning(own, patterns)
        return self.found[prices]


BEGINNINGS = BeginningCache(most=4)


def _open(folder: Path, panel: Panel) -> Opened:
    """What the folder holds for ``panel``; DataError as in ``load``."""
    asked_of(folder)
    changed_at = tuple(sorted((file.name, file.stat().st_mtime_ns) for file in folder.iterdir()))
    kept = _read(folder, changed_at)
    manifest = kept.manifest
    panel = panel.select(
        panel.offers.index.isin(manifest["offers"]) | is_market(panel.offers, panel.step)
    )
    past = panel.until(pd.Timestamp(manifest["until"]))
    beginning = BEGINNINGS.of(past, manifest["prices"])
    if beginning is None:
        raise DataError(f"the models in {folder} were fitted on other offers or prices.", ANEW)
    moving = _of_market(panel)
    patterns = find_patterns(moving, listed=panel, beginning=beginning.patterns)
    end = np.array([len(panel.times) - 1])
    task = ensemble.task_of(patterns, end, horizon=manifest["horizon"], seed=manifest["seed"])
    return Opened(kept, panel, patterns, replace(task, models=folder, fitted=True))


@lru_cache(maxsize=4)
def _read(folder: Path, _changed_at: tuple[tuple[str, int], ...]) -> Kept:
    """The folder's manifest and arrays; DataError where anything is not what it was."""
    try:
        written = json.loads((folder / MANIFEST).read_text())
        _check_code(folder, written)
        manifest = {name: value for name, value in written.items() if name != "digest"}
        found = {name: digest_values((folder / name).read_bytes()) for name in manifest["files"]}
        found[MANIFEST] = digest_values(manifest)
        for name, expected in {**manifest["files"], MANIFEST: written["digest"]}.items():
            if found[name] != expected:
                raise DataError(
                    f"{folder / name} is not the file that was kept with the models.", ANEW
                )
        with np.load(folder / ARRAYS, allow_pickle=False) as past:
            return Kept(manifest, {name: past[name] for name in LAST_ARRAYS})
    except (OSError, ValueError, KeyError) as cause:
        raise DataError(f"{folder} cannot be read: {cause}.", ANEW) from cause


def _check_code(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise where other code, or another version of a package, wrote the models."""
    if manifest["code"] != code_digest():
        raise DataError(
            f"the models in {folder} were written by another version of the code.", ANEW
        )
    for name, now in package_versions(tuple(manifest["members"])).items():
        then = manifest["versions"].get(name, "none")
        if then != now:
            raise DataError(
                f"the models in {folder} were written with {name} {then}, and this is {now}.", ANEW
            )
