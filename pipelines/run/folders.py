"""Where a run writes, and which runs follow each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunFolders:
    """Where a run writes.

    Parameters
    ----------
    reports : Path
        Folder of all runs.
    run_id : str
        Name of this one.
    """

    reports: Path
    run_id: str

    @property
    def run_dir(self) -> Path:
        """What readers get: pages, notebooks, tables, manifest and logs."""
        return self.reports / self.run_id

    @property
    def state(self) -> Path:
        """What the graph keeps from one time to the next, and the lock of the run."""
        return self.reports / ".state" / self.run_id

    @property
    def lock(self) -> Path:
        """File of the lock that whoever carries out or removes the run holds."""
        return self.state / "lock"

    @property
    def shown(self) -> str:
        """The run's folder as messages name it, from the current one."""
        return os.path.relpath(self.run_dir)


def series(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the runs that follow each other have alike: their name, and their title.

    Runs of a set (``--over``) share the name; each says in its title which of them it is.
    """
    return str(manifest.get("name", "")), str(manifest.get("title", ""))


def runs_before(
    manifest: Mapping[str, Any], others: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the runs that a run follows, the last one first.

    Parameters
    ----------
    manifest : mapping
        Of the run.
    others : iterable of dict
        Manifests of runs, itself among them or not.

    Returns
    -------
    list of dict
        Of these, the ones of its series that succeeded and began before it.
    """
    began = str(manifest["started_at"])
    found = [
        other
        for other in others
        if series(other) == series(manifest)
        and other["status"] == "succeeded"
        and str(other["started_at"]) < began
    ]
    return sorted(found, key=lambda other: str(other["started_at"]), reverse=True)
