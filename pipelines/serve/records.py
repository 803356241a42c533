"""What is served: the newest snapshot of the store, and the runs in the folder of reports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd

from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.errors import StoreError, did_you_mean
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market import Market, read_market
from cloudarb_lib.store.snapshot import Snapshot, current
from cloudarb_lib.tables import run_tables
from pipelines.run.files import read_json
from pipelines.serve.faults import NotThere

NEWEST = "latest"
"""Name of the newest run that succeeded."""
ALERTS = "alerts.json"
"""File of a run, written when its rules are looked at, at any time after its end."""
LOOK_AGAIN_S = 1.0
_MARKETS_KEPT = 8


@dataclass(frozen=True)
class Folders:
    """Where what is served lies.

    Parameters
    ----------
    store, reports : Path
        The price store, and the runs.
    state : Path
        Tokens, and plans made on request.
    """

    store: Path
    reports: Path
    state: Path


@dataclass(frozen=True)
class Run:
    """A run that succeeded.

    Parameters
    ----------
    folder : Path
        Where it lies.
    manifest : dict
        What it was made by.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def head(self) -> dict[str, str]:
        """What an answer from it rests on."""
        return {
            "run": self.folder.name,
            "snapshot": self.manifest["snapshot"],
            "as_of": str(self.manifest["as_of"]),
            "made_at": self.manifest["finished_at"],
        }

    @property
    def state(self) -> tuple[str, str, int]:
        """What changes with what is told of it: its name, its end, and when alerts were written."""
        try:
            written_ns = (self.folder / ALERTS).stat().st_mtime_ns
        except FileNotFoundError:
            written_ns = 0
        return self.folder.name, self.manifest["finished_at"], written_ns

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the run, checked.

        Raises
        ------
        NotThere
            Where the run has none of that name.
        """
        frame = run_tables.load_table(name, self.folder)
        if frame is None:
            raise NotThere(f"run {self.folder.name} has no table {name}.", "Ask for another run.")
        return frame


@dataclass
class Records:
    """The store and the runs; what changes under it is seen within a second.

    Parameters
    ----------
    store : Path
        Folder of the store.
    reports : Path
        Folder of the runs.
    clock : callable
        Returns the time, in UTC.
    """

    store: Path
    reports: Path
    clock: Callable[[], pd.Timestamp]
    _runs: list[Run] = field(default_factory=list, init=False)
    _runs_digest: str = field(default="", init=False)
    _looked_s: float = field(default=float("-inf"), init=False)
    _markets: dict[tuple[str, str, float], Market] = field(default_factory=dict, init=False)
    _reading: Lock = field(default_factory=Lock, init=False)

    def edition(self, path: str) -> str:
        """Return what an answer to a path rests on: a snapshot or the runs, by digest."""
        if path.startswith("/runs"):
            self.runs()
            return self._runs_digest
        return _pointer(self.store)

    def runs(self) -> list[Run]:
        """Return the runs that succeeded, the newest first."""
        if time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            found = [_run(path) for path in self.reports.glob("*/manifest.json")]
            succeeded = [run for run in found if run is not None]
            self._runs = sorted(
                succeeded, key=lambda run: run.manifest["finished_at"], reverse=True
            )
            self._runs_digest = digest_values(*(run.state for run in self._runs))[:16]
            self._looked_s = time.monotonic()
        return self._runs

    def run(self, name: str) -> Run:
        """Return a run by its name, or the newest.

        Raises
        ------
        NotThere
            Where there is none.
        """
        runs = {run.folder.name: run for run in self.runs()}
        if name == NEWEST and runs:
            return next(iter(runs.values()))
        if name not in runs:
            what = f"no run {name!r} that succeeded{did_you_mean(name, list(runs))}."
            raise NotThere(what, "See /runs, or make one with cloudarb run.")
        return runs[name]

    def market(self, as_of: str, stale_after_days: float) -> tuple[str, Market]:
        """Return the market of machines with a GPU at a time, and the snapshot it is from.

        Parameters
        ----------
        as_of : str
            A day or an instant; '' is now, to the minute.
        stale_after_days : float
            Age from which on a price is left out.

        Raises
        ------
        ParameterError
            As ``read_market``.
        """
        path = current(self.store)
        if path is None:
            raise StoreError(f"no store at {self.store}.", "Fill it with cloudarb ingest first.")
        end = parse_as_of(as_of) if as_of else self.clock().floor("min")
        key = (path.stem, end.isoformat(), stale_after_days)
        with self._reading:  # one reading at a time: others wait for its market, not for a core
            if key not in self._markets:
                with Snapshot(path) as snapshot:
                    market = read_market(
                        snapshot, end, providers=None, stale_after_days=stale_after_days
                    )
                while len(self._markets) >= _MARKETS_KEPT:
                    del self._markets[next(iter(self._markets))]
                self._markets[key] = market
            return path.stem, self._markets[key]


def _pointer(store: Path) -> str:
    """Return the digest of the newest snapshot, '' where there is none; asked with each request."""
    try:
        found = os.stat(f"{store}/current")
    except FileNotFoundError:
        return ""
    return _named(store, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=8)
def _named(store: Path, *_: int) -> str:
    path = current(store)
    return path.stem if path else ""


def _run(manifest: Path) -> Run | None:
    try:
        written_ns = manifest.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    return _read_run(manifest, written_ns)


@lru_cache(maxsize=4096)
def _read_run(manifest: Path, _: int) -> Run | None:
    content = read_json(manifest) or {}
    return Run(manifest.parent, content) if content.get("status") == "succeeded" else None
