"""The runs in a folder of reports: their figures, and what changed from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.files import is_locked
from cloudarb_lib.base.wording import in_unit
from cloudarb_lib.tables.run_tables import load_table
from pipelines.run.files import read_json
from pipelines.run.folders import RunFolders, runs_before

OF_TODAY_DAYS = 14
"""Prices older than this when the run began are said to be old."""
LEAST_OF_SPARKLINE = 0.05
"""Share of the least value that the height of a sparkline stands for at least: less looks flat."""
Run = dict[str, Any]
"""The content of a run's manifest.json."""


@dataclass(frozen=True)
class Figure:
    """One headline figure for a page.

    Parameters
    ----------
    meaning
        What it is, in words.
    text
        The figure with its unit.
    change
        Since the last run, with its sign; empty where there is none to compare with.
    """

    meaning: str
    text: str
    change: str


def all_runs(reports: Path) -> list[Run]:
    """Return the manifests of all runs, the newest first; one that died is 'stopped'.

    A run in progress holds its lock, on whichever machine or container that shares the folder: a
    process id would say nothing of another one.
    """
    runs = [run for path in reports.glob("*/manifest.json") if (run := _read(path))]
    return sorted(runs, key=lambda run: str(run["started_at"]), reverse=True)


def _read(manifest: Path) -> Run | None:
    """Return a manifest, whose run is 'stopped' where it says running and nobody runs it."""
    run = read_json(manifest)
    if run and run["status"] == "running":
        folders = RunFolders(manifest.parents[1], run["run_id"])
        run["status"] = "running" if is_locked(folders.lock) else "stopped"
    return run


def age_in_words(run: Run) -> str:
    """Return what a run would need to be of today, where its prices are old; else nothing."""
    day = pd.Timestamp(str(run["as_of"])[:10], tz="UTC")
    days = (pd.Timestamp(run["started_at"]) - day).days
    if days <= OF_TODAY_DAYS:
        return ""
    is_latest = run.get("as_of_asked") == "latest"
    again = "run again" if is_latest else "cloudarb run CONFIG.yaml --set as_of=latest"
    return (
        f"Prices are of {run['as_of']}, {days:,} days before the run. For a plan of today: "
        f"cloudarb collect (or ingest), then {again}."
    )


def find_run(reports: Path, name: str) -> Run:
    """Return the manifest of a run by its name or its folder.

    Raises
    ------
    ParameterError
        Where there is none of that name.
    """
    run_id = Path(name).name
    run = _read(reports / run_id / "manifest.json")
    if run is None:
        known = [str(run["run_id"]) for run in all_runs(reports)]
        raise ParameterError(
            f"no run {run_id!r} in {reports}{did_you_mean(run_id, known)}.",
            f"Use one of {', '.join(known)}." if known else "Make one: cloudarb run CONFIG.yaml.",
        )
    return run


def fault(run: Run) -> str:
    """Return what the first notebook that failed said; empty where none did."""
    errors = [entry.get("error") for entry in run["notebooks"].values()]
    return next((str(error) for error in errors if error), "")


def run_before(run: Run, reports: Path) -> Run | None:
    """Return the last run of the same series before this one that has headline figures."""
    before = runs_before(run, all_runs(reports))
    return next((other for other in before if len(headline(other, reports))), None)


def headline(run: Run, reports: Path) -> pd.DataFrame:
    """Return table ``headline`` of a run by name; without rows where it has none."""
    table = load_table("headline", reports / run["run_id"])
    if table is None:
        table = pd.DataFrame(columns=["name", "meaning", "value", "unit"])
    return table.set_index("name")


def figures(now: pd.DataFrame, before: pd.DataFrame) -> list[Figure]:
    """Return headline figures (``headline``) with their changes since another run."""
    found = []
    then = before["value"].dropna().to_dict()
    for name, row in now.iterrows():
        change = ""
        if name in then:
            change = change_in_words(row["value"] - then[name], row["unit"])
        text = in_unit(row["value"], row["unit"]) if pd.notna(row["value"]) else "not known"
        found.append(Figure(str(row["meaning"]), text, change))
    return found


def change_in_words(change: float, unit: str) -> str:
    """Return a change with its sign: +$12,300, -0.4 points, unchanged."""
    if unit == "share":
        return f"{100 * change:+.1f} points" if abs(change) >= 0.0005 else "unchanged"
    text = in_unit(abs(change), unit)
    if not text.strip("$0. %daysGPU"):
        return "unchanged"
    return f"{'+' if change > 0 else '-'}{text}"


def sparkline(values: list[float], *, width: int = 90, height: int = 22) -> str:
    """Return values as a small line in SVG, the last one marked; empty for fewer than two."""
    if len(values) < 2:
        return ""
    low = min(values)
    span = max(max(values) - low, LEAST_OF_SPARKLINE * abs(low)) or 1.0
    step = (width - 8) / (len(values) - 1)
    points = [
        (4 + k * step, height - 4 - (height - 8) * (v - low) / span) for k, v in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        f'<svg class="spark" width="{width}" height="{height}" role="img" '
        f'aria-label="from {values[0]:,.0f} to {values[-1]:,.0f}"><polyline points="{line}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/></svg>'
    )
