"""A run once more, from its own snapshot and parameters, and whether its tables come out alike."""

from __future__ import annotations

import filecmp
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.run import pipeline
from pipelines.run.config import RunConfig
from pipelines.run.files import read_json
from pipelines.run.folders import RunFolders
from pipelines.run.manifest import Manifest, changed_parts, demand_digest
from pipelines.run.stages import every_stage

_OF_SOLVES = ("plan_summary", "plan_binding", "plan_frontier", "runners_up")
"""Tables that say how a solve ended, or how far it came."""


@dataclass(frozen=True)
class Rerun:
    """What came of a run made once more.

    Parameters
    ----------
    code : int
        Exit code of the run.
    differences : dict of str to str
        By table, how it differs from that of the first run; '' where it is equal.
    changed : dict of str to list of str
        By notebook, what it rests on now that is not as it was, in words.
    timed : list of str
        Tables, of either run, in which the clock ended a solve.
    """

    code: int
    differences: dict[str, str]
    changed: dict[str, list[str]]
    timed: list[str]


def rerun(run_id: str, reports: Path, *, cores: int) -> Rerun:
    """Make a run once more, apart from all others, and compare its tables.

    Parameters
    ----------
    run_id : str
        Name of its folder.
    reports : Path
        Folder of the runs.
    cores : int
        So many notebooks at once.

    Raises
    ------
    ParameterError
        Where there is no such run, it did not succeed, or its demand file is lost.
    """
    before = reports / run_id
    earlier = read_json(before / "manifest.json") if run_id and "/" not in run_id else None
    if earlier is None:
        known = sorted(path.parent.name for path in reports.glob("*/manifest.json"))
        names = ", ".join(known[-5:]) or "none yet"
        raise ParameterError(f"no run {run_id!r}{did_you_mean(run_id, known)}.", f"Runs: {names}.")
    if earlier["status"] != "succeeded":
        raise ParameterError(f"run {run_id} {earlier['status']}: it has no tables to compare.")
    apart = reports / ".state" / "reruns" / run_id  # no other run beside it, to take over from
    shutil.rmtree(apart, ignore_errors=True)
    again = RunFolders(apart, run_id)
    name = (before / "snapshot" / "current").read_text(encoding="utf-8").strip()
    snapshot = before / "snapshot" / "snapshots" / f"{name}.duckdb"
    code = pipeline.run_into(again, _config(earlier, before), snapshot, cores=cores)
    now = read_json(again.run_dir / "manifest.json") or {}
    differences = compared(before, again.run_dir)
    return Rerun(
        code, differences, changed_parts(earlier, now), timed_tables(before, again.run_dir)
    )


def _config(manifest: Manifest, run_dir: Path) -> RunConfig:
    """Return the configuration that a run had, its demand file where that is as it was."""
    parameters: dict[str, dict[str, Any]] = {
        stage: json.loads(entry["parameters"])
        for stage, entry in manifest["notebooks"].items()
        if stage in every_stage()
    }
    for stage, values in parameters.items():
        digest = manifest["notebooks"][stage]["demand"]
        if "demand" in values and demand_digest(values) != digest:
            kept = {"demand": str(run_dir / pipeline.INPUTS / Path(values["demand"]).name)}
            if not Path(kept["demand"]).exists() or demand_digest(kept) != digest:
                what = f"{values['demand']} is not what it was, and the run kept no copy."
                raise ParameterError(what, "Bring that file back.")
            values |= kept
    settings = {
        "name": manifest["name"],
        "title": manifest["title"],
        "timeout_s": manifest["timeout_s"],
    }
    return RunConfig(settings, manifest["config"], parameters)


def compared(before: Path, after: Path) -> dict[str, str]:
    """Return how the tables of two run folders differ, by name; '' where a table is equal."""
    names = {path.stem for folder in (before, after) for path in folder.glob("tables/*.parquet")}
    found = {}
    for name in sorted(names):
        files = [folder / "tables" / f"{name}.parquet" for folder in (before, after)]
        if all(file.exists() for file in files):
            found[name] = _difference_of_files(*files)
        else:
            found[name] = f"only {'the first run' if files[0].exists() else 'this one'} has it"
    return found


def timed_tables(*run_dirs: Path) -> list[str]:
    """Return the tables of run folders that tell that the clock ended a solve, by name."""
    paths = [path for folder in run_dirs for path in folder.glob("tables/*.parquet")]
    told = {path.stem for path in paths if path.stem in _OF_SOLVES and _is_timed(path)}
    return sorted(told)


def _is_timed(path: Path) -> bool:
    table, _ = _read(path)
    return allocate.is_timed(table)


def _read(path: Path) -> tuple[pd.DataFrame, str]:
    """Return a table, and what keeps it from being read; without rows and columns then."""
    try:
        return pd.read_parquet(path), ""
    except (OSError, ValueError) as cause:  # what pyarrow says of a file that is no table
        return pd.DataFrame(), str(cause)


def _difference_of_files(before: Path, after: Path) -> str:
    """Return how two tables differ, in words; one that is damaged does."""
    if filecmp.cmp(before, after, shallow=False):
        return ""
    first, fault_of_first = _read(before)
    second, fault_of_second = _read(after)
    if fault_of_first:
        return f"that of the first run cannot be read: {fault_of_first}"
    if fault_of_second:
        return f"that of this one cannot be read: {fault_of_second}"
    return difference(first, second)


def difference(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Return how two tables differ, in words; '' where they are equal to the last bit."""
    if before.equals(after):
        return ""
    columns = [[str(name) for name in table.columns] for table in (before, after)]
    if columns[0] != columns[1]:
        return f"columns {', '.join(columns[0])} are {', '.join(columns[1])} now"
    if len(before) != len(after):
        return f"{len(before):,} rows are {len(after):,} now"
    said = []
    for name in before:
        same = (before[name] == after[name]) | (before[name].isna() & after[name].isna())
        if same.all():
            continue
        text = f"{name} in {(~same).sum():,} of {len(same):,} rows"
        if before[name].dtype.kind == "f":
            off = np.abs(after[name] - before[name]) / np.maximum(np.abs(before[name]), 1e-300)
            text += f", by {off[~same].max():.1e} of its value at most"
        said.append(text)
    return "; ".join(said) or "types of columns"
