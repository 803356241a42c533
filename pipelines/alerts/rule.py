"""What a rule sees, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.tables import run_tables
from pipelines.run.files import read_json
from pipelines.run.folders import runs_before

LIVE = ("running", "stopped")
"""Statuses of a run that has not come to an end."""


@dataclass(frozen=True)
class PastRun:
    """A run that has ended.

    Parameters
    ----------
    folder : Path
        Its folder.
    manifest : dict
        The content of its manifest.json.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def run_id(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def ended_at(self) -> pd.Timestamp:
        """When it ended."""
        return ensure_utc(self.manifest["finished_at"], "finished_at")

    @property
    def succeeded(self) -> bool:
        """Whether all of it was made."""
        return bool(self.manifest["status"] == "succeeded")

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the run; empty where it has none of that name."""
        found = run_tables.load_table(name, self.folder)
        return pd.DataFrame() if found is None else found


@dataclass(frozen=True)
class Watched:
    """The runs of one configuration, and the time at which they are looked at.

    Parameters
    ----------
    last : PastRun
        The newest run that has ended, however it did.
    newest, previous : PastRun or None
        The newest run that succeeded, and the last one of its series before it that did.
    now : Timestamp
        In UTC.
    store : Path
        Folder of the store of prices.
    """

    last: PastRun
    newest: PastRun | None
    previous: PastRun | None
    now: pd.Timestamp
    store: Path

    def tables(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return a table of the newest successful run, and of the one before; empty without."""
        newest = self.newest.table(name) if self.newest else pd.DataFrame()
        previous = self.previous.table(name) if self.previous else pd.DataFrame()
        return newest, previous


@dataclass(frozen=True)
class Finding:
    """That a rule fires.

    Parameters
    ----------
    subject : str
        What it fires for, among what the rule watches: a source, an offer; '' where it watches one
        thing alone. While a rule fires for a subject it is one alert.
    text : str
        A sentence with the figures.
    """

    subject: str
    text: str


class Rule(ABC):
    """A kind of rule: its fields are the keys that stand under ``key`` in a file of alerts."""

    key: ClassVar[str]

    @abstractmethod
    def findings(self, watched: Watched) -> list[Finding]:
        """Return what fires now."""

    def expression(self, configuration: str) -> str:
        """Return the condition in PromQL, on metrics of ``cloudarb metrics``.

        A rule whose condition no metric tells fires where ``cloudarb alerts`` found that it does.
        """
        return f'cloudarb_alert{{configuration="{configuration}",rule="{self.key}"}} == 1'


def ended_runs(reports: Path, configuration: str) -> list[PastRun]:
    """Return the runs of a configuration that have ended, however they did, oldest first."""
    found = [
        PastRun(path.parent, manifest)
        for path in reports.glob(f"{configuration}-*/manifest.json")
        if (manifest := read_json(path)) and manifest.get("status") not in LIVE
    ]
    return sorted(found, key=lambda run: run.ended_at)


def watched_runs(
    reports: Path, configuration: str, *, now: pd.Timestamp, store: Path
) -> Watched | None:
    """Return the runs of a configuration; None where none has ended yet.

    Parameters
    ----------
    reports : Path
        Folder of the runs.
    configuration : str
        Its ``name``.
    now : Timestamp
        In UTC.
    store : Path
        Folder of the store of prices.
    """
    found = ended_runs(reports, configuration)
    succeeded = [run for run in found if run.succeeded]
    if not found:
        return None
    if not succeeded:
        return Watched(found[-1], None, None, now, store)
    newest = succeeded[-1]
    before = runs_before(newest.manifest, [run.manifest for run in succeeded])
    previous = PastRun(reports / before[0]["run_id"], before[0]) if before else None
    return Watched(found[-1], newest, previous, now, store)
