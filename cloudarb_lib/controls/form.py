"""What every control is made of: fields with names, a picture drawn in place, tables, amounts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go

_NAME_WIDTH = "150px"
_FIELD_WIDTH = "440px"
NO_LIMIT = 0.0
"""What a slider stands for at the end where nothing is limited: it takes no None."""
Option = tuple[str, Any]
"""What a person reads, and what it stands for."""


class Picture:
    """One figure of a notebook, drawn anew in place: its script is stored and sent once."""

    def __init__(self, figure: go.Figure) -> None:
        self.widget = go.FigureWidget(_with_days_in_words(figure))

    def draw(self, figure: go.Figure) -> None:
        """Show another figure in the place of the one shown."""
        shown = self.widget
        figure = _with_days_in_words(figure)
        gone = set(shown.layout.to_plotly_json()) - set(figure.layout.to_plotly_json())
        shown.layout.annotations = ()  # those at times have no place once the traces are gone
        shown.data = ()
        shown.add_traces(figure.data)
        for name in gone:  # a browser keeps what it is not told to drop
            shown.layout[name] = None
        shown.layout = figure.layout

    @property
    def title(self) -> str:
        return str(self.widget.layout.title.text)


def _with_days_in_words(figure: go.Figure) -> go.Figure:
    """Return a figure whose times are texts: a widget sends those of numpy as nanoseconds."""
    for trace in figure.data:
        for axis in ("x", "y"):
            values = getattr(trace, axis, None)
            if isinstance(values, np.ndarray) and values.dtype.kind == "M":
                trace[axis] = np.datetime_as_string(values, unit="s")
    return figure


def choice(name: str, options: Iterable[Option], value: Any) -> widgets.Dropdown:
    """Return a field that takes one of several."""
    return widgets.Dropdown(options=list(options), value=value, **named(name))


def choices(name: str, options: Iterable[Option], value: Iterable[Any]) -> widgets.SelectMultiple:
    """Return a field that takes any of several."""
    listed = list(options)
    rows = min(max(len(listed), 2), 6)
    return widgets.SelectMultiple(options=listed, value=tuple(value), rows=rows, **named(name))


def slider(name: str, options: Iterable[Option], value: Any) -> widgets.SelectionSlider:
    """Return a slider over amounts in words; it acts when it is let go."""
    return widgets.SelectionSlider(
        options=list(options), value=value, continuous_update=False, **named(name)
    )


def named(name: str) -> dict[str, Any]:
    """Return what names a field and sets its width."""
    return {
        "description": name,
        "style": {"description_width": _NAME_WIDTH},
        "layout": widgets.Layout(width=_FIELD_WIDTH),
    }


def usd(amount: float) -> str:
    """Return dollars without cents, as people write them."""
    return f"${amount:,.0f}"


def amounts_usd(around_usd: float, chosen_usd: float | None) -> list[Option]:
    """Return amounts from half to twice another, in round steps, the chosen one, and no limit."""
    step = 10.0 ** np.floor(np.log10(max(around_usd, 1.0))) / 20
    grid = step * np.arange(np.ceil(around_usd / 2 / step), np.floor(2 * around_usd / step) + 1)
    every = sorted({*grid.round(2).tolist(), chosen_usd or around_usd})
    return [*((usd(amount), amount) for amount in every), ("no limit", NO_LIMIT)]


def paragraph(text: str, *, alert: bool = False) -> str:
    """Return a text as HTML that says just this text."""
    role = ' role="alert" style="color: #b3261e"' if alert else ""
    return f"<p{role}>{escape(text)}</p>"


def table(frame: pd.DataFrame) -> str:
    """Return a table as HTML, figures to the right."""
    return frame.to_html(index=False, border=0, na_rep="", justify="left")


def beside(fields: Iterable[widgets.Widget]) -> widgets.Box:
    """Return fields side by side as far as there is room."""
    wrap = widgets.Layout(display="flex", flex_flow="row wrap", align_items="flex-start")
    return widgets.Box(list(fields), layout=wrap)


def view(question: str, fields: Iterable[widgets.Widget], *below: widgets.Widget) -> widgets.VBox:
    """Return controls under the question that they answer."""
    heading = widgets.HTML(f"<h3>{escape(question)}</h3>")
    return widgets.VBox([heading, beside(fields), *below])
