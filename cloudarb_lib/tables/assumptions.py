"""Figures that no record gives (capacity, hazards, egress, throughput), each with its source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.tables.validation import validate

HazardPreset = Literal["calm", "advisor-implied", "typical", "trace-calibrated", "stressed"]
HAZARD_PRESETS: dict[HazardPreset, str] = {
    "calm": "calm",
    "advisor-implied": "calm",
    "typical": "typical",
    "trace-calibrated": "trace",
    "stressed": "stressed",
}
"""How often spot machines are taken away: the names that people give, and the last part of the rows
``interruption_per_hour/spot/...`` and ``outage_hours/spot/...``, which say where each is from."""


class Assumptions:
    """The assumption file, remembering which figures were asked for.

    ``get`` returns a figure and notes its use; ``used`` is the table of those noted, which
    every plan and report lists.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = validate(table, "assumptions").set_index("name")
        self._used: set[str] = set()

    def get(self, *names: str) -> float:
        """Return the first of ``names`` that the file has: the specific before the general."""
        for name in names:
            if name in self._table.index:
                self._used.add(name)
                return float(self._table["value"].loc[name])
        raise ParameterError(
            f"no assumption named {names[-1]!r}{did_you_mean(names[-1], list(self._table.index))}.",
            "Add a row to data/assumptions.csv: name, value, unit, source, date.",
        )

    def tiers(self, name: str) -> list[tuple[float, float]]:
        """Return the figures named ``name``/number, as (number, figure) by rising number; none: empty."""
        numbers = [
            n
            for n in self._table.index
            if n.rpartition("/")[0] == name and n.rpartition("/")[2].isdigit()
        ]
        return sorted((float(n.rpartition("/")[2]), self.get(n)) for n in numbers)

    @property
    def used(self) -> pd.DataFrame:
        """The rows asked for so far, in the file's order, as table ``assumptions``."""
        return self._table[self._table.index.isin(self._used)].reset_index()


def load_assumptions(path: str | Path = "") -> Assumptions:
    """Read an assumption file; '' means data/assumptions.csv."""
    file = Path(path) if str(path) else locations.data() / "assumptions.csv"
    try:
        return Assumptions(pd.read_csv(file, dtype={"date": str, "name": str}))
    except FileNotFoundError as cause:
        raise ParameterError(f"no assumption file {file}.") from cause
