"""Tables as people read them: $16,200, 64, 12 %, 2 Apr 2026, the unit read off the column's name.

A frame goes in as the library returns it; what is shown is rounded, what is downloaded is not.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.wording import (
    as_known,
    column_of_numbers,
    column_of_percent,
    day,
    dollars,
    in_unit,
)
from cloudarb_lib.market.explore import offer_in_words, pools_in_words, provider_name, term_in_words

_ISO_DAY = r"\d{4}-\d{2}-\d{2}"
_DAY = re.compile(r"\b\d{1,2} [A-Z][a-z]{2} \d{4}\b")
_OF_POOLS = ("limit", "pool", "runner_up", "series_group")
"""Columns whose texts name pools, or groups of series."""
_WRITTEN = {"gpu": "GPU", "gpus": "GPUs", "var": "VaR", "cvar": "CVaR"}
MOST_ON_A_PHONE = 3
"""Columns that fit beside each other there; a page sets rows of more below each other."""


@dataclass(frozen=True)
class ShownTable:
    """A table that notebooks and pages show, with a link to its figures as CSV.

    Parameters
    ----------
    texts
        What is shown, its columns as people name them.
    is_number
        By column: whether it is set to the right.
    source
        The figures unrounded, for the link.
    name
        Of the file that the link gives.
    """

    texts: pd.DataFrame
    is_number: Mapping[str, bool]
    source: pd.DataFrame
    name: str

    def __repr__(self) -> str:
        return self.texts.to_string(index=False)

    def _repr_html_(self) -> str:
        return self.html

    @property
    def html(self) -> str:
        """The table and its link."""
        if self.source.empty:
            return '<p class="people">Nothing to show.</p>'
        heads = [f"<th{self._style(name)}>{html.escape(name)}</th>" for name in self.is_number]
        many = " many" if len(self.texts.columns) > MOST_ON_A_PHONE else ""
        rows = "".join(map(self._row, self.texts.itertuples(index=False)))
        csv = base64.b64encode(self.source.to_csv(index=False).encode()).decode()
        link = f'<a download="{self.name}.csv" href="data:text/csv;base64,{csv}">CSV</a>'
        return (
            f'<div class="people{many}"><table><thead><tr>{"".join(heads)}</tr></thead>'
            f"<tbody>{rows}</tbody></table>{link}</div>"
        )

    def _row(self, row: Iterable[str]) -> str:
        cells = [
            f'<td data-name="{html.escape(name)}"{self._style(name)}>'
            f"{_DAY.sub(_unbroken, html.escape(text))}</td>"
            for name, text in zip(self.is_number, row, strict=True)
        ]
        return f"<tr>{''.join(cells)}</tr>"

    def _style(self, name: str) -> str:
        return f' style="text-align:{"right" if self.is_number[name] else "left"}"'


def _unbroken(found: re.Match[str]) -> str:
    """Return a day that no narrow column breaks."""
    return found[0].replace(" ", "\N{NO-BREAK SPACE}")


def shown(
    frame: pd.DataFrame, columns: Mapping[str, str] | None = None, *, name: str = "table"
) -> ShownTable:
    """Return a frame as people read it.

    Parameters
    ----------
    frame
        Its index is left out, unless ``columns`` names a level of it.
    columns
        Which columns are shown, in order, and what each is called; without it all of them, called
        by their own names without the unit.
    name
        Of the CSV file that a reader can download.

    Returns
    -------
    ShownTable
        Amounts of ``*_usd`` in dollars, ``*_pct`` and shares in percent, times as days, offers and
        pools in words, column ``value`` with what column ``unit`` says, ``extra_usd`` with how it
        is known by ``extra_is``, other figures to three digits; a column has one number of
        decimals.

    Raises
    ------
    ParameterError
        Where two columns are called the same.
    """
    named = [level for level in frame.index.names if level]
    whole = frame.reset_index(drop=not named)
    whole = whole.rename(columns=str)
    told = ["unit"] if "value" in whole else []  # by the figure itself
    named_is = [name for name in map(str, whole) if name.endswith("_is")]
    told += [name for name in named_is if f"{name.removesuffix('_is')}_usd" in whole]
    columns = columns or {
        column: plain_name(column) for column in map(str, whole) if column not in told
    }
    source = whole[[*columns, *(name for name in told if name in whole and name not in columns)]]
    titles = list(columns.values())
    for title in titles:
        if titles.count(title) > 1:
            raise ParameterError(f"two columns of table {name!r} are called {title!r}.")
    texts = {title: _texts(whole, column) for column, title in columns.items()}
    is_number = {
        title: pd.api.types.is_numeric_dtype(source[column]) for column, title in columns.items()
    }
    return ShownTable(pd.DataFrame(texts), is_number, source, name)


def plain_name(column: str) -> str:
    """Return the name of a column as people say it: without its unit, which figures carry."""
    text = str(column).removesuffix("_utc").removesuffix("_pct").removesuffix("_usd")
    text = text.removesuffix("_id")
    words = text.replace("_usd_per_", " a ").replace("_", " ").split(" ")
    return " ".join(_WRITTEN.get(word, word) for word in words)


def _pool_in_words(text: str) -> str:
    """Return a pool, a group of series, or an offer that is a group by itself, in words."""
    return pools_in_words(offer_in_words(text))


def _texts(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return the texts of one column; the unit is told by its name, or by column ``unit``."""
    values = frame[column]
    if column == "value" and "unit" in frame:
        pairs = zip(values, frame["unit"], strict=True)
        return pd.Series([in_unit(*pair) if pd.notna(pair[0]) else "" for pair in pairs])
    if column == "provider":
        return values.astype(str).map(provider_name)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.map(day, na_action="ignore").fillna("")
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "yes", False: "no"})
    if not pd.api.types.is_numeric_dtype(values):
        texts = values.astype(object).where(values.notna(), "").astype(str)
        if column.endswith("offer_id"):
            return texts.map(offer_in_words)
        if len(texts) and texts.str.fullmatch(_ISO_DAY).all():
            return pd.to_datetime(texts).map(day)
        if column == "term":
            return texts.map(term_in_words)
        return texts.map(_pool_in_words) if column in _OF_POOLS else texts
    known = f"{column.removesuffix('_usd')}_is"
    if column.endswith("_usd") and known in frame:
        pairs = zip(values, frame[known], strict=True)
        return pd.Series([as_known(*pair) for pair in pairs])
    form: Callable[[float], str] = column_of_numbers(values)
    if "_usd" in column:
        form = dollars
    elif column.endswith("_pct"):
        form = column_of_percent(values)
    elif "probability" in column or "share" in column:
        values = 100 * values
        form = column_of_percent(values)
    elif column == "year":
        form = "{:.0f}".format
    return values.map(form, na_action="ignore").fillna("")
