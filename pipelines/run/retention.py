"""Which runs stay: the newest of each series; older ones go whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from cloudarb_lib.base.errors import CloudArbError, ParameterError
from cloudarb_lib.base.files import locked
from pipelines.run.files import read_json
from pipelines.run.folders import RunFolders, series


class _InUse(CloudArbError):
    """The run is in progress."""


def old_runs(reports: Path, keep: int, configuration: str = "") -> list[str]:
    """Return the runs that go, oldest first.

    Parameters
    ----------
    reports : Path
        Folder of the runs.
    keep : int
        How many of a series stay: the newest, and the newest that succeeded whatever its age. Each
        run of a set (``--over``) is of a series of its own.
    configuration : str
        Only runs of this one; '' for all.

    Raises
    ------
    ParameterError
        Where ``keep`` is below 1.
    """
    if keep < 1:
        raise ParameterError(f"--keep is {keep}.", "Keep 1 or more.")
    by_series: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for path in reports.glob("*/manifest.json"):
        run = read_json(path) or {}
        name = path.parent.name.partition("-")[0]
        if run.get("started_at") and configuration in ("", name):
            entry = (str(run["started_at"]), path.parent.name, str(run["status"]))
            by_series.setdefault(series(run), []).append(entry)
    going = []
    for runs in by_series.values():
        runs.sort(reverse=True)
        good = next((run for run in runs if run[2] == "succeeded"), None)
        going += [run for run in runs[keep:] if run != good]
    return [run_id for _, run_id, _ in sorted(going)]


def remove_run(reports: Path, run_id: str) -> bool:
    """Remove a run, its pages first out of sight; say whether it went (not where it is in use)."""
    folders = RunFolders(reports, run_id)
    try:
        with locked(folders.lock, _InUse, f"run {run_id}"):
            going = reports / ".state" / f".going-{run_id}"
            folders.run_dir.rename(going)  # at once: no page of half a run is ever there
            shutil.rmtree(going)
            shutil.rmtree(folders.state)
    except _InUse:
        return False
    return True
