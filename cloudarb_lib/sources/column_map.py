"""How the columns of a file that is none of ours are to be read: a map that people write.

A YAML file says which of its columns is which of ours, what holds of all rows, what unit its prices
are in, and how its times are written::

    columns:
      provider: Cloud
      region: Location
      instance_type: Machine
      effective_at: Valid from
      price: Price
    constants:
      purchase_option: on_demand
    unit: USD per GPU-hour
    time_zone: Europe/Stockholm
    time_format: "%d.%m.%Y %H:%M"
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cloudarb_lib.base import records
from cloudarb_lib.base.errors import DataError, ParameterError, did_you_mean
from cloudarb_lib.base.records import Text, record
from cloudarb_lib.sources.base import LINE, OWN_COLUMNS, Parsed
from cloudarb_lib.sources.names.price_columns import price_unit, sounds_like_price
from cloudarb_lib.sources.text import OURS, Vocabulary, plain_name
from cloudarb_lib.tables.stored_schema import STORED

PRICE = "price"
"""Stands for the price in a map; its unit is told apart."""
_TIMES = {
    column.name
    for table in STORED.values()
    for column in table.columns
    if column.dtype == "TIMESTAMPTZ"
}
_UNIT_WAY_OUT = "Write such as 'USD per hour', 'EUR per month', 'USD cents per GPU-hour'."
_ISO_WITHOUT_ZONE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)?$"


@record
class ColumnMap:
    """Which column of a file is which of ours, and how its values are written.

    Parameters
    ----------
    columns : dict of str to str
        The column of the file by ours; the price goes by ``price``, or by a name that says its
        unit, such as ``price_eur_per_month``.
    constants : dict of str to object
        By column of ours, what it is in every row.
    unit : str
        What a figure of ``price`` is: words that a name of a price column may have.
    time_zone : str
        Time zone of times that say none, as IANA names it; '': such times are held back.
    time_format : str
        How times are written, in codes of ``strptime``; '': as ISO 8601.
    """

    columns: dict[Text, Text] = field(default_factory=dict)
    constants: dict[Text, object] = field(default_factory=dict)
    unit: str = ""
    time_zone: str = ""
    time_format: str = ""

    def __post_init__(self) -> None:
        _check_names([*self.columns, *self.constants])
        for name, value in self.constants.items():
            if value is None or isinstance(value, dict | list):
                raise ParameterError(f"constants.{name} is {value!r}.", "Write one value.")
        _check_unit(self)
        try:
            ZoneInfo(self.time_zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError) as cause:
            what = f"time_zone {self.time_zone!r} is not known."
            raise ParameterError(what, "Write such as Europe/Stockholm, or UTC.") from cause

    @property
    def vocabulary(self) -> Vocabulary:
        """The names by which the header of the file is known."""
        numbers = [file for ours, file in self.columns.items() if _is_number(ours)]
        return Vocabulary(
            names=frozenset(map(plain_name, self.columns.values())),
            numbers=frozenset(map(plain_name, numbers)),
        )

    def applied(self, parsed: Parsed) -> Parsed:
        """Return rows of a file with our columns.

        Parameters
        ----------
        parsed : Parsed
            Rows of ``OWN_COLUMNS`` under the names that the file gives.

        Raises
        ------
        DataError
            Where the file lacks a column that the map names.
        """
        rows = parsed.tables[OWN_COLUMNS]
        columns = {}
        for ours, theirs in self.columns.items():
            columns[self._name(ours)] = rows[_place(theirs, rows.schema.names[:-1])]
        for ours, value in self.constants.items():
            columns[self._name(ours)] = pa.array([_constant(value)] * len(rows), pa.string())
        for name in _TIMES & set(columns):
            columns[name] = self._times(columns[name])
        table = pa.table({**columns, LINE: rows[LINE]})
        return replace(parsed, tables={OWN_COLUMNS: table})

    def _name(self, ours: str) -> str:
        """Return the name of a column of ours, that of a price with its unit."""
        return plain_name(f"price {self.unit}") if ours == PRICE else ours

    def _times(self, written: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
        """Return times with their zone; what cannot be read, or fits no time, stays as it is."""
        if not (self.time_zone or self.time_format):
            return written
        if pa.types.is_timestamp(written.type) and written.type.tz:
            return written
        texts = pd.Series(pc.cast(written, pa.string()).to_pylist(), dtype="str").str.strip()
        if self.time_format:
            has_zone = "%z" in self.time_format
            times = pd.to_datetime(texts, format=self.time_format, errors="coerce", utc=has_zone)
        else:
            without_zone = texts.where(texts.str.match(_ISO_WITHOUT_ZONE, na=False))
            times = pd.to_datetime(without_zone, format="ISO8601", errors="coerce")
        if self.time_zone and times.dt.tz is None:
            times = times.dt.tz_localize(self.time_zone, ambiguous="NaT", nonexistent="NaT")
        read = times.map(pd.Timestamp.isoformat, na_action="ignore").astype("str")
        return pa.array(read.where(times.notna(), texts), pa.string(), from_pandas=True)


def read_map(path: str | Path) -> ColumnMap:
    """Read a map from a YAML file.

    Raises
    ------
    ParameterError
        With file and line, where it does not say how to read a file.
    """
    return records.read(ColumnMap, path)


def _check_names(names: Sequence[str]) -> None:
    """Raise ParameterError where a map names no column, one that is none of ours, or one twice."""
    if not names:
        raise ParameterError("the map names no column.", "Write columns: {ours: the file's}.")
    for name in names:
        if name != PRICE and name not in OURS.names and price_unit(name) is None:
            is_price = sounds_like_price(name)
            close = "" if is_price else did_you_mean(name, sorted(OURS.names))
            way_out = _UNIT_WAY_OUT if is_price else "See data/README.md for them."
            raise ParameterError(f"{name!r} is no column of ours{close}.", way_out)
        if names.count(name) > 1:
            what = f"{name!r} stands under columns and under constants."
            raise ParameterError(what, "Keep one.")


def _check_unit(of: ColumnMap) -> None:
    """Raise ParameterError where the unit of the price is not told, or told twice."""
    is_needed = PRICE in of.columns or PRICE in of.constants
    if is_needed and price_unit(f"price {of.unit}") is None:
        what = f"unit {of.unit!r} says no unit of prices." if of.unit else "unit is missing."
        raise ParameterError(what, _UNIT_WAY_OUT)
    if of.unit and not is_needed:
        what = "a unit is told, and no column 'price'."
        raise ParameterError(what, "Write the price under columns as 'price'.")


def _is_number(ours: str) -> bool:
    return ours == PRICE or OURS.is_number(ours) or price_unit(ours) is not None


def _place(theirs: str, names: list[str]) -> int:
    """Return where a column of the file stands; DataError where it has none of that name."""
    for spelling in (str, plain_name):
        places = [i for i, name in enumerate(names) if spelling(name) == spelling(theirs)]
        if places:
            return places[0]
    close = did_you_mean(theirs, names)
    what = f"column {theirs!r} of the map is not in it{close}; it has {', '.join(names)[:200]!r}."
    raise DataError(what, "Mend the map.")


def _constant(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime.date) else str(value)
