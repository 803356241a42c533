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
"""How often spot machines are taken away: the names that people give, and the last part of the
rows ``interruption_per_hour/spot/...`` and ``outage_hours/spot/...``, which say where each is from.
"""


class Assumptions:
    """The assumption file, remembering which figures were asked for.

    Parameters
    ----------
    table : DataFrame
        Table ``assumptions``.

    Raises
    ------
    DataError
        Where it is no such table.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = validate(table, "assumptions").set_index("name")
        self._used: set[str] = set()

    def has(self, name: str) -> bool:
        """Return whether the file has a figure of that name."""
        return name in self._table.index

    def get(self, *names: str) -> float:
        """Return a figure, and note its use.

        Parameters
        ----------
        *names : str
            Names of the figure, the specific before the general.

        Returns
        -------
        float
            That of the first name that the file has, in the unit that its row states.

        Raises
        ------
        ParameterError
            Where the file has none of them.
        """
        for name in names:
            if name in self._table.index:
                self._used.add(name)
                return float(self._table["value"].loc[name])
        wanted = names[-1]
        raise ParameterError(
            f"no assumption named {wanted!r}{did_you_mean(wanted, list(self._table.index))}.",
            "Add a row to data/assumptions.csv: name, value, unit, source, date.",
        )

    def tiers(self, name: str) -> list[tuple[float, float]]:
        """Return the figures that hold from a number on, and note their use.

        Parameters
        ----------
        name : str
            What stands before the number: rows are named ``name``/number.

        Returns
        -------
        list of (float, float)
            Number and figure, by rising number; empty where there is none.
        """
        tiers = []
        for row in self._table.index:
            start, _, number = row.rpartition("/")
            if start == name and number.isdigit():
                tiers.append((float(number), self.get(row)))
        return sorted(tiers)

    @property
    def used(self) -> pd.DataFrame:
        """The rows asked for so far, in the file's order, as table ``assumptions``."""
        return self._table[self._table.index.isin(self._used)].reset_index()


def load_assumptions(path: str | Path = "") -> Assumptions:
    """Read an assumption file.

    Parameters
    ----------
    path : str or Path
        The file; '' means data/assumptions.csv.

    Returns
    -------
    Assumptions
        Its figures, none of them used yet.

    Raises
    ------
    ParameterError
        Where there is no such file.
    """
    file = Path(path) if str(path) else locations.data() / "assumptions.csv"
    try:
        return Assumptions(pd.read_csv(file, dtype={"date": str, "name": str}))
    except FileNotFoundError as cause:
        raise ParameterError(f"no assumption file {file}.") from cause
