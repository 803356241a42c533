"""Recorded availability of spot machines: what probes found, zone by zone, on a regular grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, ParameterError, did_you_mean

FILE = "spot_availability.parquet"
COLUMNS = ("batch", "zone", "machine", "nodes_asked", "gap_seconds", "ticks", "tick", "available")


@dataclass(frozen=True)
class Trace:
    """Probes of one machine in some zones, side by side.

    Attributes
    ----------
    name
        Batch, machine and, where there is but one, the zone.
    machine
        What was asked for, such as ``v100_1``.
    zones
        The zones, in the order of the columns of ``up``.
    gap_h
        Hours from one probe to the next.
    up
        Whether all nodes asked for could be had, (probes, zones).
    """

    name: str
    machine: str
    zones: tuple[str, ...]
    gap_h: float
    up: np.ndarray

    def zone(self, column: int) -> Trace:
        """Return the trace of one zone alone."""
        zone = self.zones[column]
        return replace(self, name=f"{self.name} {zone}", zones=(zone,), up=self.up[:, [column]])

    def until(self, probe: int) -> Trace:
        """Return the trace of the first ``probe`` probes."""
        return replace(self, up=self.up[:probe])

    def thinned(self, every: int) -> Trace:
        """Return a trace of every so many probes: up where all of them were."""
        length = len(self.up) // every
        groups = self.up[: length * every].reshape(length, every, len(self.zones))
        every_up: np.ndarray = np.asarray(groups.all(axis=1))
        return replace(self, gap_h=self.gap_h * every, up=every_up)


def load_traces(path: str | Path = "") -> list[Trace]:
    """Read recorded availability.

    Parameters
    ----------
    path
        A Parquet file with ``COLUMNS``, a row where availability changed; '' means the bundled
        record.

    Returns
    -------
    list of Trace
        One a batch and machine, the oldest batch first; zones are cut to the span they share.

    Raises
    ------
    ParameterError
        Where there is no such file.
    DataError
        Where it lacks a column, or a trace has no probe at its start.
    """
    file = Path(path) if str(path) else locations.data() / FILE
    if not file.is_file():
        raise ParameterError(f"no record of availability {file}.")
    table = pd.read_parquet(file)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise DataError(f"{file.name} lacks column {missing[0]!r}.", f"It needs {COLUMNS}.")
    batches = table.groupby(["batch", "machine"], sort=False)
    traces = [_side_by_side(group) for _, group in batches]
    return sorted(traces, key=lambda trace: _day(trace.name))


def _day(name: str) -> pd.Timestamp:
    """Return the day that a batch is named after, such as aws-02-15-2023."""
    return pd.to_datetime(name.split()[0][-10:], format="%m-%d-%Y")


def _side_by_side(group: pd.DataFrame) -> Trace:
    """Return the zones of a batch on their common probes."""
    batch, machine = group[["batch", "machine"]].iloc[0]
    length = int(group["ticks"].min())
    columns = {str(zone): _expanded(probes, length) for zone, probes in group.groupby("zone")}
    gap_h = float(group["gap_seconds"].iloc[0]) / 3600
    up = np.column_stack(list(columns.values()))
    return Trace(f"{batch} {machine}", machine, tuple(columns), gap_h, up)


def _expanded(probes: pd.DataFrame, length: int) -> np.ndarray:
    """Return whether all nodes were available at each of ``length`` probes, from changes."""
    changes = probes.sort_values("tick")
    if changes["tick"].iloc[0] != 0:
        raise DataError(f"the trace of {changes['zone'].iloc[0]} has no probe at its start.")
    at = changes["tick"].searchsorted(np.arange(length), side="right") - 1
    enough = (changes["available"] >= changes["nodes_asked"]).to_numpy()
    return enough[at]


def trace_of(traces: list[Trace], machine: str) -> Trace:
    """Return the newest trace of a machine; ParameterError where none is on record."""
    found = [trace for trace in traces if trace.machine == machine]
    if not found:
        known = sorted({trace.machine for trace in traces})
        raise ParameterError(
            f"no availability is on record for {machine!r}{did_you_mean(machine, known)}.",
            f"Use one of {', '.join(known)}, or a hazard preset.",
        )
    return found[-1]
